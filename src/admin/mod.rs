//! Operating the gateway while it runs: what both doors offer to whoever holds the admin key. The doors only render it.

mod choice;
mod gate;
mod keeping;
mod view;

use std::{fmt, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

pub use choice::{Candidate, Choice, Standing};
pub use gate::Gate;
pub use keeping::{Kept, TokenFile};
pub use view::TokenView;

use crate::engine::{
    ChatSnapshot, Engine,
    error::{ChatError, ErrorKind},
    provider::{Cleared, ConversationCounts, Fault, Scope, Token},
};

/// No cookie that a service takes is longer, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;
/// So many digits of its SHA-256 name a token at least; all of them at most.
const FEWEST_DIGITS: usize = 8;
const ALL_DIGITS: usize = 64;
/// How long an operator waits for the file.
const FILE_PATIENCE: Duration = Duration::from_secs(5);

/// A token that was added.
#[derive(Debug)]
pub struct Added {
    /// As it stands now.
    pub token: TokenView,
    /// Whether it was not in the pool before.
    pub added: bool,
    /// Whether a restart knows it.
    pub kept: Kept,
}

/// A token that was taken out.
#[derive(Debug)]
pub struct Removed {
    /// As it stood. Chats that hold it go on to their end.
    pub token: TokenView,
    /// Whether a restart leaves it out.
    pub kept: Kept,
}

/// A token that was tried.
#[derive(Debug)]
pub struct Probed {
    /// As it stands since.
    pub token: TokenView,
    /// How the call failed: the fault's name, and a sentence; `None` when it did not.
    pub failure: Option<(&'static str, String)>,
}

/// What an operator may do. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    engine: Engine,
    file: Arc<dyn TokenFile>,
    /// One change of the file at a time.
    turn: Arc<Mutex<()>>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operator({:?})", self.engine)
    }
}

impl Operator {
    /// Operates `engine`, and keeps its tokens in `file`.
    #[must_use]
    pub fn new(engine: Engine, file: Arc<dyn TokenFile>) -> Self {
        Self {
            engine,
            file,
            turn: Arc::default(),
        }
    }

    /// Every token of the pool.
    #[must_use]
    pub fn tokens(&self) -> Vec<TokenView> {
        self.engine.tokens().into_iter().map(TokenView::from).collect()
    }

    /// Adds a token, ready for use, and keeps it for the next start where that can be. One that is in the pool already
    /// is no error.
    ///
    /// # Errors
    /// When no cookie may hold it.
    pub async fn add_token(&self, secret: SecretString) -> Result<Added, ChatError> {
        let text = secret.expose_secret();
        let fault = match text.len() > LONGEST_TOKEN {
            true => Some(format!("is longer than {LONGEST_TOKEN} bytes")),
            false => self.file.fault(text),
        };
        if let Some(fault) = fault {
            return Err(ChatError::invalid(
                "token",
                format!("Invalid 'token': it {fault}."),
            ));
        }
        let token = Token::new(secret);
        let added = self.engine.add_token(&token);
        let configured = self.engine.is_configured(&token.digest());
        let kept = self.keep(token.clone(), move |file, token| file.keep(token, configured));
        let kept = kept.await?;
        tracing::info!(token = %token.label(), added, persisted = kept.persisted, "the operator added a token");
        let token = self.view(&token)?;
        Ok(Added { token, added, kept })
    }

    /// Takes a token out of the pool, and out of its file. Chats that hold it go on; what stands ready in its account is
    /// removed.
    ///
    /// # Errors
    /// When `hash` names no token, or more than one.
    pub async fn remove_token(&self, hash: &str) -> Result<Removed, ChatError> {
        let token = self.find(hash)?;
        let view = self.view(&token)?;
        if !self.engine.remove_token(&token.digest()) {
            return Err(unknown(hash));
        }
        let configured = self.engine.is_configured(&token.digest());
        let kept = self.keep(token, move |file, token| file.forget(token, configured));
        let kept = kept.await?;
        tracing::info!(token = %view.label, persisted = kept.persisted, "the operator removed a token");
        Ok(Removed { token: view, kept })
    }

    /// Forgets everything that is held against a token.
    ///
    /// # Errors
    /// When `hash` names no token, or more than one.
    pub fn reset_token(&self, hash: &str) -> Result<TokenView, ChatError> {
        let token = self.find(hash)?;
        if !self.engine.reset_token(&token.digest()) {
            return Err(unknown(hash));
        }
        tracing::info!(token = %token.label(), "the operator reset a token");
        self.view(&token)
    }

    /// Tries a token with the one call that changes nothing, and keeps what that tells.
    ///
    /// # Errors
    /// When `hash` names no token, or more than one. That the call failed is no error.
    pub async fn probe_token(&self, hash: &str) -> Result<Probed, ChatError> {
        let token = self.find(hash)?;
        let probed = self.engine.probe_token(&token).await;
        let probed = probed.ok_or_else(|| unknown(hash))?;
        let error = probed.as_ref().err();
        tracing::info!(token = %token.label(), error = error.map(tracing::field::display), "the operator tried a token");
        Ok(Probed {
            failure: error.map(|error| (error.fault.name(), explained(&error.fault))),
            token: self.view(&token)?,
        })
    }

