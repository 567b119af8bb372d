//! Logs, metrics, and the record that every request leaves behind. Knows nothing of chats or wires, so that every
//! other room may use it.

mod access;
mod log;
mod metrics;
mod record;

pub use access::{AccessPolicy, ToldTurn, layer};
pub use log::{Log, complain, flush_log, log_as_json, open_log, say};
pub use metrics::{ConversationEvent, Gauges, Metrics, Totals};
pub use record::{CallRecord, Door, Outcome, OutcomeClass};
