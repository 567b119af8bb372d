//! Stop sequences and token limits: the answer ends at them, and so does the upstream's.

use bpe_openai::o200k_base;
use duogate::sim::{Fault, Form, Hold, Rule, Step, TextKey, answer_text};
use serde_json::{Value, json};

use crate::support::{Ask, Door, Gateway, ONCE, Outcome, Setup, each_door, within};

const QUESTION: &str = "one two three, four five";

async fn both(gateway: &Gateway, door: Door, ask: &Ask) -> [Outcome; 2] {
    [door.chat(gateway, ask).await, door.stream(gateway, ask).await]
}

fn tokens(text: &str) -> u64 {
    o200k_base().count(text) as u64
}

/// The first tokens of the whole answer.
fn first_tokens(text: &str, most: usize) -> String {
    let tokens = o200k_base().encode(text);
    o200k_base().decode(&tokens[..most.min(tokens.len())]).unwrap()
}

#[tokio::test]
async fn an_answer_ends_before_the_first_stop_text() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let long = format!("two {}", "x".repeat(100));
        for (stop, text) in [
            (json!("three"), "You said: one two "),
            (json!(["nowhere", ", f", "e f"]), "You said: one two three"),
            (json!(["You"]), ""),
            // Longer than the rest of the answer, and with the same beginning.
            (json!(["five, six"]), "You said: one two three, four five"),
            (json!([long, "ou said: o"]), "Y"),
            (json!(["a", "b", "c", "r five"]), "You s"),
        ] {
            let ask = Ask::new(QUESTION).with(json!({ "stop": stop }));
            for outcome in both(&gateway, door, &ask).await {
                assert_eq!(outcome.failure, None, "{stop}");
                assert_eq!(outcome.text(), text, "{stop}");
                assert_eq!(outcome.finish(), Some("stop"), "{stop}");
                let usage = outcome.usage.unwrap();
                assert_eq!(usage.completion, tokens(text), "{stop}");
                assert_eq!(usage.prompt, tokens(QUESTION));
            }
        }
        gateway.settled().await;
        assert_eq!(gateway.health().await["statistics"]["cancelled_requests"], 0);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_answer_has_no_more_tokens_than_it_may() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let whole = answer_text(QUESTION);
        let all = tokens(&whole);
        for most in 1..=all + 1 {
            for field in ["max_tokens", "max_completion_tokens"] {
                let ask = Ask::new(QUESTION).with(json!({ field: most }));
                for outcome in both(&gateway, door, &ask).await {
                    let expected = first_tokens(&whole, usize::try_from(most).unwrap());
                    assert_eq!(outcome.text(), expected, "{most}");
                    let finish = if most < all { "length" } else { "stop" };
                    assert_eq!(outcome.finish(), Some(finish), "{most}");
                    assert_eq!(outcome.usage.unwrap().completion, most.min(all));
                }
            }
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn reasoning_counts_as_part_of_the_answer_and_holds_no_stop_text() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let plain = Ask::new(QUESTION).model("dialect:reasoning");
        let whole = door.chat(&gateway, &plain).await;
        let thought = tokens(whole.reasoning());
        assert!(thought > 1, "{whole:?}");
        let inside = whole.reasoning().split_whitespace().next().unwrap().to_owned();
        let ask = plain.clone().with(json!({ "stop": [inside, "three"] }));
        for outcome in both(&gateway, door, &ask).await {
            assert_eq!(outcome.reasoning(), whole.reasoning());
            assert_eq!(outcome.text(), "You said: one two ");
        }
        let ask = plain.clone().with(json!({ "max_tokens": thought + 2 }));
        for outcome in both(&gateway, door, &ask).await {
            assert_eq!(outcome.reasoning(), whole.reasoning());
            assert_eq!(outcome.text(), "You said");
            assert_eq!(outcome.finish(), Some("length"));
            assert_eq!(outcome.usage.unwrap().completion, thought + 2);
        }
        let ask = plain.with(json!({ "max_tokens": 1 }));
        for outcome in both(&gateway, door, &ask).await {
            assert_eq!(outcome.reasoning(), first_tokens(whole.reasoning(), 1));
            assert_eq!(outcome.text(), "");
            assert_eq!(outcome.finish(), Some("length"));
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_limits_hold_in_every_form_of_answer() {
    let forms = [
        Form::Split(1),
        Form::Usage(true),
        Form::Dialect(duogate::sim::Dialect::Tab),
        Form::Dialect(duogate::sim::Dialect::Json(TextKey::Content)),
        Form::Noise,
    ];
    each_door(forms, async |form, door| {
        let gateway = Gateway::start().await;
        gateway.sim.script(Rule::always(form.clone()).on(Step::Answer));
        let question = "naïve 🦀 crabs, 你好 END and more";
        let stopped = Ask::new(question).with(json!({ "stop": "END" }));
        let cut = Ask::new(question).with(json!({ "max_tokens": 5 }));
        for outcome in both(&gateway, door, &stopped).await {
            assert_eq!(outcome.text(), "You said: naïve 🦀 crabs, 你好 ");
            assert_eq!(
                outcome.usage.unwrap().completion,
                tokens(outcome.text()),
                "{form:?}"
            );
        }
        for outcome in both(&gateway, door, &cut).await {
            assert_eq!(outcome.text(), first_tokens(&answer_text(question), 5));
            assert_eq!(outcome.finish(), Some("length"));
            assert_eq!(outcome.usage.unwrap().completion, 5, "{form:?}");
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_limit_closes_the_upstreams_answer_at_once() {
    let limits = [json!({ "stop": "said" }), json!({ "max_tokens": 1 })];
    each_door(limits, async |limit, door| {
        let gateway = Setup::new().tokens(1).start().await;
        // The rest of the answer would never arrive.
        for way in door.ways() {
            gateway
                .sim
                .script(Rule::once(Fault::StallMidStream { after: 2 }).on(Step::Answer));
            let ask = Ask::new(QUESTION).with(limit.clone());
            let outcome = within("the end", way.ask(&gateway, &ask)).await;
            assert_eq!(outcome.text().trim_end(), "You");
            gateway.settled().await;
        }
        assert_eq!(gateway.sim.counts().answers_left, 2);
        let statistics = gateway.health().await["statistics"].clone();
        assert_eq!(statistics["successful_requests"], 2, "{statistics}");
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn text_is_not_held_up_while_it_cannot_be_cut() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let ask = Ask::new(QUESTION).with(json!({ "max_tokens": 100, "stop": ["END"] }));
        let mut opened = door.open(&gateway, &ask).await.unwrap();
        within("the first text", opened.first_text()).await;
        assert_eq!(opened.so_far().text(), "You ");
        gateway.sim.release();
        opened.finish().await.assert_whole(&answer_text(QUESTION));
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn one_endless_word_is_counted_as_fast_as_any_text() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let word = "a".repeat(200_000);
        for limit in [
            json!({ "max_tokens": 50 }),
            json!({ "stop": ["b"] }),
            json!({ "max_tokens": 10_000_000 }),
        ] {
            let ask = Ask::new(&word).with(limit.clone());
            for outcome in both(&gateway, door, &ask).await {
                let whole = answer_text(&word);
                let expected = match limit["max_tokens"].as_u64() {
                    Some(50) => first_tokens(&whole, 50),
                    _ => whole,
                };
                assert!(
                    outcome.text() == expected,
                    "{limit}: {} bytes",
                    outcome.text().len()
                );
                assert_eq!(outcome.usage.unwrap().completion, tokens(&expected));
            }
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_prompt_over_its_limit_is_refused_and_goes_nowhere() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_prompt_bytes = 1024)
            .start()
            .await;
        door.chat(&gateway, &Ask::new("x".repeat(1024)))
            .await
            .assert_whole(&answer_text(&"x".repeat(1024)));
        let outcome = door.chat(&gateway, &Ask::new("x".repeat(1025))).await;
        let failure = outcome.assert_failed("context_length_exceeded");
        assert_eq!(failure.field.as_deref(), Some("messages"));
        let mut ask = Ask::new("x".repeat(1000));
        // Speaker labels count too.
        ask.messages.push(("assistant", "x".repeat(10)));
        door.chat(&gateway, &ask)
            .await
            .assert_failed("context_length_exceeded");
        assert_eq!(gateway.sim.counts().messages, 1);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_default_prompt_limit_is_below_the_default_body_limit() {
    let gateway = Gateway::start().await;
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(crate::support::KEY);
    let body = Ask::new("x".repeat(8 * 1024 * 1024 + 1)).json(false);
    let response = request.json(&body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "context_length_exceeded");
    gateway.stop().await;
}
