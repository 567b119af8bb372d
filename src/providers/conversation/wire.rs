//! The upstream's JSON, read with the tolerance that its contract asks for: any key may be absent or null, unknown
//! ones mean nothing.

use serde::Deserialize;
use serde_json::Value;

use crate::engine::{
    chat::{FinishReason, Usage},
    event::Event,
};
use crate::state::RemoteId;

/// Longer ids are refused.
const MAX_ID: usize = 128;

/// One event of a streamed answer, read in one pass: it is the hot path.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamEvent {
    choices: Option<Vec<Option<Choice>>>,
    usage: Option<Value>,
    error: Option<Value>,
    status: Option<Value>,
    #[serde(rename = "statusCode")]
    status_code: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageFigures {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    total_tokens: Option<u32>,
}

/// Why an event could not be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not what the contract says.
    Malformed(String),
    /// It is a failure, of this status.
    Failure(u16),
}

/// Reads one event of a stream, in the order in which its parts count.
pub(super) fn read_event(payload: &str, events: &mut Vec<Event>) -> Result<(), Unusable> {
    let event: Option<StreamEvent> =
        serde_json::from_str(payload).map_err(|error| Unusable::Malformed(error.to_string()))?;
    let StreamEvent {
        choices,
        usage,
        error,
        status,
        status_code,
    } = event.unwrap_or_default();
    if let Some(status) = failure(error.as_ref(), [status.as_ref(), status_code.as_ref()]) {
        return Err(Unusable::Failure(status));
    }
    if let Some(Choice { delta, finish_reason }) = choices.into_iter().flatten().next().flatten() {
        let Delta {
            content,
            reasoning_content,
        } = delta.unwrap_or_default();
        events.extend(reasoning_content.map(Event::Reasoning));
        events.extend(content.map(Event::Content));
        if let Some(reason) = finish_reason.filter(|reason| !reason.is_empty()) {
            events.push(Event::Finish(finish(&reason)?));
        }
    }
    events.extend(usage.as_ref().and_then(figures).map(Event::Usage));
    Ok(())
}

/// Reads a whole answer that came as one JSON body.
pub(super) fn read_body(body: &[u8], events: &mut Vec<Event>) -> Result<(), Unusable> {
    let value: Value = parse(body)?;
    if let Some(status) = embedded_failure(&value) {
        return Err(Unusable::Failure(status));
    }
    let choice = value.pointer("/choices/0");
    let text = [
        choice.and_then(|choice| choice.pointer("/message/content")),
        choice.and_then(|choice| choice.get("text")),
        value.get("response"),
        value.get("content"),
        value.get("message"),
    ]
    .into_iter()
    .flatten()
    .find_map(Value::as_str)
    .ok_or_else(|| Unusable::Malformed("the body holds no text of an answer".to_owned()))?;
    let reasoning = choice.and_then(|choice| choice.pointer("/message/reasoning_content"));
    events.extend(
        reasoning
            .and_then(Value::as_str)
            .map(|text| Event::Reasoning(text.to_owned())),
    );
    events.push(Event::Content(text.to_owned()));
    if let Some(reason) = choice
        .and_then(|choice| choice.get("finish_reason"))
        .and_then(Value::as_str)
    {
        events.push(Event::Finish(finish(reason)?));
    }
    events.extend(value.get("usage").and_then(figures).map(Event::Usage));
    events.push(Event::End);
    Ok(())
}

/// Parses a JSON body.
pub(super) fn parse(body: &[u8]) -> Result<Value, Unusable> {
    serde_json::from_slice(body).map_err(|error| Unusable::Malformed(error.to_string()))
}

/// The status of a failure that came inside a good status: an `error`, or a number of 400 or more.
pub(super) fn embedded_failure(value: &Value) -> Option<u16> {
    failure(value.get("error"), [value.get("status"), value.get("statusCode")])
}

fn failure(error: Option<&Value>, statuses: [Option<&Value>; 2]) -> Option<u16> {
    let status = statuses
        .into_iter()
        .filter_map(|status| status?.as_u64())
        .find(|status| *status >= 400)
        .map(|status| {
            u16::try_from(status)
                .ok()
                .filter(|status| *status < 600)
                .unwrap_or(500)
        });
    let error = error.is_some_and(|error| !error.is_null());
    status.or(error.then_some(500))
}

/// The id under the first of `keys` that holds one that can be used.
pub(super) fn read_id(value: &Value, keys: &[&str]) -> Result<RemoteId, Unusable> {
    let id = keys
        .iter()
        .filter_map(|key| value.get(key))
        .find(|id| !id.is_null());
    let id = match id {
        Some(Value::String(text)) => RemoteId::Text(text.clone()),
        Some(Value::Number(number)) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => RemoteId::Unsigned(number),
            (None, Some(number)) => RemoteId::Signed(number),
            (None, None) => return Err(Unusable::Malformed("an id is not a whole number".to_owned())),
        },
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
            return Err(Unusable::Malformed("an id is missing".to_owned()));
        }
    };
    if let RemoteId::Text(text) = &id {
        let usable = !matches!(text.as_str(), "" | "." | "..")
            && text.len() <= MAX_ID
            && !text.chars().any(char::is_control);
        if !usable {
            return Err(Unusable::Malformed("an id cannot be used in a path".to_owned()));
        }
    }
    Ok(id)
}

/// An id as JSON, in the type in which it came.
pub(super) fn id_value(id: &RemoteId) -> Value {
    match id {
        RemoteId::Text(text) => Value::from(text.as_str()),
        RemoteId::Unsigned(number) => Value::from(*number),
        RemoteId::Signed(number) => Value::from(*number),
    }
}

