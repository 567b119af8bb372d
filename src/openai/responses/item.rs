//! The items of an output, as they stand on the wire.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::wire::{Null, Speaker};
use crate::engine::chat::FinishReason;

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
}

impl Item {
    pub(super) fn id(&self) -> &str {
        match self {
            Item::Message { id, .. } | Item::Reasoning { id, .. } => id,
        }
    }

    /// The text of a message; reasoning says nothing.
    pub(super) fn said(&self) -> String {
        match self {
            Item::Message { content, .. } => content.iter().map(Part::text).collect(),
            Item::Reasoning { .. } => String::new(),
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
        #[schema(inline, max_items = 0)]
        annotations: [Null; 0],
        #[schema(inline, max_items = 0)]
        logprobs: [Null; 0],
    },
    ReasoningText {
        text: String,
    },
}

impl Part {
    fn text(&self) -> &str {
        match self {
            Part::OutputText { text, .. } | Part::ReasoningText { text } => text,
        }
    }
}

/// What an item of an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
}

impl Kind {
    /// A new id for such an item.
    pub(super) fn id(self) -> String {
        let prefix = match self {
            Kind::Message => "msg",
            Kind::Reasoning => "rs",
        };
        format!("{prefix}_{}", Uuid::new_v4().simple())
    }

    /// The one part of its content.
    pub(super) fn part(self, text: &str) -> Part {
        let text = text.to_owned();
        match self {
            Kind::Message => Part::OutputText {
                text,
                annotations: [],
                logprobs: [],
            },
            Kind::Reasoning => Part::ReasoningText { text },
        }
    }

    /// The item; without content while there is no text.
    pub(super) fn item(self, id: &str, status: ItemStatus, text: Option<&str>) -> Item {
        let id = id.to_owned();
        let content = text.into_iter().map(|text| self.part(text)).collect();
        match self {
            Kind::Message => Item::Message {
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
        }
    }
}
