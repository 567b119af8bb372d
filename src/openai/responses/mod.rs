//! `POST /v1/responses`, and the responses that are kept.

mod echo;
mod event;
mod events;
mod fields;
mod input;
mod item;
mod items;
mod keeping;
pub(super) mod kept;
mod object;
mod request;
mod store;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, header};

pub(super) use self::event::Numbered;
pub(super) use self::fields::RESPONSES;
pub(super) use self::items::{ITEM_NAME, ITEMS, MESSAGE, REFERENCE};
pub use self::store::ResponseStore;
use self::{
    events::Events,
    item::{Citation, Item, ItemStatus, Kind},
    object::ResponseObject,
    request::Asked,
};
use super::{
    OpenAi,
    call::{Admitted, Call, Refusal, named},
    document::{ResponseBody, ResponseEvent, ResponseFailures},
    headers,
    request::Reading,
    sse,
};
use crate::engine::{
    chat::{Completion, Said},
    error::{ChatError, ErrorKind},
};

/// Where responses are made.
const PATH: &str = "/v1/responses";

/// Responds
///
/// The same as a chat in the form of OpenAI's responses. A stream ends with `response.completed`,
/// `response.incomplete` or, where it breaks off, `response.failed`. Responses are kept for a while, unless `store` is
/// false, and `previous_response_id` goes on from one.
#[utoipa::path(
    post,
    path = "/v1/responses",
    tag = "Responses",
    operation_id = "createResponse",
    request_body(content = ResponseBody, examples(
        ("simple" = (summary = "A whole response", value = json!({
            "model": "Claude 4 Sonnet",
            "input": "Hello!",
        }))),
        ("streamed" = (summary = "A stream", value = json!({
            "model": "Claude 4 Sonnet",
            "instructions": "Be brief.",
            "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "Hello!" }] }],
            "stream": true,
            "store": false,
        }))),
    )),
    responses(
        (
            status = 200,
            description = "The response, or the stream of its events",
            content(
                (ResponseObject<'static> = "application/json"),
                (ResponseEvent = "text/event-stream"),
            ),
            headers(("x-duogate-ignored" = String, description = "The fields that had no effect, where there are any")),
        ),
        ResponseFailures,
    ),
)]
pub(super) async fn create(State(openai): State<Arc<OpenAi>>, request: Request) -> Result<Response, Refusal> {
    let call = Call::enter(&openai, request)?;
    let record = call.context.record.clone();
    let answered = answer(&openai, call).await;
    answered.map_err(|error| Refusal(named(error, "input"), Some(record)))
}

async fn answer(openai: &OpenAi, call: Call) -> Result<Response, ChatError> {
    let (call, body) = call.read(openai, RESPONSES).await?;
    let capabilities = openai.engine.capabilities(body.model());
    let Admitted { context, permit } = call;
    let reading = Reading::new(&capabilities, openai.unsupported);
    let asked = request::read(body, reading, &openai.responses, store::owner_of(permit.caller()))?;
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

/// Whether a request that no route takes would have responses over a WebSocket.
pub(super) fn asks_for_websocket(request: &Request) -> bool {
    let asked = request.headers().get_all(header::UPGRADE).into_iter();
    let mut protocols = asked
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    request.method() == Method::GET
        && request.uri().path() == PATH
        && protocols.any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// The items of a whole answer: reasoning, text, refusal, and tool calls. The last is incomplete where a limit ended the
/// answer.
fn output_of(completion: Completion) -> Vec<Item> {
    let Completion {
        said,
        reason,
        usage: _,
    } = completion;
    let Said {
        content,
        reasoning,
        refusal,
        tool_calls,
        annotations,
    } = said;
    let citations = annotations.into_iter().map(Citation::from).collect();
    let texts = [
        (Kind::Reasoning, reasoning, Vec::new()),
        (Kind::Message, content, citations),
        (Kind::Refusal, refusal, Vec::new()),
    ];
    let mut spoken: Vec<_> = texts
        .into_iter()
        .filter(|(_, text, _)| !text.is_empty())
        .collect();
    for call in tool_calls {
        let (kind, input) = Kind::of_call(call);
        spoken.push((kind, input, Vec::new()));
    }
    if spoken.is_empty() {
        spoken.push((Kind::Message, String::new(), Vec::new()));
    }
    let last = spoken.len() - 1;
    let items = spoken.into_iter().enumerate();
    let items = items.map(|(number, (kind, text, citations))| {
        let status = match number == last {
            true => ItemStatus::at(reason),
            false => ItemStatus::Completed,
        };
        kind.item(&kind.id(), status, Some(&text), citations)
    });
    items.collect()
}
