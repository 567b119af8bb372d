//! Conversations as a resource that the engine owns: the project each token works in, a warm or a fresh conversation
//! for every chat, and its removal afterwards.
//!
//! Calls that create something run in tracked tasks of their own, so that a client who leaves cannot leave half of
//! them behind: what a finished task hands to nobody is dropped, and dropping a [`Conversation`] removes it.

mod handle;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};
use tokio_util::task::TaskTracker;

pub(super) use handle::Conversation;

use super::{
    account::{Account, Accounts},
    cleanup::{Cleanup, Last},
    ledger::{ConversationCounts, Ledger, Standing},
    stock::{Epoch, StockPolicy},
    store::Store,
    upstream::{ConversationRef, Fault, RemoteId, Step, Token, Upstream, UpstreamError},
};
use crate::telemetry::{ConversationEvent, Metrics};

/// What the engine does with conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationPolicy {
    /// What stands ready.
    pub stock: StockPolicy,
    /// Whether conversations are removed after use.
    pub cleanup: bool,
    /// The most that are made at once for chats. What is being made goes on when its chat has left, so chats that come and
    /// go would otherwise make any number.
    pub makings: usize,
}

/// The upstream, for calls that chats wait for and for calls that nobody waits for.
#[derive(Clone)]
pub(super) struct Upstreams {
    pub(super) foreground: Arc<dyn Upstream>,
    pub(super) background: Arc<dyn Upstream>,
}

/// Makes conversations, keeps some ready, and removes them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Conversations {
    shared: Arc<Shared>,
}

struct Shared {
    upstreams: Upstreams,
    accounts: Accounts,
    policy: Mutex<ConversationPolicy>,
    tasks: TaskTracker,
    ledger: Arc<Ledger>,
    cleanup: Cleanup,
    metrics: Arc<Metrics>,
    makings: ArcSwap<Semaphore>,
}

