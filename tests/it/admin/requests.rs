//! Admin operations on chats in flight.

use duogate::{
    config::Settings,
    sim::{Hold, answer_text},
};

use super::{operated, sha256};
use crate::support::{
    Ask, Desk, Door, Gateway, ONCE, Seen, TOKENS, assert_not_found, each_door, each_way, within,
};

/// The only chat in flight, once its answer is open on the upstream.
async fn only_chat(desk: Desk<'_>) -> serde_json::Value {
    let held = desk
        .gateway
        .sim_until("the answer is held", |counts| counts.open() == 1);
    held.await;
    let mut rows = desk.requests().await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// Checks that nothing is in flight or left behind, and that this many chats failed for other reasons.
async fn all_is_given_back(gateway: Gateway, desk: Door, failed: u64) -> Seen {
    gateway
        .sim_until("the call is closed", |counts| counts.open() == 0)
        .await;
    gateway.sim.release();
    gateway.settled().await;
    let desk = Desk {
        gateway: &gateway,
        door: desk,
    };
    assert!(desk.requests().await.is_empty());
    assert_eq!(desk.conversations().await["in_use"], 0);
    assert_eq!(desk.tokens().await[0]["in_flight"], 0);
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(
        (&statistics["cancelled_requests"], &statistics["failed_requests"]),
        (&1.into(), &failed.into())
    );
    gateway.stop().await
}

#[tokio::test]
async fn a_running_stream_is_seen_and_ended_on_a_gateway_that_is_full() {
    let full = |settings: &mut Settings| settings.max_concurrent_requests = 1;
    each_door(Door::BOTH, async |operator, door| {
        let gateway = operated().tokens(1).settings(full).start().await;
        let desk = Desk {
            gateway: &gateway,
            door: operator,
        };
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let ask = Ask::new("one two three");
        let mut opened = door.open(&gateway, &ask).await.unwrap();
        within("the first text", opened.first_text()).await;
        door.stream(&gateway, &ask).await.assert_failed("overloaded");
        let row = only_chat(desk).await;
        let through = if door == Door::Http { "http" } else { "grpc" };
        assert_eq!(
            (&row["door"], &row["model"]),
            (&through.into(), &"it-model".into())
        );
        assert_eq!(row["token"], sha256(TOKENS[0])[..8]);
        assert_eq!(row["bytes"], opened.so_far().text().len());
        assert!(row["age_seconds"].as_f64().unwrap() > 0.0, "{row}");
        let cancelled = desk.cancel(row["id"].as_str().unwrap()).await.unwrap();
        assert_eq!(
            (&cancelled["id"], &cancelled["cancelled"]),
            (&row["id"], &1.into())
        );
        let outcome = within("the end", opened.finish()).await;
        let failure = outcome.assert_failed("cancelled");
        assert!(
            failure.in_band && failure.message.contains("operator"),
            "{failure:?}"
        );
        assert!(answer_text("one two three").starts_with(outcome.text()));
        all_is_given_back(gateway, operator, 1).await
    })
    .await;
}

#[tokio::test]
async fn a_chat_that_has_not_begun_to_answer_is_ended_too() {
    each_way(Door::BOTH, async |door, way| {
        let gateway = operated().tokens(1).start().await;
        let desk = Desk {
            gateway: &gateway,
            door,
        };
        gateway.sim.hold();
        let ask = Ask::new("never mind");
        let chat = way.ask(&gateway, &ask);
        let cancel = async {
            let row = only_chat(desk).await;
            assert_eq!(row["bytes"], 0);
            desk.cancel(row["id"].as_str().unwrap()).await.unwrap();
        };
        let (outcome, ()) = within("the end", async { tokio::join!(chat, cancel) }).await;
        let failure = outcome.assert_failed("cancelled");
        assert_eq!(
            (failure.in_band, failure.should_retry),
            (false, Some(false)),
            "{way:?}"
        );
        all_is_given_back(gateway, door, 0).await
    })
    .await;
}

#[tokio::test]
async fn an_id_of_the_clients_own_may_hold_slashes_and_name_several_chats() {
    each_way(ONCE, async |(), way| {
        let gateway = operated().start().await;
        gateway.sim.hold();
        let ask = Ask::new("same name").id("team/a:1");
        let chats = async { tokio::join!(way.ask(&gateway, &ask), way.ask(&gateway, &ask)) };
        let cancel = async {
            gateway
                .sim_until("both are under way", |counts| counts.open() == 2)
                .await;
            let [desk, _] = Desk::both(&gateway);
            assert_eq!(desk.requests().await.len(), 2);
            assert_eq!(desk.cancel("team/a:1").await.unwrap()["cancelled"], 2);
        };
        let ((one, other), ()) = within("the end", async { tokio::join!(chats, cancel) }).await;
        for outcome in [one, other] {
            outcome.assert_failed("cancelled");
        }
        gateway.sim.release();
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_id_that_names_no_chat_is_not_found() {
    let gateway = operated().start().await;
    for desk in Desk::both(&gateway) {
        assert!(desk.requests().await.is_empty());
        let told = desk.cancel("no-such-request").await;
        assert_not_found(desk, told, "id", "no-such-request");
    }
    let [_, grpc] = Desk::both(&gateway);
    let refused = grpc.cancel("").await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        ("invalid_request", Some("id"))
    );
    gateway.stop().await;
}
