//! Upstream faults before the first text of an answer are retried, and the client does not notice.

use std::time::Duration;

use duogate::sim::{Fault, Rule, Step, answer_text};

use crate::support::{Ask, ONCE, Setup, crossed, each_door, each_way};

/// Faults that a retry fixes, by name.
const PASSING: [&str; 12] = [
    "fault:500",
    "fault:500-html",
    "fault:502",
    "fault:503",
    "fault:504",
    "fault:close",
    "fault:reset",
    "fault:cut-first",
    "fault:html",
    "fault:malformed-first",
    "fault:empty-body",
    "fault:redirect",
];
/// Faults of a credential, reported in unexpected places.
const TOKENS_FAULTS: [&str; 3] = ["fault:error-first", "fault:error-body", "fault:429-bare"];

fn named(name: &str) -> Fault {
    Fault::Named(name.to_owned())
}

/// Number of answers asked for, whatever their outcome.
fn attempts(gateway: &crate::support::Gateway) -> u64 {
    gateway.sim.counts().calls_of(Step::Answer)
}

#[tokio::test]
async fn a_fault_before_the_first_text_is_tried_again_unseen() {
    each_way(PASSING.into_iter().chain(TOKENS_FAULTS), async |fault, way| {
        let gateway = Setup::new().start().await;
        gateway.sim.script(Rule::once(named(fault)).on(Step::Answer));
        let outcome = way.ask(&gateway, &Ask::new("try again")).await;
        assert_eq!(outcome.failure, None, "{fault} {way:?}");
        outcome.assert_whole(&answer_text("try again"));
        assert_eq!(attempts(&gateway), 2, "{fault} {way:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_stall_before_the_first_text_is_tried_again_after_the_patience() {
    each_way(["fault:stall-first", "fault:stall-head"], async |fault, way| {
        let gateway = Setup::new()
            .settings(|settings| settings.timeout = Duration::from_millis(1500))
            .start()
            .await;
        gateway.sim.script(Rule::once(named(fault)).on(Step::Answer));
        let outcome = way.ask(&gateway, &Ask::new("wake up")).await;
        assert_eq!(outcome.failure, None, "{fault} {way:?}");
        outcome.assert_whole(&answer_text("wake up"));
        assert_eq!(attempts(&gateway), 2, "{fault} {way:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_fault_of_any_call_is_tried_again_unseen() {
    let steps = [
        Step::ListProjects,
        Step::CreateProject,
        Step::CreateConversation,
        Step::Message,
        Step::Answer,
    ];
    let faults = ["fault:500", "fault:close", "fault:html"];
    each_way(crossed(steps, faults), async |(step, fault), way| {
        let gateway = Setup::new().start().await;
        gateway.sim.script(Rule::once(named(fault)).on(step));
        let outcome = way.ask(&gateway, &Ask::new("step by step")).await;
        assert_eq!(outcome.failure, None, "{fault} at {step:?} {way:?}");
        outcome.assert_whole(&answer_text("step by step"));
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_project_or_a_conversation_that_is_gone_is_made_anew() {
    each_way(
        [Step::CreateConversation, Step::Message, Step::Answer],
        async |step, way| {
            let gateway = Setup::new()
                .tokens(1)
                .settings(|settings| settings.max_retries = 0)
                .start()
                .await;
            gateway.sim.script(Rule::once(Fault::status(404)).on(step));
            let outcome = way.ask(&gateway, &Ask::new("where is it?")).await;
            assert_eq!(outcome.failure, None, "404 at {step:?} {way:?}");
            outcome.assert_whole(&answer_text("where is it?"));
            gateway.sim.expire_projects(crate::support::TOKENS[0]);
            let outcome = way.ask(&gateway, &Ask::new("and now?")).await;
            assert_eq!(outcome.failure, None, "after the project vanished, {way:?}");
            outcome.assert_whole(&answer_text("and now?"));
            gateway.settled().await;
            gateway.stop().await
        },
    )
    .await;
}

#[tokio::test]
async fn without_retries_one_fault_is_told_after_one_attempt() {
    each_way(PASSING, async |fault, way| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_retries = 0)
            .start()
            .await;
        gateway.sim.script(Rule::always(named(fault)).on(Step::Answer));
        let outcome = way.ask(&gateway, &Ask::new("once")).await;
        assert!(outcome.failure.is_some(), "{fault} {way:?}");
        let failure = outcome.assert_failed("upstream_unavailable");
        assert!(!failure.in_band, "{fault} {way:?}: it is a real status");
        assert_eq!(failure.should_retry, Some(false), "{fault} {way:?}");
        assert!(
            !failure.message.contains('<'),
            "a page of the upstream: {}",
            failure.message
        );
        assert_eq!(attempts(&gateway), 1, "{fault} {way:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn there_are_as_many_attempts_as_retries_and_one() {
    let faults = ["fault:500", "fault:reset", "fault:empty-body"];
    each_way(crossed([1, 3], faults), async |(retries, fault), way| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_retries = retries)
            .start()
            .await;
        gateway.sim.script(Rule::always(named(fault)).on(Step::Answer));
        let outcome = way.ask(&gateway, &Ask::new("again and again")).await;
        outcome.assert_failed("upstream_unavailable");
        assert_eq!(attempts(&gateway), u64::from(retries) + 1, "{fault} {way:?}");
        let pool = gateway.health().await["token_pool"].clone();
        assert_eq!(pool["available_tokens"], 3, "the service's fault is no token's");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_redirect_to_the_same_place_is_followed_and_one_to_another_never() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_retries = 1)
            .start()
            .await;
        for way in door.ways() {
            for code in [307, 308] {
                let location = "/chat".to_owned();
                gateway
                    .sim
                    .script(Rule::once(Fault::Redirect { code, location }).on(Step::Answer));
                let before = attempts(&gateway);
                let outcome = way.ask(&gateway, &Ask::new("round the corner")).await;
                outcome.assert_whole(&answer_text("round the corner"));
                assert_eq!(attempts(&gateway), before + 2, "{code} {way:?}");
                assert_eq!(gateway.sim.counts().answers_asked % 2, 1, "one answer a chat");
                gateway.settled().await;
                gateway.sim.forget();
            }
        }
        // The redirect's target, which must never receive the cookie.
        let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let location = format!("http://{}/chat", elsewhere.local_addr().unwrap());
        let code = 307;
        gateway
            .sim
            .script(Rule::always(Fault::Redirect { code, location }).on(Step::Answer));
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("to a stranger")).await;
            outcome.assert_failed("upstream_unavailable");
        }
        let visited = tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await;
        assert!(visited.is_err(), "the other origin was called");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_finished_without_a_word_is_whole_and_not_tried_again() {
    let models = [
        "fault:empty",
        "fault:empty+dialect:tab",
        "fault:empty+finish:content_filter",
    ];
    each_door(models, async |model, door| {
        let gateway = Setup::new().start().await;
        for (number, way) in (1..).zip(door.ways()) {
            let outcome = way.ask(&gateway, &Ask::new("say nothing").model(model)).await;
            assert_eq!((&outcome.failure, outcome.text()), (&None, ""), "{model} {way:?}");
            let finish = if model.contains("filter") {
                "content_filter"
            } else {
                "stop"
            };
            assert_eq!(outcome.finish(), Some(finish), "{model} {way:?}");
            assert_eq!(attempts(&gateway), number, "{model} {way:?}");
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_end_mark_without_a_word_or_a_finish_is_a_fault() {
    let forms = [
        "fault:empty+fault:no-finish",
        "fault:empty+fault:no-finish+fault:no-done",
    ];
    each_way(forms, async |form, way| {
        let gateway = Setup::new().start().await;
        gateway.sim.script(Rule::once(named(form)).on(Step::Answer));
        let outcome = way.ask(&gateway, &Ask::new("say something")).await;
        assert_eq!(outcome.failure, None, "{form} {way:?}");
        outcome.assert_whole(&answer_text("say something"));
        assert_eq!(attempts(&gateway), 2, "{form} {way:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
