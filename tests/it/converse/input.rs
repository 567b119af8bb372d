//! Invalid input of a conversation: an invalid turn fails alone, a message out of order ends the stream.

use duogate::{
    app::client::{
        ContentPart, ConverseStart, ConverseTurn, CreateChatCompletionRequest, Image, content_part::Part,
        converse_request::Request,
    },
    sim::answer_text,
};

use crate::support::{Ask, Gateway, Setup, Talk};

fn beginning() -> CreateChatCompletionRequest {
    CreateChatCompletionRequest {
        model: "it-model".to_owned(),
        ..CreateChatCompletionRequest::default()
    }
}

#[tokio::test]
async fn a_bad_turn_fails_by_itself_and_names_its_field() {
    let gateway = Gateway::start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.ask("one").await.assert_whole(&answer_text("one"));
    let part = |part| ContentPart {
        part,
        ..ContentPart::default()
    };
    let image = Part::Image(Image::default());
    for (content, field) in [
        (vec![], "turn.content"),
        (vec![part(Some(Part::Text(String::new())))], "turn.content"),
        (vec![part(None)], "turn.content[0].part"),
        (
            vec![part(Some(Part::Text("x".to_owned()))), part(Some(image))],
            "turn.content[1].image.source",
        ),
    ] {
        talk.send(Some(Request::Turn(ConverseTurn { content }))).await;
        let outcome = talk.turn().await;
        let failure = outcome.assert_failed("INVALID_REQUEST");
        assert_eq!(failure.field.as_deref(), Some(field), "{failure:?}");
        assert_eq!(failure.code, i32::from(tonic::Code::InvalidArgument));
        assert!(!failure.should_retry);
    }
    let outcome = talk.ask("two").await;
    outcome.assert_whole(&answer_text("two"));
    assert_eq!(
        (outcome.number, outcome.replayed),
        (6, None),
        "nothing is lost by it"
    );
    drop(talk);
    gateway.settled().await;
    let statistics = gateway.health().await["statistics"].clone();
    assert_eq!(statistics["rejected_requests"], 4);
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_out_of_its_place_ends_the_stream_and_is_named() {
    let gateway = Gateway::start().await;
    let start = || {
        Some(Request::Start(ConverseStart {
            options: Some(beginning()),
        }))
    };
    let turn = || Some(Request::Turn(ConverseTurn::default()));
    let cancel = |turn| Some(Request::Cancel(duogate::app::client::ConverseCancel { turn }));
    let without = Some(Request::Start(ConverseStart { options: None }));
    for (requests, field) in [
        (vec![turn()], "start"),
        (vec![cancel(0)], "start"),
        (vec![None], "request"),
        (vec![without], "start.options"),
        (vec![start(), start()], "start"),
        (vec![start(), None], "request"),
        (vec![start(), cancel(1)], "cancel.turn"),
    ] {
        let what = format!("{requests:?}");
        let mut talk = Talk::open(&gateway).await.unwrap();
        for request in requests {
            talk.send(request).await;
        }
        let failure = loop {
            match talk.event().await {
                Ok(Some((0, _))) => {}
                Ok(other) => panic!("{what}: {other:?}"),
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.kind, "invalid_request", "{what}");
        assert_eq!(failure.field.as_deref(), Some(field), "{what}");
    }
    let mut silent = Talk::open(&gateway).await.unwrap();
    silent.close();
    let failure = silent.end().await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.field.as_deref()),
        ("invalid_request", Some("start"))
    );
    assert_eq!(
        gateway.sim.counts().calls.len(),
        0,
        "nothing was asked of the upstream"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_options_are_read_as_a_chats_are() {
    let gateway = Setup::new()
        .settings(|settings| settings.available_models = vec!["it-model".to_owned()])
        .start()
        .await;
    type Change = fn(&mut CreateChatCompletionRequest);
    let cases: [(Change, &str, Option<&str>); 7] = [
        (
            |options| options.model.clear(),
            "invalid_request",
            Some("start.options.model"),
        ),
        (
            |options| options.model = "other".to_owned(),
            "model_not_found",
            None,
        ),
        (
            |options| options.n = Some(2),
            "unsupported_parameter",
            Some("start.options.n"),
        ),
        (
            |options| options.n = Some(129),
            "invalid_request",
            Some("start.options.n"),
        ),
        (
            |options| options.temperature = Some(3.0),
            "invalid_request",
            Some("start.options.temperature"),
        ),
        (
            |options| options.logprobs = Some(true),
            "unsupported_parameter",
            Some("start.options.logprobs"),
        ),
        (
            |options| {
                options
                    .messages
                    .push(duogate::app::client::ChatMessage::default());
            },
            "invalid_request",
            Some("start.options.messages[0].role"),
        ),
    ];
    for (change, kind, field) in cases {
        let mut options = beginning();
        change(&mut options);
        let mut talk = Talk::open(&gateway).await.unwrap();
        talk.send_start(options).await;
        let failure = talk.end().await.unwrap_err();
        assert_eq!((failure.kind, failure.field.as_deref()), (kind, field));
    }
    let mut options = beginning();
    options.temperature = Some(0.5);
    options.user = Some("somebody".to_owned());
    let mut talk = Talk::open(&gateway).await.unwrap();
    talk.send_start(options).await;
    let Some((0, duogate::app::client::converse_response::Event::Started(started))) =
        talk.event().await.unwrap()
    else {
        panic!("expected the start");
    };
    assert_eq!(started.ignored, ["temperature", "user"]);
    drop(talk);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_is_needed_and_checked_before_anything_is_said() {
    let gateway = Gateway::start().await;
    for key in [None, Some("Bearer wrong")] {
        let refused = Talk::open_with(&gateway, |request| {
            request.metadata_mut().remove("authorization");
            if let Some(key) = key {
                request
                    .metadata_mut()
                    .insert("authorization", key.parse().unwrap());
            }
        });
        let status = refused.await.unwrap_err();
        assert_eq!(crate::support::failure_of(&status, false).kind, "unauthenticated");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn limits_hold_for_each_answer() {
    let gateway = Gateway::start().await;
    let mut options = Ask::new("").proto();
    options.messages.clear();
    options.max_tokens = Some(3);
    let mut talk = Talk::start_with(&gateway, options).await;
    for _ in 0..2 {
        let outcome = talk.ask("one two three four five six").await;
        assert_eq!(outcome.end, crate::support::End::Whole("length".to_owned()));
        assert_eq!(outcome.usage.unwrap().completion, 3);
    }
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}
