//! The events of a streamed response, as they stand on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{error, sse::named_event, wire::Null},
    item::{Citation, Item, Part},
    object::ResponseObject,
};
use crate::engine::error::ChatError;

/// An event, numbered from 0.
#[derive(Serialize, ToSchema)]
#[schema(as = ResponseEventData)]
pub(in crate::openai) struct Numbered<'a> {
    #[serde(flatten)]
    event: Event<'a>,
    sequence_number: u64,
}

/// What can happen in the stream of a response.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type")]
#[schema(as = ResponseHappening)]
pub(super) enum Event<'a> {
    #[serde(rename = "response.created")]
    Created { response: ResponseObject<'a> },
    #[serde(rename = "response.in_progress")]
    InProgress { response: ResponseObject<'a> },
    #[serde(rename = "response.completed")]
    Completed { response: ResponseObject<'a> },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: ResponseObject<'a> },
    /// OpenAI's schema has the fields flat, its servers send them in `error`, which is where SDKs look.
    #[serde(rename = "error")]
    Error {
        #[schema(required)]
        code: Option<&'a str>,
        message: &'a str,
        #[schema(required)]
        param: Option<&'a str>,
        #[schema(inline)]
        error: error::Told<'a>,
    },
    #[serde(rename = "response.failed")]
    Failed { response: ResponseObject<'a> },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: usize, item: &'a Item },
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: usize, item: &'a Item },
    #[serde(rename = "response.content_part.added")]
    PartAdded {
        #[serde(flatten)]
        place: Place<'a>,
        part: Part,
    },
    #[serde(rename = "response.content_part.done")]
    PartDone {
        #[serde(flatten)]
        place: Place<'a>,
        part: Part,
    },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        #[serde(flatten)]
        place: Place<'a>,
        delta: &'a str,
        #[schema(inline, max_items = 0)]
        logprobs: [Null; 0],
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        #[serde(flatten)]
        place: Place<'a>,
        text: &'a str,
        #[schema(inline, max_items = 0)]
        logprobs: [Null; 0],
    },
    #[serde(rename = "response.output_text.annotation.added")]
    AnnotationAdded {
        #[serde(flatten)]
        place: Place<'a>,
        annotation_index: usize,
        annotation: &'a Citation,
    },
    #[serde(rename = "response.refusal.delta")]
    RefusalDelta {
        #[serde(flatten)]
        place: Place<'a>,
        delta: &'a str,
    },
    #[serde(rename = "response.refusal.done")]
    RefusalDone {
        #[serde(flatten)]
        place: Place<'a>,
        refusal: &'a str,
    },
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta {
        item_id: &'a str,
        output_index: usize,
        delta: &'a str,
    },
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone {
        item_id: &'a str,
        output_index: usize,
        name: &'a str,
        arguments: &'a str,
    },
    #[serde(rename = "response.custom_tool_call_input.delta")]
    InputDelta {
        item_id: &'a str,
        output_index: usize,
        delta: &'a str,
    },
    #[serde(rename = "response.custom_tool_call_input.done")]
    InputDone {
        item_id: &'a str,
        output_index: usize,
        input: &'a str,
    },
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta {
        #[serde(flatten)]
        place: Place<'a>,
        delta: &'a str,
    },
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone {
        #[serde(flatten)]
        place: Place<'a>,
        text: &'a str,
    },
}

/// Where in the output something happens.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = ResponsePlace)]
pub(super) struct Place<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) content_index: usize,
}

impl<'a> Event<'a> {
    /// The response failed, as SDKs raise it.
    pub(super) fn error(failure: &'a ChatError) -> Self {
        let error = error::told(failure);
        Event::Error {
            code: Some(error.code),
            message: error.message,
            param: error.param,
            error,
        }
    }

    /// The event's name, which is its type too.
    fn name(&self) -> &'static str {
        match self {
            Event::Error { .. } => "error",
            Event::Created { .. } => "response.created",
            Event::InProgress { .. } => "response.in_progress",
            Event::Completed { .. } => "response.completed",
            Event::Incomplete { .. } => "response.incomplete",
            Event::Failed { .. } => "response.failed",
            Event::ItemAdded { .. } => "response.output_item.added",
            Event::ItemDone { .. } => "response.output_item.done",
            Event::PartAdded { .. } => "response.content_part.added",
            Event::PartDone { .. } => "response.content_part.done",
            Event::TextDelta { .. } => "response.output_text.delta",
            Event::TextDone { .. } => "response.output_text.done",
            Event::AnnotationAdded { .. } => "response.output_text.annotation.added",
            Event::RefusalDelta { .. } => "response.refusal.delta",
            Event::RefusalDone { .. } => "response.refusal.done",
            Event::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Event::ArgumentsDone { .. } => "response.function_call_arguments.done",
            Event::InputDelta { .. } => "response.custom_tool_call_input.delta",
            Event::InputDone { .. } => "response.custom_tool_call_input.done",
            Event::ReasoningDelta { .. } => "response.reasoning_text.delta",
            Event::ReasoningDone { .. } => "response.reasoning_text.done",
        }
    }
}

/// Numbers an event and writes it down.
pub(super) fn told(sequence: &mut u64, event: Event<'_>) -> String {
    let name = event.name();
    let numbered = Numbered {
        event,
        sequence_number: *sequence,
    };
    *sequence += 1;
    named_event(name, &numbered)
}
