//! Response bodies sent piece by piece, and detection of clients that disconnect.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;

use super::events::{Piece, Sign};
use super::shared::{Progress, Shared};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Finished,
    Failed,
    /// The client disconnected early.
    Left,
}

/// One answer from call 7 to its end. Dropping it before its end means that the client has disconnected.
pub(super) struct OpenAnswer {
    shared: Arc<Shared>,
    token: String,
    conversation: String,
    sign: Sign,
    started: bool,
    ended: bool,
}

impl OpenAnswer {
    /// An answer that the state already counts as open.
    pub(super) fn new(shared: Arc<Shared>, token: &str, conversation: &str) -> Self {
        let (token, conversation) = (token.to_owned(), conversation.to_owned());
        Self {
            shared,
            token,
            conversation,
            sign: Sign::More,
            started: false,
            ended: false,
        }
    }

    /// Ends the answer; only the first call has an effect.
    pub(super) fn end(&mut self, ending: Ending) {
        if !std::mem::replace(&mut self.ended, true) {
            let stopping = self.shared.is_stopping();
            let ending = if ending == Ending::Left && stopping {
                Ending::Failed
            } else {
                ending
            };
            self.shared
                .change(|state| state.answer_ended(&self.token, &self.conversation, ending));
        }
    }

    /// How the answer ended by what was sent; `otherwise` if that does not tell.
    fn ending(&self, otherwise: Ending) -> Ending {
        match self.sign {
            Sign::More => otherwise,
            Sign::Finished => Ending::Finished,
            Sign::Failed => Ending::Failed,
        }
    }

    /// Records what is about to be sent. After a sign of the end the client may reuse the conversation before its
    /// disconnection is noticed here.
    fn sends(&mut self, content: bool, sign: Sign) {
        if content && !self.started {
            self.started = true;
            self.shared.change(|state| state.counts.answers_started += 1);
        }
        if sign != Sign::More && sign != self.sign {
            self.sign = sign;
            let ending = self.ending(Ending::Failed);
            self.shared
                .change(|state| state.turn_ended(&self.conversation, ending));
        }
    }
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        self.end(self.ending(Ending::Left));
    }
}

/// How a body is paced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) chunk_delay: Duration,
    pub(super) split: Option<usize>,
}

/// A body that is being sent.
struct Run {
    shared: Arc<Shared>,
    pieces: VecDeque<Piece>,
    pace: Pace,
    answer: Option<OpenAnswer>,
    /// The rest of a piece that is being split.
    rest: Bytes,
    sent_content: bool,
}

/// A body that sends the pieces in order, each in its own write.
pub(super) fn paced(shared: Arc<Shared>, pieces: Vec<Piece>, pace: Pace, answer: Option<OpenAnswer>) -> Body {
    let run = Run {
        shared,
        pieces: pieces.into(),
        pace,
        answer,
        rest: Bytes::new(),
        sent_content: false,
    };
    Body::from_stream(futures::stream::unfold(run, |mut run| async move {
        let item = run.next().await?;
        Some((item, run))
    }))
}

impl Run {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        // The server flushes when the body is not ready, so each piece is written on its own, and a cut loses none of
        // the pieces before it.
        tokio::task::yield_now().await;
        if !self.rest.is_empty() {
            return Some(Ok(self.slice()));
        }
        self.hold().await;
        match self.pieces.pop_front() {
            None => {
                self.end(Ending::Failed);
                None
            }
            Some(Piece::Send { bytes, content, sign }) => {
                if content && self.sent_content && !self.pace.chunk_delay.is_zero() {
                    tokio::time::sleep(self.pace.chunk_delay).await;
                    self.hold().await;
                }
                self.sent_content |= content;
                if let Some(answer) = &mut self.answer {
                    answer.sends(content, sign);
                }
                self.rest = bytes;
                Some(Ok(self.slice()))
            }
            Some(Piece::Stall) => std::future::pending().await,
            Some(Piece::Cut) => {
                self.end(Ending::Failed);
                Some(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "cut by a rule",
                )))
            }
            Some(Piece::Beat { distance, comment }) => {
                tokio::time::sleep(distance).await;
                self.pieces.push_front(Piece::Beat {
                    distance,
                    comment: comment.clone(),
                });
                Some(Ok(comment))
            }
        }
    }

    /// Waits while answers are held at this point; other bodies are never held.
    async fn hold(&self) {
        if self.answer.is_some() {
            let progress = if self.sent_content {
                Progress::Content
            } else {
                Progress::Head
            };
            self.shared.pass(progress).await;
        }
    }

    fn slice(&mut self) -> Bytes {
        let most = self.pace.split.unwrap_or(usize::MAX).min(self.rest.len());
        self.rest.split_to(most)
    }

    fn end(&mut self, otherwise: Ending) {
        if let Some(answer) = &mut self.answer {
            answer.end(answer.ending(otherwise));
        }
    }
}
