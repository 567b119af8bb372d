//! A streamed answer as server-sent events.
//!
//! The status is held for the first event, so that a failure before it is a real status; a caller who would wait too
//! long for it gets 200 and comments instead, and a failure is told in band from there on. What the events are is each
//! endpoint's business.

use std::{borrow::Cow, future::Future, pin::Pin, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures::stream;
use http::{HeaderValue, header};
use serde::Serialize;
use tokio::time::timeout;

use super::error;
use crate::{
    engine::{
        self, ChoiceStream,
        error::{ChatError, ErrorKind},
        event::{ChoiceEvent, Event},
    },
    telemetry::CallRecord,
};

/// A line that every client skips.
const COMMENT: &str = ": keep-alive\n\n";
/// The end of a stream of chunks.
pub(super) const DONE: &str = "data: [DONE]\n\n";

/// A stream that is being started.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<ChoiceStream, ChatError>> + Send>>;

/// How an endpoint tells a stream: the text that is sent for what happens, or none.
pub(super) trait Telling: Send + 'static {
    /// The first event is here.
    fn begin(&mut self) -> String;
    /// The next event is here; [`Event::Usage`] is the last.
    fn tell(&mut self, event: ChoiceEvent) -> String;
    /// The call failed, maybe before it began. Nothing comes after it, least of all a mark of a good end.
    fn fail(&mut self, failure: &ChatError) -> String;
}

enum Stage {
    /// Waiting for the first event, behind a 200 that is out already.
    Opening(Opening),
    /// What comes before the first event is still to be sent.
    Started(ChoiceStream),
    Flowing(ChoiceStream),
    Ended,
}

struct Events<T> {
    stage: Stage,
    telling: T,
    keepalive: Duration,
    record: CallRecord,
}

/// Answers with the stream that `opening` gives. After so much silence as `keepalive` a comment is sent; the status is
/// held no longer than that.
pub(super) async fn respond<T: Telling>(
    mut opening: Opening,
    telling: T,
    keepalive: Duration,
    record: CallRecord,
) -> Result<Response, ChatError> {
    let stage = match timeout(keepalive, &mut opening).await {
        Ok(opened) => Stage::Started(opened?),
        Err(_) => Stage::Opening(opening),
    };
    let events = Events {
        stage,
        telling,
        keepalive,
        record,
    };
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
    // Proxies that compress hold streams back without the second, nginx without the next.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl<T: Telling> Events<T> {
    async fn next(&mut self) -> Option<Bytes> {
        match timeout(self.keepalive, self.advance()).await {
            Ok(text) => text.map(Bytes::from),
            Err(_) => Some(Bytes::from_static(COMMENT.as_bytes())),
        }
    }

    /// The next piece of the body. Dropping the future loses nothing: the stage moves on only with an answer in hand.
    async fn advance(&mut self) -> Option<String> {
        loop {
            let text = self.step().await?;
            if !text.is_empty() {
                return Some(text);
            }
        }
    }

    async fn step(&mut self) -> Option<String> {
        if let Stage::Opening(opening) = &mut self.stage {
            self.stage = match opening.await {
                Ok(stream) => Stage::Started(stream),
                Err(error) => return Some(self.fail(&error)),
            };
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Started(stream) => {
                self.stage = Stage::Flowing(stream);
                return Some(self.telling.begin());
            }
            stage @ (Stage::Opening(_) | Stage::Flowing(_) | Stage::Ended) => stage,
        };
        let Stage::Flowing(stream) = &mut self.stage else {
            return None;
        };
        Some(match stream.next().await? {
            Ok(event) => {
                if matches!(event.event, Event::Usage(_)) {
                    self.stage = Stage::Ended;
                }
                self.telling.tell(event)
            }
            Err(error) => self.fail(&error),
        })
    }

    fn fail(&mut self, failure: &ChatError) -> String {
        engine::conclude(failure, Some(&self.record));
        self.stage = Stage::Ended;
        self.telling.fail(failure)
    }
}

/// One event without a name.
pub(super) fn event(data: &impl Serialize) -> String {
    format!("data: {}\n\n", json(data))
}

/// One event with a name.
pub(super) fn named_event(name: &str, data: &impl Serialize) -> String {
    format!("event: {name}\ndata: {}\n\n", json(data))
}

fn json(data: &impl Serialize) -> String {
    let written = serde_json::to_string(data).unwrap_or_else(|_| {
        let failure = ChatError::new(ErrorKind::Internal, "An event could not be written.");
        error::body(&failure).to_string()
    });
    match on_one_line(&written) {
        Cow::Borrowed(_) => written,
        Cow::Owned(escaped) => escaped,
    }
}

/// JSON with escapes for what serde_json leaves as it is and some readers split lines at: the separators U+2028 and U+2029,
/// and U+0085 with the other controls from U+007F on. Such characters stand in strings alone.
fn on_one_line(json: &str) -> Cow<'_, str> {
    let splits = |char: char| matches!(char, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}');
    // The bytes that such a character begins with; few texts hold any.
    let bytes = json.as_bytes();
    let begins = memchr::memchr3_iter(0x7f, 0xc2, 0xe2, bytes);
    let mut escaped = String::new();
    let mut done = 0;
    for at in begins {
        let Some(char) = json.get(at..).and_then(|rest| rest.chars().next()) else {
            continue;
        };
        if splits(char) {
            escaped.push_str(json.get(done..at).unwrap_or_default());
            escaped.push_str(&format!("\\u{:04x}", u32::from(char)));
            done = at + char.len_utf8();
        }
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    escaped.push_str(json.get(done..).unwrap_or_default());
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_event_breaks_its_line() {
        for char in (0..=0xffff).filter_map(char::from_u32) {
            let text = format!("before {char} after");
            let line = event(&text).replace("\n\n", "");
            let data = line.strip_prefix("data: ").unwrap();
            assert_eq!(serde_json::from_str::<String>(data).unwrap(), text);
            let is_plain = |char: char| !char.is_control() && !matches!(char, '\u{2028}' | '\u{2029}');
            assert!(data.chars().all(is_plain), "{:04x}", u32::from(char));
        }
    }

    #[test]
    fn what_needs_no_escape_is_left_alone() {
        for plain in ["", "{}", "\"a\u{a0}b\u{2014}c \u{20ac} \u{4e2d}\u{1f600}\""] {
            assert!(
                matches!(on_one_line(plain), Cow::Borrowed(same) if same == plain),
                "{plain}"
            );
        }
        let all = "\u{85}a\u{2028}\u{2029}b\u{7f}";
        assert_eq!(on_one_line(all), "\\u0085a\\u2028\\u2029b\\u007f");
    }
}
