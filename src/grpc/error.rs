//! The catalogue of errors as gRPC renders them: status code, `google.rpc` details and metadata.

use std::collections::HashMap;

use http::HeaderValue;
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt};

use super::proto::TurnFailure;
use crate::{
    engine::{
        self,
        error::{ChatError, ErrorKind},
    },
    telemetry::CallRecord,
};

/// Who gives the reasons in `ErrorInfo`.
const DOMAIN: &str = "duogate";
/// What clients with a retry policy in their service config obey (gRFC A6): milliseconds, or -1 for never.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::UnsupportedParameter | ErrorKind::ContextLengthExceeded => {
            Code::InvalidArgument
        }
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::ModelNotFound | ErrorKind::NotFound => Code::NotFound,
        ErrorKind::UnknownUrl | ErrorKind::MethodNotSupported | ErrorKind::UnsupportedMediaType => {
            Code::Unimplemented
        }
        ErrorKind::RequestTimeout | ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::RequestTooLarge | ErrorKind::RateLimited => Code::ResourceExhausted,
        ErrorKind::PoolExhausted
        | ErrorKind::Overloaded
        | ErrorKind::ShuttingDown
        | ErrorKind::UpstreamUnavailable => Code::Unavailable,
        ErrorKind::CredentialsRejected | ErrorKind::UpstreamRefused => Code::FailedPrecondition,
        ErrorKind::UpstreamTruncated => Code::Aborted,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The details that a kind carries beside `ErrorInfo` and `RequestInfo`.
fn add_details(error: &ChatError, record: &CallRecord, details: &mut ErrorDetails) {
    match error.kind() {
        ErrorKind::InvalidRequest | ErrorKind::UnsupportedParameter | ErrorKind::ContextLengthExceeded => {
            details.add_bad_request_violation(error.field().unwrap_or_default(), error.message());
        }
        ErrorKind::ModelNotFound => {
            details.set_resource_info("model", record.model().unwrap_or_default(), "", error.message());
        }
        ErrorKind::NotFound => {
            let (sort, name) = error.resource().unwrap_or_default();
            details.set_resource_info(sort, name, "", error.message());
        }
        ErrorKind::RateLimited => {
            details.add_quota_failure_violation("api_key", error.message());
        }
        ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::UnknownUrl
        | ErrorKind::MethodNotSupported
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::RequestTimeout
        | ErrorKind::RequestTooLarge
        | ErrorKind::PoolExhausted
        | ErrorKind::CredentialsRejected
        | ErrorKind::Overloaded
        | ErrorKind::ShuttingDown
        | ErrorKind::UpstreamRefused
        | ErrorKind::UpstreamUnavailable
        | ErrorKind::UpstreamTruncated
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::Internal => {}
    }
}

/// The status of a failed call. Logs the failure, once, and notes it in the call's record.
pub(super) fn status(error: &ChatError, record: &CallRecord) -> Status {
    engine::conclude(error, Some(record));
    render(error, record)
}

/// The status alone.
pub(crate) fn render(error: &ChatError, record: &CallRecord) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(error.kind().name().to_uppercase(), DOMAIN, HashMap::new());
    details.set_request_info(record.request_id(), "");
    add_details(error, record, &mut details);
    if let Some(wait) = error.retry_after() {
        details.set_retry_info(Some(wait));
    }
    let mut metadata = MetadataMap::new();
    let pushback = match error.retry_after() {
        Some(wait) if error.should_retry() => {
            HeaderValue::from(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
        }
        Some(_) | None => HeaderValue::from_static("-1"),
    };
    metadata.as_mut().insert(PUSHBACK, pushback);
    Status::with_error_details_and_metadata(code(error.kind()), error.message(), details, metadata)
}

/// A failure as the end of one turn of a conversation tells it. Logs the failure, once, and notes it in the turn's record.
pub(super) fn of_turn(error: &ChatError, record: &CallRecord) -> TurnFailure {
    engine::conclude(error, Some(record));
    TurnFailure {
        code: code(error.kind()).into(),
        reason: error.kind().name().to_uppercase(),
        message: error.message().to_owned(),
        field: error.field().map(str::to_owned),
        retry_after: error.retry_after().and_then(|wait| wait.try_into().ok()),
        should_retry: error.should_retry(),
    }
}

/// The status of a call whose service panicked; its record went with it.
pub(super) fn panicked() -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(ErrorKind::Internal.name().to_uppercase(), DOMAIN, HashMap::new());
    let message = "The gateway failed at this call through a mistake of its own.";
    let mut metadata = MetadataMap::new();
    metadata.as_mut().insert(PUSHBACK, HeaderValue::from_static("-1"));
    Status::with_error_details_and_metadata(Code::Internal, message, details, metadata)
}
