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

use super::media::{self, Form};
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

/// Lets gRPC over HTTP/2 and gRPC-Web over whatever HTTP pass, in the spelling that the layers behind know.
pub(super) async fn entrance(mut request: Request, next: Next) -> Response {
    let is_http2 = request.version() >= Version::HTTP_2;
    let is_post = request.method() == Method::POST;
    let told = media::content_type(request.headers());
    let is_web = !matches!(told, Some((Form::Grpc, _)));
    match told {
        Some((Form::Grpc, _)) if !is_http2 => {
            let message = "gRPC needs HTTP/2; over HTTP/1.1 there is gRPC-Web\n";
            return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, message).into_response();
        }
        Some((form, unknown)) if is_post => {
            media::respell(request.headers_mut(), form);
            if let Some(codec) = unknown {
                request.extensions_mut().insert(codec);
            }
        }
        Some(_) | None => return not_a_call(),
    }
    if !is_web {
        return next.run(request).await;
    }
    let mut response = next.run(request).await;
    // On HTTP/1.1 there are proxies that hold streams back, as they do at the HTTP door.
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// gRPC's own specification answers what is no call with 415.
fn not_a_call() -> Response {
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
