//! Wire to engine and back. Bad input ends here, with its field named.

use std::borrow::Cow;

use serde_json::Value;

use super::wire::{
    Content, ContentPart, CreateChatCompletion, CustomCall, FunctionCall, Object, RequestMessage,
    StreamOptions, ToolCall, UsageFigures,
};
use crate::engine::{
    chat::{ChatRequest, FinishReason, Message, Role, Usage},
    error::{ChatError, ErrorKind},
};

/// OpenAI's own limit on `n`.
const MOST_CHOICES: u64 = 128;

/// A request, and how its answer should come.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: ChatRequest,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

pub(super) fn read(wire: CreateChatCompletion) -> Result<Asked, ChatError> {
    refuse_unsupported(&wire)?;
    let CreateChatCompletion {
        model,
        messages,
        stream,
        stream_options,
        temperature,
        top_p,
        ..
    } = wire;
    let stream = stream.unwrap_or(false);
    if stream_options.is_some() && !stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(ChatError::invalid("stream_options", message));
    }
    let Some(messages) = messages else {
        return Err(ChatError::invalid(
            "messages",
            "Missing required parameter: 'messages'.",
        ));
    };
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(index, Object(message))| read_message(index, message));
    let request = ChatRequest {
        model: model.unwrap_or_default(),
        messages: messages.collect::<Result<_, _>>()?,
        temperature,
        top_p,
        ..ChatRequest::default()
    };
    request.check()?;
    let StreamOptions { include_usage } = stream_options.map(|Object(options)| options).unwrap_or_default();
    Ok(Asked {
        request,
        stream,
        include_usage: include_usage.unwrap_or(false),
    })
}

/// What would change the meaning of the answer if it were ignored, on an upstream that only ever sends text.
fn refuse_unsupported(wire: &CreateChatCompletion) -> Result<(), ChatError> {
    let is = |value: &Option<Value>, text: &str| value.as_ref().and_then(Value::as_str) == Some(text);
    let asks = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
    let has = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let format = wire
        .response_format
        .as_ref()
        .and_then(|format| format.get("type"))
        .and_then(Value::as_str);
    match wire.n {
        None | Some(1) => {}
        Some(2..=MOST_CHOICES) => return Err(unsupported("n", "more than one choice")),
        Some(n) => {
            let message =
                format!("Invalid 'n': expected an integer from 1 to {MOST_CHOICES}, but got {n} instead.");
            return Err(ChatError::invalid("n", message));
        }
    }
    let refusals = [
        (
            has(&wire.tools) && !is(&wire.tool_choice, "none"),
            "tools",
            "tools",
        ),
        (
            has(&wire.functions) && !is(&wire.function_call, "none"),
            "functions",
            "functions",
        ),
        (
            asks(&wire.response_format) && format != Some("text"),
            "response_format",
            "response formats other than text",
        ),
        (wire.logprobs == Some(true), "logprobs", "log probabilities"),
        (asks(&wire.audio), "audio", "audio"),
        (
            wire.modalities
                .iter()
                .flatten()
                .any(|modality| modality != "text"),
            "modalities",
            "modalities other than text",
        ),
    ];
    match refusals.into_iter().find(|(asked, ..)| *asked) {
        Some((_, field, what)) => Err(unsupported(field, what)),
        None => Ok(()),
    }
}

fn unsupported(field: impl Into<String>, what: &str) -> ChatError {
    let field = field.into();
    let message = format!("Unsupported parameter: '{field}'. This gateway does not offer {what}.");
    ChatError::new(ErrorKind::UnsupportedParameter, message).with_field(field)
}

fn read_message(index: usize, wire: RequestMessage) -> Result<Message, ChatError> {
    let RequestMessage {
        role,
        content,
        name,
        tool_call_id,
        tool_calls,
        function_call,
        refusal,
    } = wire;
    let role = read_role(index, role.as_deref())?;
    let text = match content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => read_parts(index, parts)?,
        // Only the model may have said nothing: it called a tool, or refused.
        None if role == Role::Assistant => refusal.unwrap_or_default(),
        None => {
            let field = format!("messages[{index}].content");
            let message = format!("Invalid value for '{field}': expected a string, got null.");
            return Err(ChatError::invalid(field, message));
        }
    };
    let calls = tool_calls
        .into_iter()
        .flatten()
        .map(|ToolCall { function, custom }| match (function, custom) {
            (Some(function), _) => tell_call(function),
            (None, Some(CustomCall { name, input })) => tell_call(FunctionCall {
                name,
                arguments: input,
            }),
            (None, None) => "[called a tool]".to_owned(),
        });
    let mut told: Vec<String> = (!text.is_empty()).then_some(text).into_iter().collect();
    told.extend(calls);
    told.extend(function_call.map(tell_call));
    // A tool's answer is named by its function's name, or else by the call that it answers.
    let name = name.or(tool_call_id.filter(|_| role == Role::Tool));
    Ok(Message {
        role,
        name,
        text: told.join("\n"),
    })
}

fn tell_call(FunctionCall { name, arguments }: FunctionCall) -> String {
    format!(
        "[called {}({})]",
        name.unwrap_or_default(),
        arguments.unwrap_or_default()
    )
}

fn read_role(index: usize, role: Option<&str>) -> Result<Role, ChatError> {
    let field = format!("messages[{index}].role");
    match role {
        Some("system" | "developer") => Ok(Role::System),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool" | "function") => Ok(Role::Tool),
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            let message = format!(
                "Invalid value: '{other}'. Supported values are: 'system', 'developer', 'assistant', 'user', \
                 'function', and 'tool'."
            );
            Err(ChatError::invalid(field, message))
        }
        None => {
            let message = format!("Missing required parameter: '{field}'.");
            Err(ChatError::invalid(field, message))
        }
    }
}

fn read_parts(index: usize, parts: Vec<Object<ContentPart>>) -> Result<String, ChatError> {
    let field = format!("messages[{index}].content");
    if parts.is_empty() {
        let message =
            format!("Invalid '{field}': expected an array with minimum length 1, but got an empty array.");
        return Err(ChatError::invalid(field, message));
    }
    let mut joined = String::new();
    for (number, Object(ContentPart { kind, text, refusal })) in parts.into_iter().enumerate() {
        let missing = |name: &str| {
            let field = format!("{field}[{number}].{name}");
            let message = format!("Missing required parameter: '{field}'.");
            ChatError::invalid(field, message)
        };
        match kind.as_deref() {
            Some("text") => joined.push_str(&text.ok_or_else(|| missing("text"))?),
            Some("refusal") => joined.push_str(&refusal.ok_or_else(|| missing("refusal"))?),
            Some(kind @ ("image_url" | "input_audio" | "file")) => {
                let what = format!("content parts of type '{kind}'");
                return Err(unsupported(format!("{field}[{number}]"), &what));
            }
            Some(other) => {
                let other: String = other.chars().take(64).collect();
                let message = format!(
                    "Invalid value: '{other}'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', \
                     and 'file'."
                );
                return Err(ChatError::invalid(format!("{field}[{number}].type"), message));
            }
            None => return Err(missing("type")),
        }
    }
    Ok(joined)
}

pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

pub(super) fn usage(usage: Usage) -> UsageFigures {
    let Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
    } = usage;
    UsageFigures {
        prompt_tokens,
        completion_tokens,
        total_tokens,
    }
}

/// Text that a chunk borrows.
pub(super) fn borrowed(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}
