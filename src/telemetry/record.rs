//! The record of one request: filled in while it is handled, logged and counted once when it ends.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::client::CutOff;

/// The door that a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Door {
    /// The HTTP port: the OpenAI-compatible API and everything else served there.
    Http,
    /// The gRPC services.
    Grpc,
}

impl Door {
    /// The door's name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Door::Http => "http",
            Door::Grpc => "grpc",
        }
    }
}

/// How an outcome is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    /// The request was answered.
    Success,
    /// The caller made a mistake.
    CallersFault,
    /// The gateway or its upstream failed.
    Failure,
    /// The client left.
    Cancelled,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `ok`, or the error's name in snake case.
    pub name: &'static str,
    /// How it is counted.
    pub class: OutcomeClass,
}

impl Outcome {
    /// The request was answered.
    pub const OK: Outcome = Outcome {
        name: "ok",
        class: OutcomeClass::Success,
    };
    /// The client left before the end.
    pub const CANCELLED: Outcome = Outcome {
        name: "cancelled",
        class: OutcomeClass::Cancelled,
    };
    /// The gateway ended it.
    const SHUTTING_DOWN: Outcome = Outcome {
        name: "shutting_down",
        class: OutcomeClass::Failure,
    };
}

/// The facts known about one request. Cheap to clone; clones share the record.
#[derive(Debug, Clone)]
pub struct CallRecord {
    inner: Arc<Inner>,
    own: Arc<Own>,
}

/// The facts that each part of a request has separately.
#[derive(Debug, Default)]
struct Own {
    outcome: OnceLock<Outcome>,
    token: Mutex<Option<Arc<str>>>,
}

#[derive(Debug)]
struct Inner {
    request_id: String,
    door: Door,
    began: Instant,
    caller: OnceLock<String>,
    model: OnceLock<String>,
    token: Mutex<Option<Arc<str>>>,
    first_token: Mutex<Option<Duration>>,
    upstream: Mutex<Option<Duration>>,
    cut_off: CutOff,
}

impl CallRecord {
    /// A record whose time starts now.
    #[must_use]
    pub fn new(door: Door, request_id: String) -> Self {
        Self::on(CutOff::default(), door, request_id)
    }

    /// A record that begins now, of a request on such a connection.
    pub(super) fn on(cut_off: CutOff, door: Door, request_id: String) -> Self {
        let inner = Inner {
            request_id,
            door,
            began: Instant::now(),
            caller: OnceLock::new(),
            model: OnceLock::new(),
            token: Mutex::default(),
            first_token: Mutex::default(),
            upstream: Mutex::default(),
            cut_off,
        };
        Self {
            inner: Arc::new(inner),
            own: Arc::default(),
        }
    }

    /// The record of a part of this request: shared, except for its credential and outcome.
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            own: Arc::default(),
        }
    }

    /// The record of one turn of a conversation that this request carries. It starts now and copies the request's id,
    /// caller and model; everything else is its own.
    #[must_use]
    pub fn turn(&self) -> Self {
        let cut_off = self.inner.cut_off.clone();
        let turn = Self::on(cut_off, self.inner.door, self.inner.request_id.clone());
        if let Some(caller) = self.caller() {
            turn.set_caller(caller);
        }
        if let Some(model) = self.model() {
            turn.set_model(model);
        }
        turn
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.inner.request_id
    }

    /// The door that the request came through.
    #[must_use]
    pub fn door(&self) -> Door {
        self.inner.door
    }

    /// When the request arrived.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.inner.began
    }

    /// Records the hash of the caller's key.
    pub fn set_caller(&self, caller: &str) {
        self.inner.caller.get_or_init(|| caller.to_owned());
    }

    /// Records the model, as the client named it.
    pub fn set_model(&self, model: &str) {
        /// In characters. Names come from clients; no real one is longer.
        const LONGEST: usize = 256;
        self.inner
            .model
            .get_or_init(|| model.chars().take(LONGEST).collect());
    }

    /// Records the credential that serves the request now; the last one is logged.
    pub fn set_token(&self, label: &Arc<str>) {
        for token in [&self.own.token, &self.inner.token] {
            *token.lock() = Some(Arc::clone(label));
        }
    }

    /// Records the arrival of the first piece of the answer; with several attempts the last one counts.
    pub fn note_first_token(&self) {
        let elapsed = self.inner.began.elapsed();
        *self.inner.first_token.lock() = Some(elapsed);
    }

    /// Records how long the request waited for the upstream's first output; of several parallel answers the slowest
    /// counts.
    pub fn note_upstream(&self, waited: Duration) {
        let mut known = self.inner.upstream.lock();
        *known = (*known).max(Some(waited));
    }

    /// How long the request waited for the upstream, once known.
    #[must_use]
    pub fn upstream(&self) -> Option<Duration> {
        *self.inner.upstream.lock()
    }

    /// Says how the request ended. The first to say so is right. Where its connection was cut off, who seems to have left
    /// was sent away.
    pub fn conclude(&self, outcome: Outcome) {
        let was_sent_away = outcome == Outcome::CANCELLED && self.cut_off().is_cancelled();
        let outcome = if was_sent_away {
            Outcome::SHUTTING_DOWN
        } else {
            outcome
        };
        self.own.outcome.get_or_init(|| outcome);
    }

    /// Says that it ended without anybody's word; what it came to then.
    pub(super) fn conclude_unsaid(&self) -> Outcome {
        self.conclude(Outcome::CANCELLED);
        self.outcome().unwrap_or(Outcome::CANCELLED)
    }

    /// Fires when the request's connection is about to be cut off.
    #[must_use]
    pub fn cut_off(&self) -> &CancellationToken {
        &self.inner.cut_off.0
    }

    /// How it ended, if that was said.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.own.outcome.get().copied()
    }

    pub(super) fn caller(&self) -> Option<&str> {
        self.inner.caller.get().map(String::as_str)
    }

    /// The model, once known.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.inner.model.get().map(String::as_str)
    }

    /// The credential that serves the request, as its short hash; of several parts the last one assigned.
    #[must_use]
    pub fn token(&self) -> Option<Arc<str>> {
        let known = |token: &Mutex<Option<Arc<str>>>| {
            let token = token.lock();
            token.clone()
        };
        known(&self.own.token).or_else(|| known(&self.inner.token))
    }

    pub(super) fn first_token(&self) -> Option<Duration> {
        *self.inner.first_token.lock()
    }
}
