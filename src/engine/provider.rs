//! The port that every kind of upstream implements: one attempt with one credential, and how it fails. The
//! consequences of a failure are decided in [`verdict`](super::verdict), nowhere else.

use std::{
    any::Any,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{Stream, future::BoxFuture};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    error::ChatError,
    event::Event,
    jwt,
    prompt::Prompt,
    request::{ChatRequest, Message},
    slot::TokenSnapshot,
};

/// A credential of the upstream. Neither `Debug` nor `Display` shows it; [`Token::label`] names it in logs.
#[derive(Clone)]
pub struct Token {
    secret: Arc<SecretString>,
    digest: [u8; 32],
    label: Arc<str>,
    expires_at: Option<SystemTime>,
}

impl Token {
    /// Wraps a credential, as the configuration checked it.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        let digest: [u8; 32] = Sha256::digest(secret.expose_secret().as_bytes()).into();
        let label: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self {
            expires_at: jwt::expiry(secret.expose_secret()),
            secret: Arc::new(secret),
            digest,
            label: label.into(),
        }
    }

    /// The credential's SHA-256: what tells tokens apart without showing them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The credential itself, for the one header that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// When the credential dies by its own word: the `exp` claim of one that is a JWT.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The first eight hexadecimal digits of the credential's SHA-256: how logs and pages name it.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.label)
    }
}

/// An answer under way: a stream of events up to the end of the body, or to its one error. Dropping it closes the
/// upstream's answer.
pub trait Answer: Stream<Item = Result<Event, UpstreamError>> + Send + Unpin + 'static {
    /// The engine has all that it needs of the answer, which is whole. The rest of the body does not matter any more.
    fn complete(&mut self) {}

    /// The text that was sent, for counting its tokens.
    fn prompt(&self) -> Arc<Prompt>;

    /// The session of a complete answer, for one more turn; `None` where there is none, or the answer is not complete.
    fn into_session(self: Box<Self>) -> Option<Session> {
        None
    }
}

/// Where a dialogue goes on upstream: opaque to the engine, and bound to the credential that it began with. Dropping it
/// cleans up.
pub struct Session {
    credential: Token,
    state: Box<dyn Any + Send>,
}

impl Session {
    /// A session of the `credential`; only the provider looks into `state`.
    #[must_use]
    pub fn new<T: Send + 'static>(credential: Token, state: T) -> Self {
        Self {
            credential,
            state: Box::new(state),
        }
    }

    /// The credential that the session belongs to.
    #[must_use]
    pub fn credential(&self) -> &Token {
        &self.credential
    }

    /// The state, if it is of the caller's type; `None` for another provider's session, which ends.
    #[must_use]
    pub fn into_state<T: 'static>(self) -> Option<Box<T>> {
        self.state.downcast().ok()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.credential)
    }
}

