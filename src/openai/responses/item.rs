//! The items of an output, as they stand on the wire.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::wire::{Null, Speaker};
use crate::engine::{
    chat::FinishReason,
    event::{Annotation, ToolCall, ToolKind},
    request,
};

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    InProgress,
    Completed,
    Incomplete,
}

impl ItemStatus {
    /// What an answer's last item is once the answer has ended.
    pub(super) fn at(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop | FinishReason::ToolCalls => ItemStatus::Completed,
            FinishReason::Length | FinishReason::ContentFilter => ItemStatus::Incomplete,
        }
    }
}

/// One item of an output.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ResponseOutputItem)]
pub(super) enum Item {
    /// What was said.
    Message {
        id: String,
        #[schema(inline)]
        role: Speaker,
        #[schema(inline)]
        status: ItemStatus,
        content: Vec<Part>,
    },
    /// What was thought.
    Reasoning {
        id: String,
        #[schema(inline)]
        status: ItemStatus,
        #[schema(inline, max_items = 0)]
        summary: [Null; 0],
        content: Vec<Part>,
    },
    /// A call of a function.
    FunctionCall {
        id: String,
        #[schema(inline)]
        status: ItemStatus,
        call_id: String,
        name: String,
        arguments: String,
    },
    /// A call of a tool that takes any text.
    CustomToolCall {
        id: String,
        #[schema(inline)]
        status: ItemStatus,
        call_id: String,
        name: String,
        input: String,
    },
}

impl Item {
    pub(super) fn id(&self) -> &str {
        match self {
            Item::Message { id, .. }
            | Item::Reasoning { id, .. }
            | Item::FunctionCall { id, .. }
            | Item::CustomToolCall { id, .. } => id,
        }
    }

    /// The part of a message that says the same again; reasoning is none.
    pub(super) fn as_part(&self) -> Option<request::Part> {
        let call = |kind, id: &str, name: &str, input: &str| {
            Some(request::Part::ToolCall(ToolCall {
                id: id.to_owned(),
                kind,
                name: name.to_owned(),
                input: input.to_owned(),
            }))
        };
        match self {
            Item::Message { content, .. } => content.first().map(Part::as_part),
            Item::Reasoning { .. } => None,
            Item::FunctionCall {
                call_id,
                name,
                arguments,
                ..
            } => call(ToolKind::Function, call_id, name, arguments),
            Item::CustomToolCall {
                call_id, name, input, ..
            } => call(ToolKind::Custom, call_id, name, input),
        }
    }
}

/// One part of an item's content.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ResponseOutputPart)]
pub(super) enum Part {
    OutputText {
        text: String,
        annotations: Vec<Citation>,
        #[schema(inline, max_items = 0)]
        logprobs: [Null; 0],
    },
    ReasoningText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
}

impl Part {
    fn as_part(&self) -> request::Part {
        match self {
            Part::OutputText { text, .. } => request::Part::Text(text.clone()),
            Part::ReasoningText { text } => request::Part::Reasoning(text.clone()),
            Part::Refusal { refusal } => request::Part::Refusal(refusal.clone()),
        }
    }
}

/// A source that a part of the text rests on.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename = "url_citation")]
#[schema(as = ResponseUrlCitation)]
pub(super) struct Citation {
    url: String,
    title: String,
    start_index: u32,
    end_index: u32,
}

impl From<Annotation> for Citation {
    fn from(annotation: Annotation) -> Self {
        let Annotation {
            url,
            title,
            start,
            end,
        } = annotation;
        Self {
            url,
            title,
            start_index: start,
            end_index: end,
        }
    }
}

/// The kinds of items of an output. A refusal is a message of its own kind of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Refusal,
    Call(CallHead),
}

/// A tool call without its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallHead {
    pub(super) kind: ToolKind,
    pub(super) call_id: String,
    pub(super) name: String,
}

impl Kind {
    /// The kind of a whole call, and its input.
    pub(super) fn of_call(call: ToolCall) -> (Self, String) {
        let ToolCall {
            id,
            kind,
            name,
            input,
        } = call;
        let head = CallHead {
            kind,
            call_id: id,
            name,
        };
        (Kind::Call(head), input)
    }

    /// A new id for such an item.
    pub(super) fn id(&self) -> String {
        let prefix = match self {
            Kind::Message | Kind::Refusal => "msg",
            Kind::Reasoning => "rs",
            Kind::Call(head) => match head.kind {
                ToolKind::Function => "fc",
                ToolKind::Custom => "ctc",
            },
        };
        format!("{prefix}_{}", Uuid::new_v4().simple())
    }

    /// The one part of its content; a call has none.
    pub(super) fn part(&self, text: &str, annotations: Vec<Citation>) -> Option<Part> {
        let text = text.to_owned();
        match self {
            Kind::Message => Some(Part::OutputText {
                text,
                annotations,
                logprobs: [],
            }),
            Kind::Reasoning => Some(Part::ReasoningText { text }),
            Kind::Refusal => Some(Part::Refusal { refusal: text }),
            Kind::Call(_) => None,
        }
    }

    /// The item; without content while there is no text.
    pub(super) fn item(
        &self,
        id: &str,
        status: ItemStatus,
        text: Option<&str>,
        annotations: Vec<Citation>,
    ) -> Item {
        let id = id.to_owned();
        let part = text.and_then(|text| self.part(text, annotations));
        let content = part.into_iter().collect();
        match self {
            Kind::Message | Kind::Refusal => Item::Message {
                id,
                role: Speaker::Assistant,
                status,
                content,
            },
            Kind::Reasoning => Item::Reasoning {
                id,
                status,
                summary: [],
                content,
            },
            Kind::Call(head) => {
                let CallHead { kind, call_id, name } = head.clone();
                let input = text.unwrap_or_default().to_owned();
                match kind {
                    ToolKind::Function => Item::FunctionCall {
                        id,
                        status,
                        call_id,
                        name,
                        arguments: input,
                    },
                    ToolKind::Custom => Item::CustomToolCall {
                        id,
                        status,
                        call_id,
                        name,
                        input,
                    },
                }
            }
        }
    }
}
