//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use super::{
    OpenAi, body, convert, error, sse,
    wire::{AnswerMessage, ChatCompletion, Choice, Object},
};
use crate::{
    engine::{
        Permit,
        chat::{CallContext, Completion, Head},
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
    let limits = openai.limits();
    let deadline = Instant::now() + limits.request_timeout;
    let (parts, body) = request.into_parts();
    let Object(wire) = body::read_json(&parts.headers, body, &limits).await?;
    let asked = convert::read(wire)?;
    record.set_model(&asked.request.model);
    let head = Head::new(asked.request.model.clone());
    let context = CallContext {
        deadline,
        record: record.clone(),
    };
    if !asked.stream {
        let completion = openai.engine.complete(asked.request, context, permit).await?;
        return Ok(Json(whole(&head, completion)).into_response());
    }
    let engine = openai.engine.clone();
    let opening = Box::pin(async move { engine.stream(asked.request, context, permit).await });
    sse::respond(
        opening,
        head,
        asked.include_usage,
        limits.keepalive_interval,
        record,
    )
    .await
}

fn whole(head: &Head, completion: Completion) -> ChatCompletion<'_> {
    let Completion {
        text,
        reasoning,
        reason,
        usage,
    } = completion;
    let message = AnswerMessage {
        role: "assistant",
        content: text,
        refusal: None,
        reasoning_content: reasoning,
    };
    ChatCompletion {
        id: &head.id,
        object: "chat.completion",
        created: head.created,
        model: &head.model,
        choices: [Choice {
            index: 0,
            message,
            logprobs: None,
            finish_reason: convert::finish_reason(reason),
        }],
        usage: convert::usage(usage),
    }
}
