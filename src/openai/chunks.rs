//! A streamed chat completion, chunk by chunk.

use super::{
    convert, error,
    sse::{self, DONE, Telling},
    wire::{Chunk, ChunkChoice, ChunkObject, Delta, FinishWord, Null, Speaker, UsageFigures},
};
use crate::engine::{
    chat::Head,
    error::ChatError,
    event::{ChoiceEvent, Event},
};

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
        let ChoiceEvent { index, event } = event;
        match event {
            Event::Content(text) => {
                let delta = Delta {
                    content: convert::borrowed(&text),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            Event::Reasoning(text) => {
                let delta = Delta {
                    reasoning_content: convert::borrowed(&text),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            Event::Refusal(text) => {
                let delta = Delta {
                    refusal: convert::borrowed(&text),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            Event::ToolCall(call) => {
                let delta = Delta {
                    tool_calls: Some([convert::tool_call_chunk(&call)]),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            Event::Annotation(annotation) => {
                let delta = Delta {
                    annotations: Some([convert::citation(annotation)]),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            Event::Finish(reason) => {
                self.delta(index, Delta::default(), Some(convert::finish_reason(reason)))
            }
            Event::Usage(usage) if self.include_usage => self.chunk(&[], Some(convert::usage(usage))) + DONE,
            Event::Usage(_) => DONE.to_owned(),
            Event::End => String::new(),
        }
    }

    fn fail(&mut self, failure: &ChatError) -> String {
        sse::event(&error::body(failure))
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
        sse::event(&Chunk {
            id: &self.head.id,
            object: ChunkObject::ChatCompletionChunk,
            created: self.head.created,
            model: &self.head.model,
            choices,
            usage: self.include_usage.then_some(usage),
        })
    }
}
