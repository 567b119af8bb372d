//! Invalid input at the HTTP door: OpenAI's error format, with the field at fault.

use serde_json::{Value, json};

use crate::support::{Ask, Failure, Gateway, KEY, error_of};

async fn post(gateway: &Gateway, body: impl Into<reqwest::Body>) -> reqwest::Response {
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    let request = request.header("content-type", "application/json");
    request.body(body).send().await.unwrap()
}

async fn refused(gateway: &Gateway, body: impl Into<reqwest::Body>) -> Failure {
    let failure = error_of(post(gateway, body).await).await;
    assert_eq!((failure.should_retry, failure.retry_after), (Some(false), None));
    failure
}

/// A valid request with some fields replaced.
fn with(changes: &Value) -> Value {
    let mut body = Ask::new("hi").json(false);
    let fields = changes.as_object().unwrap();
    body.as_object_mut().unwrap().extend(fields.clone());
    body
}

/// A valid request with this one message.
fn message(message: &Value) -> Value {
    with(&json!({ "messages": [message] }))
}

/// A valid request with these content parts.
fn parts(parts: &Value) -> Value {
    message(&json!({ "role": "user", "content": parts }))
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let gateway = Gateway::start().await;
    let good = Ask::new("hi").json(false).to_string();
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!("{{\"model\": \"m\", \"messages\": {nested}}}");
    let deep_tools = good.replacen('{', &format!("{{\"tools\": {nested},"), 1);
    let half = &good[..good.len() / 2];
    let twice = format!("{good} {good}");
    let surrogate = good.replace("hi", "\\ud800");
    let control = good.replace("hi", "a\u{1}b");
    let number = good.replacen('{', "{\"temperature\": 1e999,", 1);
    for body in [
        "",
        " ",
        "{",
        "nonsense",
        "\u{feff}",
        half,
        &twice,
        &nested,
        &deep,
        &deep_tools,
        &surrogate,
        &control,
        &number,
        "{'model': 'm'}",
    ] {
        let failure = refused(&gateway, body.to_owned()).await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!(failure.kind, "invalid_request", "{shown}");
        assert!(failure.message.len() < 1000, "{shown}: {}", failure.message);
    }
    let mut not_text = good.into_bytes();
    let place = not_text.windows(2).position(|pair| pair == b"hi").unwrap();
    not_text[place] = 0xff;
    assert_eq!(refused(&gateway, not_text).await.kind, "invalid_request");
    gateway.stop().await;
}

