//! The sources of a process's settings.

use std::ffi::OsString;
use std::path::PathBuf;

/// The inputs of [`load`](super::load), which reads nothing else of the process; tests pass their own. Has no `Debug`,
/// because the environment contains secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The directory of `duogate.toml` and `.env`, and the base of relative paths.
    pub directory: PathBuf,
    /// `--config`: the TOML file to read instead of `duogate.toml`. It must exist.
    pub config: Option<PathBuf>,
    /// `--env-file`: the file to read instead of `.env`. It must exist.
    pub env_file: Option<PathBuf>,
    /// The process environment. Unknown names are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings from the command line.
    pub flags: Flags,
}

/// Settings from the command line; they override every other layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--host`, as `HOST`.
    pub host: Option<String>,
    /// `--port`, as `PORT`.
    pub port: Option<u16>,
    /// `--grpc-port`, as `GRPC_PORT`: a port, or `off`.
    pub grpc_port: Option<String>,
    /// `--workers`, as `WORKERS`.
    pub workers: Option<usize>,
}

impl Sources {
    /// The real working directory and environment, with the command line's arguments.
    #[must_use]
    pub fn from_process(config: Option<PathBuf>, env_file: Option<PathBuf>, flags: Flags) -> Self {
        let directory = PathBuf::from(".");
        Self {
            directory,
            config,
            env_file,
            environment: std::env::vars_os().collect(),
            flags,
        }
    }
}
