//! Several answers to one request: each a chat of its own upstream, all of them one call for the client.

use std::collections::BTreeMap;

use duogate::sim::{Fault, Hold, Rule, Step, answer_text};
use serde_json::{Value, json};

use crate::support::{Ask, Failure, Gateway, KEY, Setup, error_of, eventually, failure_of, within};

async fn post(gateway: &Gateway, body: &Value) -> reqwest::Response {
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    request.json(body).send().await.unwrap()
}

fn asking(n: u64, stream: bool) -> Value {
    Ask::new("which one?").with(json!({ "n": n })).json(stream)
}

async fn events(response: reqwest::Response) -> Vec<String> {
    assert_eq!(response.status(), 200);
    let text = within("the stream's end", response.text()).await.unwrap();
    let events = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap().to_owned());
    events.collect()
}

#[tokio::test]
async fn so_many_answers_come_whole_as_were_asked_for() {
    let gateway = Gateway::start().await;
    for n in [1, 2, 8] {
        let before = gateway.sim.counts();
        let body: Value = post(&gateway, &asking(n, false)).await.json().await.unwrap();
        let choices = body["choices"].as_array().unwrap();
        let indexes: Vec<u64> = choices.iter().map(|one| one["index"].as_u64().unwrap()).collect();
        assert_eq!(indexes, (0..n).collect::<Vec<_>>());
        for choice in choices {
            assert_eq!(choice["message"]["content"], answer_text("which one?"));
            assert_eq!(choice["finish_reason"], "stop");
        }
        let usage = |key: &str| body["usage"][key].as_u64().unwrap();
        let each = bpe_openai::o200k_base().count(answer_text("which one?").as_str()) as u64;
        assert_eq!(usage("prompt_tokens"), 3, "the prompt counts once");
        assert_eq!(usage("completion_tokens"), n * each);
        assert_eq!(usage("total_tokens"), 3 + n * each);
        let after = gateway.sim.counts();
        assert_eq!(after.conversations_made - before.conversations_made, n);
    }
    gateway.settled().await;
    assert_eq!(gateway.health().await["statistics"]["total_requests"], 3);
    gateway.stop().await;
}

#[tokio::test]
async fn so_many_answers_stream_side_by_side() {
    let gateway = Gateway::start().await;
    for include_usage in [true, false] {
        let mut body = asking(3, true);
        body["stream_options"] = json!({ "include_usage": include_usage });
        let events = events(post(&gateway, &body).await).await;
        let (done, chunks) = events.split_last().unwrap();
        assert_eq!(done, "[DONE]");
        let chunks: Vec<Value> = chunks
            .iter()
            .map(|chunk| serde_json::from_str(chunk).unwrap())
            .collect();
        let (mut texts, mut roles, mut finishes) = (BTreeMap::<u64, String>::new(), 0, Vec::new());
        for chunk in &chunks {
            assert_eq!(chunk["id"], chunks[0]["id"]);
            let Some(choice) = chunk["choices"].get(0) else {
                assert!(include_usage);
                assert_eq!(chunk["usage"]["prompt_tokens"], 3);
                continue;
            };
            let index = choice["index"].as_u64().unwrap();
            assert!(!finishes.contains(&index), "after its finish came {chunk}");
            match choice["delta"]["role"].as_str() {
                Some(role) => {
                    assert_eq!(role, "assistant");
                    assert!(!texts.contains_key(&index));
                    texts.insert(index, String::new());
                    roles += 1;
                }
                None => {
                    let piece = choice["delta"]["content"].as_str().unwrap_or_default();
                    texts
                        .get_mut(&index)
                        .expect("the role comes first")
                        .push_str(piece);
                }
            }
            if !choice["finish_reason"].is_null() {
                assert_eq!(choice["finish_reason"], "stop");
                finishes.push(index);
            }
        }
        finishes.sort_unstable();
        assert_eq!((roles, finishes), (3, vec![0, 1, 2]));
        assert!(
            texts.values().all(|text| *text == answer_text("which one?")),
            "{texts:?}"
        );
        assert_eq!(
            chunks.last().unwrap()["choices"].as_array().unwrap().is_empty(),
            include_usage
        );
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn there_is_room_for_all_answers_or_for_none() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 4)
        .start()
        .await;
    for stream in [false, true] {
        gateway.sim.hold_at(Hold::BeforeHead);
        let body = asking(3, stream);
        let three = post(&gateway, &body);
        let more = async {
            let three = |counts: &duogate::sim::Counts| counts.open() == 3;
            gateway.sim_until("three are under way", three).await;
            let failure = error_of(post(&gateway, &asking(2, stream)).await).await;
            assert_eq!(failure.kind, "overloaded");
            assert_eq!(failure.should_retry, Some(true));
            gateway.sim.release();
        };
        let (three, ()) = tokio::join!(three, more);
        assert_eq!(three.status(), 200);
        let _body = three.bytes().await.unwrap();
        let four = post(&gateway, &asking(4, stream)).await;
        assert_eq!(four.status(), 200, "all room is there again");
        let _body = four.bytes().await.unwrap();
        gateway.settled().await;
        gateway.sim.forget();
    }
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_is_told_to_try_again_for_more_answers_than_there_is_ever_room_for() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 4)
        .start()
        .await;
    let told = |failure: Failure| (failure.kind, failure.field, failure.should_retry);
    let is = |field: &str| ("invalid_request", Some(field.to_owned()), Some(false));
    for stream in [false, true] {
        let chat = post(&gateway, &asking(5, stream)).await;
        assert_eq!(told(error_of(chat).await), is("n"));
        for (more, field) in [
            (json!({ "prompt": "one", "n": 5 }), "n"),
            (json!({ "prompt": ["one", "two", "three"], "n": 2 }), "prompt"),
        ] {
            let mut body = json!({ "model": "it-model", "stream": stream });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let completion = crate::support::post(&gateway, "/v1/completions", &body).await;
            assert_eq!(told(error_of(completion).await), is(field));
        }
    }
    let mut request = Ask::new("which one?").request();
    request.get_mut().n = Some(5);
    let status = gateway.chats().create_chat_completion(request).await.unwrap_err();
    let failure = failure_of(&status, false);
    assert_eq!(
        (failure.kind, failure.field.as_deref()),
        ("invalid_request", Some("n"))
    );
    assert_eq!(
        gateway.sim.counts().conversations_made,
        0,
        "nothing went upstream"
    );
    let four = post(&gateway, &asking(4, false)).await;
    assert_eq!(four.status(), 200, "as many as there is room for are fine");
    gateway.stop().await;
}

