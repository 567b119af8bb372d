//! The fields of `POST /v1/chat/completions`, one row each: what it may be, and what it means here.

use serde_json::{Map, Value};

use super::{
    messages::MESSAGE_NAME,
    schema::{Key, Shape, TEXT, key, required},
};
use crate::engine::provider::Capabilities;

/// What a field means here.
#[derive(Debug)]
pub(super) enum Use {
    /// It is obeyed.
    Obeyed,
    /// The upstream has no such setting: leaving it out changes the answer's flavour, not its meaning.
    Ignored,
    /// Leaving it out would change what the answer means.
    Needs(Need),
    /// An object whose fields mean different things.
    Parts(&'static [Field]),
}

/// Something that not every upstream can do.
#[derive(Debug)]
pub(super) struct Need {
    /// What it is, in words.
    pub(super) what: &'static str,
    /// Whether a request with this value really asks for it.
    pub(super) asked: fn(&Value, &Fields) -> bool,
    /// Whether the upstream can do it.
    pub(super) offered: fn(&Capabilities) -> bool,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: Key,
    pub(super) meaning: Use,
}

/// The fields of one request, those of the table only.
pub(super) type Fields = Map<String, Value>;

pub(super) const fn obeyed(key: Key) -> Field {
    Field {
        key,
        meaning: Use::Obeyed,
    }
}

pub(super) const fn ignored(key: Key) -> Field {
    Field {
        key,
        meaning: Use::Ignored,
    }
}

pub(super) const fn needs(
    key: Key,
    what: &'static str,
    asked: fn(&Value, &Fields) -> bool,
    offered: fn(&Capabilities) -> bool,
) -> Field {
    Field {
        key,
        meaning: Use::Needs(Need { what, asked, offered }),
    }
}

pub(super) const fn parts(name: &'static str, of: &'static [Field]) -> Field {
    Field {
        key: key(name, Shape::AnyObject),
        meaning: Use::Parts(of),
    }
}

pub(super) const BOOL: Shape = Shape::Bool;
/// No upper bound is known to OpenAI's clients.
pub(super) const TOKENS: Shape = Shape::Integer(1, i128::MAX);
pub(super) const PENALTY: Shape = Shape::Number(-2.0, 2.0);
pub(super) const MANY: usize = usize::MAX;
const AUDIO_FORMATS: &[&str] = &["wav", "aac", "mp3", "flac", "opus", "pcm16"];
/// OpenAI's specification says 64, the texts of its SDKs 128.
pub(super) const SAFETY_IDENTIFIER: Shape = Shape::Text(0, 128);

const FUNCTION: &[Key] = &[
    key("name", Shape::Text(1, 64)),
    key("description", TEXT),
    key("parameters", Shape::AnyObject),
    key("strict", BOOL),
];
const TOOL: Shape = Shape::Tagged(
    "type",
    &[
        ("function", &[key("function", Shape::Object(FUNCTION))]),
        (
            "custom",
            &[key(
                "custom",
                Shape::Object(&[key("name", TEXT), key("description", TEXT)]),
            )],
        ),
    ],
);
const NAMED: &[Key] = &[key("name", TEXT)];
const TOOL_CHOICE: &[Shape] = &[
    Shape::Word(&["none", "auto", "required"]),
    Shape::Tagged(
        "type",
        &[
            ("function", &[key("function", Shape::Object(NAMED))]),
            ("custom", &[key("custom", Shape::Object(NAMED))]),
            (
                "allowed_tools",
                &[key(
                    "allowed_tools",
                    Shape::Object(&[
                        key("mode", Shape::Word(&["auto", "required"])),
                        key("tools", Shape::List(0, MANY, &Shape::AnyObject)),
                    ]),
                )],
            ),
        ],
    ),
];
const JSON_SCHEMA: &[Key] = &[
    key("name", Shape::Text(1, 64)),
    key("description", TEXT),
    key("schema", Shape::AnyObject),
    key("strict", BOOL),
];
const RESPONSE_FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", &[]),
        ("json_object", &[]),
        ("json_schema", &[key("json_schema", Shape::Object(JSON_SCHEMA))]),
    ],
);
const AUDIO: &[Key] = &[
    key("voice", Shape::Either(&[TEXT, Shape::AnyObject])),
    key("format", Shape::Word(AUDIO_FORMATS)),
];
pub(super) const MODERATION: &[Key] = &[
    key("model", TEXT),
    key(
        "policy",
        Shape::Object(&[
            key("input", Shape::Object(MODERATED)),
            key("output", Shape::Object(MODERATED)),
        ]),
    ),
];
const MODERATED: &[Key] = &[key("mode", Shape::Word(&["score", "block"]))];
pub(super) const STREAM_OPTIONS: &[Key] = &[key("include_usage", BOOL), key("include_obfuscation", BOOL)];
const PREDICTION: Shape = Shape::Tagged(
    "type",
    &[(
        "content",
        &[key(
            "content",
            Shape::Either(&[TEXT, Shape::List(1, MANY, &Shape::AnyObject)]),
        )],
    )],
);
pub(super) const CACHE_OPTIONS: &[Key] = &[
    key("mode", TEXT),
    key("ttl", Shape::Either(&[TEXT, Shape::Integer(0, i128::MAX)])),
];
const WEB_SEARCH: &[Key] = &[
    key("search_context_size", Shape::Word(&["low", "medium", "high"])),
    key("user_location", Shape::AnyObject),
];
pub(super) const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];
pub(super) const TIERS: &[&str] = &["auto", "default", "flex", "scale", "priority", "fast"];

