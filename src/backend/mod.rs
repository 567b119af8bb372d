//! Outbound adapters: what the engine's port looks like on a real wire.

mod answer;
mod conversation;
mod sse;
mod wire;

pub use conversation::{BuildError, ConversationService, Endpoints};
