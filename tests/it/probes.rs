//! Credentials that fail and recover: only the health page shows it, and no client is used for the half-open probe.

use std::time::Duration;

use duogate::{
    config::Settings,
    sim::{Fault, Hold, Rule, Step, answer_text},
};
use futures::{StreamExt, stream};

use crate::support::{
    Ask, Gateway, ONCE, Setup, TOKENS, Way, each_crowd, each_door, each_way, eventually, within,
};

async fn states(gateway: &Gateway) -> Vec<String> {
    let health = gateway.health().await;
    let rows = health["token_pool"]["tokens"].as_array().expect("rows").clone();
    let rows = rows.iter().map(|row| row["state"].as_str().unwrap().to_owned());
    rows.collect()
}

async fn chat(gateway: &Gateway, way: Way, question: &str) {
    let outcome = way.ask(gateway, &Ask::new(question)).await;
    assert_eq!(outcome.failure, None, "{way:?} {question}");
    outcome.assert_whole(&answer_text(question));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_accepted_again_come_back_without_a_chat() {
    each_crowd(ONCE, async |(), ways| {
        const CHATS: usize = 400;
        let gateway = Setup::new()
            .settings(|settings| {
                settings.token_cooldown = Duration::from_millis(200);
                settings.token_max_failures = 1000;
            })
            .start()
            .await;
        let chats = stream::iter(0..CHATS).for_each_concurrent(32, async |number| {
            chat(&gateway, ways.nth(number), &format!("chat {number}")).await;
        });
        let revoke = async {
            gateway
                .sim_until("chats are under way", |counts| counts.answers_finished >= 40)
                .await;
            gateway.sim.revoke(TOKENS[0]);
            gateway.sim.revoke(TOKENS[2]);
        };
        within("400 chats", async { tokio::join!(chats, revoke) }).await;
        let now = states(&gateway).await;
        assert_eq!(now[1], "ready");
        assert!(now[0] != "ready" && now[2] != "ready", "{now:?}");
        gateway
            .sim_until("no answer is under way", |counts| counts.open() == 0)
            .await;
        gateway.sim.forget();
        gateway.sim.restore(TOKENS[0]);
        gateway.sim.restore(TOKENS[2]);
        eventually("every token is ready", async || {
            states(&gateway).await == ["ready"; 3]
        })
        .await;
        let counts = gateway.sim.counts();
        for token in [TOKENS[0], TOKENS[2]] {
            assert!(counts.calls_with(token, Step::ListProjects) > 0, "{counts:?}");
        }
        assert_eq!(counts.calls_of(Step::Message) + counts.calls_of(Step::Answer), 0);
        for number in 0..4 {
            chat(&gateway, ways.nth(number), "all together").await;
        }
        gateway.settled().await;
        // Probes, and deletions of what the other chats left.
        let seen = gateway.stop().await;
        seen.whatever_calls(&[Step::ListProjects, Step::DeleteConversation])
    })
    .await;
}

#[tokio::test]
async fn a_token_alone_survives_a_fault_of_the_service_at_every_call() {
    let steps = [
        Step::ListProjects,
        Step::CreateProject,
        Step::CreateConversation,
        Step::Message,
        Step::Answer,
    ];
    each_way(steps, async |step, way| {
        let gateway = Setup::new().tokens(1).start().await;
        gateway.sim.script(Rule::once(Fault::status(503)).on(step));
        chat(&gateway, way, "all alone").await;
        let counts = gateway.sim.counts();
        assert_eq!(counts.answered_with(step, 503), 1, "{step:?} {way:?}");
        let tries = counts.calls_of(step);
        assert_eq!(tries, 2, "{step:?} {way:?}");
        let row = gateway.token_row(0).await;
        assert_eq!((&row["state"], &row["failures"]), (&"ready".into(), &0.into()));
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn one_good_token_in_six_answers_every_chat() {
    let six: Vec<String> = (1..=6)
        .map(|number| format!("it-token-number-{number}"))
        .collect();
    each_way([0, 3], async |retries, way| {
        let of_gateway = |settings: &mut Settings| {
            settings.tokens = six.iter().map(|token| token.as_str().into()).collect();
            settings.max_retries = retries;
        };
        let setup = Setup::new().settings(of_gateway);
        let gateway = setup.sim(|sim| sim.tokens.clone_from(&six)).start().await;
        for token in &six[..5] {
            gateway.sim.revoke(token);
        }
        for number in 0..8 {
            chat(&gateway, way, &format!("chat {number}")).await;
        }
        let counts = gateway.sim.counts();
        for token in &six[..5] {
            assert_eq!(
                counts.calls_with(token, Step::ListProjects),
                1,
                "{retries} {way:?}"
            );
        }
        let now = states(&gateway).await;
        assert_eq!(
            now.iter().filter(|state| *state == "benched").count(),
            5,
            "{now:?}"
        );
        assert_eq!(now[5], "ready");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn tokens_that_are_full_take_no_more_chats() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_in_flight_per_token = 1)
            .start()
            .await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let mut held = Vec::new();
        for number in 0..TOKENS.len() {
            let door = ways.nth(number).door;
            let mut opened = door.open(&gateway, &Ask::new("one two three")).await.unwrap();
            opened.first_text().await;
            held.push(opened);
        }
        assert_eq!(gateway.in_flight().await, [1, 1, 1]);
        for way in (0..4).map(|number| ways.nth(number)) {
            let outcome = way.ask(&gateway, &Ask::new("and me?")).await;
            let failure = outcome.assert_failed("overloaded");
            assert!(failure.retry_after.is_some_and(|wait| !wait.is_zero()), "{way:?}");
            assert_eq!(failure.should_retry, Some(true), "{way:?}");
            assert_eq!(gateway.sim.counts().calls_of(Step::Message), 3, "{way:?}");
        }
        gateway.sim.release();
        for opened in held {
            opened.finish().await.assert_whole(&answer_text("one two three"));
        }
        gateway.settled().await;
        for number in 0..2 {
            chat(&gateway, ways.nth(number), "and me?").await;
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_token_that_says_itself_that_it_is_over_is_never_used() {
    /// Its claims are `{"exp":1}`.
    const OVER: &str = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln";
    each_door([0, 1], async |others, door| {
        let gateway = Setup::new()
            .tokens(others)
            .settings(|settings| settings.tokens.insert(0, OVER.into()))
            .sim(|sim| sim.tokens.push(OVER.to_owned()))
            .start()
            .await;
        assert_eq!(gateway.token_row(0).await["state"], "expired");
        for way in door.ways() {
            if others > 0 {
                chat(&gateway, way, "who is left?").await;
            } else {
                let outcome = way.ask(&gateway, &Ask::new("who is left?")).await;
                outcome.assert_failed("credentials_rejected");
            }
        }
        assert!(!gateway.sim.counts().calls_by_token.contains_key(OVER));
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