/// A request that a provider has accepted, in whatever form its attempts share. All choices and retries of the request
/// use the same one.
pub trait PreparedChat: Send + Sync + 'static {
    /// The text of the whole request, for counting its tokens.
    fn prompt(&self) -> Arc<Prompt>;

    /// One attempt: sends the request with this credential, and resolves with the answer, at the latest with its first
    /// event. The provider bounds its calls by its own timeouts; the engine drops the future at the chat's deadline. In a
    /// `session` the request holds the new messages only. `last` is the fault of the chat's last attempt. Dropping the future closes the calls that only ask; calls that
    /// create something must go on by themselves, so that nothing is left behind unseen.
    ///
    /// # Errors
    /// As the calls fail; [`Fault::Gone`] when the session is lost.
    fn open(
        &self,
        credential: &Token,
        session: Option<Session>,
        last: Option<&Fault>,
    ) -> BoxFuture<'static, Result<Box<dyn Answer>, UpstreamError>>;
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq, strum::EnumIter)]
pub enum Fault {
    /// 401 or 403: the token is bad.
    Credentials,
    /// 429: the token is rate limited, for as long as the upstream says.
    RateLimited {
        /// The upstream's `Retry-After`, counted from its arrival.
        retry_after: Option<Duration>,
    },
    /// 404: the call named something that is gone, such as the session.
    Gone,
    /// Any other 4xx: the request is wrong.
    Refused {
        /// The status.
        status: u16,
    },
    /// 5xx, or a redirect that is not followed.
    Status {
        /// The status.
        status: u16,
        /// The upstream's `Retry-After`, counted from its arrival.
        retry_after: Option<Duration>,
    },
    /// No connection, or it broke before the answer's head.
    Connection,
    /// Nothing came for as long as one wait may last.
    Timeout,
    /// What came is not what the contract says: an HTML page, broken JSON, an id that cannot be used.
    Malformed,
    /// An answer that ended politely with neither content nor a finish.
    Empty,
    /// An answer that broke off after it had begun.
    Truncated,
    /// An answer that ended politely after it had begun, with neither a finish reason nor an end mark.
    Unmarked,
    /// Nobody's but ours: the gateway's own machine has no descriptor, memory or port left for the call.
    Local {
        /// Whether the upstream may have heard of the call all the same.
        sent: bool,
    },
}

impl Fault {
    /// The fault's name, as metrics and logs have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Credentials => "credentials",
            Fault::RateLimited { .. } => "rate_limited",
            Fault::Gone => "gone",
            Fault::Refused { .. } => "refused",
            Fault::Status { .. } => "status",
            Fault::Connection => "connection",
            Fault::Timeout => "timeout",
            Fault::Malformed => "malformed",
            Fault::Empty => "empty",
            Fault::Truncated => "truncated",
            Fault::Unmarked => "unmarked",
            Fault::Local { .. } => "local",
        }
    }

    /// How long the upstream asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Fault::RateLimited { retry_after } | Fault::Status { retry_after, .. } => *retry_after,
            Fault::Credentials
            | Fault::Gone
            | Fault::Refused { .. }
            | Fault::Connection
            | Fault::Timeout
            | Fault::Malformed
            | Fault::Empty
            | Fault::Truncated
            | Fault::Unmarked
            | Fault::Local { .. } => None,
        }
    }

    /// Whether the service is at fault, and neither the token nor the request.
    #[must_use]
    pub fn is_services(&self) -> bool {
        match self {
            Fault::Status { .. }
            | Fault::Connection
            | Fault::Timeout
            | Fault::Malformed
            | Fault::Empty
            | Fault::Truncated
            | Fault::Unmarked => true,
            Fault::Credentials
            | Fault::RateLimited { .. }
            | Fault::Gone
            | Fault::Refused { .. }
            | Fault::Local { .. } => false,
        }
    }

    /// Whether the gateway's own machine is at fault, which says nothing about the service or the token.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Fault::Local { .. })
    }
}

/// A failed call: at which step, how, and the detail for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step} failed ({}): {detail}", fault.name())]
pub struct UpstreamError {
    /// The step that failed, one of the provider's own.
    pub step: &'static str,
    /// How it failed.
    pub fault: Fault,
    /// For the log: holds no secret and no more than a little of the upstream's text.
    pub detail: String,
}

impl UpstreamError {
    /// A failure of `step`.
    pub fn new(step: &'static str, fault: Fault, detail: impl Into<String>) -> Self {
        Self {
            step,
            fault,
            detail: detail.into(),
        }
    }
}

/// What an upstream can do besides taking one text and giving another. What it cannot is refused at the doors, or left
/// out where the settings say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Calls of tools and functions.
    pub tools: bool,
    /// Images in messages.
    pub images: bool,
    /// Sound in messages, and as the answer.
    pub audio: bool,
    /// Files in messages.
    pub files: bool,
    /// Answers in JSON, and after a schema.
    pub response_formats: bool,
    /// Log probabilities of the answer's tokens.
    pub logprobs: bool,
    /// Searching the web for the answer.
    pub web_search: bool,
    /// Judging question and answer by a policy.
    pub moderation: bool,
    /// Settings that change the flavour of an answer: temperature and [`Hints`](super::request::Hints). Where they have
    /// no effect the doors say so.
    pub hints: bool,
}

