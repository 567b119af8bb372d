//! The upstreams, one room for each kind. Each implements the engine's port, `engine::provider::Provider`.

#[cfg(feature = "conversation")]
pub mod conversation;
mod proxies;
pub mod roots;

pub use self::proxies::Proxies;