/// OpenAI's reasons are passed on; one that it does not know means no more than an end, and `error` is a failure.
fn finish(reason: &str) -> Result<FinishReason, Unusable> {
    match reason {
        "length" => Ok(FinishReason::Length),
        "tool_calls" | "function_call" => Ok(FinishReason::ToolCalls),
        "content_filter" => Ok(FinishReason::ContentFilter),
        "error" => Err(Unusable::Failure(500)),
        _ => Ok(FinishReason::Stop),
    }
}

/// Figures count only when both halves are there; ones that cannot be read are no reason to lose an answer.
fn figures(usage: &Value) -> Option<Usage> {
    let UsageFigures {
        prompt_tokens,
        completion_tokens,
        total_tokens,
    } = UsageFigures::deserialize(usage).ok()?;
    let (prompt_tokens, completion_tokens) = (prompt_tokens?, completion_tokens?);
    let total_tokens = total_tokens.unwrap_or_else(|| prompt_tokens.saturating_add(completion_tokens));
    Some(Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        // The engine counts them where there are any.
        reasoning_tokens: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &str) -> Result<Vec<Event>, Unusable> {
        let mut events = Vec::new();
        read_event(payload, &mut events).map(|()| events)
    }

    fn body(payload: &str) -> Result<Vec<Event>, Unusable> {
        let mut events = Vec::new();
        read_body(payload.as_bytes(), &mut events).map(|()| events)
    }

    fn content(text: &str) -> Event {
        Event::Content(text.into())
    }

    #[test]
    fn what_may_be_absent_or_null_is_no_fault() {
        for payload in [
            "null",
            "{}",
            r#"{"choices":null}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":[null]}"#,
            r#"{"choices":[{}]}"#,
            r#"{"choices":[{"delta":null,"finish_reason":null}],"usage":null,"error":null,"status":"running"}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":null},"unknown":[1]}],"statusCode":200}"#,
        ] {
            assert_eq!(event(payload), Ok(vec![]), "{payload}");
        }
    }

    #[test]
    fn one_event_may_hold_everything() {
        let payload = r#"{"choices":[{"delta":{"reasoning_content":"hm","content":"yes"},"finish_reason":"length"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        let usage = Usage {
            prompt_tokens: 3,
            completion_tokens: 4,
            total_tokens: 7,
            reasoning_tokens: 0,
        };
        let expected = vec![
            Event::Reasoning("hm".into()),
            content("yes"),
            Event::Finish(FinishReason::Length),
            Event::Usage(usage),
        ];
        assert_eq!(event(payload), Ok(expected));
    }

    #[test]
    fn figures_that_cannot_be_read_lose_no_answer() {
        let payload =
            r#"{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":-1,"completion_tokens":"4"}}"#;
        assert_eq!(event(payload), Ok(vec![content("x")]));
    }

    #[test]
    fn an_unknown_reason_is_an_end_and_error_is_a_failure() {
        let finish = |reason: &str| event(&format!(r#"{{"choices":[{{"finish_reason":"{reason}"}}]}}"#));
        assert_eq!(finish("eos"), Ok(vec![Event::Finish(FinishReason::Stop)]));
        assert_eq!(finish("error"), Err(Unusable::Failure(500)));
        assert_eq!(finish(""), Ok(vec![]));
    }

    #[test]
    fn a_failure_inside_a_good_status_has_its_own_status() {
        for (payload, status) in [
            (r#"{"statusCode":401,"message":"Unauthorized"}"#, 401),
            (r#"{"status":429,"error":{"message":"slow down"}}"#, 429),
            (r#"{"error":"boom"}"#, 500),
            (r#"{"error":{},"statusCode":200}"#, 500),
            (r#"{"status":99999999}"#, 500),
        ] {
            assert_eq!(event(payload), Err(Unusable::Failure(status)), "{payload}");
            assert_eq!(body(payload), Err(Unusable::Failure(status)), "{payload}");
        }
    }

    #[test]
    fn broken_events_are_malformed() {
        for payload in [
            "{",
            "[1]",
            "\"text\"",
            r#"{"choices":{}}"#,
            r#"{"choices":[{"delta":{"content":["x"]}}]}"#,
        ] {
            assert!(matches!(event(payload), Err(Unusable::Malformed(_))), "{payload}");
        }
    }

    #[test]
    fn a_json_body_carries_its_text_in_five_places() {
        for payload in [
            r#"{"choices":[{"message":{"content":"hi"}}]}"#,
            r#"{"choices":[{"text":"hi"}]}"#,
            r#"{"response":"hi"}"#,
            r#"{"response":{"not":"text"},"content":"hi"}"#,
            r#"{"message":"hi"}"#,
        ] {
            assert_eq!(body(payload), Ok(vec![content("hi"), Event::End]), "{payload}");
        }
        assert!(matches!(
            body(r#"{"message":{"content":"hi"}}"#),
            Err(Unusable::Malformed(_))
        ));
    }

    #[test]
    fn ids_keep_their_type_and_every_bit() {
        let id = |json: &str| read_id(&serde_json::from_str(json).unwrap(), &["id", "conversationId"]);
        for (json, back) in [
            (r#"{"id":"a/b"}"#, r#""a/b""#),
            (
                r#"{"id":null,"conversationId":18446744073709551615}"#,
                "18446744073709551615",
            ),
            (r#"{"id":-9223372036854775808}"#, "-9223372036854775808"),
        ] {
            assert_eq!(id_value(&id(json).unwrap()).to_string(), back);
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_ID + 1));
        for json in [
            r#"{"id":""}"#,
            r#"{"id":"."}"#,
            r#"{"id":".."}"#,
            r#"{"id":"a\nb"}"#,
            r#"{"id":1.5}"#,
            "{}",
            &long,
        ] {
            assert!(matches!(id(json), Err(Unusable::Malformed(_))), "{json}");
        }
    }
}
