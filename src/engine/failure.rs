//! Failures in the words that clients read. Nothing of the upstream's own text is among them.

use std::time::Duration;

use super::{
    error::{ChatError, ErrorKind},
    pool::NoToken,
    provider::{Fault, UpstreamError},
};

pub(super) fn cut(error: &UpstreamError) -> ChatError {
    let message = match error.fault {
        Fault::Unmarked => UNMARKED,
        Fault::Credentials
        | Fault::RateLimited { .. }
        | Fault::Gone
        | Fault::Refused { .. }
        | Fault::Status { .. }
        | Fault::Connection
        | Fault::Timeout
        | Fault::Malformed
        | Fault::Empty
        | Fault::Truncated => "The upstream broke off in the middle of the answer. What came is not whole.",
        Fault::Local { .. } => return short_of_means(error),
    };
    ChatError::new(ErrorKind::UpstreamTruncated, message).with_detail(error.to_string())
}

/// What to say of an answer that ended politely without any mark of its end.
const UNMARKED: &str = "The upstream ended the answer without marking its end, so it may be cut short. \
     If this service never marks an end, set UNMARKED_END=stop.";

/// The process is on its way out.
#[must_use]
pub fn shutting_down() -> ChatError {
    /// Long enough for a restart or for another instance to take over.
    const BACK_IN: Duration = Duration::from_secs(1);
    ChatError::new(
        ErrorKind::ShuttingDown,
        "The gateway is shutting down. Send the request again.",
    )
    .with_retry_after(Some(BACK_IN))
}

/// The operator ended the chat.
pub(super) fn cancelled() -> ChatError {
    ChatError::new(
        ErrorKind::Cancelled,
        "The request was cancelled by the operator of the gateway.",
    )
}

/// The time is over.
#[must_use]
pub fn deadline_exceeded() -> ChatError {
    ChatError::new(
        ErrorKind::DeadlineExceeded,
        "The request took longer than it may.",
    )
}

pub(super) fn no_token(reason: NoToken) -> ChatError {
    match reason {
        NoToken::Empty => ChatError::new(
            ErrorKind::PoolExhausted,
            "No upstream token is configured: TOKEN_POOL is empty.",
        ),
        NoToken::AllRefused => {
            let message = "The upstream refuses every configured token. They need to be renewed.";
            ChatError::new(ErrorKind::CredentialsRejected, message)
        }
        NoToken::Full => {
            /// By then some of the chats under way are likely to have ended.
            const ROOM_IN: Duration = Duration::from_secs(1);
            let message =
                "Every upstream token has as many chats under way as it may. Send the request again.";
            ChatError::new(ErrorKind::Overloaded, message).with_retry_after(Some(ROOM_IN))
        }
        NoToken::Exhausted { retry_after } => {
            let message =
                "No upstream token can be used right now: all of them are resting after rate limits.";
            ChatError::new(ErrorKind::PoolExhausted, message).with_retry_after(Some(retry_after))
        }
    }
}

/// The chat ends with a failure that no other try would mend.
pub(super) fn given_up(error: &UpstreamError) -> ChatError {
    if error.fault.is_local() {
        return short_of_means(error);
    }
    let message = if let Fault::Refused { status } = error.fault {
        format!("The upstream refused this request with status {status}.")
    } else {
        "The upstream refused this request.".to_owned()
    };
    ChatError::new(ErrorKind::UpstreamRefused, message).with_detail(error.to_string())
}

/// The gateway's own machine has nothing left to go on with.
fn short_of_means(error: &UpstreamError) -> ChatError {
    /// By then some of the chats under way are likely to have ended.
    const ROOM_IN: Duration = Duration::from_secs(1);
    let message =
        "The gateway has no file descriptor, memory or port left for this request. Send the request again.";
    ChatError::new(ErrorKind::Overloaded, message)
        .with_retry_after(Some(ROOM_IN))
        .with_detail(error.to_string())
}

/// The last try failed too.
pub(super) fn unavailable(error: &UpstreamError) -> ChatError {
    if error.fault.is_local() {
        return short_of_means(error);
    }
    let message = match &error.fault {
        Fault::Unmarked => UNMARKED.to_owned(),
        Fault::Truncated => "The upstream broke off in the middle of every answer that it began.".to_owned(),
        Fault::Timeout => "The upstream did not answer in time.".to_owned(),
        Fault::Status { status, .. } => format!("The upstream failed with status {status}."),
        Fault::Connection => "The upstream cannot be reached.".to_owned(),
        Fault::Gone => "The upstream lost the conversation, more than once.".to_owned(),
        Fault::Malformed | Fault::Empty => "The upstream's answer could not be read.".to_owned(),
        Fault::Credentials | Fault::RateLimited { .. } | Fault::Refused { .. } | Fault::Local { .. } => {
            "The upstream did not answer.".to_owned()
        }
    };
    let kind = match error.fault {
        Fault::Unmarked | Fault::Truncated => ErrorKind::UpstreamTruncated,
        Fault::Timeout
        | Fault::Status { .. }
        | Fault::Connection
        | Fault::Gone
        | Fault::Malformed
        | Fault::Empty
        | Fault::Credentials
        | Fault::RateLimited { .. }
        | Fault::Refused { .. }
        | Fault::Local { .. } => ErrorKind::UpstreamUnavailable,
    };
    ChatError::new(kind, message).with_detail(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_of_our_own_is_overloaded_wherever_it_is_met() {
        for sent in [true, false] {
            let error = UpstreamError::new("read_answer", Fault::Local { sent }, "too many open files");
            for told in [given_up(&error), unavailable(&error), cut(&error)] {
                assert_eq!(told.kind(), ErrorKind::Overloaded);
                assert!(told.should_retry() && told.retry_after().is_some(), "{told}");
                assert!(!told.message().contains("pstream"), "{told}");
            }
        }
    }
}
