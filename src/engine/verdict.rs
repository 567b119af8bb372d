//! What follows from a failed call: one table, written out for every fault, with no default.
//!
//! | fault | the token | the chat |
//! | --- | --- | --- |
//! | credentials (401, 403) | benched, later disabled | another token, at once, not counted |
//! | rate limited (429) | benched for `Retry-After` | another token, at once, not counted |
//! | gone (404) | – | in a session the whole chat at once, without it; else again after a wait, as below |
//! | refused (other 4xx) | – | ends: another token would not help |
//! | local (no descriptor, memory or port here) | – | ends as `overloaded`: no other token would help |
//! | status, connection, timeout, malformed, empty, truncated, unmarked | – | again after a wait, `MAX_RETRIES` times |
//!
//! The table holds for each step of a chat. The provider decides whether a 404 at a step means that something is gone.
//! Clean-up is no step of a chat: its failures change nothing.

use std::time::Duration;

use super::provider::{Fault, UpstreamError};

/// What a failure means for the token that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenVerdict {
    /// Nothing: the token is not at fault.
    Keep,
    /// Benched as refused, for longer each time.
    Refused,
    /// Benched as rate limited, for as long as the upstream says.
    RateLimited(Option<Duration>),
}

/// What a failure means for the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatVerdict {
    /// Try another token at once; this one is not picked again in this chat.
    OtherToken,
    /// Try again after a wait.
    Again,
    /// Give up: no other try would fare better.
    GiveUp,
}

/// Judges a failed call of a chat.
#[must_use]
pub fn verdict(error: &UpstreamError) -> (TokenVerdict, ChatVerdict) {
    match error.fault {
        Fault::Credentials => (TokenVerdict::Refused, ChatVerdict::OtherToken),
        Fault::RateLimited { retry_after } => {
            (TokenVerdict::RateLimited(retry_after), ChatVerdict::OtherToken)
        }
        Fault::Refused { .. } | Fault::Local { .. } => (TokenVerdict::Keep, ChatVerdict::GiveUp),
        Fault::Gone
        | Fault::Status { .. }
        | Fault::Connection
        | Fault::Timeout
        | Fault::Malformed
        | Fault::Empty
        | Fault::Truncated
        | Fault::Unmarked => (TokenVerdict::Keep, ChatVerdict::Again),
    }
}
