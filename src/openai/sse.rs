//! A streamed answer as server-sent events.
//!
//! The status is held for the first event, so that a failure before it is a real status; a caller who would wait too
//! long for it gets 200 and comments instead, and a failure is told in band from there on.

use std::{future::Future, pin::Pin, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures::stream;
use http::{HeaderValue, header};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    convert, error,
    wire::{Chunk, ChunkChoice, Delta, UsageFigures},
};
use crate::{
    engine::{
        self, ChoiceEvent, ChoiceStream,
        chat::Head,
        error::{ChatError, ErrorKind},
    },
    telemetry::CallRecord,
};

/// A line that every client skips.
const COMMENT: &str = ": keep-alive\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A stream that is being started.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<ChoiceStream, ChatError>> + Send>>;

enum Stage {
    /// Waiting for the first event, behind a 200 that is out already.
    Opening(Opening),
    /// The first chunk, which says who speaks, is still to be sent.
    Started(ChoiceStream),
    Flowing(ChoiceStream),
    Ended,
}

/// How a stream is told.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) head: Head,
    /// How many answers come.
    pub(super) choices: u32,
    pub(super) include_usage: bool,
    /// After so much silence a comment is sent; the status is held no longer than this.
    pub(super) keepalive: Duration,
}

struct Events {
    stage: Stage,
    form: Form,
    record: CallRecord,
}

/// Answers with the stream that `opening` gives.
pub(super) async fn respond(
    mut opening: Opening,
    form: Form,
    record: CallRecord,
) -> Result<Response, ChatError> {
    let stage = match timeout(form.keepalive, &mut opening).await {
        Ok(opened) => Stage::Started(opened?),
        Err(_) => Stage::Opening(opening),
    };
    let events = Events { stage, form, record };
    let body = stream::unfold(events, |mut events| async move {
        let bytes = events.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), events))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx holds streams back without it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        match timeout(self.form.keepalive, self.advance()).await {
            Ok(text) => text.map(Bytes::from),
            Err(_) => Some(Bytes::from_static(COMMENT.as_bytes())),
        }
    }

    /// The next piece of the body. Dropping the future loses nothing: the stage moves on only with an answer in hand.
    async fn advance(&mut self) -> Option<String> {
        if let Stage::Opening(opening) = &mut self.stage {
            self.stage = match opening.await {
                Ok(stream) => Stage::Started(stream),
                Err(error) => return Some(self.fail(&error)),
            };
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Started(stream) => {
                self.stage = Stage::Flowing(stream);
                let roles = (0..self.form.choices).map(|index| {
                    let role = Delta {
                        role: Some("assistant"),
                        content: convert::borrowed(""),
                        ..Delta::default()
                    };
                    self.delta(index, role, None)
                });
                return Some(roles.collect());
            }
            stage @ (Stage::Opening(_) | Stage::Flowing(_) | Stage::Ended) => stage,
        };
        let Stage::Flowing(stream) = &mut self.stage else {
            return None;
        };
        Some(match stream.next().await? {
            Ok(ChoiceEvent::Content { index, text }) => {
                let delta = Delta {
                    content: convert::borrowed(&text),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            Ok(ChoiceEvent::Reasoning { index, text }) => {
                let delta = Delta {
                    reasoning_content: convert::borrowed(&text),
                    ..Delta::default()
                };
                self.delta(index, delta, None)
            }
            Ok(ChoiceEvent::Finished { index, reason }) => {
                self.delta(index, Delta::default(), Some(convert::finish_reason(reason)))
            }
            Ok(ChoiceEvent::Usage(usage)) => {
                self.stage = Stage::Ended;
                if self.form.include_usage {
                    self.chunk(&[], Some(convert::usage(usage))) + DONE
                } else {
                    DONE.to_owned()
                }
            }
            Err(error) => self.fail(&error),
        })
    }

    /// Tells a failure in band. Nothing comes after it, least of all a mark of a good end.
    fn fail(&mut self, failure: &ChatError) -> String {
        engine::conclude(failure, Some(&self.record));
        self.stage = Stage::Ended;
        event(&error::body(failure))
    }

    fn delta(&self, index: u32, delta: Delta<'_>, finish_reason: Option<&'static str>) -> String {
        self.chunk(
            &[ChunkChoice {
                index,
                delta,
                logprobs: None,
                finish_reason,
            }],
            None,
        )
    }

    fn chunk(&self, choices: &[ChunkChoice<'_>], usage: Option<UsageFigures>) -> String {
        event(&Chunk {
            id: &self.form.head.id,
            object: "chat.completion.chunk",
            created: self.form.head.created,
            model: &self.form.head.model,
            choices,
            usage: self.form.include_usage.then_some(usage),
        })
    }
}

fn event(data: &impl Serialize) -> String {
    let json = serde_json::to_string(data).unwrap_or_else(|_| {
        let failure = ChatError::new(ErrorKind::Internal, "An event could not be written.");
        error::body(&failure).to_string()
    });
    format!("data: {json}\n\n")
}
