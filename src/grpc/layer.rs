//! What comes before a call's message is read: its key, its permit, its deadline. And after it: statuses that the
//! gRPC library gave by itself get the catalogue's details.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{
    CHAT_PATHS, Limits, error, frames, media::UnknownCodec, schema::Schema, single::one_message,
    timely::timely,
};
use crate::{
    admin::Gate,
    auth::Auth,
    engine::{
        Engine, Permit,
        caller::Caller,
        error::{ChatError, ErrorKind},
    },
    telemetry::{CallRecord, Outcome, OutcomeClass},
};

/// Services that answer without a key: whoever explores or checks health may not have one.
const OPEN: [&str; 3] = ["/grpc.health.v1.Health/", REFLECTION[0], REFLECTION[1]];
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The call whose messages may come at any time.
const CONVERSE: &str = "/duogate.v1.ChatService/Converse";

/// When a call whose connection was cut off may come again: at once, on another.
const AGAIN_IN: Duration = Duration::from_secs(1);

/// How much of a codec's name is told back, in characters.
const LONGEST_NAME: usize = 64;

/// The service that has a key of its own.
const DIAGNOSTICS: &str = "/duogate.v1.DiagnosticsService/";

pub(super) struct Guard {
    pub(super) engine: Engine,
    pub(super) auth: Auth,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    /// The check of the operators' key, where there is one.
    pub(super) gate: Option<Gate>,
    /// Which methods there are.
    pub(super) schemas: Vec<Arc<Schema>>,
    pub(super) soft_stop: CancellationToken,
}

/// What a chat is given on its way in.
#[derive(Clone)]
pub(super) struct Admitted {
    permit: Arc<Mutex<Option<Permit>>>,
    pub(super) deadline: Instant,
}

impl Admitted {
    /// Takes the permit over; there is one to take, once.
    pub(super) fn take_permit(&self) -> Option<Permit> {
        self.permit.lock().take()
    }
}

/// What a conversation came in with.
#[derive(Clone)]
pub(super) struct Entered {
    /// By when it must be over.
    pub(super) until: Option<Instant>,
    auth: Auth,
    pub(super) caller: Option<Caller>,
}

impl Entered {
    /// Whether its key still counts: it may have been taken away since.
    pub(super) fn check_again(&self) -> Result<(), ChatError> {
        self.auth.check_again(self.caller.as_ref())
    }
}

pub(super) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let Some(record) = request.extensions().get::<CallRecord>().cloned() else {
        return Status::internal("the call has no record").into_http::<Body>();
    };
    frames::agree_on_encoding(request.headers_mut());
    if let Err(failure) = guard.admit(&mut request, &record).await {
        return error::status(&failure, &record).into_http::<Body>();
    }
    let endless = is_open(request.uri().path());
    request = guard.listen(request, &record);
    let cut_off = record.cut_off().clone();
    let response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = cut_off.cancelled() => return too_old(&record).into_http::<Body>(),
    };
    match Status::from_header_map(response.headers()) {
        // A status in the head is the whole answer, and the head must be seen to be its end.
        Some(_) if endless => response,
        None if endless => response.map(|body| {
            let watched = until(body, guard.soft_stop.clone(), stopping);
            until(watched, cut_off, stopping)
        }),
        Some(status) if status.code() != Code::Ok => detailed(&status, response, &record),
        Some(_) => frames::with_id_in_trailers(response, record),
        None => {
            let told = record.clone();
            let response = response.map(|body| until(body, cut_off, move || too_old(&told)));
            frames::with_id_in_trailers(response, record)
        }
    }
}

impl Guard {
    async fn admit(&self, request: &mut Request, record: &CallRecord) -> Result<(), ChatError> {
        if let Some(UnknownCodec(codec)) = request.extensions().get() {
            let named: String = codec.chars().take(LONGEST_NAME).collect();
            let message =
                format!("Messages in '{named}' cannot be read: this gateway's are protobuf, 'proto'.");
            return Err(ChatError::new(ErrorKind::UnsupportedMediaType, message));
        }
        let path = request.uri().path();
        // Load balancers ask for a method that nobody has, without a key, and take this answer for a sign of life.
        if !self.schemas.iter().any(|schema| schema.has_method(path)) {
            return Err(ChatError::new(ErrorKind::UnknownUrl, "There is no such method."));
        }
        if is_open(path) {
            return Ok(());
        }
        if path.starts_with(DIAGNOSTICS) {
            // Without a gate there is no such service.
            if let Some(gate) = &self.gate {
                record.set_caller(gate.check(request.headers()).await?.label());
            }
            return Ok(());
        }
        let caller = self.auth.check(request.headers(), None)?;
        if let Some(caller) = &caller {
            record.set_caller(caller.label());
        }
        if path == CONVERSE {
            // Each turn is admitted when it comes, and has a time of its own.
            let timeout = grpc_timeout(request.headers())?;
            let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            request.extensions_mut().insert(Entered {
                until,
                auth: self.auth.clone(),
                caller,
            });
        } else if CHAT_PATHS.contains(&path) {
            let most = self.limits.load().request_timeout;
            let allowed = grpc_timeout(request.headers())?.map_or(most, |timeout| timeout.min(most));
            let deadline = Instant::now() + allowed;
            let permit = Arc::new(Mutex::new(Some(self.engine.admit(caller.as_ref())?)));
            request.extensions_mut().insert(Admitted { permit, deadline });
        }
        Ok(())
    }

