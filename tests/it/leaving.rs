//! A client that disconnects ends its upstream call at once, and leaves nothing behind.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use duogate::{
    config::Settings,
    sim::{Counts, Fault, Hold, Rule, Step, answer_text},
};

use crate::support::{Ask, Gateway, ONCE, Seen, Setup, Way, each_door, each_way, eventually, within};

/// The gateway's promise: the upstream call is closed within a second of the client's disconnection.
const SOON: Duration = Duration::from_secs(1);

/// Begins a chat, waits for `reached`, and disconnects.
async fn leave(gateway: &Gateway, way: Way, reached: impl Future<Output = ()>) -> Instant {
    let ask = Ask::new("never mind");
    tokio::select! {
        biased;
        outcome = way.ask(gateway, &ask) => panic!("{way:?} ended: {outcome:?}"),
        () = reached => Instant::now(),
    }
}

/// Checks that the upstream call is closed, everything is released, and the chat counts as cancelled.
async fn check_left(gateway: Gateway, way: impl Debug, left: Instant) -> Seen {
    gateway
        .sim_until("the call is closed", |counts| counts.open() == 0)
        .await;
    assert!(
        left.elapsed() < SOON,
        "{way:?}: closed after {:?}",
        left.elapsed()
    );
    eventually("the chat counts as left", async || {
        gateway.health().await["statistics"]["cancelled_requests"] == 1
    })
    .await;
    gateway.sim.release();
    gateway.settled().await;
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(statistics["failed_requests"], 0, "{way:?}");
    assert_eq!(statistics["rejected_requests"], 0, "{way:?}");
    assert_eq!(statistics["total_requests"], 1, "{way:?}");
    assert_eq!(statistics["success_rate"], 100.0, "{way:?}");
    let pool = gateway.health().await["token_pool"].clone();
    assert_eq!(
        pool["available_tokens"], pool["total_tokens"],
        "{way:?}: no token is at fault"
    );
    gateway.stop().await
}

async fn alone() -> Gateway {
    Setup::new().tokens(1).start().await
}

#[tokio::test]
async fn who_leaves_while_the_answer_is_awaited_frees_everything() {
    let holds = [Hold::BeforeHead, Hold::AfterHead];
    each_way(holds, async |hold, way| {
        let gateway = alone().await;
        gateway.sim.hold_at(hold);
        let asked = gateway.sim_until("the answer is asked for", |counts| counts.open() == 1);
        let left = leave(&gateway, way, asked).await;
        gateway
            .sim_until("the answer is left", |counts| counts.answers_left == 1)
            .await;
        check_left(gateway, way, left).await
    })
    .await;
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_a_stream_frees_everything() {
    each_door(ONCE, async |(), door| {
        let gateway = alone().await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let mut opened = door.open(&gateway, &Ask::new("one two three")).await.unwrap();
        within("the first text", opened.first_text()).await;
        assert!(answer_text("one two three").starts_with(opened.so_far().text()));
        assert_eq!(gateway.in_flight().await, [1]);
        drop(opened);
        let left = Instant::now();
        gateway
            .sim_until("the answer is left", |counts| counts.answers_left == 1)
            .await;
        check_left(gateway, door, left).await
    })
    .await;
}

#[tokio::test]
async fn who_leaves_a_whole_answer_in_its_middle_frees_everything() {
    each_door(ONCE, async |(), door| {
        let [whole, _] = door.ways();
        let gateway = alone().await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let begun = gateway.sim_until("the answer begins", |counts| counts.answers_started == 1);
        let left = leave(&gateway, whole, begun).await;
        check_left(gateway, whole, left).await
    })
    .await;
}

#[tokio::test]
async fn who_leaves_while_the_message_is_on_its_way_closes_that_call() {
    each_way(ONCE, async |(), way| {
        let gateway = alone().await;
        gateway.sim.script(Rule::once(Fault::Stall).on(Step::Message));
        let posted = gateway.sim_until("the message is posted", |counts| {
            counts.calls_of(Step::Message) == 1
        });
        let left = leave(&gateway, way, posted).await;
        let closed = |counts: &Counts| counts.abandoned.get(&Step::Message) == Some(&1);
        gateway.sim_until("the message's call is closed", closed).await;
        check_left(gateway, way, left).await
    })
    .await;
}

#[tokio::test]
async fn a_conversation_that_is_being_made_is_finished_and_removed() {
    each_way(ONCE, async |(), way| {
        let gateway = alone().await;
        let slowly = Fault::Delay(Duration::from_millis(400));
        gateway
            .sim
            .script(Rule::once(slowly).on(Step::CreateConversation));
        let begun = |counts: &Counts| counts.calls_of(Step::CreateConversation) == 1;
        let begun = gateway.sim_until("a conversation is being made", begun);
        leave(&gateway, way, begun).await;
        let removed = |counts: &Counts| counts.conversations_deleted == 1;
        gateway.sim_until("the conversation is removed", removed).await;
        let counts = gateway.sim.counts();
        assert!(counts.abandoned.is_empty(), "{way:?}: {:?}", counts.abandoned);
        assert_eq!(counts.calls_of(Step::Message), 0, "{way:?}");
        check_left(gateway, way, Instant::now()).await
    })
    .await;
}

#[tokio::test]
async fn who_leaves_during_the_wait_before_a_retry_is_not_tried_for_again() {
    each_way(ONCE, async |(), way| {
        let long = |settings: &mut Settings| settings.retry_delay = Duration::from_secs(60);
        let gateway = Setup::new().tokens(1).settings(long).start().await;
        gateway
            .sim
            .script(Rule::always(Fault::status(500)).on(Step::Answer));
        let failed = |counts: &Counts| counts.answered_with(Step::Answer, 500) == 1;
        let left = leave(&gateway, way, gateway.sim_until("the attempt fails", failed)).await;
        let calls = |gateway: &Gateway| gateway.sim.counts().calls_of(Step::Answer);
        assert_eq!(calls(&gateway), 1, "{way:?}");
        check_left(gateway, way, left).await
    })
    .await;
}
