//! Why a request failed, as one closed set of kinds. How a kind looks on a wire is each door's business.

use std::{fmt, time::Duration};

/// The kinds of failure. Both doors render every one of them; the snake-case name is the metric label, the log
/// field and the reason that clients read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum ErrorKind {
    /// The request is not one that could be answered; the field is named where there is one.
    InvalidRequest,
    /// The request asks for something that the upstream cannot give.
    UnsupportedParameter,
    /// The messages are longer than the upstream takes.
    ContextLengthExceeded,
    /// No key, or a wrong one.
    Unauthenticated,
    /// A good key that may not do this.
    PermissionDenied,
    /// No such model on offer.
    ModelNotFound,
    /// Nothing of this id is here: a kept response, or what an operator names.
    NotFound,
    /// No such path (HTTP only).
    UnknownUrl,
    /// The path exists, the method on it does not (HTTP only).
    MethodNotSupported,
    /// The request asks for another protocol, which is not spoken here (HTTP only).
    UpgradeRequired,
    /// The body is not of a type, or not in a coding, that is read here (HTTP only).
    UnsupportedMediaType,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The request is larger than the limit.
    RequestTooLarge,
    /// The caller asks too often.
    RateLimited,
    /// No token can be used now, and at least one will be again.
    PoolExhausted,
    /// The upstream refuses every token.
    CredentialsRejected,
    /// As many requests are under way as may be.
    Overloaded,
    /// The process is on its way out.
    ShuttingDown,
    /// The upstream says that this request is wrong.
    UpstreamRefused,
    /// The upstream did not answer, after every try that was allowed.
    UpstreamUnavailable,
    /// The upstream broke off in the middle of an answer.
    UpstreamTruncated,
    /// The deadline passed.
    DeadlineExceeded,
    /// The client left, which only logs and metrics tell, or the operator ended the chat.
    Cancelled,
    /// A mistake of the gateway's own.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the catalogue.
    pub const ALL: &[ErrorKind] = <ErrorKind as strum::VariantArray>::VARIANTS;

    /// The kind's name: `model_not_found` and the like.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::UnsupportedParameter => "unsupported_parameter",
            ErrorKind::ContextLengthExceeded => "context_length_exceeded",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::PermissionDenied => "permission_denied",
            ErrorKind::ModelNotFound => "model_not_found",
            ErrorKind::NotFound => "not_found",
            ErrorKind::UnknownUrl => "unknown_url",
            ErrorKind::MethodNotSupported => "method_not_supported",
            ErrorKind::UpgradeRequired => "upgrade_required",
            ErrorKind::UnsupportedMediaType => "unsupported_media_type",
            ErrorKind::RequestTimeout => "request_timeout",
            ErrorKind::RequestTooLarge => "request_too_large",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::PoolExhausted => "pool_exhausted",
            ErrorKind::CredentialsRejected => "credentials_rejected",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::ShuttingDown => "shutting_down",
            ErrorKind::UpstreamRefused => "upstream_refused",
            ErrorKind::UpstreamUnavailable => "upstream_unavailable",
            ErrorKind::UpstreamTruncated => "upstream_truncated",
            ErrorKind::DeadlineExceeded => "deadline_exceeded",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Internal => "internal",
        }
    }

    /// Whether a chat can end so after its model has become known.
    #[must_use]
    pub fn follows_model(self) -> bool {
        match self {
            ErrorKind::InvalidRequest
            | ErrorKind::UnsupportedParameter
            | ErrorKind::ContextLengthExceeded
            | ErrorKind::Unauthenticated
            | ErrorKind::ModelNotFound
            | ErrorKind::NotFound
            | ErrorKind::PoolExhausted
            | ErrorKind::CredentialsRejected
            | ErrorKind::Overloaded
            | ErrorKind::ShuttingDown
            | ErrorKind::UpstreamRefused
            | ErrorKind::UpstreamUnavailable
            | ErrorKind::UpstreamTruncated
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Cancelled
            | ErrorKind::Internal => true,
            ErrorKind::PermissionDenied
            | ErrorKind::UnknownUrl
            | ErrorKind::MethodNotSupported
            | ErrorKind::UpgradeRequired
            | ErrorKind::UnsupportedMediaType
            | ErrorKind::RequestTimeout
            | ErrorKind::RequestTooLarge
            | ErrorKind::RateLimited => false,
        }
    }

    /// Whether the fault lies with the caller, so that it says nothing about the service's health.
    #[must_use]
    pub fn is_callers(self) -> bool {
        match self {
            ErrorKind::InvalidRequest
            | ErrorKind::UnsupportedParameter
            | ErrorKind::ContextLengthExceeded
            | ErrorKind::Unauthenticated
            | ErrorKind::PermissionDenied
            | ErrorKind::ModelNotFound
            | ErrorKind::NotFound
            | ErrorKind::UnknownUrl
            | ErrorKind::MethodNotSupported
            | ErrorKind::UpgradeRequired
            | ErrorKind::UnsupportedMediaType
            | ErrorKind::RequestTimeout
            | ErrorKind::RequestTooLarge
            | ErrorKind::RateLimited
            | ErrorKind::UpstreamRefused => true,
            ErrorKind::PoolExhausted
            | ErrorKind::CredentialsRejected
            | ErrorKind::Overloaded
            | ErrorKind::ShuttingDown
            | ErrorKind::UpstreamUnavailable
            | ErrorKind::UpstreamTruncated
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Cancelled
            | ErrorKind::Internal => false,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failed request: its kind, a message that is safe to show to the client, and what only the log may tell.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct ChatError {
    kind: ErrorKind,
    message: String,
    field: Option<String>,
    retry_after: Option<Duration>,
    detail: Option<String>,
    circuit_open: bool,
    resource: Option<Box<(&'static str, String)>>,
}

impl ChatError {
    /// An error of `kind`. The message goes to the client as it is: no secret, no text of the upstream's.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            field: None,
            retry_after: None,
            detail: None,
            circuit_open: false,
            resource: None,
        }
    }

    /// `upstream_unavailable`, told without a try: the upstream has failed too often of late, and is probed again
    /// after `retry_after`.
    #[must_use]
    pub fn circuit_open(retry_after: Duration) -> Self {
        let message =
            "The upstream keeps failing, so nothing is sent to it for a moment. Send the request again.";
        let error = Self::new(ErrorKind::UpstreamUnavailable, message);
        Self {
            circuit_open: true,
            ..error.with_retry_after(Some(retry_after))
        }
    }

    /// Bad input, with the field that is at fault (`messages[0].role`).
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message).with_field(field)
    }

    /// `not_found`: there is no `resource` of that name, which `field` of the request gave.
    pub fn not_found(
        resource: &'static str,
        name: impl Into<String>,
        field: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            resource: Some(Box::new((resource, name.into()))),
            ..Self::new(ErrorKind::NotFound, message).with_field(field)
        }
    }

    /// Names the field that is at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the field at fault anew, in the message too.
    #[must_use]
    pub fn renamed(mut self, field: impl Into<String>) -> Self {
        let field = field.into();
        if let Some(old) = &self.field {
            let quoted = |name: &str| format!("'{name}'");
            self.message = self.message.replace(&quoted(old), &quoted(&field));
        }
        self.with_field(field)
    }

    /// Names the field at fault as a part of `outer`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = self.field.map(|field| format!("{outer}.{field}"));
        self
    }

    /// Says when another try may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Adds what the log should tell and the client must not see.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field at fault, as a path into the request.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// What is not there: its sort and its name.
    #[must_use]
    pub fn resource(&self) -> Option<(&'static str, &str)> {
        self.resource
            .as_deref()
            .map(|(sort, name)| (*sort, name.as_str()))
    }

    /// When another try may succeed, counted from now.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the upstream was not even asked, since it keeps failing.
    #[must_use]
    pub fn is_circuit_open(&self) -> bool {
        self.circuit_open
    }

    /// What only the log may tell.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Whether a client does right to send the request again: it was not begun, and it will soon be welcome.
    /// Everything else has been tried again already, or never will succeed.
    #[must_use]
    pub fn should_retry(&self) -> bool {
        /// A pool that is back within this is worth a client's wait; SDKs obey no longer `Retry-After`.
        const SOON: Duration = Duration::from_secs(60);
        match self.kind {
            ErrorKind::Overloaded | ErrorKind::ShuttingDown => true,
            ErrorKind::UpstreamUnavailable => self.circuit_open,
            ErrorKind::PoolExhausted => self.retry_after.is_some_and(|wait| wait <= SOON),
            ErrorKind::InvalidRequest
            | ErrorKind::UnsupportedParameter
            | ErrorKind::ContextLengthExceeded
            | ErrorKind::Unauthenticated
            | ErrorKind::PermissionDenied
            | ErrorKind::ModelNotFound
            | ErrorKind::NotFound
            | ErrorKind::UnknownUrl
            | ErrorKind::MethodNotSupported
            | ErrorKind::UpgradeRequired
            | ErrorKind::UnsupportedMediaType
            | ErrorKind::RequestTimeout
            | ErrorKind::RequestTooLarge
            | ErrorKind::RateLimited
            | ErrorKind::CredentialsRejected
            | ErrorKind::UpstreamRefused
            | ErrorKind::UpstreamTruncated
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Cancelled
            | ErrorKind::Internal => false,
        }
    }
}
