//! The conversation service: it answers only inside a conversation that was created first, and takes one text.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `attempt`, `answer` | one attempt of a chat, and its answer |
//! | `transcript` | a request's messages as one text |
//! | `manager`, `handle`, `account`, `warm_pool` | the life of conversations |
//! | `ledger`, `cleanup`, `admin` | their removal, across restarts and by hand; the journal is `state`'s |
//! | `service`, `client`, `origins`, `body`, `sse`, `wire` | the service over HTTP |

mod account;
mod admin;
mod answer;
mod attempt;
mod body;
mod cleanup;
mod client;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod ledger;
mod manager;
mod origins;
mod service;
#[cfg(test)]
mod shortage_tests;
mod sse;
mod transcript;
mod warm_pool;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::{attempt::Chat, cleanup::Last, manager::Conversations, service::Service};
pub use self::{
    client::{BuildError, Endpoints},
    manager::ConversationPolicy,
    service::Step,
    warm_pool::WarmPoolPolicy,
};
use crate::{
    engine::{
        TokenSnapshot,
        calls::{Calls, Purpose},
        error::ChatError,
        prompt::Prompt,
        provider::{
            Capabilities, ConversationAdmin, CredentialChange, PreparedChat, Provider, Token, UpstreamError,
        },
        request::{ChatRequest, Message},
    },
    state::{Journal, OwedConversation},
    telemetry::Metrics,
};

/// How often the removal of conversations that could not be removed is tried again, while their credential is usable.
const REMOVAL_RETRY: Duration = Duration::from_secs(60);

/// Settings of a conversation provider that can change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The life of conversations.
    pub conversations: ConversationPolicy,
    /// The longest text that is sent, in bytes.
    pub max_prompt_bytes: usize,
}

/// The parts of a conversation provider.
#[derive(Debug)]
pub struct Parts {
    /// Where the service is.
    pub endpoints: Endpoints,
    /// The first settings.
    pub policy: Policy,
    /// How often an origin whose circuit breaker is open is probed.
    pub probe_interval: Duration,
    /// Where the conversations that are owed a removal are written down.
    pub journal: Arc<dyn Journal>,
    /// The conversations that an earlier run left.
    pub owed: Vec<OwedConversation>,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
}

/// The conversation service as an upstream. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct ConversationProvider {
    conversations: Conversations,
    policy: Arc<ArcSwap<Policy>>,
    next_removal: Arc<Mutex<Instant>>,
}

impl fmt::Debug for ConversationProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConversationProvider({:?})", self.policy.load())
    }
}

impl ConversationProvider {
    /// Builds the provider. Makes no connection.
    ///
    /// # Errors
    /// When the proxy or the site cannot be used.
    pub fn build(parts: Parts) -> Result<Self, BuildError> {
        let Parts {
            endpoints,
            policy,
            probe_interval,
            journal,
            owed,
            metrics,
        } = parts;
        let service = Service::build(endpoints, Arc::clone(&metrics), probe_interval)?;
        Ok(Self {
            conversations: Conversations::new(service, policy.conversations, journal, owed, metrics),
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            next_removal: Arc::new(Mutex::new(Instant::now() + REMOVAL_RETRY)),
        })
    }

    /// The calls that it makes.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.conversations.service().calls().clone()
    }

    /// Changes the settings. Chats under way go on as they began.
    pub fn set_policy(&self, policy: Policy) {
        self.conversations.set_policy(policy.conversations);
        self.policy.store(Arc::new(policy));
    }

    /// Tries again to remove the conversations that could not be removed from the credential's account.
    fn remove_left(&self, credential: &Token) {
        for reference in self.conversations.ledger().take_left(credential) {
            self.conversations
                .cleanup()
                .remove(credential.clone(), reference, Last::Idle);
        }
    }
}

impl Provider for ConversationProvider {
    fn capabilities(&self, _model: &str) -> Capabilities {
        Capabilities::default()
    }

    fn prepare(
        &self,
        request: ChatRequest,
        model: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn PreparedChat>, ChatError>> {
        let (conversations, model) = (self.conversations.clone(), Arc::from(model));
        let most = self.policy.load().max_prompt_bytes;
        async move {
            let text = transcript::write(request.messages, most).await?;
            let chat: Arc<dyn PreparedChat> = Arc::new(Chat {
                conversations,
                prompt: Arc::new(Prompt::new(text)),
                model,
            });
            Ok(chat)
        }
        .boxed()
    }

    fn message_size(&self, message: &Message, is_alone: bool) -> usize {
        match is_alone {
            true => transcript::lone_len(message),
            false => transcript::paragraph_len(message),
        }
    }

    fn max_request_size(&self) -> usize {
        self.policy.load().max_prompt_bytes
    }

    fn probe(&self, credential: &Token) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let (service, credential) = (self.conversations.service().clone(), credential.clone());
        async move {
            let listed = service.list_projects(&credential, Purpose::Background).await;
            listed.map(drop)
        }
        .boxed()
    }

    fn is_reachable(&self) -> BoxFuture<'static, Option<bool>> {
        let service = self.conversations.service().clone();
        async move { service.is_reachable().await }.boxed()
    }

    fn credential_changed(&self, credential: &Token, change: CredentialChange) {
        match change {
            CredentialChange::Served => self.conversations.used(credential),
            CredentialChange::Usable => self.remove_left(credential),
            CredentialChange::Unusable => self.conversations.empty_warm_pool(credential),
            CredentialChange::Removed => self.conversations.close_account(credential),
        }
    }

    fn maintain(&self, credentials: &[TokenSnapshot]) -> Option<Instant> {
        let now = Instant::now();
        let mut next_removal = self.next_removal.lock();
        let is_due = *next_removal <= now;
        if is_due {
            *next_removal = now + REMOVAL_RETRY;
        }
        drop(next_removal);
        if is_due {
            let usable = credentials.iter().filter(|row| row.is_available());
            usable.for_each(|row| self.remove_left(&row.token));
        }
        let all: Vec<Token> = credentials.iter().map(|row| row.token.clone()).collect();
        self.conversations.sweep(&all)
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let conversations = self.conversations.clone();
        // Closed at once: from here on no warm pool is filled any more.
        conversations.tasks().close();
        conversations.empty_warm_pools();
        async move { conversations.tasks().wait().await }.boxed()
    }

    fn background_work(&self) -> usize {
        self.conversations.tasks().len()
    }

    fn conversations(&self) -> Option<&dyn ConversationAdmin> {
        Some(&self.conversations)
    }
}
