//! What outlives the process: the port through which the engine keeps the little that a restart must know. Tokens are
//! in it by their hash only.

use std::{
    fmt, future,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;

use super::{bench::BenchReason, upstream::ConversationRef};

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

/// A conversation that the gateway made and has not removed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedConversation {
    /// The SHA-256 of the token whose account it is in.
    pub digest: [u8; 32],
    /// Where it is.
    pub reference: ConversationRef,
}

/// Everything that an earlier run left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Tokens that something was held against.
    pub tokens: Vec<SavedToken>,
    /// Conversations still owed a removal.
    pub conversations: Vec<SavedConversation>,
}

/// Keeps state. Every call hands something over and returns at once; what cannot be kept is told to the log by the
/// keeper, since no chat should fail for it.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// What is held against tokens, all of them: replaces what was kept.
    fn keep_tokens(&self, tokens: Vec<SavedToken>);

    /// A conversation was made: from here on it is owed a removal.
    fn owe(&self, conversation: &SavedConversation);

    /// A conversation was removed, or given up.
    fn settle(&self, conversation: &SavedConversation);

    /// Resolves when all that was handed over is kept, or cannot be, at the latest after `patience`. While the place where
    /// it is kept does not answer, only the first who wait are held up.
    fn kept(&self, patience: Duration) -> BoxFuture<'static, ()>;
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

impl Store for Forgetful {
    fn keep_tokens(&self, _tokens: Vec<SavedToken>) {}
    fn owe(&self, _conversation: &SavedConversation) {}
    fn settle(&self, _conversation: &SavedConversation) {}
    fn kept(&self, _patience: Duration) -> BoxFuture<'static, ()> {
        Box::pin(future::ready(()))
    }
}
