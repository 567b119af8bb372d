//! The events of a conversation on their way out: numbered, each with its turn.

use std::collections::VecDeque;

use super::super::{
    convert,
    proto::{
        self, ContentDelta, ConverseResponse, HistoryReplayed, KeepAlive, ReasoningDelta, RefusalDelta,
        TurnCancelled, TurnFinished, TurnStarted, converse_response::Event, turn_finished::Outcome as Ended,
    },
};
use crate::engine::{ReplayReason, TurnEvent, chat::Head, event};

/// What goes out next.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<(u32, Event)>,
    sequence: u32,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<ConverseResponse> {
        let (turn, event) = self.queue.pop_front()?;
        let sequence = self.sequence;
        self.sequence += 1;
        Some(ConverseResponse {
            sequence,
            turn,
            event: Some(event),
        })
    }

    /// An event of a turn, or of the stream as a whole, which is turn 0.
    pub(super) fn push(&mut self, turn: u32, event: Event) {
        self.queue.push_back((turn, event));
    }

    /// A turn begins.
    pub(super) fn begin(&mut self, turn: u32) {
        let Head { id, created, .. } = Head::new(String::new());
        let created = convert::created_seconds(created);
        self.push(turn, Event::TurnStarted(TurnStarted { id, created }));
    }

    /// A turn is over.
    pub(super) fn end(&mut self, turn: u32, ended: Ended) {
        let finished = TurnFinished { outcome: Some(ended) };
        self.push(turn, Event::TurnFinished(finished));
    }

    /// A turn is over, since its client gave it up.
    pub(super) fn cancel(&mut self, turn: u32) {
        self.end(turn, Ended::Cancelled(TurnCancelled {}));
    }

    /// What the engine tells of a turn; how it ended, once it has.
    pub(super) fn take(&mut self, turn: u32, event: TurnEvent) -> Option<Ended> {
        let event = match event {
            TurnEvent::Replayed { reason, messages } => {
                let replayed = HistoryReplayed {
                    reason: replay_reason(reason).into(),
                    messages: u32::try_from(messages).unwrap_or(u32::MAX),
                };
                Event::HistoryReplayed(replayed)
            }
            TurnEvent::Answer(event::Event::Content(text)) => {
                let logprobs = Vec::new();
                Event::Content(ContentDelta { text, logprobs })
            }
            TurnEvent::Answer(event::Event::Reasoning(text)) => Event::Reasoning(ReasoningDelta { text }),
            TurnEvent::Answer(event::Event::Refusal(text)) => {
                let logprobs = Vec::new();
                Event::Refusal(RefusalDelta { text, logprobs })
            }
            TurnEvent::Answer(event::Event::ToolCall(delta)) => {
                Event::ToolCall(convert::tool_call_delta(delta))
            }
            TurnEvent::Answer(event::Event::Annotation(annotation)) => {
                Event::Annotation(convert::annotation(annotation))
            }
            TurnEvent::Answer(event::Event::Usage(usage)) => Event::Usage(convert::usage(usage)),
            TurnEvent::Answer(event::Event::Finish(reason)) => {
                return Some(Ended::FinishReason(convert::finish_reason(reason).into()));
            }
            TurnEvent::Answer(event::Event::End) => return None,
        };
        self.push(turn, event);
        None
    }
}

/// A sign of life: it has no number and belongs to no turn.
pub(super) fn keep_alive() -> ConverseResponse {
    ConverseResponse {
        event: Some(Event::KeepAlive(KeepAlive {})),
        ..ConverseResponse::default()
    }
}

fn replay_reason(reason: ReplayReason) -> proto::ReplayReason {
    match reason {
        ReplayReason::TokenLost => proto::ReplayReason::TokenLost,
        ReplayReason::SessionLost => proto::ReplayReason::ConversationLost,
        ReplayReason::TurnCut => proto::ReplayReason::TurnCut,
    }
}
