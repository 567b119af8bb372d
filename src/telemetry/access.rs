//! The outermost layer of both doors: gives each request its id, its span and its record, and tells its end in one
//! access line. The end is the end of the answer's body, or the moment it was dropped.

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
    client::{CutOff, Peer, client_address},
    metrics::Metrics,
    record::{CallRecord, Door, Outcome, OutcomeClass},
};

const REQUEST_ID: &str = "x-request-id";
/// Ids that clients bring are adopted up to this length.
const MAX_REQUEST_ID: usize = 128;

/// What the layer must know of its door.
#[derive(Debug, Clone)]
pub struct AccessPolicy {
    /// The door.
    pub door: Door,
    /// Paths whose requests are chats: they are counted.
    pub chats: &'static [&'static str],
    /// Paths that machines ask every few seconds: told at `debug`.
    pub quiet: &'static [&'static str],
    /// Where chats are counted.
    pub metrics: Arc<Metrics>,
    /// Whose word on a client's address is taken.
    pub trusted_proxies: Arc<[IpNet]>,
}

/// The layer, for `axum::middleware::from_fn_with_state`.
pub async fn layer(State(policy): State<Arc<AccessPolicy>>, mut request: Request, next: Next) -> Response {
    let cut_off = request.extensions().get::<CutOff>().cloned();
    let id = request_id(request.headers());
    let record = CallRecord::on(cut_off.unwrap_or_default(), policy.door, id);
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
        // Never the query: it may hold a key.
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

/// Paths come from clients: long ones are cut, and logs escape what is left.
fn shown(path: &str) -> String {
    const LONGEST: usize = 200;
    path.chars().take(LONGEST).collect()
}

/// Tells the request's end when it is dropped.
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
            None => self.record.conclude_unsaid(),
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

/// One turn of a conversation that a request holds open: counted as a chat, and told in a line of its own, when it is
/// dropped. One that came to no outcome by then was cancelled.
#[derive(Debug)]
pub struct ToldTurn {
    record: CallRecord,
    number: u32,
    metrics: Arc<Metrics>,
    span: Span,
}

impl ToldTurn {
    /// The `number`th turn of the request of that record begins now.
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
        let outcome = record.conclude_unsaid();
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

/// A body that keeps the request's record until it is dropped.
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
        // What the body logs belongs to its request as much as what the handler logged.
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
