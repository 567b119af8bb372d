//! Calls that follow the contract, from the first to the last.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Shape, Sim, SimConfig, Step, answer_text};
use super::{World, content, drained, segment};

#[tokio::test]
async fn a_whole_chat_is_answered_and_breaks_nothing() {
    let world = World::new().await;
    let projects: Value = world
        .bare(Method::GET, "/project")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(projects, json!([]));
    let talk = world.told("good morning").await;
    let response = world.answer(&talk, "gpt").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let (stream, whole) = drained(response).await;
    assert!(whole && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    assert_eq!(content(&stream), answer_text("good morning"));
    assert_eq!(world.delete(&talk).send().await.unwrap().status(), 200);
    world
        .until(|counts| counts.answers_finished == 1 && counts.open() == 0)
        .await;
    let counts = world.control.counts();
    assert_eq!(
        (
            counts.conversations_made,
            counts.conversations_deleted,
            counts.conversations_left
        ),
        (1, 1, 0)
    );
    assert_eq!(
        (
            counts.messages,
            counts.calls_of(Step::Answer),
            counts.answered_with(Step::Message, 201)
        ),
        (1, 1, 1)
    );
    assert_eq!(counts.projects["sim-token"], 1);
    let asked = &world.control.answers()[0];
    assert_eq!(
        (asked.model.as_str(), asked.text.as_str()),
        ("gpt", "good morning")
    );
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
}

#[tokio::test]
async fn further_turns_follow_on_one_conversation() {
    let world = World::new().await;
    let talk = world.told("one").await;
    for text in ["two", "three", "three"] {
        drained(world.answer(&talk, "gpt").send().await.unwrap()).await;
        assert_eq!(world.message(&talk, text).send().await.unwrap().status(), 201);
    }
    let (stream, _) = drained(world.answer(&talk, "gpt").send().await.unwrap()).await;
    assert_eq!(content(&stream), answer_text("three"));
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
}

#[tokio::test]
async fn a_conversation_is_gone_once_it_is_deleted_and_deleting_it_again_is_no_breach() {
    let world = World::new().await;
    let talk = world.talk().await;
    let path = format!("/project/{}/conversations", segment(&talk.project));
    let listed: Value = world
        .bare(Method::GET, &path)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed[0]["id"], talk.conversation);
    assert_eq!(world.delete(&talk).send().await.unwrap().status(), 200);
    assert_eq!(world.delete(&talk).send().await.unwrap().status(), 404);
    let listed: Value = world
        .bare(Method::GET, &path)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed, json!([]));
    assert!(world.is_flawless());
    assert_eq!(world.message(&talk, "hello").send().await.unwrap().status(), 404);
    assert!(!world.is_flawless());
}

#[tokio::test]
async fn ids_may_be_numbers_that_a_float_would_round() {
    let world = World::with(SimConfig {
        numeric_ids: true,
        ..SimConfig::default()
    })
    .await;
    let project = world.project().await;
    for _ in 0..3 {
        let talk = world.conversation_in(&project).await;
        assert!(talk.conversation.is_u64());
        assert_eq!(world.message(&talk, "hello").send().await.unwrap().status(), 201);
        assert_eq!(world.answer(&talk, "gpt").send().await.unwrap().status(), 200);
    }
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
}

#[tokio::test]
async fn ids_may_need_percent_encoding() {
    let world = World::with(SimConfig {
        awkward_ids: true,
        ..SimConfig::default()
    })
    .await;
    let talk = world.told("hello").await;
    assert_eq!(talk.conversation, json!("c 2/é?#%"));
    drained(world.answer(&talk, "gpt").send().await.unwrap()).await;
    assert_eq!(world.delete(&talk).send().await.unwrap().status(), 200);
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
}

