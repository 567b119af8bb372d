//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use super::{
    OpenAi, body, convert, error,
    fields::CHAT,
    headers,
    request::{self, KnownFields, Reading},
    sse::{self, Form},
};
use crate::{
    engine::{
        Permit,
        chat::{CallContext, Head},
        error::{ChatError, ErrorKind},
    },
    telemetry::CallRecord,
};

pub(super) async fn create(State(openai): State<Arc<OpenAi>>, request: Request) -> Response {
    let record = request.extensions().get::<CallRecord>().cloned();
    let Some(record) = record else {
        let error = ChatError::new(ErrorKind::Internal, "The request has no record.");
        return error::respond(&error, None);
    };
    // The permit comes first: a request that finds no room never has its body read.
    let answered = match openai.engine.admit() {
        Ok(permit) => answer(&openai, request, record.clone(), permit).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| error::respond(&error, Some(&record)))
}

async fn answer(
    openai: &OpenAi,
    request: Request,
    record: CallRecord,
    permit: Permit,
) -> Result<Response, ChatError> {
    let deadline = Instant::now() + openai.request_timeout;
    let (parts, body) = request.into_parts();
    let fields = body::read_fields(&parts.headers, body, openai.max_body, KnownFields(CHAT)).await?;
    let capabilities = openai.engine.capabilities();
    let asked = request::read(fields, Reading::new(&capabilities, openai.unsupported))?;
    record.set_model(&asked.request.model);
    let head = Head::new(asked.request.model.clone());
    let context = CallContext {
        deadline,
        record: record.clone(),
    };
    let mut response = if asked.stream {
        let engine = openai.engine.clone();
        let form = Form {
            head,
            choices: u32::try_from(asked.request.n.unwrap_or(1)).unwrap_or(u32::MAX),
            include_usage: asked.include_usage,
            keepalive: openai.keepalive_interval,
        };
        let opening = Box::pin(async move { engine.stream_choices(asked.request, context, permit).await });
        sse::respond(opening, form, record).await?
    } else {
        let completions = openai
            .engine
            .complete_choices(asked.request, context, permit)
            .await?;
        Json(convert::whole(&head, completions)).into_response()
    };
    headers::name_ignored(response.headers_mut(), &asked.ignored);
    Ok(response)
}
