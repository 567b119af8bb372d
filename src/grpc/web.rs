//! Who calls otherwise than by gRPC over HTTP/2: browsers, by gRPC-Web and after asking whether they may (CORS), and
//! those who are wrong here.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::content_type;
use crate::{
    engine::error::ErrorKind,
    telemetry::{CallRecord, Outcome, OutcomeClass},
};

/// What scripts may read of an answer's head, beside the few headers that they always may.
const EXPOSED: [&str; 9] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-retry-pushback-ms",
    "retry-after",
    "x-request-id",
    super::IGNORED,
];

/// How long a browser may remember that it may call.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(3600);

/// What scripts of these origins are told; `*` is all of them. A key goes into a header that they set, never into a
/// cookie.
pub(super) fn terms(origins: &[String]) -> CorsLayer {
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let origins = origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok());
        AllowOrigin::list(origins)
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::POST])
        // `*` would not stand for `authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(REMEMBERED)
}

/// Tells browsers whether a script may call. Others are not bothered with it.
pub(super) async fn cors(State(terms): State<CorsLayer>, request: Request, next: Next) -> Response {
    if !request.headers().contains_key(header::ORIGIN) {
        return next.run(request).await;
    }
    let Ok(response) = terms.layer(next).oneshot(request).await;
    response
}

/// Lets gRPC over HTTP/2 and gRPC-Web over whatever HTTP pass.
pub(super) async fn entrance(mut request: Request, next: Next) -> Response {
    let kind = content_type(&request).unwrap_or_default();
    if kind.starts_with("application/grpc-web") {
        // The translation knows the types without their parameters.
        if let Ok(kind) = HeaderValue::from_str(kind) {
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
    } else if request.version() < Version::HTTP_2 && kind.starts_with("application/grpc") {
        return (
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "gRPC needs HTTP/2; over HTTP/1.1 there is gRPC-Web\n",
        )
            .into_response();
    } else if request.version() < Version::HTTP_2 {
        return not_a_call();
    }
    next.run(request).await
}

/// gRPC's own specification answers what is no call with 415.
pub(super) fn not_a_call() -> Response {
    let message = "gRPC calls are POSTs of application/grpc or application/grpc-web\n";
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response()
}

/// Answers a request whose head is not sound, in the words of HTTP: it is none of gRPC's.
#[must_use]
pub fn flawed(status: StatusCode, message: &'static str, record: Option<&CallRecord>) -> Response {
    if let Some(record) = record {
        record.conclude(Outcome {
            name: ErrorKind::InvalidRequest.name(),
            class: OutcomeClass::CallersFault,
        });
    }
    (status, format!("{message}\n")).into_response()
}
