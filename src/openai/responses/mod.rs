//! `POST /v1/responses`, and the responses that are kept.

mod events;
mod fields;
mod input;
mod keeping;
mod kept;
mod object;
mod request;
mod store;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use serde_json::Value;

pub(super) use self::fields::RESPONSES;
pub(super) use self::kept::{delete, input_items, retrieve};
pub use self::store::ResponseStore;
use self::{
    events::Events,
    object::{Kind, item_status},
    request::Asked,
};
use super::{
    OpenAi,
    call::{Call, Refusal, named},
    headers,
    request::Reading,
    sse,
};
use crate::engine::{
    chat::Completion,
    error::{ChatError, ErrorKind},
};

pub(super) async fn create(State(openai): State<Arc<OpenAi>>, request: Request) -> Result<Response, Refusal> {
    let call = Call::enter(&openai, request)?;
    let record = call.context.record.clone();
    let answered = answer(&openai, call).await;
    answered.map_err(|error| Refusal(named(error, "input"), Some(record)))
}

async fn answer(openai: &OpenAi, mut call: Call) -> Result<Response, ChatError> {
    let fields = call.read(openai, RESPONSES).await?;
    let capabilities = openai.engine.capabilities();
    let Call {
        context,
        permit,
        caller,
        ..
    } = call;
    let reading = Reading::new(&capabilities, openai.unsupported);
    let asked = request::read(fields, reading, &openai.responses, caller)?;
    let Asked {
        request,
        stream,
        mut draft,
        keeping,
        ignored,
    } = asked;
    context.record.set_model(&request.model);
    let mut response = if stream {
        let engine = openai.engine.clone();
        let record = context.record.clone();
        let opening = Box::pin(async move {
            let opened = engine.stream_choices(vec![request], context, permit).await;
            opened.map_err(|error| named(error, "input"))
        });
        let events = Events::new(draft, keeping);
        sse::respond(opening, events, openai.limits().keepalive_interval, record).await?
    } else {
        let completions = openai
            .engine
            .complete_choices(vec![request], context, permit)
            .await?;
        let completion = completions.choices.into_iter().next();
        let completion =
            completion.ok_or_else(|| ChatError::new(ErrorKind::Internal, "There is no answer."))?;
        let ending = (completion.reason, completions.usage);
        let output = output_of(completion);
        Json(keeping::conclude(&mut draft, keeping, ending, &output)).into_response()
    };
    headers::name_ignored(response.headers_mut(), &ignored);
    Ok(response)
}

/// The items of a whole answer: what was thought, then what was said.
fn output_of(completion: Completion) -> Vec<Value> {
    let Completion {
        text,
        reasoning,
        reason,
        usage: _,
    } = completion;
    // A limit may have ended the answer before it said anything.
    let is_silent = text.is_empty() && !reasoning.is_empty();
    let end = item_status(reason);
    let mut output = Vec::new();
    if !reasoning.is_empty() {
        let status = if is_silent { end } else { "completed" };
        output.push(Kind::Reasoning.item(&Kind::Reasoning.id(), status, Some(&reasoning)));
    }
    if !is_silent {
        output.push(Kind::Message.item(&Kind::Message.id(), end, Some(&text)));
    }
    output
}