/// One upstream of some kind. Every future and answer may be dropped at any time.
pub trait Provider: Send + Sync + 'static {
    /// What a model of this upstream, by the upstream's own name, can do.
    fn capabilities(&self, model: &str) -> Capabilities;

    /// Takes a request for one of the upstream's models, by its own name. Makes no call.
    ///
    /// # Errors
    /// When no attempt could be made with it: `context_length_exceeded` and the like.
    fn prepare(
        &self,
        request: ChatRequest,
        model: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn PreparedChat>, ChatError>>;

    /// The most bytes that a message takes of a request; `is_alone` where the request holds no other.
    fn message_size(&self, message: &Message, is_alone: bool) -> usize;

    /// The most bytes that all messages of a request may take.
    fn max_request_size(&self) -> usize;

    /// Tries a credential with a call that changes nothing upstream.
    ///
    /// # Errors
    /// As the call fails.
    fn probe(&self, credential: &Token) -> BoxFuture<'static, Result<(), UpstreamError>>;

    /// Whether a bare connection to every origin of the service can be made; `None` where the gateway's own machine
    /// lacks the means to try. Sends nothing.
    fn is_reachable(&self) -> BoxFuture<'static, Option<bool>>;

    /// A credential's state has changed, by the attempts, the probes or the settings. A failure in the middle of an answer
    /// is not reported.
    fn credential_changed(&self, credential: &Token, change: CredentialChange) {
        let _ = (credential, change);
    }

    /// Regular upkeep, for these credentials: called at least every ten seconds. Returns when it is due next at the
    /// latest.
    fn maintain(&self, credentials: &[TokenSnapshot]) -> Option<Instant> {
        let _ = credentials;
        None
    }

    /// Cleans up at the end of the process, and resolves when that is done. No request follows.
    fn close(&self) -> BoxFuture<'static, ()>;

    /// Pieces of background work under way.
    fn background_work(&self) -> usize {
        0
    }

    /// The admin interface of an upstream that keeps conversations.
    fn conversations(&self) -> Option<&dyn ConversationAdmin> {
        None
    }
}

/// How a credential's state has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialChange {
    /// A chat got an answer with it.
    Served,
    /// It can be used, again or for the first time.
    Usable,
    /// It cannot be used any more, for now or for good.
    Unusable,
    /// It has left the pool.
    Removed,
}

/// Conversations that an upstream keeps, for operators.
pub trait ConversationAdmin: Send + Sync {
    /// The conversations that the gateway made.
    fn counts(&self) -> ConversationCounts;

    /// The size of the credential's warm pool.
    fn warm(&self, credential: &Token) -> usize;

    /// Removes conversations of these credentials' accounts, and resolves when that is done. Dropping the future does
    /// not stop it.
    fn clear(&self, scope: Scope, credentials: Vec<Token>) -> BoxFuture<'static, Cleared>;
}

/// The number of conversations that the gateway made, by their state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConversationCounts {
    /// With a chat in them.
    pub in_use: usize,
    /// In the warm pool.
    pub ready: usize,
    /// On their way out.
    pub leaving: usize,
    /// That could not be removed.
    pub left_behind: usize,
}

/// Which conversations to clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that the gateway made and nobody uses.
    Ours,
    /// All of the accounts', whoever made them; but for those that a chat runs in.
    Account,
}

/// The result of a clearing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Conversations that are gone.
    pub removed: usize,
    /// Conversations that could not be removed, and accounts that could not be listed; the log has the reasons.
    pub failed: usize,
}
