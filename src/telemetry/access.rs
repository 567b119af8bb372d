//! The outermost layer of both doors. It gives each request its id, span and record, and writes one access line when
//! the request ends, which is when the response's body ends or is dropped.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use ipnet::IpNet;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::{
    client::{Peer, client_address},
    metrics::Metrics,
    record::{CallRecord, Door, Outcome, OutcomeClass},
};

const REQUEST_ID: &str = "x-request-id";
/// Longest request id accepted from a client, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// The layer's settings for one door.
#[derive(Debug, Clone)]
pub struct AccessPolicy {
    /// The door.
    pub door: Door,
    /// Paths whose requests are counted as chats.
    pub chats: &'static [&'static str],
    /// Paths polled by monitoring every few seconds; their access lines are at `debug`.
    pub quiet: &'static [&'static str],
    /// The metrics that chats are counted in.
    pub metrics: Arc<Metrics>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Arc<[IpNet]>,
}

/// The layer, for `axum::middleware::from_fn_with_state`.
pub async fn layer(State(policy): State<Arc<AccessPolicy>>, mut request: Request, next: Next) -> Response {
    let record = CallRecord::new(policy.door, request_id(request.headers()));
    let span = tracing::info_span!(
        "request",
        request.id = record.request_id(),
        door = policy.door.name()
    );
    request.extensions_mut().insert(record.clone());
    let path = request.uri().path();
    let peer = request.extensions().get::<Peer>();
    let client = peer.map(|Peer(peer)| client_address(peer.ip(), request.headers(), &policy.trusted_proxies));
    let told = Told {
        chat: policy.chats.contains(&path),
        quiet: policy.quiet.contains(&path),
        method: request.method().to_string(),
        // Without the query, which may contain a key.
        path: shown(path),
        client,
        record,
        span: span.clone(),
        status: None,
        policy,
    };
    answer(told, request, next).instrument(span).await
}

async fn answer(mut told: Told, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    told.status = Some(response.status());
    if let Ok(id) = HeaderValue::from_str(told.record.request_id()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.map(|inner| Body::new(RecordedBody { inner, told }))
}

fn request_id(headers: &HeaderMap) -> String {
    ["x-client-request-id", REQUEST_ID]
        .into_iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .find(|id| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(is_plain))
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte)
}

/// Paths come from clients: long ones are cut here, and the log escapes the rest.
fn shown(path: &str) -> String {
    const LONGEST: usize = 200;
    path.chars().take(LONGEST).collect()
}

/// Writes the access line when it is dropped.
struct Told {
    policy: Arc<AccessPolicy>,
    record: CallRecord,
    span: Span,
    method: String,
    path: String,
    client: Option<IpAddr>,
    chat: bool,
    quiet: bool,
    status: Option<StatusCode>,
}

impl Told {
    fn outcome(&self) -> Outcome {
        if let Some(outcome) = self.record.outcome() {
            return outcome;
        }
        match self.status {
            None => Outcome::CANCELLED,
            Some(status) if status.is_server_error() => Outcome {
                name: "internal",
                class: OutcomeClass::Failure,
            },
            Some(status) if status.is_client_error() => Outcome {
                name: "invalid_request",
                class: OutcomeClass::CallersFault,
            },
            Some(_) => Outcome::OK,
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let outcome = self.outcome();
        if self.chat {
            self.policy.metrics.count_chat(&self.record, outcome);
        }
        let _entered = self.span.enter();
        let record = &self.record;
        let token = record.token();
        macro_rules! tell {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    http.method = self.method,
                    http.path = self.path.as_str(),
                    http.status = self.status.map_or(499, |status| status.as_u16()),
                    outcome = outcome.name,
                    client = self.client.map(tracing::field::display),
                    caller = record.caller(),
                    model = record.model(),
                    token = token.as_deref(),
                    duration_ms = milliseconds(record.began().elapsed()),
                    first_token_ms = record.first_token().map(milliseconds),
                    "request ended"
                )
            };
        }
        if self.quiet {
            tell!(tracing::Level::DEBUG);
        } else {
            tell!(tracing::Level::INFO);
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// One turn of a conversation within a request that carries several. When dropped, the turn is counted as a chat and
/// logged; without an outcome by then it counts as cancelled.
#[derive(Debug)]
pub struct ToldTurn {
    record: CallRecord,
    number: u32,
    metrics: Arc<Metrics>,
    span: Span,
}

impl ToldTurn {
    /// Begins turn `number` of `request`.
    #[must_use]
    pub fn begin(request: &CallRecord, number: u32, metrics: Arc<Metrics>) -> Self {
        Self {
            record: request.turn(),
            number,
            metrics,
            span: Span::current(),
        }
    }

    /// The turn's own record.
    #[must_use]
    pub fn record(&self) -> &CallRecord {
        &self.record
    }
}

impl Drop for ToldTurn {
    fn drop(&mut self) {
        let record = &self.record;
        let outcome = record.outcome().unwrap_or(Outcome::CANCELLED);
        self.metrics.count_chat(record, outcome);
        let _entered = self.span.enter();
        let token = record.token();
        tracing::info!(
            turn = self.number,
            outcome = outcome.name,
            model = record.model(),
            token = token.as_deref(),
            duration_ms = milliseconds(record.began().elapsed()),
            first_token_ms = record.first_token().map(milliseconds),
            "turn ended"
        );
    }
}

/// A response body that keeps the request's access line pending until it is dropped.
struct RecordedBody {
    inner: Body,
    told: Told,
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, told } = &mut *self;
        // The body's log lines carry the request's span, like the handler's.
        let _entered = told.span.enter();
        Pin::new(inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
