//! The files that the settings come from, and whether they have changed since they were read.
//!
//! Contents are compared, not modification times: that notices symbolic links switched in a path, as Kubernetes does,
//! and every editor's way of writing a file.

use super::files::LARGEST_FILE;
use super::settings::{LogFormat, Settings};
use super::sources::Sources;
use super::{Loaded, Problems, Report, table, table::Variable};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Loads the settings of a process, and reloads them when their files change.
pub struct Watch {
    sources: Sources,
    files: Vec<PathBuf>,
    /// The files' contents when the settings were last loaded.
    read: Option<Fingerprint>,
    /// The files' contents at the last look.
    seen: Option<Fingerprint>,
    log_format: LogFormat,
}

type Fingerprint = [u8; 32];

impl Watch {
    /// A watch on `sources`. Reads nothing yet.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let files = files(&sources, &Settings::blank());
        Self {
            sources,
            files,
            read: None,
            seen: None,
            log_format: LogFormat::default(),
        }
    }

    /// Reads all layers and checks the result. Environment and flags are those of the start. Blocks.
    ///
    /// # Errors
    /// Every problem found, as for [`load`](super::load).
    pub fn load(&mut self) -> Result<Loaded, Problems> {
        let (settings, report) = self.gather();
        self.log_format = settings.log_format;
        let warnings = report.finish()?;
        Ok(Loaded { settings, warnings })
    }

    fn gather(&mut self) -> (Settings, Report) {
        /// Files may name further files, but not indefinitely.
        const MOST_ROUNDS: usize = 4;
        let mut gathered = super::gather(&self.sources);
        for _ in 0..MOST_ROUNDS {
            self.files = files(&self.sources, &gathered.0);
            if self.once_only().is_some() {
                break;
            }
            // Taken before the files are read, so that a change in between is noticed later.
            self.read = Some(fingerprint(&self.files));
            gathered = super::gather(&self.sources);
            if files(&self.sources, &gathered.0) == self.files {
                break;
            }
        }
        gathered
    }

    /// Reloads the settings if their files have changed and were the same in two consecutive calls. Blocks. Files that
    /// can be read only once count as unchanging.
    pub fn look(&mut self) -> Option<Result<Loaded, Problems>> {
        if self.once_only().is_some() {
            return None;
        }
        let now = fingerprint(&self.files);
        let is_steady = self.seen.replace(now) == Some(now);
        (is_steady && self.read != Some(now)).then(|| self.load())
    }

    /// The log format of the last settings read, even if other settings are invalid.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// A file that can be read only once, such as a pipe, if there is one.
    #[must_use]
    pub fn once_only(&self) -> Option<&Path> {
        let found = self.files.iter().find(|file| is_once_only(file));
        found.map(PathBuf::as_path)
    }
}

/// The files of these settings, whether they exist or not.
fn files(sources: &Sources, settings: &Settings) -> Vec<PathBuf> {
    let named = |asked: &Option<PathBuf>, usual: &str| {
        let name = asked.clone().unwrap_or_else(|| usual.into());
        Some(sources.directory.join(name))
    };
    let files = [
        named(&sources.config, "duogate.toml"),
        named(&sources.env_file, ".env"),
        settings.api_keys_file.clone(),
        settings.token_pool_file.clone(),
    ];
    files.into_iter().flatten().collect()
}

/// A hash over the files' contents, or the errors of reading them.
fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let mut whole = Sha256::new();
    for file in files {
        match digest(file) {
            Ok(digest) => whole.update(digest),
            Err(error) => whole.update(format!("{:?}", error.kind())),
        }
    }
    whole.finalize().into()
}

fn digest(file: &Path) -> io::Result<Fingerprint> {
    if !fs::metadata(file)?.is_file() {
        return Ok(Fingerprint::default());
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(bytes).into())
}

#[cfg(unix)]
fn is_once_only(file: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(file).is_ok_and(|metadata| {
        let kind = metadata.file_type();
        kind.is_fifo() || kind.is_socket()
    })
}

#[cfg(not(unix))]
fn is_once_only(_: &Path) -> bool {
    false
}

/// The variables whose values differ, in the order of the documentation.
pub fn differences(one: &Settings, other: &Settings) -> impl Iterator<Item = &'static Variable> {
    table::variables().filter(|variable| match variable.differ {
        Some(differ) => differ(one, other),
        None => (variable.show)(one) != (variable.show)(other),
    })
}
