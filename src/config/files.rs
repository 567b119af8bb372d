//! Files that settings are read from: finding them, reading them with a size limit, and describing errors.

use super::problems::Report;
use super::sources::Sources;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The largest file that is read, in bytes. Real configurations are far smaller; a device such as `/dev/zero` is
/// endless.
pub const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// By when a pipe must have been written to its end. Opening one waits for a writer, who may never come.
const PIPE_PATIENCE: Duration = Duration::from_secs(30);

/// A configuration file, whether asked for or only looked for.
pub(super) struct Wanted {
    path: PathBuf,
    /// The file's name in messages.
    pub(super) label: String,
    /// The name under which problems of the file itself are reported.
    pub(super) blame: &'static str,
    must_exist: bool,
}

impl Wanted {
    pub(super) fn new(
        sources: &Sources,
        asked: Option<&Path>,
        usual: &'static str,
        flag: &'static str,
    ) -> Self {
        let label = asked.map_or_else(|| usual.to_owned(), |path| printable(&path.to_string_lossy()));
        let path = sources.directory.join(asked.unwrap_or(Path::new(usual)));
        Self {
            path,
            label,
            blame: if asked.is_some() { flag } else { usual },
            must_exist: asked.is_some(),
        }
    }

    /// The file's text, as far as it can be read. Errors are reported, except for a missing file that need not exist.
    pub(super) fn read(&self, report: &mut Report) -> Option<String> {
        let mut tell = |error: &io::Error| {
            report.lacks |= is_lack(error);
            report.problem(self.blame, why_unreadable(error), Some(&self.label));
        };
        match read_bytes(&self.path) {
            Ok(bytes) => Some(String::from_utf8(bytes).unwrap_or_else(|error| {
                tell(&io::ErrorKind::InvalidData.into());
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.must_exist => None,
            Err(error) => {
                tell(&error);
                None
            }
        }
    }
}

/// Reads a text file of limited size.
///
/// # Errors
/// When it cannot be read, is larger than [`LARGEST_FILE`], or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    if is_pipe(path) {
        read_pipe(path, PIPE_PATIENCE)
    } else {
        read_whole(File::open(path)?)
    }
}

/// Reads a pipe in a thread of its own, which is left behind where nobody writes.
fn read_pipe(path: &Path, patience: Duration) -> io::Result<Vec<u8>> {
    let (done, read) = mpsc::channel();
    let path = path.to_owned();
    thread::Builder::new().name("pipe".to_owned()).spawn(move || {
        let _nobody_waits = done.send(File::open(path).and_then(read_whole));
    })?;
    let waited = read.recv_timeout(patience);
    waited.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn read_whole(file: File) -> io::Result<Vec<u8>> {
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    let length = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if length as u64 > LARGEST_FILE {
        Err(io::ErrorKind::FileTooLarge.into())
    } else {
        Ok(bytes)
    }
}

/// Whether a file is a named pipe, or the end of one that another process has handed over.
#[cfg(unix)]
pub(super) fn is_pipe(file: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(file).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(not(unix))]
pub(super) fn is_pipe(_: &Path) -> bool {
    false
}

/// Whether an error tells what the process or its machine lacks, and nothing of the file: descriptors or memory.
pub(super) fn is_lack(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
    )
}

/// Why a file could not be read, in words of ours, and the system's own where those say too little.
#[must_use]
pub fn why_unreadable(error: &io::Error) -> String {
    // Only errors that the reader can act on have their own sentence; the set of kinds is open.
    #[allow(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is non-exhaustive")]
    let why = match error.kind() {
        io::ErrorKind::NotFound => "the file does not exist",
        io::ErrorKind::PermissionDenied => "the file may not be read: permission denied",
        io::ErrorKind::IsADirectory => "is a directory; expected a file",
        io::ErrorKind::InvalidData => "the file is not valid UTF-8",
        io::ErrorKind::FileTooLarge => "the file is larger than 4 MiB",
        io::ErrorKind::TimedOut if error.raw_os_error().is_none() => {
            "the file is a pipe, and nobody has written it to its end within 30 s"
        }
        _ if error.raw_os_error().is_some() => return format!("the file cannot be read: {error}"),
        _ => "the file cannot be read",
    };
    why.to_owned()
}

/// Line and column of a byte offset, counted from 1.
pub(super) fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// A foreign name, made safe to print on one line.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::process::Command;

    fn pipe() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        (place, path)
    }

    #[test]
    fn a_pipe_without_a_writer_is_given_up() {
        let (_place, path) = pipe();
        let failure = read_pipe(&path, Duration::from_millis(50)).unwrap_err();
        assert!(why_unreadable(&failure).contains("is a pipe"), "{failure}");
    }

    #[test]
    fn a_pipe_that_is_written_late_is_read_to_its_end() {
        for text in ["", "a\nb\n"] {
            let (_place, path) = pipe();
            let writer = thread::spawn({
                let path = path.clone();
                move || fs::write(path, text).unwrap()
            });
            assert_eq!(read_text(&path).unwrap(), text);
            writer.join().unwrap();
        }
    }

    #[test]
    fn the_systems_own_words_are_told_where_ours_say_too_little() {
        let failure = |number| io::Error::from_raw_os_error(number);
        assert!(why_unreadable(&failure(libc::EMFILE)).contains("Too many open files"));
        assert!(why_unreadable(&failure(libc::EIO)).contains(&failure(libc::EIO).to_string()));
        assert!(is_lack(&failure(libc::EMFILE)) && is_lack(&failure(libc::ENOMEM)));
        assert!(!is_lack(&failure(libc::EIO)) && !is_lack(&io::ErrorKind::NotFound.into()));
    }
}
