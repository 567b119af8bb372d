//! The fields of `POST /v1/completions`, one row each.

use super::super::{
    fields::{BOOL, Field, MANY, PENALTY, STREAM_OPTIONS, ignored, needs, obeyed},
    schema::{Shape, TEXT, key, required},
};

const TOKEN: Shape = Shape::Integer(0, u32::MAX as i128);
const PROMPT: Shape = Shape::Either(&[
    TEXT,
    Shape::List(
        1,
        MANY,
        &Shape::Either(&[TEXT, TOKEN, Shape::List(1, MANY, &TOKEN)]),
    ),
]);

/// Every field that is known, in the order in which their faults are told.
pub(in crate::openai) static COMPLETIONS: &[Field] = &[
    obeyed(required("model", TEXT)),
    obeyed(required("prompt", PROMPT)),
    obeyed(key("stream", BOOL)),
    obeyed(key("stream_options", Shape::Object(STREAM_OPTIONS))),
    obeyed(key("n", Shape::Integer(1, 128))),
    obeyed(key(
        "stop",
        Shape::Either(&[Shape::Text(1, MANY), Shape::List(0, 4, &Shape::Text(1, MANY))]),
    )),
    // None at all is an echo, or nothing.
    obeyed(key("max_tokens", Shape::Integer(0, i128::MAX))),
    obeyed(key("echo", BOOL)),
    needs(
        key("best_of", Shape::Integer(0, 20)),
        "the best of several completions",
        |best_of, fields| {
            let n = fields.get("n").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
            best_of.as_f64().is_none_or(|best_of| best_of > n)
        },
        |_| false,
    ),
    needs(
        key("logprobs", Shape::Integer(0, 5)),
        "log probabilities",
        // None besides the chosen token's is still one.
        |_, _| true,
        |can| can.logprobs,
    ),
    needs(
        key("suffix", TEXT),
        "text that goes on after the completion",
        |suffix, _| suffix.as_str().is_none_or(|suffix| !suffix.is_empty()),
        |_| false,
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
    ignored(key("user", TEXT)),
];
