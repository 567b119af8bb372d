//! The two doors behind one interface: a question in, an outcome out.

use std::time::Duration;

use super::{Ask, Gateway, grpc, http, parity::Noted};

/// One of the two doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Http,
    Grpc,
}

/// A door, and whether the answer streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) door: Door,
    pub(crate) streamed: bool,
}

/// The outcome of a chat, as its client sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) model: String,
    /// Names of the fields that had no effect.
    pub(crate) ignored: Vec<String>,
    /// The answers, or what has arrived of them; one unless more were asked for.
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: Option<Usage>,
    pub(crate) failure: Option<Failure>,
}

/// One answer to a question.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Choice {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    /// OpenAI's finish reason, if there was one.
    pub(crate) finish: Option<String>,
}

/// The usage of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) total: u64,
    pub(crate) reasoning: u64,
}

/// A failure, checked to be rendered as in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The kind's name, the same on both wires.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// Whether clients should retry. In-band errors have no room for it.
    pub(crate) should_retry: Option<bool>,
    /// Whether it came after a successful head.
    pub(crate) in_band: bool,
}

impl Outcome {
    pub(crate) fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// The text of the first answer, as far as it has arrived.
    pub(crate) fn text(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.text)
    }

    pub(crate) fn reasoning(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.reasoning)
    }

    /// OpenAI's finish reason of the first answer, if there was one.
    pub(crate) fn finish(&self) -> Option<&str> {
        self.choices.first()?.finish.as_deref()
    }

    /// Whether every answer is complete.
    pub(crate) fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some())
    }

    /// Checks that the answer is complete and has this text.
    #[track_caller]
    pub(crate) fn assert_whole(&self, text: &str) {
        assert_eq!(self.failure, None, "the chat failed");
        assert_eq!(self.text(), text);
        assert_eq!(self.finish(), Some("stop"));
        let usage = self.usage.expect("a whole answer tells its usage");
        assert!(usage.prompt > 0 && usage.completion > 0, "{usage:?}");
        assert!(usage.total >= usage.prompt + usage.completion, "{usage:?}");
    }

    /// Checks that the chat failed with this kind, and does not look complete.
    #[track_caller]
    pub(crate) fn assert_failed(&self, kind: &str) -> &Failure {
        let Some(failure) = &self.failure else {
            panic!("expected {kind}, but the chat came to {self:?}");
        };
        assert_eq!(failure.kind, kind, "{failure:?}");
        let unfinished = self.choices.iter().all(|choice| choice.finish.is_none());
        assert!(unfinished, "a failed chat must not look finished: {self:?}");
        failure
    }
}

impl Door {
    /// For tests without chats: those use [`super::each_door`] and the like.
    pub(crate) const BOTH: [Door; 2] = [Door::Http, Door::Grpc];

    /// The ways to chat through this door.
    pub(crate) const fn ways(self) -> [Way; 2] {
        let (door, whole) = (self, false);
        [
            Way {
                door,
                streamed: whole,
            },
            Way {
                door,
                streamed: !whole,
            },
        ]
    }

    /// Asks for the whole answer.
    pub(crate) async fn chat(self, gateway: &Gateway, ask: &Ask) -> Outcome {
        let noted = gateway.chats_seen.begin(ask, false);
        // Boxed: scenarios hold many of these, and tests have small stacks.
        let outcome = match self {
            Door::Http => Box::pin(http::chat(gateway, ask)).await,
            Door::Grpc => Box::pin(grpc::chat(gateway, ask)).await,
        };
        noted.end(&outcome);
        outcome
    }

    /// Asks for a stream, and returns once it has begun.
    pub(crate) async fn open(self, gateway: &Gateway, ask: &Ask) -> Result<Opened, Failure> {
        let noted = gateway.chats_seen.begin(ask, true);
        let opened = match self {
            Door::Http => Box::pin(http::open(gateway, ask))
                .await
                .map(|stream| Stream::Http(Box::new(stream))),
            Door::Grpc => Box::pin(grpc::open(gateway, ask))
                .await
                .map(|stream| Stream::Grpc(Box::new(stream))),
        };
        match opened {
            Ok(stream) => Ok(Opened {
                stream,
                noted,
                ended: false,
            }),
            Err(failure) => {
                noted.end(&Outcome::failed(failure.clone()));
                Err(failure)
            }
        }
    }

    /// Asks for a stream and reads it to its end.
    pub(crate) async fn stream(self, gateway: &Gateway, ask: &Ask) -> Outcome {
        match self.open(gateway, ask).await {
            Ok(opened) => opened.finish().await,
            Err(failure) => Outcome::failed(failure),
        }
    }
}

impl Way {
    pub(crate) async fn ask(self, gateway: &Gateway, ask: &Ask) -> Outcome {
        if self.streamed {
            self.door.stream(gateway, ask).await
        } else {
            self.door.chat(gateway, ask).await
        }
    }
}

/// A stream that has begun. Dropping it disconnects.
#[derive(Debug)]
pub(crate) struct Opened {
    stream: Stream,
    noted: Noted,
    ended: bool,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.ended {
            self.noted.leave(self.so_far());
        }
    }
}

#[derive(Debug)]
enum Stream {
    Http(Box<http::HttpOpened>),
    Grpc(Box<grpc::GrpcOpened>),
}

impl Opened {
    /// Reads one more event; false at the end.
    pub(crate) async fn advance(&mut self) -> bool {
        let more = match &mut self.stream {
            Stream::Http(opened) => opened.advance().await,
            Stream::Grpc(opened) => opened.advance().await,
        };
        if !more {
            self.ended = true;
            self.noted.end(self.so_far());
        }
        more
    }

    /// Number of keep-alives: comments, or events without a number.
    pub(crate) fn signs(&self) -> usize {
        match &self.stream {
            Stream::Http(opened) => opened.comments,
            Stream::Grpc(opened) => opened.signs,
        }
    }

    /// The part received so far.
    pub(crate) fn so_far(&self) -> &Outcome {
        match &self.stream {
            Stream::Http(opened) => &opened.outcome,
            Stream::Grpc(opened) => &opened.outcome,
        }
    }

    /// Reads until there is text.
    pub(crate) async fn first_text(&mut self) {
        while self.so_far().text().is_empty() {
            assert!(self.advance().await, "the stream ended before any text");
        }
    }

    /// Reads to the end.
    pub(crate) async fn finish(mut self) -> Outcome {
        while self.advance().await {}
        self.so_far().clone()
    }
}
