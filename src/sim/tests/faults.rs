//! The faults as a client sees them.

use std::time::{Duration, Instant, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Fault, Page, PageKind, Rule, Sim, SimConfig, Step, answer_text};
use super::{World, content, drained};

const TEXT: &str = "one two three four";

/// A model's answer to a message: the stream, and whether its body was complete.
async fn streamed(model: &str) -> (String, bool) {
    let world = World::new().await;
    let answered = drained(world.ask(model, TEXT).await).await;
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
    answered
}

#[tokio::test]
async fn a_status_comes_with_its_page_and_retry_after() {
    let world = World::new().await;
    for (model, status, kind) in [
        ("fault:400", 400, "application/json"),
        ("fault:401", 401, "application/json"),
        ("fault:403", 403, "application/json"),
        ("fault:404", 404, "application/json"),
        ("fault:429", 429, "application/json"),
        ("fault:500", 500, "application/json"),
        ("fault:500-html", 500, "text/html"),
        ("fault:502", 502, "text/html"),
        ("fault:503", 503, "application/json"),
        ("fault:504", 504, "text/plain"),
        ("fault:html", 200, "text/html"),
    ] {
        let talk = world.conversation_in(&world_project(&world).await).await;
        world.message(&talk, TEXT).send().await.unwrap();
        let response = world.answer(&talk, model).send().await.unwrap();
        assert_eq!(response.status(), status, "{model}");
        assert!(
            response.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with(kind),
            "{model}"
        );
    }
    assert!(world.is_flawless(), "{:?}", world.control.breaches());
    world
        .until(|counts| counts.answers_failed == 11 && counts.open() == 0)
        .await;
}

async fn world_project(world: &World) -> Value {
    let projects: Value = world
        .bare(Method::GET, "/project")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    match projects.get(0) {
        Some(project) => project["id"].clone(),
        None => world.project().await,
    }
}

#[tokio::test]
async fn retry_after_is_seconds_or_a_date() {
    let seconds = World::new().await.ask("fault:429", TEXT).await;
    assert_eq!(seconds.headers()["retry-after"], "2");
    let date = World::new().await.ask("fault:429-date", TEXT).await;
    let date = httpdate::parse_http_date(date.headers()["retry-after"].to_str().unwrap()).unwrap();
    assert!(date > SystemTime::now());
    assert!(
        World::new()
            .await
            .ask("fault:429-bare", TEXT)
            .await
            .headers()
            .get("retry-after")
            .is_none()
    );
}

#[tokio::test]
async fn a_cut_answer_is_seen_as_an_incomplete_body() {
    let (stream, whole) = streamed("fault:cut").await;
    assert!(!whole);
    assert_eq!(content(&stream), "You said: ");
    let (stream, whole) = streamed("fault:cut-first").await;
    assert!(!whole && content(&stream).is_empty() && stream.contains("assistant"));
}

#[tokio::test]
async fn a_polite_cut_is_seen_as_a_whole_body_without_an_end() {
    let (stream, whole) = streamed("fault:polite-cut").await;
    assert!(whole && !stream.contains("DONE") && !stream.contains("stop"));
    assert_eq!(content(&stream), "You said: ");
}

