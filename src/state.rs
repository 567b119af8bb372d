//! State that survives a restart, in a directory: `tokens.json` holds the cooldowns and failure counts of credentials,
//! and `conversations.log` names the conversations that still have to be deleted upstream. Credentials appear only as
//! hashes.
//!
//! The first file is replaced atomically as a whole. The second is a journal: a line is appended, in one write, before
//! a new conversation is used, so that a process killed at any moment leaves no conversation unknown to the next one.
//! It is compacted when most of its lines are about deleted conversations.
//!
//! A dedicated thread writes both. Chats wait for it, but not for a disk that does not respond.

mod format;
mod ids;
mod journal;
mod keeper;

use std::{
    collections::HashMap,
    fmt, io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::{sync::watch, time::timeout};

pub use self::{
    ids::{ConversationRef, RemoteId},
    journal::{Journal, NoJournal, OwedConversation},
};

use self::keeper::Keeper;
use crate::engine::store::{SavedToken, TokenStore};

/// Maximum size of the journal lines that wait for a stalled disk, in bytes; beyond it they are dropped, and the whole
/// journal is rewritten once the disk responds.
const MOST_WAITING: usize = 1 << 20;
/// How long dropping the state waits for pending writes.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Conversations that still have to be deleted, each with its project.
type Owed = HashMap<([u8; 32], RemoteId), RemoteId>;

/// The state that an earlier run left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Credentials with a failure state.
    pub tokens: Vec<SavedToken>,
    /// Conversations that still have to be deleted.
    pub conversations: Vec<OwedConversation>,
}

/// A state directory, locked against other processes.
pub struct StateDir {
    directory: PathBuf,
    desk: Arc<Desk>,
}

/// The exchange between callers and the writing thread.
struct Desk {
    tray: Mutex<Tray>,
    /// Signalled when there is something to write, or the end has come.
    work: Condvar,
    /// Signalled when the thread has ended.
    over: Condvar,
    /// The number of the last change that was written, or could not be.
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct Tray {
    owed: Owed,
    /// Journal lines to append.
    lines: String,
    tokens: Option<Vec<SavedToken>>,
    /// Too many lines were waiting: the journal must be rewritten.
    overflown: bool,
    /// The number of the last change handed over.
    handed: u64,
    /// The disk did not respond in time, and that was logged.
    stalled: bool,
    closing: bool,
    over: bool,
}

/// The changes that are written together.
struct Batch {
    lines: String,
    tokens: Option<Vec<SavedToken>>,
    overflown: bool,
    number: u64,
}

impl Desk {
    fn new(owed: Owed) -> Self {
        Self {
            tray: Mutex::new(Tray {
                owed,
                ..Tray::default()
            }),
            work: Condvar::new(),
            over: Condvar::new(),
            done: watch::Sender::new(0),
        }
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock()
    }

    fn hand_over(&self, change: impl FnOnce(&mut Tray)) {
        let mut tray = self.tray();
        change(&mut tray);
        tray.handed += 1;
        drop(tray);
        self.work.notify_one();
    }

    fn note(&self, line: &str, change: impl FnOnce(&mut Owed)) {
        self.hand_over(|tray| {
            change(&mut tray.owed);
            if tray.lines.len() + line.len() > MOST_WAITING {
                tray.overflown = true;
                tray.lines = String::new();
            } else if !tray.overflown {
                tray.lines.push_str(line);
            }
        });
    }

    /// The next batch; blocks until there is one. `None` at the end.
    fn next(&self) -> Option<Batch> {
        let mut tray = self.tray();
        self.work.wait_while(&mut tray, |tray| {
            !tray.closing && tray.handed == *self.done.borrow()
        });
        if tray.handed == *self.done.borrow() {
            return None;
        }
        Some(Batch {
            lines: mem::take(&mut tray.lines),
            tokens: tray.tokens.take(),
            overflown: mem::take(&mut tray.overflown),
            number: tray.handed,
        })
    }

