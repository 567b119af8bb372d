//! The limit on concurrent chats. One more is rejected at once; there is no hidden queue.

use std::time::{Duration, Instant};

use duogate::sim::{Hold, answer_text};
use futures::{StreamExt, future::join_all, stream};

use crate::support::{
    Ask, Gateway, KEY, ONCE, Setup, each_crowd, each_door, error_of, eventually, failure_of, raw_call,
    unfinished, within,
};

async fn narrow() -> Gateway {
    Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 2)
        .start()
        .await
}

#[tokio::test]
async fn a_third_chat_is_told_at_once_that_there_is_no_room_for_it() {
    each_crowd([Hold::BeforeHead, Hold::AfterFirstPiece], async |hold, ways| {
        let gateway = narrow().await;
        gateway.sim.hold_at(hold);
        let ask = Ask::new("a long one");
        let two = join_all([0, 1].map(|number| ways.nth(number).ask(&gateway, &ask)));
        let third = async {
            gateway
                .sim_until("two are under way", |counts| counts.open() == 2)
                .await;
            for way in (0..4).map(|number| ways.nth(number)) {
                let began = Instant::now();
                let outcome = way.ask(&gateway, &Ask::new("me too")).await;
                let failure = outcome.assert_failed("overloaded");
                assert!(!failure.in_band, "{way:?}");
                assert_eq!(failure.should_retry, Some(true), "{way:?}");
                assert!(failure.retry_after.is_some_and(|wait| !wait.is_zero()), "{way:?}");
                assert!(began.elapsed() < Duration::from_secs(5), "it waited for room");
            }
            assert_eq!(gateway.sim.counts().answers_asked, 2, "nothing went upstream");
            gateway.sim.release();
        };
        let (two, ()) = tokio::join!(two, third);
        for outcome in two {
            outcome.assert_whole(&answer_text("a long one"));
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

/// A rejection must not wait for the body: these bodies never end.
#[tokio::test]
async fn a_full_gateway_refuses_before_a_body_is_here() {
    each_door(ONCE, async |(), door| {
        let gateway = narrow().await;
        gateway.sim.hold();
        let ask = Ask::new("a long one");
        let two = join_all(door.ways().map(|way| way.ask(&gateway, &ask)));
        let refused = async {
            gateway
                .sim_until("two are under way", |counts| counts.open() == 2)
                .await;
            for client in [&gateway.web, &gateway.raw] {
                let request = client
                    .post(gateway.url("/v1/chat/completions"))
                    .bearer_auth(KEY)
                    .body(unfinished(b"{".to_vec()));
                let response = within("an answer", request.send()).await.unwrap();
                assert_eq!(error_of(response).await.kind, "overloaded");
            }
            let path = "/duogate.v1.ChatService/StreamChatCompletion";
            let answer = within("an answer", raw_call(&gateway, path, &[], unfinished(vec![0]))).await;
            assert_eq!(failure_of(&answer.status, false).kind, "overloaded");
            gateway.sim.release();
        };
        tokio::join!(two, refused);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_that_is_refused_harms_no_running_chat() {
    each_crowd(ONCE, async |(), ways| {
        const RUNNING: usize = 8;
        const FLOOD: usize = 2000;
        const AT_ONCE: usize = 100;
        let gateway = Setup::new()
            .settings(|settings| {
                settings.max_concurrent_requests = RUNNING;
                settings.timeout = Duration::from_secs(300);
            })
            .start()
            .await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let ask = Ask::new("one two three four");
        let running = join_all((0..RUNNING).map(async |number| ways.nth(number).ask(&gateway, &ask).await));
        let flood = async {
            gateway
                .sim_until("as many as may be are under way", |counts| {
                    counts.open() == RUNNING as u64
                })
                .await;
            let unwanted = Ask::new("unwanted ".repeat(200));
            let refused = stream::iter(0..FLOOD).for_each_concurrent(AT_ONCE, async |number| {
                let way = ways.nth(number);
                let outcome = way.ask(&gateway, &unwanted).await;
                let failure = outcome.assert_failed("overloaded");
                assert_eq!(failure.retry_after, Some(Duration::from_secs(1)), "{way:?}");
                if number == FLOOD / 2 {
                    let statistics = gateway.health().await["statistics"].clone();
                    assert_eq!(statistics["requests_in_flight"], RUNNING);
                }
            });
            refused.await;
            assert_eq!(
                gateway.sim.counts().answers_asked,
                RUNNING as u64,
                "nothing went upstream"
            );
            gateway.sim.release();
        };
        let (running, ()) = within("the flood and the chats", async { tokio::join!(running, flood) }).await;
        for outcome in running {
            outcome.assert_whole(&answer_text("one two three four"));
        }
        let statistics = gateway.health().await["statistics"].clone();
        assert_eq!(statistics["successful_requests"], RUNNING);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn permits_come_back_however_a_chat_ends() {
    each_door(ONCE, async |(), door| {
        let gateway = narrow().await;
        for way in door.ways() {
            for model in [
                "it-model",
                "fault:400",
                "fault:cut",
                "fault:error-event",
                "finish:length",
            ] {
                let _any = way.ask(&gateway, &Ask::new("in and out").model(model)).await;
            }
            let refused = way.ask(&gateway, &Ask::new("no model").model("")).await;
            refused.assert_failed("invalid_request");
            gateway.sim.hold();
            let ask = Ask::new("never mind");
            tokio::select! {
                outcome = way.ask(&gateway, &ask) => panic!("it ended: {outcome:?}"),
                () = gateway.sim_until("it is under way", |counts| counts.open() == 1) => {}
            }
            gateway.sim.release();
            eventually("both permits are back", async || {
                gateway.health().await["statistics"]["requests_in_flight"] == 0
            })
            .await;
        }
        let ask = Ask::new("both at once");
        let both = join_all(door.ways().map(|way| way.ask(&gateway, &ask))).await;
        for outcome in both {
            outcome.assert_whole(&answer_text("both at once"));
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_full_gateway_still_tells_how_it_is() {
    each_door(ONCE, async |(), door| {
        let gateway = narrow().await;
        gateway.sim.hold();
        let ask = Ask::new("a long one");
        let two = join_all(door.ways().map(|way| way.ask(&gateway, &ask)));
        let look = async {
            gateway
                .sim_until("two are under way", |counts| counts.open() == 2)
                .await;
            for path in ["/health", "/livez", "/readyz", "/metrics", "/v1/models"] {
                assert_eq!(gateway.get(path).await.status(), 200, "{path}");
            }
            gateway.sim.release();
        };
        tokio::join!(two, look);
        gateway.stop().await
    })
    .await;
}
