//! Reading and writing the files of the state directory.

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
/// A journal with fewer lines than this is never compacted.
pub(super) const SHORT: usize = 10_000;

/// The files of a state directory.
pub(super) struct Keeper {
    directory: PathBuf,
    pub(super) journal: File,
    lines: usize,
    /// The last journal write failed, and that was logged; the next success is logged too.
    pub(super) failing: bool,
    /// The same for `tokens.json`.
    tokens_failing: bool,
    /// Locked while the process uses the directory.
    _lock: File,
}

impl Keeper {
    /// Locks the directory and reads its files.
    ///
    /// # Errors
    /// When it cannot be read or written, or another process holds it.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Vec<SavedToken>, Owed)> {
        fs::create_dir_all(directory)?;
        let lock = private().write(true).create(true).open(directory.join(LOCK))?;
        hold(&lock)?;
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
            tokens_failing: false,
            _lock: lock,
        };
        Ok((keeper, tokens, owed))
    }

    /// Writes a batch, and logs a failure to. `owed` gives the complete contents of the journal.
    pub(super) fn keep(&mut self, batch: Batch, owed: impl FnOnce() -> Owed) {
        if let Some(tokens) = batch.tokens {
            let text = format::write_tokens(&tokens);
            let kept = replace(&self.directory, TOKENS, text.as_bytes()).map(drop);
            tell(TOKENS, &kept, &mut self.tokens_failing);
        }
        if batch.overflown || !batch.lines.is_empty() {
            self.note(&batch.lines, batch.overflown, owed);
        }
    }

    fn note(&mut self, lines: &str, overflown: bool, owed: impl FnOnce() -> Owed) {
        self.lines += lines.lines().count();
        // After a failed write the file may end in half a line, and lacks later changes; only rewriting makes it
        // complete.
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
        tell(JOURNAL, &kept, &mut self.failing);
    }
}

/// Logs the first failure to write a file, and the recovery from it.
fn tell(file: &'static str, kept: &io::Result<()>, failing: &mut bool) {
    match kept {
        Err(error) if !*failing => tracing::error!(file, %error, "state cannot be kept"),
        Ok(()) if *failing => tracing::info!(file, "state can be kept again"),
        Ok(()) | Err(_) => {}
    }
    *failing = kept.is_err();
}

/// See [`StateDir::look`](super::StateDir::look).
pub(super) fn look(directory: &Path) -> io::Result<()> {
    let there = nearest(directory)?;
    if there == directory {
        if let Some(lock) = if_there(private().write(true).open(directory.join(LOCK)))? {
            hold(&lock)?;
        }
        for name in [TOKENS, JOURNAL] {
            if_there(File::open(directory.join(name)))?;
            if_there(private().write(true).open(directory.join(aside(name))))?;
        }
    }
    // Creating a file is the only reliable test for write access. The file has no name, or loses it at once.
    let made = tempfile::tempfile_in(there);
    made.map(drop).map_err(|error| error.kind().into())
}

/// Locks the directory until the file is closed.
fn hold(lock: &File) -> io::Result<()> {
    lock.try_lock().map_err(|failure| match failure {
        TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process keeps its state there",
        ),
        TryLockError::Error(error) => error,
    })
}

/// The directory itself, or its nearest existing ancestor.
fn nearest(directory: &Path) -> io::Result<&Path> {
    for place in directory
        .ancestors()
        .filter(|place| !place.as_os_str().is_empty())
    {
        match place.symlink_metadata() {
            Ok(_) => return Ok(place),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Path::new("."))
}

/// Turns a missing file into `None`.
fn if_there(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The temporary name under which a file's replacement is written.
fn aside(name: &str) -> String {
    format!("{name}.new")
}

/// Options for files that only the owner may access.
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

/// Replaces a file atomically: a reader sees the old or the new contents. Returns the new file, open at its end.
fn replace(directory: &Path, name: &str, content: &[u8]) -> io::Result<File> {
    let aside = directory.join(aside(name));
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
