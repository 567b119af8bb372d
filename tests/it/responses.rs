//! The responses endpoint: its exact objects and events, failures, and clients that disconnect.

use std::time::Duration;

use duogate::{
    config::Settings,
    sim::{Counts, Hold},
};
use serde_json::{Value, json};

use crate::support::{Gateway, KEY, Setup, alike, error_of, events_of, eventually, post, text_of, within};

const PATH: &str = "/v1/responses";

fn body(more: Value) -> Value {
    let mut body = json!({ "model": "it-model", "input": "one two" });
    let Value::Object(more) = more else {
        panic!("not an object: {more}");
    };
    body.as_object_mut().unwrap().extend(more);
    body
}

const LONG: &str = "a b c d e f g h i j k l m n o p q r s t";

#[tokio::test]
async fn responses_look_to_the_letter_like_this() {
    let gateway = Gateway::start().await;
    for (name, more) in [
        ("response_whole", json!({})),
        ("response_stream", json!({ "stream": true })),
        (
            "response_echoes",
            json!({
                "instructions": "Be brief.", "max_output_tokens": 500, "temperature": 0.5, "top_p": 0.9, "user": "u",
                "metadata": { "a": "b" }, "reasoning": { "effort": "low" }, "store": false,
                "tools": [{ "type": "function", "name": "f" }], "tool_choice": "none", "parallel_tool_calls": false,
            }),
        ),
        ("response_reasoning", json!({ "model": "dialect:reasoning" })),
        (
            "response_reasoning_stream",
            json!({ "model": "dialect:reasoning", "stream": true }),
        ),
        (
            "response_incomplete",
            json!({ "input": LONG, "max_output_tokens": 16 }),
        ),
        (
            "response_incomplete_stream",
            json!({ "input": LONG, "max_output_tokens": 16, "stream": true }),
        ),
        ("response_filtered", json!({ "model": "finish:content_filter" })),
        (
            "response_refused",
            json!({ "model": "fault:400", "stream": true }),
        ),
        ("response_failed", json!({ "model": "fault:cut", "stream": true })),
    ] {
        insta::assert_snapshot!(name, text_of(&gateway, PATH, &body(more)).await);
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_failure_behind_a_status_that_is_out_already_has_a_beginning_too() {
    let hasty = |settings: &mut Settings| {
        settings.keepalive_interval = Duration::from_millis(20);
        settings.timeout = Duration::from_millis(300);
        settings.max_retries = 0;
    };
    let gateway = Setup::new().settings(hasty).start().await;
    let body = body(json!({ "model": "fault:stall-head", "stream": true }));
    let response = post(&gateway, PATH, &body).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(text.starts_with(": keep-alive\n\n"), "{text}");
    let events = events_of(&text, true);
    let types: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "response.created",
            "response.in_progress",
            "error",
            "response.failed"
        ]
    );
    // SDKs raise the content of `error`; the schema has the same fields beside it.
    let error = &events[2];
    assert_eq!(error["error"]["code"], "upstream_unavailable");
    assert_eq!(error["error"]["type"], "server_error");
    for field in ["code", "message", "param"] {
        assert_eq!(error[field], error["error"][field]);
    }
    let failed = &events[3]["response"];
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"]["code"], "server_error");
    assert_eq!(failed["output"], json!([]));
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn every_event_is_numbered_and_speaks_of_the_same_response_and_items() {
    let gateway = Gateway::start().await;
    let body = body(json!({ "model": "dialect:reasoning", "stream": true }));
    let text = post(&gateway, PATH, &body).await.text().await.unwrap();
    assert!(!text.contains("[DONE]"));
    let events = events_of(&text, true);
    let mut ids: Vec<&str> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
        ids.extend(event["response"]["id"].as_str());
    }
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let last = &events[events.len() - 1]["response"];
    for (index, kind) in [(0, "reasoning"), (1, "message")] {
        let id = &last["output"][index]["id"];
        assert_eq!(last["output"][index]["type"], kind);
        let of_item: Vec<&Value> = events
            .iter()
            .filter(|event| event["output_index"] == index)
            .collect();
        assert!(of_item.len() >= 6, "{of_item:?}");
        assert!(
            of_item
                .iter()
                .all(|event| event["item_id"] == *id || event["item"]["id"] == *id)
        );
        let deltas = of_item.iter().filter_map(|event| event["delta"].as_str());
        assert_eq!(
            deltas.collect::<String>(),
            last["output"][index]["content"][0]["text"].as_str().unwrap()
        );
    }
    let reasoning = last["usage"]["output_tokens_details"]["reasoning_tokens"]
        .as_u64()
        .unwrap();
    assert!(reasoning > 0 && reasoning < last["usage"]["output_tokens"].as_u64().unwrap());
    gateway.stop().await;
}

#[tokio::test]
async fn who_leaves_in_the_middle_frees_everything_and_nothing_is_kept() {
    let gateway = Setup::new().tokens(1).start().await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let mut response = post(&gateway, PATH, &body(json!({ "stream": true }))).await;
    let mut begun = Vec::new();
    while !String::from_utf8_lossy(&begun).contains("output_text.delta") {
        begun.extend(within("an event", response.chunk()).await.unwrap().unwrap());
    }
    let begun = String::from_utf8(begun).unwrap();
    let created = events_of(&begun, true).remove(0);
    let id = created["response"]["id"].as_str().unwrap().to_owned();
    drop(response);
    gateway
        .sim_until("the answer is closed", |counts: &Counts| counts.open() == 0)
        .await;
    gateway.sim.release();
    gateway.settled().await;
    eventually("the call counts as left", async || {
        gateway.health().await["statistics"]["cancelled_requests"] == 1
    })
    .await;
    let kept = gateway.get(&format!("{PATH}/{id}")).await;
    assert_eq!(error_of(kept).await.kind, "not_found");
    gateway.stop().await;
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_as_openai_does() {
    let gateway = Gateway::start().await;
    let failure = error_of(gateway.get(PATH).await).await;
    assert_eq!(failure.kind, "method_not_supported");
    assert_eq!(failure.message, "Only POST requests are accepted.");
    for (method, path, kind) in [
        ("POST", "/v1/responses/resp_1", "method_not_supported"),
        ("POST", "/v1/responses/compact", "unknown_url"),
        ("POST", "/v1/responses/resp_1/input_items", "method_not_supported"),
        ("POST", "/v1/responses/resp_1/cancel", "unknown_url"),
        ("GET", "/v1/responses/resp_1/nothing", "unknown_url"),
        ("GET", "/v1/responses/%FF", "unknown_url"),
        ("GET", "/v1/responses/resp_1", "not_found"),
        ("DELETE", "/v1/responses/resp_1", "not_found"),
        ("GET", "/v1/responses/resp_1/input_items", "not_found"),
    ] {
        let request = gateway.web.request(method.parse().unwrap(), gateway.url(path));
        let response = request.bearer_auth(KEY).send().await.unwrap();
        let failure = error_of(response).await;
        assert_eq!(failure.kind, kind, "{method} {path}");
    }
    assert_eq!(alike("resp_1"), "resp_1");
    gateway.stop().await;
}
