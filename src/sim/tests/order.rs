//! Well-formed calls in the wrong order.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Fault, Rule, Sim, SimConfig, Step};
use super::breaches::is_a_breach;
use super::{TOKEN, Talk, World, drained, segment};

#[tokio::test]
async fn a_second_project_is_a_breach_and_made() {
    let world = World::new().await;
    world.project().await;
    let name = json!({"name": uuid::Uuid::new_v4().to_string()});
    is_a_breach(
        &world.control,
        world.bare(Method::POST, "/project").json(&name),
        201,
        "a project already",
    )
    .await;
    assert_eq!(world.control.counts().projects["sim-token"], 2);
}

#[tokio::test]
async fn turns_out_of_order_are_breaches() {
    let world = World::new().await;
    let talk = world.talk().await;
    is_a_breach(
        &world.control,
        world.answer(&talk, "gpt"),
        409,
        "without a new message",
    )
    .await;
    world.message(&talk, "hello").send().await.unwrap();
    is_a_breach(
        &world.control,
        world.message(&talk, "hello"),
        409,
        "a second message",
    )
    .await;
    drained(world.answer(&talk, "gpt").send().await.unwrap()).await;
    is_a_breach(
        &world.control,
        world.answer(&talk, "gpt"),
        409,
        "without a new message",
    )
    .await;
}

#[tokio::test]
async fn a_conversation_whose_message_failed_may_not_be_used_again() {
    let world = World::scripted(Rule::once(Fault::status(500)).on(Step::Message)).await;
    let talk = world.talk().await;
    assert_eq!(world.message(&talk, "hello").send().await.unwrap().status(), 500);
    is_a_breach(
        &world.control,
        world.message(&talk, "hello"),
        409,
        "a second message",
    )
    .await;
    is_a_breach(
        &world.control,
        world.answer(&talk, "gpt"),
        409,
        "had not been taken",
    )
    .await;
}

#[tokio::test]
async fn a_conversation_whose_answer_failed_takes_another_message_but_not_the_same() {
    let world = World::new().await;
    let talk = world.told("hello").await;
    drained(world.answer(&talk, "fault:cut").send().await.unwrap()).await;
    is_a_breach(
        &world.control,
        world.message(&talk, "hello"),
        409,
        "was tried before",
    )
    .await;
    world.control.forget();
    assert_eq!(
        world
            .message(&talk, "something else")
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    assert!(world.is_flawless());
}

#[tokio::test]
async fn what_meets_an_open_answer_is_a_breach() {
    let world = World::new().await;
    let talk = world.told("hello").await;
    let open = world.answer(&talk, "fault:stall").send().await.unwrap();
    is_a_breach(&world.control, world.answer(&talk, "gpt"), 409, "a second answer").await;
    is_a_breach(
        &world.control,
        world.message(&talk, "more"),
        409,
        "while an answer is open",
    )
    .await;
    is_a_breach(&world.control, world.delete(&talk), 200, "still open").await;
    drop(open);
}

#[tokio::test]
async fn a_conversation_that_was_there_before_may_not_be_touched() {
    let config = SimConfig {
        foreign_conversations: 2,
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
    let project = projects[0]["id"].clone();
    let path = format!("/project/{}/conversations", segment(&project));
    let listed: Value = world
        .bare(Method::GET, &path)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (
            listed.as_array().unwrap().len(),
            world.control.counts().conversations_left
        ),
        (2, 0)
    );
    let talk = Talk {
        project,
        conversation: listed[0]["id"].clone(),
    };
    is_a_breach(&world.control, world.delete(&talk), 200, "was there before").await;
}

#[tokio::test]
async fn the_memory_of_breaches_is_bounded() {
    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let control = sim.control();
    for _ in 0..1_200 {
        control
            .shared()
            .change(|state| state.breach(&"long ".repeat(1_000)));
    }
    assert_eq!(
        (control.breaches().len(), control.counts().breaches),
        (1_000, 1_200)
    );
    assert!(control.breaches()[0].len() < 1_000);
}

#[tokio::test]
async fn a_conversation_whose_message_was_refused_for_its_token_may_not_be_used_again() {
    let world = World::new().await;
    let talk = world.talk().await;
    world.control.revoke(TOKEN);
    assert_eq!(world.message(&talk, "hello").send().await.unwrap().status(), 401);
    world.control.restore(TOKEN);
    is_a_breach(
        &world.control,
        world.message(&talk, "hello"),
        409,
        "a second message",
    )
    .await;
}
