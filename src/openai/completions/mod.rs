//! The legacy `POST /v1/completions`: each prompt is a chat of one message.

mod answer;
mod fields;
mod request;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use self::{answer::TextChunks, request::Asked};
pub(super) use self::{answer::TextCompletion, fields::COMPLETIONS};
use super::{
    OpenAi,
    call::{Admitted, Call, Refusal, named},
    document::{ChatFailures, CompletionBody, CompletionEvent},
    headers,
    request::Reading,
    sse,
};
use crate::engine::{chat::Head, error::ChatError};

/// Completes texts (legacy)
///
/// Each prompt is a chat of one message. `[DONE]` ends a stream; one that breaks off ends with `data: {"error": …}`
/// instead.
#[utoipa::path(
    post,
    path = "/v1/completions",
    tag = "Chat",
    operation_id = "createCompletion",
    request_body(content = CompletionBody, examples(
        ("simple" = (summary = "A whole answer", value = json!({
            "model": "Claude 4 Sonnet",
            "prompt": "Once upon a time",
        }))),
        ("streamed" = (summary = "A stream of answers to two prompts", value = json!({
            "model": "Claude 4 Sonnet",
            "prompt": ["Once upon a time", "In a hole in the ground"],
            "max_tokens": 50,
            "stream": true,
        }))),
    )),
    responses(
        (
            status = 200,
            description = "The answer, or the stream of its chunks",
            content(
                (TextCompletion<'static> = "application/json"),
                (CompletionEvent = "text/event-stream"),
            ),
            headers(("x-duogate-ignored" = String, description = "The fields that had no effect, where there are any")),
        ),
        ChatFailures,
    ),
)]
pub(super) async fn create(State(openai): State<Arc<OpenAi>>, request: Request) -> Result<Response, Refusal> {
    let call = Call::enter(&openai, request)?;
    let record = call.context.record.clone();
    let answered = answer(&openai, call).await;
    answered.map_err(|error| Refusal(named(error, "prompt"), Some(record)))
}

async fn answer(openai: &OpenAi, call: Call) -> Result<Response, ChatError> {
    let (call, body) = call.read(openai, COMPLETIONS).await?;
    let capabilities = openai.engine.capabilities(body.model());
    let asked = request::read(body, Reading::new(&capabilities, openai.unsupported))?;
    let Asked {
        requests,
        echoes,
        stream,
        include_usage,
        ignored,
    } = asked;
    let Admitted { context, permit } = call;
    let model = requests.first().map(|request| request.model.clone());
    let head = Head::with_prefix("cmpl-", model.unwrap_or_default());
    context.record.set_model(&head.model);
    let mut response = if stream {
        let engine = openai.engine.clone();
        let chunks = TextChunks {
            head,
            echoes,
            include_usage,
        };
        let record = context.record.clone();
        let opening = Box::pin(async move {
            let opened = engine.stream_choices(requests, context, permit).await;
            opened.map_err(|error| named(error, "prompt"))
        });
        sse::respond(opening, chunks, openai.limits().keepalive_interval, record).await?
    } else {
        let completions = openai.engine.complete_choices(requests, context, permit).await?;
        Json(answer::whole(&head, completions, echoes)).into_response()
    };
    headers::name_ignored(response.headers_mut(), &ignored);
    Ok(response)
}
