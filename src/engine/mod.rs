//! The core: turns a chat request into an answer, with whatever token, conversation and number of tries that takes.
//! It knows no wire format and does no I/O of its own; an [`upstream::Upstream`] does that for it.

mod account;
mod admission;
mod answer;
mod attempts;
mod bench;
mod breaker;
pub mod chat;
mod chats;
mod choices;
mod cleanup;
mod conversation;
mod counted;
mod dialogue;
pub mod error;
mod failure;
mod inflight;
mod jwt;
mod ledger;
mod limits;
mod models;
mod observed;
mod operate;
mod pool;
mod slot;
mod stock;
pub mod store;
mod stream;
mod tending;
mod text;
pub mod upstream;
pub mod verdict;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use admission::Permit;
pub use answer::UnmarkedEnd;
pub use bench::{BenchPolicy, BenchReason};
pub use choices::{ChoiceEvent, ChoiceStream, Completions};
pub use conversation::ConversationPolicy;
pub use dialogue::{Dialogue, ReplayReason, Turn, TurnEvent};
pub use failure::{deadline_exceeded, shutting_down};
pub use inflight::ChatSnapshot;
pub use ledger::ConversationCounts;
pub use models::{MAX_MODEL_NAME, MODEL_CREATED, MODEL_OWNER, Models, not_found};
pub use operate::{Cleared, Explanation, Scope};
pub use slot::{Obstacle, TokenSnapshot};
pub use stock::StockPolicy;
pub use stream::ChatStream;

use self::{
    admission::Admission,
    attempts::Pace,
    breaker::Breakers,
    conversation::{Conversations, Upstreams},
    error::{ChatError, ErrorKind},
    inflight::InFlight,
    observed::Observed,
    pool::TokenPool,
    store::{Saved, Store},
    upstream::{Capabilities, Step, Token, Upstream},
};
use crate::telemetry::{CallRecord, Metrics, Outcome, OutcomeClass, seldom};

/// What the engine works by.
#[derive(Debug, Clone)]
pub struct EnginePolicy {
    /// How often a chat is tried again after a fault of the service.
    pub max_retries: u32,
    /// The wait before the first such try; doubles with each.
    pub retry_delay: Duration,
    /// The longest silence in an answer.
    pub patience: Duration,
    /// What an answer is that ends without any mark of its end.
    pub unmarked_end: UnmarkedEnd,
    /// Chats under way at once.
    pub max_concurrent: usize,
    /// The longest text for the upstream, in bytes.
    pub max_prompt_bytes: usize,
    /// How long failures keep a token out of use.
    pub bench: BenchPolicy,
    /// What is done with conversations.
    pub conversations: ConversationPolicy,
    /// How often an upstream that keeps failing is asked whether it is there again.
    pub probe_interval: Duration,
}

/// What an engine is made of.
#[derive(Clone)]
pub struct Parts {
    /// The conversation service.
    pub upstream: Arc<dyn Upstream>,
    /// The tokens of its accounts.
    pub tokens: Vec<Token>,
    /// The models on offer.
    pub models: Models,
    /// What the engine works by.
    pub policy: EnginePolicy,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Where it keeps what a restart must know.
    pub store: Arc<dyn Store>,
    /// What an earlier run kept there.
    pub saved: Saved,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({} tokens)", self.tokens.len())
    }
}

/// The engine. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    foreground: Arc<Observed>,
    background: Arc<Observed>,
    breakers: Arc<Breakers>,
    pool: TokenPool,
    conversations: Conversations,
    models: RwLock<Arc<Models>>,
    policy: RwLock<Arc<EnginePolicy>>,
    /// The tokens that the configuration names, by digest.
    configured: Mutex<HashSet<[u8; 32]>>,
    store: Arc<dyn Store>,
    admission: Admission,
    /// Room for conversations of many turns.
    dialogues: Admission,
    metrics: Arc<Metrics>,
    in_flight: InFlight,
    pace: Pace,
    draining: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
    reachable: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({} in flight)", self.in_flight())
    }
}

