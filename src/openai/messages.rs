//! A chat's messages as texts: all roles, content in either form, and the history of tools told in words.

use serde_json::{Map, Value};

use super::{
    place::Place,
    request::Reading,
    schema::{Key, Shape, TEXT, key, missing, required, unknown_word, wrong_type},
};
use crate::engine::{
    chat::{Message, Role, tell_call},
    error::ChatError,
};

const CALLED: &[Key] = &[key("name", TEXT), key("arguments", TEXT)];
const CUSTOM: &[Key] = &[key("name", TEXT), key("input", TEXT)];
const CALL: Shape = Shape::Object(&[
    key("id", TEXT),
    key("type", TEXT),
    key("function", Shape::Object(CALLED)),
    key("custom", Shape::Object(CUSTOM)),
]);

/// What a message may hold besides role and content. What clients send back as they got it is full of nulls.
pub(super) static MESSAGE: &[Key] = &[
    // OpenAI's own limit.
    key("name", Shape::Text(0, 64)),
    key("tool_call_id", TEXT),
    key("tool_calls", Shape::List(0, usize::MAX, &CALL)),
    key("function_call", Shape::Object(CALLED)),
    key("refusal", TEXT),
    key("audio", Shape::AnyObject),
];

pub(super) const ROLES: &[&str] = &["system", "developer", "assistant", "user", "function", "tool"];

const PARTS: &[(&str, &[Key])] = &[
    ("text", &[required("text", TEXT)]),
    ("image_url", &[]),
    ("input_audio", &[]),
    ("refusal", &[required("refusal", TEXT)]),
    ("file", &[]),
];
/// A part of a message's content.
pub(super) const PART: Shape = Shape::Kinds("type", PARTS);

/// The name of a message in the document.
pub(super) const MESSAGE_NAME: &str = "ChatMessage";

/// Reads the message at `place`, which is known to be an object.
pub(super) fn read(
    reading: &mut Reading<'_>,
    place: &Place<'_>,
    message: Value,
) -> Result<Message, ChatError> {
    let Value::Object(mut message) = message else {
        return Err(wrong_type(place.path(), "an object", &message));
    };
    let judge = reading.judge();
    let field = place.member("role");
    judge.check_used(&field)?;
    let (role, word) = read_role(field.path(), message.get("role"))?;
    MESSAGE
        .iter()
        .try_for_each(|key| key.check(&message, place, judge))?;
    let field = place.member("content");
    judge.check_used(&field)?;
    let text = match message.remove("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => read_parts(reading, &field, role, parts)?,
        // Only the model may have said nothing: it called a tool, or refused.
        None | Some(Value::Null) if role == Role::Assistant => take_text(&mut message, "refusal"),
        None | Some(Value::Null) if word == Word::Function => String::new(),
        None => return Err(missing(field.path())),
        Some(other) => {
            return Err(wrong_type(
                field.path(),
                "a string or an array of content parts",
                &other,
            ));
        }
    };
    let mut told: Vec<String> = (!text.is_empty()).then_some(text).into_iter().collect();
    if let Some(Value::Array(calls)) = message.get("tool_calls") {
        told.extend(calls.iter().map(tell_tool_call));
    }
    if let Some(Value::Object(call)) = message.get("function_call") {
        told.push(tell_one(call, "arguments"));
    }
    // A tool's answer is named by its function's name, or else by the call that it answers.
    let named = |message: &mut Map<String, Value>, key| match message.remove(key) {
        Some(Value::String(name)) if !name.is_empty() => Some(name),
        _ => None,
    };
    let name = named(&mut message, "name").or_else(|| {
        let id = named(&mut message, "tool_call_id");
        id.filter(|_| role == Role::Tool)
    });
    Ok(Message {
        role,
        name,
        text: told.join("\n"),
    })
}

/// Roles that are one to the engine and two to OpenAI's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Function,
    Other,
}

fn read_role(field: &str, role: Option<&Value>) -> Result<(Role, Word), ChatError> {
    match role {
        None => Err(missing(field)),
        Some(Value::String(word)) => match word.as_str() {
            "system" | "developer" => Ok((Role::System, Word::Other)),
            "user" => Ok((Role::User, Word::Other)),
            "assistant" => Ok((Role::Assistant, Word::Other)),
            "tool" => Ok((Role::Tool, Word::Other)),
            "function" => Ok((Role::Tool, Word::Function)),
            other => Err(unknown_word(field, other, ROLES)),
        },
        Some(other) => Err(wrong_type(field, "a string", other)),
    }
}

fn read_parts(
    reading: &mut Reading<'_>,
    place: &Place<'_>,
    role: Role,
    parts: Vec<Value>,
) -> Result<String, ChatError> {
    if parts.is_empty() {
        let field = place.path();
        let message = format!(
            "Invalid '{field}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        );
        return Err(ChatError::invalid(field, message));
    }
    let mut joined = String::new();
    for (number, part) in parts.into_iter().enumerate() {
        let place = place.item(number);
        PART.check(&part, &place, reading.judge())?;
        let path = place.path();
        match part["type"].as_str().unwrap_or_default() {
            key @ ("text" | "refusal") => joined.push_str(part[key].as_str().unwrap_or_default()),
            "image_url" => joined.push_str(reading.left_out(path, "image_url", |can| can.images)?),
            "input_audio" => joined.push_str(reading.left_out(path, "input_audio", |can| can.audio)?),
            "file" => joined.push_str(reading.left_out(path, "file", |can| can.files)?),
            unknown => {
                let by_model = role == Role::Assistant;
                joined += &reading.left_out_unknown(path, unknown, by_model, "messages")?;
            }
        }
    }
    Ok(joined)
}

fn take_text(object: &mut Map<String, Value>, key: &str) -> String {
    match object.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// A call that the model made earlier in the conversation.
fn tell_tool_call(call: &Value) -> String {
    match (call.get("function"), call.get("custom")) {
        (Some(Value::Object(function)), _) => tell_one(function, "arguments"),
        (_, Some(Value::Object(custom))) => tell_one(custom, "input"),
        _ => "[called a tool]".to_owned(),
    }
}

/// A call, whose input stands under the key `given`.
pub(super) fn tell_one(call: &Map<String, Value>, given: &str) -> String {
    let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default();
    tell_call(text("name"), text(given))
}
