//! The book of conversations: every one that the gateway made and that is not known to be gone. What stands in it is
//! owed a removal, across restarts where state is kept.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::engine::provider::{ConversationCounts, Token};
use crate::state::{ConversationRef, Journal, OwedConversation, RemoteId};

/// So many conversations that could not be removed are remembered, to be tried again when their token is back.
const MOST_LEFT: usize = 100_000;
/// How long a chat waits until its conversation is kept. A disk takes far less, unless it does not answer at all.
const KEEPING: Duration = Duration::from_millis(500);

/// What a conversation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// A chat runs in it.
    InUse,
    /// It stands ready for one.
    Ready,
    /// Its removal is under way.
    Leaving,
    /// Its removal failed.
    Left,
}

/// An account and the id of a conversation in it.
type Key = ([u8; 32], RemoteId);

/// The book.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: Mutex<HashMap<Key, (RemoteId, Standing)>>,
    journal: Arc<dyn Journal>,
}

impl Ledger {
    /// An empty book, kept in `journal`.
    #[must_use]
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self {
            entries: Mutex::default(),
            journal,
        }
    }

    /// A conversation was made, for a chat or for the stock. Resolves when a restart would know of it, or when that
    /// takes too long.
    pub(super) async fn made(&self, token: &Token, reference: &ConversationRef) {
        self.journal.owe(&saved(token.digest(), reference));
        self.stand(token, reference, Standing::InUse);
        self.journal.written(KEEPING).await;
    }

    /// It does something else now.
    pub(super) fn stand(&self, token: &Token, reference: &ConversationRef, standing: Standing) {
        let mut entries = self.entries.lock();
        if standing == Standing::Left && entries.len() >= MOST_LEFT {
            entries.remove(&key(token, reference));
            return;
        }
        entries.insert(key(token, reference), (reference.project.clone(), standing));
    }

    /// It is gone, or nobody is to remove it.
    pub(super) fn gone(&self, token: &Token, reference: &ConversationRef) {
        self.entries.lock().remove(&key(token, reference));
        self.journal.settle(&saved(token.digest(), reference));
    }

    /// Notes what an earlier run left, and hands out what is in the accounts of these tokens, to be removed.
    pub(super) fn restore(&self, owed: Vec<OwedConversation>) {
        let mut entries = self.entries.lock();
        for OwedConversation { digest, reference } in owed {
            let ConversationRef {
                project,
                conversation,
            } = reference;
            entries.insert((digest, conversation), (project, Standing::Left));
        }
    }

    /// Takes those of a token that could not be removed, to be tried again.
    #[must_use]
    pub(super) fn take_left(&self, token: &Token) -> Vec<ConversationRef> {
        let digest = token.digest();
        let mut taken = Vec::new();
        for ((account, conversation), (project, standing)) in self.entries.lock().iter_mut() {
            if *account == digest && *standing == Standing::Left {
                *standing = Standing::Leaving;
                taken.push(ConversationRef {
                    project: project.clone(),
                    conversation: conversation.clone(),
                });
            }
        }
        taken
    }

    /// Whether this conversation is the gateway's own and not yet gone.
    #[must_use]
    pub(super) fn holds(&self, token: &Token, conversation: &RemoteId) -> bool {
        self.entries
            .lock()
            .contains_key(&(token.digest(), conversation.clone()))
    }

    /// How many there are.
    #[must_use]
    pub(super) fn counts(&self) -> ConversationCounts {
        let mut counts = ConversationCounts::default();
        for (_, standing) in self.entries.lock().values() {
            let count = match standing {
                Standing::InUse => &mut counts.in_use,
                Standing::Ready => &mut counts.ready,
                Standing::Leaving => &mut counts.leaving,
                Standing::Left => &mut counts.left_behind,
            };
            *count += 1;
        }
        counts
    }
}

fn key(token: &Token, reference: &ConversationRef) -> Key {
    (token.digest(), reference.conversation.clone())
}

fn saved(digest: [u8; 32], reference: &ConversationRef) -> OwedConversation {
    OwedConversation {
        digest,
        reference: reference.clone(),
    }
}
