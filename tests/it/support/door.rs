//! The two doors behind one face: a question in, an outcome out.

use std::time::Duration;

use super::{Ask, Gateway, grpc, http};

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

const fn way(door: Door, streamed: bool) -> Way {
    Way { door, streamed }
}

/// Every way to chat.
pub(crate) const WAYS: [Way; 4] = [
    way(Door::Http, false),
    way(Door::Http, true),
    way(Door::Grpc, false),
    way(Door::Grpc, true),
];

/// What a chat came to, as its client sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) text: String,
    pub(crate) reasoning: String,
    /// OpenAI's word for why the answer ended; none where it did not.
    pub(crate) finish: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) failure: Option<Failure>,
}

/// What a chat cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) total: u64,
}

/// A failure of the catalogue; that its rendering is the catalogue's has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The kind's name, the same on both wires.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// What clients are told about sending the request again; in band there is no room for it.
    pub(crate) should_retry: Option<bool>,
    /// It came after the head of a good answer.
    pub(crate) in_band: bool,
}

impl Outcome {
    pub(crate) fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// The answer is whole and says `text`.
    #[track_caller]
    pub(crate) fn assert_whole(&self, text: &str) {
        assert_eq!(self.failure, None, "the chat failed");
        assert_eq!(self.text, text);
        assert_eq!(self.finish.as_deref(), Some("stop"));
        let usage = self.usage.expect("a whole answer tells its usage");
        assert!(usage.prompt > 0 && usage.completion > 0, "{usage:?}");
        assert!(usage.total >= usage.prompt + usage.completion, "{usage:?}");
    }

    /// The chat failed with this kind, and pretends nothing else.
    #[track_caller]
    pub(crate) fn assert_failed(&self, kind: &str) -> &Failure {
        let Some(failure) = &self.failure else {
            panic!("expected {kind}, but the chat came to {self:?}");
        };
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert_eq!(self.finish, None, "a failed chat must not look finished");
        failure
    }
}

impl Door {
    pub(crate) const BOTH: [Door; 2] = [Door::Http, Door::Grpc];

    /// Asks for the whole answer.
    pub(crate) async fn chat(self, gateway: &Gateway, ask: &Ask) -> Outcome {
        match self {
            Door::Http => http::chat(gateway, ask).await,
            Door::Grpc => grpc::chat(gateway, ask).await,
        }
    }

    /// Asks for a stream, and comes back when the door says that it has begun.
    pub(crate) async fn open(self, gateway: &Gateway, ask: &Ask) -> Result<Opened, Failure> {
        Ok(match self {
            Door::Http => Opened::Http(Box::new(http::open(gateway, ask).await?)),
            Door::Grpc => Opened::Grpc(Box::new(grpc::open(gateway, ask).await?)),
        })
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

/// A stream that has begun. Dropping it leaves it.
#[derive(Debug)]
pub(crate) enum Opened {
    Http(Box<http::HttpOpened>),
    Grpc(Box<grpc::GrpcOpened>),
}

impl Opened {
    /// Takes one more event in; false at the end.
    pub(crate) async fn advance(&mut self) -> bool {
        match self {
            Opened::Http(opened) => opened.advance().await,
            Opened::Grpc(opened) => opened.advance().await,
        }
    }

    /// What has come so far.
    pub(crate) fn so_far(&self) -> &Outcome {
        match self {
            Opened::Http(opened) => &opened.outcome,
            Opened::Grpc(opened) => &opened.outcome,
        }
    }

    /// Reads until there is some text.
    pub(crate) async fn first_text(&mut self) {
        while self.so_far().text.is_empty() {
            assert!(self.advance().await, "the stream ended before any text");
        }
    }

    /// Reads to the end.
    pub(crate) async fn finish(mut self) -> Outcome {
        while self.advance().await {}
        self.so_far().clone()
    }
}
