//! Where tokens are kept that an operator adds or removes: the port, and what may be said of it.

use std::fmt;

use crate::engine::provider::Token;

/// Whether a change of the pool outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whether it does.
    pub persisted: bool,
    /// What an operator should know of that, in one sentence or two.
    pub note: String,
}

impl Kept {
    /// It outlives the process.
    pub fn persisted(note: impl Into<String>) -> Self {
        Self {
            persisted: true,
            note: note.into(),
        }
    }

    /// It does not.
    pub fn forgotten(note: impl Into<String>) -> Self {
        Self {
            persisted: false,
            note: note.into(),
        }
    }
}

/// A file of tokens, or none. Its calls may block.
pub trait TokenFile: fmt::Debug + Send + Sync + 'static {
    /// Why a text cannot be a token, in words that continue "it" and do not show it; `None` when it can.
    fn fault(&self, secret: &str) -> Option<String>;

    /// Sees to it that the next start knows the token. `configured` tells whether the settings name it now.
    fn keep(&self, token: &Token, configured: bool) -> Kept;

    /// Sees to it that the next start does not know the token.
    fn forget(&self, token: &Token, configured: bool) -> Kept;
}
