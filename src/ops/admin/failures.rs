//! What operating may fail with.

use utoipa::IntoResponses;

use crate::{
    engine::error::ErrorKind,
    openai::error::document::{Failures, of_kinds},
};

/// Adding a token.
pub(super) struct AddingFailures;

impl IntoResponses for AddingFailures {
    fn responses() -> Failures {
        of_kinds(&[
            ErrorKind::InvalidRequest,
            ErrorKind::UnsupportedMediaType,
            ErrorKind::RequestTimeout,
            ErrorKind::RequestTooLarge,
        ])
    }
}

/// Naming a token or a request in the path.
pub(super) struct NamingFailures;

impl IntoResponses for NamingFailures {
    fn responses() -> Failures {
        of_kinds(&[ErrorKind::InvalidRequest, ErrorKind::NotFound])
    }
}

/// Asking in the query.
pub(super) struct QueryFailures;

impl IntoResponses for QueryFailures {
    fn responses() -> Failures {
        of_kinds(&[ErrorKind::InvalidRequest])
    }
}