    /// The chats under way, the oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<ChatSnapshot> {
        self.engine.chats()
    }

    /// Ends the chats of a request, and tells how many there were. Their clients are told `cancelled`.
    ///
    /// # Errors
    /// When no chat of such a request is under way.
    pub fn cancel_request(&self, id: &str) -> Result<usize, ChatError> {
        if id.is_empty() {
            return Err(ChatError::invalid("id", "Missing 'id': the request's id."));
        }
        match self.engine.cancel_chats(id) {
            0 => {
                let id: String = id.chars().take(128).collect();
                let message = format!("No chat of a request '{id}' is under way.");
                Err(ChatError::not_found("request", id, "id", message))
            }
            cancelled => {
                tracing::info!(cancelled = id, "the operator ended a request");
                Ok(cancelled)
            }
        }
    }

    /// Which token the next chat would get, and why no other.
    #[must_use]
    pub fn explain(&self) -> Choice {
        Choice::from(self.engine.explain())
    }

    /// How many conversations of the gateway's there are on the upstream.
    #[must_use]
    pub fn conversations(&self) -> ConversationCounts {
        self.engine.conversations()
    }

    /// Removes conversations from the upstream, and waits for the end of that.
    pub async fn clear_conversations(&self, scope: Scope) -> Cleared {
        self.engine.clear_conversations(scope).await
    }

    /// The one token whose SHA-256 begins with `hash`.
    fn find(&self, hash: &str) -> Result<Token, ChatError> {
        let digits = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !(FEWEST_DIGITS..=ALL_DIGITS).contains(&hash.len()) {
            // Not repeated: it may be a token that was mistaken for its hash.
            let message = format!(
                "Invalid 'hash': expected {FEWEST_DIGITS} to {ALL_DIGITS} hexadecimal digits, the beginning of a \
                 token's SHA-256."
            );
            return Err(ChatError::invalid("hash", message));
        }
        let hash = hash.to_ascii_lowercase();
        let tokens = self.engine.tokens().into_iter().map(|row| row.token);
        let mut named = tokens.filter(|token| view::hex(&token.digest()).starts_with(&hash));
        match (named.next(), named.next()) {
            (None, _) => Err(unknown(&hash)),
            (Some(token), None) => Ok(token),
            (Some(_), Some(_)) => {
                let message =
                    format!("The SHA-256 of more than one token begins with '{hash}'. Give more digits.");
                Err(ChatError::invalid("hash", message))
            }
        }
    }

    fn view(&self, token: &Token) -> Result<TokenView, ChatError> {
        let digest = token.digest();
        let rows = self.engine.tokens().into_iter();
        let row = rows.map(TokenView::from).find(|row| row.digest == digest);
        row.ok_or_else(|| unknown(token.label()))
    }

    /// Runs what touches the file where it may block, one call at a time: a disk that does not answer holds one thread.
    async fn keep(
        &self,
        token: Token,
        act: impl FnOnce(&dyn TokenFile, &Token) -> Kept + Send + 'static,
    ) -> Result<Kept, ChatError> {
        let (file, turn) = (Arc::clone(&self.file), Arc::clone(&self.turn));
        let kept = async {
            let turn = turn.lock_owned().await;
            let acting = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                act(file.as_ref(), &token)
            });
            acting.await
        };
        let Ok(kept) = tokio::time::timeout(FILE_PATIENCE, kept).await else {
            let note = "TOKEN_POOL_FILE does not answer, so a restart may not know of this change.";
            return Ok(Kept::forgotten(note));
        };
        kept.map_err(|failure| {
            let message = "What was done is done, but whether a restart knows it could not be told.";
            ChatError::new(ErrorKind::Internal, message).with_detail(failure.to_string())
        })
    }
}

fn unknown(hash: &str) -> ChatError {
    let message = format!("No token of the pool has a SHA-256 that begins with '{hash}'.");
    ChatError::not_found("token", hash, "hash", message)
}

/// How a call failed, in words of the gateway's own.
fn explained(fault: &Fault) -> String {
    match fault {
        Fault::Credentials => "The upstream refused the token (401 or 403).".to_owned(),
        Fault::RateLimited { .. } => "The upstream limits the token's rate (429).".to_owned(),
        Fault::Gone => "The upstream does not know the call (404).".to_owned(),
        Fault::Refused { status } => format!("The upstream refused the call with status {status}."),
        Fault::Status { status, .. } => format!("The upstream failed with status {status}."),
        Fault::Connection => "The upstream cannot be reached.".to_owned(),
        Fault::Timeout => "The upstream did not answer in time.".to_owned(),
        Fault::Malformed | Fault::Empty | Fault::Truncated | Fault::Unmarked => {
            "The upstream's answer could not be read.".to_owned()
        }
        Fault::Local { .. } => {
            "The gateway has no file descriptor, memory or port left for the call, which says nothing of the token."
                .to_owned()
        }
    }
}
