//! The life of conversations: the project of each account, a warm or a fresh conversation for every chat, and its
//! removal afterwards.
//!
//! Calls that create something run in tracked tasks of their own, so that a client who leaves cannot leave half of
//! them behind: a finished task whose result nobody takes drops it, and dropping a [`Conversation`] removes it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    account::{Account, Accounts},
    cleanup::{Cleanup, Last},
    handle::Conversation,
    ledger::{Ledger, Standing},
    service::{Service, Step},
    warm_pool::{Epoch, WarmPoolPolicy},
};
use crate::state::{ConversationRef, Journal, OwedConversation, RemoteId};
use crate::{
    engine::{
        calls::Purpose,
        provider::{Fault, Token, UpstreamError},
    },
    telemetry::{ConversationEvent, Metrics},
};

/// What is done with conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationPolicy {
    /// The warm pools.
    pub warm_pool: WarmPoolPolicy,
    /// Whether conversations are removed after use.
    pub cleanup: bool,
    /// The creation limit: the most that are being created at once for chats. A creation goes on when its chat has left,
    /// so chats that come and go would otherwise start any number.
    pub creation_limit: usize,
}

/// Creates conversations, keeps warm pools of them, and removes them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Conversations {
    shared: Arc<Shared>,
}

struct Shared {
    service: Service,
    accounts: Accounts,
    policy: Mutex<ConversationPolicy>,
    tasks: TaskTracker,
    ledger: Arc<Ledger>,
    cleanup: Cleanup,
    metrics: Arc<Metrics>,
    creations: ArcSwap<Semaphore>,
}

impl Conversations {
    /// The conversations of a service; `owed` are those that an earlier run left.
    #[must_use]
    pub(super) fn new(
        service: Service,
        policy: ConversationPolicy,
        journal: Arc<dyn Journal>,
        owed: Vec<OwedConversation>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let tasks = TaskTracker::new();
        let ledger = Arc::new(Ledger::new(journal));
        ledger.restore(owed);
        let cleanup = Cleanup::new(
            service.clone(),
            Arc::clone(&ledger),
            tasks.clone(),
            policy.cleanup,
            Arc::clone(&metrics),
        );
        Self {
            shared: Arc::new(Shared {
                service,
                accounts: Accounts::default(),
                policy: Mutex::new(policy),
                tasks,
                ledger,
                cleanup,
                metrics,
                creations: ArcSwap::from_pointee(Semaphore::new(policy.creation_limit)),
            }),
        }
    }

    fn warm_policy(&self) -> WarmPoolPolicy {
        self.shared.policy.lock().warm_pool
    }

    /// Changes what is done from now on.
    pub(super) fn set_policy(&self, policy: ConversationPolicy) {
        self.shared.cleanup.enable(policy.cleanup);
        let before = std::mem::replace(&mut *self.shared.policy.lock(), policy);
        if before.creation_limit != policy.creation_limit {
            // Creations under way go on beside the new limit, and give back to the old.
            let creations = Semaphore::new(policy.creation_limit);
            self.shared.creations.store(Arc::new(creations));
        }
    }

    /// The service.
    pub(super) fn service(&self) -> &Service {
        &self.shared.service
    }

    /// The background work.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// The book of conversations.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// The removal of conversations.
    pub(super) fn cleanup(&self) -> &Cleanup {
        &self.shared.cleanup
    }

    /// One of the account's warm pool.
    #[must_use]
    pub(super) fn warm(&self, token: &Token) -> Option<Conversation> {
        let reference = self.account(token).warm_pool().take(self.warm_policy())?;
        self.shared.ledger.stand(token, &reference, Standing::InUse);
        Some(self.own(token, reference))
    }

