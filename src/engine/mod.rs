//! The core: turns a chat request into an answer, with whatever upstream, token and number of attempts that takes. It
//! knows no wire format and no kind of upstream, and does no I/O of its own; a [`provider::Provider`] does that for it.

mod admin;
mod admission;
mod answer;
mod attempts;
mod bench;
mod breaker;
pub mod caller;
pub mod calls;
pub mod chat;
mod chats;
mod choices;
mod dialogue;
pub mod error;
pub mod event;
mod failure;
mod inflight;
mod jwt;
mod limits;
mod maintenance;
mod models;
mod pool;
pub mod prompt;
pub mod provider;
pub mod request;
mod route;
mod slot;
pub mod store;
mod stream;
mod upstream;
pub mod verdict;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use parking_lot::RwLock;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use admin::Explanation;
pub use admission::Permit;
pub use answer::UnmarkedEnd;
pub use bench::{BenchPolicy, BenchReason};
pub use choices::{ChoiceStream, Completions};
pub use dialogue::{Dialogue, ReplayReason, Turn, TurnEvent};
pub use failure::{deadline_exceeded, shutting_down};
pub use inflight::ChatSnapshot;
pub use models::{MAX_MODEL_NAME, MODEL_CREATED, MODEL_OWNER, Models, not_found};
pub use slot::{Obstacle, TokenSnapshot, TokenState};
pub use stream::ChatStream;
pub use upstream::UpstreamParts;

use self::{
    admission::Admission,
    caller::Caller,
    error::{ChatError, ErrorKind},
    inflight::InFlight,
    store::{SavedToken, TokenStore},
    upstream::Upstream,
};
use crate::telemetry::{CallRecord, Metrics, Outcome, OutcomeClass, Outcomes, seldom};

/// How long the last write of the state may take.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// What the engine works by.
#[derive(Debug, Clone)]
pub struct EnginePolicy {
    /// How often a chat is tried again after a fault of the service.
    pub max_retries: u32,
    /// The wait before the first such try; doubles with each.
    pub retry_delay: Duration,
    /// The longest silence in an answer.
    pub patience: Duration,
    /// How an answer counts that ends without any mark of its end.
    pub unmarked_end: UnmarkedEnd,
    /// Chats under way at once.
    pub max_concurrent: usize,
    /// How long failures keep a token out of use.
    pub bench: BenchPolicy,
    /// How often an upstream that keeps failing is asked whether it is there again.
    pub probe_interval: Duration,
}

/// The parts of an engine.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The upstreams. A model that several offer is the first one's.
    pub upstreams: Vec<UpstreamParts>,
    /// The engine's policy.
    pub policy: EnginePolicy,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Where it saves the state of tokens.
    pub store: Arc<dyn TokenStore>,
    /// The state that an earlier run saved there.
    pub saved: Vec<SavedToken>,
}

/// The engine. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    upstreams: Vec<Arc<Upstream>>,
    policy: RwLock<Arc<EnginePolicy>>,
    store: Arc<dyn TokenStore>,
    admission: Admission,
    /// Room for dialogues.
    dialogues: Admission,
    metrics: Arc<Metrics>,
    in_flight: InFlight,
    draining: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({} in flight)", self.in_flight())
    }
}

