//! Writes the events of a stream in its dialect.

use bytes::Bytes;
use serde_json::{Value, json};

use super::events::{Piece, Sign, usage};
use super::plan::Plan;
use super::shape::{Dialect, Shape};
use super::text;

/// Writes events in the shape's dialect.
pub(super) struct Writer<'a> {
    shape: &'a Shape,
    model: &'a str,
    events: usize,
    pub(super) pieces: Vec<Piece>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(shape: &'a Shape, model: &'a str) -> Self {
        Self {
            shape,
            model,
            events: 0,
            pieces: Vec::new(),
        }
    }

    /// A complete stream.
    pub(super) fn stream(mut self, plan: &Plan, message: &str, said: &str) -> Vec<Piece> {
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
            self.pieces.push(Piece::Beat {
                distance,
                comment: self.comment().into(),
            });
        } else if plan.done {
            self.event("[DONE]", false, Sign::Finished);
        }
        self.pieces
    }

    pub(super) fn delta(&mut self, delta: &Value, content: bool, sign: Sign) {
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

    /// Meaningless events, if the shape has them.
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

    pub(super) fn event(&mut self, data: &str, content: bool, sign: Sign) {
        let text = self.written(data);
        self.events += 1;
        self.pieces.push(Piece::Send {
            bytes: Bytes::from(text),
            content,
            sign,
        });
    }

    /// One event in the dialect, including its surroundings.
    fn written(&self, data: &str) -> String {
        let (shape, end) = (self.shape, self.shape.line_ending.as_str());
        let mut text = String::with_capacity(data.len() + 32);
        if shape.byte_order_mark && self.events == 0 {
            text.push('\u{feff}');
        }
        if shape.dialect == Dialect::Tab {
            if shape.comments {
                text.push_str(&self.comment());
            }
            text.push_str(&format!("message\t{data}\t{end}"));
            return text;
        }
        if shape.comments {
            text.push_str(&self.comment());
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

    /// A line without meaning: a comment, or in the tab dialect a line with another name.
    fn comment(&self) -> String {
        let end = self.shape.line_ending.as_str();
        match self.shape.dialect {
            Dialect::Tab => format!("ping\t{{\"choices\":[]}}\t{end}"),
            Dialect::Sse | Dialect::Json(_) => format!(": still here{end}"),
        }
    }
}
