//! The HTTP door's stream, where absent fields matter as much as those sent.

use serde_json::{Value, json};

use crate::support::{Ask, Gateway, KEY, events_of, post};

/// Checks that proxies are told not to buffer: those that compress, and nginx.
fn assert_unbuffered(headers: &http::HeaderMap) {
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
}

/// A streaming request for each endpoint.
fn streams(text: &str, model: &str) -> [(&'static str, Value); 3] {
    [
        (
            "/v1/chat/completions",
            json!({ "model": model, "messages": [{ "role": "user", "content": text }], "stream": true,
                "stream_options": { "include_usage": true } }),
        ),
        (
            "/v1/completions",
            json!({ "model": model, "prompt": text, "max_tokens": 100, "stream": true, "stream_options": { "include_usage": true } }),
        ),
        (
            "/v1/responses",
            json!({ "model": model, "input": text, "stream": true }),
        ),
    ]
}

async fn events(gateway: &Gateway, body: &Value) -> Vec<String> {
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    let response = request.json(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_unbuffered(response.headers());
    let text = response.text().await.unwrap();
    let events = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap().to_owned());
    events.collect()
}

#[tokio::test]
async fn usage_is_sent_only_to_those_who_ask_for_it() {
    let gateway = Gateway::start().await;
    let mut body = Ask::new("what does it cost?").json(true);
    let asked = events(&gateway, &body).await;
    let chunks: Vec<Value> = asked[..asked.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(
        last["usage"]["total_tokens"]
            .as_u64()
            .is_some_and(|tokens| tokens > 0)
    );
    assert!(
        others
            .iter()
            .all(|chunk| chunk.get("usage") == Some(&Value::Null)),
        "{others:?}"
    );
    for options in [Value::Null, json!({}), json!({ "include_usage": false })] {
        body["stream_options"] = options;
        let plain = events(&gateway, &body).await;
        assert_eq!(plain.last().map(String::as_str), Some("[DONE]"));
        assert!(plain.iter().all(|event| !event.contains("usage")), "{plain:?}");
        assert_eq!(plain.len(), asked.len() - 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn every_chunk_has_the_keys_that_strict_clients_need() {
    let gateway = Gateway::start().await;
    let events = events(&gateway, &Ask::new("strictly").json(true)).await;
    for event in &events[..events.len() - 2] {
        let chunk: Value = serde_json::from_str(event).unwrap();
        let choice = chunk["choices"][0].as_object().unwrap();
        for key in ["index", "delta", "logprobs", "finish_reason"] {
            assert!(choice.contains_key(key), "{key} is not in {chunk}");
        }
        assert_ne!(choice["finish_reason"], "", "null, never an empty string");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_words_come_one_by_one_as_the_upstream_says_them() {
    let gateway = Gateway::start().await;
    let events = events(&gateway, &Ask::new("one two three").json(true)).await;
    let said: Vec<String> = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(said, ["", "You ", "said: ", "one ", "two ", "three"]);
    gateway.stop().await;
}

#[tokio::test]
async fn no_proxy_is_let_hold_a_stream_back() {
    let gateway = Gateway::start().await;
    for model in ["it-model", "fault:cut"] {
        for (path, body) in streams("hi", model) {
            let response = post(&gateway, path, &body).await;
            assert_eq!(response.status(), 200, "{path}");
            assert_unbuffered(response.headers());
            let text = response.text().await.unwrap();
            assert_eq!(
                text.contains("upstream_truncated"),
                model == "fault:cut",
                "{path}: {text}"
            );
        }
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_event_is_one_line_to_every_reader() {
    // Characters that some languages take for line ends, and the other control characters.
    const TEXT: &str = "a\u{2028}b\u{2029}c\u{85}d\u{7f}e\u{9f}f\u{b}g\u{c}h\u{1c}i\u{1d}j\u{1e}k\rl\nm";
    let gateway = Gateway::start().await;
    for (path, body) in streams(TEXT, "it-model") {
        let text = post(&gateway, path, &body).await.text().await.unwrap();
        let is_odd =
            |char: char| (char.is_control() && char != '\n') || matches!(char, '\u{2028}' | '\u{2029}');
        assert!(!text.contains(is_odd), "{path}: {text:?}");
        let events = events_of(&text, path == "/v1/responses");
        let deltas = events.iter().filter_map(|event| {
            let delta = event["delta"].as_str();
            let choice = &event["choices"][0];
            delta
                .or(choice["delta"]["content"].as_str())
                .or(choice["text"].as_str())
        });
        assert_eq!(deltas.collect::<String>(), format!("You said: {TEXT}"), "{path}");
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn usage_tells_how_much_was_reasoning_at_every_endpoint() {
    let gateway = Gateway::start().await;
    for (model, thinks) in [("it-model", false), ("dialect:reasoning", true)] {
        let mut told = Vec::new();
        for (path, mut body) in streams("one two", model) {
            let text = post(&gateway, path, &body).await.text().await.unwrap();
            let last = events_of(&text, path == "/v1/responses").pop().unwrap();
            let streamed = [&last["usage"], &last["response"]["usage"]]
                .into_iter()
                .find(|usage| usage.is_object())
                .unwrap()
                .clone();
            body["stream"] = false.into();
            body.as_object_mut().unwrap().remove("stream_options");
            let whole: Value = post(&gateway, path, &body).await.json().await.unwrap();
            assert_eq!(whole["usage"], streamed, "{path}");
            let part = |names: [&str; 2], key: &str| {
                let details = names.map(|name| streamed[name][key].as_u64());
                details.into_iter().flatten().next()
            };
            let answer = ["output_tokens_details", "completion_tokens_details"];
            let prompt = ["input_tokens_details", "prompt_tokens_details"];
            assert_eq!(part(prompt, "cached_tokens"), Some(0), "{path}: {streamed}");
            told.push(part(answer, "reasoning_tokens").unwrap_or_else(|| panic!("{path}: {streamed}")));
        }
        assert!(told.iter().all(|tokens| *tokens == told[0]), "{told:?}");
        assert_eq!(told[0] > 0, thinks, "{told:?}");
    }
    gateway.settled().await;
    gateway.stop().await;
}