    /// Makes a fresh conversation in the project of the token's account. Dropping the future loses nothing: the
    /// work goes on, and what comes of it is removed.
    ///
    /// # Errors
    /// As the calls fail; a project that vanished is forgotten, so that the next try finds or creates another.
    pub(super) async fn fresh(&self, token: &Token) -> Result<Conversation, UpstreamError> {
        // Nobody closes the semaphore; were it closed, there would be no limit.
        let creations = self.shared.creations.load_full();
        let creation = creations.acquire_owned().await.ok();
        let (conversations, token) = (self.clone(), token.clone());
        let made = self.shared.tasks.spawn(async move {
            let _creation = creation;
            let made = conversations.make(&token, Purpose::Chat).await;
            made.map(|reference| conversations.own(&token, reference))
        });
        made.await.unwrap_or_else(|failure| {
            Err(UpstreamError::new(
                Step::CreateConversation.name(),
                Fault::Connection,
                failure.to_string(),
            ))
        })
    }

    /// Runs what must outlive a chat.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.shared.tasks.spawn(work)
    }

    fn own(&self, token: &Token, reference: ConversationRef) -> Conversation {
        Conversation::new(self.clone(), token.clone(), reference)
    }

    async fn make(&self, token: &Token, purpose: Purpose) -> Result<ConversationRef, UpstreamError> {
        let project = self.project(token, purpose).await?;
        let _creation = self.account(token).begin_creation();
        let service = &self.shared.service;
        match service.create_conversation(token, &project, purpose).await {
            Ok(conversation) => {
                let reference = ConversationRef {
                    project,
                    conversation,
                };
                self.shared.ledger.made(token, &reference).await;
                self.shared.metrics.count_conversation(ConversationEvent::Made);
                Ok(reference)
            }
            Err(error) => {
                if error.fault == Fault::Gone {
                    self.forget_project(token, &project).await;
                }
                self.note_orphan(token, &error);
                Err(error)
            }
        }
    }

    async fn project(&self, token: &Token, purpose: Purpose) -> Result<RemoteId, UpstreamError> {
        let account = self.account(token);
        let mut project = account.project.lock().await;
        if let Some(known) = project.as_ref() {
            return Ok(known.clone());
        }
        let service = &self.shared.service;
        let mut listed = service.list_projects(token, purpose).await?.into_iter();
        let found = match listed.next() {
            Some(found) => found,
            None => {
                let created = service.create_project(token, purpose).await;
                created.inspect_err(|error| self.note_orphan(token, error))?
            }
        };
        *project = Some(found.clone());
        Ok(found)
    }

    /// The project is gone: the next chat finds or makes another.
    pub(super) async fn forget_project(&self, token: &Token, vanished: &RemoteId) {
        let account = self.account(token);
        let mut project = account.project.lock().await;
        if project.as_ref() == Some(vanished) {
            *project = None;
        }
    }

    /// A call that may have created something, and whose answer never came, may have left something behind.
    fn note_orphan(&self, token: &Token, error: &UpstreamError) {
        if matches!(
            error.fault,
            Fault::Timeout | Fault::Connection | Fault::Malformed | Fault::Local { sent: true }
        ) {
            self.shared
                .metrics
                .count_conversation(ConversationEvent::PossibleOrphan);
            tracing::warn!(token = %token.label(), error = %error, "something may have been made on the upstream unseen");
        }
    }

    fn account(&self, token: &Token) -> Arc<Account> {
        self.shared.accounts.of(token)
    }

    /// A chat used the account with success: from now on its warm pool is filled.
    pub(super) fn used(&self, token: &Token) {
        if self.shared.tasks.is_closed() {
            return; // the process ends, and the warm pools are being emptied
        }
        let (policy, account) = (self.warm_policy(), self.account(token));
        let mut pool = account.warm_pool();
        // Expired ones must not keep fresh ones out until they are swept.
        let expired = pool.expired(policy);
        pool.note_use(policy);
        if let Some(epoch) = pool.begin_filling(policy) {
            let filling = self.clone().fill(token.clone(), Arc::clone(&account), epoch);
            self.shared.tasks.spawn(filling);
        }
        drop(pool);
        for reference in expired {
            self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
        }
    }

    async fn fill(self, token: Token, account: Arc<Account>, epoch: Epoch) {
        loop {
            let reference = match self.make(&token, Purpose::Background).await {
                Ok(reference) => reference,
                Err(error) => {
                    // The next chat will try again, and judge what it meets.
                    tracing::debug!(token = %token.label(), error = %error, "no conversation for the stock");
                    return account.warm_pool().stop_filling(epoch);
                }
            };
            self.shared.ledger.stand(&token, &reference, Standing::Ready);
            let policy = self.warm_policy();
            let mut pool = account.warm_pool();
            let unwanted = match self.shared.tasks.is_closed() {
                true => Some(reference),
                false => pool.put(reference, epoch, policy).err(),
            };
            let done = !pool.goes_on_filling(epoch, policy) || unwanted.is_some();
            if done {
                pool.stop_filling(epoch);
            }
            drop(pool);
            if let Some(reference) = unwanted {
                self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
            }
            if done {
                return;
            }
        }
    }

    /// Empties the account's warm pool.
    pub(super) fn empty_warm_pool(&self, token: &Token) {
        for reference in self.account(token).warm_pool().empty() {
            self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
        }
    }

    /// Empties every warm pool.
    pub(super) fn empty_warm_pools(&self) {
        for account in self.shared.accounts.all() {
            self.empty_warm_pool(account.token());
        }
    }

    /// Resolves when every conversation that is being created in the account is in the ledger.
    pub(super) async fn all_created(&self, token: &Token) {
        self.account(token).all_created().await;
    }

    /// Takes the account's warm pool, and the conversations that could not be removed from it before, for the caller to
    /// remove.
    #[must_use]
    pub(super) fn idle(&self, token: &Token) -> Vec<ConversationRef> {
        let mut idle = self.account(token).warm_pool().empty();
        for reference in &idle {
            self.shared.ledger.stand(token, reference, Standing::Leaving);
        }
        idle.extend(self.shared.ledger.take_left(token));
        idle
    }

    /// Forgets the account of a token that left the pool, and empties its warm pool.
    pub(super) fn close_account(&self, token: &Token) {
        if let Some(account) = self.shared.accounts.take(token) {
            self.close(&account);
        }
    }

    fn close(&self, account: &Account) {
        for reference in account.warm_pool().close() {
            let token = account.token().clone();
            self.shared.cleanup.remove(token, reference, Last::Idle);
        }
    }

    /// Removes expired conversations from these accounts' warm pools, and returns when the next expires. Accounts of other
    /// tokens are forgotten: a chat that went on after its token had left the pool has brought them back.
    pub(super) fn sweep(&self, tokens: &[Token]) -> Option<Instant> {
        let policy = self.warm_policy();
        for account in self.shared.accounts.take_strays(tokens) {
            self.close(&account);
        }
        let mut next = None;
        for token in tokens {
            let account = self.account(token);
            let mut pool = account.warm_pool();
            let expired = pool.expired(policy);
            next = next.into_iter().chain(pool.next_expiry(policy)).min();
            drop(pool);
            for reference in expired {
                self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
            }
        }
        next
    }

    /// The size of the account's warm pool.
    #[must_use]
    pub(super) fn warm_count(&self, token: &Token) -> usize {
        self.account(token).warm_pool().len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::shortage_tests::service_at;
    use super::*;
    use crate::state::NoJournal;
    use std::time::Duration;

    fn policy(creation_limit: usize) -> ConversationPolicy {
        ConversationPolicy {
            warm_pool: WarmPoolPolicy {
                limit: 0,
                ttl: Duration::from_secs(300),
            },
            cleanup: true,
            creation_limit,
        }
    }

    #[test]
    fn a_lower_limit_holds_once_creations_under_way_are_through() {
        let metrics = Arc::new(Metrics::build().unwrap());
        let service = service_at("http://upstream.invalid");
        let conversations = Conversations::new(service, policy(3), Arc::new(NoJournal), Vec::new(), metrics);
        let free = || conversations.shared.creations.load().available_permits();
        let before = conversations.shared.creations.load_full();
        let busy = before.try_acquire_many(3).unwrap();
        conversations.set_policy(policy(1));
        drop(busy);
        assert_eq!(free(), 1);
        conversations.set_policy(policy(2));
        assert_eq!(free(), 2);
    }
}
