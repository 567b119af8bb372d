//! Held or stalled answers, and clients that disconnect from them.

use std::time::Duration;

use super::super::{Fault, Hold, Rule, Sim, SimConfig, Step, answer_text};
use super::{World, content, drained};

#[tokio::test]
async fn a_client_that_leaves_a_stalled_stream_is_noticed() {
    let world = World::new().await;
    let mut response = world.ask("fault:stall", "one two three").await;
    response.chunk().await.unwrap();
    assert_eq!(world.control.counts().open_answers["sim-token"], 1);
    drop(response);
    world
        .until(|counts| counts.answers_left == 1 && counts.open() == 0)
        .await;
    assert_eq!(world.control.counts().most_open_answers["sim-token"], 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_noticed() {
    for model in ["fault:stall-head", "held"] {
        let world = World::new().await;
        let talk = world.told("hello").await;
        if model == "held" {
            world.control.hold();
        }
        let asking = world.answer(&talk, model).send();
        tokio::select! {
            _ = asking => panic!("it was answered"),
            () = world.until(|counts| counts.open() == 1) => {}
        }
        world
            .until(|counts| counts.answers_left == 1 && counts.open() == 0)
            .await;
        assert_eq!(world.control.counts().abandoned[&Step::Answer], 1);
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_dripping_stream_is_noticed() {
    let world = World::scripted(Rule::always(Fault::Drip(Duration::from_secs(600))).on(Step::Answer)).await;
    let response = world.ask("gpt", "one two three").await;
    world.until(|counts| counts.answers_started == 1).await;
    drop(response);
    world.until(|counts| counts.answers_left == 1).await;
}

#[tokio::test]
async fn a_client_that_leaves_after_the_finish_has_not_left_early() {
    let world = World::new().await;
    let mut response = world.ask("fault:heartbeats", "hello").await;
    let mut stream = String::new();
    while !stream.contains("\"stop\"") {
        stream.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    drop(response);
    world
        .until(|counts| counts.answers_finished == 1 && counts.open() == 0)
        .await;
    assert_eq!(world.control.counts().answers_left, 0);
}

#[tokio::test]
async fn a_conversation_may_be_deleted_as_soon_as_its_answer_was_left() {
    let world = World::new().await;
    let talk = world.told("hello").await;
    let response = world.answer(&talk, "fault:stall").send().await.unwrap();
    drop(response);
    assert_eq!(world.delete(&talk).send().await.unwrap().status(), 200);
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
}

#[tokio::test]
async fn held_answers_send_nothing_until_they_are_released() {
    let world = World::new().await;
    let talk = world.told("hello").await;
    world.control.hold();
    let mut asking = std::pin::pin!(world.answer(&talk, "gpt").send());
    tokio::select! {
        _ = asking.as_mut() => panic!("it was answered"),
        () = world.until(|counts| counts.open() == 1) => {}
    }
    assert_eq!(
        (world.control.held(), world.control.counts().answers_started),
        (Some(Hold::BeforeHead), 0)
    );
    world.control.release();
    assert_eq!(
        content(&drained(asking.await.unwrap()).await.0),
        answer_text("hello")
    );
    assert!(world.is_flawless());
}

#[tokio::test]
async fn answers_can_be_held_after_the_head_or_the_first_piece() {
    for (point, started) in [(Hold::AfterHead, 0), (Hold::AfterFirstPiece, 1)] {
        let world = World::new().await;
        world.control.hold_at(point);
        let mut response = world.ask("gpt", "hello").await;
        let mut stream = String::new();
        while started == 1 && content(&stream).is_empty() {
            stream.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), response.chunk()).await;
        assert!(more.is_err(), "more came while it was held");
        assert_eq!(
            (
                world.control.counts().open(),
                world.control.counts().answers_started
            ),
            (1, started)
        );
        world.control.release();
        stream.push_str(&drained(response).await.0);
        assert_eq!(content(&stream), answer_text("hello"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_any_call_before_its_head_is_counted() {
    let world = World::scripted(Rule::once(Fault::Stall).on(Step::CreateProject)).await;
    let name = serde_json::json!({"name": uuid::Uuid::new_v4().to_string()});
    let asking = world.bare(reqwest::Method::POST, "/project").json(&name).send();
    tokio::select! {
        _ = asking => panic!("it was answered"),
        () = world.until(|counts| counts.calls_of(Step::CreateProject) == 1) => {}
    }
    world
        .until(|counts| counts.abandoned.get(&Step::CreateProject) == Some(&1))
        .await;
    assert_eq!(world.control.counts().projects["sim-token"], 0);
}

#[tokio::test]
async fn the_end_of_the_simulator_ends_its_connections_and_counts_nobody_as_having_left() {
    for gracefully in [true, false] {
        let world = World::new().await;
        let response = world.ask("fault:stall", "one two three").await;
        let (control, sim): (_, Sim) = (world.control.clone(), world.sim);
        if gracefully {
            sim.shutdown().await;
        } else {
            drop(sim);
        }
        assert!(!drained(response).await.1);
        tokio::time::timeout(
            Duration::from_secs(5),
            control.wait_until(|counts| counts.connections_open == 0),
        )
        .await
        .unwrap();
        assert_eq!(
            (control.counts().answers_left, control.counts().answers_failed),
            (0, 1)
        );
    }
}

#[tokio::test]
async fn a_shutdown_lets_an_open_answer_come_to_its_end() {
    let pause = Duration::from_millis(20);
    let world = World::with(SimConfig {
        chunk_delay: pause,
        ..SimConfig::default()
    })
    .await;
    let response = world.ask("gpt", "one two").await;
    let ((stream, whole), ()) = tokio::join!(drained(response), world.sim.shutdown());
    assert!(whole && stream.ends_with("[DONE]\n\n"));
}
