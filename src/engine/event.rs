//! An answer, event by event: from the provider through the engine to the doors.

use super::chat::{FinishReason, Usage};

/// One event of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// More of the answer's text. Like every text here it may be empty when it comes from a provider, and never is when
    /// it goes to a door.
    Content(String),
    /// More of the reasoning behind the answer.
    Reasoning(String),
    /// More of the model's refusal to answer.
    Refusal(String),
    /// More of a tool call.
    ToolCall(ToolCallDelta),
    /// A source that the answer so far rests on.
    Annotation(Annotation),
    /// Figures: from a provider those of the upstream. To a door those of the whole request, as the last event; in a
    /// dialogue those of the turn, before its finish.
    Usage(Usage),
    /// The answer has ended, and why. Nothing of it comes after.
    Finish(FinishReason),
    /// The upstream's end mark, or the end of a body that parsed whole. It reaches no door.
    End,
}

impl Event {
    /// The text that the event adds to the answer; empty for one that adds none.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Event::Content(text) | Event::Reasoning(text) | Event::Refusal(text) => text,
            Event::ToolCall(delta) => &delta.input,
            Event::Annotation(_) | Event::Usage(_) | Event::Finish(_) | Event::End => "",
        }
    }
}

/// An event, and the choice that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceEvent {
    /// The number of the choice, from 0; 0 for [`Event::Usage`], which is all choices'.
    pub index: u32,
    /// The event.
    pub event: Event,
}

/// A piece of a tool call. The pieces of one call are joined in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// The number of the call among the answer's calls, from 0.
    pub index: u32,
    /// The call's id; in its first piece.
    pub id: Option<String>,
    /// The kind of tool.
    pub kind: ToolKind,
    /// The tool's name; in the call's first piece.
    pub name: Option<String>,
    /// More of the input: for a function, of its arguments, which should become a JSON object.
    pub input: String,
}

/// A whole tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The call's id, which the message that answers it repeats.
    pub id: String,
    /// The kind of tool.
    pub kind: ToolKind,
    /// The tool's name.
    pub name: String,
    /// The input: for a function, its arguments. A model wrote it, so it may be no valid JSON.
    pub input: String,
}

/// The kinds of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    /// A function, whose input is a JSON object.
    Function,
    /// A tool that takes any text.
    Custom,
}

/// A web page that a part of the answer rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Its address.
    pub url: String,
    /// Its title.
    pub title: String,
    /// The first character of that part, from 0.
    pub start: u32,
    /// The character after its last.
    pub end: u32,
}
