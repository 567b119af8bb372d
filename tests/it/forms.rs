//! The upstream's many answer formats, which clients must not notice.

use duogate::sim::{Dialect, Form, Shape, Sim, answer_text, usage_of};

use crate::support::{Ask, Gateway, ONCE, Setup, each_door};

const QUESTION: &str = "Grüße an alle, 日本語 und 👋🏽 zugleich?";

/// Names of formats, alone and combined.
fn forms() -> Vec<String> {
    let alone = Sim::model_names().into_iter();
    let alone = alone.filter(|name| name.starts_with("dialect:") || name.starts_with("usage:"));
    let joined = [
        "dialect:tab+dialect:split+usage:on",
        "dialect:tab+dialect:crlf+dialect:comments+dialect:noise",
        "dialect:crlf+dialect:split+dialect:bom+dialect:comments",
        "dialect:cr+dialect:many-lines+dialect:noise+dialect:fields",
        "dialect:one-line+dialect:no-space+dialect:noise",
        "dialect:json+dialect:split+usage:on",
        "dialect:json-message+dialect:split+dialect:plain",
        "dialect:plain+dialect:tab+dialect:split",
        "dialect:prologue+dialect:noise+usage:on",
        "dialect:sse+fault:no-done+usage:on",
        "dialect:tab+fault:no-finish",
    ];
    alone.chain(joined).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_form_of_an_answer_gives_the_same_text() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let said = answer_text(QUESTION);
        let forms = forms();
        assert!(
            forms.len() > 30,
            "the simulated upstream has more forms: {forms:?}"
        );
        for form in &forms {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new(QUESTION).model(form)).await;
                assert_eq!(outcome.text(), said, "{form} {way:?}: {:?}", outcome.failure);
                outcome.assert_whole(&said);
                assert_eq!(&outcome.model, form);
                assert_eq!(
                    !outcome.reasoning().is_empty(),
                    form.contains("reasoning"),
                    "{form} {way:?}"
                );
            }
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_upstreams_own_figures_are_passed_on() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let told = usage_of(QUESTION, &answer_text(QUESTION));
        for form in ["usage:on", "dialect:tab+usage:on", "dialect:json-text+usage:on"] {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new(QUESTION).model(form)).await;
                let usage = outcome.usage.expect("usage");
                assert_eq!(
                    (usage.prompt, usage.completion, usage.total),
                    (told.prompt_tokens, told.completion_tokens, told.total_tokens),
                    "{form} {way:?}"
                );
            }
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_same_words_cost_the_same_through_every_door() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let mut costs = Vec::new();
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("How many tokens are these?")).await;
            costs.push(outcome.usage.expect("usage"));
        }
        assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn finish_reasons_that_openai_knows_pass_and_others_become_stop() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        for (model, finish) in [
            ("finish:length", "length"),
            ("finish:content_filter", "content_filter"),
            ("finish:unknown", "stop"),
            ("finish:length+dialect:tab", "length"),
            ("finish:content_filter+dialect:json", "content_filter"),
        ] {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new(QUESTION).model(model)).await;
                assert_eq!(outcome.failure, None, "{model} {way:?}");
                assert_eq!(outcome.finish(), Some(finish), "{model} {way:?}");
                assert_eq!(outcome.text(), answer_text(QUESTION));
            }
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_finish_reason_of_error_is_a_failure() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_retries = 1)
            .start()
            .await;
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new(QUESTION).model("finish:error")).await;
            outcome.assert_failed("upstream_truncated");
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn ids_and_successes_may_look_in_every_way_that_the_contract_allows() {
    let varieties = [(true, false, false), (false, true, true), (false, true, false)];
    each_door(varieties, async |(numeric, awkward, project), door| {
        let gateway = Setup::new()
            .sim(|sim| {
                sim.numeric_ids = numeric;
                sim.awkward_ids = awkward;
                sim.accounts_with_project = project;
                sim.varied = true;
                sim.answer = Shape {
                    dialect: if numeric { Dialect::Tab } else { Dialect::Sse },
                    ..Shape::default()
                };
            })
            .start()
            .await;
        for turn in 0..3 {
            for way in door.ways() {
                let question = format!("{turn}, streamed: {}", way.streamed);
                let outcome = way.ask(&gateway, &Ask::new(&question)).await;
                outcome.assert_whole(&answer_text(&question));
            }
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn heartbeats_after_the_finish_do_not_keep_a_stream_open() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        for way in door.ways() {
            let began = std::time::Instant::now();
            let outcome = way
                .ask(&gateway, &Ask::new(QUESTION).model("fault:heartbeats"))
                .await;
            outcome.assert_whole(&answer_text(QUESTION));
            assert!(
                began.elapsed().as_secs() < 15,
                "{way:?} took {:?}",
                began.elapsed()
            );
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn json_answers_of_every_call_may_come_byte_by_byte() {
    each_door(ONCE, async |(), door| {
        let split = duogate::sim::Rule::always(Form::Split(1));
        let gateway = Gateway::start().await;
        gateway.sim.script(split);
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new(QUESTION)).await;
            outcome.assert_whole(&answer_text(QUESTION));
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
