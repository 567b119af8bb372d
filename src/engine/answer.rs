//! Reading one answer: which events count, when it is whole, and when it was cut.

use std::{fmt, time::Duration};

use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::{
    chat::{FinishReason, Usage},
    event::Event,
    provider::{Answer, Fault, Session, UpstreamError},
};

/// The step that reading an answer belongs to, in logs.
pub(super) const READ_ANSWER: &str = "read_answer";

/// After a finish reason, the upstream's figures and end mark are waited for this long.
const AFTER_FINISH: Duration = Duration::from_secs(1);

/// What an answer is that ends politely after content, with neither a finish reason nor an end mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmarkedEnd {
    /// A cut: half an answer looks just like that.
    Error,
    /// A whole answer, for services that never mark an end.
    Stop,
}

/// How a whole answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// Why.
    pub reason: FinishReason,
    /// The upstream's figures, where it sent them.
    pub usage: Option<Usage>,
}

/// Where reading stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More of the answer.
    More(Event),
    /// The answer is whole.
    End(Ending),
}

/// Reads an answer.
pub(super) struct AnswerReader {
    answer: Box<dyn Answer>,
    patience: Duration,
    unmarked_end: UnmarkedEnd,
    /// When the last event came, or the answer was opened.
    last_event: Instant,
    spoken: bool,
    finish: Option<(FinishReason, Instant)>,
    usage: Option<Usage>,
}

impl fmt::Debug for AnswerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnswerReader(spoken: {})", self.spoken)
    }
}

impl AnswerReader {
    /// Reads from `answer`, which has just been opened, waiting at most `patience` for each event.
    #[must_use]
    pub(super) fn new(answer: Box<dyn Answer>, patience: Duration, unmarked_end: UnmarkedEnd) -> Self {
        let last_event = Instant::now();
        Self {
            answer,
            patience,
            unmarked_end,
            last_event,
            spoken: false,
            finish: None,
            usage: None,
        }
    }

    /// The next piece of text, or the end. Dropping the future loses no event.
    ///
    /// # Errors
    /// Once: when the answer failed, stalled or was cut. [`Fault::Truncated`] says that text had come before.
    pub(super) async fn read(&mut self) -> Result<Read, UpstreamError> {
        loop {
            let until = match self.finish {
                Some((_, at)) => at + AFTER_FINISH,
                None => self.last_event + self.patience,
            };
            let event = timeout_at(until, self.answer.next()).await;
            self.last_event = Instant::now();
            let event = match event {
                Ok(Some(Ok(event))) => event,
                // After a finish reason nothing can take the answer's wholeness away.
                Ok(Some(Err(_)) | None) | Err(_) if self.finish.is_some() => return Ok(self.end()),
                Ok(Some(Err(error))) => return Err(self.broken(error.fault, error.detail)),
                Ok(None) => return self.polite_end(),
                Err(_) => return Err(self.broken(Fault::Timeout, "the answer stalled")),
            };
            if let Some(read) = self.take(event)? {
                return Ok(read);
            }
        }
    }

    /// The session, for one more turn; `None` when the answer is not whole.
    pub(super) fn into_session(self) -> Option<Session> {
        self.answer.into_session()
    }

    fn take(&mut self, event: Event) -> Result<Option<Read>, UpstreamError> {
        Ok(match event {
            Event::Content(ref text) | Event::Reasoning(ref text) | Event::Refusal(ref text)
                if text.is_empty() =>
            {
                None
            }
            Event::Content(_)
            | Event::Reasoning(_)
            | Event::Refusal(_)
            | Event::ToolCall(_)
            | Event::Annotation(_) => {
                self.spoken = true;
                Some(Read::More(event))
            }
            Event::Usage(usage) => {
                self.usage = Some(usage);
                None
            }
            Event::Finish(reason) => {
                self.finish.get_or_insert((reason, Instant::now()));
                None
            }
            Event::End if self.finish.is_some() || self.spoken => Some(self.end()),
            Event::End => {
                return Err(self.broken(Fault::Empty, "the end mark came before any text"));
            }
        })
    }

    fn polite_end(&mut self) -> Result<Read, UpstreamError> {
        match (self.spoken, self.unmarked_end) {
            (false, _) => Err(self.broken(Fault::Empty, "the body ended before any text")),
            (true, UnmarkedEnd::Stop) => Ok(self.end()),
            (true, UnmarkedEnd::Error) => Err(UpstreamError::new(
                READ_ANSWER,
                Fault::Unmarked,
                "the body ended with neither a finish reason nor an end mark",
            )),
        }
    }

    fn end(&mut self) -> Read {
        self.answer.complete();
        let reason = self.finish.map_or(FinishReason::Stop, |(reason, _)| reason);
        Read::End(Ending {
            reason,
            usage: self.usage,
        })
    }

    /// Once text has come, every failure of the service is a cut; before that, a body that breaks is no more than a
    /// lost connection. A bad token or a wrong request is told as such at any time, since the pool must learn of it.
    fn broken(&self, fault: Fault, detail: impl Into<String>) -> UpstreamError {
        let fault = if self.spoken && fault.is_services() {
            Fault::Truncated
        } else if fault == Fault::Truncated {
            Fault::Connection
        } else {
            fault
        };
        UpstreamError::new(READ_ANSWER, fault, detail)
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
