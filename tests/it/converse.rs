//! `Converse`: one stream is one conversation upstream, for as long as that exists.

mod ends;
mod input;
mod replay;

use duogate::sim::{Hold, Step, answer_text};
use futures::future::join_all;

use crate::support::{Ask, Door, End, Gateway, Setup, Talk, eventually};

/// Numbers of conversations created, messages posted and answers asked for.
fn calls(gateway: &Gateway) -> [u64; 3] {
    let counts = gateway.sim.counts();
    [Step::CreateConversation, Step::Message, Step::Answer].map(|step| counts.calls_of(step))
}

/// The messages sent upstream.
fn sent(gateway: &Gateway) -> Vec<String> {
    let answers = gateway.sim.answers();
    answers.into_iter().map(|answer| answer.text).collect()
}

#[tokio::test]
async fn twenty_turns_use_one_conversation_and_twenty_messages() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    for number in 1..=20 {
        let text = format!("turn {number}");
        let outcome = talk.ask(&text).await;
        outcome.assert_whole(&answer_text(&text));
        assert_eq!((outcome.number, outcome.replayed), (number, None));
    }
    assert_eq!(calls(&gateway), [1, 20, 20]);
    let said: Vec<String> = (1..=20).map(|number| format!("turn {number}")).collect();
    assert_eq!(sent(&gateway), said, "each turn goes with its own text alone");
    assert_eq!(gateway.sim.counts().conversations_left, 1);
    talk.close();
    talk.end().await.unwrap();
    gateway.settled().await;
    assert_eq!(gateway.sim.counts().calls_of(Step::DeleteConversation), 1);
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(
        statistics["successful_requests"], 20,
        "each turn counts as a chat"
    );
    assert_eq!(statistics["total_requests"], 20);
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_said_before_goes_with_the_first_turn_only() {
    let gateway = Gateway::start().await;
    let mut ask = Ask::new("Be brief.");
    ask.messages = vec![
        ("system", "Be brief.".to_owned()),
        ("user", "Hi".to_owned()),
        ("assistant", "Hello.".to_owned()),
    ];
    let mut talk = Talk::start(&gateway, &ask).await;
    talk.ask("How are you?").await;
    talk.ask("And now?").await;
    let first = "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: How are you?";
    assert_eq!(sent(&gateway), [first, "And now?"]);
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn turns_that_are_sent_at_once_are_answered_one_after_the_other() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    // More than the queue takes: the rest is read when there is room.
    const MANY: u32 = 40;
    for number in 1..=MANY {
        talk.say(format!("number {number}")).await;
    }
    talk.close();
    for number in 1..=MANY {
        let outcome = talk.turn().await;
        outcome.assert_whole(&answer_text(&format!("number {number}")));
        assert_eq!(outcome.number, number);
    }
    talk.end().await.unwrap();
    assert_eq!(calls(&gateway), [1, u64::from(MANY), u64::from(MANY)]);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn between_turns_a_conversation_holds_neither_token_nor_permit() {
    let gateway = Setup::new()
        .tokens(1)
        .settings(|settings| {
            settings.max_concurrent_requests = 8;
            settings.max_in_flight_per_token = 1;
        })
        .start()
        .await;
    let mut talks = Vec::new();
    for number in 0..8 {
        let mut talk = Talk::anew(&gateway).await;
        let text = format!("first of {number}");
        talk.ask(&text).await.assert_whole(&answer_text(&text));
        talks.push(talk);
    }
    eventually("nothing is held", async || {
        let idle = gateway.health().await["statistics"]["requests_in_flight"] == 0;
        idle && gateway.in_flight().await == [0]
    })
    .await;
    // The number of conversations is at its limit.
    let refused = Talk::open(&gateway).await.unwrap_err();
    assert_eq!(crate::support::failure_of(&refused, false).kind, "overloaded");
    for (number, talk) in talks.iter_mut().enumerate() {
        let text = format!("second of {number}");
        talk.ask(&text).await.assert_whole(&answer_text(&text));
    }
    assert_eq!(calls(&gateway), [8, 16, 16]);
    drop(talks);
    gateway.settled().await;
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(statistics["successful_requests"], 16);
    assert_eq!(
        statistics["failed_requests"], 1,
        "the one that found no room counts"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_turn_that_finds_no_room_fails_and_the_conversation_goes_on() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 1)
        .start()
        .await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    gateway.sim.hold();
    let ask = Ask::new("in the way");
    let held = Door::Http.chat(&gateway, &ask);
    let meanwhile = async {
        gateway
            .sim_until("the other chat is under way", |counts| counts.open() == 1)
            .await;
        let outcome = talk.ask("two").await;
        let failure = outcome.assert_failed("OVERLOADED");
        assert!(
            failure.should_retry && failure.retry_after.is_some(),
            "{failure:?}"
        );
        assert_eq!(failure.code, i32::from(tonic::Code::Unavailable));
        gateway.sim.release();
    };
    let (other, ()) = tokio::join!(held, meanwhile);
    other.assert_whole(&answer_text("in the way"));
    eventually("there is room again", async || {
        gateway.health().await["statistics"]["requests_in_flight"] == 0
    })
    .await;
    // Nothing was posted to the conversation, so it is still usable and does not contain the failed turn.
    let outcome = talk.ask("three").await;
    outcome.assert_whole(&answer_text("three"));
    assert_eq!(outcome.replayed, None);
    assert_eq!(calls(&gateway), [2, 3, 3]);
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn conversations_side_by_side_never_see_each_other() {
    let gateway = Gateway::start().await;
    let talks = (0..32).map(async |talk| {
        let mut stream = Talk::anew(&gateway).await;
        for turn in 0..5 {
            let text = format!("talk {talk} turn {turn}");
            let outcome = stream.ask(&text).await;
            outcome.assert_whole(&answer_text(&text));
            assert_eq!(outcome.replayed, None);
        }
        stream.close();
        stream.end().await.unwrap();
    });
    join_all(talks).await;
    assert_eq!(calls(&gateway), [32, 160, 160]);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn reasoning_and_the_upstreams_figures_come_through() {
    let gateway = Gateway::start().await;
    let mut ask = Ask::new("").model("dialect:reasoning");
    ask.messages.clear();
    let mut talk = Talk::start(&gateway, &ask).await;
    let outcome = talk.ask("think first").await;
    outcome.assert_whole(&answer_text("think first"));
    assert!(!outcome.reasoning.is_empty());
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_turn_is_told_among_the_chats_under_way() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    talk.say("one two three").await;
    talk.first_text().await;
    assert_eq!(gateway.health().await["statistics"]["requests_in_flight"], 1);
    assert_eq!(gateway.in_flight().await, [1, 0, 0]);
    gateway.sim.release();
    assert_eq!(talk.turn().await.end, End::Whole("stop".to_owned()));
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}
