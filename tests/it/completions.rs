//! Legacy completions: each prompt is a chat, answers and chunks have the same shape.

use duogate::sim::{Counts, Hold};
use serde_json::{Value, json};

use crate::support::{Gateway, KEY, Setup, error_of, events_of, eventually, for_each, post, text_of, within};

const PATH: &str = "/v1/completions";

fn body(more: Value) -> Value {
    let mut body = json!({ "model": "it-model", "prompt": "one two" });
    let Value::Object(more) = more else {
        panic!("not an object: {more}");
    };
    body.as_object_mut().unwrap().extend(more);
    body
}

#[tokio::test]
async fn completions_look_to_the_letter_like_this() {
    let gateway = Gateway::start().await;
    let usage = json!({ "include_usage": true });
    for (name, more) in [
        ("text_whole", json!({})),
        ("text_stream", json!({ "stream": true })),
        (
            "text_stream_usage",
            json!({ "stream": true, "stream_options": usage }),
        ),
        ("text_echo", json!({ "echo": true })),
        ("text_echo_stream", json!({ "echo": true, "stream": true })),
        ("text_stopped", json!({ "stop": [" two"] })),
        ("text_stopped_stream", json!({ "stop": " two", "stream": true })),
        ("text_length_cut", json!({ "max_tokens": 2 })),
        (
            "text_length_cut_stream",
            json!({ "max_tokens": 2, "stream": true }),
        ),
        (
            "text_prompts",
            json!({ "prompt": ["one", "two"], "n": 2, "echo": true }),
        ),
        ("text_reasoning", json!({ "model": "dialect:reasoning" })),
        (
            "text_reasoning_stream",
            json!({ "model": "dialect:reasoning", "stream": true }),
        ),
        ("text_failed", json!({ "model": "fault:400" })),
        (
            "text_failed_in_band",
            json!({ "model": "fault:cut", "stream": true }),
        ),
    ] {
        insta::assert_snapshot!(name, text_of(&gateway, PATH, &body(more)).await);
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_has_sixteen_tokens_where_no_limit_is_given() {
    let gateway = Gateway::start().await;
    let long = json!({ "prompt": "a b c d e f g h i j k l m n o p q r s t" });
    for (more, tokens, finish) in [
        (json!({}), 16, "length"),
        (json!({ "max_tokens": null }), 16, "length"),
        (json!({ "max_tokens": 100 }), 23, "stop"),
    ] {
        let mut body = body(long.clone());
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer: Value = post(&gateway, PATH, &body).await.json().await.unwrap();
        assert_eq!(answer["usage"]["completion_tokens"], tokens, "{answer}");
        assert_eq!(answer["choices"][0]["finish_reason"], finish, "{answer}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn several_prompts_are_conversations_of_their_own_numbered_prompt_by_prompt() {
    let gateway = Gateway::start().await;
    let body = body(json!({ "prompt": ["one", "two", "three"], "n": 2, "stream": true, "echo": true }));
    let text = post(&gateway, PATH, &body).await.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"));
    let (mut texts, mut finished) = (vec![String::new(); 6], [0; 6]);
    for event in events_of(&text, false) {
        let choice = &event["choices"][0];
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        assert_eq!(finished[index], 0, "after its finish came {event}");
        texts[index] += choice["text"].as_str().unwrap();
        finished[index] += usize::from(choice["finish_reason"] == "stop");
    }
    let expected = ["one", "one", "two", "two", "three", "three"];
    assert_eq!(
        texts,
        expected.map(|prompt| format!("{prompt}You said: {prompt}"))
    );
    assert_eq!(finished, [1; 6]);
    assert_eq!(gateway.sim.counts().conversations_made, 6);
    gateway.settled().await;
    assert_eq!(gateway.health().await["statistics"]["total_requests"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn there_is_room_for_all_prompts_or_for_none() {
    let few = |settings: &mut duogate::config::Settings| settings.max_concurrent_requests = 2;
    let gateway = Setup::new().settings(few).start().await;
    let (one, two) = (
        body(json!({ "prompt": "one" })),
        body(json!({ "prompt": ["one", "two"] })),
    );
    gateway.sim.hold_at(Hold::BeforeHead);
    let more = async {
        let open = |counts: &Counts| counts.open() == 1;
        gateway.sim_until("one is under way", open).await;
        let refused = post(&gateway, PATH, &two).await;
        assert_eq!(error_of(refused).await.kind, "overloaded");
        gateway.sim.release();
    };
    let (answered, ()) = tokio::join!(post(&gateway, PATH, &one), more);
    assert_eq!(answered.status(), 200);
    gateway.settled().await;
    assert_eq!(post(&gateway, PATH, &two).await.status(), 200);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_bad_request_is_told_with_the_field_that_is_at_fault() {
    let gateway = Gateway::start().await;
    let invalid = "invalid_request";
    let unsupported = "unsupported_parameter";
    let cases = [
        (json!({ "model": null }), invalid, "model"),
        (json!({ "model": 3 }), invalid, "model"),
        (json!({ "prompt": null }), invalid, "prompt"),
        (json!({ "prompt": {} }), invalid, "prompt"),
        (json!({ "prompt": "" }), invalid, "prompt"),
        (json!({ "prompt": [] }), invalid, "prompt"),
        (json!({ "prompt": ["a", ""] }), invalid, "prompt[1]"),
        (json!({ "prompt": ["a", 1] }), invalid, "prompt[1]"),
        (json!({ "prompt": ["a", null] }), invalid, "prompt[1]"),
        (json!({ "prompt": [[]] }), invalid, "prompt[0]"),
        (json!({ "prompt": [1, 2, 3] }), unsupported, "prompt"),
        (json!({ "prompt": [[1, 2], [3]] }), unsupported, "prompt"),
        (json!({ "prompt": vec!["x"; 129] }), unsupported, "prompt"),
        (json!({ "prompt": vec!["x"; 17], "n": 8 }), unsupported, "prompt"),
        (json!({ "n": 0 }), invalid, "n"),
        (json!({ "n": 129 }), invalid, "n"),
        (json!({ "n": 9 }), unsupported, "n"),
        (json!({ "max_tokens": -1 }), invalid, "max_tokens"),
        (json!({ "max_tokens": "16" }), invalid, "max_tokens"),
        (json!({ "echo": 1 }), invalid, "echo"),
        (json!({ "best_of": 21 }), invalid, "best_of"),
        (json!({ "best_of": 1, "n": 2 }), invalid, "best_of"),
        (json!({ "best_of": 2 }), unsupported, "best_of"),
        (json!({ "logprobs": 6 }), invalid, "logprobs"),
        (json!({ "logprobs": 0 }), unsupported, "logprobs"),
        (json!({ "suffix": 1 }), invalid, "suffix"),
        (json!({ "suffix": "the end" }), unsupported, "suffix"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), invalid, "stop"),
        (json!({ "stream": "yes" }), invalid, "stream"),
        (json!({ "stream_options": {} }), invalid, "stream_options"),
        (json!({ "temperature": 2.5 }), invalid, "temperature"),
        (json!({ "logit_bias": { "1": 101 } }), invalid, "logit_bias.1"),
    ];
    for_each(cases, async |(more, kind, field)| {
        let failure = error_of(post(&gateway, PATH, &body(more)).await).await;
        assert_eq!((failure.kind, failure.field.as_deref()), (kind, Some(field)));
    })
    .await;
    assert_eq!(gateway.sim.counts().conversations_made, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn what_has_no_effect_is_taken_and_named() {
    let gateway = Gateway::start().await;
    for (more, ignored) in [
        (
            json!({ "logprobs": null, "suffix": null, "best_of": null, "n": null, "echo": null }),
            None,
        ),
        (json!({ "suffix": "", "best_of": 1, "unheard_of": 1 }), None),
        (
            json!({ "temperature": 0.1, "seed": 7, "user": "u" }),
            Some("temperature, seed, user"),
        ),
    ] {
        let response = post(&gateway, PATH, &body(more)).await;
        assert_eq!(response.status(), 200);
        let named = response.headers().get("x-duogate-ignored");
        assert_eq!(named.map(|value| value.to_str().unwrap()), ignored);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_named_as_the_prompt() {
    let short = |settings: &mut duogate::config::Settings| settings.max_prompt_bytes = 1024;
    let gateway = Setup::new().settings(short).start().await;
    for stream in [false, true] {
        let body = body(json!({ "prompt": "x".repeat(1025), "stream": stream }));
        let failure = error_of(post(&gateway, PATH, &body).await).await;
        assert_eq!(failure.kind, "context_length_exceeded");
        assert_eq!(failure.field.as_deref(), Some("prompt"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn who_leaves_several_completions_frees_them_all() {
    let gateway = Gateway::start().await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let body = body(json!({ "prompt": ["one two", "three four"], "stream": true }));
    let mut response = post(&gateway, PATH, &body).await;
    within("the first chunk", response.chunk())
        .await
        .unwrap()
        .unwrap();
    gateway
        .sim_until("both answers run", |counts: &Counts| counts.open() == 2)
        .await;
    drop(response);
    gateway
        .sim_until("both answers are closed", |counts: &Counts| counts.open() == 0)
        .await;
    gateway.sim.release();
    gateway.settled().await;
    eventually("the call counts as left", async || {
        gateway.health().await["statistics"]["cancelled_requests"] == 1
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn other_methods_are_refused_as_openai_does() {
    let gateway = Gateway::start().await;
    let response = gateway.get(PATH).await;
    let failure = error_of(response).await;
    assert_eq!(failure.kind, "method_not_supported");
    assert_eq!(failure.message, "Only POST requests are accepted.");
    let unknown = gateway
        .web
        .post(gateway.url("/v1/completions/x"))
        .bearer_auth(KEY);
    assert_eq!(error_of(unknown.send().await.unwrap()).await.kind, "unknown_url");
    gateway.stop().await;
}

#[tokio::test]
async fn no_tokens_are_an_empty_answer_that_no_upstream_is_asked_for() {
    let gateway = Gateway::start().await;
    for (more, texts) in [
        (json!({}), vec![""]),
        (json!({ "echo": true }), vec!["one two"]),
        (json!({ "prompt": ["one", "two"], "n": 2 }), vec![""; 4]),
        (
            json!({ "prompt": ["one", "two"], "n": 2, "echo": true, "stop": "o" }),
            vec!["one", "one", "two", "two"],
        ),
    ] {
        let limited: Value = post(&gateway, PATH, &body(more.clone()))
            .await
            .json()
            .await
            .unwrap();
        gateway.settled().await;
        let before = gateway.sim.counts().calls.clone();
        let mut asked = body(more);
        asked["max_tokens"] = json!(0);
        let whole: Value = post(&gateway, PATH, &asked).await.json().await.unwrap();
        for (index, text) in texts.iter().enumerate() {
            let choice = json!({ "text": text, "index": index, "logprobs": null, "finish_reason": "length" });
            assert_eq!(whole["choices"][index], choice);
        }
        assert_eq!(whole["choices"].as_array().unwrap().len(), texts.len());
        assert_eq!(whole["usage"]["completion_tokens"], 0, "{whole}");
        assert_eq!(whole["usage"]["prompt_tokens"], limited["usage"]["prompt_tokens"]);
        assert_eq!(whole["usage"]["total_tokens"], whole["usage"]["prompt_tokens"]);
        asked["stream"] = json!(true);
        asked["stream_options"] = json!({ "include_usage": true });
        let streamed = post(&gateway, PATH, &asked).await.text().await.unwrap();
        assert!(streamed.ends_with("data: [DONE]\n\n"), "{streamed}");
        let mut said = vec![String::new(); texts.len()];
        let mut finished = 0;
        for event in events_of(&streamed, false) {
            let Some(choice) = event["choices"].get(0) else {
                assert_eq!(event["usage"], whole["usage"]);
                continue;
            };
            let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            said[index] += choice["text"].as_str().unwrap();
            finished += usize::from(choice["finish_reason"] == "length");
        }
        assert_eq!(
            (said, finished),
            (texts.iter().map(|text| (*text).to_owned()).collect(), texts.len())
        );
        assert_eq!(gateway.sim.counts().calls, before, "nothing went upstream");
    }
    let unknown = json!({ "model": "no-such-model", "max_tokens": 0 });
    gateway.settled().await;
    gateway.stop().await;
    let few = |settings: &mut duogate::config::Settings| {
        settings.available_models = vec!["it-model".to_owned()];
        settings.max_prompt_bytes = 1024;
    };
    let gateway = Setup::new().settings(few).start().await;
    let refused = error_of(post(&gateway, PATH, &body(unknown)).await).await;
    assert_eq!(refused.kind, "model_not_found");
    let long = json!({ "prompt": "x".repeat(1025), "max_tokens": 0 });
    let refused = error_of(post(&gateway, PATH, &body(long)).await).await;
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        ("context_length_exceeded", Some("prompt"))
    );
    gateway.stop().await;
}
