//! Whole and streamed answers, with nothing left behind afterwards.

use std::collections::HashSet;

use duogate::sim::{Step, answer_text};

use crate::support::{Ask, Gateway, ONCE, Setup, each_door};

#[tokio::test]
async fn a_question_is_answered_through_both_doors() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        for (number, way) in door.ways().into_iter().enumerate() {
            let question = format!("Question {number}, with ünïcödé and 👋?\nAnd a second line.");
            let outcome = way.ask(&gateway, &Ask::new(&question)).await;
            outcome.assert_whole(&answer_text(&question));
            assert_eq!(outcome.model, "it-model", "{way:?}");
            let id = outcome.id.strip_prefix("chatcmpl-").expect("OpenAI's prefix");
            assert!(
                id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{id}"
            );
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn every_chat_has_a_fresh_conversation_that_is_removed_afterwards() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .tokens(1)
            .sim(|sim| sim.foreign_conversations = 2)
            .start()
            .await;
        for way in door.ways() {
            for _ in 0..3 {
                let outcome = way.ask(&gateway, &Ask::new("the same text every time")).await;
                outcome.assert_whole(&answer_text("the same text every time"));
            }
        }
        let answers = gateway.sim.answers();
        let conversations: HashSet<_> = answers.iter().map(|answer| &answer.conversation).collect();
        assert_eq!((answers.len(), conversations.len()), (6, 6));
        gateway.settled().await;
        let counts = gateway.sim.counts();
        assert_eq!(counts.conversations_deleted, counts.conversations_made);
        assert!(counts.conversations_made >= 6);
        assert_eq!(
            counts.conversations.get("it-token-one"),
            Some(&2),
            "other people's stay"
        );
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn many_messages_arrive_as_one_transcript() {
    each_door(ONCE, async |(), door| {
    let transcript = "System: Be brief.\n\nSystem: Speak English.\n\nUser: Hi\n\nAssistant: Hello.\n\nTool: 42\n\n\
                      User: Well?";
    let mut ask = Ask::new("");
    ask.messages = [
        ("system", "Be brief."),
        ("developer", "Speak English."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("tool", "42"),
        ("user", "Well?"),
    ]
    .map(|(role, text)| (role, text.to_owned()))
    .to_vec();
    let gateway = Gateway::start().await;
    for way in door.ways() {
        let outcome = way.ask(&gateway, &ask).await;
        outcome.assert_whole(&answer_text(transcript));
    }
    assert!(
        gateway
            .sim
            .answers()
            .iter()
            .all(|answer| answer.text == transcript)
    );
    gateway.stop().await
})
.await;
}

#[tokio::test]
async fn an_answer_of_a_megabyte_comes_whole() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let question = "A long word and a short one, 日本語. ".repeat(26_000);
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new(&question)).await;
            assert!(
                outcome.text() == answer_text(&question),
                "{way:?}: {} bytes",
                outcome.text().len()
            );
            outcome.assert_whole(&answer_text(&question));
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_chat_makes_no_call_that_it_does_not_need() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().tokens(1).start().await;
        let [whole, streamed] = door.ways();
        whole
            .ask(&gateway, &Ask::new("one"))
            .await
            .assert_whole(&answer_text("one"));
        streamed
            .ask(&gateway, &Ask::new("two"))
            .await
            .assert_whole(&answer_text("two"));
        gateway.settled().await;
        let counts = gateway.sim.counts();
        let calls = |step| counts.calls_of(step);
        assert_eq!((calls(Step::ListProjects), calls(Step::CreateProject)), (1, 1));
        assert_eq!((calls(Step::Message), calls(Step::Answer)), (2, 2));
        assert_eq!(calls(Step::ListConversations), 0);
        gateway.stop().await
    })
    .await;
}
