//! The items of a response's input as messages: content in every form, the history of tool calls, and kept items that
//! are referred to by their ids.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    super::{
        messages::{called, read_audio},
        place::Place,
        request::Reading,
        schema::{Judge, missing, wrong_type},
    },
    items::{ITEMS, REFERENCE},
};
use crate::engine::{
    error::{ChatError, ErrorKind},
    event::ToolKind,
    request::{File, Image, Message, Part, Role},
};

/// What an input comes to.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) messages: Vec<Message>,
    /// The path of the item that each message comes from.
    pub(super) places: Vec<String>,
    /// The items as they are kept, each with an id.
    pub(super) items: Vec<Value>,
}

/// Finds a kept item by its id.
pub(super) type FindItem<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// Reads the input at `place`, which is known to be a text or a list of objects.
pub(super) fn read(
    reading: &mut Reading<'_>,
    place: &Place<'_>,
    input: Value,
    find: FindItem<'_>,
) -> Result<Given, ChatError> {
    let mut given = Given::default();
    if let Value::Array(items) = input {
        for (index, item) in items.into_iter().enumerate() {
            read_item(reading, &mut given, &place.item(index), item, find)?;
        }
    } else if input == "" {
        return Err(ChatError::invalid("input", "Invalid 'input': empty string."));
    } else {
        let item = json!({ "role": "user", "content": input });
        read_item(reading, &mut given, &place.whole(), item, find)?;
    }
    Ok(given)
}

fn read_item(
    reading: &mut Reading<'_>,
    given: &mut Given,
    place: &Place<'_>,
    item: Value,
    find: FindItem<'_>,
) -> Result<(), ChatError> {
    let path = place.path();
    let Value::Object(item) = item else {
        return Err(wrong_type(path, "an object", &item));
    };
    let judge = reading.judge();
    judge.check_used(&place.member("type"))?;
    let (item, place) = match kind_of(&item, path)? {
        Kind::Reference => {
            let found = called_back(judge, &item, place, find)?;
            let Value::Object(found) = found else {
                return Err(wrong_type(path, "an object", &found));
            };
            // What is kept here was whole when it came.
            (found, place.whole())
        }
        Kind::Item => (item, place.clone()),
    };
    let kind = item
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("message")
        .to_owned();
    if let Some((_, keys)) = ITEMS.iter().find(|(name, _)| *name == kind) {
        keys.iter().try_for_each(|key| key.check(&item, &place, judge))?;
        if let Some(message) = read_known(reading, &kind, &item, path)? {
            given.messages.push(message);
            given.places.push(path.to_owned());
        }
    } else {
        // What OpenAI's own tools leave in a conversation, and what comes after them.
        let shown: String = kind.chars().take(64).collect();
        let what = format!("input items of type '{shown}'");
        reading.lack(&format!("{path}.type"), "input", &what)?;
    }
    given.items.push(as_kept(item, &kind));
    Ok(())
}

