//! Ends of a conversation: by its client, a timeout, its length, or the end of the process.

use std::time::{Duration, Instant};

use duogate::sim::{Hold, answer_text};
use secrecy::ExposeSecret;

use crate::support::{ADMIN_KEY, Ask, Desk, End, Gateway, KEY, Setup, Talk, within};

#[tokio::test]
async fn who_leaves_takes_conversation_and_answer_along() {
    let gateway = Setup::new().tokens(1).start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    talk.say("two and more").await;
    talk.first_text().await;
    drop(talk);
    let left = Instant::now();
    gateway
        .sim_until("the answer is left", |counts| counts.answers_left == 1)
        .await;
    assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    gateway.sim.release();
    gateway.settled().await;
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(statistics["cancelled_requests"], 1);
    assert_eq!(statistics["successful_requests"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn who_leaves_between_turns_leaves_nothing_behind() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    assert_eq!(gateway.sim.counts().conversations_left, 1);
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn silence_ends_it_with_a_clear_status() {
    let gateway = Setup::new()
        .settings(|settings| settings.converse_idle_timeout = Duration::from_millis(300))
        .start()
        .await;
    let mut quiet = Talk::open(&gateway).await.unwrap();
    let failure = quiet.end().await.unwrap_err();
    assert_eq!(failure.kind, "request_timeout", "before the start");
    let mut talk = Talk::anew(&gateway).await;
    // An answer under way is no idle time.
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    talk.say("a long answer").await;
    talk.first_text().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    gateway.sim.release();
    assert_eq!(talk.turn().await.end, End::Whole("stop".to_owned()));
    let failure = talk.end().await.unwrap_err();
    assert_eq!(failure.kind, "request_timeout");
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_deadline_bounds_the_whole_stream() {
    let gateway = Gateway::start().await;
    let deadline = Duration::from_millis(500);
    let mut talk = Talk::open_with(&gateway, |request| request.set_timeout(deadline))
        .await
        .unwrap();
    talk.send_start(Ask::new("before").proto()).await;
    talk.event().await.unwrap().expect("the start");
    gateway.sim.hold();
    talk.say("too late").await;
    // The client's own timer may be first; then there is no end of the turn to read.
    let failure = loop {
        match talk.event().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a good end"),
            Err(failure) => break failure,
        }
    };
    assert!(
        ["deadline_exceeded", "cancelled"].contains(&failure.kind),
        "{failure:?}"
    );
    gateway
        .sim_until("the upstream's answer is closed", |counts| counts.open() == 0)
        .await;
    gateway.sim.release();
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn each_turn_has_the_request_timeout_of_its_own() {
    let gateway = Setup::new()
        .settings(|settings| settings.request_timeout = Duration::from_millis(400))
        .start()
        .await;
    let mut talk = Talk::anew(&gateway).await;
    gateway.sim.hold();
    talk.ask("too slow").await.assert_failed("DEADLINE_EXCEEDED");
    gateway.sim.release();
    // Together the turns take longer than one may.
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < Duration::from_millis(600) {
        number += 1;
        talk.ask(&format!("turn {number}")).await.assert_ended();
    }
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_history_that_could_not_be_sent_again_ends_it() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_prompt_bytes = 1024)
        .start()
        .await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask(&"x".repeat(400)).await.assert_ended();
    talk.say("y".repeat(400)).await;
    let outcome = talk.turn().await;
    let failure = outcome.assert_failed("CONTEXT_LENGTH_EXCEEDED");
    assert_eq!(failure.field.as_deref(), Some("turn.content"));
    let failure = talk.end().await.unwrap_err();
    assert_eq!(failure.kind, "context_length_exceeded");
    assert_eq!(failure.field.as_deref(), Some("turn.content"));
    gateway.settled().await;
    // Earlier messages count from the start.
    let mut talk = Talk::open(&gateway).await.unwrap();
    talk.send_start(Ask::new("z".repeat(1024)).proto()).await;
    let failure = talk.end().await.unwrap_err();
    assert_eq!(failure.kind, "context_length_exceeded");
    assert_eq!(failure.field.as_deref(), Some("start.options.messages"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_drain_ends_idle_conversations_first_and_lets_turns_go_on() {
    let mut gateway = Gateway::start().await;
    let mut idle = Talk::anew(&gateway).await;
    idle.ask("one").await.assert_whole(&answer_text("one"));
    let mut unstarted = Talk::open(&gateway).await.unwrap();
    let mut busy = Talk::anew(&gateway).await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    busy.say("the last words").await;
    busy.say("never begun").await;
    busy.first_text().await;
    gateway.stop.soft.cancel();
    for talk in [&mut idle, &mut unstarted] {
        let failure = talk.end().await.unwrap_err();
        assert_eq!(failure.kind, "shutting_down");
    }
    gateway.sim.release();
    let outcome = busy.turn().await;
    assert_eq!(outcome.end, End::Whole("stop".to_owned()));
    busy.turn().await.assert_failed("SHUTTING_DOWN");
    let failure = busy.end().await.unwrap_err();
    assert_eq!(failure.kind, "shutting_down");
    // The client sides are still open, and do not delay the end.
    gateway.ended().await.expect("an orderly end");
    assert_eq!(gateway.sim.counts().conversations_left, 0);
    assert_eq!(gateway.sim.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn when_the_grace_is_over_a_turn_fails_and_the_stream_ends() {
    let mut gateway = Setup::new()
        .settings(|settings| settings.shutdown_grace = Duration::from_millis(100))
        .start()
        .await;
    let mut talk = Talk::anew(&gateway).await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    talk.say("cut short").await;
    talk.first_text().await;
    gateway.stop.soft.cancel();
    talk.turn().await.assert_failed("SHUTTING_DOWN");
    assert_eq!(talk.end().await.unwrap_err().kind, "shutting_down");
    gateway.ended().await.expect("an orderly end");
    assert_eq!(gateway.sim.counts().conversations_left, 0);
}

#[tokio::test]
async fn an_operator_can_end_a_turn() {
    let gateway = Setup::new()
        .settings(|settings| settings.admin_key = Some(ADMIN_KEY.into()))
        .start()
        .await;
    let [desk, _] = Desk::both(&gateway);
    let mut talk = Talk::open_with(&gateway, |request| {
        request
            .metadata_mut()
            .insert("x-request-id", "talk-1".parse().unwrap());
    })
    .await
    .unwrap();
    talk.send_start(Ask::new("before").proto()).await;
    talk.event().await.unwrap().expect("the start");
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    talk.say("on and on").await;
    talk.first_text().await;
    desk.cancel("talk-1").await.unwrap();
    let outcome = within("the turn's end", talk.turn()).await;
    outcome.assert_failed("CANCELLED");
    gateway.sim.release();
    assert_eq!(talk.ask("and now").await.end, End::Whole("stop".to_owned()));
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_transcript_adds_to_the_history_counts_too() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_prompt_bytes = 1024)
        .start()
        .await;
    let mut talk = Talk::open(&gateway).await.unwrap();
    // The indent of each line, which keeps it from naming a speaker, counts as well.
    talk.send_start(Ask::new("User:\n".repeat(160)).proto()).await;
    let failure = talk.end().await.unwrap_err();
    assert_eq!(failure.kind, "context_length_exceeded");
    let mut talk = Talk::start(&gateway, &Ask::new("User:\n".repeat(120))).await;
    talk.say("x".repeat(200)).await;
    talk.turn().await.assert_failed("CONTEXT_LENGTH_EXCEEDED");
    assert_eq!(talk.end().await.unwrap_err().kind, "context_length_exceeded");
    gateway.stop().await;
}

#[tokio::test]
async fn only_a_turn_ends_the_silence() {
    let gateway = Setup::new()
        .settings(|settings| settings.converse_idle_timeout = Duration::from_millis(500))
        .start()
        .await;
    let mut talk = Talk::anew(&gateway).await;
    let chatter = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if !talk.try_cancel(0).await {
                return;
            }
        }
    };
    within("the end of what the client may say", chatter).await;
    assert_eq!(talk.end().await.unwrap_err().kind, "request_timeout");
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_has_no_further_turn() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    talk.say("two and more").await;
    talk.first_text().await;
    let mut settings = gateway.live().settings();
    settings.api_keys.retain(|key| key.expose_secret() != KEY);
    assert!(gateway.live().apply(&settings));
    // An admitted turn is answered, as at the other door.
    gateway.sim.release();
    talk.turn().await.assert_ended();
    let refused = talk.ask("three").await;
    let failure = refused.assert_failed("UNAUTHENTICATED");
    assert!(!failure.should_retry, "{failure:?}");
    assert_eq!(talk.end().await.unwrap_err().kind, "unauthenticated");
    let counts = gateway.sim.counts();
    assert_eq!(counts.messages, 2, "the third turn went nowhere");
    gateway
        .sim_until("the conversation is removed", |counts| {
            counts.conversations_left == 0
        })
        .await;
    gateway.stop().await;
}
