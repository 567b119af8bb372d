//! Invalid requests beyond the table of fields: errors inside fields, and bodies that are not JSON objects.

use serde_json::{Map, Value, json};

use super::{good, with};

/// Errors inside the fields.
pub(super) fn nested() -> Vec<(String, Option<String>)> {
    let message = |more: Value| {
        let mut message = json!({ "role": "user", "content": "hi" });
        message
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!([message])
    };
    let many = |count: usize| {
        (0..count)
            .map(|key| (key.to_string(), json!("v")))
            .collect::<Map<_, _>>()
    };
    let long = "k".repeat(65);
    let schema = |schema: Value| json!({ "type": "json_schema", "json_schema": schema });
    let rows = [
        ("stop", json!(7), "stop"),
        ("stop", json!({}), "stop"),
        ("stop", json!(""), "stop"),
        ("stop", json!(["a", ""]), "stop[1]"),
        ("stop", json!(["a", 7]), "stop[1]"),
        ("stop", json!(["a", null]), "stop[1]"),
        ("stop", json!(["a", "b", "c", "d", "e"]), "stop"),
        ("logit_bias", json!({ "50256": 101 }), "logit_bias.50256"),
        ("logit_bias", json!({ "50256": -100.5 }), "logit_bias.50256"),
        // The value parsed from one below the smallest 64-bit integer.
        ("seed", json!(-9_223_372_036_854_775_808.0), "seed"),
        ("logit_bias", json!({ "50256": "x" }), "logit_bias.50256"),
        ("metadata", json!(many(17)), "metadata"),
        ("metadata", json!({ "k": 7 }), "metadata.k"),
        ("metadata", json!({ "k": "v".repeat(513) }), "metadata.k"),
        ("metadata", json!({ long: "v" }), "metadata"),
        ("seed", json!(1.5), "seed"),
        ("seed", json!("1"), "seed"),
        ("seed", json!(u64::MAX), "seed"),
        ("seed", json!(-1e19), "seed"),
        ("audio", json!({ "voice": 7, "format": "mp3" }), "audio.voice"),
        ("moderation", json!({ "model": 7 }), "moderation.model"),
        ("prediction", json!({ "content": "x" }), "prediction.type"),
        (
            "prediction",
            json!({ "type": "content", "content": 7 }),
            "prediction.content",
        ),
        ("response_format", json!({}), "response_format.type"),
        ("response_format", json!({ "type": null }), "response_format.type"),
        ("response_format", schema(json!(7)), "response_format.json_schema"),
        (
            "response_format",
            schema(json!({ "name": "" })),
            "response_format.json_schema.name",
        ),
        (
            "response_format",
            schema(json!({ "schema": 7 })),
            "response_format.json_schema.schema",
        ),
        (
            "response_format",
            schema(json!({ "strict": "x" })),
            "response_format.json_schema.strict",
        ),
        ("tools", json!([{}]), "tools[0].type"),
        (
            "tools",
            json!([{ "type": "function", "function": 7 }]),
            "tools[0].function",
        ),
        (
            "tools",
            json!([{ "type": "function", "function": { "name": 7 } }]),
            "tools[0].function.name",
        ),
        (
            "tools",
            json!([{ "type": "custom", "custom": [] }]),
            "tools[0].custom",
        ),
        ("tool_choice", json!(7), "tool_choice"),
        ("tool_choice", json!({}), "tool_choice.type"),
        (
            "tool_choice",
            json!({ "type": "function", "function": 7 }),
            "tool_choice.function",
        ),
        ("function_call", json!({ "name": 7 }), "function_call.name"),
        (
            "stream_options",
            json!({ "include_usage": true }),
            "stream_options",
        ),
        ("messages", message(json!({ "name": 7 })), "messages[0].name"),
        (
            "messages",
            message(json!({ "name": "n".repeat(1_000_000) })),
            "messages[0].name",
        ),
        (
            "messages",
            message(json!({ "role": "r".repeat(1_000_000) })),
            "messages[0].role",
        ),
        (
            "messages",
            message(json!({ "tool_calls": 7 })),
            "messages[0].tool_calls",
        ),
        (
            "messages",
            message(json!({ "tool_calls": [7] })),
            "messages[0].tool_calls[0]",
        ),
        (
            "messages",
            message(json!({ "tool_calls": [{ "function": 7 }] })),
            "messages[0].tool_calls[0].function",
        ),
        (
            "messages",
            message(json!({ "function_call": "x" })),
            "messages[0].function_call",
        ),
        (
            "messages",
            message(json!({ "refusal": 7 })),
            "messages[0].refusal",
        ),
        (
            "messages",
            message(json!({ "tool_call_id": 7 })),
            "messages[0].tool_call_id",
        ),
        (
            "messages",
            message(json!({ "content": [{ "type": "text", "text": [] }] })),
            "messages[0].content[0].text",
        ),
        (
            "messages",
            message(json!({ "content": [{ "type": 7 }] })),
            "messages[0].content[0].type",
        ),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, value, field)| (with(name, value), Some(field.to_owned())));
    let mut rows: Vec<_> = rows.collect();
    for (options, field) in [
        (json!({ "include_usage": 1 }), "stream_options.include_usage"),
        (
            json!({ "include_obfuscation": "x" }),
            "stream_options.include_obfuscation",
        ),
    ] {
        let mut body = good();
        body.insert("stream".to_owned(), json!(true));
        body.insert("stream_options".to_owned(), options);
        rows.push((Value::Object(body).to_string(), Some(field.to_owned())));
    }
    rows
}

