//! The record of one request: filled on its way through the house, told once at its end.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::client::CutOff;

/// The door that a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Door {
    /// The OpenAI-compatible HTTP facade, and everything else on its port.
    Http,
    /// The protobuf services.
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

/// How a request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    /// It got what it asked for.
    Success,
    /// It was the caller's mistake.
    CallersFault,
    /// The gateway or its upstream failed it.
    Failure,
    /// The client left.
    Cancelled,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `ok`, or the error's snake-case name.
    pub name: &'static str,
    /// How it counts.
    pub class: OutcomeClass,
}

impl Outcome {
    /// The request got what it asked for.
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

/// What is known of one request. Cheap to clone; all clones are one record.
#[derive(Debug, Clone)]
pub struct CallRecord {
    inner: Arc<Inner>,
    own: Arc<Own>,
}

/// What each part of a request has for itself.
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
    /// A record that begins now.
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

    /// The record of a part of this request: the same in everything but its token and how it ended.
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            own: Arc::default(),
        }
    }

    /// The record of one turn of a conversation that this request holds open: of the same request, caller and model, and
    /// for the rest its own, from now on.
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

    /// The door.
    #[must_use]
    pub fn door(&self) -> Door {
        self.inner.door
    }

    /// Since when it has been under way.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.inner.began
    }

    /// Notes the hash of the caller's key.
    pub fn set_caller(&self, caller: &str) {
        self.inner.caller.get_or_init(|| caller.to_owned());
    }

    /// Notes the model, as the client named it.
    pub fn set_model(&self, model: &str) {
        /// Names come from clients; no model's is longer.
        const LONGEST: usize = 256;
        self.inner
            .model
            .get_or_init(|| model.chars().take(LONGEST).collect());
    }

    /// Notes the token that serves it now; the last one is told.
    pub fn set_token(&self, label: &Arc<str>) {
        for token in [&self.own.token, &self.inner.token] {
            *token.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(label));
        }
    }

    /// Notes that the first piece of the answer is here; of several attempts the last one counts.
    pub fn note_first_token(&self) {
        let elapsed = self.inner.began.elapsed();
        *self
            .inner
            .first_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(elapsed);
    }

    /// Notes how long the upstream was waited for until there was something to send; of several answers at once the
    /// one that took longest counts.
    pub fn note_upstream(&self, waited: Duration) {
        let mut known = self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(waited));
    }

    /// How long the upstream was waited for, once that is known.
    #[must_use]
    pub fn upstream(&self) -> Option<Duration> {
        *self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The model, once it is known.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.inner.model.get().map(String::as_str)
    }

    /// The token that serves it now, by its short hash; of several parts the last that was given one.
    #[must_use]
    pub fn token(&self) -> Option<Arc<str>> {
        let known = |token: &Mutex<Option<Arc<str>>>| {
            let token = token.lock().unwrap_or_else(PoisonError::into_inner);
            token.clone()
        };
        known(&self.own.token).or_else(|| known(&self.inner.token))
    }

    pub(super) fn first_token(&self) -> Option<Duration> {
        *self
            .inner
            .first_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
