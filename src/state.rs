//! What outlives the process, in a directory: `tokens.json` holds what is held against tokens, and `conversations.log`
//! names the conversations that are owed a removal. Tokens are in both by their hash only.
//!
//! The first is replaced whole and atomically. The second is a journal: one line is appended, in one write, before a new
//! conversation is used, so that a process which is killed at any moment leaves nothing that the next one does not know
//! of. It is rewritten when most of it tells of conversations that are gone.

mod format;

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::engine::{
    store::{Saved, SavedConversation, SavedToken, Store},
    upstream::RemoteId,
};

const TOKENS: &str = "tokens.json";
const JOURNAL: &str = "conversations.log";
const LOCK: &str = "lock";
/// A journal shorter than this is never rewritten.
const SHORT: usize = 10_000;

/// Keeps state in a directory, which it holds for itself.
pub struct StateDir {
    directory: PathBuf,
    journal: Mutex<Journal>,
    /// The tokens' state could not be written, which was told; the next success is told too.
    tokens_failing: AtomicBool,
    /// Locked for as long as the process uses the directory.
    _lock: File,
}

struct Journal {
    file: File,
    lines: usize,
    /// What is owed: where each conversation's project is.
    owed: HashMap<([u8; 32], RemoteId), RemoteId>,
    /// A write failed, which was told; the next success is told too.
    failing: bool,
}

impl StateDir {
    /// Opens the directory, making it where there is none, and reads what an earlier run kept there. What cannot be
    /// understood is left out, with a word to the log.
    ///
    /// # Errors
    /// When the directory cannot be read and written, or another process holds it.
    pub fn open(directory: &Path) -> io::Result<(Self, Saved)> {
        fs::create_dir_all(directory)?;
        let lock = private().write(true).create(true).open(directory.join(LOCK))?;
        lock.try_lock().map_err(|failure| match failure {
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process keeps its state there",
            ),
            TryLockError::Error(error) => error,
        })?;
        let tokens = read(&directory.join(TOKENS))?;
        let tokens = format::read_tokens(&tokens).unwrap_or_else(|problem| {
            tracing::error!(
                file = TOKENS,
                problem,
                "the tokens' state cannot be read, and is left out"
            );
            Vec::new()
        });
        let owed = format::read_journal(&read(&directory.join(JOURNAL))?);
        let file = rewrite(directory, &owed)?;
        let conversations = owed.iter().map(|((digest, conversation), project)| {
            format::saved(*digest, project.clone(), conversation.clone())
        });
        let saved = Saved {
            tokens,
            conversations: conversations.collect(),
        };
        let journal = Journal {
            file,
            lines: owed.len(),
            owed,
            failing: false,
        };
        let state = Self {
            directory: directory.to_owned(),
            journal: Mutex::new(journal),
            tokens_failing: AtomicBool::new(false),
            _lock: lock,
        };
        Ok((state, saved))
    }

    fn note(&self, line: &str, change: impl FnOnce(&mut Journal)) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut journal);
        journal.lines += 1;
        // After a failed write the file may end in half a line, and lacks what was noted since: only a new one is whole.
        let is_long = journal.lines >= SHORT && journal.lines / 4 > journal.owed.len();
        let kept = if journal.failing || is_long {
            rewrite(&self.directory, &journal.owed).map(|file| {
                journal.file = file;
                journal.lines = journal.owed.len();
            })
        } else {
            journal.file.write_all(line.as_bytes())
        };
        match (kept, journal.failing) {
            (Err(error), false) => {
                journal.failing = true;
                tracing::error!(file = JOURNAL, %error, "state cannot be kept");
            }
            (Ok(()), true) => {
                journal.failing = false;
                tracing::info!(file = JOURNAL, "state can be kept again");
            }
            (Err(_), true) | (Ok(()), false) => {}
        }
    }
}

impl fmt::Debug for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateDir({})", self.directory.display())
    }
}

impl Store for StateDir {
    fn keep_tokens(&self, tokens: &[SavedToken]) {
        let text = format::write_tokens(tokens);
        let kept = replace(&self.directory, TOKENS, text.as_bytes());
        let was_failing = self.tokens_failing.swap(kept.is_err(), Ordering::Relaxed);
        match kept {
            Err(error) if !was_failing => tracing::error!(file = TOKENS, %error, "state cannot be kept"),
            Ok(_) if was_failing => tracing::info!(file = TOKENS, "state can be kept again"),
            Ok(_) | Err(_) => {}
        }
    }

    fn owe(&self, conversation: &SavedConversation) {
        let reference = &conversation.reference;
        self.note(&format::made(conversation), |journal| {
            let key = (conversation.digest, reference.conversation.clone());
            journal.owed.insert(key, reference.project.clone());
        });
    }

    fn settle(&self, conversation: &SavedConversation) {
        self.note(&format::gone(conversation), |journal| {
            let key = (conversation.digest, conversation.reference.conversation.clone());
            journal.owed.remove(&key);
        });
    }
}

/// For files that are nobody else's business.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Puts a file in the place of another, so that a reader sees the one or the other and nothing between, and hands back
/// the new one, open at its end.
fn replace(directory: &Path, name: &str, content: &[u8]) -> io::Result<File> {
    let aside = directory.join(format!("{name}.new"));
    let mut file = private().write(true).create(true).truncate(true).open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&aside, directory.join(name))?;
    Ok(file)
}

fn rewrite(directory: &Path, owed: &HashMap<([u8; 32], RemoteId), RemoteId>) -> io::Result<File> {
    let lines = owed.iter().map(|((digest, conversation), project)| {
        format::made(&format::saved(*digest, project.clone(), conversation.clone()))
    });
    replace(directory, JOURNAL, lines.collect::<String>().as_bytes())
}

#[cfg(test)]
mod tests;
