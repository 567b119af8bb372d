//! The command line: what each command takes, and what it does with the rest of the house.

mod check;
mod demo;
pub mod init;
mod serve;
mod signals;
mod sim;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    app::{StartError, raise_descriptor_limit},
    config::{Flags, Loaded, Sources, Watch},
};

/// Bad settings, as `sysexits` has no number for them and shells expect 2.
const BAD_SETTINGS: u8 = 2;

/// A chat gateway: the OpenAI API and gRPC over one engine, in front of a conversation chat service.
#[derive(Debug, Parser)]
#[command(name = "duogate", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve both doors until a signal
    Serve(SettingsArgs),
    /// Start a simulated upstream and the gateway, chat through both doors, and keep serving
    Demo {
        /// Take free ports, and end after the chats: 0 when both were whole, 1 otherwise
        #[arg(long)]
        once: bool,
    },
    /// Write a `.env` with a freshly made API key; an existing one is left alone
    Init,
    /// Check the settings and print them, secrets hidden
    Check(CheckArgs),
    /// Run the simulated upstream alone
    Sim(sim::SimArgs),
}

#[derive(Debug, Args)]
struct SettingsArgs {
    /// The address that the doors listen on [HOST]
    #[arg(long)]
    host: Option<String>,
    /// The HTTP port; 0 takes a free one [PORT]
    #[arg(long)]
    port: Option<u16>,
    /// The gRPC port; 0 takes a free one [GRPC_PORT]
    #[arg(long)]
    grpc_port: Option<u16>,
    /// Runtime threads; 0 is one a core [WORKERS]
    #[arg(long)]
    workers: Option<usize>,
    /// A TOML file of settings, in place of `duogate.toml`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of variables, in place of `.env`
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Try each token against the upstream
    #[arg(long)]
    online: bool,
    /// Only ask the gateway that runs with these settings whether it lives, for container health checks
    #[arg(long, conflicts_with = "online")]
    health: bool,
}

impl Cli {
    /// Does what was asked for. Blocks until it is done.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(args) => with_settings(args, |loaded, watch| serve::run(&loaded, watch)),
            Command::Demo { once } => demo::run(once),
            Command::Init => init_here(),
            Command::Check(CheckArgs {
                settings,
                online,
                health,
            }) => with_settings(settings, |loaded, _| check::run(&loaded, online, health)),
            Command::Sim(args) => sim::run(&args),
        };
        done.unwrap_or_else(|error| match error.downcast_ref() {
            Some(StartError::Settings(..)) => unusable(error.as_ref()),
            Some(StartError::Bind(..) | StartError::Build(_)) | None => {
                complain(&error.to_string());
                ExitCode::FAILURE
            }
        })
    }
}

type Done = Result<ExitCode, Box<dyn std::error::Error>>;

fn with_settings(args: SettingsArgs, run: impl FnOnce(Loaded, Watch) -> Done) -> Done {
    let SettingsArgs {
        host,
        port,
        grpc_port,
        workers,
        config,
        env_file,
    } = args;
    let sources = Sources::from_process(
        config,
        env_file,
        Flags {
            host,
            port,
            grpc_port,
            workers,
        },
    );
    let mut watch = Watch::new(sources);
    match watch.load() {
        Ok(loaded) => run(loaded, watch),
        Err(problems) => Ok(unusable(&problems)),
    }
}

fn unusable(problems: &dyn std::error::Error) -> ExitCode {
    complain(&format!("the settings are not usable:\n{problems}"));
    ExitCode::from(BAD_SETTINGS)
}

fn init_here() -> Done {
    let path = Path::new(".env");
    match init::write_env(path) {
        Ok(key) => {
            tell(&format!(
                "Wrote .env with a fresh API key:\n\n    {key}\n\nPut your upstream tokens into TOKEN_POOL there, then run `duogate serve`."
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            complain(".env exists already and is left as it is; move it away first");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(format!("cannot write .env: {error}").into()),
    }
}

/// Writes a line for the person who runs the program.
fn tell(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a line about what went wrong. Where even that fails there is nobody left to tell.
fn complain(text: &str) {
    let _nobody_listens = writeln!(io::stderr().lock(), "duogate: {text}");
}

fn runtime(workers: usize) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

/// How many descriptors there may be from now on: as many as the process may give itself.
fn descriptor_limit() -> Option<u64> {
    let raised = raise_descriptor_limit();
    raised
        .inspect_err(|error| tracing::warn!(error = %error, "the limit on file descriptors cannot be raised"))
        .ok()
}
