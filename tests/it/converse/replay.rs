//! Lost conversations: the next turn sends the history to a new one, and the client is notified.

use std::time::Duration;

use duogate::{
    app::client::ReplayReason,
    sim::{Fault, Hold, Rule, Step, answer_text},
};

use super::{calls, sent};
use crate::support::{Ask, Door, End, Gateway, Setup, TOKENS, Talk};

/// The transcript of turns answered by the simulator, and one more turn.
fn transcript<T: AsRef<str>>(turns: &[T], last: &str) -> String {
    let told = turns.iter().map(AsRef::as_ref);
    let told = told.map(|turn| format!("User: {turn}\n\nAssistant: {}\n\n", answer_text(turn)));
    told.collect::<String>() + "User: " + last
}

/// Refused credentials are tried again soon.
fn short_cooldown() -> Setup {
    Setup::new().settings(|settings| settings.token_cooldown = Duration::from_millis(200))
}

/// The credential whose account has the only conversation.
fn holder(gateway: &Gateway) -> String {
    let counts = gateway.sim.counts();
    let holds = |(token, held): (&String, &u64)| (*held > 0).then(|| token.clone());
    counts.conversations.iter().find_map(holds).expect("a holder")
}

#[tokio::test]
async fn a_token_that_dies_between_turns_costs_one_conversation_and_one_event() {
    let gateway = short_cooldown().start().await;
    let mut talk = Talk::anew(&gateway).await;
    let texts: Vec<String> = (1..=20).map(|number| format!("turn {number}")).collect();
    let mut replays = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        if index == 10 {
            let token = holder(&gateway);
            assert!(gateway.sim.revoke(&token));
        }
        let outcome = talk.ask(text).await;
        outcome.assert_whole(&answer_text(&match index {
            10 => transcript(&texts[..10], text),
            _ => text.clone(),
        }));
        replays.extend(
            outcome
                .replayed
                .map(|event| (index, event.reason(), event.messages)),
        );
    }
    assert_eq!(replays, [(10, ReplayReason::TokenLost, 20)], "one event");
    let mut wanted = texts.clone();
    wanted[10] = transcript(&texts[..10], &texts[10]);
    assert_eq!(sent(&gateway), wanted, "the history once, each later turn alone");
    // One message more than turns: the one sent with the revoked credential.
    assert_eq!(calls(&gateway), [2, 21, 20]);
    // With the credential restored its conversation can be deleted.
    for token in TOKENS {
        gateway.sim.restore(token);
    }
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_that_is_known_as_dead_is_not_asked() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    let token = holder(&gateway);
    gateway.sim.revoke(&token);
    // Other chats discover it: with as many as there are credentials, each is used.
    for _ in TOKENS {
        let chat = Door::Http.chat(&gateway, &Ask::new("find out")).await;
        chat.assert_whole(&answer_text("find out"));
    }
    let before = gateway.sim.counts().calls_with(&token, Step::Message);
    let outcome = talk.ask("two").await;
    outcome.assert_whole(&answer_text(&transcript(&["one"], "two")));
    assert_eq!(outcome.replay(), Some(ReplayReason::TokenLost));
    assert_eq!(gateway.sim.counts().calls_with(&token, Step::Message), before);
    drop(talk);
    // The conversation in the revoked account cannot be deleted.
    gateway
        .sim_until("all others are removed", |counts| counts.conversations_left == 1)
        .await;
    assert_eq!(gateway.sim.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_conversation_that_the_service_lost_is_made_anew() {
    let gateway = Setup::new().tokens(1).start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    gateway.sim.expire_conversations(TOKENS[0]);
    let outcome = talk.ask("two").await;
    outcome.assert_whole(&answer_text(&transcript(&["one"], "two")));
    assert_eq!(outcome.replay(), Some(ReplayReason::ConversationLost));
    let outcome = talk.ask("three").await;
    outcome.assert_whole(&answer_text("three"));
    assert_eq!(outcome.replayed, None);
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_service_that_fails_at_a_turn_is_tried_again_elsewhere() {
    for (step, made) in [(Step::Message, 2), (Step::Answer, 2)] {
        let gateway = Gateway::start().await;
        let mut talk = Talk::anew(&gateway).await;
        talk.ask("one").await.assert_whole(&answer_text("one"));
        gateway.sim.script(Rule::once(Fault::status(503)).on(step));
        let outcome = talk.ask("two").await;
        outcome.assert_whole(&answer_text(&transcript(&["one"], "two")));
        assert_eq!(outcome.replay(), Some(ReplayReason::ConversationLost), "{step:?}");
        assert_eq!(calls(&gateway)[0], made);
        drop(talk);
        gateway.settled().await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_turn_that_is_cut_fails_and_leaves_no_trace_in_the_history() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    gateway
        .sim
        .script(Rule::once(Fault::CutMidStream { after: 2 }).on(Step::Answer));
    let outcome = talk.ask("two is cut").await;
    assert_eq!(outcome.text, "You said: ");
    let failure = outcome.assert_failed("UPSTREAM_TRUNCATED");
    assert!(!failure.should_retry, "{failure:?}");
    let outcome = talk.ask("three").await;
    outcome.assert_whole(&answer_text(&transcript(&["one"], "three")));
    assert_eq!(outcome.replay(), Some(ReplayReason::TurnCut));
    assert_eq!(calls(&gateway), [2, 3, 3]);
    drop(talk);
    gateway.settled().await;
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(statistics["successful_requests"], 2);
    assert_eq!(statistics["failed_requests"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_turn_that_is_cancelled_ends_at_once_and_stays_in_the_history() {
    let gateway = Setup::new().tokens(1).start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    talk.say("two goes on and on").await;
    assert_eq!(talk.first_text().await, "You ");
    talk.cancel(0).await;
    let outcome = talk.turn().await;
    assert_eq!((outcome.end, outcome.number), (End::Cancelled, 2));
    gateway
        .sim_until("the upstream's answer is closed", |counts| counts.open() == 0)
        .await;
    assert_eq!(gateway.sim.counts().answers_left, 1);
    assert_eq!(gateway.in_flight().await, [0]);
    gateway.sim.release();
    let outcome = talk.ask("three").await;
    let said = "User: two goes on and on\n\nAssistant: You \n\nUser: three";
    let history = transcript(&["one"], "");
    let history = history.strip_suffix("User: ").unwrap();
    outcome.assert_whole(&answer_text(&format!("{history}{said}")));
    assert_eq!(outcome.replay(), Some(ReplayReason::TurnCut));
    drop(talk);
    gateway.settled().await;
    assert_eq!(gateway.health().await["statistics"]["cancelled_requests"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_turn_is_cancelled_before_its_answer_starts_and_while_it_waits() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    gateway.sim.hold();
    talk.say("one").await;
    talk.say("two").await;
    talk.say("three").await;
    gateway
        .sim_until("the first is asked", |counts| counts.open() == 1)
        .await;
    talk.cancel(2).await;
    talk.cancel(1).await;
    assert_eq!(talk.turn().await.end, End::Cancelled);
    gateway.sim.release();
    let second = talk.turn().await;
    assert_eq!((second.number, second.end), (2, End::Cancelled));
    // A turn cancelled while queued is not part of the history; one cancelled under way is.
    let third = talk.turn().await;
    third.assert_whole(&answer_text("User: one\n\nUser: three"));
    assert_eq!(third.replay(), Some(ReplayReason::TurnCut));
    // Cancelling a finished turn has no effect.
    talk.cancel(3).await;
    talk.cancel(0).await;
    talk.ask("four").await.assert_whole(&answer_text("four"));
    talk.close();
    talk.end().await.unwrap();
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_cancel_is_heard_behind_a_long_turn_and_behind_many() {
    let gateway = Gateway::start().await;
    for waiting in [vec!["y".repeat(2 << 20)], vec!["x".to_owned(); 16]] {
        let mut talk = Talk::anew(&gateway).await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        talk.say("on and on").await;
        talk.first_text().await;
        for text in &waiting {
            talk.say(text.clone()).await;
        }
        talk.cancel(1).await;
        assert_eq!(talk.turn().await.end, End::Cancelled);
        gateway.sim.release();
        for _ in &waiting {
            talk.turn().await.assert_ended();
        }
        drop(talk);
        gateway.settled().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_a_limit_ends_is_whole_and_the_next_turn_goes_elsewhere() {
    let gateway = Gateway::start().await;
    let mut options = Ask::new("").proto();
    options.messages.clear();
    options.stop = vec!["STOP".to_owned()];
    let mut talk = Talk::start_with(&gateway, options).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    let outcome = talk.ask("before STOP after").await;
    outcome.assert_whole("You said: before ");
    let outcome = talk.ask("three").await;
    assert_eq!(outcome.replay(), Some(ReplayReason::TurnCut));
    // The transcript contains the stop sequence, and so does the answer that repeats it: it ends there.
    assert_eq!(outcome.end, End::Whole("stop".to_owned()));
    let history = "User: one\n\nAssistant: You said: one\n\nUser: before STOP after\n\nAssistant: You said: before \n\n";
    assert_eq!(sent(&gateway)[2], format!("{history}User: three"));
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn when_no_token_is_left_the_turn_fails_and_the_next_may_go_well() {
    let gateway = short_cooldown().tokens(1).start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    gateway.sim.revoke(TOKENS[0]);
    let outcome = talk.ask("two").await;
    outcome.assert_failed("CREDENTIALS_REJECTED");
    gateway.sim.restore(TOKENS[0]);
    crate::support::eventually("the token is back", async || {
        gateway.health().await["token_pool"]["available_tokens"] == 1
    })
    .await;
    let outcome = talk.ask("two again").await;
    outcome.assert_whole(&answer_text(&transcript(&["one"], "two again")));
    assert_eq!(outcome.replay(), Some(ReplayReason::TurnCut));
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_first_turn_that_fails_may_be_said_again() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_retries = 0)
        .start()
        .await;
    let mut talk = Talk::anew(&gateway).await;
    gateway
        .sim
        .script(Rule::once(Fault::status(500)).on(Step::Answer));
    let outcome = talk.ask("one").await;
    outcome.assert_failed("UPSTREAM_UNAVAILABLE");
    let outcome = talk.ask("one").await;
    outcome.assert_whole(&answer_text("one"));
    assert_eq!(outcome.replayed, None, "nothing was said before");
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn turns_that_come_and_go_make_no_more_conversations_than_chats_may() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 2)
        .start()
        .await;
    let slow = Fault::Delay(Duration::from_secs(1));
    gateway
        .sim
        .script(Rule::always(slow).on(Step::CreateConversation));
    let mut talk = Talk::anew(&gateway).await;
    let began = std::time::Instant::now();
    let mut turns = 0;
    while began.elapsed() < Duration::from_millis(900) {
        talk.say("never mind").await;
        talk.cancel(0).await;
        // The cancellation may come before or after the turn begins.
        assert_eq!(talk.turn().await.end, End::Cancelled);
        turns += 1;
    }
    assert!(turns > 20, "only {turns}");
    let [made, messages, _] = calls(&gateway);
    assert!(made <= 2 && messages == 0, "{made} of {turns}");
    gateway.sim.clear();
    talk.ask("but now").await;
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}
