//! An answer as the pieces of its body: the events of a stream in either dialect, or the parts of a JSON body.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::plan::{Interruption, Plan};
use super::shape::{Dialect, Shape, TextKey};
use super::text;

/// One step of a body.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes to send.
    Send {
        bytes: Bytes,
        /// Whether they carry a piece of content.
        content: bool,
        /// What the client may take them for.
        sign: Sign,
    },
    /// Nothing more, for ever.
    Stall,
    /// The connection breaks.
    Cut,
    /// Comments at this distance, for ever.
    Beat(Duration),
}

/// What a client may take bytes for: it may end the conversation's turn on them without waiting for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// More is to come.
    More,
    /// The answer is finished.
    Finished,
    /// The answer has failed.
    Failed,
}

/// The body of an answer to `message`, made by `model`.
pub(super) fn answer(plan: &Plan, model: &str, message: &str) -> Vec<Piece> {
    let said = plan.text.clone().unwrap_or_else(|| text::answer_text(message));
    let said = if plan.content { said } else { String::new() };
    let mut pieces = match plan.shape.dialect {
        Dialect::Json(key) => parts(&body(plan, key, model, message, &said)),
        Dialect::Sse | Dialect::Tab => Writer {
            shape: &plan.shape,
            model,
            events: 0,
            pieces: Vec::new(),
        }
        .stream(plan, message, &said),
    };
    interrupt(&mut pieces, plan, model);
    pieces
}

/// The body of a call that answers JSON, in parts that can be cut between.
pub(super) fn document(plan: &Plan, value: &Value) -> Vec<Piece> {
    let mut pieces = parts(value);
    interrupt(&mut pieces, plan, "");
    pieces
}

/// The JSON body that carries a text.
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

fn usage(message: &str, said: &str) -> Value {
    let usage = text::usage_of(message, said);
    json!({"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
           "total_tokens": usage.total_tokens})
}

/// Four parts of a JSON text, the last of which finishes it.
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

/// Puts the plan's interruption in its place.
fn interrupt(pieces: &mut Vec<Piece>, plan: &Plan, model: &str) {
    let Some((after, interruption)) = &plan.interruption else {
        return;
    };
    let place = place_after(pieces, *after);
    let mut writer = Writer {
        shape: &plan.shape,
        model,
        events: 0,
        pieces: Vec::new(),
    };
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

/// Where to interrupt: right after this many pieces of content, never behind what finishes.
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
            Piece::Stall | Piece::Cut | Piece::Beat(_) => return place,
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

/// Writes events in the shape's dialect.
struct Writer<'a> {
    shape: &'a Shape,
    model: &'a str,
    events: usize,
    pieces: Vec<Piece>,
}

impl Writer<'_> {
    fn stream(mut self, plan: &Plan, message: &str, said: &str) -> Vec<Piece> {
        for _ in 0..self.shape.prologue {
            self.delta(&json!({"role": "assistant", "content": ""}), false, Sign::More);
        }
        if self.shape.reasoning {
            for thought in text::pieces("Let me think about that.") {
                self.delta(&json!({"reasoning_content": thought}), false, Sign::More);
            }
        }
        for piece in text::pieces(said) {
            self.noise();
            self.delta(&json!({"content": piece}), true, Sign::More);
        }
        if plan.finish {
            self.chunk(
                &json!([{"index": 0, "delta": {}, "finish_reason": plan.finish_reason}]),
                Sign::Finished,
            );
        }
        if self.shape.usage {
            let sign = if plan.finish { Sign::Finished } else { Sign::More };
            let usage = json!({"id": "sim", "choices": [], "usage": usage(message, said)});
            self.event(&usage.to_string(), false, sign);
        }
        if let Some(distance) = plan.heartbeats {
            self.pieces.push(Piece::Beat(distance));
        } else if plan.done {
            self.event("[DONE]", false, Sign::Finished);
        }
        self.pieces
    }

    fn delta(&mut self, delta: &Value, content: bool, sign: Sign) {
        let chunk = self.chunk_text(&json!([{"index": 0, "delta": delta, "finish_reason": null}]));
        self.event(&chunk, content, sign);
    }

    fn chunk(&mut self, choices: &Value, sign: Sign) {
        let chunk = self.chunk_text(choices);
        self.event(&chunk, false, sign);
    }

    fn chunk_text(&self, choices: &Value) -> String {
        let chunk =
            json!({"id": "sim", "object": "chat.completion.chunk", "model": self.model, "choices": choices});
        if self.shape.many_data_lines && self.shape.dialect == Dialect::Sse {
            return format!("{chunk:#}");
        }
        chunk.to_string()
    }

    /// Events that mean nothing, if the shape asks for them.
    fn noise(&mut self) {
        if !self.shape.noise {
            return;
        }
        let nothings = [
            "",
            r#"{"id":"sim","choices":[]}"#,
            r#"{"choices":null,"usage":null,"mood":"fine"}"#,
            r#"{"choices":[{"index":0,"delta":null,"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"role":null,"content":null,"reasoning_content":null}}]}"#,
        ];
        for nothing in nothings {
            self.event(nothing, false, Sign::More);
        }
    }

    fn event(&mut self, data: &str, content: bool, sign: Sign) {
        let text = self.written(data);
        self.events += 1;
        self.pieces.push(Piece::Send {
            bytes: Bytes::from(text),
            content,
            sign,
        });
    }

    /// One event in the dialect, with all that surrounds it.
    fn written(&self, data: &str) -> String {
        let (shape, end) = (self.shape, self.shape.line_ending.as_str());
        let mut text = String::with_capacity(data.len() + 32);
        if shape.byte_order_mark && self.events == 0 {
            text.push('\u{feff}');
        }
        if shape.dialect == Dialect::Tab {
            if shape.comments {
                text.push_str(&format!("ping\t{{\"choices\":[]}}\t{end}"));
            }
            text.push_str(&format!("message\t{data}\t{end}"));
            return text;
        }
        if shape.comments {
            text.push_str(&format!(": still here{end}"));
        }
        if shape.fields {
            let number = self.events;
            text.push_str(&format!("event: message{end}id: {number}{end}retry: 3000{end}"));
        }
        let colon = if shape.space { "data: " } else { "data:" };
        for line in data.split('\n') {
            text.push_str(&format!("{colon}{line}{end}"));
        }
        if shape.blank_lines {
            text.push_str(end);
        }
        text
    }
}
