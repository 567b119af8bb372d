//! Outbound adapters: what the engine's port looks like on a real wire.

mod answer;
mod client;
mod conversation;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod local_tests;
mod places;
mod proxies;
pub mod roots;
mod sse;
mod wire;

pub use client::{BuildError, Endpoints};
pub use conversation::ConversationService;
pub use proxies::Proxies;
