//! The core: turns a chat request into an answer, with whatever token, conversation and number of tries that takes.
//! It knows no wire format and does no I/O of its own; an [`upstream::Upstream`] does that for it.

mod answer;
mod attempts;
pub mod chat;
mod conversation;
pub mod error;
mod failure;
mod models;
mod observed;
mod pool;
mod slot;
mod stream;
mod text;
pub mod upstream;
pub mod verdict;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use answer::UnmarkedEnd;
pub use models::{MAX_MODEL_NAME, MODEL_CREATED, MODEL_OWNER, Models, not_found};
pub use slot::{BenchPolicy, TokenSnapshot};
pub use stream::ChatStream;

use self::{
    attempts::{Chat, Want},
    chat::{CallContext, ChatRequest, Completion},
    conversation::Conversations,
    error::{ChatError, ErrorKind},
    failure::{deadline_exceeded, shutting_down},
    observed::Observed,
    pool::TokenPool,
    stream::{Opened, fold},
    upstream::{Token, Upstream},
};
use crate::telemetry::{CallRecord, Metrics, Outcome, OutcomeClass};

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
    /// How long failures keep a token out of use.
    pub bench: BenchPolicy,
}

/// The right to have one chat under way. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "it is held for its Drop")] OwnedSemaphorePermit);

/// The engine. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Arc<Observed>,
    pool: TokenPool,
    conversations: Conversations,
    models: Models,
    policy: EnginePolicy,
    admission: Arc<Semaphore>,
    draining: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
    reachable: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Engine {
    /// An engine over `upstream`. It makes no call before the first chat.
    #[must_use]
    pub fn new(
        upstream: Arc<dyn Upstream>,
        tokens: Vec<Token>,
        models: Models,
        policy: EnginePolicy,
        metrics: Arc<Metrics>,
    ) -> Self {
        let tasks = TaskTracker::new();
        let upstream = Arc::new(Observed::new(upstream, metrics));
        let conversations = Conversations::new(Arc::<Observed>::clone(&upstream), tasks.clone());
        Self {
            shared: Arc::new(Shared {
                upstream,
                pool: TokenPool::new(tokens, policy.bench),
                conversations,
                models,
                admission: Arc::new(Semaphore::new(policy.max_concurrent)),
                policy,
                draining: AtomicBool::new(false),
                stop: CancellationToken::new(),
                tasks,
                reachable: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The models on offer.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.shared.models
    }

    /// Admits one chat, or says at once that there is no room for it.
    ///
    /// # Errors
    /// `overloaded`, or `shutting_down` once [`Engine::drain`] was called.
    pub fn admit(&self) -> Result<Permit, ChatError> {
        /// By then some of the chats under way are likely to have ended.
        const ROOM_IN: Duration = Duration::from_secs(1);
        if self.shared.draining.load(Ordering::SeqCst) {
            return Err(shutting_down());
        }
        let permit = Arc::clone(&self.shared.admission)
            .try_acquire_owned()
            .map_err(|_| {
                let message = "The gateway has as many requests under way as it may. Send the request again.";
                ChatError::new(ErrorKind::Overloaded, message).with_retry_after(Some(ROOM_IN))
            })?;
        Ok(Permit(permit))
    }

    /// Starts a chat: resolves when the first text of its answer is here, after as many tries as that takes.
    /// Dropping the future cancels the chat.
    ///
    /// # Errors
    /// When no answer could be started.
    pub async fn stream(
        &self,
        request: ChatRequest,
        context: CallContext,
        permit: Permit,
    ) -> Result<ChatStream, ChatError> {
        let (opened, prompt) = self.open(&request, &context, Want::Start).await?;
        Ok(ChatStream::new(
            opened,
            permit,
            prompt,
            context,
            self.shared.stop.clone(),
        ))
    }

    /// Runs a chat to its end: resolves with the whole answer. Dropping the future cancels the chat.
    ///
    /// # Errors
    /// When no whole answer could be had.
    pub async fn complete(
        &self,
        request: ChatRequest,
        context: CallContext,
        permit: Permit,
    ) -> Result<Completion, ChatError> {
        let (opened, prompt) = self.open(&request, &context, Want::Whole).await?;
        let completion = fold(opened, &prompt).await;
        context.record.conclude(Outcome::OK);
        drop(permit);
        Ok(completion)
    }

    async fn open(
        &self,
        request: &ChatRequest,
        context: &CallContext,
        want: Want,
    ) -> Result<(Opened, Arc<str>), ChatError> {
        let opened = async {
            context.record.set_model(&request.model);
            let model = self.shared.models.resolve(&request.model)?;
            let prompt: Arc<str> = text::flatten(&request.messages).into();
            let chat = Chat {
                prompt: Arc::clone(&prompt),
                model,
                context,
                want,
            };
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => Err(shutting_down()),
                opened = timeout_at(context.deadline, self.shared.attempts(&chat)) => match opened {
                    Ok(opened) => opened.map(|opened| (opened, prompt)),
                    Err(_) => Err(deadline_exceeded()),
                },
            }
        };
        opened
            .await
            .inspect_err(|error| context.record.conclude(outcome(error.kind())))
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

    /// Waits until the background work is done: conversations being made and removed. Call it when no chat is left.
    pub async fn finish_background_work(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// How many pieces of background work are under way.
    #[must_use]
    pub fn background_work(&self) -> usize {
        self.shared.tasks.len()
    }

    /// Every token, without its secret.
    #[must_use]
    pub fn tokens(&self) -> Vec<TokenSnapshot> {
        self.shared.pool.snapshot()
    }

    /// Whether a chat is worth sending: some token can be used now, one whose time on the bench is over included (it
    /// comes back by a chat, so somebody must send one), or is only rate limited.
    #[must_use]
    pub fn has_hope(&self) -> bool {
        self.tokens()
            .iter()
            .any(|token| token.is_available() || token.reason == Some("rate_limited"))
    }

    /// Chats under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.policy.max_concurrent - self.shared.admission.available_permits()
    }

    /// Whether the upstream can be reached: told by recent calls, else by a bare connection that sends nothing, made
    /// at most every ten seconds.
    pub async fn is_upstream_reachable(&self) -> bool {
        const FRESH: Duration = Duration::from_secs(10);
        if let Some(alive) = self.shared.upstream.recent_pulse() {
            return alive;
        }
        let mut known = self.shared.reachable.lock().await;
        if let Some((at, reachable)) = *known
            && at.elapsed() < FRESH
        {
            return reachable;
        }
        let reachable = self.shared.upstream.is_reachable().await;
        *known = Some((Instant::now(), reachable));
        reachable
    }
}

/// Tells a failure to the log, once, and to the record of its request. For the edge that answers it.
pub fn conclude(error: &ChatError, record: Option<&CallRecord>) {
    let kind = error.kind();
    if let Some(record) = record {
        record.conclude(outcome(kind));
    }
    // A flood that is refused must not become a flood of warnings: each one's access line says as much.
    if kind.is_callers() || kind == ErrorKind::Overloaded {
        tracing::debug!(
            error.kind = kind.name(),
            error.detail = error.detail(),
            "{}",
            error.message()
        );
    } else {
        tracing::warn!(
            error.kind = kind.name(),
            error.detail = error.detail(),
            "{}",
            error.message()
        );
    }
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
