//! Tests of the settings. All layers are passed in, so none of them touches the process environment.

mod address;
mod dotenv;
mod files;
mod layers;
mod links;
mod names;
mod places;
mod reference;
mod secrecy;
mod tls;
mod values;
mod watch;

use super::{Flags, Loaded, Problems, Sources, load};
use ::secrecy::{ExposeSecret, SecretString};
use std::ffi::OsString;
use std::path::Path;
use tempfile::TempDir;

/// A directory with configuration files, and the other sources. Keys are not required unless [`Setup::strict`] is used,
/// since most tests are about something else.
struct Setup {
    directory: TempDir,
    sources: Sources,
}

impl Setup {
    fn strict() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sources = Sources {
            directory: directory.path().to_path_buf(),
            ..Sources::default()
        };
        Self { directory, sources }
    }

    fn new() -> Self {
        Self::strict().file("duogate.toml", "require_api_key = false\n")
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn dotenv(self, text: &str) -> Self {
        self.file(".env", text)
    }

    fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn flags(mut self, flags: Flags) -> Self {
        self.sources.flags = flags;
        self
    }

    fn config(mut self, path: &str) -> Self {
        self.sources.config = Some(Path::new(path).into());
        self
    }

    fn env_file(mut self, path: &str) -> Self {
        self.sources.env_file = Some(Path::new(path).into());
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(&self.sources)
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems as lines; panics if there are none.
    fn problems(&self) -> Vec<String> {
        self.load().unwrap_err().iter().map(ToString::to_string).collect()
    }
}

/// Loads one variable from the environment.
fn with(name: &str, value: &str) -> Loaded {
    Setup::new().environment(name, value).loaded()
}

/// The only problem caused by this value of a variable.
fn problem_of(name: &str, value: &str) -> String {
    let problems = Setup::new().environment(name, value).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(&format!("{name}: ")), "{problems:?}");
    problems[0].clone()
}

fn exposed(secrets: &[SecretString]) -> Vec<&str> {
    secrets.iter().map(ExposeSecret::expose_secret).collect()
}
