//! The port that a backend implements: the calls of a conversation service, and how they fail. What a failure means
//! for the chat and its token is decided in [`verdict`](super::verdict), nowhere else.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{future::BoxFuture, stream::BoxStream};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    chat::{FinishReason, Usage},
    jwt,
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

/// What an answer consists of, as the upstream sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerEvent {
    /// Text; may be empty.
    Content(String),
    /// Reasoning; may be empty.
    Reasoning(String),
    /// Token figures of the upstream's own.
    Usage(Usage),
    /// The upstream says why the answer ended.
    Finish(FinishReason),
    /// The upstream's end mark, or the end of a body that parsed whole.
    Done,
}

/// An answer under way. Dropping it closes the call.
pub type Answer = BoxStream<'static, Result<AnswerEvent, UpstreamError>>;

/// A step of a chat on the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Step {
    /// Finding the account's project.
    ListProjects,
    /// Making one for an account that has none.
    CreateProject,
    /// Listing the conversations of a project; no step of a chat.
    ListConversations,
    /// Making a fresh conversation.
    CreateConversation,
    /// Posting the user's text.
    PostMessage,
    /// Asking for the answer, and reading it.
    ReadAnswer,
    /// Removing a conversation afterwards.
    DeleteConversation,
}

impl Step {
    /// The step's name, as metrics and logs have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::ListProjects => "list_projects",
            Step::CreateProject => "create_project",
            Step::ListConversations => "list_conversations",
            Step::CreateConversation => "create_conversation",
            Step::PostMessage => "post_message",
            Step::ReadAnswer => "read_answer",
            Step::DeleteConversation => "delete_conversation",
        }
    }
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
    /// 404: what the call named is gone.
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

/// A failed call: at which step, how, and what the log should know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    /// The step that failed.
    pub step: Step,
    /// How it failed.
    pub fault: Fault,
    /// For the log: holds no secret and no more than a little of the upstream's text.
    pub detail: String,
}

impl UpstreamError {
    /// A failure of `step`.
    pub fn new(step: Step, fault: Fault, detail: impl Into<String>) -> Self {
        Self {
            step,
            fault,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} failed ({}): {}",
            self.step.name(),
            self.fault.name(),
            self.detail
        )
    }
}

impl std::error::Error for UpstreamError {}

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
}

/// A conversation service. Every future and stream may be dropped at any time, which closes the call; the engine
/// takes care not to drop the calls that create something.
pub trait Upstream: Send + Sync + 'static {
    /// The projects of the token's account; may be none.
    fn list_projects(&self, token: &Token) -> BoxFuture<'static, Result<Vec<RemoteId>, UpstreamError>>;

    /// Makes a project in the token's account.
    fn create_project(&self, token: &Token) -> BoxFuture<'static, Result<RemoteId, UpstreamError>>;

    /// The conversations of a project, whoever made them.
    fn list_conversations(
        &self,
        token: &Token,
        project: &RemoteId,
    ) -> BoxFuture<'static, Result<Vec<RemoteId>, UpstreamError>>;

    /// Makes a fresh conversation in a project.
    fn create_conversation(
        &self,
        token: &Token,
        project: &RemoteId,
    ) -> BoxFuture<'static, Result<RemoteId, UpstreamError>>;

    /// Removes a conversation. One that is gone already counts as removed.
    fn delete_conversation(
        &self,
        token: &Token,
        conversation: &ConversationRef,
    ) -> BoxFuture<'static, Result<(), UpstreamError>>;

    /// Posts the user's text.
    fn post_message(
        &self,
        token: &Token,
        conversation: &ConversationRef,
        text: &str,
    ) -> BoxFuture<'static, Result<(), UpstreamError>>;

    /// Asks for the answer to the last message; resolves when its head is there.
    fn open_answer(
        &self,
        token: &Token,
        conversation: &ConversationRef,
        model: &str,
    ) -> BoxFuture<'static, Result<Answer, UpstreamError>>;

    /// Which of the service's origins takes the calls of a step: steps with equal numbers share one, and fail together
    /// when it is down. Numbers are small and start at 0.
    fn origin(&self, step: Step) -> usize;

    /// What it can do besides text.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Whether a bare connection to every origin of the service can be made; `None` where the gateway's own machine
    /// lacks what that takes. Sends nothing.
    fn is_reachable(&self) -> BoxFuture<'static, Option<bool>>;
}
