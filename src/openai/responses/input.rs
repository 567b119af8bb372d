//! The items of a response's input as messages: content in every form, the history of tools told in words, and items
//! that are kept here called back by their ids.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::{
    messages::{read_text, tell_call},
    request::Reading,
    schema::{Key, Shape, TEXT, key, missing, nullable, unknown_word, wrong_type},
};
use crate::engine::{
    chat::{Message, Role},
    error::{ChatError, ErrorKind},
};

const ROLES: &[&str] = &["user", "assistant", "system", "developer"];
const PARTS: &[&str] = &[
    "input_text",
    "input_image",
    "input_file",
    "input_audio",
    "output_text",
    "refusal",
];
const ITEMS: &[&str] = &[
    "message",
    "item_reference",
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
];
/// What OpenAI's own tools leave in a conversation.
const HOSTED: &[&str] = &[
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

const CALL: &[Key] = &[
    key("call_id", TEXT),
    key("name", TEXT),
    nullable("arguments", TEXT),
    nullable("input", TEXT),
];
const REASONING: &[Key] = &[
    nullable("summary", Shape::List(0, usize::MAX, &Shape::AnyObject)),
    nullable("content", Shape::List(0, usize::MAX, &Shape::AnyObject)),
    nullable("encrypted_content", TEXT),
];

/// What an input comes to.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) messages: Vec<Message>,
    /// The items as they are kept, each with an id.
    pub(super) items: Vec<Value>,
}

/// Finds a kept item by its id.
pub(super) type FindItem<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// Reads an input, which is known to be a text or a list of objects.
pub(super) fn read(reading: &mut Reading<'_>, input: Value, find: FindItem<'_>) -> Result<Given, ChatError> {
    let mut given = Given::default();
    if let Value::Array(items) = input {
        for (index, item) in items.into_iter().enumerate() {
            read_item(reading, &mut given, &format!("input[{index}]"), item, find)?;
        }
    } else if input == "" {
        return Err(ChatError::invalid("input", "Invalid 'input': empty string."));
    } else {
        let item = json!({ "role": "user", "content": input });
        read_item(reading, &mut given, "input", item, find)?;
    }
    Ok(given)
}

fn read_item(
    reading: &mut Reading<'_>,
    given: &mut Given,
    path: &str,
    item: Value,
    find: FindItem<'_>,
) -> Result<(), ChatError> {
    let Value::Object(item) = item else {
        return Err(wrong_type(path, "an object", &item));
    };
    let item = match kind_of(&item, path)? {
        Kind::Reference => {
            let found = called_back(&item, path, find)?;
            let Value::Object(found) = found else {
                return Err(wrong_type(path, "an object", &found));
            };
            found
        }
        Kind::Item => item,
    };
    let kind = item
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("message")
        .to_owned();
    match kind.as_str() {
        "message" => given.messages.push(read_message(reading, path, &item)?),
        // What was thought before earlier answers is no part of the conversation.
        "reasoning" => REASONING.iter().try_for_each(|key| key.check(&item, path))?,
        "function_call" => given.messages.push(read_call(&item, path, "arguments")?),
        "custom_tool_call" => given.messages.push(read_call(&item, path, "input")?),
        "function_call_output" | "custom_tool_call_output" => {
            given.messages.push(read_output(reading, &item, path)?);
        }
        hosted if HOSTED.contains(&hosted) => {
            let what = format!("input items of type '{hosted}'");
            reading.lack(&format!("{path}.type"), "input", &what)?;
        }
        other => return Err(unknown_word(format!("{path}.type"), other, ITEMS)),
    }
    given.items.push(as_kept(item, &kind));
    Ok(())
}

enum Kind {
    Reference,
    Item,
}

