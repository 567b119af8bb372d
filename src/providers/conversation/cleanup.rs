//! The removal of conversations that the gateway made: in the background, a few at a time, and bounded. What it meets
//! changes no token's state and feeds no circuit breaker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle, time::timeout};
use tokio_util::task::TaskTracker;

use super::{
    body::Reader,
    ledger::{Ledger, Standing},
    service::Service,
};
use crate::state::ConversationRef;
use crate::{
    engine::{
        calls::ObservedStream,
        provider::{Fault, Token, UpstreamError},
    },
    telemetry::{ConversationEvent, Metrics},
};

/// How long after an answer was closed early its conversation is removed: the service may still be writing into it.
const ABANDONED_PAUSE: Duration = Duration::from_secs(1);
/// How long the rest of a finished answer is read, so that its connection can be used again.
const REST_OF_ANSWER: Duration = Duration::from_secs(1);
/// Removals under way at once: they must never crowd out chats.
const CONCURRENT_REMOVALS: usize = 16;
/// More than this are not queued: what the upstream does not take in time is left behind, and counted.
const LONGEST_QUEUE: usize = 16_384;
/// The longest `Retry-After` that a second try waits out.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What became of a conversation's use.
pub(super) enum Last {
    /// Nothing runs in it.
    Idle,
    /// Its answer is whole: what is left of the body is read to its end.
    Finished(Box<ObservedStream<Reader>>),
    /// Its answer is whole, and what is left of the body is being read.
    Resting(JoinHandle<()>),
    /// Its answer was closed before the end.
    Abandoned,
}

/// Removes conversations. Cheap to clone.
#[derive(Clone)]
pub(super) struct Cleanup {
    shared: Arc<Shared>,
}

struct Shared {
    service: Service,
    ledger: Arc<Ledger>,
    tasks: TaskTracker,
    turns: Semaphore,
    queued: AtomicUsize,
    enabled: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Cleanup {
    /// Removals on `service`, in tasks of `tasks`; none at all unless `enabled`.
    #[must_use]
    pub(super) fn new(
        service: Service,
        ledger: Arc<Ledger>,
        tasks: TaskTracker,
        enabled: bool,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                service,
                ledger,
                tasks,
                turns: Semaphore::new(CONCURRENT_REMOVALS),
                queued: AtomicUsize::new(0),
                enabled: AtomicBool::new(enabled),
                metrics,
            }),
        }
    }

    /// Whether conversations are removed at all, from now on.
    pub(super) fn enable(&self, enabled: bool) {
        self.shared.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Removes a conversation in the background.
    pub(super) fn remove(&self, token: Token, reference: ConversationRef, last: Last) {
        if !self.shared.enabled.load(Ordering::Relaxed) {
            self.shared.ledger.gone(&token, &reference);
            return;
        }
        let shared = Arc::clone(&self.shared);
        // After a hard stop there may be nothing left to run on.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if shared.queued.fetch_add(1, Ordering::Relaxed) >= LONGEST_QUEUE {
            shared.queued.fetch_sub(1, Ordering::Relaxed);
            shared.left_behind(&token, &reference, "the queue is full");
            return;
        }
        shared.ledger.stand(&token, &reference, Standing::Leaving);
        let tasks = shared.tasks.clone();
        let removal = async move {
            last.settle().await;
            shared.run(&token, &reference).await;
            shared.queued.fetch_sub(1, Ordering::Relaxed);
        };
        tasks.spawn_on(removal, &runtime);
    }
}

impl Last {
    /// Resolves when nothing runs in the conversation any more.
    pub(super) async fn settle(self) {
        match self {
            Last::Idle => {}
            Last::Finished(answer) => {
                // Only the body's end matters here; what it still says came after the answer's own end.
                let drained = answer.for_each(|_| std::future::ready(()));
                let _ended = timeout(REST_OF_ANSWER, drained).await;
            }
            Last::Resting(reading) => drop(reading.await),
            Last::Abandoned => tokio::time::sleep(ABANDONED_PAUSE).await,
        }
    }
}

impl Shared {
    async fn run(&self, token: &Token, reference: &ConversationRef) {
        let mut removed = self.call(token, reference).await;
        if let Some(wait) = removed.as_ref().err().and_then(second_try_in) {
            tokio::time::sleep(wait).await;
            removed = self.call(token, reference).await;
        }
        match removed {
            Ok(()) => {
                self.ledger.gone(token, reference);
                self.metrics.count_conversation(ConversationEvent::Removed);
            }
            Err(error) => self.left_behind(token, reference, &error.to_string()),
        }
    }

    async fn call(&self, token: &Token, reference: &ConversationRef) -> Result<(), UpstreamError> {
        // Nobody closes the semaphore; were it closed, an unlimited call would do no harm.
        let _turn = self.turns.acquire().await.ok();
        self.service.delete_conversation(token, reference).await
    }

    fn left_behind(&self, token: &Token, reference: &ConversationRef, why: &str) {
        self.ledger.stand(token, reference, Standing::Left);
        self.metrics.count_conversation(ConversationEvent::LeftBehind);
        tracing::warn!(token = %token.label(), error = why, "a conversation was left behind");
    }
}

/// When a removal that failed is tried again; `None` when that is of no use.
fn second_try_in(error: &UpstreamError) -> Option<Duration> {
    match &error.fault {
        Fault::RateLimited { retry_after } => Some(retry_after.unwrap_or(ABANDONED_PAUSE).min(LONGEST_WAIT)),
        Fault::Status { retry_after, .. } => Some(retry_after.unwrap_or_default().min(LONGEST_WAIT)),
        Fault::Local { .. } => Some(ABANDONED_PAUSE),
        Fault::Connection
        | Fault::Timeout
        | Fault::Malformed
        | Fault::Empty
        | Fault::Truncated
        | Fault::Unmarked => Some(Duration::ZERO),
        Fault::Credentials | Fault::Gone | Fault::Refused { .. } => None,
    }
}
