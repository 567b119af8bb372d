//! A chat's messages: all roles, content in either form, and the history of tool calls.

use serde_json::{Map, Value};

use super::{
    place::Place,
    request::Reading,
    schema::{Key, Shape, TEXT, key, missing, required, unknown_word, wrong_type},
};
use crate::engine::{
    error::ChatError,
    event::{ToolCall, ToolKind},
    request::{Audio, File, Image, Message, Part, Role},
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
    let mut parts = match message.remove("content") {
        Some(Value::String(text)) => vec![Part::Text(text)],
        Some(Value::Array(parts)) => read_parts(reading, &field, role, parts)?,
        // Only the model may have said nothing: it called a tool, or refused.
        None | Some(Value::Null) if role == Role::Assistant => {
            vec![Part::Refusal(take_text(&mut message, "refusal"))]
        }
        None | Some(Value::Null) if word == Word::Function => Vec::new(),
        None => return Err(missing(field.path())),
        Some(other) => {
            return Err(wrong_type(
                field.path(),
                "a string or an array of content parts",
                &other,
            ));
        }
    };
    if let Some(Value::Array(calls)) = message.get("tool_calls") {
        for call in calls {
            let part = read_call(call, parts.iter().all(Part::is_empty));
            parts.push(part);
        }
    }
    if let Some(Value::Object(call)) = message.get("function_call") {
        parts.push(Part::ToolCall(called(ToolKind::Function, "", call, "arguments")));
    }
    let mut named = |key| match message.remove(key) {
        Some(Value::String(name)) if !name.is_empty() => Some(name),
        _ => None,
    };
    Ok(Message {
        role,
        name: named("name"),
        call_id: named("tool_call_id").filter(|_| role == Role::Tool),
        parts,
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
            "system" => Ok((Role::System, Word::Other)),
            "developer" => Ok((Role::Developer, Word::Other)),
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
) -> Result<Vec<Part>, ChatError> {
    if parts.is_empty() {
        let field = place.path();
        let message = format!(
            "Invalid '{field}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        );
        return Err(ChatError::invalid(field, message));
    }
    let mut read = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        let place = place.item(number);
        PART.check(&part, &place, reading.judge())?;
        let path = place.path();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        read.push(match part["type"].as_str().unwrap_or_default() {
            "text" => Part::Text(text(&part["text"]).unwrap_or_default()),
            "refusal" => Part::Refusal(text(&part["refusal"]).unwrap_or_default()),
            "image_url" => {
                reading.need_part(path, "image_url", |can| can.images)?;
                let image = &part["image_url"];
                Part::Image(Image {
                    url: text(&image["url"]),
                    file_id: None,
                    detail: text(&image["detail"]),
                })
            }
            "input_audio" => {
                reading.need_part(path, "input_audio", |can| can.audio)?;
                Part::Audio(read_audio(&part))
            }
            "file" => {
                reading.need_part(path, "file", |can| can.files)?;
                let file = &part["file"];
                Part::File(File {
                    file_id: text(&file["file_id"]),
                    data: text(&file["file_data"]),
                    url: None,
                    filename: text(&file["filename"]),
                })
            }
            unknown => {
                let by_model = role == Role::Assistant;
                Part::Unknown(reading.left_out_unknown(path, unknown, by_model, "messages")?)
            }
        });
    }
    Ok(read)
}

/// Sound in a part, in the form that chats and responses share.
pub(super) fn read_audio(part: &Value) -> Audio {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let audio = &part["input_audio"];
    Audio {
        data: text(&audio["data"]),
        format: text(&audio["format"]),
    }
}

fn take_text(object: &mut Map<String, Value>, key: &str) -> String {
    match object.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// A tool call of an earlier answer; `is_first` where nothing comes before it in the message.
fn read_call(call: &Value, is_first: bool) -> Part {
    let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
    match (call.get("function"), call.get("custom")) {
        (Some(Value::Object(function)), _) => {
            Part::ToolCall(called(ToolKind::Function, id, function, "arguments"))
        }
        (_, Some(Value::Object(custom))) => Part::ToolCall(called(ToolKind::Custom, id, custom, "input")),
        _ if is_first => Part::Unknown("[called a tool]".to_owned()),
        _ => Part::Unknown("\n[called a tool]".to_owned()),
    }
}

/// A call, whose input stands under the key `given`.
pub(super) fn called(kind: ToolKind, id: &str, call: &Map<String, Value>, given: &str) -> ToolCall {
    let text = |key: &str| {
        let text = call.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    ToolCall {
        id: id.to_owned(),
        kind,
        name: text("name"),
        input: text(given),
    }
}
