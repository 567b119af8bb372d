//! What happens on the disk.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Batch, Owed, format};
use crate::engine::store::SavedToken;

pub(super) const TOKENS: &str = "tokens.json";
pub(super) const JOURNAL: &str = "conversations.log";
pub(super) const LOCK: &str = "lock";
/// A journal shorter than this is never rewritten.
pub(super) const SHORT: usize = 10_000;

/// Writes the files of a directory.
pub(super) struct Keeper {
    directory: PathBuf,
    pub(super) journal: File,
    lines: usize,
    /// A write failed, which was told; the next success is told too.
    pub(super) failing: bool,
    /// Locked for as long as the process uses the directory.
    _lock: File,
}

impl Keeper {
    /// Takes the directory, and reads what is in it.
    ///
    /// # Errors
    /// When it cannot be read and written, or another process holds it.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Vec<SavedToken>, Owed)> {
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
        let keeper = Self {
            directory: directory.to_owned(),
            journal: rewrite(directory, &owed)?,
            lines: owed.len(),
            failing: false,
            _lock: lock,
        };
        Ok((keeper, tokens, owed))
    }

    /// Writes a batch. What cannot be written is told to the log; `owed` tells what the journal should say.
    pub(super) fn keep(&mut self, batch: Batch, owed: impl FnOnce() -> Owed) {
        if let Some(tokens) = batch.tokens {
            let text = format::write_tokens(&tokens);
            if let Err(error) = replace(&self.directory, TOKENS, text.as_bytes()) {
                tracing::error!(file = TOKENS, %error, "state cannot be kept");
            }
        }
        if batch.overflown || !batch.lines.is_empty() {
            self.note(&batch.lines, batch.overflown, owed);
        }
    }

    fn note(&mut self, lines: &str, overflown: bool, owed: impl FnOnce() -> Owed) {
        self.lines += lines.lines().count();
        // After a failed write the file may end in half a line, and lacks what was noted since: only a new one is whole.
        let is_broken = self.failing || overflown;
        let kept = match (is_broken || self.lines >= SHORT).then(owed) {
            Some(owed) if is_broken || self.lines / 4 > owed.len() => {
                rewrite(&self.directory, &owed).map(|file| {
                    self.journal = file;
                    self.lines = owed.len();
                })
            }
            Some(_) | None => self.journal.write_all(lines.as_bytes()),
        };
        match (kept, self.failing) {
            (Err(error), false) => {
                self.failing = true;
                tracing::error!(file = JOURNAL, %error, "state cannot be kept");
            }
            (Ok(()), true) => {
                self.failing = false;
                tracing::info!(file = JOURNAL, "state can be kept again");
            }
            (Err(_), true) | (Ok(()), false) => {}
        }
    }
}

/// For files that are nobody else's business.
pub(super) fn private() -> OpenOptions {
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

fn rewrite(directory: &Path, owed: &Owed) -> io::Result<File> {
    let lines = owed.iter().map(|((digest, conversation), project)| {
        format::made(&format::saved(*digest, project.clone(), conversation.clone()))
    });
    replace(directory, JOURNAL, lines.collect::<String>().as_bytes())
}
