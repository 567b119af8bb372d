//! Invalid input at the gRPC door: the right code, and machine-readable details.

use duogate::app::client::{
    ChatMessage, ContentPart, CreateChatCompletionRequest, GetModelRequest, content_part::Part,
};
use prost::Message;
use tonic::Code;

use crate::support::{Ask, Gateway, KEY, Outcome, RawAnswer, failure_of, frame, raw_call};

const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const METHODS: [&str; 2] = [CREATE, "/duogate.v1.ChatService/StreamChatCompletion"];

/// A valid request, changed.
fn with(change: impl FnOnce(&mut CreateChatCompletionRequest)) -> CreateChatCompletionRequest {
    let mut request = Ask::new("hi").proto();
    change(&mut request);
    request
}

/// A valid request with its one message changed.
fn with_message(change: impl FnOnce(&mut ChatMessage)) -> CreateChatCompletionRequest {
    with(|request| change(&mut request.messages[0]))
}

async fn send(gateway: &Gateway, path: &str, body: Vec<u8>) -> RawAnswer {
    raw_call(gateway, path, &[], body).await
}

#[tokio::test]
async fn a_field_at_fault_is_named() {
    let gateway = Gateway::start().await;
    let empty = ContentPart::default();
    let text = ContentPart {
        part: Some(Part::Text("a".to_owned())),
        ..ContentPart::default()
    };
    let table = [
        (with(|request| request.model.clear()), "model"),
        (with(|request| request.model = "m".repeat(257)), "model"),
        (with(|request| request.messages.clear()), "messages"),
        (with_message(|message| message.role = 0), "messages[0].role"),
        (with_message(|message| message.role = 99), "messages[0].role"),
        (with_message(|message| message.role = -1), "messages[0].role"),
        (
            with_message(|message| message.content.clear()),
            "messages[0].content",
        ),
        (
            with_message(|message| message.content = vec![empty.clone()]),
            "messages[0].content[0].part",
        ),
        (
            with_message(|message| message.content = vec![text, empty]),
            "messages[0].content[1].part",
        ),
        (
            with(|request| request.messages.push(ChatMessage::default())),
            "messages[1].role",
        ),
        (with(|request| request.temperature = Some(2.5)), "temperature"),
        (with(|request| request.temperature = Some(-0.5)), "temperature"),
        (
            with(|request| request.temperature = Some(f64::NAN)),
            "temperature",
        ),
        (with(|request| request.top_p = Some(f64::INFINITY)), "top_p"),
    ];
    for (request, field) in table {
        for method in METHODS {
            let answer = send(&gateway, method, frame(&request.encode_to_vec())).await;
            let failure = failure_of(&answer.status, false);
            assert_eq!(failure.kind, "invalid_request", "{field}");
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
            assert_eq!(failure.should_retry, Some(false));
        }
    }
    let nameless = frame(&GetModelRequest::default().encode_to_vec());
    let answer = send(&gateway, "/duogate.v1.ChatService/GetModel", nameless).await;
    assert_eq!(failure_of(&answer.status, false).field.as_deref(), Some("id"));
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn bytes_that_do_not_decode_are_internal() {
    let gateway = Gateway::start().await;
    let good = frame(&Ask::new("hi").proto().encode_to_vec());
    let flagged = |flag: u8| [&[flag], &good[1..]].concat();
    for (what, body) in [
        ("no message", Vec::new()),
        ("half a frame's head", vec![0, 0, 0]),
        ("half a message", good[..good.len() - 3].to_vec()),
        ("no protobuf", frame(&[0xff; 16])),
        ("a wrong wire type", frame(&[0x08, 0x01])),
        ("invalid UTF-8", frame(&[0x0a, 0x02, 0xff, 0xfe])),
        ("a length beyond the end", frame(&[0x0a, 0x7f, b'x'])),
        ("an unknown flag", flagged(7)),
    ] {
        for method in METHODS {
            let answer = send(&gateway, method, body.clone()).await;
            assert_eq!(
                answer.status.code(),
                Code::Internal,
                "{what}: {:?}",
                answer.status
            );
            assert_eq!(failure_of(&answer.status, false).kind, "internal", "{what}");
            assert!(answer.body.is_empty(), "{what}");
            assert!(!answer.headers["x-request-id"].is_empty(), "{what}");
        }
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_compression_that_is_not_offered_is_unimplemented_with_details() {
    let gateway = Gateway::start().await;
    let body = frame(&Ask::new("hi").proto().encode_to_vec());
    for method in METHODS {
        let answer = raw_call(&gateway, method, &[("grpc-encoding", "snappy")], body.clone()).await;
        assert_eq!(answer.status.code(), Code::Unimplemented, "{:?}", answer.status);
        failure_of(&answer.status, false);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_up_to_the_limit_passes_and_a_larger_one_does_not() {
    let gateway = Gateway::start().await;
    let sized = |bytes: usize| {
        let mut ask = Ask::new("x".repeat(bytes));
        ask.model = String::new();
        ask
    };
    for method in METHODS {
        let fits = sized((20 << 20) - 1024).proto().encode_to_vec();
        let answer = send(&gateway, method, frame(&fits)).await;
        let failure = failure_of(&answer.status, false);
        assert_eq!(
            (failure.kind, failure.field.as_deref()),
            ("invalid_request", Some("model"))
        );
        let announced = [&[0], ((20_u32 << 20) + 1).to_be_bytes().as_slice()].concat();
        let answer = send(&gateway, method, announced).await;
        assert_eq!(failure_of(&answer.status, false).kind, "request_too_large");
    }
    let large = sized((20 << 20) + 1024);
    let answer = gateway.chats().create_chat_completion(large.request()).await;
    let outcome = Outcome::failed(failure_of(&answer.unwrap_err(), false));
    outcome.assert_failed("request_too_large");
    gateway.stop().await;
}

#[tokio::test]
async fn unknown_methods_and_services_are_unimplemented() {
    let gateway = Gateway::start().await;
    for path in [
        "/duogate.v1.ChatService/NoSuchMethod",
        "/duogate.v2.ChatService/CreateChatCompletion",
        "/no.such.Service/Method",
        "/",
    ] {
        let answer = send(&gateway, path, frame(&[])).await;
        assert_eq!(answer.status.code(), Code::Unimplemented, "{path}");
        assert_eq!(failure_of(&answer.status, false).kind, "unknown_url", "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_later_client_adds_is_ignored() {
    let gateway = Gateway::start().await;
    let mut later = Ask::new("hi").proto().encode_to_vec();
    // Field 2000, a string that no version of the schema has yet.
    prost::encoding::string::encode(2000, &"from tomorrow".to_owned(), &mut later);
    let answer = send(&gateway, CREATE, frame(&later)).await;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    assert!(!answer.body.is_empty());
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_call_of_grpc_is_refused_and_starts_no_chat() {
    let gateway = Gateway::start().await;
    let url = gateway.grpc_url(CREATE);
    for (method, kind) in [
        ("GET", "application/grpc"),
        ("POST", "application/json"),
        ("POST", "application/grpcx"),
        ("POST", "application/grpcx+proto"),
    ] {
        let request = gateway.raw.request(method.parse().unwrap(), &url);
        let response = request
            .header("content-type", kind)
            .bearer_auth(KEY)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 415, "{method} {kind}");
    }
    assert!(gateway.sim.counts().calls.is_empty());
    gateway.stop().await;
}