#[tokio::test]
async fn one_answer_that_fails_ends_them_all() {
    let gateway = Gateway::start().await;
    gateway
        .sim
        .script(Rule::once(Fault::status(400)).on(Step::Answer));
    let failure = error_of(post(&gateway, &asking(4, false)).await).await;
    assert_eq!(failure.kind, "upstream_refused");
    gateway.settled().await;
    // Three stall after their first pieces, one is cut: without its failure the stream would not end.
    let stall = Fault::StallMidStream { after: 2 };
    gateway.sim.script(Rule::always(stall).times(3).on(Step::Answer));
    gateway
        .sim
        .script(Rule::once(Fault::CutMidStream { after: 2 }).on(Step::Answer));
    let events = events(post(&gateway, &asking(4, true)).await).await;
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_truncated");
    assert!(events.iter().all(|event| !event.contains("[DONE]")));
    assert!(events.iter().all(|event| !event.contains("\"finish_reason\":\"")));
    gateway.settled().await;
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(statistics["failed_requests"], 1, "{statistics}");
    assert_eq!(statistics["rejected_requests"], 1, "{statistics}");
    gateway.stop().await;
}

#[tokio::test]
async fn who_leaves_several_answers_leaves_them_all() {
    for stream in [false, true] {
        let gateway = Gateway::start().await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let body = asking(3, stream);
        let asked = async {
            let response = post(&gateway, &body).await;
            let _body = response.bytes().await;
        };
        let under_way = gateway.sim_until("all are under way", |counts| counts.open() == 3);
        tokio::select! {
            () = asked => panic!("it ended"),
            () = under_way => {}
        }
        gateway
            .sim_until("all are closed", |counts| counts.open() == 0)
            .await;
        gateway.sim.release();
        eventually("the call counts as left, once", async || {
            gateway.health().await["statistics"]["cancelled_requests"] == 1
        })
        .await;
        gateway.settled().await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn each_answer_has_its_own_limits() {
    let gateway = Gateway::start().await;
    let mut body = asking(2, false);
    body["max_tokens"] = json!(2);
    let answer: Value = post(&gateway, &body).await.json().await.unwrap();
    for index in 0..2 {
        assert_eq!(answer["choices"][index]["message"]["content"], "You said");
        assert_eq!(answer["choices"][index]["finish_reason"], "length");
    }
    assert_eq!(answer["usage"]["completion_tokens"], 4);
    gateway.settled().await;
    gateway.stop().await;
}
