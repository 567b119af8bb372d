//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    OpenAi,
    call::{Call, Refusal},
    chunks::Chunks,
    convert,
    fields::CHAT,
    headers,
    request::{self, Reading},
    sse,
};
use crate::engine::{chat::Head, error::ChatError};

pub(super) async fn create(State(openai): State<Arc<OpenAi>>, request: Request) -> Result<Response, Refusal> {
    let call = Call::enter(&openai, request)?;
    let record = call.context.record.clone();
    let answered = answer(&openai, call).await;
    answered.map_err(|error| Refusal(error, Some(record)))
}

async fn answer(openai: &OpenAi, mut call: Call) -> Result<Response, ChatError> {
    let fields = call.read(openai, CHAT).await?;
    let capabilities = openai.engine.capabilities();
    let asked = request::read(fields, Reading::new(&capabilities, openai.unsupported))?;
    let Call { context, permit, .. } = call;
    context.record.set_model(&asked.request.model);
    let head = Head::new(asked.request.model.clone());
    let mut response = if asked.stream {
        let engine = openai.engine.clone();
        let chunks = Chunks {
            head,
            choices: u32::try_from(asked.request.n.unwrap_or(1)).unwrap_or(u32::MAX),
            include_usage: asked.include_usage,
        };
        let record = context.record.clone();
        let opening =
            Box::pin(async move { engine.stream_choices(vec![asked.request], context, permit).await });
        sse::respond(opening, chunks, openai.limits().keepalive_interval, record).await?
    } else {
        let completions = openai
            .engine
            .complete_choices(vec![asked.request], context, permit)
            .await?;
        Json(convert::whole(&head, completions)).into_response()
    };
    headers::name_ignored(response.headers_mut(), &asked.ignored);
    Ok(response)
}
