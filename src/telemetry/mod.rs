//! Logs, metrics, and the record of each request. Independent of chats and wire formats, so every other module may use
//! it.

mod access;
mod client;
mod connections;
mod log;
mod metrics;
mod record;
mod seldom;
mod shortage;

pub use access::{AccessPolicy, ToldTurn, layer};
pub use client::Peer;
pub use connections::{Connections, OpenConnection, Refusal};
pub use log::{Log, caution, complain, flush_log, log_as_json, open_log, say};
pub use metrics::{ConversationEvent, Gauges, Metrics, Outcomes, Totals};
pub use record::{CallRecord, Door, Outcome, OutcomeClass};
pub use seldom::seldom;
pub use shortage::Shortage;
