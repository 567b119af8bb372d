//! The fields of `POST /v1/responses`, one row each.

use super::super::{
    fields::{
        BOOL, CACHE_OPTIONS, EFFORTS, Field, MANY, MODERATION, SAFETY_IDENTIFIER, TIERS, ignored, is_filled,
        is_word, needs, obeyed, parts,
    },
    schema::{Key, Shape, TEXT, key, required},
};
use super::items::ITEM_NAME;
use serde_json::Value;

const TOOL: Shape = Shape::Object(&[key("type", TEXT)]);
const JSON_SCHEMA: &[Key] = &[
    key("name", Shape::Text(1, 64)),
    key("description", TEXT),
    key("schema", Shape::AnyObject),
    key("strict", BOOL),
];
const TEXT_OPTIONS: &[Field] = &[
    needs(
        key(
            "format",
            Shape::Tagged(
                "type",
                &[("text", &[]), ("json_object", &[]), ("json_schema", JSON_SCHEMA)],
            ),
        ),
        "response formats other than text",
        |format, _| !is_word(format.get("type"), &["text"]),
        |can| can.response_formats,
    ),
    ignored(key("verbosity", Shape::Word(&["low", "medium", "high"]))),
];
const REASONING: &[Key] = &[
    key("effort", Shape::Word(EFFORTS)),
    key("summary", Shape::Word(&["auto", "concise", "detailed"])),
    key("generate_summary", Shape::Word(&["auto", "concise", "detailed"])),
];
const LOGPROBS: &str = "message.output_text.logprobs";
/// What can be asked to be included, as far as is known.
pub(super) const INCLUDABLE: &[&str] = &[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    LOGPROBS,
];

/// Every field that is known, in the order in which their faults are told.
pub(in crate::openai) static RESPONSES: &[Field] = &[
    obeyed(required("model", TEXT)),
    obeyed(key(
        "input",
        Shape::Either(&[TEXT, Shape::List(0, MANY, &Shape::Apart(ITEM_NAME))]),
    )),
    obeyed(key("instructions", TEXT)),
    obeyed(key("stream", BOOL)),
    obeyed(key(
        "stream_options",
        Shape::Object(&[key("include_obfuscation", BOOL)]),
    )),
    obeyed(key("max_output_tokens", Shape::Integer(16, i128::MAX))),
    obeyed(key("previous_response_id", TEXT)),
    obeyed(key("store", BOOL)),
    obeyed(key("metadata", Shape::Pairs(16, 64, &Shape::Text(0, 512)))),
    parts("text", TEXT_OPTIONS),
    needs(
        key("tools", Shape::List(0, MANY, &TOOL)),
        "tools",
        |tools, fields| is_filled(tools) && !is_word(fields.get("tool_choice"), &["none"]),
        |can| can.tools,
    ),
    needs(
        key(
            "tool_choice",
            Shape::Either(&[Shape::Word(&["none", "auto", "required"]), TOOL]),
        ),
        "a choice of tools",
        |choice, fields| match choice.as_str() {
            Some("none") => false,
            Some("auto") => fields.get("tools").is_some_and(is_filled),
            _ => true,
        },
        |can| can.tools,
    ),
    needs(
        key("background", BOOL),
        "responses in the background",
        |asked, _| asked != &Value::Bool(false),
        |_| false,
    ),
    needs(
        key("conversation", Shape::Either(&[TEXT, Shape::AnyObject])),
        "kept conversations; use 'previous_response_id'",
        |_, _| true,
        |_| false,
    ),
    needs(
        key("prompt", Shape::AnyObject),
        "prompt templates",
        |_, _| true,
        |_| false,
    ),
    needs(
        key("moderation", Shape::Object(MODERATION)),
        "moderation",
        |_, _| true,
        |can| can.moderation,
    ),
    needs(
        key("top_logprobs", Shape::Integer(0, 20)),
        "log probabilities",
        |asked, _| asked.as_f64() != Some(0.0),
        |can| can.logprobs,
    ),
    // What else can be included belongs to items that never occur here.
    needs(
        key("include", Shape::List(0, MANY, &Shape::Word(INCLUDABLE))),
        "log probabilities",
        |include, _| {
            let all = include.as_array();
            all.is_none_or(|all| all.iter().any(|one| one == LOGPROBS))
        },
        |can| can.logprobs,
    ),
    ignored(key("temperature", Shape::Number(0.0, 2.0))),
    ignored(key("top_p", Shape::Number(0.0, 1.0))),
    ignored(key("reasoning", Shape::Object(REASONING))),
    ignored(key("parallel_tool_calls", BOOL)),
    ignored(key("max_tool_calls", Shape::Integer(0, i128::MAX))),
    ignored(key("truncation", Shape::Word(&["auto", "disabled"]))),
    ignored(key("context_management", Shape::List(0, MANY, &Shape::AnyObject))),
    ignored(key("service_tier", Shape::Word(TIERS))),
    ignored(key("prompt_cache_key", TEXT)),
    ignored(key("prompt_cache_options", Shape::Object(CACHE_OPTIONS))),
    ignored(key(
        "prompt_cache_retention",
        Shape::Word(&["in_memory", "in-memory", "24h"]),
    )),
    ignored(key("safety_identifier", SAFETY_IDENTIFIER)),
    ignored(key("user", TEXT)),
];
