//! Rejected calls, and the error pages sent instead of an answer.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::fault::{Page, PageKind};

/// Why a call is rejected.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
    /// Whether the caller violated the contract.
    pub(super) breach: bool,
}

impl Refusal {
    /// A call that violates the contract.
    pub(super) fn breach(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            breach: true,
        }
    }

    /// A rejection that the caller could not foresee.
    pub(super) fn plain(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            breach: false,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        failure(self.status, &self.message)
    }
}

/// Marks a response that is replaced by closing the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct HangUp {
    pub(super) reset: bool,
}

/// A placeholder for a response that is never sent.
pub(super) fn hang_up(reset: bool) -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp { reset });
    response
}

/// A response with a status; an invalid one becomes 500.
pub(super) fn response(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    set(&mut response, header::CONTENT_TYPE, content_type);
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn failure(status: u16, message: &str) -> Response {
    let body = json!({"statusCode": status, "message": message});
    response(status, "application/json; charset=utf-8", body.to_string())
}

/// Status 200 with a body that reports an error.
pub(super) fn error_body(status: u16) -> Response {
    let body = json!({"statusCode": status, "message": "Unauthorized"});
    response(200, "application/json; charset=utf-8", body.to_string())
}

pub(super) fn redirect(code: u16, location: &str) -> Response {
    let mut redirect = response(code, "text/plain", "");
    set(&mut redirect, header::LOCATION, location);
    redirect
}

pub(super) fn page(page: &Page) -> Response {
    let mut answer = match page.kind {
        PageKind::Json => failure(page.code, "scripted"),
        PageKind::Html => response(
            page.code,
            "text/html; charset=utf-8",
            "<html><body><h1>Sorry</h1></body></html>",
        ),
        PageKind::Empty => response(page.code, "text/plain", ""),
    };
    if let Some(retry_after) = &page.retry_after {
        set(&mut answer, header::RETRY_AFTER, &written(retry_after));
    }
    answer
}

fn written(retry_after: &str) -> String {
    let seconds = retry_after
        .strip_prefix("date+")
        .and_then(|seconds| seconds.parse().ok());
    seconds.map_or_else(
        || retry_after.to_owned(),
        |seconds| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds)),
    )
}
