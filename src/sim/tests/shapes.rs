//! The formats of an answer.

use serde_json::Value;

use super::super::{Dialect, Fault, Form, Rule, Shape, SimConfig, Step, TextKey, answer_text, usage_of};
use super::{World, content, drained};

const TEXT: &str = "déjà vu, 你好 👋 again";

async fn streamed(model: &str) -> String {
    let world = World::new().await;
    let (stream, whole) = drained(world.ask(model, TEXT).await).await;
    assert!(whole && world.is_flawless(), "{:?}", world.control.breaches());
    stream
}

#[tokio::test]
async fn the_tab_dialect_frames_each_event_on_one_line() {
    let stream = streamed("dialect:tab+dialect:comments").await;
    assert!(stream.ends_with("message\t[DONE]\t\n"), "{stream}");
    assert!(stream.lines().all(|line| line.ends_with('\t')));
    let said: String = stream
        .lines()
        .filter_map(|line| line.strip_prefix("message\t")?.strip_suffix('\t'))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|value| {
            value["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(said, answer_text(TEXT));
    assert!(stream.contains("ping\t"));
}

#[tokio::test]
async fn a_json_body_carries_its_text_under_any_of_five_keys() {
    for (model, pointer) in [
        ("dialect:json", "/choices/0/message/content"),
        ("dialect:json-text", "/choices/0/text"),
        ("dialect:json-response", "/response"),
        ("dialect:json-content", "/content"),
        ("dialect:json-message", "/message"),
    ] {
        let body: Value = serde_json::from_str(&streamed(model).await).unwrap();
        assert_eq!(
            body.pointer(pointer).unwrap(),
            &Value::from(answer_text(TEXT)),
            "{model}"
        );
    }
}

#[tokio::test]
async fn a_split_answer_arrives_byte_by_byte_and_is_the_same() {
    let world = World::new().await;
    let mut response = world.ask("dialect:split", TEXT).await;
    let (mut bytes, mut longest) = (Vec::new(), 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        longest = longest.max(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(
        (content(&String::from_utf8(bytes).unwrap()), longest),
        (answer_text(TEXT), 1)
    );
}

#[tokio::test]
async fn lines_may_end_in_carriage_returns() {
    let stream = streamed("dialect:crlf").await;
    assert_eq!(stream.matches('\n').count(), stream.matches("\r\n").count());
    assert!(stream.ends_with("data: [DONE]\r\n\r\n"));
    let stream = streamed("dialect:cr").await;
    assert!(!stream.contains('\n') && stream.ends_with("data: [DONE]\r\r"));
}

#[tokio::test]
async fn events_may_stand_one_a_line() {
    let stream = streamed("dialect:one-line").await;
    assert!(!stream.contains("\n\n") && stream.ends_with("data: [DONE]\n"));
    assert_eq!(content(&stream), answer_text(TEXT));
}

#[tokio::test]
async fn streams_may_hold_all_that_the_standard_allows() {
    let stream = streamed("dialect:bom").await;
    assert!(stream.starts_with('\u{feff}') && stream.matches('\u{feff}').count() == 1);
    assert!(streamed("dialect:comments").await.starts_with(": still here\n"));
    assert!(
        streamed("dialect:fields")
            .await
            .starts_with("event: message\nid: 0\nretry: 3000\ndata: {")
    );
    assert!(streamed("dialect:no-space").await.starts_with("data:{"));
    assert!(
        streamed("dialect:many-lines")
            .await
            .starts_with("data: {\ndata:   \"choices\"")
    );
    let stream = streamed("dialect:noise").await;
    assert!(stream.contains("data: \n\n") && content(&stream) == answer_text(TEXT));
}

#[tokio::test]
async fn roles_and_reasoning_may_come_first() {
    assert_eq!(
        streamed("dialect:prologue")
            .await
            .matches("\"role\":\"assistant\"")
            .count(),
        5
    );
    let stream = streamed("dialect:reasoning").await;
    assert!(stream.find("reasoning_content").unwrap() < stream.find("You ").unwrap());
    assert_eq!(content(&stream), answer_text(TEXT));
}

#[tokio::test]
async fn usage_is_told_when_it_is_asked_for() {
    assert!(!streamed("gpt").await.contains("usage"));
    let stream = streamed("usage:on").await;
    let usage = usage_of(TEXT, &answer_text(TEXT));
    assert_eq!(
        (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
        (5, 7, 12)
    );
    assert!(
        stream.contains("\"prompt_tokens\":5") && stream.contains("\"total_tokens\":12"),
        "{stream}"
    );
}

#[tokio::test]
async fn a_content_type_may_lie() {
    let response = World::new().await.ask("dialect:plain", TEXT).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn the_configured_shape_is_the_default_of_every_answer() {
    let answer = Shape {
        dialect: Dialect::Json(TextKey::Content),
        usage: true,
        ..Shape::default()
    };
    let world = World::with(SimConfig {
        answer,
        ..SimConfig::default()
    })
    .await;
    let body: Value = world.ask("gpt", TEXT).await.json().await.unwrap();
    assert_eq!(
        (&body["content"], &body["usage"]["total_tokens"]),
        (&answer_text(TEXT).into(), &12.into())
    );
}

#[tokio::test]
async fn a_rule_may_say_what_is_said_and_how() {
    let faults = vec![
        Fault::Say("other words".to_owned()),
        Form::NoSpace.into(),
        Fault::Named("usage:on".to_owned()),
    ];
    let world = World::scripted(Rule::always(Fault::Several(faults)).on(Step::Answer)).await;
    let (stream, _) = drained(world.ask("gpt", TEXT).await).await;
    assert!(stream.contains("data:{") && stream.contains("other ") && stream.contains("usage"));
}

#[tokio::test]
async fn a_json_body_can_be_cut_too() {
    let world = World::new().await;
    let (part, whole) = drained(world.ask("dialect:json+fault:cut", TEXT).await).await;
    assert!(!whole && part.starts_with('{') && !part.ends_with('}'));
}
