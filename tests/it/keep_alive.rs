//! Keep-alive events on gRPC streams: where they are sent, that they are not numbered, and that clients generated
//! before they existed read the rest as before.

use std::time::Duration;

use duogate::{
    app::client::{
        ConverseRequest, ConverseStart, ConverseTurn, StreamChatCompletionResponse,
        converse_request::Request, converse_response, stream_chat_completion_response::Event,
    },
    config::Settings,
    sim::{Hold, answer_text},
};
use prost::Message;

use crate::support::{Ask, End, Gateway, KEY, Setup, Talk, frame, raw_call};

const STREAM: &str = "/duogate.v1.ChatService/StreamChatCompletion";
const CONVERSE: &str = "/duogate.v1.ChatService/Converse";

/// An upstream that delays every step, and a gateway with a short keep-alive interval.
async fn slow_upstream() -> Gateway {
    Setup::new()
        .sim(|sim| sim.latency = Duration::from_millis(300))
        .settings(|settings| settings.keepalive_interval = Duration::from_millis(20))
        .start()
        .await
}

/// The messages of a body, without gRPC-Web's trailer frame.
fn messages(mut body: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((head, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let (message, rest) = rest.split_at(length);
        found.extend((head[0] == 0).then_some(message));
        body = rest;
    }
    assert!(body.is_empty(), "half a frame: {body:?}");
    found
}

/// Events as parsed by a client generated before keep-alive events existed: of a stream (`choice_index`), and of a
/// conversation (`turn`). An unknown event is none to it.
#[derive(Clone, PartialEq, prost::Message)]
struct Former {
    #[prost(uint32, tag = "1")]
    sequence: u32,
    #[prost(uint32, tag = "2")]
    belongs_to: u32,
    #[prost(oneof = "Known", tags = "3, 4, 5, 8, 9, 10")]
    event: Option<Known>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Known {
    #[prost(bytes, tag = "3")]
    Started(Vec<u8>),
    /// A conversation's `turn_started`, or a stream's content.
    #[prost(message, tag = "4")]
    Fourth(Text),
    /// A conversation's content.
    #[prost(message, tag = "5")]
    Fifth(Text),
    #[prost(bytes, tag = "8")]
    Usage(Vec<u8>),
    #[prost(bytes, tag = "9")]
    FinishedOrUsage(Vec<u8>),
    #[prost(bytes, tag = "10")]
    TurnFinished(Vec<u8>),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[tokio::test]
async fn a_client_that_does_not_know_them_reads_the_rest_as_ever() {
    let gateway = slow_upstream().await;
    let options = Ask::new("as ever").proto();
    let content = options.messages[0].content.clone();
    let start = ConverseStart {
        options: Some({
            let mut options = options.clone();
            options.messages.clear();
            options
        }),
    };
    let talk = [Request::Start(start), Request::Turn(ConverseTurn { content })].map(|request| {
        let request = Some(request);
        frame(&ConverseRequest { request }.encode_to_vec())
    });
    for (path, body) in [
        (STREAM, frame(&options.encode_to_vec())),
        (CONVERSE, talk.concat()),
    ] {
        let answer = raw_call(&gateway, path, &[], body).await;
        assert_eq!(
            answer.status.code(),
            tonic::Code::Ok,
            "{path}: {:?}",
            answer.status
        );
        let events = messages(&answer.body)
            .into_iter()
            .map(|message| Former::decode(message).unwrap());
        let (known, unknown): (Vec<_>, Vec<_>) = events.partition(|event| event.event.is_some());
        assert!(!unknown.is_empty(), "{path}: no sign of life came");
        let numbers: Vec<u32> = known.iter().map(|event| event.sequence).collect();
        let counted: Vec<u32> = (0..).take(known.len()).collect();
        assert_eq!(numbers, counted, "{path}");
        let text = known.into_iter().map(|event| match event.event {
            Some(Known::Fourth(delta)) if path == STREAM => delta.text,
            Some(Known::Fifth(delta)) if path == CONVERSE => delta.text,
            _ => String::new(),
        });
        assert_eq!(text.collect::<String>(), answer_text("as ever"), "{path}");
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn browsers_are_sent_them_too() {
    let gateway = slow_upstream().await;
    for client in [&gateway.web, &gateway.raw] {
        let request = client
            .post(gateway.grpc_url(STREAM))
            .header("content-type", "application/grpc-web+proto")
            .bearer_auth(KEY)
            .body(frame(&Ask::new("browse").proto().encode_to_vec()));
        let body = request.send().await.unwrap().bytes().await.unwrap();
        let (mut signs, mut text) = (0, String::new());
        for message in messages(&body) {
            match StreamChatCompletionResponse::decode(message).unwrap().event {
                Some(Event::KeepAlive(_)) => signs += 1,
                Some(Event::Content(delta)) => text += &delta.text,
                Some(_) => {}
                None => panic!("an event that says nothing"),
            }
        }
        assert!(signs > 0);
        assert_eq!(text, answer_text("browse"));
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_conversation_is_kept_alive_before_its_start_within_turns_and_between_them() {
    const SIGNS: usize = 3;
    let restless = |settings: &mut Settings| settings.keepalive_interval = Duration::from_millis(30);
    let gateway = Setup::new().settings(restless).start().await;
    let mut talk = Talk::open(&gateway).await.unwrap();
    for _ in 0..SIGNS {
        talk.sign_of_life().await;
    }
    let mut options = Ask::new("").proto();
    options.messages.clear();
    talk.send_start(options).await;
    let started = talk.event().await.unwrap();
    assert!(matches!(started, Some((0, converse_response::Event::Started(_)))));
    for (number, hold) in (1..).zip([Hold::BeforeHead, Hold::AfterFirstPiece]) {
        for _ in 0..SIGNS {
            talk.sign_of_life().await;
        }
        gateway.sim.hold_at(hold);
        talk.say("hello").await;
        let head = talk.event().await.unwrap();
        assert!(matches!(head, Some((turn, converse_response::Event::TurnStarted(_))) if turn == number));
        if hold == Hold::AfterFirstPiece {
            talk.first_text().await;
        }
        for _ in 0..SIGNS {
            talk.sign_of_life().await;
        }
        gateway.sim.release();
        talk.turn().await.assert_ended();
    }
    talk.close();
    talk.end().await.unwrap();
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_conversation_that_is_kept_alive_is_not_thereby_used() {
    let brief = |settings: &mut Settings| {
        settings.keepalive_interval = Duration::from_millis(20);
        settings.converse_idle_timeout = Duration::from_secs(2);
    };
    let gateway = Setup::new().settings(brief).start().await;
    let mut talk = Talk::anew(&gateway).await;
    talk.sign_of_life().await;
    let failure = talk.end().await.unwrap_err();
    assert_eq!(failure.kind, "request_timeout");
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_turn_is_cancelled_while_nothing_but_signs_of_life_comes() {
    let restless = |settings: &mut Settings| settings.keepalive_interval = Duration::from_millis(20);
    let gateway = Setup::new().settings(restless).start().await;
    let mut talk = Talk::anew(&gateway).await;
    gateway.sim.hold();
    talk.say("never mind").await;
    let head = talk.event().await.unwrap();
    assert!(matches!(
        head,
        Some((1, converse_response::Event::TurnStarted(_)))
    ));
    talk.sign_of_life().await;
    talk.cancel(0).await;
    assert_eq!(talk.turn().await.end, End::Cancelled);
    gateway.sim.release();
    talk.ask("and now?").await.assert_ended();
    drop(talk);
    gateway.settled().await;
    gateway.stop().await;
}
