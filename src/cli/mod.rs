//! The command line: the arguments of each command, and running it.

mod check;
#[cfg(feature = "sim")]
mod demo;
mod health;
pub mod init;
mod serve;
mod signals;
#[cfg(feature = "sim")]
mod sim;
mod supervisor;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tokio::{
    runtime::{Builder, Runtime},
    task::spawn_blocking,
};

use self::{check::More, signals::Signals};
use crate::{
    app::{StartError, caution, complain, flush_log, log_as_json, open_log, raise_descriptor_limit, say},
    config::{Flags, Loaded, LogFormat, Problems, Sources, Watch, log_format},
};

/// Exit code for invalid settings. `sysexits` has none for it; 2 is the shells' usage error.
const BAD_SETTINGS: u8 = 2;
/// Time limit for writing the log at exit; with a stalled reader the rest is lost.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Time limit for blocking calls at exit; with a stalled disk or reader they would never return.
const LAST_CALLS: Duration = Duration::from_secs(1);

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
    #[cfg(feature = "sim")]
    Demo(demo::DemoArgs),
    /// Write a `.env` with a new API key; an existing file is left unchanged
    Init,
    /// Check the settings and print them without secrets
    Check(CheckArgs),
    /// Run only the simulated upstream
    #[cfg(feature = "sim")]
    Sim(sim::SimArgs),
    /// Write shell completions to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct SettingsArgs {
    /// Address that the doors listen on [HOST]
    #[arg(long)]
    host: Option<String>,
    /// HTTP port; 0 picks a free one [PORT]
    #[arg(long)]
    port: Option<u16>,
    /// gRPC port; 0 picks a free one, off disables the gRPC door [GRPC_PORT]
    #[arg(long, value_name = "GRPC_PORT")]
    grpc_port: Option<String>,
    /// Runtime threads; 0: one per core [WORKERS]
    #[arg(long)]
    workers: Option<usize>,
    /// TOML file of settings, instead of `duogate.toml`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File of variables, instead of `.env`
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Try each credential with an upstream call
    #[arg(long)]
    online: bool,
    /// Fail when another process holds the ports or STATE_DIR; otherwise that is a warning
    #[arg(long)]
    bind: bool,
    /// Only check whether the gateway with these settings is alive, for container health checks
    #[arg(long, conflicts_with_all = ["online", "bind"])]
    health: bool,
}

impl Cli {
    /// Runs the command given by the process's arguments. Blocks until it has finished.
    #[must_use]
    pub fn main() -> ExitCode {
        if let Err(error) = open_log() {
            let _nobody_listens = writeln!(io::stderr(), "duogate: the log cannot be opened: {error}");
            return ExitCode::FAILURE;
        }
        let code = match Self::try_parse() {
            Ok(cli) => cli.run(),
            Err(words) => explain(&words),
        };
        flush_log(LAST_LINES);
        code
    }

    fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(args) => serve_with(args),
            #[cfg(feature = "sim")]
            Command::Demo(args) => demo::run(&args),
            Command::Init => init_here(),
            Command::Check(CheckArgs {
                settings,
                health: true,
                ..
            }) => health::run(&settings.sources()),
            Command::Check(CheckArgs {
                settings,
                online,
                bind,
                health: false,
            }) => check_with(settings, More { online, bind }),
            #[cfg(feature = "sim")]
            Command::Sim(args) => sim::run(&args),
            Command::Completions { shell } => completions(shell),
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

impl SettingsArgs {
    fn sources(self) -> Sources {
        let Self {
            host,
            port,
            grpc_port,
            workers,
            config,
            env_file,
        } = self;
        let flags = Flags {
            host,
            port,
            grpc_port,
            workers,
        };
        Sources::from_process(config, env_file, flags)
    }
}

fn serve_with(args: SettingsArgs) -> Done {
    let Some((signals, watch, loaded)) = load_heeding_signals(Watch::new(args.sources()))? else {
        return Ok(ExitCode::SUCCESS);
    };
    let in_json = watch.log_format() == LogFormat::Json;
    log_as_json(in_json);
    match loaded {
        Ok(loaded) => serve::run(&loaded, watch, signals),
        Err(problems) => {
            warn(problems.warnings());
            Ok(if in_json {
                each_unusable(&problems)
            } else {
                unusable(&problems)
            })
        }
    }
}

/// What is needed to serve: the signals from here on, and the settings.
type Begun = (Signals, Watch, Result<Loaded, Problems>);

/// Reads the settings, unless a signal asks for the end before that is done. A file that does not answer does not hold the
/// signal up.
fn load_heeding_signals(mut watch: Watch) -> io::Result<Option<Begun>> {
    let runtime = runtime(1)?;
    let begun = runtime.block_on(async {
        let mut signals = Signals::watch();
        let reading = spawn_blocking(move || {
            let loaded = watch.load();
            (watch, loaded)
        });
        tokio::select! {
            biased;
            () = signals.endings.next() => Ok(None),
            read = reading => {
                let (watch, loaded) = read?;
                Ok(Some((signals, watch, loaded)))
            }
        }
    });
    runtime.shutdown_background();
    begun
}

/// An error that blames a variable, with the layer that its value came from.
fn blamed(error: StartError, loaded: &Loaded) -> StartError {
    match error {
        StartError::Settings(variable, reason) => {
            let reason = match loaded.origin(variable) {
                Some(source) => format!("{reason} (from {source})"),
                None => reason,
            };
            StartError::Settings(variable, reason)
        }
        other @ (StartError::Bind(..) | StartError::Build(_)) => other,
    }
}

fn check_with(args: SettingsArgs, more: More) -> Done {
    match Watch::new(args.sources()).load() {
        Ok(loaded) => check::run(&loaded, more),
        Err(problems) => {
            warn(problems.warnings());
            Ok(unusable(&problems))
        }
    }
}

/// Prints warnings, which may explain why the settings are unusable.
fn warn(warnings: &[String]) {
    for warning in warnings {
        caution(warning);
    }
}

fn completions(shell: Shell) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "duogate", &mut script);
    show(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

fn unusable(problems: &dyn std::error::Error) -> ExitCode {
    complain(&format!("the settings are not usable:\n{problems}"));
    ExitCode::from(BAD_SETTINGS)
}

/// The same, one line per problem, for programs that parse them.
fn each_unusable(problems: &Problems) -> ExitCode {
    for problem in problems {
        complain(&problem.to_string());
    }
    complain("the settings are not usable");
    ExitCode::from(BAD_SETTINGS)
}

/// Prints the help, the version, or an error in the arguments.
fn explain(words: &clap::Error) -> ExitCode {
    let code = u8::try_from(words.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    if words.use_stderr() && is_to_serve_with_json() {
        log_as_json(true);
        let text = words.render().to_string();
        let text = text.trim_end();
        complain(text.strip_prefix("error: ").unwrap_or(text));
        return code;
    }
    if words.use_stderr() && !io::stderr().is_terminal() {
        say(&words.render().to_string());
        return code;
    }
    match heard(words.print()) {
        Ok(_) => code,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Whether the log of a server would be JSON. Its arguments are wrong, so the settings are those of the usual places.
fn is_to_serve_with_json() -> bool {
    let is_to_serve = std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == "serve");
    is_to_serve && log_format(&Sources::from_process(None, None, Flags::default())) == LogFormat::Json
}

fn init_here() -> Done {
    let path = Path::new(".env");
    match init::write_env(path) {
        Ok(key) => {
            let told = tell(&format!(
                "Wrote .env with a fresh API key:\n\n    {key}\n\nPut your upstream tokens into TOKEN_POOL there, then run `duogate serve`."
            ));
            told.map_err(|error| format!(".env is written, and holds a fresh API key, but {error}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            complain(".env exists already and is left as it is; move it away first");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(format!("cannot write .env: {error}").into()),
    }
}

/// Prints a line to standard output.
///
/// # Errors
/// As [`show`].
fn tell(text: &str) -> io::Result<()> {
    show(&format!("{text}\n")).map(drop)
}

#[cfg(feature = "sim")]
/// [`show`] without blocking the runtime.
async fn show_aside(text: impl Into<String>) -> io::Result<bool> {
    let text = text.into();
    spawn_blocking(move || show(&text)).await?
}

/// Prints text to standard output; false when its reader has closed it.
///
/// # Errors
/// When standard output cannot be written.
fn show(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    heard(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Whether standard output is still read. A closed pipe is no error: its reader wants no more.
fn heard(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let told = format!("standard output cannot be written: {error}");
            Err(io::Error::new(error.kind(), told))
        }
        Ok(()) => Ok(true),
    }
}

/// Runs a command, then abandons blocking calls that a stalled disk or reader still holds.
fn run_on(runtime: Runtime, command: impl Future<Output = Done>) -> Done {
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(LAST_CALLS);
    done
}

fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

/// Raises the limit on file descriptors as far as allowed, and returns it.
fn descriptor_limit() -> Option<u64> {
    let raised = raise_descriptor_limit();
    raised
        .inspect_err(|error| tracing::warn!(error = %error, "the limit on file descriptors cannot be raised"))
        .ok()
}
