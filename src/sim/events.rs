//! An answer as pieces of its body: the events of a stream in either dialect, or the parts of a JSON body.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::plan::{Interruption, Plan};
use super::shape::{Dialect, TextKey};
use super::text;
use super::writer::Writer;

/// One step of a body.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes to send.
    Send {
        bytes: Bytes,
        /// Whether they contain a piece of content.
        content: bool,
        /// What they tell the client about the end.
        sign: Sign,
    },
    /// Nothing more is sent, forever.
    Stall,
    /// The connection is closed.
    Cut,
    /// Comments at this interval, forever.
    Beat { distance: Duration, comment: Bytes },
}

/// What a piece tells the client about the answer's end. The client may end the turn on it without waiting for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// More follows.
    More,
    /// The answer is finished.
    Finished,
    /// The answer failed.
    Failed,
}

/// The body of an answer to `message`, made by `model`.
pub(super) fn answer(plan: &Plan, model: &str, message: &str) -> Vec<Piece> {
    let said = plan.text.clone().unwrap_or_else(|| text::answer_text(message));
    let said = if plan.content { said } else { String::new() };
    let mut pieces = match plan.shape.dialect {
        Dialect::Json(key) => parts(&body(plan, key, model, message, &said)),
        Dialect::Sse | Dialect::Tab => Writer::new(&plan.shape, model).stream(plan, message, &said),
    };
    interrupt(&mut pieces, plan, model);
    pieces
}

/// The body of a JSON response, in parts so that it can be interrupted.
pub(super) fn document(plan: &Plan, value: &Value) -> Vec<Piece> {
    let mut pieces = parts(value);
    interrupt(&mut pieces, plan, "");
    pieces
}

/// The JSON body with a text under `key`.
fn body(plan: &Plan, key: TextKey, model: &str, message: &str, said: &str) -> Value {
    let reason = plan.finish.then_some(plan.finish_reason.as_str());
    let mut body = match key {
        TextKey::Choice => json!({"id": "sim", "model": model, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": reason}]}),
        TextKey::Text => json!({"id": "sim", "choices": [{"text": said, "finish_reason": reason}]}),
        TextKey::Response => json!({"response": said, "model": model}),
        TextKey::Content => json!({"content": said, "role": "assistant"}),
        TextKey::Message => json!({"message": said, "status": "ok"}),
    };
    if plan.shape.usage {
        body["usage"] = usage(message, said);
    }
    body
}

/// The usage object of an answer.
pub(super) fn usage(message: &str, said: &str) -> Value {
    let usage = text::usage_of(message, said);
    json!({"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
           "total_tokens": usage.total_tokens})
}

/// A JSON text in four parts.
fn parts(value: &Value) -> Vec<Piece> {
    let mut rest = Bytes::from(value.to_string());
    let length = rest.len().div_ceil(4).max(1);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let bytes = rest.split_to(length.min(rest.len()));
        let sign = if rest.is_empty() {
            Sign::Finished
        } else {
            Sign::More
        };
        pieces.push(Piece::Send {
            bytes,
            content: true,
            sign,
        });
    }
    pieces
}

/// Inserts the plan's interruption.
fn interrupt(pieces: &mut Vec<Piece>, plan: &Plan, model: &str) {
    let Some((after, interruption)) = &plan.interruption else {
        return;
    };
    let place = place_after(pieces, *after);
    let mut writer = Writer::new(&plan.shape, model);
    match interruption {
        Interruption::End => pieces.truncate(place),
        Interruption::Stall => end_with(pieces, place, Piece::Stall),
        Interruption::Cut => end_with(pieces, place, Piece::Cut),
        Interruption::Malformed => {
            writer.event("{\"choices\":[{\"delta\":", false, Sign::Failed);
            pieces.splice(place..place, writer.pieces);
        }
        Interruption::Error(status) => {
            writer.event(&error_event(*status).to_string(), false, Sign::Failed);
            pieces.truncate(place);
            pieces.extend(writer.pieces);
        }
        Interruption::Oversized(bytes) => {
            writer.delta(&json!({"content": "x".repeat(*bytes)}), true, Sign::Failed);
            pieces.splice(place..place, writer.pieces);
        }
    }
}

fn end_with(pieces: &mut Vec<Piece>, place: usize, last: Piece) {
    pieces.truncate(place);
    pieces.push(last);
}

/// Where to interrupt: after this many pieces of content, but before the piece that finishes the answer.
fn place_after(pieces: &[Piece], after: usize) -> usize {
    let mut seen = 0;
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Send { content, sign, .. } => {
                if (*content && seen == after) || *sign != Sign::More {
                    return place;
                }
                seen += usize::from(*content);
            }
            Piece::Stall | Piece::Cut | Piece::Beat { .. } => return place,
        }
    }
    pieces.len()
}

fn error_event(status: Option<u16>) -> Value {
    let mut event = json!({"error": {"message": "the model failed", "type": "server_error"}});
    if let Some(status) = status {
        event["statusCode"] = json!(status);
    }
    event
}