/// Every field that is known, in the order in which their faults are told.
pub(super) static CHAT: &[Field] = &[
    obeyed(required("model", TEXT)),
    obeyed(required(
        "messages",
        Shape::List(1, MANY, &Shape::Apart(MESSAGE_NAME)),
    )),
    obeyed(key("stream", BOOL)),
    obeyed(key("stream_options", Shape::Object(STREAM_OPTIONS))),
    obeyed(key("n", Shape::Integer(1, 128))),
    obeyed(key(
        "stop",
        Shape::Either(&[Shape::Text(1, MANY), Shape::List(0, 4, &Shape::Text(1, MANY))]),
    )),
    obeyed(key("max_completion_tokens", TOKENS)),
    obeyed(key("max_tokens", TOKENS)),
    needs(
        key("tools", Shape::List(0, 128, &TOOL)),
        "tools",
        |tools, fields| is_filled(tools) && !is_word(fields.get("tool_choice"), &["none"]),
        |can| can.tools,
    ),
    needs(
        key("tool_choice", Shape::Either(TOOL_CHOICE)),
        "a choice of tools",
        |choice, fields| {
            !is_word(Some(choice), &["none", "auto"])
                || (is_word(Some(choice), &["auto"]) && fields.get("tools").is_some_and(is_filled))
        },
        |can| can.tools,
    ),
    needs(
        key("functions", Shape::List(0, 128, &Shape::Object(FUNCTION))),
        "functions",
        |functions, fields| is_filled(functions) && !is_word(fields.get("function_call"), &["none"]),
        |can| can.tools,
    ),
    needs(
        key(
            "function_call",
            Shape::Either(&[Shape::Word(&["none", "auto"]), Shape::Object(NAMED)]),
        ),
        "a choice of functions",
        |choice, fields| {
            !is_word(Some(choice), &["none", "auto"])
                || (is_word(Some(choice), &["auto"]) && fields.get("functions").is_some_and(is_filled))
        },
        |can| can.tools,
    ),
    needs(
        key("response_format", RESPONSE_FORMAT),
        "response formats other than text",
        |format, _| !is_word(format.get("type"), &["text"]),
        |can| can.response_formats,
    ),
    needs(
        key("logprobs", BOOL),
        "log probabilities",
        |asked, _| asked != &Value::Bool(false),
        |can| can.logprobs,
    ),
    needs(
        key("top_logprobs", Shape::Integer(0, 20)),
        "log probabilities",
        |asked, _| asked.as_f64() != Some(0.0),
        |can| can.logprobs,
    ),
    needs(
        key("audio", Shape::Object(AUDIO)),
        "audio",
        |_, _| true,
        |can| can.audio,
    ),
    needs(
        key("modalities", Shape::List(0, 2, &Shape::Word(&["text", "audio"]))),
        "modalities other than text",
        |modalities, _| {
            let all = modalities.as_array();
            all.is_none_or(|all| all.iter().any(|one| one != "text"))
        },
        |can| can.audio,
    ),
    needs(
        key("web_search_options", Shape::Object(WEB_SEARCH)),
        "web search",
        |_, _| true,
        |can| can.web_search,
    ),
    needs(
        key("moderation", Shape::Object(MODERATION)),
        "moderation",
        |_, _| true,
        |can| can.moderation,
    ),
    ignored(key("temperature", Shape::Number(0.0, 2.0))),
    ignored(key("top_p", Shape::Number(0.0, 1.0))),
    ignored(key("frequency_penalty", PENALTY)),
    ignored(key("presence_penalty", PENALTY)),
    ignored(key(
        "logit_bias",
        Shape::Pairs(MANY, MANY, &Shape::Number(-100.0, 100.0)),
    )),
    ignored(key("seed", Shape::Integer(i64::MIN as i128, i64::MAX as i128))),
    ignored(key("metadata", Shape::Pairs(16, 64, &Shape::Text(0, 512)))),
    ignored(key("parallel_tool_calls", BOOL)),
    ignored(key("prediction", PREDICTION)),
    ignored(key("prompt_cache_key", TEXT)),
    ignored(key("prompt_cache_options", Shape::Object(CACHE_OPTIONS))),
    ignored(key(
        "prompt_cache_retention",
        Shape::Word(&["in_memory", "in-memory", "24h"]),
    )),
    ignored(key("reasoning_effort", Shape::Word(EFFORTS))),
    ignored(key("safety_identifier", SAFETY_IDENTIFIER)),
    ignored(key("service_tier", Shape::Word(TIERS))),
    ignored(key("store", BOOL)),
    ignored(key("user", TEXT)),
    ignored(key("verbosity", Shape::Word(&["low", "medium", "high"]))),
];

pub(super) fn is_word(value: Option<&Value>, words: &[&str]) -> bool {
    value
        .and_then(Value::as_str)
        .is_some_and(|word| words.contains(&word))
}

/// Whether anything but an empty list is there; whatever is left out may be anything.
pub(super) fn is_filled(list: &Value) -> bool {
    !list.is_null() && list.as_array().is_none_or(|items| !items.is_empty())
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
