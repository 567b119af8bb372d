//! The items of a response's input, one row each: what they may hold.

use super::super::schema::{Key, Shape, TEXT, key, required};

/// The name of an item in the document.
pub(in crate::openai) const ITEM_NAME: &str = "ResponseInputItem";

const MANY: usize = usize::MAX;
const ROLES: &[&str] = &["user", "assistant", "system", "developer"];
const PART: Shape = Shape::Kinds(
    "type",
    &[
        ("input_text", &[required("text", TEXT)]),
        ("input_image", &[]),
        ("input_file", &[]),
        ("input_audio", &[]),
        ("output_text", &[required("text", TEXT)]),
        ("refusal", &[required("refusal", TEXT)]),
    ],
);
const CONTENT: Shape = Shape::Either(&[TEXT, Shape::List(0, MANY, &PART)]);

/// A message; its type may be left out.
pub(in crate::openai) const MESSAGE: &[Key] =
    &[required("role", Shape::Word(ROLES)), required("content", CONTENT)];
/// An item that is kept here; its type may be left out.
pub(in crate::openai) const REFERENCE: &[Key] = &[required("id", TEXT)];
const REASONING: &[Key] = &[
    key("summary", Shape::List(0, MANY, &Shape::AnyObject)),
    key("content", Shape::List(0, MANY, &Shape::AnyObject)),
    key("encrypted_content", TEXT),
];
const FUNCTION_CALL: &[Key] = &[
    key("call_id", TEXT),
    required("name", TEXT),
    required("arguments", TEXT),
];
const CUSTOM_CALL: &[Key] = &[
    key("call_id", TEXT),
    required("name", TEXT),
    required("input", TEXT),
];
const FUNCTION_OUTPUT: &[Key] = &[
    key("call_id", TEXT),
    key("name", TEXT),
    required("output", CONTENT),
];
const CUSTOM_OUTPUT: &[Key] = &[required("call_id", TEXT), required("output", CONTENT)];

/// What is read, by its type.
pub(in crate::openai) const ITEMS: &[(&str, &[Key])] = &[
    ("message", MESSAGE),
    ("item_reference", REFERENCE),
    ("reasoning", REASONING),
    ("function_call", FUNCTION_CALL),
    ("function_call_output", FUNCTION_OUTPUT),
    ("custom_tool_call", CUSTOM_CALL),
    ("custom_tool_call_output", CUSTOM_OUTPUT),
];
