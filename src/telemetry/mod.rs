//! Logs, metrics, and the record that every request leaves behind. Knows nothing of chats or wires, so that every
//! other room may use it.

mod access;
mod client;
mod connections;
mod metrics;
mod record;
mod seldom;
mod shortage;

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError, util::SubscriberInitExt};

pub use access::{AccessPolicy, ToldTurn, layer};
pub use client::Peer;
pub use connections::{Connections, OpenConnection, Refusal};
pub use metrics::{ConversationEvent, Gauges, Metrics, Outcomes, Totals};
pub use record::{CallRecord, Door, Outcome, OutcomeClass};
pub use seldom::seldom;
pub use shortage::Shortage;

/// Starts logging to standard error: as lines for people, or as JSON. `level` is a filter such as `info` or
/// `duogate=debug,hyper=warn`. A second call in one process changes nothing.
///
/// # Errors
/// When `level` is no filter.
pub fn start_logging(level: &str, json: bool) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(level)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if json {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()
    } else {
        lines
            .with_ansi(std::io::stderr().is_terminal())
            .finish()
            .try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(())
}
