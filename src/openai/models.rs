//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};

use super::{
    OpenAi, error,
    wire::{Model, ModelList},
};
use crate::{
    engine::{MODEL_CREATED, MODEL_OWNER, not_found},
    telemetry::CallRecord,
};

fn model(id: &str) -> Model<'_> {
    Model {
        id,
        object: "model",
        created: MODEL_CREATED,
        owned_by: MODEL_OWNER,
    }
}

pub(super) async fn list(State(openai): State<Arc<OpenAi>>) -> Response {
    let models = openai.engine.models();
    let data = models.names().map(model).collect();
    Json(ModelList { object: "list", data }).into_response()
}

/// The id comes percent-decoded, slashes and spaces included.
pub(super) async fn retrieve(
    State(openai): State<Arc<OpenAi>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let Ok(Path(id)) = id else {
        // Bytes that are no UTF-8 name no model.
        return super::unknown_url(request).await;
    };
    // Where any name is let through none is listed, and every one is as good as a listed one.
    match openai.engine.models().resolve(&id) {
        Ok(_) => Json(model(&id)).into_response(),
        Err(_) => error::respond(&not_found(&id), request.extensions().get::<CallRecord>()),
    }
}
