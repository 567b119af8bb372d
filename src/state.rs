//! What outlives the process, in a directory: `tokens.json` holds what is held against tokens, and `conversations.log`
//! names the conversations that are owed a removal. Tokens are in both by their hash only.
//!
//! The first is replaced whole and atomically. The second is a journal: one line is appended, in one write, before a new
//! conversation is used, so that a process which is killed at any moment leaves nothing that the next one does not know
//! of. It is rewritten when most of it tells of conversations that are gone.
//!
//! A thread of its own writes both. Chats wait for it, but not for a disk that does not answer.

mod format;
mod ids;
mod journal;
mod keeper;

use std::{
    collections::HashMap,
    fmt, io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::watch, time::timeout};

pub use self::{
    ids::{ConversationRef, RemoteId},
    journal::{Journal, NoJournal, OwedConversation},
};

use self::keeper::Keeper;
use crate::engine::store::{SavedToken, TokenStore};

/// Lines of the journal that wait for a disk that does not answer are gathered up to this many bytes; then the journal
/// is rewritten once it does.
const MOST_WAITING: usize = 1 << 20;
/// How long the end of the process waits for the disk.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Conversations that are owed a removal: where each one's project is.
type Owed = HashMap<([u8; 32], RemoteId), RemoteId>;

/// The state that an earlier run left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Tokens with a failure state.
    pub tokens: Vec<SavedToken>,
    /// Conversations still owed a removal.
    pub conversations: Vec<OwedConversation>,
}

/// Keeps state in a directory, which it holds for itself.
pub struct StateDir {
    directory: PathBuf,
    desk: Arc<Desk>,
}

/// Where state is handed over to the thread that writes it.
struct Desk {
    tray: Mutex<Tray>,
    /// There is something to write, or nothing more will come.
    work: Condvar,
    /// The thread has ended.
    over: Condvar,
    /// The number of the last thing that was written, or could not be.
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct Tray {
    owed: Owed,
    /// Lines that the journal lacks.
    lines: String,
    tokens: Option<Vec<SavedToken>>,
    /// Too many lines have waited: the journal is to be rewritten.
    overflown: bool,
    /// The number of the last thing that was handed over.
    handed: u64,
    /// The disk did not answer in time, which was told.
    stalled: bool,
    closing: bool,
    over: bool,
}

/// What is written at once.
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
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The next batch. Waits for it; `None` when nothing more will come.
    fn next(&self) -> Option<Batch> {
        let tray = self.tray();
        let waited = self
            .work
            .wait_while(tray, |tray| !tray.closing && tray.handed == *self.done.borrow());
        let mut tray = waited.unwrap_or_else(PoisonError::into_inner);
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
    /// Opens the directory, making it where there is none, and reads what an earlier run kept there. What cannot be
    /// understood is left out, with a word to the log.
    ///
    /// # Errors
    /// When the directory cannot be read and written, another process holds it, or there can be no thread for it.
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

    /// Whether [`open`](Self::open) would do now, as far as that shows without changing anything: nothing is made, and a
    /// process that uses the directory is not disturbed.
    ///
    /// # Errors
    /// When the directory can be neither used nor made; `ResourceBusy` when another process holds it.
    pub fn look(directory: &Path) -> io::Result<()> {
        keeper::look(directory)
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let mut tray = self.desk.tray();
        tray.closing = true;
        self.desk.work.notify_one();
        let ended = self
            .desk
            .over
            .wait_timeout_while(tray, LAST_WRITES, |tray| !tray.over);
        let (tray, _) = ended.unwrap_or_else(PoisonError::into_inner);
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
