//! The items of a response's input, one row each: what they may hold.

use super::super::schema::{Key, Shape, TEXT, key, nullable, required};

/// The name of an item in the document.
pub(in crate::openai) const ITEM_NAME: &str = "ResponseInputItem";

const MANY: usize = usize::MAX;
const ROLES: &[&str] = &["user", "assistant", "system", "developer"];
const PART: Shape = Shape::Tagged(
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
    nullable("summary", Shape::List(0, MANY, &Shape::AnyObject)),
    nullable("content", Shape::List(0, MANY, &Shape::AnyObject)),
    nullable("encrypted_content", TEXT),
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
const CALL_OUTPUT: &[Key] = &[required("call_id", TEXT), required("output", CONTENT)];

/// What is read, by its type.
pub(in crate::openai) const ITEMS: &[(&str, &[Key])] = &[
    ("message", MESSAGE),
    ("item_reference", REFERENCE),
    ("reasoning", REASONING),
    ("function_call", FUNCTION_CALL),
    ("function_call_output", CALL_OUTPUT),
    ("custom_tool_call", CUSTOM_CALL),
    ("custom_tool_call_output", CALL_OUTPUT),
];

/// What OpenAI's own tools leave in a conversation.
pub(in crate::openai) const HOSTED: &[&str] = &[
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
