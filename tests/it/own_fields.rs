//! Errors name the fields of the endpoint that was called, not another's.

use serde_json::{Value, json};

use crate::support::{Gateway, Setup, error_of, for_each, post};

/// A request of each endpoint with these texts as its conversation, and the field they are in.
fn asked(texts: &[&str]) -> [(&'static str, &'static str, Value); 3] {
    let messages: Vec<Value> = texts
        .iter()
        .map(|text| json!({ "role": "user", "content": text }))
        .collect();
    [
        (
            "/v1/chat/completions",
            "messages",
            json!({ "model": "m", "messages": messages }),
        ),
        (
            "/v1/completions",
            "prompt",
            json!({ "model": "m", "prompt": texts }),
        ),
        (
            "/v1/responses",
            "input",
            json!({ "model": "m", "input": messages }),
        ),
    ]
}

/// A gateway with low limits.
async fn small() -> Gateway {
    Setup::new()
        .settings(|settings| {
            settings.max_prompt_bytes = 1024;
            settings.max_concurrent_requests = 2;
        })
        .start()
        .await
}

/// Asks for a whole answer and for a stream, and checks the field that both failures name.
async fn refused(gateway: &Gateway, path: &str, body: &Value, field: &str) {
    for stream in [false, true] {
        let mut body = body.clone();
        body["stream"] = stream.into();
        let failure = error_of(post(gateway, path, &body).await).await;
        let told = format!("{path} {body}: {failure:?}");
        assert_eq!(failure.field.as_deref(), Some(field), "{told}");
        if path != "/v1/chat/completions" {
            assert!(!failure.message.contains("messages"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_conversation_at_fault_is_named_as_the_endpoint_has_it() {
    let gateway = small().await;
    let long = "x".repeat(1025);
    for (path, field, body) in asked(&[&long]) {
        refused(&gateway, path, &body, field).await;
    }
    for (path, field, body) in asked(&[]) {
        refused(&gateway, path, &body, field).await;
    }
    let empty = asked(&[""]);
    for ((path, _, body), field) in empty
        .iter()
        .zip(["messages[0].content", "prompt", "input[0].content"])
    {
        refused(&gateway, path, body, field).await;
    }
    for (path, field, mut body) in asked(&["hi"]) {
        body.as_object_mut().unwrap().remove(field);
        refused(&gateway, path, &body, field).await;
        body[field] = json!(7);
        refused(&gateway, path, &body, field).await;
    }
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn an_items_place_is_its_place_in_the_request() {
    let gateway = small().await;
    let user = |content: Value| json!({ "role": "user", "content": content });
    let reasoning = json!({ "type": "reasoning", "summary": [] });
    let cases = [
        (json!([reasoning, user(json!(""))]), "input[1].content"),
        (
            json!([user(json!([{ "type": "input_text", "text": "" }]))]),
            "input[0].content",
        ),
        (json!([user(json!([]))]), "input[0].content"),
        (
            json!([user(json!("a")), user(json!([{ "type": "input_text" }]))]),
            "input[1].content[0].text",
        ),
        (
            json!([
                user(json!("a")),
                reasoning,
                user(json!([{ "type": "input_image", "image_url": "data:," }]))
            ]),
            "input[2].content[0]",
        ),
        (json!([user(json!("a")), { "role": "user" }]), "input[1].content"),
    ];
    for_each(cases, async |(input, field)| {
        refused(
            &gateway,
            "/v1/responses",
            &json!({ "model": "m", "input": input }),
            field,
        )
        .await;
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn more_choices_than_there_is_room_for_are_the_prompts_fault() {
    let gateway = small().await;
    let body = json!({ "model": "m", "prompt": ["a", "b", "c"] });
    refused(&gateway, "/v1/completions", &body, "prompt").await;
    gateway.stop().await;
}