#[tokio::test]
async fn successes_may_vary_within_the_contract() {
    let world = World::with(SimConfig {
        varied: true,
        accounts_with_project: true,
        ..SimConfig::default()
    })
    .await;
    let projects: Value = world
        .bare(Method::GET, "/project")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    for _ in 0..3 {
        let talk = world.conversation_in(&projects[0]["id"]).await;
        assert!(
            world
                .message(&talk, "hello")
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
        drained(world.answer(&talk, "gpt").send().await.unwrap()).await;
        assert!(world.delete(&talk).send().await.unwrap().status().is_success());
    }
    let counts = world.control.counts();
    assert!(counts.answered_with(Step::DeleteConversation, 204) > 0);
    assert!(counts.answered_with(Step::DeleteConversation, 200) > 0);
    assert!(counts.answered_with(Step::Answer, 201) > 0);
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
}

#[tokio::test]
async fn a_full_account_refuses_another_conversation_until_one_is_deleted() {
    let world = World::with(SimConfig {
        conversation_limit: Some(1),
        ..SimConfig::default()
    })
    .await;
    let talk = world.talk().await;
    assert_eq!(world.create(&talk.project).send().await.unwrap().status(), 400);
    world.delete(&talk).send().await.unwrap();
    assert_eq!(world.create(&talk.project).send().await.unwrap().status(), 201);
    assert!(world.is_flawless());
}

#[tokio::test]
async fn a_revoked_token_is_refused_without_a_breach_until_it_is_restored() {
    let world = World::new().await;
    assert!(world.control.revoke("sim-token"));
    assert_eq!(
        world.bare(Method::GET, "/project").send().await.unwrap().status(),
        401
    );
    assert!(world.control.restore("sim-token"));
    assert_eq!(
        world.bare(Method::GET, "/project").send().await.unwrap().status(),
        200
    );
    assert!(world.is_flawless());
}

#[tokio::test]
async fn what_the_service_drops_on_its_own_is_missing_without_a_breach() {
    let world = World::new().await;
    let talk = world.talk().await;
    world.control.expire_projects("sim-token");
    assert_eq!(world.message(&talk, "hello").send().await.unwrap().status(), 404);
    assert_eq!(world.create(&talk.project).send().await.unwrap().status(), 404);
    assert_eq!(world.delete(&talk).send().await.unwrap().status(), 404);
    world.project().await;
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
}

#[tokio::test]
async fn a_huge_text_comes_back_whole() {
    let world = World::new().await;
    let text = "déjà vu ".repeat(200_000);
    let (stream, whole) = drained(world.ask("gpt", &text).await).await;
    assert!(whole);
    assert_eq!(content(&stream), answer_text(&text));
}

#[tokio::test]
async fn hundreds_of_connections_are_served_at_once() {
    let config = SimConfig {
        accounts_with_project: true,
        ..SimConfig::default()
    };
    let world = World::with(config).await;
    let projects: Value = world
        .bare(Method::GET, "/project")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    world.control.hold();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..400 {
        let talk = world.conversation_in(&projects[0]["id"]).await;
        world.message(&talk, &number.to_string()).send().await.unwrap();
        let answer = world.answer(&talk, "gpt").send();
        asking.spawn(async move { (number, drained(answer.await.unwrap()).await) });
    }
    world.until(|counts| counts.open() == 400).await;
    assert!(world.control.counts().connections_open >= 400);
    world.control.release();
    while let Some(answered) = asking.join_next().await {
        let (number, (stream, whole)) = answered.unwrap();
        assert!(whole);
        assert_eq!(content(&stream), answer_text(&number.to_string()));
    }
    world
        .until(|counts| counts.open() == 0 && counts.answers_finished == 400)
        .await;
    assert!(world.is_flawless());
}

#[tokio::test]
async fn a_simulator_that_has_ended_can_be_resumed_where_it_was() {
    let world = World::with(SimConfig {
        answer: Shape::default(),
        ..SimConfig::default()
    })
    .await;
    let talk = world.talk().await;
    let (addr, control) = (world.sim.addr(), world.control.clone());
    world.sim.shutdown().await;
    assert!(
        world
            .client
            .get(format!("http://{addr}/"))
            .send()
            .await
            .unwrap_err()
            .is_connect()
    );
    let world = World {
        sim: Sim::resume(addr, control).await.unwrap(),
        ..World::new().await
    };
    let world = World {
        control: world.sim.control(),
        ..world
    };
    assert_eq!(world.message(&talk, "hello").send().await.unwrap().status(), 201);
    assert!(world.is_flawless());
}
