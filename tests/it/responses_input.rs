//! Input of the responses endpoint: all its forms, fields rejected by name, and fields omitted.

use duogate::config::{Settings, UnsupportedParams};
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, error_of, events_of, for_each, post};

const PATH: &str = "/v1/responses";

fn body(more: Value) -> Value {
    let mut body = json!({ "model": "it-model", "input": "one two" });
    let Value::Object(more) = more else {
        panic!("not an object: {more}");
    };
    body.as_object_mut().unwrap().extend(more);
    body
}

#[tokio::test]
async fn input_is_read_in_every_form() {
    let gateway = Gateway::start().await;
    let user = |content: Value| json!({ "role": "user", "content": content });
    let cases = [
        (json!({ "input": "hi" }), "hi"),
        (json!({ "input": [user(json!("hi"))] }), "hi"),
        (
            json!({ "input": [{ "type": "message", "role": "user", "content": "hi" }] }),
            "hi",
        ),
        (
            json!({ "input": [user(json!([{ "type": "input_text", "text": "a" }, { "type": "input_text", "text": "b" }]))] }),
            "ab",
        ),
        (
            json!({ "instructions": "Be brief.", "input": "hi" }),
            "System: Be brief.\n\nUser: hi",
        ),
        (json!({ "instructions": "", "input": "hi" }), "hi"),
        (
            json!({ "input": [
                { "role": "developer", "content": "Be brief." },
                { "role": "system", "content": "Be kind." },
                user(json!("hi")),
                { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" },
                { "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                  "content": [{ "type": "output_text", "text": "Hello.", "annotations": [], "logprobs": [] }] },
                { "role": "assistant", "content": [{ "type": "refusal", "refusal": "No." }] },
                user(json!("why?")),
            ] }),
            "System: Be brief.\n\nSystem: Be kind.\n\nUser: hi\n\nAssistant: Hello.\n\nAssistant: No.\n\nUser: why?",
        ),
        (
            json!({ "input": [
                user(json!("weather?")),
                { "type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}", "status": "completed" },
                { "type": "function_call_output", "call_id": "c1", "output": "rain" },
                { "type": "custom_tool_call", "call_id": "c2", "name": "sing", "input": "la" },
                { "type": "custom_tool_call_output", "call_id": "c2", "output": [{ "type": "input_text", "text": "la la" }] },
            ] }),
            "User: weather?\n\nAssistant: [called look({})]\n\nTool (c1): rain\n\nAssistant: [called sing(la)]\n\nTool (c2): la la",
        ),
    ];
    for_each(cases, async |(more, said)| {
        for stream in [false, true] {
            let mut body = body(more.clone());
            body["stream"] = json!(stream);
            let text = post(&gateway, PATH, &body).await.text().await.unwrap();
            let answer = if stream {
                events_of(&text, true).pop().unwrap()["response"].clone()
            } else {
                serde_json::from_str(&text).unwrap()
            };
            assert_eq!(answer["status"], "completed", "{answer}");
            assert_eq!(
                answer["output"][0]["content"][0]["text"],
                format!("You said: {said}")
            );
        }
    })
    .await;
    gateway.settled().await;
    gateway.stop().await;
}

fn bad() -> Vec<(Value, &'static str, &'static str)> {
    let invalid = "invalid_request";
    let unsupported = "unsupported_parameter";
    let item = |item: Value| json!({ "input": [item] });
    let part = |part: Value| json!({ "input": [{ "role": "user", "content": [part] }] });
    vec![
        (json!({ "model": null }), invalid, "model"),
        (json!({ "model": "" }), invalid, "model"),
        (json!({ "input": null }), invalid, "input"),
        (json!({ "input": [] }), invalid, "input"),
        (json!({ "input": "" }), invalid, "input"),
        (json!({ "input": 3 }), invalid, "input"),
        (json!({ "input": ["hi"] }), invalid, "input[0]"),
        (item(json!({})), invalid, "input[0].type"),
        (item(json!({ "type": 3 })), invalid, "input[0].type"),
        (item(json!({ "type": "program" })), unsupported, "input[0].type"),
        (
            item(json!({ "type": "message", "content": "hi" })),
            invalid,
            "input[0].role",
        ),
        (
            item(json!({ "role": "robot", "content": "hi" })),
            invalid,
            "input[0].role",
        ),
        (item(json!({ "role": "user" })), invalid, "input[0].content"),
        (
            item(json!({ "role": "user", "content": null })),
            invalid,
            "input[0].content",
        ),
        (part(json!("hi")), invalid, "input[0].content[0]"),
        (part(json!({})), invalid, "input[0].content[0].type"),
        (
            part(json!({ "type": "hologram", "text": "x" })),
            unsupported,
            "input[0].content[0]",
        ),
        (
            part(json!({ "type": "input_text" })),
            invalid,
            "input[0].content[0].text",
        ),
        (
            part(json!({ "type": "input_text", "text": 1 })),
            invalid,
            "input[0].content[0].text",
        ),
        (
            part(json!({ "type": "input_image", "image_url": "x" })),
            unsupported,
            "input[0].content[0]",
        ),
        (
            part(json!({ "type": "input_file", "file_id": "x" })),
            unsupported,
            "input[0].content[0]",
        ),
        (
            item(json!({ "type": "web_search_call" })),
            unsupported,
            "input[0].type",
        ),
        (
            item(json!({ "type": "function_call", "name": "f", "arguments": 1 })),
            invalid,
            "input[0].arguments",
        ),
        (
            item(json!({ "type": "function_call", "arguments": "{}" })),
            invalid,
            "input[0].name",
        ),
        (
            item(json!({ "type": "custom_tool_call_output", "output": "x" })),
            invalid,
            "input[0].call_id",
        ),
        (
            item(json!({ "type": "function_call_output", "call_id": "c" })),
            invalid,
            "input[0].output",
        ),
        (item(json!({ "type": "item_reference" })), invalid, "input[0].id"),
        (
            item(json!({ "type": "item_reference", "id": "msg_no" })),
            "not_found",
            "input[0].id",
        ),
        (item(json!({ "id": "msg_no" })), "not_found", "input[0].id"),
        (json!({ "instructions": ["x"] }), invalid, "instructions"),
        (json!({ "max_output_tokens": 15 }), invalid, "max_output_tokens"),
        (json!({ "max_output_tokens": 16.5 }), invalid, "max_output_tokens"),
        (json!({ "temperature": 3 }), invalid, "temperature"),
        (json!({ "top_p": 2 }), invalid, "top_p"),
        (json!({ "metadata": { "a": 1 } }), invalid, "metadata.a"),
        (json!({ "store": "yes" }), invalid, "store"),
        (json!({ "stream_options": {} }), invalid, "stream_options"),
        (
            json!({ "reasoning": { "effort": 7 } }),
            invalid,
            "reasoning.effort",
        ),
        (json!({ "include": [7] }), invalid, "include[0]"),
        (json!({ "text": { "verbosity": 7 } }), invalid, "text.verbosity"),
        (json!({ "text": 7 }), invalid, "text"),
        (json!({ "text": { "format": {} } }), invalid, "text.format.type"),
        (
            json!({ "text": { "format": { "type": "json_object" } } }),
            unsupported,
            "text.format",
        ),
        (
            json!({ "text": { "format": { "type": "json_schema", "name": "x", "schema": {} } } }),
            unsupported,
            "text.format",
        ),
        (
            json!({ "text": { "format": { "type": "yaml" } } }),
            unsupported,
            "text.format",
        ),
        (
            json!({ "tools": [{ "type": "function", "name": "f" }] }),
            unsupported,
            "tools",
        ),
        (json!({ "tools": [{ "type": "program" }] }), unsupported, "tools"),
        (json!({ "tool_choice": "perhaps" }), unsupported, "tool_choice"),
        (json!({ "tool_choice": "required" }), unsupported, "tool_choice"),
        (json!({ "background": true }), unsupported, "background"),
        (json!({ "conversation": "conv_1" }), unsupported, "conversation"),
        (json!({ "prompt": { "id": "pmpt_1" } }), unsupported, "prompt"),
        (
            json!({ "include": ["message.output_text.logprobs"] }),
            unsupported,
            "include",
        ),
        (json!({ "top_logprobs": 1 }), unsupported, "top_logprobs"),
        (
            json!({ "moderation": { "model": "m" } }),
            unsupported,
            "moderation",
        ),
        (
            json!({ "previous_response_id": 3 }),
            invalid,
            "previous_response_id",
        ),
        (
            json!({ "previous_response_id": "resp_no" }),
            "not_found",
            "previous_response_id",
        ),
    ]
}

#[tokio::test]
async fn a_bad_request_is_told_with_the_field_that_is_at_fault() {
    let gateway = Gateway::start().await;
    for_each(bad(), async |(more, kind, field)| {
        let failure = error_of(post(&gateway, PATH, &body(more)).await).await;
        assert_eq!((failure.kind, failure.field.as_deref()), (kind, Some(field)));
    })
    .await;
    assert_eq!(gateway.sim.counts().conversations_made, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_supported_can_be_left_out_and_is_named() {
    let lenient = |settings: &mut Settings| settings.unsupported_params = UnsupportedParams::Ignore;
    let gateway = Setup::new().settings(lenient).start().await;
    let unsupported = bad()
        .into_iter()
        .filter(|(_, kind, _)| *kind == "unsupported_parameter");
    for_each(unsupported, async |(more, _, field)| {
        // A hosted tool's item is the whole input.
        if field == "input[0].type" {
            return;
        }
        let response = post(&gateway, PATH, &body(more)).await;
        assert_eq!(response.status(), 200, "{field}");
        let named = response.headers()["x-duogate-ignored"]
            .to_str()
            .unwrap()
            .to_owned();
        let part = field.starts_with("input[0].content");
        assert!(
            named
                .split(", ")
                .any(|name| name == field || part && (name.starts_with("input_") || name == "hologram")),
            "{named}"
        );
    })
    .await;
    let image = json!({ "type": "input_image", "image_url": "x" });
    let text = json!({ "type": "input_text", "text": "see: " });
    let asked = body(
        json!({ "input": [{ "role": "user", "content": [text, image] }, { "type": "web_search_call" }] }),
    );
    let response = post(&gateway, PATH, &asked).await;
    assert_eq!(response.headers()["x-duogate-ignored"], "input_image, input");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(
        answer["output"][0]["content"][0]["text"],
        "You said: see: [image]"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn settings_without_effect_are_taken_and_named() {
    let gateway = Gateway::start().await;
    for (more, ignored) in [
        (
            json!({ "tools": [], "tool_choice": "auto", "background": false, "include": null }),
            None,
        ),
        (
            json!({ "text": { "format": { "type": "text" } }, "unheard_of": 1, "top_logprobs": 0 }),
            None,
        ),
        (
            json!({ "temperature": 1, "text": { "verbosity": "low" }, "truncation": "auto" }),
            Some("text.verbosity, temperature, truncation"),
        ),
        (
            json!({ "text": { "verbosity": "loud" }, "truncation": "some", "reasoning": { "effort": "huge" },
                "include": ["everything"], "service_tier": "gold" }),
            Some("text.verbosity, truncation, reasoning, include, service_tier"),
        ),
    ] {
        for stream in [false, true] {
            let mut body = body(more.clone());
            body["stream"] = json!(stream);
            let response = post(&gateway, PATH, &body).await;
            assert_eq!(response.status(), 200);
            let named = response.headers().get("x-duogate-ignored");
            let named = named.map(|value| {
                let mut names: Vec<&str> = value.to_str().unwrap().split(", ").collect();
                names.sort_unstable();
                names.join(", ")
            });
            let mut wanted: Vec<&str> = ignored.into_iter().flat_map(|names| names.split(", ")).collect();
            wanted.sort_unstable();
            assert_eq!(named.unwrap_or_default(), wanted.join(", "));
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_input_that_is_too_long_is_named_as_the_input() {
    let short = |settings: &mut Settings| settings.max_prompt_bytes = 1024;
    let gateway = Setup::new().settings(short).start().await;
    for stream in [false, true] {
        let body = body(json!({ "input": "x".repeat(1025), "stream": stream }));
        let failure = error_of(post(&gateway, PATH, &body).await).await;
        assert_eq!(failure.kind, "context_length_exceeded");
        assert_eq!(failure.field.as_deref(), Some("input"));
    }
    gateway.stop().await;
}
