//! The journal of conversations: the port through which the conversations that are owed a removal outlive the process.
//! Credentials are in it by their hash only.

use std::{fmt, future, time::Duration};

use futures::future::BoxFuture;

use super::ids::ConversationRef;

/// A conversation that the gateway made and has not removed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedConversation {
    /// The SHA-256 of the credential whose account holds it.
    pub digest: [u8; 32],
    /// The conversation's ids.
    pub reference: ConversationRef,
}

/// Writes the journal. Every call but [`written`](Journal::written) returns at once; a failure to write is the journal's
/// to log, since no chat should fail for it.
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// A conversation was made: from here on it is owed a removal.
    fn owe(&self, conversation: &OwedConversation);

    /// A conversation was removed, or given up.
    fn settle(&self, conversation: &OwedConversation);

    /// Resolves when every earlier call is on the disk, or cannot be, at the latest after `timeout`. While the disk does
    /// not answer, only the first callers wait.
    fn written(&self, timeout: Duration) -> BoxFuture<'static, ()>;
}

/// A journal that writes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn owe(&self, _conversation: &OwedConversation) {}
    fn settle(&self, _conversation: &OwedConversation) {}
    fn written(&self, _timeout: Duration) -> BoxFuture<'static, ()> {
        Box::pin(future::ready(()))
    }
}