    fn owed(&self) -> Owed {
        self.tray().owed.clone()
    }

    fn finish(&self, number: u64) {
        let has_stalled = mem::take(&mut self.tray().stalled);
        self.done.send_replace(number);
        if has_stalled {
            tracing::info!("the disk of STATE_DIR answers again");
        }
    }

    fn run(&self, mut keeper: Keeper) {
        while let Some(batch) = self.next() {
            let number = batch.number;
            keeper.keep(batch, || self.owed());
            self.finish(number);
        }
        drop(keeper);
        self.tray().over = true;
        self.over.notify_all();
    }
}

impl StateDir {
    /// Opens the directory, creating it if necessary, and reads the state of an earlier run. Unreadable entries are
    /// skipped and logged.
    ///
    /// # Errors
    /// When the directory cannot be read or written, another process holds it, or the thread cannot be started.
    pub fn open(directory: &Path) -> io::Result<(Self, Saved)> {
        let (keeper, tokens, owed) = Keeper::open(directory)?;
        let conversations = owed.iter().map(|((digest, conversation), project)| {
            format::saved(*digest, project.clone(), conversation.clone())
        });
        let saved = Saved {
            tokens,
            conversations: conversations.collect(),
        };
        let desk = Arc::new(Desk::new(owed));
        let writing = Arc::clone(&desk);
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || writing.run(keeper))?;
        let state = Self {
            directory: directory.to_owned(),
            desk,
        };
        Ok((state, saved))
    }

    /// Checks whether [`open`](Self::open) would succeed now, without creating anything and without disturbing a
    /// process that uses the directory.
    ///
    /// # Errors
    /// When the directory can be neither used nor created; `ResourceBusy` when another process holds it.
    pub fn look(directory: &Path) -> io::Result<()> {
        keeper::look(directory)
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let mut tray = self.desk.tray();
        tray.closing = true;
        self.desk.work.notify_one();
        self.desk
            .over
            .wait_while_for(&mut tray, |tray| !tray.over, LAST_WRITES);
        if !tray.over {
            tracing::error!("state cannot be kept: the disk of STATE_DIR does not answer");
        }
    }
}

impl fmt::Debug for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateDir({})", self.directory.display())
    }
}

impl TokenStore for StateDir {
    fn save(&self, tokens: Vec<SavedToken>) {
        self.desk.hand_over(|tray| tray.tokens = Some(tokens));
    }

    fn written(&self, timeout: Duration) -> BoxFuture<'static, ()> {
        self.flushed(timeout)
    }
}

impl Journal for StateDir {
    fn owe(&self, conversation: &OwedConversation) {
        let reference = &conversation.reference;
        self.desk.note(&format::made(conversation), |owed| {
            let key = (conversation.digest, reference.conversation.clone());
            owed.insert(key, reference.project.clone());
        });
    }

    fn settle(&self, conversation: &OwedConversation) {
        self.desk.note(&format::gone(conversation), |owed| {
            let key = (conversation.digest, conversation.reference.conversation.clone());
            owed.remove(&key);
        });
    }

    fn written(&self, timeout: Duration) -> BoxFuture<'static, ()> {
        self.flushed(timeout)
    }
}

impl StateDir {
    /// Resolves when everything that was handed over is on the disk, or cannot be, at the latest after `patience`.
    fn flushed(&self, patience: Duration) -> BoxFuture<'static, ()> {
        let desk = Arc::clone(&self.desk);
        let handed = desk.tray().handed;
        Box::pin(async move {
            if desk.tray().stalled {
                return;
            }
            let mut done = desk.done.subscribe();
            let written = timeout(patience, done.wait_for(|done| *done >= handed)).await;
            if written.is_ok() {
                return;
            }
            if !mem::replace(&mut desk.tray().stalled, true) {
                tracing::error!("state cannot be kept: the disk of STATE_DIR does not answer");
            }
        })
    }
}

#[cfg(test)]
mod tests;
