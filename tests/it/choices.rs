//! Several answers to one request: each is a chat upstream, and all are one call for the client.

use std::collections::BTreeMap;

use duogate::sim::{Fault, Hold, Rule, Step, answer_text};
use serde_json::{Value, json};

use crate::support::{
    Ask, Gateway, ONCE, Setup, crossed, each_door, each_way, error_of, eventually, post, within,
};

const QUESTION: &str = "which one?";

fn asking(n: u64) -> Ask {
    Ask::new(QUESTION).with(json!({ "n": n }))
}

/// A gateway with capacity for four answers.
async fn narrow() -> Gateway {
    Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 4)
        .start()
        .await
}

async fn events(gateway: &Gateway, body: &Value) -> Vec<String> {
    let response = post(gateway, "/v1/chat/completions", body).await;
    assert_eq!(response.status(), 200);
    let text = within("the stream's end", response.text()).await.unwrap();
    let events = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap().to_owned());
    events.collect()
}

#[tokio::test]
async fn so_many_answers_come_as_were_asked_for_and_the_prompt_counts_once() {
    let each = bpe_openai::o200k_base().count(answer_text(QUESTION).as_str()) as u64;
    each_way([1, 2, 8], async |n, way| {
        let gateway = Gateway::start().await;
        let outcome = way.ask(&gateway, &asking(n)).await;
        assert_eq!(outcome.failure, None, "{n} {way:?}");
        assert_eq!(outcome.choices.len() as u64, n, "{way:?}");
        for choice in &outcome.choices {
            assert_eq!(choice.text, answer_text(QUESTION), "{n} {way:?}");
            assert_eq!(choice.finish.as_deref(), Some("stop"), "{n} {way:?}");
        }
        let usage = outcome.usage.expect("usage");
        let figures = (usage.prompt, usage.completion, usage.total);
        assert_eq!(figures, (3, n * each, 3 + n * each), "{n} {way:?}");
        gateway.settled().await;
        assert_eq!(gateway.sim.counts().conversations_made, n);
        assert_eq!(gateway.health().await["statistics"]["total_requests"], 1);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_chunks_of_one_answer_come_among_those_of_others() {
    let gateway = Gateway::start().await;
    for include_usage in [true, false] {
        let mut body = asking(3).json(true);
        body["stream_options"] = json!({ "include_usage": include_usage });
        let events = events(&gateway, &body).await;
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
    each_way(ONCE, async |(), way| {
        let gateway = narrow().await;
        gateway.sim.hold_at(Hold::BeforeHead);
        let ask = asking(3);
        let three = way.ask(&gateway, &ask);
        let more = async {
            gateway
                .sim_until("three are under way", |counts| counts.open() == 3)
                .await;
            let outcome = way.ask(&gateway, &asking(2)).await;
            let failure = outcome.assert_failed("overloaded");
            assert_eq!(failure.should_retry, Some(true), "{way:?}");
            gateway.sim.release();
        };
        let (three, ()) = tokio::join!(three, more);
        assert_eq!(three.failure, None, "{way:?}");
        eventually("all room is there again", async || {
            gateway.health().await["statistics"]["requests_in_flight"] == 0
        })
        .await;
        let four = way.ask(&gateway, &asking(4)).await;
        assert_eq!(four.failure, None, "{way:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn nobody_is_told_to_try_again_for_more_answers_than_there_is_ever_room_for() {
    each_way(ONCE, async |(), way| {
        let gateway = narrow().await;
        let outcome = way.ask(&gateway, &asking(5)).await;
        let failure = outcome.assert_failed("invalid_request");
        assert_eq!(failure.field.as_deref(), Some("n"), "{way:?}");
        assert_eq!(failure.should_retry, Some(false), "{way:?}");
        let made = gateway.sim.counts().conversations_made;
        assert_eq!(made, 0, "nothing went upstream");
        let four = way.ask(&gateway, &asking(4)).await;
        assert_eq!(
            four.failure, None,
            "as many as there is room for are fine: {way:?}"
        );
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_legacy_request_for_more_answers_than_there_is_ever_room_for_names_what_asks_for_them() {
    let gateway = narrow().await;
    for (stream, (more, field)) in crossed(
        [false, true],
        [
            (json!({ "prompt": "one", "n": 5 }), "n"),
            (json!({ "prompt": ["one", "two", "three"], "n": 2 }), "prompt"),
        ],
    ) {
        let mut body = json!({ "model": "it-model", "stream": stream });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let failure = error_of(post(&gateway, "/v1/completions", &body).await).await;
        assert_eq!(
            (failure.kind, failure.field.as_deref(), failure.should_retry),
            ("invalid_request", Some(field), Some(false))
        );
    }
    assert_eq!(gateway.sim.counts().conversations_made, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn one_answer_that_fails_ends_them_all() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        gateway
            .sim
            .script(Rule::once(Fault::status(400)).on(Step::Answer));
        let outcome = door.chat(&gateway, &asking(4)).await;
        outcome.assert_failed("upstream_refused");
        gateway.settled().await;
        // Three stall after their first pieces, one is cut: without its failure the stream would not end.
        let stall = Fault::StallMidStream { after: 2 };
        gateway.sim.script(Rule::always(stall).times(3).on(Step::Answer));
        gateway
            .sim
            .script(Rule::once(Fault::CutMidStream { after: 2 }).on(Step::Answer));
        let outcome = within("the end", door.stream(&gateway, &asking(4))).await;
        assert!(outcome.assert_failed("upstream_truncated").in_band);
        gateway.settled().await;
        let statistics = gateway.health().await["statistics"].clone();
        assert_eq!(statistics["failed_requests"], 1, "{statistics}");
        assert_eq!(statistics["rejected_requests"], 1, "{statistics}");
        // The progress of the others depends on timing, as do the calls of whole answers.
        let seen = gateway.stop().await.ends_alone();
        seen.whatever_calls(&[Step::Message, Step::Answer])
    })
    .await;
}

#[tokio::test]
async fn who_leaves_several_answers_leaves_them_all() {
    each_way(ONCE, async |(), way| {
        let gateway = Gateway::start().await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let ask = asking(3);
        tokio::select! {
            outcome = way.ask(&gateway, &ask) => panic!("{way:?} ended: {outcome:?}"),
            () = gateway.sim_until("all are under way", |counts| counts.open() == 3) => {}
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
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn each_answer_has_its_own_limits() {
    each_way(ONCE, async |(), way| {
        let gateway = Gateway::start().await;
        let ask = Ask::new(QUESTION).with(json!({ "n": 2, "max_tokens": 2 }));
        let outcome = way.ask(&gateway, &ask).await;
        for choice in &outcome.choices {
            assert_eq!(choice.text, "You said", "{way:?}");
            assert_eq!(choice.finish.as_deref(), Some("length"), "{way:?}");
        }
        assert_eq!(outcome.usage.unwrap().completion, 4, "{way:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
