//! An upstream that is down: callers are rejected at once and asked to retry, the upstream receives only an occasional
//! probe, and service resumes by itself.

use std::time::{Duration, Instant};

use duogate::{
    config::Settings,
    sim::{Chaos, Fault, Rule, Step, answer_text},
};
use futures::{StreamExt, stream};

use crate::support::{Ask, Gateway, ONCE, Setup, Way, Ways, each_crowd, eventually, within};

/// Number of failures that open a circuit breaker.
const FAILURES: usize = 20;
const PROBES: Duration = Duration::from_millis(200);

fn impatient(settings: &mut Settings) {
    settings.max_retries = 0;
    settings.breaker_probe_interval = PROBES;
}

async fn open_breakers(gateway: &Gateway) -> String {
    let page = gateway.get("/metrics").await.text().await.unwrap();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("duogate_open_circuit_breakers "));
    line.expect("the metric is there").to_owned()
}

/// Chats until their failures open the breaker.
async fn break_it(gateway: &Gateway, ways: Ways) {
    for number in 0..FAILURES {
        let outcome = ways.nth(number).ask(gateway, &Ask::new("hello?")).await;
        let failure = outcome.assert_failed("upstream_unavailable");
        assert_eq!(failure.should_retry, Some(false), "{number}: it was tried");
    }
    assert_eq!(open_breakers(gateway).await, "1");
}

/// The chat is rejected without an upstream call, and asked to retry.
async fn refused(gateway: &Gateway, way: Way) {
    let outcome = way.ask(gateway, &Ask::new("hello?")).await;
    let failure = outcome.assert_failed("upstream_unavailable");
    assert_eq!(failure.should_retry, Some(true), "{way:?}");
    assert!(!failure.in_band, "{way:?}");
    let wait = failure.retry_after.expect("when to come back");
    assert!(!wait.is_zero(), "{way:?}");
}

async fn whole_again(gateway: &Gateway, ways: Ways) {
    eventually("the circuit breaker closes", async || {
        open_breakers(gateway).await == "0"
    })
    .await;
    for number in 0..4 {
        let outcome = ways.nth(number).ask(gateway, &Ask::new("welcome back")).await;
        outcome.assert_whole(&answer_text("welcome back"));
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_left_in_peace_until_it_answers_a_probe() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = Setup::new().settings(impatient).start().await;
        gateway.sim.script(Rule::always(Fault::status(503)));
        break_it(&gateway, ways).await;
        gateway.sim.forget();
        let began = Instant::now();
        while gateway.sim.counts().calls_of(Step::ListProjects) < 3 {
            for number in 0..4 {
                refused(&gateway, ways.nth(number)).await;
            }
            assert!(began.elapsed() < crate::support::PATIENCE, "it is never probed");
        }
        let counts = gateway.sim.counts();
        let probes = counts.calls_of(Step::ListProjects);
        let most = began.elapsed().as_millis() / PROBES.as_millis() + 1;
        assert!(u128::from(probes) <= most, "{probes} probes, not {most}");
        assert_eq!(counts.calls.values().sum::<u64>(), probes, "{:?}", counts.calls);
        let pool = gateway.health().await["token_pool"].clone();
        assert_eq!(pool["available_tokens"], 3, "no token is at fault: {pool}");
        gateway.sim.clear();
        whole_again(&gateway, ways).await;
        gateway.settled().await;
        // Chats are rejected and probes sent until there were this many probes.
        let seen = gateway.stop().await.each_once();
        seen.whatever_calls(&[Step::ListProjects])
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_told_at_once_and_found_again() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Setup::new().settings(impatient).start().await;
        whole_again(&gateway, ways).await;
        gateway.settled().await;
        let address = gateway.end_upstream().await;
        break_it(&gateway, ways).await;
        for number in 0..4 {
            refused(&gateway, ways.nth(number)).await;
        }
        assert_eq!(gateway.health().await["token_pool"]["available_tokens"], 3);
        gateway.restart_upstream(address).await;
        whole_again(&gateway, ways).await;
        gateway.settled().await;
        // Probes.
        let seen = gateway.stop().await;
        seen.whatever_calls(&[Step::ListProjects])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_in_five_costs_no_client_anything_and_opens_no_breaker() {
    each_crowd(ONCE, async |(), ways| {
        const CHATS: usize = 300;
        let gateway = Setup::new()
            .settings(|settings| {
                // Half of all tries fail: after this many, the chance that a chat still fails is below one in a
                // million.
                settings.max_retries = 30;
                settings.retry_delay = Duration::ZERO;
            })
            .start()
            .await;
        gateway.sim.chance(Some(Chaos {
            share: 0.2,
            faults: vec![Fault::status(503)],
            seed: 7,
        }));
        let chats = stream::iter(0..CHATS).for_each_concurrent(8, async |number| {
            let (way, question) = (ways.nth(number), format!("chat {number}"));
            let outcome = way.ask(&gateway, &Ask::new(&question)).await;
            assert_eq!(outcome.failure, None, "{number} {way:?}");
            outcome.assert_whole(&answer_text(&question));
            assert_eq!(open_breakers(&gateway).await, "0", "after chat {number}");
        });
        within("300 chats", chats).await;
        let counts = gateway.sim.counts();
        let failed: u64 = counts.statuses.values().filter_map(|codes| codes.get(&503)).sum();
        assert!(failed > CHATS as u64 / 2, "only {failed} calls failed");
        assert_eq!(gateway.health().await["token_pool"]["available_tokens"], 3);
        gateway.sim.chance(None);
        assert_eq!(gateway.sim.breaches(), Vec::<String>::new());
        gateway.seen().chats_alone()
    })
    .await;
}