/// Malformed or unusual JSON.
pub(super) fn by_hand() -> Vec<(String, Option<String>)> {
    let good = Value::Object(good()).to_string();
    let put = |text: &str| good.replacen('{', &format!("{{{text},"), 1);
    let nested = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let broken = [
        good[..good.len() / 2].to_owned(),
        good[..good.len() - 1].to_owned(),
        good.replace("hi", "\\x"),
        good.replace("hi", "a\nb"),
        put("\"temperature\":-"),
        put("\"temperature\":01"),
        put("\"temperature\":NaN"),
        put("\"temperature\":Infinity"),
        put("\"seed\":0x10"),
        format!("{good}{good}"),
        format!("{good},"),
        "\0".repeat(1000),
        "{\"model\"}".to_owned(),
    ];
    let mut cases: Vec<_> = broken.into_iter().map(|body| (body, None)).collect();
    cases.extend([
        (put("\"model\":\"other\""), Some("model".to_owned())),
        (put("\"messages\":[]"), Some("messages".to_owned())),
        (put("\"n\":1,\"n\":2"), Some("n".to_owned())),
        (
            put(&format!("\"tools\":{}", nested(200))),
            Some("tools[0]".to_owned()),
        ),
        (
            put(&format!("\"messages\":{}", nested(1_000_000))),
            Some("messages".to_owned()),
        ),
        (
            put(&format!(
                "\"metadata\":{}1{}",
                "{\"a\":".repeat(10_000),
                "}".repeat(10_000)
            )),
            Some("metadata.a".to_owned()),
        ),
        (put("\"temperature\":1e999"), Some("temperature".to_owned())),
        (
            good.replace("hi", "\\ud800"),
            Some("messages[0].content".to_owned()),
        ),
        (put("\"n\":1e30"), Some("n".to_owned())),
        (put("\"n\":99999999999999999999999999"), Some("n".to_owned())),
        (
            put("\"max_tokens\":-99999999999999999999999999"),
            Some("max_tokens".to_owned()),
        ),
        (
            put("\"temperature\":123456789012345678901234567890"),
            Some("temperature".to_owned()),
        ),
        (
            with("model", json!("m".repeat(1_000_000))),
            Some("model".to_owned()),
        ),
    ]);
    cases
}