impl Engine {
    /// An engine of these parts. It makes no call before the first chat, but for those of [`Engine::maintain`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            upstreams,
            policy,
            metrics,
            store,
            saved,
        } = parts;
        begin_series(&metrics, &upstreams);
        let stop = CancellationToken::new();
        let upstreams = upstreams.into_iter();
        let upstreams = upstreams.map(|parts| Arc::new(Upstream::new(parts, &policy, &saved)));
        Self {
            shared: Arc::new(Shared {
                upstreams: upstreams.collect(),
                store,
                admission: Admission::new(policy.max_concurrent),
                dialogues: Admission::new(policy.max_concurrent),
                metrics,
                policy: RwLock::new(Arc::new(policy)),
                in_flight: InFlight::new(stop.clone()),
                draining: AtomicBool::new(false),
                stop,
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Admits one chat of a caller, `None` where no key is required, or says at once that there is no room for it.
    ///
    /// # Errors
    /// `overloaded`, or `shutting_down` once [`Engine::drain`] was called.
    pub fn admit(&self, caller: Option<&Caller>) -> Result<Permit, ChatError> {
        self.room_in(&self.shared.admission, caller)
    }

    fn room_in(&self, admission: &Admission, caller: Option<&Caller>) -> Result<Permit, ChatError> {
        if self.shared.draining.load(Ordering::SeqCst) {
            return Err(shutting_down());
        }
        let only = admission.take(1, caller)?.into_iter().next();
        only.ok_or_else(|| ChatError::new(ErrorKind::Internal, "An admission without a permit."))
    }

    /// Does in the background what the first chat would otherwise wait for. Makes no call.
    pub fn warm_up(&self) {
        self.shared.tasks.spawn_blocking(prompt::unfold_vocabulary);
    }

    /// Refuses new chats from now on; those under way go on.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
    }

    /// Ends every chat under way with `shutting_down`.
    pub fn stop(&self) {
        self.drain();
        self.shared.stop.cancel();
    }

    /// Closes the upstreams, waits for the background work, and saves the state of tokens. Call it when no chat is left.
    pub async fn finish_background_work(&self) {
        let shared = &self.shared;
        shared.save_tokens();
        shared.tasks.close();
        join_all(shared.upstreams.iter().map(|upstream| upstream.provider.close())).await;
        shared.tasks.wait().await;
        shared.store.written(LAST_WRITES).await;
    }

    /// How many pieces of background work are under way.
    #[must_use]
    pub fn background_work(&self) -> usize {
        let upstreams = self.shared.upstreams.iter();
        let of_providers: usize = upstreams
            .map(|upstream| upstream.provider.background_work())
            .sum();
        self.shared.tasks.len() + of_providers
    }

    /// Chats under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.admission.held()
    }

    /// Whether a chat is worth sending: some token can be used now, or is merely rate limited and comes back by a
    /// chat, so somebody must send one.
    #[must_use]
    pub fn has_hope(&self) -> bool {
        let mut upstreams = self.shared.upstreams.iter();
        upstreams.any(|upstream| upstream.has_hope())
    }

    /// Whether every upstream can be reached: by recent calls, else by a bare connection that sends nothing, made at
    /// most every ten seconds. Where that cannot be tried, the last result holds, and without one nothing speaks against
    /// it.
    pub async fn is_upstream_reachable(&self) -> bool {
        let upstreams = self.shared.upstreams.iter();
        let reachable = join_all(upstreams.map(|upstream| upstream.is_reachable())).await;
        !reachable.contains(&false)
    }
}

impl Shared {
    fn policy(&self) -> Arc<EnginePolicy> {
        Arc::clone(&self.policy.read())
    }

    fn set_policy(&self, policy: EnginePolicy) {
        *self.policy.write() = Arc::new(policy);
    }
}

/// Begins at zero every series that the engine counts in.
fn begin_series(metrics: &Metrics, upstreams: &[UpstreamParts]) {
    let named = |kinds: &mut dyn Iterator<Item = &ErrorKind>| {
        let names = kinds.map(|kind| kind.name());
        [Outcome::OK.name].into_iter().chain(names).collect()
    };
    metrics.begin_chats(Outcomes {
        all: named(&mut ErrorKind::ALL.iter()),
        with_model: named(&mut ErrorKind::ALL.iter().filter(|kind| kind.follows_model())),
    });
    for upstream in upstreams {
        metrics.begin_models(upstream.models.names());
    }
}

/// Tells a failure to the log, once, and to the record of its request. For the edge that answers it.
pub fn conclude(error: &ChatError, record: Option<&CallRecord>) {
    let kind = error.kind();
    if let Some(record) = record {
        record.conclude(outcome(kind));
    }
    // A flood that is refused must not become a flood of warnings: each one's access line says as much.
    let untried = [
        ErrorKind::PoolExhausted,
        ErrorKind::CredentialsRejected,
        ErrorKind::ShuttingDown,
    ];
    let left_out = if kind.is_callers() || kind == ErrorKind::Overloaded {
        None
    } else if error.is_circuit_open() {
        seldom("circuit_open")
    } else if untried.contains(&kind) {
        seldom(kind.name())
    } else {
        Some(0)
    };
    let Some(left_out) = left_out else {
        tracing::debug!(
            error.kind = kind.name(),
            error.detail = error.detail(),
            "{}",
            error.message()
        );
        return;
    };
    tracing::warn!(
        error.kind = kind.name(),
        error.detail = error.detail(),
        left_out = (left_out > 0).then_some(left_out),
        "{}",
        error.message()
    );
}

/// How a failure of this kind counts.
fn outcome(kind: ErrorKind) -> Outcome {
    let class = if kind == ErrorKind::Cancelled {
        OutcomeClass::Cancelled
    } else if kind.is_callers() {
        OutcomeClass::CallersFault
    } else {
        OutcomeClass::Failure
    };
    Outcome {
        name: kind.name(),
        class,
    }
}
