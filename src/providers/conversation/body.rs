//! The body of an answer, as events: a stream in either dialect, or one JSON body. Which it is shows in its first
//! byte that is not white space, never in the content type.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::{
    service::{Step, fault_of},
    sse::{Decoder, Payload},
    wire::{self, Unusable},
};
use crate::{
    engine::{
        event::Event,
        provider::{Fault, UpstreamError},
    },
    telemetry::Shortage,
};

/// The most a JSON body may hold, in bytes: far more than any model says at once.
const MAX_JSON_BODY: usize = 16 * 1024 * 1024;
/// UTF-8's byte order mark, which may stand before either form.
const BOM: &[u8] = b"\xEF\xBB\xBF";

pub(super) type Body = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

enum Form {
    /// Nothing but white space has come.
    Unknown(Vec<u8>),
    Stream(Decoder),
    Json(Vec<u8>),
}

pub(super) struct Reader {
    body: Body,
    form: Form,
    events: VecDeque<Event>,
    failure: Option<UpstreamError>,
    ended: bool,
}

/// Reads `response` as an answer. Dropping the reader closes the call.
pub(super) fn read(response: reqwest::Response) -> Reader {
    Reader::new(Box::pin(response.bytes_stream()))
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader(ended: {})", self.ended)
    }
}

impl Stream for Reader {
    type Item = Result<Event, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if let Some(failure) = self.failure.take() {
                self.ended = true;
                return Poll::Ready(Some(Err(failure)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let taken = match ready!(self.body.poll_next_unpin(context)) {
                Some(Ok(bytes)) => self.push(&bytes),
                Some(Err(error)) => Err(failed(fault(&error, Fault::Truncated), describe(&error))),
                None => {
                    self.ended = true;
                    self.finish()
                }
            };
            // Events that came whole before a failure still count.
            self.failure = taken.err();
        }
    }
}

impl Reader {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            form: Form::Unknown(Vec::new()),
            events: VecDeque::new(),
            failure: None,
            ended: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), UpstreamError> {
        if let Form::Unknown(head) = &mut self.form {
            head.extend_from_slice(bytes);
            if head.len() > MAX_JSON_BODY {
                return Err(too_large());
            }
            let begun = head.strip_prefix(BOM).unwrap_or(head).trim_ascii_start();
            let Some(first) = begun.first().filter(|_| !BOM.starts_with(head)) else {
                return Ok(());
            };
            let json = matches!(first, b'{' | b'[');
            if *first == b'<' {
                return Err(failed(Fault::Malformed, "the answer is an HTML page"));
            }
            let head = std::mem::take(head);
            self.form = if json {
                Form::Json(Vec::new())
            } else {
                Form::Stream(Decoder::default())
            };
            return self.push_known(&head);
        }
        self.push_known(bytes)
    }

    fn push_known(&mut self, bytes: &[u8]) -> Result<(), UpstreamError> {
        match &mut self.form {
            Form::Unknown(_) => Ok(()),
            Form::Json(body) if body.len() + bytes.len() > MAX_JSON_BODY => Err(too_large()),
            Form::Json(body) => {
                body.extend_from_slice(bytes);
                Ok(())
            }
            Form::Stream(decoder) => {
                let mut payloads = Vec::new();
                let decoded = decoder.push(bytes, &mut payloads);
                self.queue(payloads)?;
                decoded.map_err(|_| too_large())
            }
        }
    }

    fn finish(&mut self) -> Result<(), UpstreamError> {
        match &mut self.form {
            Form::Unknown(_) => Ok(()),
            Form::Json(body) => {
                let body = std::mem::take(body);
                let body = body.strip_prefix(BOM).unwrap_or(&body);
                let mut events = Vec::new();
                wire::read_body(body, &mut events).map_err(unusable)?;
                self.events.extend(events);
                Ok(())
            }
            Form::Stream(decoder) => {
                let mut payloads = Vec::new();
                let decoded = decoder.finish(&mut payloads);
                self.queue(payloads)?;
                decoded.map_err(|_| too_large())
            }
        }
    }

    fn queue(&mut self, payloads: Vec<Payload>) -> Result<(), UpstreamError> {
        let mut events = Vec::new();
        for payload in payloads {
            let read = match payload {
                Payload::Done => {
                    events.push(Event::End);
                    Ok(())
                }
                Payload::Json(text) => wire::read_event(&text, &mut events),
            };
            self.events.extend(events.drain(..));
            read.map_err(unusable)?;
        }
        Ok(())
    }
}

fn unusable(unusable: Unusable) -> UpstreamError {
    match unusable {
        Unusable::Malformed(detail) => failed(Fault::Malformed, detail),
        Unusable::Failure(status) => failed(
            fault_of(Step::ReadAnswer, status, None),
            format!("the answer holds a failure of status {status}"),
        ),
    }
}

fn too_large() -> UpstreamError {
    failed(
        Fault::Malformed,
        "one event of the answer, or its whole body, is too large",
    )
}

fn failed(fault: Fault, detail: impl Into<String>) -> UpstreamError {
    UpstreamError::new(Step::ReadAnswer.name(), fault, detail)
}

/// What an error of the client is: a want of our own machine, or else `otherwise`.
pub(super) fn fault(error: &reqwest::Error, otherwise: Fault) -> Fault {
    let sent = !error.is_connect();
    Shortage::of(error).map_or(otherwise, |_| Fault::Local { sent })
}

/// An error of the client and what caused it, without the URL, which holds ids.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() {
        "the call failed".to_owned()
    } else {
        text
    }
}
