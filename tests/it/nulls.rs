//! Null in an optional field means absent: on every endpoint, and in nested objects. A required field is reported.

use serde_json::{Value, json};

use crate::support::{Gateway, KEY, error_of, for_each, post};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const RESPONSES: &str = "/v1/responses";

/// A valid body for an endpoint, changed.
fn with(path: &str, changes: &Value) -> Value {
    let mut body = match path {
        CHAT => json!({ "model": "it-model", "messages": [{ "role": "user", "content": "hi" }] }),
        COMPLETIONS => json!({ "model": "it-model", "prompt": "hi" }),
        _ => json!({ "model": "it-model", "input": "hi" }),
    };
    let fields = changes.as_object().unwrap();
    body.as_object_mut().unwrap().extend(fields.clone());
    body
}

/// The fields of an endpoint's body according to the gateway's OpenAPI document, and whether they are required.
async fn fields_of(gateway: &Gateway, path: &str) -> Vec<(String, bool)> {
    let document: Value = gateway.get("/openapi.json").await.json().await.unwrap();
    let body = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
    let name = body["$ref"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let schema = &document["components"]["schemas"][name];
    let required = schema["required"].as_array().unwrap();
    let names = schema["properties"].as_object().unwrap().keys();
    names
        .map(|name| (name.clone(), required.contains(&json!(name))))
        .collect()
}

#[tokio::test]
async fn every_field_of_the_tables_may_be_null_unless_it_must_be_there() {
    let gateway = Gateway::start().await;
    for (path, fewest) in [(CHAT, 35), (COMPLETIONS, 15), (RESPONSES, 25)] {
        let fields = fields_of(&gateway, path).await;
        assert!(fields.len() >= fewest, "{path}: {fields:?}");
        for_each(fields, async |(name, required)| {
            let response = post(&gateway, path, &with(path, &json!({ name.as_str(): null }))).await;
            if required || (path == RESPONSES && name == "input") {
                let failure = error_of(response).await;
                assert_eq!((failure.kind, failure.field), ("invalid_request", Some(name)));
            } else {
                assert_eq!(response.status(), 200, "{path}: {name}");
                assert!(
                    response.headers().get("x-duogate-ignored").is_none(),
                    "{path}: {name}"
                );
            }
        })
        .await;
    }
    gateway.settled().await;
    gateway.stop().await;
}

/// Null or an empty list where it has no meaning.
fn nothing() -> Vec<(&'static str, Value)> {
    let none = "none";
    let function = json!({ "name": "f", "description": null, "parameters": null, "strict": null });
    let history = json!([
        { "role": "user", "name": null, "content": [{ "type": "text", "text": "a", "prompt_cache_breakpoint": null }] },
        { "role": "assistant", "content": null, "name": null, "refusal": null, "audio": null, "function_call": null,
          "tool_calls": null, "annotations": null, "reasoning_content": null },
        { "role": "assistant", "content": "b", "tool_calls": [
            { "id": null, "type": null, "function": { "name": "f", "arguments": null }, "custom": null }] },
        { "role": "assistant", "content": null, "function_call": { "name": null, "arguments": null } },
        { "role": "function", "name": "f", "content": null },
        { "role": "tool", "tool_call_id": null, "name": null, "content": "42" },
    ]);
    vec![
        (CHAT, json!({ "messages": history })),
        (CHAT, json!({ "stop": [] })),
        (CHAT, json!({ "functions": [], "modalities": [], "tools": [] })),
        (
            CHAT,
            json!({ "tools": [{ "type": "function", "function": function }], "tool_choice": none }),
        ),
        (
            CHAT,
            json!({ "tools": [{ "type": "custom", "custom": { "name": "c", "description": null, "format": null } }], "tool_choice": none }),
        ),
        (CHAT, json!({ "functions": [function], "function_call": none })),
        (
            CHAT,
            json!({ "response_format": { "type": "text", "json_schema": null } }),
        ),
        (
            CHAT,
            json!({ "stream": true, "stream_options": { "include_usage": null, "include_obfuscation": null } }),
        ),
        (COMPLETIONS, json!({ "stop": [] })),
        (
            COMPLETIONS,
            json!({ "stream": true, "stream_options": { "include_usage": null } }),
        ),
        (
            RESPONSES,
            json!({ "text": { "format": null, "verbosity": null } }),
        ),
        (
            RESPONSES,
            json!({ "text": { "format": { "type": "text", "name": null } } }),
        ),
        (
            RESPONSES,
            json!({ "stream": true, "stream_options": { "include_obfuscation": null } }),
        ),
        (
            RESPONSES,
            json!({ "tools": [{ "type": "function", "name": "f", "parameters": null }], "tool_choice": none }),
        ),
        (
            RESPONSES,
            json!({ "input": [
            { "role": "user", "content": "hi", "type": null, "id": null, "status": null, "phase": null },
            { "type": "reasoning", "id": null, "summary": null, "content": null, "encrypted_content": null, "status": null },
            { "type": "function_call", "id": null, "call_id": null, "name": "f", "arguments": "{}", "status": null },
            { "type": "function_call_output", "id": null, "call_id": "c1", "output": "42", "status": null },
        ] }),
        ),
    ]
}

#[tokio::test]
async fn null_inside_of_objects_and_empty_lists_mean_nothing() {
    let gateway = Gateway::start().await;
    for_each(nothing(), async |(path, changes)| {
        let response = post(&gateway, path, &with(path, &changes)).await;
        assert_eq!(response.status(), 200, "{path}: {changes}");
        let ignored = response.headers().get("x-duogate-ignored").cloned();
        assert_eq!(ignored, None, "{path}: {changes}");
    })
    .await;
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn null_inside_of_hints_is_taken() {
    let gateway = Gateway::start().await;
    let hints = [
        (
            CHAT,
            json!({ "prompt_cache_options": { "mode": null, "ttl": null } }),
        ),
        (
            RESPONSES,
            json!({ "reasoning": { "effort": null, "summary": null, "generate_summary": null } }),
        ),
        (
            RESPONSES,
            json!({ "prompt_cache_options": { "mode": null, "ttl": null } }),
        ),
    ];
    for_each(hints, async |(path, hint)| {
        let response = post(&gateway, path, &with(path, &hint)).await;
        assert_eq!(response.status(), 200, "{path}: {hint}");
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn null_of_what_must_be_there_is_told_by_its_path() {
    let gateway = Gateway::start().await;
    let user = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
    let item = |item: Value| json!({ "input": [item] });
    let cases = [
        (CHAT, user(Value::Null), "messages[0].content"),
        (
            CHAT,
            json!({ "messages": [{ "role": null, "content": "hi" }] }),
            "messages[0].role",
        ),
        (CHAT, json!({ "messages": [null] }), "messages[0]"),
        (CHAT, user(json!([null])), "messages[0].content[0]"),
        (
            CHAT,
            user(json!([{ "type": null }])),
            "messages[0].content[0].type",
        ),
        (
            CHAT,
            user(json!([{ "type": "text", "text": null }])),
            "messages[0].content[0].text",
        ),
        (CHAT, json!({ "stop": [null] }), "stop[0]"),
        (
            CHAT,
            json!({ "response_format": { "type": null } }),
            "response_format.type",
        ),
        (COMPLETIONS, json!({ "prompt": ["a", null] }), "prompt[1]"),
        (
            RESPONSES,
            item(json!({ "role": "user", "content": null })),
            "input[0].content",
        ),
        (
            RESPONSES,
            item(json!({ "type": "message", "role": null, "content": "hi" })),
            "input[0].role",
        ),
        (
            RESPONSES,
            item(json!({ "type": "item_reference", "id": null })),
            "input[0].id",
        ),
        (
            RESPONSES,
            item(json!({ "type": null, "role": null, "id": null })),
            "input[0].type",
        ),
        (
            RESPONSES,
            item(json!({ "type": "function_call", "name": null, "arguments": "{}" })),
            "input[0].name",
        ),
    ];
    for_each(cases, async |(path, changes, field)| {
        let request = gateway.web.post(gateway.url(path)).bearer_auth(KEY);
        let response = request.json(&with(path, &changes)).send().await.unwrap();
        let failure = error_of(response).await;
        assert_eq!(
            (failure.kind, failure.field.as_deref()),
            ("invalid_request", Some(field)),
            "{changes}"
        );
    })
    .await;
    assert!(gateway.sim.counts().calls.is_empty());
    gateway.stop().await;
}
