//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    OpenAi,
    call::{Admitted, Call, Refusal},
    chunks::Chunks,
    convert,
    document::{ChatBody, ChatEvent, ChatFailures},
    fields::CHAT,
    headers,
    request::{self, Reading},
    sse,
    wire::ChatCompletion,
};
use crate::engine::{chat::Head, error::ChatError};

/// Chats
///
/// The answer comes whole, or piece by piece where `stream` is true; `[DONE]` ends a stream. One that breaks off ends
/// with `data: {"error": …}` instead, never with a made-up end.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "Chat",
    operation_id = "createChatCompletion",
    request_body(content = ChatBody, examples(
        ("simple" = (summary = "A whole answer", value = json!({
            "model": "Claude 4 Sonnet",
            "messages": [{ "role": "user", "content": "Hello!" }],
        }))),
        ("streamed" = (summary = "A stream", value = json!({
            "model": "Claude 4 Sonnet",
            "messages": [{ "role": "user", "content": "Hello!" }],
            "stream": true,
            "stream_options": { "include_usage": true },
        }))),
        ("with_limits" = (summary = "A conversation with limits", value = json!({
            "model": "Claude 4 Sonnet",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": [{ "type": "text", "text": "Which day comes after Monday?" }] },
                { "role": "assistant", "content": "Tuesday." },
                { "role": "user", "content": "And after that?" },
            ],
            "max_completion_tokens": 100,
            "stop": ["\n\n"],
            "n": 2,
        }))),
    )),
    responses(
        (
            status = 200,
            description = "The answer, or the stream of its chunks",
            content((ChatCompletion<'static> = "application/json"), (ChatEvent = "text/event-stream")),
            headers(("x-duogate-ignored" = String, description = "The fields that had no effect, where there are any")),
        ),
        ChatFailures,
    ),
)]
pub(super) async fn create(State(openai): State<Arc<OpenAi>>, request: Request) -> Result<Response, Refusal> {
    let call = Call::enter(&openai, request)?;
    let record = call.context.record.clone();
    let answered = answer(&openai, call).await;
    answered.map_err(|error| Refusal(error, Some(record)))
}

async fn answer(openai: &OpenAi, call: Call) -> Result<Response, ChatError> {
    let (call, body) = call.read(openai, CHAT).await?;
    let capabilities = openai.engine.capabilities(body.model());
    let asked = request::read(body, Reading::new(&capabilities, openai.unsupported))?;
    let Admitted { context, permit } = call;
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
