//! The accounts behind the credentials: the project each works in, its warm pool, and the conversations that are being
//! created in it.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use parking_lot::{Mutex, MutexGuard};

use super::warm_pool::WarmPool;
use crate::engine::provider::Token;
use crate::state::RemoteId;

/// The account of one credential.
#[derive(Debug)]
pub(super) struct Account {
    token: Token,
    /// Locked while the project is looked up or made, so that only one is ever made.
    pub(super) project: tokio::sync::Mutex<Option<RemoteId>>,
    warm_pool: Mutex<WarmPool>,
    creations: Mutex<TaskTracker>,
}

impl Account {
    fn new(token: Token) -> Self {
        Self {
            token,
            project: tokio::sync::Mutex::default(),
            warm_pool: Mutex::default(),
            creations: Mutex::default(),
        }
    }

    /// The token.
    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// The warm pool.
    pub(super) fn warm_pool(&self) -> MutexGuard<'_, WarmPool> {
        self.warm_pool.lock()
    }

    /// Notes that a conversation is being created, until the guard is dropped.
    pub(super) fn begin_creation(&self) -> TaskTrackerToken {
        self.creations.lock().token()
    }

    /// Resolves when every conversation that was being created is in the ledger, or came to nothing. Creations that
    /// begin meanwhile do not wait, and are not waited for.
    pub(super) async fn all_created(&self) {
        let begun = mem::take(&mut *self.creations.lock());
        begun.close();
        begun.wait().await;
    }
}

/// All accounts, each there from its first use on.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<HashMap<[u8; 32], Arc<Account>>>);

impl Accounts {
    /// The account of a token.
    pub(super) fn of(&self, token: &Token) -> Arc<Account> {
        let mut accounts = self.0.lock();
        let account = accounts.entry(token.digest());
        Arc::clone(account.or_insert_with(|| Arc::new(Account::new(token.clone()))))
    }

    /// Every account.
    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        self.0.lock().values().map(Arc::clone).collect()
    }

    /// Takes out the accounts of tokens that are none of these.
    pub(super) fn take_strays(&self, tokens: &[Token]) -> Vec<Arc<Account>> {
        let known: HashSet<[u8; 32]> = tokens.iter().map(Token::digest).collect();
        let strays = self
            .0
            .lock()
            .extract_if(|digest, _| !known.contains(digest))
            .collect::<Vec<_>>();
        strays.into_iter().map(|(_, account)| account).collect()
    }

    /// Takes out the account of a token.
    pub(super) fn take(&self, token: &Token) -> Option<Arc<Account>> {
        self.0.lock().remove(&token.digest())
    }
}
