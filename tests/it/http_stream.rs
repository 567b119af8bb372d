//! The stream of the HTTP door, where what is left out matters as much as what is sent.

use serde_json::{Value, json};

use crate::support::{Ask, Gateway, KEY};

async fn events(gateway: &Gateway, body: &Value) -> Vec<String> {
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    let response = request.json(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
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
