//! A request's tools, the form of its answer and its hints, made the engine's. Their fields were checked before, or were
//! left out unjudged: a value of another type than expected counts as absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    fields::{Field, Fields, Use},
    request::Reading,
};
use crate::engine::{
    event::ToolKind,
    request::{Grammar, Hints, ResponseFormat, Tool, ToolChoice},
};

/// Hints that the engine has a type for; the others go on by their names.
const TYPED: &[&str] = &[
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "store",
    "metadata",
];

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn name_of(object: &Map<String, Value>) -> String {
    text(object, "name").unwrap_or_default()
}

/// Fields that have a place of their own in the request.
const APART: &[&str] = &[
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
];

/// Reads the hints among a request's fields. Fields that not every model offers are among them where this one does.
pub(super) fn read_hints(reading: &Reading<'_>, fields: &Fields, table: &[Field]) -> Hints {
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let truth = |name: &str| fields.get(name).and_then(Value::as_bool);
    let text = |name: &str| text(fields, name);
    let goes_on = |field: &&Field| match &field.meaning {
        Use::Ignored => true,
        Use::Needs(need) => (need.offered)(reading.capabilities),
        Use::Obeyed | Use::Parts(_) => false,
    };
    let names = table.iter().filter(goes_on).map(|field| field.key.name);
    let names = names.filter(|name| !TYPED.contains(name) && !APART.contains(name));
    let other = names.filter_map(|name| {
        let value = fields.get(name).filter(|value| !value.is_null())?;
        Some((name.to_owned(), value.clone()))
    });
    Hints {
        presence_penalty: number("presence_penalty"),
        frequency_penalty: number("frequency_penalty"),
        logit_bias: pairs(fields.get("logit_bias"), Value::as_f64),
        seed: fields.get("seed").and_then(Value::as_i64),
        parallel_tool_calls: truth("parallel_tool_calls"),
        reasoning_effort: text("reasoning_effort"),
        verbosity: text("verbosity"),
        service_tier: text("service_tier"),
        user: text("user"),
        safety_identifier: text("safety_identifier"),
        prompt_cache_key: text("prompt_cache_key"),
        store: truth("store"),
        metadata: pairs(fields.get("metadata"), |value| value.as_str().map(str::to_owned)),
        other: other.collect(),
    }
}

fn pairs<T>(object: Option<&Value>, read: impl Fn(&Value) -> Option<T>) -> BTreeMap<String, T> {
    let pairs = object.and_then(Value::as_object).into_iter().flatten();
    pairs
        .filter_map(|(name, value)| Some((name.clone(), read(value)?)))
        .collect()
}

/// Reads a chat's tools, the older functions among them, where the model can call any.
pub(super) fn read_tools(reading: &Reading<'_>, fields: &Fields) -> (Vec<Tool>, Option<ToolChoice>) {
    if !reading.capabilities.tools {
        return (Vec::new(), None);
    }
    let list = |name: &str| fields.get(name).and_then(Value::as_array).into_iter().flatten();
    let tools = list("tools").filter_map(read_tool);
    let functions = list("functions").filter_map(Value::as_object).map(function);
    let choice = fields.get("tool_choice").and_then(read_choice);
    let choice = choice.or_else(|| fields.get("function_call").and_then(read_choice));
    (tools.chain(functions).collect(), choice)
}

/// A tool of chat completions, where what it is stands under its type, or of responses, where it stands beside it.
fn read_tool(tool: &Value) -> Option<Tool> {
    let tool = tool.as_object()?;
    let kind = tool.get("type").and_then(Value::as_str);
    let inner = |name: &str| tool.get(name).and_then(Value::as_object).unwrap_or(tool);
    match kind {
        Some("function") => Some(function(inner("function"))),
        Some("custom") => Some(custom(inner("custom"))),
        Some(_) | None => None,
    }
}

fn function(object: &Map<String, Value>) -> Tool {
    Tool::Function {
        name: name_of(object),
        description: text(object, "description"),
        parameters: object.get("parameters").filter(|value| !value.is_null()).cloned(),
        strict: object.get("strict").and_then(Value::as_bool),
    }
}

fn custom(object: &Map<String, Value>) -> Tool {
    let grammar = object
        .get("format")
        .and_then(Value::as_object)
        .and_then(|format| {
            let format = format.get("grammar").and_then(Value::as_object).unwrap_or(format);
            Some(Grammar {
                syntax: text(format, "syntax")?,
                definition: text(format, "definition")?,
            })
        });
    Tool::Custom {
        name: name_of(object),
        description: text(object, "description"),
        grammar,
    }
}

fn read_choice(choice: &Value) -> Option<ToolChoice> {
    if let Some(word) = choice.as_str() {
        return match word {
            "none" => Some(ToolChoice::None),
            "auto" => Some(ToolChoice::Auto),
            "required" => Some(ToolChoice::Required),
            _ => None,
        };
    }
    let object = choice.as_object()?;
    if object.get("type").and_then(Value::as_str) == Some("allowed_tools") {
        let allowed = object.get("allowed_tools").and_then(Value::as_object);
        return read_allowed(allowed.unwrap_or(object));
    }
    let (kind, name) = read_reference(object)?;
    Some(ToolChoice::Named(kind, name))
}

fn read_allowed(allowed: &Map<String, Value>) -> Option<ToolChoice> {
    let tools = allowed.get("tools")?.as_array()?.iter();
    let tools = tools.filter_map(|tool| read_reference(tool.as_object()?));
    Some(ToolChoice::Allowed {
        required: text(allowed, "mode").as_deref() == Some("required"),
        tools: tools.collect(),
    })
}

/// A tool by its kind and name; a function where no kind is named.
fn read_reference(object: &Map<String, Value>) -> Option<(ToolKind, String)> {
    let (kind, key) = match object.get("type").and_then(Value::as_str) {
        Some("custom") => (ToolKind::Custom, "custom"),
        Some("function") | None => (ToolKind::Function, "function"),
        Some(_) => return None,
    };
    let inner = object.get(key).and_then(Value::as_object).unwrap_or(object);
    Some((kind, text(inner, "name")?))
}

/// Reads the form of the answer, where the model can give another than text. In responses the schema stands beside its
/// type.
pub(super) fn read_format(reading: &Reading<'_>, format: Option<&Value>) -> Option<ResponseFormat> {
    let format = format?.as_object()?;
    if !reading.capabilities.response_formats {
        return None;
    }
    match format.get("type").and_then(Value::as_str)? {
        "text" => Some(ResponseFormat::Text),
        "json_object" => Some(ResponseFormat::JsonObject),
        "json_schema" => {
            let inner = format.get("json_schema").and_then(Value::as_object);
            let inner = inner.unwrap_or(format);
            Some(ResponseFormat::JsonSchema {
                name: name_of(inner),
                description: text(inner, "description"),
                schema: inner.get("schema").filter(|value| !value.is_null()).cloned(),
                strict: inner.get("strict").and_then(Value::as_bool),
            })
        }
        _ => None,
    }
}
