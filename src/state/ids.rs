//! The ids of the service's projects and conversations.

use std::fmt;

/// An id that the upstream gave. It goes back in the type in which it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteId {
    /// Came as a JSON string.
    Text(String),
    /// Came as a JSON number without a sign.
    Unsigned(u64),
    /// Came as a negative JSON number.
    Signed(i64),
}

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteId::Text(text) => f.write_str(text),
            RemoteId::Unsigned(number) => number.fmt(f),
            RemoteId::Signed(number) => number.fmt(f),
        }
    }
}

/// A conversation on the upstream, within the project that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRef {
    /// The project of the token's account.
    pub project: RemoteId,
    /// The conversation.
    pub conversation: RemoteId,
}