    /// Bounds what the client says, in messages and in time.
    fn listen(&self, request: Request, record: &CallRecord) -> Request {
        let path = request.uri().path();
        let (is_open, takes_many) = (is_open(path), takes_many(path));
        let by = self.heard_by(&request);
        request.map(|body| {
            if !takes_many {
                // Whoever asks how the gateway is, is told while it drains too: one message comes soon, or never.
                timely(one_message(body, record.clone()), by, record.clone())
            } else if is_open {
                heard_until(body, self.soft_stop.clone())
            } else {
                body
            }
        })
    }

    /// By when the call's message must be here.
    fn heard_by(&self, request: &Request) -> Instant {
        let by = Instant::now() + self.limits.load().body_read_timeout;
        let admitted = request.extensions().get::<Admitted>();
        admitted.map_or(by, |admitted| admitted.deadline.min(by))
    }
}

fn is_open(path: &str) -> bool {
    OPEN.iter().any(|open| path.starts_with(open))
}

/// Whether a call's client may say more than one message.
fn takes_many(path: &str) -> bool {
    path == CONVERSE || REFLECTION.iter().any(|reflection| path.starts_with(reflection))
}

/// What a client says until `stop`, and then UNAVAILABLE: who may go on asking for ever would otherwise hold the process
/// up, since a call's stream stays open until both sides have ended.
fn heard_until(body: Body, stop: CancellationToken) -> Body {
    let frames = stream::unfold(Some((body, stop)), |state| async move {
        let (mut body, stop) = state?;
        tokio::select! {
            biased;
            () = stop.cancelled() => Some((Err(axum::BoxError::from(stopping())), None)),
            frame = body.frame() => Some((frame?.map_err(axum::BoxError::from), Some((body, stop)))),
        }
    });
    Body::new(StreamBody::new(frames))
}

fn stopping() -> Status {
    Status::unavailable("The gateway is shutting down.")
}

/// The end of a call whose connection has reached its age, and its grace too.
fn too_old(record: &CallRecord) -> Status {
    let message = "The connection has reached its age, and was closed. Send the request again on a new one.";
    let failure = ChatError::new(ErrorKind::ShuttingDown, message).with_retry_after(Some(AGAIN_IN));
    error::status(&failure, record)
}

/// A body that goes on until `stop`, and then ends with that status: a watch would otherwise hold the process up.
fn until(body: Body, stop: CancellationToken, status: impl FnOnce() -> Status + Send + 'static) -> Body {
    let frames = stream::unfold(Some((body, stop, status)), |state| async move {
        let (mut body, stop, status) = state?;
        // What the body has ready goes first, so that a watch still tells that the service stops.
        tokio::select! {
            biased;
            frame = body.frame() => Some((frame?, Some((body, stop, status)))),
            () = stop.cancelled() => {
                let mut trailers = HeaderMap::new();
                status().add_header(&mut trailers).ok()?;
                Some((Ok(Frame::trailers(trailers)), None))
            }
        }
    });
    Body::new(StreamBody::new(frames))
}

/// The call's own deadline: at most eight digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Result<Option<Duration>, ChatError> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let malformed = || {
        ChatError::invalid(
            "grpc-timeout",
            "Malformed grpc-timeout: expected 1 to 8 digits and a unit.",
        )
    };
    let text = value.to_str().map_err(|_| malformed())?;
    let (digits, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(malformed)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let amount: u64 = digits.parse().map_err(|_| malformed())?;
    let timeout = match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return Err(malformed()),
    };
    Ok(Some(timeout))
}

/// A status without details is the library's own: it refused the call before a service saw it.
fn detailed(status: &Status, response: Response, record: &CallRecord) -> Response {
    if status
        .check_error_details()
        .is_ok_and(|details| details.error_info().is_some())
    {
        return response;
    }
    let mut answer = of_the_librarys(status, record).into_http::<Body>();
    // What a client may compress with, told to one that used something else.
    if let Some(encodings) = response.headers().get(frames::ACCEPT_ENCODING) {
        answer
            .headers_mut()
            .insert(frames::ACCEPT_ENCODING, encodings.clone());
    }
    answer
}

/// What the library says of a message that it could not read, as the catalogue says it.
pub(super) fn of_the_librarys(status: &Status, record: &CallRecord) -> Status {
    let failure = match status.code() {
        // The library's words for a message beyond the limit, as it comes or when it is unpacked; grpc-go and grpc-java
        // say RESOURCE_EXHAUSTED of both.
        Code::OutOfRange | Code::ResourceExhausted => {
            let limit = super::MAX_MESSAGE;
            let message = format!("The message is larger than the limit of {limit} bytes.");
            ChatError::new(ErrorKind::RequestTooLarge, message)
        }
        Code::Unimplemented if status.message().is_empty() => {
            ChatError::new(ErrorKind::UnknownUrl, "There is no such method.")
        }
        Code::Unimplemented => ChatError::new(ErrorKind::UnknownUrl, status.message()),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => return undecoded(status, record),
    };
    error::status(&failure, record)
}

/// A message that does not decode is INTERNAL by gRPC's own table of statuses, and the caller's fault all the same.
fn undecoded(status: &Status, record: &CallRecord) -> Status {
    record.conclude(Outcome {
        name: ErrorKind::InvalidRequest.name(),
        class: OutcomeClass::CallersFault,
    });
    tracing::debug!(error.detail = status.message(), "a message could not be read");
    let failure = ChatError::new(ErrorKind::Internal, "The message could not be read.");
    error::render(&failure, record)
}