impl Conversations {
    /// Conversations on the upstream; whatever must outlive a chat runs on `tasks`.
    #[must_use]
    pub(super) fn new(
        upstreams: Upstreams,
        policy: ConversationPolicy,
        store: Arc<dyn Store>,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Self {
        let ledger = Arc::new(Ledger::new(store));
        let cleanup = Cleanup::new(
            Arc::clone(&upstreams.background),
            Arc::clone(&ledger),
            tasks.clone(),
            policy.cleanup,
            Arc::clone(&metrics),
        );
        Self {
            shared: Arc::new(Shared {
                upstreams,
                accounts: Accounts::default(),
                policy: Mutex::new(policy),
                tasks,
                ledger,
                cleanup,
                metrics,
                makings: ArcSwap::from_pointee(Semaphore::new(policy.makings)),
            }),
        }
    }

    fn policy(&self) -> StockPolicy {
        let policy = self.shared.policy.lock();
        policy.unwrap_or_else(PoisonError::into_inner).stock
    }

    /// Changes what is done from now on.
    pub(super) fn set_policy(&self, policy: ConversationPolicy) {
        self.shared.cleanup.enable(policy.cleanup);
        let kept = self.shared.policy.lock();
        let before = std::mem::replace(&mut *kept.unwrap_or_else(PoisonError::into_inner), policy);
        if before.makings != policy.makings {
            // Those that are being made go on beside the new limit, and give back to the old.
            let makings = Semaphore::new(policy.makings);
            self.shared.makings.store(Arc::new(makings));
        }
    }

    /// The book of conversations.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// The removal of conversations.
    pub(super) fn cleanup(&self) -> &Cleanup {
        &self.shared.cleanup
    }

    /// How many conversations there are.
    #[must_use]
    pub(super) fn counts(&self) -> ConversationCounts {
        self.shared.ledger.counts()
    }

    /// One that stands ready in the token's account.
    #[must_use]
    pub(super) fn warm(&self, token: &Token) -> Option<Conversation> {
        let reference = self.account(token).stock().take(self.policy())?;
        self.shared.ledger.stand(token, &reference, Standing::InUse);
        Some(self.own(token, reference, true))
    }

    /// Makes a fresh conversation in the project of the token's account. Dropping the future loses nothing: the
    /// work goes on, and what comes of it is removed.
    ///
    /// # Errors
    /// As the calls fail; a project that vanished is forgotten, so that the next try finds or makes another.
    pub(super) async fn fresh(&self, token: &Token) -> Result<Conversation, UpstreamError> {
        // Nobody closes the semaphore; were it closed, there would be no limit.
        let makings = self.shared.makings.load_full();
        let making = makings.acquire_owned().await.ok();
        let (conversations, token) = (self.clone(), token.clone());
        let made = self.shared.tasks.spawn(async move {
            let _making = making;
            let upstream = Arc::clone(&conversations.shared.upstreams.foreground);
            let made = conversations.make(&token, upstream.as_ref()).await;
            made.map(|reference| conversations.own(&token, reference, false))
        });
        made.await.unwrap_or_else(|failure| {
            Err(UpstreamError::new(
                Step::CreateConversation,
                Fault::Connection,
                failure.to_string(),
            ))
        })
    }

    /// Runs what must outlive a chat.
    fn run(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.shared.tasks.spawn(work)
    }

    fn own(&self, token: &Token, reference: ConversationRef, warm: bool) -> Conversation {
        Conversation::new(self.clone(), token.clone(), reference, warm)
    }

    async fn make(&self, token: &Token, upstream: &dyn Upstream) -> Result<ConversationRef, UpstreamError> {
        let project = self.project(token, upstream).await?;
        let _making = self.account(token).begin_making();
        match upstream.create_conversation(token, &project).await {
            Ok(conversation) => {
                let reference = ConversationRef {
                    project,
                    conversation,
                };
                self.shared.ledger.made(token, &reference);
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

    async fn project(&self, token: &Token, upstream: &dyn Upstream) -> Result<RemoteId, UpstreamError> {
        let account = self.account(token);
        let mut project = account.project.lock().await;
        if let Some(known) = project.as_ref() {
            return Ok(known.clone());
        }
        let found = match upstream.list_projects(token).await?.into_iter().next() {
            Some(found) => found,
            None => {
                let created = upstream.create_project(token).await;
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

    /// A chat used the token's account with success: from now on some stand ready there.
    pub(super) fn used(&self, token: &Token) {
        if self.shared.tasks.is_closed() {
            return; // the process ends: what stands ready is being removed
        }
        let (policy, account) = (self.policy(), self.account(token));
        let mut stock = account.stock();
        // What has stood too long must not keep fresh ones out until it is swept.
        let expired = stock.expired(policy);
        stock.note_use(policy);
        if let Some(epoch) = stock.begin_filling(policy) {
            let filling = self.clone().fill(token.clone(), Arc::clone(&account), epoch);
            self.shared.tasks.spawn(filling);
        }
        drop(stock);
        for reference in expired {
            self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
        }
    }

    async fn fill(self, token: Token, account: Arc<Account>, epoch: Epoch) {
        loop {
            let upstream = Arc::clone(&self.shared.upstreams.background);
            let reference = match self.make(&token, upstream.as_ref()).await {
                Ok(reference) => reference,
                Err(error) => {
                    // The next chat will try again, and judge what it meets.
                    tracing::debug!(token = %token.label(), error = %error, "no conversation for the stock");
                    return account.stock().stop_filling(epoch);
                }
            };
            self.shared.ledger.stand(&token, &reference, Standing::Ready);
            let policy = self.policy();
            let mut stock = account.stock();
            let unwanted = match self.shared.tasks.is_closed() {
                true => Some(reference),
                false => stock.put(reference, epoch, policy).err(),
            };
            let done = !stock.goes_on_filling(epoch, policy) || unwanted.is_some();
            if done {
                stock.stop_filling(epoch);
            }
            drop(stock);
            if let Some(reference) = unwanted {
                self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
            }
            if done {
                return;
            }
        }
    }

    /// Removes what stands ready in the token's account.
    pub(super) fn empty_stock(&self, token: &Token) {
        for reference in self.account(token).stock().empty() {
            self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
        }
    }

    /// Removes what stands ready anywhere.
    pub(super) fn empty_stocks(&self) {
        for account in self.shared.accounts.all() {
            self.empty_stock(account.token());
        }
    }

    /// Resolves when every conversation that is being made in the token's account is in the book.
    pub(super) async fn all_made(&self, token: &Token) {
        self.account(token).all_made().await;
    }

    /// Takes what stands ready in the token's account, and what could not be removed from it before, for the caller to
    /// remove.
    #[must_use]
    pub(super) fn idle(&self, token: &Token) -> Vec<ConversationRef> {
        let mut idle = self.account(token).stock().empty();
        for reference in &idle {
            self.shared.ledger.stand(token, reference, Standing::Leaving);
        }
        idle.extend(self.shared.ledger.take_left(token));
        idle
    }

    /// Forgets the account of a token that left the pool, and removes what stands ready in it.
    pub(super) fn close_account(&self, token: &Token) {
        if let Some(account) = self.shared.accounts.take(token) {
            self.close(&account);
        }
    }

    fn close(&self, account: &Account) {
        for reference in account.stock().close() {
            let token = account.token().clone();
            self.shared.cleanup.remove(token, reference, Last::Idle);
        }
    }

    /// Removes what has stood too long in these tokens' accounts, and tells when the next expires. Accounts of other
    /// tokens are forgotten: a chat that went on after its token had left the pool has brought them back.
    pub(super) fn sweep(&self, tokens: &[Token]) -> Option<Instant> {
        let policy = self.policy();
        for account in self.shared.accounts.take_strays(tokens) {
            self.close(&account);
        }
        let mut next = None;
        for token in tokens {
            let account = self.account(token);
            let mut stock = account.stock();
            let expired = stock.expired(policy);
            next = next.into_iter().chain(stock.next_expiry(policy)).min();
            drop(stock);
            for reference in expired {
                self.shared.cleanup.remove(token.clone(), reference, Last::Idle);
            }
        }
        next
    }

    /// How many stand ready in the token's account.
    #[must_use]
    pub(super) fn stocked(&self, token: &Token) -> usize {
        self.account(token).stock().len()
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::answer::tests::{conversations, policy};

    #[test]
    fn a_lower_limit_holds_once_what_is_being_made_is_through() {
        let conversations = conversations(policy(3));
        let free = || conversations.shared.makings.load().available_permits();
        let before = conversations.shared.makings.load_full();
        let busy = before.try_acquire_many(3).unwrap();
        conversations.set_policy(policy(1));
        drop(busy);
        assert_eq!(free(), 1);
        conversations.set_policy(policy(2));
        assert_eq!(free(), 2);
    }
}
