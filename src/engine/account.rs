//! The accounts behind the tokens: the project each works in, its warm stock, and what is being made in it.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    stock::Stock,
    upstream::{RemoteId, Token},
};

/// What is known of one token's account.
#[derive(Debug)]
pub(super) struct Account {
    token: Token,
    /// Locked while the project is looked up or made, so that only one is ever made.
    pub(super) project: tokio::sync::Mutex<Option<RemoteId>>,
    stock: Mutex<Stock>,
    makings: Mutex<TaskTracker>,
}

impl Account {
    fn new(token: Token) -> Self {
        Self {
            token,
            project: tokio::sync::Mutex::default(),
            stock: Mutex::default(),
            makings: Mutex::default(),
        }
    }

    /// The token.
    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// What stands ready.
    pub(super) fn stock(&self) -> MutexGuard<'_, Stock> {
        // Every change under this lock is complete before it could panic.
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn makings(&self) -> MutexGuard<'_, TaskTracker> {
        self.makings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a conversation is being made, until the guard is dropped.
    pub(super) fn begin_making(&self) -> TaskTrackerToken {
        self.makings().token()
    }

    /// Resolves when every conversation that was being made is in the book, or came to nothing. What begins to be made
    /// meanwhile does not wait, and is not waited for.
    pub(super) async fn all_made(&self) {
        let begun = mem::take(&mut *self.makings());
        begun.close();
        begun.wait().await;
    }
}

/// All accounts, each there from its first use on.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<HashMap<[u8; 32], Arc<Account>>>);

impl Accounts {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Account>>> {
        // A map that another thread panicked beside is still a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of a token.
    pub(super) fn of(&self, token: &Token) -> Arc<Account> {
        let mut accounts = self.lock();
        let account = accounts.entry(token.digest());
        Arc::clone(account.or_insert_with(|| Arc::new(Account::new(token.clone()))))
    }

    /// Every account.
    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        self.lock().values().map(Arc::clone).collect()
    }

    /// Takes out the accounts of tokens that are none of these.
    pub(super) fn take_strays(&self, tokens: &[Token]) -> Vec<Arc<Account>> {
        let known: HashSet<[u8; 32]> = tokens.iter().map(Token::digest).collect();
        let strays = self
            .lock()
            .extract_if(|digest, _| !known.contains(digest))
            .collect::<Vec<_>>();
        strays.into_iter().map(|(_, account)| account).collect()
    }

    /// Takes out the account of a token.
    pub(super) fn take(&self, token: &Token) -> Option<Arc<Account>> {
        self.lock().remove(&token.digest())
    }
}
