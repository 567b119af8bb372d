//! The state of tokens that outlives the process: the port through which the engine saves it. Tokens are in it by their
//! hash only.

use std::{
    fmt, future,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;

use super::bench::BenchReason;

/// What is held against a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedToken {
    /// The credential's SHA-256.
    pub digest: [u8; 32],
    /// Why it is benched, and until when; `None` for one that is disabled.
    pub benched: Option<(BenchReason, SystemTime)>,
    /// Refusals in a row.
    pub refusals: u32,
    /// Rate limits in a row.
    pub rate_limits: u32,
}

/// Saves the state of tokens. Every call but [`written`](TokenStore::written) returns at once; a failure to write is the
/// store's to log, since no chat should fail for it.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The state of every token that has any: replaces the last.
    fn save(&self, tokens: Vec<SavedToken>);

    /// Resolves when every earlier call is on the disk, or cannot be, at the latest after `timeout`. While the disk does
    /// not answer, only the first callers wait.
    fn written(&self, timeout: Duration) -> BoxFuture<'static, ()>;
}

/// A store that saves nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopStore;

impl TokenStore for NoopStore {
    fn save(&self, _tokens: Vec<SavedToken>) {}
    fn written(&self, _timeout: Duration) -> BoxFuture<'static, ()> {
        Box::pin(future::ready(()))
    }
}
