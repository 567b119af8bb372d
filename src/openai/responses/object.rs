//! The response object and its items, as they stand on the wire.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::fields::Fields;
use crate::engine::{
    chat::{FinishReason, Head, Usage},
    error::{ChatError, ErrorKind},
};

/// Where a response stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status<'a> {
    InProgress,
    Ended(FinishReason, Usage),
    Failed(&'a ChatError),
}

impl Status<'_> {
    /// OpenAI's word for it, which is also the last part of the event's name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Ended(reason, _) => item_status(reason),
            Status::Failed(_) => "failed",
        }
    }
}

/// What an answer's last item is once the answer has ended.
pub(super) fn item_status(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => "completed",
        FinishReason::Length | FinishReason::ContentFilter => "incomplete",
    }
}

/// What stands in a response from its beginning: who it is, and what was asked.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) head: Head,
    asked: Map<String, Value>,
}

impl Draft {
    /// A response that begins now, to a request of these fields.
    pub(super) fn new(fields: &Fields, model: String, store: bool) -> Self {
        let given = |name: &str, otherwise: Value| match fields.get(name) {
            None | Some(Value::Null) => otherwise,
            Some(value) => value.clone(),
        };
        let reasoning = |key: &str| {
            let value = fields.get("reasoning").and_then(|reasoning| reasoning.get(key));
            value.cloned().unwrap_or_default()
        };
        let verbosity = fields.get("text").and_then(|text| text.get("verbosity"));
        let verbosity = verbosity.and_then(Value::as_str).unwrap_or("medium");
        // Tools stand here only where none was to be used: with any other choice they were refused or left out.
        let none = fields.get("tool_choice").is_some_and(|choice| choice == "none");
        let tools = if none {
            given("tools", json!([]))
        } else {
            json!([])
        };
        let asked = [
            ("background", json!(false)),
            ("instructions", given("instructions", Value::Null)),
            ("max_output_tokens", given("max_output_tokens", Value::Null)),
            ("max_tool_calls", given("max_tool_calls", Value::Null)),
            ("metadata", given("metadata", json!({}))),
            ("parallel_tool_calls", given("parallel_tool_calls", json!(true))),
            ("previous_response_id", given("previous_response_id", Value::Null)),
            ("prompt_cache_key", given("prompt_cache_key", Value::Null)),
            (
                "reasoning",
                json!({ "effort": reasoning("effort"), "summary": reasoning("summary") }),
            ),
            ("safety_identifier", given("safety_identifier", Value::Null)),
            ("service_tier", json!("default")),
            ("store", json!(store)),
            ("temperature", given("temperature", json!(1.0))),
            (
                "text",
                json!({ "format": { "type": "text" }, "verbosity": verbosity }),
            ),
            ("tool_choice", json!(if none { "none" } else { "auto" })),
            ("tools", json!(tools)),
            ("top_logprobs", json!(0)),
            ("top_p", given("top_p", json!(1.0))),
            ("truncation", json!("disabled")),
            ("user", given("user", Value::Null)),
        ];
        Self {
            head: Head::with_prefix("resp_", model),
            asked: asked
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
        }
    }

    /// Says that this response is not kept after all.
    pub(super) fn is_not_stored(&mut self) {
        self.asked.insert("store".to_owned(), Value::Bool(false));
    }

    /// The whole object.
    pub(super) fn at(&self, status: Status<'_>, output: &[Value]) -> Value {
        let (mut error, mut incomplete, mut figures) = (Value::Null, Value::Null, Value::Null);
        match status {
            Status::InProgress => {}
            Status::Ended(reason, used) => {
                figures = usage(used);
                incomplete = match reason {
                    FinishReason::Stop | FinishReason::ToolCalls => Value::Null,
                    FinishReason::Length => json!({ "reason": "max_output_tokens" }),
                    FinishReason::ContentFilter => json!({ "reason": "content_filter" }),
                };
            }
            Status::Failed(failure) => {
                error = json!({ "code": error_code(failure.kind()), "message": failure.message() });
            }
        }
        let mut object = self.asked.clone();
        let more = [
            ("id", json!(self.head.id)),
            ("object", json!("response")),
            ("created_at", json!(self.head.created)),
            ("status", json!(status.word())),
            ("error", error),
            ("incomplete_details", incomplete),
            ("model", json!(self.head.model)),
            ("output", json!(output)),
            ("usage", figures),
        ];
        object.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(object)
    }
}

/// OpenAI's list of these codes is closed, and SDKs know no other.
fn error_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RateLimited => "rate_limit_exceeded",
        ErrorKind::InvalidRequest
        | ErrorKind::UnsupportedParameter
        | ErrorKind::ContextLengthExceeded
        | ErrorKind::ModelNotFound
        | ErrorKind::NotFound
        | ErrorKind::UpstreamRefused => "invalid_prompt",
        ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::UnknownUrl
        | ErrorKind::MethodNotSupported
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::RequestTimeout
        | ErrorKind::RequestTooLarge
        | ErrorKind::PoolExhausted
        | ErrorKind::CredentialsRejected
        | ErrorKind::Overloaded
        | ErrorKind::ShuttingDown
        | ErrorKind::UpstreamUnavailable
        | ErrorKind::UpstreamTruncated
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::Internal => "server_error",
    }
}

fn usage(usage: Usage) -> Value {
    let Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        reasoning_tokens,
    } = usage;
    json!({
        "input_tokens": prompt_tokens,
        "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
        "output_tokens": completion_tokens,
        "output_tokens_details": { "reasoning_tokens": reasoning_tokens },
        "total_tokens": total_tokens,
    })
}

/// What an item of an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
}

impl Kind {
    /// A new id for such an item.
    pub(super) fn id(self) -> String {
        let prefix = match self {
            Kind::Message => "msg",
            Kind::Reasoning => "rs",
        };
        format!("{prefix}_{}", Uuid::new_v4().simple())
    }

    /// The one part of its content.
    pub(super) fn part(self, text: &str) -> Value {
        match self {
            Kind::Message => {
                json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
            }
            Kind::Reasoning => json!({ "type": "reasoning_text", "text": text }),
        }
    }

    /// The item; without content while there is no text.
    pub(super) fn item(self, id: &str, status: &str, text: Option<&str>) -> Value {
        let content: Vec<Value> = text.into_iter().map(|text| self.part(text)).collect();
        match self {
            Kind::Message => json!({
                "id": id, "type": "message", "role": "assistant", "status": status, "content": content,
            }),
            Kind::Reasoning => json!({
                "id": id, "type": "reasoning", "status": status, "summary": [], "content": content,
            }),
        }
    }
}
