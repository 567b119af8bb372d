//! Slow clients: heads and bodies that trickle in are cut off by their timeouts, at both doors.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::stream;
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::support::{
    Ask, Door, Gateway, KEY, RawAnswer, Setup, error_of, failure_of, frame,
    http2::{Attacker, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, Told, call, framed},
    raw_call, unfinished, within,
};

const HEAD_TIMEOUT: Duration = Duration::from_millis(300);
const BODY_TIMEOUT: Duration = Duration::from_millis(300);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A short timeout for heads.
async fn impatient() -> Gateway {
    let hurry = |settings: &mut duogate::config::Settings| settings.header_read_timeout = HEAD_TIMEOUT;
    Setup::new().settings(hurry).start().await
}

/// A short timeout for bodies.
async fn impatient_for_bodies() -> Gateway {
    let hurry = |settings: &mut duogate::config::Settings| settings.body_read_timeout = BODY_TIMEOUT;
    Setup::new().settings(hurry).start().await
}

fn address(gateway: &Gateway, door: Door) -> SocketAddr {
    match door {
        Door::Http => gateway.http,
        Door::Grpc => gateway.grpc,
    }
}

/// Sends `first` at once and then repeats `rest` slowly, byte by byte, until the connection is closed; returns the time
/// that took.
async fn trickle(address: SocketAddr, first: &[u8], rest: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    stream.write_all(first).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        for byte in rest.iter().cycle() {
            sleep(HEAD_TIMEOUT / 10).await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        // Nothing to send, or the connection does not take it.
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let read = async {
        // A reset connection is closed, too.
        let _closed = reader.read_to_end(&mut answer).await;
    };
    let closed = async {
        tokio::select! { () = write => {}, () = read => {} }
    };
    within("the connection is closed", closed).await;
    began.elapsed()
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_cut_off() {
    let gateway = impatient().await;
    for door in Door::BOTH {
        let after = trickle(address(&gateway, door), b"", b"").await;
        assert!(after >= HEAD_TIMEOUT, "{door:?}: after {after:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_head_of_http_1_that_trickles_in_is_cut_off() {
    let gateway = impatient().await;
    let first = b"POST /v1/chat/completions HTTP/1.1\r\nhost: it\r\n";
    let after = trickle(gateway.http, first, b"x: y\r\n").await;
    assert!(after >= HEAD_TIMEOUT, "after {after:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_preface_of_http_2_that_trickles_in_is_cut_off() {
    let gateway = impatient().await;
    for door in Door::BOTH {
        // Ten times slower than the timeout allows.
        let (first, rest) = PREFACE.split_at(5);
        let slowly: Vec<u8> = rest.iter().copied().take(12).collect();
        let after = trickle(address(&gateway, door), first, &slowly).await;
        assert!(after >= HEAD_TIMEOUT, "{door:?}: after {after:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn headers_of_http_2_that_never_end_are_cut_off() {
    let gateway = impatient().await;
    for door in Door::BOTH {
        let opening = [PREFACE, SETTINGS].concat();
        // `:method: POST` by the static table, and no END_HEADERS.
        let open_block: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83];
        let continuation: &[u8] = &[0, 0, 1, 9, 0, 0, 0, 0, 1, 0x86];
        // A frame that announces more than is sent of it.
        let long_frame: &[u8] = &[0, 16, 0, 1, 4, 0, 0, 0, 1];
        for (what, start, rest) in [
            ("a block without its end", open_block, &[][..]),
            ("endless continuations", open_block, continuation),
            ("a frame without its end", long_frame, &[0x83][..]),
        ] {
            let first = [&opening, start].concat();
            let after = trickle(address(&gateway, door), &first, rest).await;
            assert!(after >= HEAD_TIMEOUT, "{door:?}: {what}: after {after:?}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_of_http_2_may_rest_between_its_calls() {
    let gateway = impatient().await;
    let ask = Ask::new("still there?");
    for _ in 0..2 {
        Door::Grpc
            .chat(&gateway, &ask)
            .await
            .assert_whole("You said: still there?");
        sleep(2 * HEAD_TIMEOUT).await;
    }
    let mut idle = TcpStream::connect(gateway.grpc).await.unwrap();
    idle.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    sleep(2 * HEAD_TIMEOUT).await;
    // A ping, which shows that the connection is open.
    idle.write_all(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
        .await
        .unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(&[1, 2, 3, 4, 5, 6, 7, 8]) {
        let read = within("the ping's answer", idle.read_buf(&mut heard)).await;
        assert!(read.unwrap() > 0, "it was closed: {heard:?}");
    }
    drop(idle);
    gateway.stop().await;
}

#[tokio::test]
async fn pings_of_a_client_are_answered_and_never_held_against_it() {
    /// As many as a client sends in an hour that pings every 30 seconds, all at once.
    const PINGS: usize = 120;
    let gateway = Gateway::start().await;
    let mut client = Attacker::connect(gateway.grpc).await;
    let ping = framed(PING, 0, 0, b"ping-me!");
    assert!(client.send(&ping.repeat(PINGS)).await);
    let message = frame(&Ask::new("still there?").proto().encode_to_vec());
    let chat = [
        framed(HEADERS, END_HEADERS, 1, &call()),
        framed(DATA, END_STREAM, 1, &message),
    ];
    assert!(client.send(&chat.concat()).await);
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("You said: still there?") {
        let read = within("the answer", client.read.read_buf(&mut heard)).await;
        assert!(read.unwrap() > 0, "it was closed");
    }
    let told = Told(heard);
    assert_eq!(told.of(PING), [b"ping-me!"; PINGS]);
    assert!(told.of(GOAWAY).is_empty(), "the connection was given up");
    drop(client);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_told_so_and_frees_its_place() {
    let gateway = impatient_for_bodies().await;
    for client in [&gateway.web, &gateway.raw] {
        let request = client
            .post(gateway.url("/v1/chat/completions"))
            .bearer_auth(KEY)
            .header("content-type", "application/json")
            .body(unfinished(b"{\"model\":".to_vec()));
        let response = within("an answer", request.send()).await.unwrap();
        let failure = error_of(response).await;
        assert_eq!(
            (failure.kind, failure.should_retry),
            ("request_timeout", Some(false))
        );
    }
    gateway.settled().await;
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    assert_eq!(gateway.health().await["statistics"]["rejected_requests"], 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_that_does_not_arrive_in_time_is_told_so_and_frees_its_place() {
    let gateway = impatient_for_bodies().await;
    let message = frame(&Ask::new("slowly").proto().encode_to_vec());
    let methods = ["CreateChatCompletion", "StreamChatCompletion", "GetModel"];
    for method in methods {
        let path = format!("/duogate.v1.ChatService/{method}");
        let beginning = message[..message.len() / 2].to_vec();
        let call = raw_call(&gateway, &path, &[], unfinished(beginning));
        let RawAnswer { status, .. } = within("an answer", call).await;
        let failure = failure_of(&status, false);
        assert_eq!(
            (failure.kind, failure.should_retry),
            ("request_timeout", Some(false)),
            "{method}"
        );
    }
    gateway.settled().await;
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_s_own_deadline_bounds_its_message_too() {
    let gateway = Gateway::start().await;
    let path = "/duogate.v1.ChatService/CreateChatCompletion";
    let call = raw_call(&gateway, path, &[("grpc-timeout", "200m")], unfinished(vec![0]));
    let RawAnswer { status, .. } = within("an answer", call).await;
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_comes_slowly_and_in_time_is_answered() {
    let gateway = Gateway::start().await;
    let text = Ask::new("slowly").json(false).to_string();
    let pieces: Vec<Bytes> = text.as_bytes().chunks(8).map(Bytes::copy_from_slice).collect();
    let pieces = stream::unfold(pieces.into_iter(), |mut pieces| async move {
        sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(pieces.next()?), pieces))
    });
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY)
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(request.send().await.unwrap().status(), 200);
    gateway.stop().await;
}
