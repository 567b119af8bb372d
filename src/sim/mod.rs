//! The simulated upstream: a real HTTP server that implements the whole contract of the conversation service, with
//! scriptable faults and a record of every breach.
//!
//! It shares no code with the rest of the crate, so that a misreading of the contract cannot hide on both sides. Tests
//! run it in process, `duogate demo` beside the gateway, `duogate sim` on its own.

mod body;
mod calls;
mod chaos;
mod config;
mod contract;
mod control;
mod control_routes;
mod counts;
mod events;
mod fault;
mod ids;
mod line;
mod lookup;
mod models;
mod performance;
mod plan;
mod records;
mod refusal;
mod routes;
mod server;
mod shape;
mod shared;
mod state;
mod text;
mod turns;
mod writer;

#[cfg(test)]
mod tests;

pub use chaos::Chaos;
pub use config::{Endpoints, SimConfig};
pub use control::SimControl;
pub use counts::{Counts, Step};
pub use fault::{Fault, Page, PageKind, Rule};
pub use models::Behaviour;
pub use records::AnswerRecord;
pub use server::Sim;
pub use shape::{Dialect, Form, LineEnding, Shape, TextKey};
pub use shared::Hold;
pub use text::{Usage, answer_text, usage_of};
