//! An answer, event by event: from the provider through the engine to the doors.

use super::chat::{FinishReason, Usage};

/// One event of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// More of the answer; may be empty when it comes from a provider, never when it goes to a door.
    Content(String),
    /// More of the reasoning before the answer; the same holds of it.
    Reasoning(String),
    /// Figures: from a provider those of the upstream, to a door those of the whole request, and the last event.
    Usage(Usage),
    /// The answer has ended, and why. Nothing of it comes after.
    Finish(FinishReason),
    /// The upstream's end mark, or the end of a body that parsed whole. It reaches no door.
    End,
}

/// An event, and the choice that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceEvent {
    /// The number of the choice, from 0; 0 for [`Event::Usage`], which is all choices'.
    pub index: u32,
    /// The event.
    pub event: Event,
}