/// A reference may come without a type, as a message may.
fn kind_of(item: &Map<String, Value>, path: &str) -> Result<Kind, ChatError> {
    match item.get("type") {
        Some(Value::String(kind)) if kind == "item_reference" => Ok(Kind::Reference),
        Some(Value::String(_)) => Ok(Kind::Item),
        None | Some(Value::Null) if item.contains_key("role") => Ok(Kind::Item),
        None | Some(Value::Null) if item.contains_key("id") => Ok(Kind::Reference),
        None | Some(Value::Null) => Err(missing(format!("{path}.type"))),
        Some(other) => Err(wrong_type(format!("{path}.type"), "a string", other)),
    }
}

fn called_back(item: &Map<String, Value>, path: &str, find: FindItem<'_>) -> Result<Value, ChatError> {
    let field = format!("{path}.id");
    let id = match item.get("id") {
        Some(Value::String(id)) => id,
        None => return Err(missing(field)),
        Some(other) => return Err(wrong_type(field, "a string", other)),
    };
    find(id).ok_or_else(|| {
        let shown: String = id.chars().take(128).collect();
        let message = format!("Item with id '{shown}' not found.");
        ChatError::new(ErrorKind::NotFound, message).with_field(field)
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
        item.entry("status").or_insert_with(|| "completed".into());
    }
    Value::Object(item)
}

fn read_message(
    reading: &mut Reading<'_>,
    path: &str,
    item: &Map<String, Value>,
) -> Result<Message, ChatError> {
    let field = format!("{path}.role");
    let role = match item.get("role") {
        None => return Err(missing(field)),
        Some(Value::String(word)) => match word.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" | "developer" => Role::System,
            other => return Err(unknown_word(field, other, ROLES)),
        },
        Some(other) => return Err(wrong_type(field, "a string", other)),
    };
    let text = read_content(reading, item.get("content"), &format!("{path}.content"))?;
    Ok(Message {
        role,
        name: None,
        text,
    })
}

fn read_content(
    reading: &mut Reading<'_>,
    content: Option<&Value>,
    field: &str,
) -> Result<String, ChatError> {
    match content {
        None => Err(missing(field)),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let parts = parts.iter().enumerate();
            let texts = parts.map(|(index, part)| read_part(reading, part, &format!("{field}[{index}]")));
            texts.collect()
        }
        Some(other) => Err(wrong_type(field, "a string or an array of content parts", other)),
    }
}

fn read_part(reading: &mut Reading<'_>, part: &Value, path: &str) -> Result<String, ChatError> {
    let Value::Object(part) = part else {
        return Err(wrong_type(path, "an object", part));
    };
    let kind = match part.get("type") {
        None => return Err(missing(format!("{path}.type"))),
        Some(Value::String(kind)) => kind.as_str(),
        Some(other) => return Err(wrong_type(format!("{path}.type"), "a string", other)),
    };
    match kind {
        "input_text" | "output_text" => read_text(part, path, "text"),
        "refusal" => read_text(part, path, "refusal"),
        "input_image" => Ok(reading
            .left_out(path, "input_image", |can| can.images)?
            .to_owned()),
        "input_audio" => Ok(reading.left_out(path, "input_audio", |can| can.audio)?.to_owned()),
        "input_file" => Ok(reading.left_out(path, "input_file", |can| can.files)?.to_owned()),
        other => Err(unknown_word(format!("{path}.type"), other, PARTS)),
    }
}

/// A call that the model made earlier in the conversation.
fn read_call(item: &Map<String, Value>, path: &str, given: &str) -> Result<Message, ChatError> {
    CALL.iter().try_for_each(|key| key.check(item, path))?;
    for name in ["name", given] {
        if !item.get(name).is_some_and(Value::is_string) {
            return Err(missing(format!("{path}.{name}")));
        }
    }
    Ok(Message {
        role: Role::Assistant,
        name: None,
        text: tell_call(item, given),
    })
}

/// What a tool gave back, under the id of the call that it answers.
fn read_output(
    reading: &mut Reading<'_>,
    item: &Map<String, Value>,
    path: &str,
) -> Result<Message, ChatError> {
    let name = read_text(item, path, "call_id")?;
    let text = read_content(reading, item.get("output"), &format!("{path}.output"))?;
    Ok(Message {
        role: Role::Tool,
        name: Some(name),
        text,
    })
}
