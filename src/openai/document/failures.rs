//! Which failures each operation may answer with. What the layers add to every one of them is not told here.

use utoipa::IntoResponses;

use super::super::error::document::{Failures, of, of_kinds, samples};
use crate::engine::error::{ChatError, ErrorKind};

/// What a chat may fail with.
const CHAT: &[ErrorKind] = &[
    ErrorKind::InvalidRequest,
    ErrorKind::UnsupportedParameter,
    ErrorKind::ContextLengthExceeded,
    ErrorKind::UpstreamRefused,
    ErrorKind::ModelNotFound,
    ErrorKind::UnsupportedMediaType,
    ErrorKind::RequestTimeout,
    ErrorKind::RequestTooLarge,
    ErrorKind::PoolExhausted,
    ErrorKind::CredentialsRejected,
    ErrorKind::Overloaded,
    ErrorKind::ShuttingDown,
    ErrorKind::UpstreamUnavailable,
    ErrorKind::UpstreamTruncated,
    ErrorKind::DeadlineExceeded,
    ErrorKind::Cancelled,
];

/// Those of chats and completions.
pub(in crate::openai) struct ChatFailures;

impl IntoResponses for ChatFailures {
    fn responses() -> Failures {
        of_kinds(CHAT)
    }
}

/// Those of responses, which may point at others that are kept.
pub(in crate::openai) struct ResponseFailures;

impl IntoResponses for ResponseFailures {
    fn responses() -> Failures {
        let mut errors = samples(CHAT);
        errors.extend(samples(&[ErrorKind::NotFound]));
        errors.push(ChatError::new(ErrorKind::NotFound, "").with_field("previous_response_id"));
        of(&errors)
    }
}

/// Those of asking for a kept response.
pub(in crate::openai) struct KeptFailures;

impl IntoResponses for KeptFailures {
    fn responses() -> Failures {
        of_kinds(&[
            ErrorKind::UnsupportedParameter,
            ErrorKind::NotFound,
            ErrorKind::UnknownUrl,
        ])
    }
}

/// Those of deleting one.
pub(in crate::openai) struct DeletedFailures;

impl IntoResponses for DeletedFailures {
    fn responses() -> Failures {
        of_kinds(&[ErrorKind::NotFound, ErrorKind::UnknownUrl])
    }
}

/// Those of asking for a page of one's input.
pub(in crate::openai) struct PageFailures;

impl IntoResponses for PageFailures {
    fn responses() -> Failures {
        of_kinds(&[
            ErrorKind::InvalidRequest,
            ErrorKind::NotFound,
            ErrorKind::UnknownUrl,
        ])
    }
}

/// Those of asking for a model.
pub(in crate::openai) struct ModelFailures;

impl IntoResponses for ModelFailures {
    fn responses() -> Failures {
        of_kinds(&[ErrorKind::ModelNotFound, ErrorKind::UnknownUrl])
    }
}
