//! The HTTP door's responses byte by byte; only ids and times are normalized.

use duogate::sim::{Fault, Rule, Step};
use serde_json::{Value, json};

use crate::support::{Ask, Gateway, KEY};

async fn raw(gateway: &Gateway, body: &Value) -> String {
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    let response = request.json(body).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    let first = text.lines().next().unwrap_or_default();
    let first: Value = serde_json::from_str(first.trim_start_matches("data: ")).unwrap();
    let mut text = text;
    if let Some(id) = first["id"].as_str() {
        assert!(
            id.strip_prefix("chatcmpl-").is_some_and(|rest| rest.len() == 32),
            "{id}"
        );
        text = text
            .replace(id, "ID")
            .replace(&first["created"].to_string(), "TIME");
    }
    format!("{status}\n{text}")
}

#[tokio::test]
async fn answers_look_to_the_letter_like_this() {
    let gateway = Gateway::start().await;
    let ask = |more: Value, stream: bool| Ask::new("one two").with(more).json(stream);
    for (name, body) in [
        ("whole", ask(json!({}), false)),
        ("stream", ask(json!({}), true)),
        (
            "stream_without_usage",
            ask(json!({ "stream_options": null }), true),
        ),
        ("reasoning", ask(json!({ "model": "dialect:reasoning" }), false)),
        (
            "reasoning_stream",
            ask(json!({ "model": "dialect:reasoning" }), true),
        ),
        ("stopped", ask(json!({ "stop": " two" }), false)),
        ("stopped_stream", ask(json!({ "stop": " two" }), true)),
        ("length_cut", ask(json!({ "max_tokens": 2 }), false)),
        ("length_cut_stream", ask(json!({ "max_tokens": 2 }), true)),
        ("two_choices", ask(json!({ "n": 2 }), false)),
        ("failed", ask(json!({ "model": "fault:400" }), false)),
        ("refused", ask(json!({ "temperature": 3 }), true)),
        ("unsupported", ask(json!({ "logprobs": true }), false)),
        ("failed_in_band", ask(json!({ "model": "fault:cut" }), true)),
    ] {
        insta::assert_snapshot!(name, raw(&gateway, &body).await);
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_overloaded_upstream_looks_to_the_letter_like_this() {
    let gateway = Gateway::start().await;
    gateway
        .sim
        .script(Rule::always(Fault::status(401)).on(Step::ListProjects));
    insta::assert_snapshot!("no_credentials", raw(&gateway, &Ask::new("hi").json(true)).await);
    gateway.stop().await;
}
