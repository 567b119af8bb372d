//! As many chats at once as are allowed. One more is told so at once; nothing queues unseen.

use std::time::{Duration, Instant};

use duogate::sim::{Hold, answer_text};
use futures::future::join_all;

use crate::support::{Ask, Gateway, Setup, WAYS, eventually};

async fn narrow() -> Gateway {
    Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 2)
        .start()
        .await
}

#[tokio::test]
async fn a_third_chat_is_told_at_once_that_there_is_no_room_for_it() {
    for hold in [Hold::BeforeHead, Hold::AfterFirstPiece] {
        let gateway = narrow().await;
        gateway.sim.hold_at(hold);
        let ask = Ask::new("a long one");
        let two = join_all([WAYS[0].ask(&gateway, &ask), WAYS[3].ask(&gateway, &ask)]);
        let third = async {
            gateway
                .sim_until("two are under way", |counts| counts.open() == 2)
                .await;
            for way in WAYS {
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
        gateway.stop().await;
    }
}

#[tokio::test]
async fn permits_come_back_however_a_chat_ends() {
    let gateway = narrow().await;
    for way in WAYS {
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
    let both = join_all([WAYS[0].ask(&gateway, &ask), WAYS[3].ask(&gateway, &ask)]).await;
    for outcome in both {
        outcome.assert_whole(&answer_text("both at once"));
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_gateway_still_tells_how_it_is() {
    let gateway = narrow().await;
    gateway.sim.hold();
    let ask = Ask::new("a long one");
    let two = join_all([WAYS[1].ask(&gateway, &ask), WAYS[2].ask(&gateway, &ask)]);
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
    gateway.stop().await;
}
