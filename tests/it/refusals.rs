//! Failures that no retry would fix are reported at once and accurately.

use std::time::Duration;

use duogate::sim::{Fault, Rule, Step};

use crate::support::{Ask, Gateway, ONCE, Setup, TOKENS, crossed, each_door, each_way};

#[tokio::test]
async fn a_refused_request_is_not_tried_again() {
    let steps = [Step::Message, Step::Answer];
    each_door(
        crossed([400, 409, 413, 422], steps),
        async |(status, step), door| {
            let gateway = Gateway::start().await;
            gateway.sim.script(Rule::always(Fault::status(status)).on(step));
            for (number, way) in (1..).zip(door.ways()) {
                let outcome = way.ask(&gateway, &Ask::new("may I?")).await;
                let failure = outcome.assert_failed("upstream_refused");
                assert!(!failure.in_band);
                assert_eq!((failure.should_retry, failure.retry_after), (Some(false), None));
                assert_eq!(
                    gateway.sim.counts().calls_of(step),
                    number,
                    "{status} at {step:?} {way:?}"
                );
            }
            let health = gateway.health().await;
            assert_eq!(
                health["token_pool"]["available_tokens"], 3,
                "no token is at fault"
            );
            gateway.settled().await;
            gateway.stop().await
        },
    )
    .await;
}

#[tokio::test]
async fn a_full_account_is_told_as_a_refusal() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .sim(|sim| {
                sim.foreign_conversations = 2;
                sim.conversation_limit = Some(2);
            })
            .start()
            .await;
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("is there room?")).await;
            outcome.assert_failed("upstream_refused");
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn when_every_token_is_refused_the_gateway_says_so_and_stops_asking() {
    each_door([401, 403], async |status, door| {
        let gateway = Gateway::start().await;
        gateway.sim.script(Rule::always(Fault::status(status)));
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("anyone?")).await;
            let failure = outcome.assert_failed("credentials_rejected");
            assert!(!failure.in_band);
            assert_eq!(
                (failure.should_retry, failure.retry_after),
                (Some(false), None),
                "{way:?}"
            );
            for token in TOKENS {
                assert!(!failure.message.contains(token));
            }
        }
        let calls: u64 = gateway.sim.counts().calls.values().sum();
        assert_eq!(calls, 3, "one for each token, by the first chat alone");
        assert_eq!(gateway.get("/readyz").await.status(), 503);
        assert_eq!(gateway.health().await["status"], "unhealthy");
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn when_every_token_rests_the_gateway_says_until_when() {
    each_way(ONCE, async |(), way| {
        let gateway = Gateway::start().await;
        let ask = Ask::new("too many?").model("fault:429");
        let outcome = way.ask(&gateway, &ask).await;
        let failure = outcome.assert_failed("pool_exhausted");
        assert!(!failure.in_band);
        let wait = failure.retry_after.expect("a time to come back at");
        assert!(wait <= Duration::from_secs(2), "{way:?}: {wait:?}");
        assert_eq!(failure.should_retry, Some(true), "{way:?}");
        assert_eq!(gateway.sim.counts().calls_of(Step::Answer), 3, "each token once");
        assert_eq!(
            gateway.get("/readyz").await.status(),
            200,
            "they come back by themselves"
        );
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_long_rest_is_told_and_not_recommended_to_wait_for() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        gateway.sim.script(Rule::always(Fault::Status(duogate::sim::Page {
            code: 429,
            kind: duogate::sim::PageKind::Json,
            retry_after: Some("600".to_owned()),
        })));
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("tomorrow?")).await;
            let failure = outcome.assert_failed("pool_exhausted");
            let wait = failure.retry_after.expect("a time to come back at");
            assert!(
                wait > Duration::from_secs(500) && wait <= Duration::from_secs(600),
                "{wait:?}"
            );
            assert_eq!(failure.should_retry, Some(false), "{way:?}");
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_empty_pool_starts_is_not_ready_and_promises_nothing() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().tokens(0).start().await;
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("hello?")).await;
            let failure = outcome.assert_failed("pool_exhausted");
            assert_eq!(
                (failure.should_retry, failure.retry_after),
                (Some(false), None),
                "{way:?}"
            );
            assert!(failure.message.contains("TOKEN_POOL"), "{}", failure.message);
        }
        assert_eq!(gateway.get("/readyz").await.status(), 503);
        assert_eq!(gateway.get("/livez").await.status(), 200);
        let health = gateway.health().await;
        assert_eq!(health["status"], "unhealthy");
        assert_eq!(health["token_pool"]["total_tokens"], 0);
        assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_upstreams_own_words_and_pages_never_reach_a_client() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_retries = 0)
            .start()
            .await;
        for fault in [
            "fault:400",
            "fault:500-html",
            "fault:502",
            "fault:html",
            "fault:error-event",
        ] {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new("page?").model(fault)).await;
                let message = outcome.failure.expect(fault).message;
                for forbidden in ["<", "html", "the model failed", "statusCode", "127.0.0.1"] {
                    assert!(!message.contains(forbidden), "{fault} {way:?}: {message}");
                }
            }
        }
        gateway.stop().await
    })
    .await;
}
