//! A streamed chat completion, chunk by chunk.

use super::{
    convert, error,
    sse::{DONE, Telling, event},
    wire::{Chunk, ChunkChoice, ChunkObject, Delta, FinishWord, Null, Speaker, UsageFigures},
};
use crate::engine::{ChoiceEvent, chat::Head, error::ChatError};

/// How a chat's stream is told.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) head: Head,
    /// How many answers come.
    pub(super) choices: u32,
    pub(super) include_usage: bool,
}

impl Telling for Chunks {
    /// Says who speaks.
    fn begin(&mut self) -> String {
        let roles = (0..self.choices).map(|index| {
            let role = Delta {
                role: Some(Speaker::Assistant),
                content: convert::borrowed(""),
                ..Delta::default()
            };
            self.delta(index, role, None)
        });
        roles.collect()
    }

    fn tell(&mut self, event: ChoiceEvent) -> String {
        match event {
            ChoiceEvent::Content { index, text } => {
                let delta = Delta {
                    content: convert::borrowed(&text),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            ChoiceEvent::Reasoning { index, text } => {
                let delta = Delta {
                    reasoning_content: convert::borrowed(&text),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            ChoiceEvent::Finished { index, reason } => {
                self.delta(index, Delta::default(), Some(convert::finish_reason(reason)))
            }
            ChoiceEvent::Usage(usage) if self.include_usage => {
                self.chunk(&[], Some(convert::usage(usage))) + DONE
            }
            ChoiceEvent::Usage(_) => DONE.to_owned(),
        }
    }

    fn fail(&mut self, failure: &ChatError) -> String {
        event(&error::body(failure))
    }
}

impl Chunks {
    fn delta(&self, index: u32, delta: Delta<'_>, finish_reason: Option<FinishWord>) -> String {
        self.chunk(
            &[ChunkChoice {
                index,
                delta,
                logprobs: Null,
                finish_reason,
            }],
            None,
        )
    }

    fn chunk(&self, choices: &[ChunkChoice<'_>], usage: Option<UsageFigures>) -> String {
        event(&Chunk {
            id: &self.head.id,
            object: ChunkObject::ChatCompletionChunk,
            created: self.head.created,
            model: &self.head.model,
            choices,
            usage: self.include_usage.then_some(usage),
        })
    }
}
