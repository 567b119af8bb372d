//! Where the settings of one process come from.

use std::ffi::OsString;
use std::path::PathBuf;

/// Everything that [`load`](super::load) looks at. It reads nothing of the process by itself, so tests hand in what
/// they like. There is no `Debug`: the environment holds secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// Where `duogate.toml` and `.env` are looked for, and where relative paths start.
    pub directory: PathBuf,
    /// `--config`: the TOML file to read in place of `duogate.toml`. It must exist.
    pub config: Option<PathBuf>,
    /// `--env-file`: the file to read in place of `.env`. It must exist.
    pub env_file: Option<PathBuf>,
    /// The process environment. Names that the gateway does not know are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// The command line's settings.
    pub flags: Flags,
}

/// Settings given on the command line; they win over every other layer.
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
    /// The real working directory and environment, with what the command line named.
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