/// Reads an item whose keys were checked; some say nothing.
fn read_known(
    reading: &mut Reading<'_>,
    kind: &str,
    item: &Map<String, Value>,
    path: &str,
) -> Result<Option<Message>, ChatError> {
    let text = |key: &str| {
        let text = item.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let id = text("call_id").unwrap_or_default();
    let call = |kind, given| vec![Part::ToolCall(called(kind, &id, item, given))];
    let (role, parts) = match kind {
        "message" => {
            let role = match item.get("role").and_then(Value::as_str) {
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                Some("developer") => Role::Developer,
                _ => Role::System,
            };
            (role, read_content(reading, item, "content", path)?)
        }
        // Calls of earlier answers.
        "function_call" => (Role::Assistant, call(ToolKind::Function, "arguments")),
        "custom_tool_call" => (Role::Assistant, call(ToolKind::Custom, "input")),
        // Results of calls.
        "function_call_output" | "custom_tool_call_output" => {
            (Role::Tool, read_content(reading, item, "output", path)?)
        }
        // Reasoning behind earlier answers is no part of the dialogue.
        _ => return Ok(None),
    };
    let is_result = role == Role::Tool;
    Ok(Some(Message {
        role,
        name: text("name").filter(|_| is_result),
        call_id: text("call_id").filter(|_| is_result),
        parts,
    }))
}

enum Kind {
    Reference,
    Item,
}

/// A reference may come without a type, as a message may.
fn kind_of(item: &Map<String, Value>, path: &str) -> Result<Kind, ChatError> {
    let is_there = |key: &str| item.get(key).is_some_and(|value| !value.is_null());
    match item.get("type") {
        Some(Value::String(kind)) if kind == "item_reference" => Ok(Kind::Reference),
        Some(Value::String(_)) => Ok(Kind::Item),
        None | Some(Value::Null) if is_there("role") => Ok(Kind::Item),
        None | Some(Value::Null) if is_there("id") => Ok(Kind::Reference),
        None | Some(Value::Null) => Err(missing(format!("{path}.type"))),
        Some(other) => Err(wrong_type(format!("{path}.type"), "a string", other)),
    }
}

fn called_back(
    judge: Judge,
    item: &Map<String, Value>,
    place: &Place<'_>,
    find: FindItem<'_>,
) -> Result<Value, ChatError> {
    REFERENCE
        .iter()
        .try_for_each(|key| key.check(item, place, judge))?;
    let field = place.member("id");
    let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
    find(id).ok_or_else(|| {
        let shown: String = id.chars().take(128).collect();
        let message = format!("Item with id '{shown}' not found.");
        ChatError::new(ErrorKind::NotFound, message).with_field(field.path())
    })
}

/// The item as it is kept: with its type and an id, and a message's content as parts.
fn as_kept(mut item: Map<String, Value>, kind: &str) -> Value {
    item.insert("type".to_owned(), kind.into());
    if !item.get("id").is_some_and(Value::is_string) {
        let prefix = match kind {
            "message" => "msg",
            "reasoning" => "rs",
            "function_call" => "fc",
            "function_call_output" => "fco",
            _ => "item",
        };
        item.insert(
            "id".to_owned(),
            format!("{prefix}_{}", Uuid::new_v4().simple()).into(),
        );
    }
    if kind == "message" {
        if let Some(Value::String(text)) = item.get("content") {
            let is_answer = item.get("role").is_some_and(|role| role == "assistant");
            let part = if is_answer {
                json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
            } else {
                json!({ "type": "input_text", "text": text })
            };
            item.insert("content".to_owned(), json!([part]));
        }
        if item.get("status").is_none_or(Value::is_null) {
            item.insert("status".to_owned(), "completed".into());
        }
    }
    Value::Object(item)
}

fn read_content(
    reading: &mut Reading<'_>,
    item: &Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Vec<Part>, ChatError> {
    match item.get(name) {
        Some(Value::Array(parts)) => {
            let parts = parts.iter().enumerate();
            let by_model = item.get("role").is_some_and(|role| role == "assistant");
            let read = parts
                .map(|(index, part)| read_part(reading, part, &format!("{path}.{name}[{index}]"), by_model));
            read.collect()
        }
        text => {
            let text = text.and_then(Value::as_str).unwrap_or_default();
            Ok(vec![Part::Text(text.to_owned())])
        }
    }
}

fn read_part(reading: &mut Reading<'_>, part: &Value, path: &str, by_model: bool) -> Result<Part, ChatError> {
    let text = |key: &str| part[key].as_str().map(str::to_owned);
    Ok(match part["type"].as_str().unwrap_or_default() {
        "input_text" | "output_text" => Part::Text(text("text").unwrap_or_default()),
        "refusal" => Part::Refusal(text("refusal").unwrap_or_default()),
        "input_image" => {
            reading.need_part(path, "input_image", |can| can.images)?;
            Part::Image(Image {
                url: text("image_url"),
                file_id: text("file_id"),
                detail: text("detail"),
            })
        }
        "input_audio" => {
            reading.need_part(path, "input_audio", |can| can.audio)?;
            Part::Audio(read_audio(part))
        }
        "input_file" => {
            reading.need_part(path, "input_file", |can| can.files)?;
            Part::File(File {
                file_id: text("file_id"),
                data: text("file_data"),
                url: text("file_url"),
                filename: text("filename"),
            })
        }
        unknown => Part::Unknown(reading.left_out_unknown(path, unknown, by_model, "input")?),
    })
}
