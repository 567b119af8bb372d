//! The log, written to standard error as text or JSON. A closed, full or stalled standard error delays and breaks
//! nothing else: see [`lines`].

mod lines;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use prometheus::{
    IntCounter,
    core::{Collector, Desc},
    proto::{Counter, MetricFamily},
};
use serde::Serialize;
use tracing_subscriber::{EnvFilter, filter::ParseError, util::SubscriberInitExt};

use self::lines::Lines;

/// The one log of the process.
static LINES: OnceLock<Lines> = OnceLock::new();
/// Whether the log's lines are JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);
/// How long a panic on the main thread waits for the log: the process may be about to abort.
const PANIC_PATIENCE: Duration = Duration::from_millis(100);

/// The open log of the process.
#[derive(Clone, Copy)]
pub struct Log {
    lines: &'static Lines,
}

/// Opens the log, also for [`complain`] and for panics. Further calls in the process return the same log.
///
/// # Errors
/// When the thread that writes the log cannot be started.
pub fn open_log() -> io::Result<Log> {
    if let Some(lines) = LINES.get() {
        return Ok(Log { lines });
    }
    let opened = Lines::start(standard_error(), notice)?;
    let lines = LINES.get_or_init(|| opened);
    panic::set_hook(Box::new(tell_panic));
    Ok(Log { lines })
}

/// A separate descriptor for standard error: the standard library's handle has a lock, and hides some errors.
fn standard_error() -> Box<dyn Write + Send> {
    #[cfg(unix)]
    if let Ok(own) = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned() {
        return Box::new(std::fs::File::from(own));
    }
    Box::new(io::stderr())
}

/// Switches the log between JSON and text.
pub fn log_as_json(json: bool) {
    IS_JSON.store(json, Ordering::Relaxed);
}

impl Log {
    /// Starts logging. `level` is a filter such as `info` or `duogate=debug,hyper=warn`. A second call in one process
    /// changes nothing.
    ///
    /// # Errors
    /// When `level` is not a valid filter.
    pub fn start(self, level: &str, json: bool) -> Result<(), ParseError> {
        log_as_json(json);
        let filter = EnvFilter::builder().parse(level)?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || self.lines);
        let started = if json {
            log.json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .finish()
                .try_init()
        } else {
            log.with_ansi(io::stderr().is_terminal()).finish().try_init()
        };
        if started.is_err() {
            tracing::debug!("logging was started before");
        }
        Ok(())
    }
}

/// Writes an error regardless of the log level: as a JSON line, or as text for a person. Does nothing before
/// [`open_log`].
pub fn complain(text: &str) {
    say(&if IS_JSON.load(Ordering::Relaxed) {
        line("ERROR", text, None)
    } else {
        format!("duogate: {text}\n")
    });
}

/// Writes a warning in the same way.
pub fn caution(text: &str) {
    say(&if IS_JSON.load(Ordering::Relaxed) {
        line("WARN", text, None)
    } else {
        format!("duogate: warning: {text}\n")
    });
}

/// Waits until all that was logged is written or lost, for at most `patience`; false when some is still pending.
pub fn flush_log(patience: Duration) -> bool {
    LINES.get().is_none_or(|lines| lines.flush(patience))
}

/// Writes whole lines unchanged.
pub fn say(text: &str) {
    if let Some(lines) = LINES.get() {
        lines.push(text.as_bytes());
    }
}

/// Logs a panic past the log's filter and layers, since the panic may have happened in one of them.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("without a message");
    let mut text = match panic.location() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    };
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text += &format!("\n{backtrace}");
    }
    say(&line("ERROR", &text, None));
    // A runtime worker survives its panic, and must not block on the reader of the log.
    if std::thread::current().name() == Some("main") {
        let _told_or_stalled = flush_log(PANIC_PATIENCE);
    }
}

/// The line that reports how many lines were lost.
fn notice(lost: u64) -> String {
    line("WARN", "lines of the log were lost", Some(lost))
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    target: &'a str,
}

/// A line in the format of the log, made without `tracing`.
fn line(level: &str, message: &str, lost: Option<u64>) -> String {
    let line = Line {
        timestamp: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        level,
        message,
        lost,
        target: "duogate",
    };
    let text = if IS_JSON.load(Ordering::Relaxed) {
        serde_json::to_string(&line).unwrap_or_default()
    } else {
        let lost = lost.map(|lost| format!(" lost={lost}")).unwrap_or_default();
        format!("{} {level:>5} {}: {message}{lost}", line.timestamp, line.target)
    };
    text + "\n"
}

/// A metric of the lost lines, read at each collection.
pub(super) struct LostLines(IntCounter);

impl LostLines {
    /// The metric, at zero until a line is lost.
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counter = IntCounter::new(
            "duogate_log_lines_dropped_total",
            "Lines of the log that could not be written.",
        );
        counter.map(Self)
    }
}

impl Collector for LostLines {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let lost = LINES.get().map_or(0, Lines::lost);
        let mut families = self.0.collect();
        for metric in families.iter_mut().flat_map(MetricFamily::mut_metric) {
            let mut counter = Counter::default();
            #[expect(clippy::cast_precision_loss, reason = "a count needs no more than 52 bits")]
            counter.set_value(lost as f64);
            metric.set_counter(counter);
        }
        families
    }
}
