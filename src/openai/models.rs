//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};

use super::{
    OpenAi,
    document::ModelFailures,
    error,
    wire::{ListObject, Model, ModelList, ModelObject},
};
use crate::{
    engine::{MODEL_CREATED, MODEL_OWNER, not_found},
    telemetry::CallRecord,
};

fn model(id: &str) -> Model<'_> {
    Model {
        id,
        object: ModelObject::Model,
        created: MODEL_CREATED,
        owned_by: MODEL_OWNER,
    }
}

/// Lists the models on offer
///
/// Where every name is let through the list is empty.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "Models",
    operation_id = "listModels",
    responses((status = 200, description = "The models", body = ModelList<'static>)),
)]
pub(super) async fn list(State(openai): State<Arc<OpenAi>>) -> Response {
    let names = openai.engine.model_names();
    let data = names.iter().map(|name| model(name)).collect();
    Json(ModelList {
        object: ListObject::List,
        data,
    })
    .into_response()
}

/// Tells about one model
///
/// Names may hold blanks and slashes, percent-encoded or not.
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    tag = "Models",
    operation_id = "getModel",
    params(("id" = String, Path, description = "The model's name", example = "Claude 4 Sonnet")),
    responses((status = 200, description = "The model", body = Model<'static>), ModelFailures),
)]
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
    if openai.engine.offers(&id) {
        Json(model(&id)).into_response()
    } else {
        error::respond(&not_found(&id), request.extensions().get::<CallRecord>())
    }
}