#[tokio::test]
async fn a_connection_closed_or_reset_before_the_head_is_a_failed_call() {
    for model in ["fault:close", "fault:reset"] {
        let world = World::new().await;
        let talk = world.told(TEXT).await;
        let error = world.answer(&talk, model).send().await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
        let counts = world.control.counts();
        assert_eq!(
            (
                counts.hung_up[&Step::Answer],
                counts.answers_failed,
                counts.open()
            ),
            (1, 1, 0)
        );
        assert_eq!(
            format!("{error:?}").contains("ConnectionReset"),
            model == "fault:reset",
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn errors_in_a_body_or_an_event_come_with_a_good_status() {
    let body: Value = World::new()
        .await
        .ask("fault:error-body", TEXT)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(body, json!({"statusCode": 401, "message": "Unauthorized"}));
    let (stream, whole) = streamed("fault:error-event").await;
    assert!(whole && stream.contains("\"error\"") && !stream.contains("DONE"));
    assert_eq!(content(&stream), "You said: ");
    let (stream, _) = streamed("fault:error-first").await;
    assert!(content(&stream).is_empty() && stream.contains("\"statusCode\":429"));
    let (stream, _) = streamed("fault:malformed").await;
    assert!(
        stream
            .lines()
            .any(|line| line == "data: {\"choices\":[{\"delta\":")
    );
}

#[tokio::test]
async fn ends_may_lack_their_marks_or_their_content() {
    let (stream, whole) = streamed("fault:no-done").await;
    assert!(whole && stream.contains("\"finish_reason\":\"stop\"") && !stream.contains("DONE"));
    let (stream, _) = streamed("fault:no-finish").await;
    assert!(!stream.contains("stop") && stream.ends_with("data: [DONE]\n\n"));
    let (stream, _) = streamed("fault:empty").await;
    assert!(content(&stream).is_empty() && stream.contains("stop") && stream.contains("DONE"));
    assert_eq!(streamed("fault:empty-body").await, (String::new(), true));
    for reason in ["length", "content_filter", "error", "eos_token"] {
        let model = if reason == "eos_token" {
            "finish:unknown".to_owned()
        } else {
            format!("finish:{reason}")
        };
        assert!(
            streamed(&model)
                .await
                .0
                .contains(&format!("\"finish_reason\":\"{reason}\""))
        );
    }
}

#[tokio::test]
async fn an_oversized_event_is_as_big_as_asked() {
    let rule = Rule::once(Fault::OversizedEvent {
        after: 1,
        bytes: 1 << 20,
    })
    .on(Step::Answer);
    let (stream, whole) = drained(World::scripted(rule).await.ask("gpt", TEXT).await).await;
    assert!(whole && stream.lines().any(|line| line.len() > 1 << 20));
}

#[tokio::test]
async fn a_delay_and_a_drip_take_their_time() {
    let pause = Duration::from_millis(40);
    let faults = vec![Fault::Delay(pause), Fault::Drip(pause)];
    let world = World::scripted(Rule::once(Fault::Several(faults)).on(Step::Answer)).await;
    let talk = world.told(TEXT).await;
    let begun = Instant::now();
    let response = world.answer(&talk, "gpt").send().await.unwrap();
    assert!(begun.elapsed() >= pause);
    assert_eq!(content(&drained(response).await.0), answer_text(TEXT));
    assert!(
        begun.elapsed() >= pause * 6,
        "one delay and five gaps between six pieces"
    );
}

#[tokio::test]
async fn latency_and_chunk_delay_hold_for_every_answer() {
    let pause = Duration::from_millis(20);
    let world = World::with(SimConfig {
        latency: pause,
        chunk_delay: pause,
        ..SimConfig::default()
    })
    .await;
    let begun = Instant::now();
    drained(world.ask("gpt", TEXT).await).await;
    assert!(
        begun.elapsed() >= pause * (4 + 5),
        "four calls and five gaps between six pieces"
    );
}

#[tokio::test]
async fn a_redirect_has_no_effect_and_is_no_try() {
    let fault = Fault::Redirect {
        code: 307,
        location: "/conversation/elsewhere".to_owned(),
    };
    let world = World::scripted(Rule::once(fault).on(Step::Message)).await;
    let talk = world.talk().await;
    let response = world.message(&talk, TEXT).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (307, &"/conversation/elsewhere".parse().unwrap())
    );
    assert_eq!(world.message(&talk, TEXT).send().await.unwrap().status(), 201);
    assert!(world.is_flawless());
}

#[tokio::test]
async fn a_cut_after_the_effect_leaves_what_was_made() {
    let world = World::new().await;
    let project = world.project().await;
    world
        .control
        .script(Rule::once(Fault::CutAfterEffect).on(Step::CreateConversation));
    world
        .control
        .script(Rule::once(Fault::CutBeforeHead).on(Step::CreateConversation));
    assert!(world.create(&project).send().await.is_err());
    assert_eq!(world.control.counts().conversations_left, 1);
    assert!(world.create(&project).send().await.is_err());
    assert_eq!(world.control.counts().conversations_left, 1);
}

#[tokio::test]
async fn other_calls_can_be_cut_and_broken_too() {
    let world = World::scripted(Rule::once(Fault::CutMidStream { after: 1 }).on(Step::ListProjects)).await;
    world
        .control
        .script(Rule::once(Fault::PoliteCut { after: 3 }).on(Step::ListProjects));
    let list = || world.bare(Method::GET, "/project").send();
    let (part, whole) = drained(list().await.unwrap()).await;
    assert_eq!((part.as_str(), whole), ("[", false));
    assert!(list().await.unwrap().status().is_success());
    assert_eq!(drained(list().await.unwrap()).await, ("[]".to_owned(), true));
}

#[tokio::test]
async fn rules_strike_as_often_and_as_late_and_as_narrowly_as_they_say() {
    let tokens = vec!["sim-token".to_owned(), "other".to_owned()];
    let world = World::with(SimConfig {
        tokens,
        ..SimConfig::default()
    })
    .await;
    let page = Page {
        code: 503,
        kind: PageKind::Empty,
        retry_after: Some("9".to_owned()),
    };
    world.control.script(
        Rule::always(Fault::status(500))
            .on(Step::ListProjects)
            .with_token("other"),
    );
    world.control.script(
        Rule::always(Fault::Status(page))
            .on(Step::ListProjects)
            .times(2)
            .after(1),
    );
    let list = || async {
        world
            .bare(Method::GET, "/project")
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        [list().await, list().await, list().await, list().await],
        [200, 503, 503, 200]
    );
    assert_eq!(world.control.rules().len(), 1);
    world.control.clear();
    assert!(world.control.rules().is_empty());
}

#[tokio::test]
async fn every_model_name_of_the_table_is_known_and_others_like_it_are_refused() {
    for name in Sim::model_names() {
        assert!(
            !super::super::models::behaviour(name).unwrap().is_empty(),
            "{name}"
        );
    }
    assert!(
        Sim::behaviours()
            .iter()
            .all(|behaviour| !behaviour.meaning.is_empty())
    );
    let world = World::new().await;
    assert_eq!(world.ask("fault:nonsense", TEXT).await.status(), 400);
    assert!(world.is_flawless());
}