#[tokio::test]
async fn json_of_another_kind_is_refused() {
    let gateway = Gateway::start().await;
    for body in ["null", "[]", "7", "\"text\"", "true"] {
        assert_eq!(refused(&gateway, body).await.kind, "invalid_request", "{body}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_field_at_fault_is_named() {
    let gateway = Gateway::start().await;
    let user = json!({ "role": "user", "content": "hi" });
    let long = "m".repeat(257);
    let table = [
        (json!({ "model": "m" }), "messages"),
        (json!({ "messages": [user] }), "model"),
        (with(&json!({ "model": null })), "model"),
        (with(&json!({ "model": "" })), "model"),
        (with(&json!({ "model": 7 })), "model"),
        (with(&json!({ "model": long })), "model"),
        (with(&json!({ "messages": null })), "messages"),
        (with(&json!({ "messages": [] })), "messages"),
        (with(&json!({ "messages": {} })), "messages"),
        (with(&json!({ "messages": "hi" })), "messages"),
        (with(&json!({ "messages": ["hi"] })), "messages[0]"),
        (
            message(&json!({ "role": "user", "content": "" })),
            "messages[0].content",
        ),
        // An array of a struct's values in order must not be taken for an object.
        (
            with(&json!({ "messages": [["user", "hi", null, null, null, null, null]] })),
            "messages[0]",
        ),
        (parts(&json!([["text", "hi", null]])), "messages[0].content[0]"),
        (with(&json!({ "messages": [user, null] })), "messages[1]"),
        (message(&json!({ "content": "hi" })), "messages[0].role"),
        (
            message(&json!({ "role": null, "content": "hi" })),
            "messages[0].role",
        ),
        (
            message(&json!({ "role": "wizard", "content": "hi" })),
            "messages[0].role",
        ),
        (
            message(&json!({ "role": 5, "content": "hi" })),
            "messages[0].role",
        ),
        (
            with(&json!({ "messages": [user, { "role": "", "content": "" }] })),
            "messages[1].role",
        ),
        (message(&json!({ "role": "user" })), "messages[0].content"),
        (
            message(&json!({ "role": "system", "content": null })),
            "messages[0].content",
        ),
        (
            message(&json!({ "role": "tool", "content": null })),
            "messages[0].content",
        ),
        (
            message(&json!({ "role": "user", "content": 5 })),
            "messages[0].content",
        ),
        (
            message(&json!({ "role": "user", "content": {} })),
            "messages[0].content",
        ),
        (parts(&json!([])), "messages[0].content"),
        (parts(&json!(["hi"])), "messages[0].content[0]"),
        (parts(&json!([{}])), "messages[0].content[0].type"),
        (parts(&json!([{ "type": "text" }])), "messages[0].content[0].text"),
        (
            parts(&json!([{ "type": "text", "text": null }])),
            "messages[0].content[0].text",
        ),
        (
            parts(&json!([{ "type": "text", "text": 7 }])),
            "messages[0].content[0].text",
        ),
        (
            parts(&json!([{ "type": "text", "text": "a" }, { "text": "b" }])),
            "messages[0].content[1].type",
        ),
        (with(&json!({ "temperature": 2.1 })), "temperature"),
        (with(&json!({ "temperature": -0.1 })), "temperature"),
        (with(&json!({ "temperature": "hot" })), "temperature"),
        (with(&json!({ "top_p": 1.01 })), "top_p"),
        (with(&json!({ "top_p": -1 })), "top_p"),
        (with(&json!({ "n": 0 })), "n"),
        (with(&json!({ "n": 129 })), "n"),
        (with(&json!({ "n": -1 })), "n"),
        (with(&json!({ "n": 1.5 })), "n"),
        (with(&json!({ "n": "1" })), "n"),
        (with(&json!({ "stream": "yes" })), "stream"),
        (
            with(&json!({ "stream_options": { "include_usage": true } })),
            "stream_options",
        ),
        (
            with(&json!({ "stream": true, "stream_options": 3 })),
            "stream_options",
        ),
        (
            with(&json!({ "stream": true, "stream_options": { "include_usage": 1 } })),
            "stream_options.include_usage",
        ),
    ];
    for (body, field) in table {
        let failure = refused(&gateway, body.to_string()).await;
        assert_eq!(failure.kind, "invalid_request", "{body}");
        assert_eq!(
            failure.field.as_deref(),
            Some(field),
            "{body}: {}",
            failure.message
        );
    }
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_text_service_cannot_give_is_refused_by_name() {
    let gateway = Gateway::start().await;
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let image = json!([{ "type": "image_url", "image_url": { "url": "data:," } }]);
    let table = [
        (with(&json!({ "n": 9 })), "n"),
        (with(&json!({ "n": 128 })), "n"),
        (with(&json!({ "tools": tool })), "tools"),
        (with(&json!({ "tools": tool, "tool_choice": "auto" })), "tools"),
        (with(&json!({ "functions": [{ "name": "f" }] })), "functions"),
        (
            with(&json!({ "response_format": { "type": "json_object" } })),
            "response_format",
        ),
        (
            with(&json!({ "response_format": { "type": "json_schema" } })),
            "response_format",
        ),
        (with(&json!({ "logprobs": true })), "logprobs"),
        (
            with(&json!({ "audio": { "voice": "x", "format": "mp3" } })),
            "audio",
        ),
        (with(&json!({ "modalities": ["text", "audio"] })), "modalities"),
        (parts(&image), "messages[0].content[0]"),
        (parts(&json!([{ "type": "hologram" }])), "messages[0].content[0]"),
        (
            parts(&json!([{ "type": "text", "text": "a" }, { "type": "file" }])),
            "messages[0].content[1]",
        ),
    ];
    for (body, field) in table {
        let failure = refused(&gateway, body.to_string()).await;
        assert_eq!(failure.kind, "unsupported_parameter", "{body}");
        assert_eq!(failure.field.as_deref(), Some(field), "{body}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_clients_send_besides_is_taken_as_openai_takes_it() {
    let gateway = Gateway::start().await;
    let history = json!([
        { "role": "developer", "content": "Be kind." },
        { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }], "name": "Ann" },
        { "role": "assistant", "content": null, "refusal": null, "audio": null,
          "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "c1", "content": "42" },
        { "role": "assistant", "content": [{ "type": "refusal", "refusal": "No." }] },
        { "role": "user", "content": "So?", "weather": "fine" },
    ]);
    let nulls = json!({ "temperature": null, "top_p": null, "n": null, "stream": null, "stream_options": null,
        "logprobs": null, "top_logprobs": null, "audio": null, "modalities": null, "moderation": null, "stop": null,
        "max_tokens": null, "max_completion_tokens": null, "seed": null, "logit_bias": null, "metadata": null,
        "prediction": null, "prompt_cache_key": null, "prompt_cache_retention": null, "reasoning_effort": null,
        "safety_identifier": null, "service_tier": null, "store": null, "verbosity": null,
        "frequency_penalty": null, "presence_penalty": null });
    for body in [
        with(&json!({ "messages": history })),
        with(&nulls),
        with(
            &json!({ "a_field_of_tomorrow": { "x": [1, 2, { "y": null }] }, "temperature": 2, "top_p": 1, "n": 1 }),
        ),
        with(&json!({ "tools": [], "response_format": { "type": "text" }, "modalities": ["text"] })),
        with(&json!({ "tools": [{ "type": "function" }], "tool_choice": "none" })),
        with(&json!({ "temperature": 0, "max_tokens": 100_000, "max_completion_tokens": 1, "user": "u" })),
    ] {
        let response = post(&gateway, body.to_string()).await;
        assert_eq!(response.status(), 200, "{body}");
    }
    let transcript = &gateway.sim.answers()[0].text;
    for piece in [
        "System: Be kind.",
        "User (Ann): ab",
        "[called f({})]",
        "Tool (c1): 42",
        "Assistant: No.",
        "User: So?",
    ] {
        assert!(transcript.contains(piece), "{piece} is not in {transcript}");
    }
    gateway.settled().await;
    gateway.stop().await;
}
