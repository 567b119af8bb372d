//! An answer that has started, as its client pulls it: owner of all that the chat holds until the last event.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::sleep_until;

use super::{
    Permit,
    answer::{Ending, Read},
    chat::{CallContext, Completion, FinishReason, Said, Usage},
    error::ChatError,
    event::Event,
    failure::{cut, deadline_exceeded},
    inflight::Ticket,
    limits::LimitedReader,
    outcome,
    pool::Lease,
    prompt::{Prompt, count_tokens},
    provider::Session,
    verdict::verdict,
};
use crate::telemetry::Outcome;

/// What a chat holds while it runs. Dropping it gives everything back and closes the upstream's answer.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) reader: LimitedReader,
    pub(super) lease: Lease,
}

/// A chat whose answer has started, or is whole already.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) held: Held,
    /// The text that was sent.
    pub(super) prompt: Arc<Prompt>,
    pub(super) events: VecDeque<Event>,
    pub(super) ending: Option<Ending>,
}

/// A streamed answer. Pulled by its client: nothing runs while nobody asks. Dropping it before the end closes the
/// upstream's answer at once, frees token and permit, and counts the chat as cancelled.
#[derive(Debug)]
pub struct ChatStream {
    held: Option<(Held, Permit)>,
    events: VecDeque<Event>,
    ending: Option<Ending>,
    /// The reason, to be given after the figures.
    finish: Option<FinishReason>,
    prompt: Arc<Prompt>,
    said: Said,
    context: CallContext,
    ticket: Ticket,
    /// The session's fate when the answer is whole.
    after: After,
}

/// The fate of a session after its answer.
#[derive(Debug)]
enum After {
    /// It ends.
    Ended,
    /// It is kept for another turn, once the answer is whole.
    Kept(Option<Session>),
}

impl ChatStream {
    pub(super) fn new(opened: Opened, permit: Permit, context: CallContext, ticket: Ticket) -> Self {
        let Opened {
            held,
            prompt,
            events,
            ending,
        } = opened;
        Self {
            held: Some((held, permit)),
            events,
            ending,
            finish: None,
            prompt,
            said: Said::default(),
            context,
            ticket,
            after: After::Ended,
        }
    }

    /// Keeps the session when the answer is whole, until the stream is [taken apart](Self::into_parts).
    pub(super) fn keeping(mut self) -> Self {
        self.after = After::Kept(None);
        self
    }

    /// Everything that was said so far, and the session where it was kept. An answer that has not ended is cancelled.
    pub(super) fn into_parts(mut self) -> (Said, Option<Session>) {
        let kept = match &mut self.after {
            After::Ended => None,
            After::Kept(kept) => kept.take(),
        };
        (std::mem::take(&mut self.said), kept)
    }

    /// The next event; `None` after [`Event::Finish`], which follows [`Event::Usage`], or after an error. Dropping the
    /// future loses no event.
    ///
    /// # Errors
    /// Once, as the last item: the answer was cut, the deadline passed, or the process is stopping. What came before
    /// is not a whole answer then.
    pub async fn next(&mut self) -> Option<Result<Event, ChatError>> {
        if let Some(reason) = self.finish.take() {
            return Some(Ok(Event::Finish(reason)));
        }
        if let Some(event) = self.events.pop_front() {
            return Some(Ok(self.pass(event)));
        }
        let (held, _) = self.held.as_mut()?;
        let read = match self.ending {
            Some(ending) => Ok(Read::End(ending)),
            None => {
                tokio::select! {
                    biased;
                    error = self.ticket.ended() => Err(error),
                    () = sleep_until(self.context.deadline) => Err(deadline_exceeded()),
                    read = held.reader.read() => read.map_err(|error| {
                        // Too late for this chat, but the next one should not meet a token that is known as bad.
                        held.lease.failed(verdict(&error).0);
                        cut(&error)
                    }),
                }
            }
        };
        match read {
            Ok(Read::More(event)) => Some(Ok(self.pass(event))),
            Ok(Read::End(ending)) => {
                self.ending = Some(ending);
                let usage = tally(ending.usage, &self.prompt, &self.said).await;
                self.conclude(Outcome::OK);
                self.finish = Some(ending.reason);
                Some(Ok(Event::Usage(usage)))
            }
            Err(error) => {
                self.conclude(outcome(error.kind()));
                Some(Err(error))
            }
        }
    }

    /// Notes an event on its way to the client.
    fn pass(&mut self, event: Event) -> Event {
        self.ticket.count(event.text().len());
        self.said.take(&event);
        event
    }

    fn conclude(&mut self, outcome: Outcome) {
        self.context.record.conclude(outcome);
        let Some((Held { reader, .. }, _)) = self.held.take() else {
            return;
        };
        if let (After::Kept(kept), true) = (&mut self.after, outcome == Outcome::OK) {
            *kept = reader.into_session();
        }
    }
}

impl Drop for ChatStream {
    fn drop(&mut self) {
        if self.held.is_some() {
            self.context.record.conclude(Outcome::CANCELLED);
        }
    }
}

/// Folds an answer that was opened whole.
pub(super) async fn fold(opened: Opened) -> Completion {
    let Opened {
        held,
        prompt,
        events,
        ending,
    } = opened;
    // Frees the token and closes the upstream's answer before anything else is done for the client.
    drop(held);
    let mut said = Said::default();
    events.iter().for_each(|event| said.take(event));
    let ending = ending.unwrap_or(Ending {
        reason: FinishReason::Stop,
        usage: None,
    });
    let usage = tally(ending.usage, &prompt, &said).await;
    Completion {
        said,
        reason: ending.reason,
        usage,
    }
}

/// The upstream's figures where it sent them and they are those of the answer, otherwise a count of both texts. How much
/// of an answer was reasoning is always counted.
async fn tally(told: Option<Usage>, prompt: &Prompt, said: &Said) -> Usage {
    let reasoning_tokens = match said.reasoning.as_str() {
        "" => 0,
        reasoning => count_tokens(reasoning).await,
    };
    if let Some(usage) = told {
        return Usage {
            reasoning_tokens: reasoning_tokens.min(usage.completion_tokens),
            ..usage
        };
    }
    let prompt_tokens = prompt.tokens().await;
    let mut completion_tokens = count_tokens(&said.content).await.saturating_add(reasoning_tokens);
    let inputs = said.tool_calls.iter().map(|call| call.input.as_str());
    for text in inputs
        .chain([said.refusal.as_str()])
        .filter(|text| !text.is_empty())
    {
        completion_tokens = completion_tokens.saturating_add(count_tokens(text).await);
    }
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens.saturating_add(completion_tokens),
        reasoning_tokens,
    }
}
