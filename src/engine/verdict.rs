//! What follows from a failed call: one table, written out for every fault, with no default.
//!
//! | fault | the token | the chat |
//! | --- | --- | --- |
//! | credentials (401, 403) | benched, later disabled | another token, at once, not counted |
//! | rate limited (429) | benched for `Retry-After` | another token, at once, not counted |
//! | gone (404) | – | a fresh conversation, once; after that as a service fault |
//! | refused (other 4xx) | – | ends: another token would not help |
//! | local (no descriptor, memory or port here) | – | ends as `overloaded`: no other token would help |
//! | status, connection, timeout, malformed, empty, truncated, unmarked | – | again after a wait, `MAX_RETRIES` times |
//!
//! The table holds for each step of a chat; what a 404 is at each of them, the backend says. Clean-up is no step of a chat: what it meets changes nothing.

use std::time::Duration;

use super::upstream::{Fault, UpstreamError};

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
    /// Try again with everything made anew; a second time it is a service fault.
    Anew,
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
        Fault::Gone => (TokenVerdict::Keep, ChatVerdict::Anew),
        Fault::Refused { .. } | Fault::Local { .. } => (TokenVerdict::Keep, ChatVerdict::GiveUp),
        Fault::Status { .. }
        | Fault::Connection
        | Fault::Timeout
        | Fault::Malformed
        | Fault::Empty
        | Fault::Truncated
        | Fault::Unmarked => (TokenVerdict::Keep, ChatVerdict::Again),
    }
}
