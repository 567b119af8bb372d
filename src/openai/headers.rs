//! What every answer of the HTTP door says in its headers, and what browsers are allowed.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::{
    error::{RETRY_AFTER_MS, SHOULD_RETRY},
    request::Ignored,
};
use crate::telemetry::CallRecord;

const IGNORED: HeaderName = HeaderName::from_static("x-duogate-ignored");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
pub(super) const VERSION: HeaderName = HeaderName::from_static("openai-version");
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Names the fields that were understood and have no effect.
pub(super) fn name_ignored(headers: &mut HeaderMap, ignored: &Ignored) {
    if ignored.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(&ignored.join(", ")) {
        headers.insert(IGNORED, value);
    }
}

/// The layer that tells each answer's version and time where the API is, for `axum::middleware::from_fn`. A stream's time is that to
/// its head.
pub async fn about(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(super::API) {
        return next.run(request).await;
    }
    let record = request.extensions().get::<CallRecord>().cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(VERSION, HeaderValue::from_static("2020-10-01"));
    if let Some(record) = record {
        let total = record.began().elapsed();
        let whole = u64::try_from(total.as_millis()).unwrap_or(u64::MAX);
        headers.insert(PROCESSING_MS, HeaderValue::from(whole));
        if let Ok(timing) = HeaderValue::from_str(&timing(total, record.upstream())) {
            headers.insert(SERVER_TIMING, timing);
        }
    }
    response
}

/// In milliseconds: what the gateway itself took, what it waited for the upstream, and both together. Where the upstream
/// was not waited for to the end there is only the last.
fn timing(total: Duration, upstream: Option<Duration>) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let all = format!("total;dur={:.3}", milliseconds(total));
    match upstream {
        None => all,
        Some(upstream) => {
            let own = milliseconds(total.saturating_sub(upstream));
            format!(
                "gateway;dur={own:.3}, upstream;dur={:.3}, {all}",
                milliseconds(upstream)
            )
        }
    }
}

/// Which web pages may call the gateway.
#[derive(Debug, Clone)]
pub struct Cors(Option<CorsLayer>);

impl Cors {
    /// Pages of these origins may; `*` stands for all. Where there are none no page is told that it may.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        /// Browsers ask again after two hours at the latest.
        const MAX_AGE: Duration = Duration::from_secs(7200);
        if origins.is_empty() {
            return Self(None);
        }
        let allowed = if origins.iter().any(|origin| origin == "*") {
            AllowOrigin::any()
        } else {
            AllowOrigin::list(
                origins
                    .iter()
                    .filter_map(|origin| HeaderValue::from_str(origin).ok()),
            )
        };
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods(AllowMethods::list([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::DELETE,
            ]))
            // SDKs send headers of their own, more with every version.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([
                REQUEST_ID,
                header::RETRY_AFTER,
                RETRY_AFTER_MS,
                SHOULD_RETRY,
                IGNORED,
                PROCESSING_MS,
                VERSION,
                SERVER_TIMING,
            ])
            .max_age(MAX_AGE);
        Self(Some(layer))
    }
}

/// The layer that tells browsers so, for `axum::middleware::from_fn_with_state`. It answers what they ask beforehand,
/// before any key is looked for; an `OPTIONS` request that asks for nothing is a request like any other.
pub async fn cors(State(Cors(layer)): State<Cors>, request: Request, next: Next) -> Response {
    let asks_beforehand = request
        .headers()
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    match layer {
        Some(layer) if asks_beforehand || request.method() != Method::OPTIONS => {
            let Ok(response) = layer.layer(next).oneshot(request).await;
            response
        }
        Some(_) | None => next.run(request).await,
    }
}
