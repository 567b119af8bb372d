//! Around messages: compression, limits, and ids in heads and trailers.

use std::io::{Read, Write};

use duogate::{app::client::CreateChatCompletionResponse, sim::answer_text};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use prost::Message;
use tonic::{Code, codec::CompressionEncoding};

use crate::support::{Ask, Gateway, RawAnswer, failure_of, frame, raw_call};

const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const STREAM: &str = "/duogate.v1.ChatService/StreamChatCompletion";

/// A message as gRPC frames it, compressed.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut framed = frame(bytes);
    framed[0] = 1;
    framed
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn encoding_of(answer: &RawAnswer) -> Option<&str> {
    let value = answer.headers.get("grpc-encoding")?;
    Some(value.to_str().unwrap())
}

#[tokio::test]
async fn messages_are_compressed_both_ways_when_asked_for() {
    let gateway = Gateway::start().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = gateway
            .chats()
            .send_compressed(encoding)
            .accept_compressed(encoding);
        let answer = client
            .create_chat_completion(Ask::new("press").request())
            .await
            .unwrap();
        assert_eq!(
            answer.metadata().get("grpc-encoding").unwrap(),
            &encoding.to_string()
        );
        let answer = format!("{:?}", answer.into_inner());
        assert!(answer.contains(&answer_text("press")), "{answer}");
        let opened = client
            .stream_chat_completion(Ask::new("press").request())
            .await
            .unwrap();
        assert_eq!(
            opened.metadata().get("grpc-encoding").unwrap(),
            &encoding.to_string()
        );
        let mut events = opened.into_inner();
        let mut count = 0;
        while events.message().await.unwrap().is_some() {
            count += 1;
        }
        assert!(count > 3, "{encoding}: {count}");
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_would_rather_have_it_plain_gets_it_plain() {
    let gateway = Gateway::start().await;
    let body = Ask::new("plain").proto().encode_to_vec();
    for path in [CREATE, STREAM] {
        let habit = [("grpc-accept-encoding", "identity, deflate, gzip")];
        let answer = raw_call(&gateway, path, &habit, frame(&body)).await;
        assert_eq!((encoding_of(&answer), answer.body[0]), (None, 0), "{path}");
        let answer = raw_call(&gateway, path, &[], frame(&body)).await;
        assert_eq!((encoding_of(&answer), answer.body[0]), (None, 0), "{path}");
        // A compressed call gets a compressed response.
        let asked = [("grpc-encoding", "gzip"), habit[0]];
        let answer = raw_call(&gateway, path, &asked, packed(&gzip(&body))).await;
        assert_eq!(
            (encoding_of(&answer), answer.body[0]),
            (Some("gzip"), 1),
            "{path}"
        );
    }
    let asked = [("grpc-accept-encoding", "gzip")];
    let answer = raw_call(&gateway, CREATE, &asked, frame(&body)).await;
    let whole = CreateChatCompletionResponse::decode(gunzip(&answer.body[5..]).as_slice()).unwrap();
    assert_eq!(whole.choices.len(), 1);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_that_grows_beyond_the_limit_when_unpacked_is_too_large() {
    let gateway = Gateway::start().await;
    // 64 MiB of zeros compress to 64 KiB.
    let bomb = packed(&gzip(&vec![0; 64 << 20]));
    assert!(bomb.len() < 1 << 17, "{}", bomb.len());
    for path in [CREATE, STREAM] {
        let answer = raw_call(&gateway, path, &[("grpc-encoding", "gzip")], bomb.clone()).await;
        assert_eq!(answer.status.code(), Code::ResourceExhausted);
        let failure = failure_of(&answer.status, false);
        assert_eq!(failure.kind, "request_too_large");
        assert!(failure.message.contains("20971520 bytes"), "{}", failure.message);
        for (what, headers, body) in [
            (
                "no gzip",
                [("grpc-encoding", "gzip")],
                packed(b"not packed at all"),
            ),
            (
                "no zstd",
                [("grpc-encoding", "zstd")],
                packed(b"not packed at all"),
            ),
            ("no encoding", [("grpc-encoding", "identity")], packed(&gzip(b""))),
        ] {
            let answer = raw_call(&gateway, path, &headers, body).await;
            assert_eq!(answer.status.code(), Code::Internal, "{what}");
            failure_of(&answer.status, false);
        }
    }
    assert!(gateway.sim.counts().calls.is_empty());
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_compression_is_answered_with_those_that_are_known() {
    let gateway = Gateway::start().await;
    let body = frame(&Ask::new("hi").proto().encode_to_vec());
    let answer = raw_call(&gateway, CREATE, &[("grpc-encoding", "snappy")], body).await;
    assert_eq!(answer.status.code(), Code::Unimplemented);
    assert_eq!(answer.headers["grpc-accept-encoding"], "gzip,zstd,identity");
    gateway.stop().await;
}

#[tokio::test]
async fn the_request_id_stands_in_the_head_and_in_the_trailers() {
    let gateway = Gateway::start().await;
    let id = [("x-request-id", "it-is-mine")];
    for path in [CREATE, STREAM] {
        let good = frame(&Ask::new("who?").proto().encode_to_vec());
        let answer = raw_call(&gateway, path, &id, good).await;
        assert_eq!(answer.headers["x-request-id"], "it-is-mine", "{path}");
        assert_eq!(answer.trailers["x-request-id"], "it-is-mine", "{path}");
        assert_eq!(answer.trailers["grpc-status"], "0", "{path}");
        assert!(
            !answer.headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
        let cut = Ask::new("who?").model("fault:cut").proto().encode_to_vec();
        let answer = raw_call(&gateway, STREAM, &id, frame(&cut)).await;
        assert_eq!(answer.status.code(), Code::Aborted);
        assert_eq!(answer.trailers["x-request-id"], "it-is-mine");
        // An immediate failure is a trailers-only response.
        let answer = raw_call(&gateway, path, &id, frame(&[])).await;
        assert_eq!(answer.headers["x-request-id"], "it-is-mine", "{path}");
        let details = tonic_types::StatusExt::get_error_details(&answer.status);
        assert_eq!(details.request_info().unwrap().request_id, "it-is-mine", "{path}");
    }
    gateway.settled().await;
    gateway.stop().await;
}
