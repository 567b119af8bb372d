//! The catalogue of errors as OpenAI renders them: status, body and headers. Every HTTP error of the process has this
//! shape.

pub mod document;

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::coding::UNDERSTOOD;
use crate::{
    engine::{
        self,
        error::{ChatError, ErrorKind},
    },
    telemetry::CallRecord,
};

pub(super) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How a kind looks: its status, OpenAI's `type`, and its `code` where that is not the kind's own name.
struct Look {
    status: StatusCode,
    family: &'static str,
    code: Option<&'static str>,
}

const fn look(status: StatusCode, family: &'static str) -> Look {
    Look {
        status,
        family,
        code: None,
    }
}

impl Look {
    const fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    fn code_of(&self, kind: ErrorKind) -> &'static str {
        self.code.unwrap_or(kind.name())
    }
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

fn look_of(error: &ChatError) -> Look {
    match error.kind() {
        ErrorKind::InvalidRequest
        | ErrorKind::UnsupportedParameter
        | ErrorKind::ContextLengthExceeded
        | ErrorKind::UpstreamRefused => look(StatusCode::BAD_REQUEST, INVALID),
        ErrorKind::Unauthenticated => look(StatusCode::UNAUTHORIZED, INVALID).code("invalid_api_key"),
        ErrorKind::PermissionDenied => look(StatusCode::FORBIDDEN, "permission_error"),
        ErrorKind::NotFound if error.field() == Some("previous_response_id") => {
            look(StatusCode::BAD_REQUEST, INVALID).code("previous_response_not_found")
        }
        ErrorKind::ModelNotFound | ErrorKind::NotFound | ErrorKind::UnknownUrl => {
            look(StatusCode::NOT_FOUND, INVALID)
        }
        ErrorKind::MethodNotSupported => look(StatusCode::METHOD_NOT_ALLOWED, INVALID),
        ErrorKind::UpgradeRequired => look(StatusCode::UPGRADE_REQUIRED, INVALID),
        ErrorKind::UnsupportedMediaType => look(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID),
        ErrorKind::RequestTimeout => look(StatusCode::REQUEST_TIMEOUT, INVALID),
        ErrorKind::RequestTooLarge => look(StatusCode::PAYLOAD_TOO_LARGE, INVALID),
        ErrorKind::RateLimited => {
            look(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error").code("rate_limit_exceeded")
        }
        ErrorKind::PoolExhausted => look(StatusCode::SERVICE_UNAVAILABLE, SERVER).code("no_available_tokens"),
        ErrorKind::CredentialsRejected => look(StatusCode::BAD_GATEWAY, SERVER).code("upstream_credentials"),
        ErrorKind::Overloaded | ErrorKind::ShuttingDown => look(StatusCode::SERVICE_UNAVAILABLE, SERVER),
        ErrorKind::UpstreamUnavailable if error.is_circuit_open() => {
            look(StatusCode::SERVICE_UNAVAILABLE, SERVER)
        }
        ErrorKind::UpstreamUnavailable | ErrorKind::UpstreamTruncated => {
            look(StatusCode::BAD_GATEWAY, SERVER)
        }
        ErrorKind::DeadlineExceeded => look(StatusCode::GATEWAY_TIMEOUT, SERVER).code("timeout"),
        // nginx's number for a client that left; one whose chat the operator ended reads it.
        ErrorKind::Cancelled => look(
            StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            INVALID,
        ),
        ErrorKind::Internal => look(StatusCode::INTERNAL_SERVER_ERROR, SERVER),
    }
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody<'a> {
    #[schema(inline)]
    error: Told<'a>,
}

/// All four are always there.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Told<'a> {
    /// What happened, in words that may change.
    pub(super) message: &'a str,
    /// OpenAI's family of errors.
    r#type: &'static str,
    /// The request's field that is at fault, where there is one.
    #[schema(required)]
    pub(super) param: Option<&'a str>,
    /// The kind of error, for programs.
    pub(super) code: &'static str,
}

/// What an error is, as it stands in `error`.
pub(super) fn told(error: &ChatError) -> Told<'_> {
    let look = look_of(error);
    Told {
        message: error.message(),
        r#type: look.family,
        param: error.field(),
        code: look.code_of(error.kind()),
    }
}

/// The body: `{"error": {message, type, param, code}}`, all four always there.
#[must_use]
pub fn body(error: &ChatError) -> Value {
    json!(ErrorBody { error: told(error) })
}

/// The whole answer to a request that failed before anything was sent.
#[must_use]
pub fn respond(error: &ChatError, record: Option<&CallRecord>) -> Response {
    engine::conclude(error, record);
    let look = look_of(error);
    let mut response = (look.status, Json(body(error))).into_response();
    let headers = response.headers_mut();
    // Both SDKs obey it: what has been retried here must not be multiplied there.
    let should_retry = if error.should_retry() { "true" } else { "false" };
    headers.insert(SHOULD_RETRY, HeaderValue::from_static(should_retry));
    if let Some(wait) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        headers.insert(
            RETRY_AFTER_MS,
            HeaderValue::from(wait.as_millis().try_into().unwrap_or(u64::MAX)),
        );
    }
    match look.status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE if error.field().is_some() => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(UNDERSTOOD));
        }
        // The protocol that is spoken here.
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        _ => {}
    }
    response
}

/// Never early: a part of a second counts as a whole one.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