impl Engine {
    /// An engine of these parts. It makes no call before the first chat, but for what [`Engine::tend`] does.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            upstream,
            tokens,
            models,
            policy,
            metrics,
            store,
            saved,
        } = parts;
        counted::begin(&metrics, &models);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let breakers = Breakers::new(upstream.origin(Step::ListProjects), policy.probe_interval);
        let breakers = Arc::new(breakers);
        let background = Observed::background(upstream, Arc::clone(&metrics));
        let foreground = Arc::new(background.foreground(Arc::clone(&breakers)));
        let background = Arc::new(background);
        let upstreams = Upstreams {
            foreground: Arc::<Observed>::clone(&foreground),
            background: Arc::<Observed>::clone(&background),
        };
        let conversations = Conversations::new(
            upstreams,
            policy.conversations,
            Arc::clone(&store),
            tasks.clone(),
            Arc::clone(&metrics),
        );
        conversations.ledger().restore(saved.conversations);
        let configured = tokens.iter().map(Token::digest).collect();
        let pool = TokenPool::new(tokens, policy.bench);
        pool.restore(&saved.tokens);
        Self {
            shared: Arc::new(Shared {
                foreground,
                background,
                breakers,
                pool,
                conversations,
                models: RwLock::new(Arc::new(models)),
                configured: Mutex::new(configured),
                store,
                admission: Admission::new(policy.max_concurrent),
                dialogues: Admission::new(policy.max_concurrent),
                metrics,
                policy: RwLock::new(Arc::new(policy)),
                in_flight: InFlight::new(stop.clone()),
                pace: Pace::default(),
                draining: AtomicBool::new(false),
                stop,
                tasks,
                reachable: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The models on offer now.
    #[must_use]
    pub fn models(&self) -> Arc<Models> {
        let models = self.shared.models.read();
        Arc::clone(&models.unwrap_or_else(PoisonError::into_inner))
    }

    /// What the upstream can do besides text.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared.foreground.capabilities()
    }

    /// Admits one chat, or says at once that there is no room for it.
    ///
    /// # Errors
    /// `overloaded`, or `shutting_down` once [`Engine::drain`] was called.
    pub fn admit(&self) -> Result<Permit, ChatError> {
        self.room_in(&self.shared.admission)
    }

    fn room_in(&self, admission: &Admission) -> Result<Permit, ChatError> {
        if self.shared.draining.load(Ordering::SeqCst) {
            return Err(shutting_down());
        }
        let only = admission.take(1)?.into_iter().next();
        only.ok_or_else(|| ChatError::new(ErrorKind::Internal, "An admission without a permit."))
    }

    /// Does in the background what the first chat would otherwise wait for. Makes no call.
    pub fn warm_up(&self) {
        self.shared.tasks.spawn_blocking(text::unfold_vocabulary);
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

    /// Removes what stands ready, waits until the background work is done (conversations being made and removed), and
    /// keeps what a restart should know. Call it when no chat is left.
    pub async fn finish_background_work(&self) {
        let shared = &self.shared;
        shared.keep_tokens().await;
        shared.tasks.close();
        shared.conversations.empty_stocks();
        shared.tasks.wait().await;
    }

    /// How many pieces of background work are under way.
    #[must_use]
    pub fn background_work(&self) -> usize {
        self.shared.tasks.len()
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
        self.tokens()
            .iter()
            .any(|token| token.is_available() || token.reason == Some(BenchReason::RateLimited.name()))
    }

    /// Whether the upstream can be reached: told by recent calls, else by a bare connection that sends nothing, made
    /// at most every ten seconds. Where that cannot be tried, what was known before holds, and else nothing speaks against
    /// it.
    pub async fn is_upstream_reachable(&self) -> bool {
        const FRESH: Duration = Duration::from_secs(10);
        if let Some(alive) = self.shared.background.recent_pulse() {
            return alive;
        }
        let mut known = self.shared.reachable.lock().await;
        if let Some((at, reachable)) = *known
            && at.elapsed() < FRESH
        {
            return reachable;
        }
        let Some(reachable) = self.shared.background.is_reachable().await else {
            return known.is_none_or(|(_, reachable)| reachable);
        };
        *known = Some((Instant::now(), reachable));
        reachable
    }
}

impl Shared {
    fn policy(&self) -> Arc<EnginePolicy> {
        let policy = self.policy.read();
        Arc::clone(&policy.unwrap_or_else(PoisonError::into_inner))
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
