//! What a client allows of an answer: the texts that end it, and how long it may be.
//!
//! Both are applied to the answer as it comes, and the result does not depend on how the upstream splits it. Where a
//! limit ends the answer, the upstream's is closed at once, and the chat counts as finished.

mod budget;
mod stop;

use std::collections::VecDeque;

use tokio::task::{JoinHandle, spawn_blocking};

use self::{
    budget::{Budget, Spent},
    stop::StopMatcher,
};
use super::{
    answer::{AnswerReader, Ending, READ_ANSWER, Read},
    chat::FinishReason,
    event::Event,
    prompt::{DONE_IN_PLACE, is_vocabulary_ready},
    provider::{Fault, Session, UpstreamError},
    request::ChatRequest,
};

/// The limits of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// Texts that end the answer's content; reasoning is not searched. None is empty.
    pub stop: Vec<String>,
    /// The most tokens, reasoning included.
    pub max_tokens: Option<u64>,
}

impl Limits {
    /// The limits that a request sets.
    pub(super) fn of(request: &ChatRequest) -> Self {
        Self {
            stop: request.stop.clone(),
            max_tokens: request.max_tokens,
        }
    }
}

/// What the limits let through of a piece of the answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Passed {
    deltas: Vec<Event>,
    /// The answer ends here, and why.
    cut: Option<FinishReason>,
}

/// Applies limits to one answer. Works in memory, and as fast as the text is long.
#[derive(Debug)]
struct Limiter {
    stop: Option<StopMatcher>,
    budget: Option<Budget>,
}

impl Limiter {
    /// None where nothing is limited.
    fn new(limits: &Limits) -> Option<Self> {
        let stop = (!limits.stop.is_empty()).then(|| StopMatcher::new(&limits.stop));
        let budget = limits.max_tokens.map(Budget::new);
        (stop.is_some() || budget.is_some()).then_some(Self { stop, budget })
    }

    /// Whether taking this in is more than a moment's work.
    fn is_long(&self, read: &Read) -> bool {
        let (size, turns) = match read {
            Read::More(delta) => {
                let turns = self.budget.as_ref().is_some_and(|budget| budget.turns(delta));
                (delta.text().len(), turns)
            }
            Read::End(_) => (0, false),
        };
        let size = size + self.stop.as_ref().map_or(0, StopMatcher::held);
        let counted = self.budget.as_ref().map_or(0, |budget| budget.work(size, turns));
        size.max(counted) > DONE_IN_PLACE || (counted > 0 && !is_vocabulary_ready())
    }

    fn push(&mut self, delta: Event) -> Passed {
        let (delta, stopped) = match (&mut self.stop, delta) {
            (Some(stop), Event::Content(text)) => {
                let (released, stopped) = stop.push(&text);
                (Event::Content(released), stopped)
            }
            (_, delta) => (delta, false),
        };
        let mut passed = self.pay(delta);
        if stopped && passed.cut.is_none() {
            passed.cut = Some(match self.pay_rest(&mut passed.deltas) {
                Ok(()) => FinishReason::Stop,
                Err(Spent) => FinishReason::Length,
            });
        }
        passed
    }

    /// The upstream's answer is whole: gives what was held back of it.
    fn finish(&mut self) -> Passed {
        let rest = self.stop.as_mut().map(StopMatcher::finish).unwrap_or_default();
        let mut passed = self.pay(Event::Content(rest));
        if passed.cut.is_none() && self.pay_rest(&mut passed.deltas).is_err() {
            passed.cut = Some(FinishReason::Length);
        }
        passed
    }

    fn pay(&mut self, delta: Event) -> Passed {
        let mut passed = Passed::default();
        match &mut self.budget {
            // An empty text begins no run of its kind.
            _ if matches!(&delta, Event::Content(text) if text.is_empty()) => {}
            Some(budget) => {
                if budget.push(&delta, &mut passed.deltas) == Err(Spent) {
                    passed.cut = Some(FinishReason::Length);
                }
            }
            None => passed.deltas.push(delta),
        }
        passed
    }

    fn pay_rest(&mut self, deltas: &mut Vec<Event>) -> Result<(), Spent> {
        self.budget
            .as_mut()
            .map_or(Ok(()), |budget| budget.finish(deltas))
    }
}

/// Where the limiter is: at hand, or on a blocking thread with a long text.
#[derive(Debug)]
enum Desk {
    /// Nothing is limited.
    Open,
    Here(Box<Limiter>),
    Away(JoinHandle<(Box<Limiter>, Passed)>),
}

/// Reads an answer within limits.
#[derive(Debug)]
pub(super) struct LimitedReader {
    /// None once a limit ended the answer: the upstream's is closed.
    reader: Option<AnswerReader>,
    desk: Desk,
    ready: VecDeque<Event>,
    /// How the answer ended, to be told when `ready` is empty.
    ending: Option<Ending>,
}

impl LimitedReader {
    /// Reads from `reader`.
    #[must_use]
    pub(super) fn new(reader: AnswerReader, limits: &Limits) -> Self {
        Self {
            reader: Some(reader),
            desk: Limiter::new(limits).map_or(Desk::Open, |limiter| Desk::Here(Box::new(limiter))),
            ready: VecDeque::new(),
            ending: None,
        }
    }

    /// The next piece of text, or the end. Dropping the future loses no event.
    ///
    /// # Errors
    /// As [`AnswerReader::read`].
    pub(super) async fn read(&mut self) -> Result<Read, UpstreamError> {
        loop {
            if let Desk::Away(work) = &mut self.desk {
                let (limiter, passed) = work.await.map_err(|failure| failed(&failure.to_string()))?;
                self.desk = Desk::Here(limiter);
                self.take(passed);
            }
            if let Some(delta) = self.ready.pop_front() {
                return Ok(Read::More(delta));
            }
            if let Some(ending) = self.ending {
                return Ok(Read::End(ending));
            }
            let Some(reader) = &mut self.reader else {
                return Err(failed("the answer is closed"));
            };
            let read = reader.read().await?;
            if matches!(self.desk, Desk::Open) {
                return Ok(read);
            }
            self.limit(read);
        }
    }

    /// The session, for one more turn; `None` when the answer is not whole, or a limit has closed it.
    pub(super) fn into_session(self) -> Option<Session> {
        self.reader?.into_session()
    }

    fn limit(&mut self, read: Read) {
        let Desk::Here(mut limiter) = std::mem::replace(&mut self.desk, Desk::Open) else {
            return;
        };
        let long = limiter.is_long(&read);
        if let Read::End(ending) = &read {
            self.ending = Some(*ending);
        }
        let step = move || {
            let passed = match read {
                Read::More(delta) => limiter.push(delta),
                Read::End(_) => limiter.finish(),
            };
            (limiter, passed)
        };
        if long {
            self.desk = Desk::Away(spawn_blocking(step));
        } else {
            let (limiter, passed) = step();
            self.desk = Desk::Here(limiter);
            self.take(passed);
        }
    }

    fn take(&mut self, passed: Passed) {
        self.ready.extend(passed.deltas);
        if let Some(reason) = passed.cut {
            // Figures of the upstream's, if there are any, are not those of what is left.
            self.ending = Some(Ending { reason, usage: None });
            self.reader = None;
        }
    }
}

fn failed(detail: &str) -> UpstreamError {
    UpstreamError::new(READ_ANSWER, Fault::Malformed, detail)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
