//! Conversations as a resource that the engine owns: the project each token works in, a fresh conversation for every
//! chat, and its removal afterwards.
//!
//! Calls that create something run in tracked tasks of their own, so that a client who leaves cannot leave half of
//! them behind: what a finished task hands to nobody is dropped, and dropping a [`Conversation`] removes it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::task::TaskTracker;

use super::upstream::{Answer, ConversationRef, Fault, RemoteId, Step, Token, Upstream, UpstreamError};

/// How long after an answer was closed early its conversation is removed: the service may still be writing into it.
const ABANDONED_PAUSE: Duration = Duration::from_secs(1);
/// How long the rest of a finished answer is read, so that its connection can be used again.
const REST_OF_ANSWER: Duration = Duration::from_secs(1);
/// Removals under way at once: they must never crowd out chats.
const CONCURRENT_REMOVALS: usize = 8;

/// One account's project: the lock is held while it is looked up or made, so that only one is ever made.
type ProjectCell = Arc<tokio::sync::Mutex<Option<RemoteId>>>;

/// Makes conversations and removes them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Conversations {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Arc<dyn Upstream>,
    projects: Mutex<HashMap<[u8; 32], ProjectCell>>,
    tasks: TaskTracker,
    removals: Semaphore,
}

impl Conversations {
    /// Conversations on `upstream`; whatever must outlive a chat runs on `tasks`.
    #[must_use]
    pub(super) fn new(upstream: Arc<dyn Upstream>, tasks: TaskTracker) -> Self {
        let removals = Semaphore::new(CONCURRENT_REMOVALS);
        Self {
            shared: Arc::new(Shared {
                upstream,
                projects: Mutex::default(),
                tasks,
                removals,
            }),
        }
    }

    /// Makes a fresh conversation in the project of the token's account. Dropping the future loses nothing: the
    /// work goes on, and what comes of it is removed.
    ///
    /// # Errors
    /// As the calls fail; a project that vanished is forgotten, so that the next try finds or makes another.
    pub(super) async fn fresh(&self, token: &Token) -> Result<Conversation, UpstreamError> {
        let (conversations, token) = (self.clone(), token.clone());
        let made = self
            .shared
            .tasks
            .spawn(async move { conversations.make(token).await });
        made.await.unwrap_or_else(|failure| {
            Err(UpstreamError::new(
                Step::CreateConversation,
                Fault::Connection,
                failure.to_string(),
            ))
        })
    }

    async fn make(self, token: Token) -> Result<Conversation, UpstreamError> {
        let project = self.project(&token).await?;
        let created = self.shared.upstream.create_conversation(&token, &project).await;
        let conversation = match created {
            Ok(conversation) => conversation,
            Err(error) => {
                if error.fault == Fault::Gone {
                    self.forget(&token, &project).await;
                }
                return Err(error);
            }
        };
        let reference = ConversationRef {
            project,
            conversation,
        };
        Ok(Conversation {
            conversations: self,
            token,
            reference,
            answer: None,
            finished: false,
        })
    }

    async fn project(&self, token: &Token) -> Result<RemoteId, UpstreamError> {
        let cell = self.cell(token);
        let mut project = cell.lock().await;
        if let Some(known) = project.as_ref() {
            return Ok(known.clone());
        }
        let upstream = &self.shared.upstream;
        let found = match upstream.list_projects(token).await?.into_iter().next() {
            Some(found) => found,
            None => upstream.create_project(token).await?,
        };
        *project = Some(found.clone());
        Ok(found)
    }

    async fn forget(&self, token: &Token, vanished: &RemoteId) {
        let cell = self.cell(token);
        let mut project = cell.lock().await;
        if project.as_ref() == Some(vanished) {
            *project = None;
        }
    }

    fn cell(&self, token: &Token) -> ProjectCell {
        let mut projects = self
            .shared
            .projects
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(projects.entry(token.digest()).or_default())
    }

    async fn remove(self, token: Token, reference: ConversationRef) {
        let Ok(_turn) = self.shared.removals.acquire().await else {
            return;
        };
        let upstream = &self.shared.upstream;
        let mut removed = upstream.delete_conversation(&token, &reference).await;
        if removed.as_ref().is_err_and(|error| error.fault.is_services()) {
            removed = upstream.delete_conversation(&token, &reference).await;
        }
        if let Err(error) = removed {
            tracing::warn!(token = %token.label(), error = %error, "a conversation was left behind");
        }
    }
}

/// A conversation that the gateway made, for one chat. Dropping it removes it from the upstream in the background,
/// after its answer, if it still holds one, has been closed.
pub(super) struct Conversation {
    conversations: Conversations,
    token: Token,
    reference: ConversationRef,
    answer: Option<Answer>,
    finished: bool,
}

impl Conversation {
    /// Where it is.
    #[must_use]
    pub(super) fn reference(&self) -> &ConversationRef {
        &self.reference
    }

    /// Takes over the answer that runs in it.
    pub(super) fn attach(&mut self, answer: Answer) {
        // What ended without a mark is asked again by the clean-up, which only a fused stream takes well.
        self.answer = Some(answer.fuse().boxed());
    }

    /// The answer that runs in it.
    pub(super) fn answer(&mut self) -> Option<&mut Answer> {
        self.answer.as_mut()
    }

    /// The answer is whole: what is left of its body is read to the end when the conversation is dropped.
    pub(super) fn finished(&mut self) {
        self.finished = true;
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Conversation({} of {:?})",
            self.reference.conversation, self.token
        )
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let conversations = self.conversations.clone();
        let (token, reference) = (self.token.clone(), self.reference.clone());
        let (answer, finished) = (self.answer.take(), self.finished);
        // An answer that is not finished closes here and now, not when the task gets its turn.
        let (rest, pause) = if finished {
            (answer, Duration::ZERO)
        } else {
            (None, ABANDONED_PAUSE)
        };
        // After a hard stop there may be nothing left to run on.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let tasks = self.conversations.shared.tasks.clone();
        let removal = async move {
            if let Some(answer) = rest {
                // Only the body's end matters here; what it still says came after the answer's own end.
                let drained = answer.for_each(|_| std::future::ready(()));
                let _ended = tokio::time::timeout(REST_OF_ANSWER, drained).await;
            }
            tokio::time::sleep(pause).await;
            conversations.remove(token, reference).await;
        };
        tasks.spawn_on(removal, &runtime);
    }
}
