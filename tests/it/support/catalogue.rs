//! The catalogue of errors that clients rely on, repeated here so that no change goes unnoticed.

use tonic::Code;

use super::Failure;

/// One kind of failure on both wires.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kind: &'static str,
    pub(crate) status: u16,
    pub(crate) family: &'static str,
    pub(crate) code: &'static str,
    pub(crate) grpc: Code,
}

impl Row {
    /// The HTTP status of a failure of this kind. Only an upstream that is not called, because its breaker is open, has
    /// a second one: it asks the client to retry after a time.
    pub(crate) fn status_of(&self, failure: &Failure) -> u16 {
        let unasked = failure.retry_after.is_some() && failure.should_retry == Some(true);
        match self.kind {
            "upstream_unavailable" if unasked => 503,
            _ => self.status,
        }
    }
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

const fn row(kind: &'static str, status: u16, family: &'static str, code: &'static str, grpc: Code) -> Row {
    Row {
        kind,
        status,
        family,
        code,
        grpc,
    }
}

/// A kind whose OpenAI code equals its own name.
const fn plain(kind: &'static str, status: u16, family: &'static str, grpc: Code) -> Row {
    row(kind, status, family, kind, grpc)
}

const ROWS: &[Row] = &[
    plain("invalid_request", 400, INVALID, Code::InvalidArgument),
    plain("unsupported_parameter", 400, INVALID, Code::InvalidArgument),
    plain("context_length_exceeded", 400, INVALID, Code::InvalidArgument),
    row(
        "unauthenticated",
        401,
        INVALID,
        "invalid_api_key",
        Code::Unauthenticated,
    ),
    plain("model_not_found", 404, INVALID, Code::NotFound),
    plain("not_found", 404, INVALID, Code::NotFound),
    row(
        "not_found",
        400,
        INVALID,
        "previous_response_not_found",
        Code::NotFound,
    ),
    plain("unknown_url", 404, INVALID, Code::Unimplemented),
    plain("method_not_supported", 405, INVALID, Code::Unimplemented),
    plain("upgrade_required", 426, INVALID, Code::Unimplemented),
    plain("unsupported_media_type", 415, INVALID, Code::Unimplemented),
    plain("request_timeout", 408, INVALID, Code::DeadlineExceeded),
    plain("request_too_large", 413, INVALID, Code::ResourceExhausted),
    row(
        "pool_exhausted",
        503,
        SERVER,
        "no_available_tokens",
        Code::Unavailable,
    ),
    row(
        "credentials_rejected",
        502,
        SERVER,
        "upstream_credentials",
        Code::FailedPrecondition,
    ),
    plain("overloaded", 503, SERVER, Code::Unavailable),
    plain("shutting_down", 503, SERVER, Code::Unavailable),
    plain("upstream_refused", 400, INVALID, Code::FailedPrecondition),
    plain("upstream_unavailable", 502, SERVER, Code::Unavailable),
    plain("upstream_truncated", 502, SERVER, Code::Aborted),
    row(
        "deadline_exceeded",
        504,
        SERVER,
        "timeout",
        Code::DeadlineExceeded,
    ),
    plain("cancelled", 499, INVALID, Code::Cancelled),
    plain("internal", 500, SERVER, Code::Internal),
];

/// The row of an OpenAI `code`.
pub(crate) fn by_code(code: &str) -> &'static Row {
    let row = ROWS.iter().find(|row| row.code == code);
    row.unwrap_or_else(|| panic!("the catalogue has no code {code:?}"))
}

/// The row of an `ErrorInfo.reason`.
pub(crate) fn by_reason(reason: &str) -> &'static Row {
    let row = ROWS.iter().find(|row| row.kind.to_uppercase() == reason);
    row.unwrap_or_else(|| panic!("the catalogue has no reason {reason:?}"))
}
