//! The HTTP door: OpenAI's API, as its SDKs expect it, over the engine.

mod apart;
mod body;
mod call;
mod chat;
mod chunks;
pub mod coding;
mod completions;
mod convert;
mod document;
pub mod error;
mod fields;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod json;
mod messages;
mod models;
mod options;
mod place;
mod request;
mod responses;
mod schema;
mod spelling;
mod sse;
mod wire;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::any,
};
use http::{Method, StatusCode};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use document::add_headers;
pub use headers::{Cors, about, cors};
pub use request::Unsupported;
pub use responses::ResponseStore;
pub use spelling::canonical;

use crate::{
    auth::Auth,
    engine::{
        Engine,
        caller::Caller,
        error::{ChatError, ErrorKind},
    },
    telemetry::CallRecord,
};

/// Where the API is.
const API: &str = "/v1";

/// Paths whose requests are chats.
pub const CHAT_PATHS: &[&str] = &["/v1/chat/completions", "/v1/completions", "/v1/responses"];

/// Endpoints of OpenAI's that are not offered, and must not be taken for a response's id.
const NOT_OFFERED: [&str; 2] = ["/v1/responses/compact", "/v1/responses/input_tokens"];

/// What the handlers work with.
#[derive(Clone)]
pub struct OpenAi {
    /// The engine.
    pub engine: Engine,
    /// The limits of each request, as they are when it comes.
    pub limits: Arc<ArcSwap<Limits>>,
    /// What becomes of requests for what the upstream cannot do.
    pub unsupported: Unsupported,
    /// The responses that are kept.
    pub responses: ResponseStore,
}

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How long a body may take to arrive.
    pub body_read_timeout: Duration,
    /// How long a chat may take, retries included.
    pub request_timeout: Duration,
    /// How long a stream may be silent before a comment keeps its connection alive.
    pub keepalive_interval: Duration,
}

impl OpenAi {
    fn limits(&self) -> Limits {
        **self.limits.load()
    }
}

/// The routes of the API without any layer, and what the document says of them.
pub fn routes(openai: OpenAi) -> (Router, OpenApi) {
    let router = OpenApiRouter::default()
        .routes(routes!(chat::create))
        .routes(routes!(completions::create))
        .routes(routes!(responses::create))
        .routes(routes!(responses::kept::retrieve, responses::kept::delete))
        .routes(routes!(responses::kept::input_items))
        .routes(routes!(models::list))
        .routes(routes!(models::retrieve));
    let not_offered = NOT_OFFERED.iter();
    not_offered
        .fold(router, |router, path| router.route(path, any(unknown_url)))
        .with_state(Arc::new(openai))
        .split_for_parts()
}

/// Answers a request for a path that is not there, as OpenAI does.
pub async fn unknown_url(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let message = format!("Invalid URL ({} {path})", request.method());
    refuse(&request, &ChatError::new(ErrorKind::UnknownUrl, message))
}

/// Answers a method that a path does not have, as OpenAI does; `OPTIONS` is there everywhere, and says which are.
pub async fn method_not_supported(request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    if responses::asks_for_websocket(&request) {
        let message =
            "Responses over a WebSocket are not offered here. Send a POST, with 'stream' for a stream.";
        return refuse(&request, &ChatError::new(ErrorKind::UpgradeRequired, message));
    }
    let message = if CHAT_PATHS.contains(&request.uri().path()) {
        "Only POST requests are accepted.".to_owned()
    } else {
        format!("Not allowed to {} on this path.", request.method())
    };
    refuse(&request, &ChatError::new(ErrorKind::MethodNotSupported, message))
}

/// Answers a request whose head is not sound: which of its headers, what is wrong with it, and the protocol's own status.
#[must_use]
pub fn flawed(
    status: StatusCode,
    header: &'static str,
    message: &'static str,
    record: Option<&CallRecord>,
) -> Response {
    let mut response = error::respond(&ChatError::invalid(header, message), record);
    *response.status_mut() = status;
    response
}

fn refuse(request: &Request, error: &ChatError) -> Response {
    let record = request.extensions().get::<CallRecord>();
    error::respond(error, record)
}

/// The key check, for every path but those in `open`.
#[derive(Debug, Clone)]
pub struct KeyCheck {
    /// The keys.
    pub auth: Auth,
    /// Whether a path needs no key.
    pub open: fn(&str) -> bool,
}

/// The layer that checks keys, for `axum::middleware::from_fn_with_state`. It comes before any body is read.
pub async fn check_key(State(check): State<Arc<KeyCheck>>, mut request: Request, next: Next) -> Response {
    let checked = check.auth.check(request.headers(), request.uri().query());
    match checked {
        Ok(caller) => {
            if let (Some(caller), Some(record)) = (&caller, request.extensions().get::<CallRecord>()) {
                record.set_caller(caller.label());
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(_) if (check.open)(request.uri().path()) || request.method() == Method::OPTIONS => {
            request.extensions_mut().insert(None::<Caller>);
            next.run(request).await
        }
        Err(error) => refuse(&request, &error),
    }
}

/// The answer to a panic in a handler: the catalogue's `internal`, and nothing of what happened.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let message = "The gateway failed at this request through a mistake of its own.";
    error::respond(&ChatError::new(ErrorKind::Internal, message), None).into_response()
}
