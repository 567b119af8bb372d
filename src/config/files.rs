//! Files that settings are read from: finding them, reading them with a size limit, and describing errors.

use super::problems::Report;
use super::sources::Sources;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes. Real configurations are far smaller; a device such as `/dev/zero` is
/// endless.
pub const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// A configuration file that was asked for, or that is read if it exists.
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
        let mut tell =
            |error: &io::Error| report.problem(self.blame, why_unreadable(error), Some(&self.label));
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
    let file = File::open(path)?;
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

/// Describes why a file could not be read.
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
