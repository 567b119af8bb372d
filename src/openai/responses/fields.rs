//! The fields of `POST /v1/responses`, one row each.

use super::super::{
    fields::{
        BOOL, CACHE_OPTIONS, EFFORTS, Field, Fields, MANY, MODERATION, SAFETY_IDENTIFIER, TIERS, ignored,
        is_filled, is_word, needs, obeyed,
    },
    schema::{Key, Shape, TEXT, key, nullable, required},
};
use super::items::ITEM_NAME;
use serde_json::Value;

const TOOL: Shape = Shape::Object(&[key("type", TEXT)]);
const JSON_SCHEMA: &[Key] = &[
    key("name", Shape::Text(1, 64)),
    nullable("description", TEXT),
    nullable("schema", Shape::AnyObject),
    nullable("strict", BOOL),
];
const TEXT_OPTIONS: &[Key] = &[
    nullable(
        "format",
        Shape::Tagged(
            "type",
            &[("text", &[]), ("json_object", &[]), ("json_schema", JSON_SCHEMA)],
        ),
    ),
    nullable("verbosity", Shape::Word(&["low", "medium", "high"])),
];
const REASONING: &[Key] = &[
    nullable("effort", Shape::Word(EFFORTS)),
    nullable("summary", Shape::Word(&["auto", "concise", "detailed"])),
    nullable("generate_summary", Shape::Word(&["auto", "concise", "detailed"])),
];
const LOGPROBS: &str = "message.output_text.logprobs";
const INCLUDABLE: &[&str] = &[
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
    obeyed(nullable(
        "input",
        Shape::Either(&[TEXT, Shape::List(0, MANY, &Shape::Apart(ITEM_NAME))]),
    )),
    obeyed(nullable("instructions", TEXT)),
    obeyed(nullable("stream", BOOL)),
    obeyed(nullable(
        "stream_options",
        Shape::Object(&[nullable("include_obfuscation", BOOL)]),
    )),
    obeyed(nullable("max_output_tokens", Shape::Integer(16, i128::MAX))),
    obeyed(nullable("previous_response_id", TEXT)),
    obeyed(nullable("store", BOOL)),
    obeyed(nullable("metadata", Shape::Pairs(16, 64, &Shape::Text(0, 512)))),
    // Its format is looked at apart: part of it may be fine.
    obeyed(nullable("text", Shape::Object(TEXT_OPTIONS))),
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
        nullable("background", BOOL),
        "responses in the background",
        is_true,
        |_| false,
    ),
    needs(
        nullable("conversation", Shape::Either(&[TEXT, Shape::AnyObject])),
        "kept conversations; use 'previous_response_id'",
        |_, _| true,
        |_| false,
    ),
    needs(
        nullable("prompt", Shape::AnyObject),
        "prompt templates",
        |_, _| true,
        |_| false,
    ),
    needs(
        nullable("moderation", Shape::Object(MODERATION)),
        "moderation",
        |_, _| true,
        |can| can.moderation,
    ),
    needs(
        nullable("top_logprobs", Shape::Integer(0, 20)),
        "log probabilities",
        |asked, _| asked.as_f64().is_some_and(|many| many > 0.0),
        |can| can.logprobs,
    ),
    // What else can be included belongs to items that never occur here.
    needs(
        nullable("include", Shape::List(0, MANY, &Shape::Word(INCLUDABLE))),
        "log probabilities",
        |include, _| {
            include
                .as_array()
                .into_iter()
                .flatten()
                .any(|one| one == LOGPROBS)
        },
        |can| can.logprobs,
    ),
    ignored(nullable("temperature", Shape::Number(0.0, 2.0))),
    ignored(nullable("top_p", Shape::Number(0.0, 1.0))),
    ignored(nullable("reasoning", Shape::Object(REASONING))),
    ignored(nullable("parallel_tool_calls", BOOL)),
    ignored(nullable("max_tool_calls", Shape::Integer(0, i128::MAX))),
    ignored(nullable("truncation", Shape::Word(&["auto", "disabled"]))),
    ignored(nullable(
        "context_management",
        Shape::List(0, MANY, &Shape::AnyObject),
    )),
    ignored(nullable("service_tier", Shape::Word(TIERS))),
    ignored(nullable("prompt_cache_key", TEXT)),
    ignored(nullable("prompt_cache_options", Shape::Object(CACHE_OPTIONS))),
    ignored(nullable(
        "prompt_cache_retention",
        Shape::Word(&["in_memory", "in-memory", "24h"]),
    )),
    ignored(nullable("safety_identifier", SAFETY_IDENTIFIER)),
    ignored(nullable("user", TEXT)),
];

fn is_true(value: &Value, _: &Fields) -> bool {
    value == &Value::Bool(true)
}
