//! The core: turns a chat request into an answer, with whatever token, conversation and number of tries that takes.
//! It knows no wire format and does no I/O of its own; an [`upstream::Upstream`] does that for it.

mod answer;
pub mod chat;
mod conversation;
pub mod error;
mod models;
mod observed;
mod pool;
mod stream;
mod text;
pub mod upstream;
mod verdict;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use answer::UnmarkedEnd;
pub use models::{MAX_MODEL_NAME, MODEL_CREATED, MODEL_OWNER, Models, not_found};
pub use pool::{BenchPolicy, TokenSnapshot};
pub use stream::ChatStream;

use self::{
    answer::{AnswerReader, Read},
    chat::{CallContext, ChatRequest, Completion},
    conversation::Conversations,
    error::{ChatError, ErrorKind},
    observed::Observed,
    pool::{Lease, NoToken, TokenPool, Trail},
    stream::{Held, Opened, deadline_exceeded, fold, shutting_down},
    upstream::{Fault, Token, Upstream, UpstreamError},
    verdict::{ChatVerdict, verdict},
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

/// How much of an answer a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Its first text: from there on no other attempt can take over.
    Start,
    /// All of it: a cut attempt is thrown away, and another may follow.
    Whole,
}

/// One chat on its way through the attempts.
struct Chat<'a> {
    prompt: Arc<str>,
    model: &'a str,
    context: &'a CallContext,
    want: Want,
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
                opened = timeout_at(context.deadline, self.attempts(&chat)) => match opened {
                    Ok(opened) => opened.map(|opened| (opened, prompt)),
                    Err(_) => Err(deadline_exceeded()),
                },
            }
        };
        opened
            .await
            .inspect_err(|error| context.record.conclude(outcome(error.kind())))
    }

    /// Attempts until one succeeds, or none can help any more.
    async fn attempts(&self, chat: &Chat<'_>) -> Result<Opened, ChatError> {
        let mut trail = Trail::default();
        let mut retries = 0;
        let mut renewed = false;
        loop {
            let mut lease = self.shared.pool.lease(&trail).map_err(no_token)?;
            chat.context.record.set_token(lease.token().label());
            let error = match self.attempt(chat, &mut lease).await {
                Ok((reader, deltas, ending)) => {
                    return Ok(Opened {
                        held: Held { reader, lease },
                        deltas,
                        ending,
                    });
                }
                Err(error) => error,
            };
            let (token_verdict, chat_verdict) = verdict(&error);
            lease.failed(token_verdict);
            let slot = lease.slot();
            tracing::warn!(token = %lease.token().label(), retries, error = %error, "an attempt failed");
            drop(lease); // nobody waits with a token in hand
            match chat_verdict {
                ChatVerdict::OtherToken => trail.bar(slot),
                ChatVerdict::GiveUp => return Err(refused(&error)),
                ChatVerdict::Anew if !renewed => renewed = true,
                ChatVerdict::Anew | ChatVerdict::Again(_) if retries >= self.shared.policy.max_retries => {
                    return Err(unavailable(&error));
                }
                ChatVerdict::Anew => {
                    self.back_off(retries, None, chat.context.deadline, &error)
                        .await?;
                    retries += 1;
                }
                ChatVerdict::Again(retry_after) => {
                    trail.tried(slot);
                    self.back_off(retries, retry_after, chat.context.deadline, &error)
                        .await?;
                    retries += 1;
                }
            }
        }
    }

    /// One attempt: a fresh conversation, the message, the answer, and as much of it as is wanted.
    async fn attempt(
        &self,
        chat: &Chat<'_>,
        lease: &mut Lease,
    ) -> Result<(AnswerReader, VecDeque<answer::Delta>, Option<answer::Ending>), UpstreamError> {
        let shared = &self.shared;
        let mut conversation = shared.conversations.fresh(lease.token()).await?;
        let reference = conversation.reference().clone();
        shared
            .upstream
            .post_message(lease.token(), &reference, &chat.prompt)
            .await?;
        let answer = shared
            .upstream
            .open_answer(lease.token(), &reference, chat.model)
            .await?;
        conversation.attach(answer);
        let mut reader = AnswerReader::new(conversation, shared.policy.patience, shared.policy.unmarked_end);
        let mut deltas = VecDeque::new();
        loop {
            let read = reader.read().await?;
            if deltas.is_empty() {
                lease.succeeded();
                chat.context.record.note_first_token();
            }
            match read {
                Read::End(ending) => return Ok((reader, deltas, Some(ending))),
                Read::Delta(delta) => deltas.push_back(delta),
            }
            if chat.want == Want::Start {
                return Ok((reader, deltas, None));
            }
        }
    }

    /// Waits before the next try: `RETRY_DELAY` doubling, jittered between half and all of it, and at least as long
    /// as the upstream asked for. A wait that the deadline does not leave room for is answered at once.
    async fn back_off(
        &self,
        retries: u32,
        retry_after: Option<Duration>,
        deadline: Instant,
        error: &UpstreamError,
    ) -> Result<(), ChatError> {
        let longest = self
            .shared
            .policy
            .retry_delay
            .saturating_mul(2_u32.saturating_pow(retries));
        let jittered = longest.mul_f64(0.5 + fastrand::f64() / 2.0);
        let wait = jittered.max(retry_after.unwrap_or_default());
        if wait >= deadline.saturating_duration_since(Instant::now()) {
            return Err(unavailable(error).with_retry_after(retry_after));
        }
        sleep(wait).await;
        Ok(())
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

    /// Whether any token can be used now, or will be without somebody's help.
    #[must_use]
    pub fn has_hope(&self) -> bool {
        self.tokens()
            .iter()
            .any(|token| token.state != "disabled" && token.reason != Some("refused"))
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
    if kind.is_callers() {
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
    let class = match kind {
        ErrorKind::Cancelled => OutcomeClass::Cancelled,
        kind if kind.is_callers() => OutcomeClass::CallersFault,
        _ => OutcomeClass::Failure,
    };
    Outcome {
        name: kind.name(),
        class,
    }
}

fn no_token(reason: NoToken) -> ChatError {
    match reason {
        NoToken::Empty => ChatError::new(
            ErrorKind::PoolExhausted,
            "No upstream token is configured: TOKEN_POOL is empty.",
        ),
        NoToken::AllRefused => {
            let message = "The upstream refuses every configured token. They need to be renewed.";
            ChatError::new(ErrorKind::CredentialsRejected, message)
        }
        NoToken::Exhausted { retry_after } => {
            let message =
                "No upstream token can be used right now: all of them are resting after rate limits.";
            ChatError::new(ErrorKind::PoolExhausted, message).with_retry_after(Some(retry_after))
        }
    }
}

fn refused(error: &UpstreamError) -> ChatError {
    let message = match error.fault {
        Fault::Refused { status } => format!("The upstream refused this request with status {status}."),
        _ => "The upstream refused this request.".to_owned(),
    };
    ChatError::new(ErrorKind::UpstreamRefused, message).with_detail(error.to_string())
}

fn unavailable(error: &UpstreamError) -> ChatError {
    let (kind, message) = match &error.fault {
        Fault::Unmarked => (ErrorKind::UpstreamTruncated, stream::UNMARKED.to_owned()),
        Fault::Truncated => (
            ErrorKind::UpstreamTruncated,
            "The upstream broke off in the middle of every answer that it began.".to_owned(),
        ),
        Fault::Timeout => (
            ErrorKind::UpstreamUnavailable,
            "The upstream did not answer in time.".to_owned(),
        ),
        Fault::Status { status, .. } => (
            ErrorKind::UpstreamUnavailable,
            format!("The upstream failed with status {status}."),
        ),
        _ => (
            ErrorKind::UpstreamUnavailable,
            "The upstream did not answer.".to_owned(),
        ),
    };
    ChatError::new(kind, message).with_detail(error.to_string())
}
