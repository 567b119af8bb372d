//! Lifetime of connections: idle timeout, maximum age, and rejection of malformed heads.

use std::time::Duration;

use duogate::{
    config::Settings,
    sim::{Hold, answer_text},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    Ask, Door, Gateway, KEY, Setup, Talk, Wire, eventually, failure_of,
    http2::{Attacker, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Told, framed, packed},
    within,
};

const SHORT: Duration = Duration::from_millis(1500);

async fn with(change: impl FnOnce(&mut Settings)) -> Gateway {
    Setup::new().settings(change).start().await
}

fn good() -> String {
    format!("GET /v1/models HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {KEY}\r\n\r\n")
}

async fn is_served(wire: &mut Wire) {
    let heard = wire.ask(good().as_bytes()).await;
    assert!(heard.status == 200 && !heard.closes(), "{heard:?}");
}

#[tokio::test]
async fn a_connection_may_rest_for_longer_than_a_head_may_take() {
    let gateway = with(|settings| settings.header_read_timeout = SHORT).await;
    for address in [gateway.http, gateway.grpc] {
        let mut wire = Wire::connect(address).await;
        for _ in 0..3 {
            let heard = wire.ask(b"GET / HTTP/1.1\r\nhost: it\r\n\r\n").await;
            assert!(!heard.closes(), "{heard:?}");
            // Some clients send an empty line after a body.
            wire.send(b"\r\n").await;
            sleep(2 * SHORT).await;
        }
        // A head after an idle period has its full timeout.
        let began = Instant::now();
        wire.send(b"GET / HT").await;
        assert!(wire.hear().await.is_none());
        assert!(began.elapsed() >= SHORT);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_that_rests_for_too_long_is_closed_in_order() {
    let gateway = with(|settings| settings.http_idle_timeout = SHORT).await;
    let began = Instant::now();
    let mut wire = Wire::connect(gateway.http).await;
    is_served(&mut wire).await;
    wire.ends().await;
    assert!(began.elapsed() >= SHORT);
    let began = Instant::now();
    let stream = TcpStream::connect(gateway.grpc).await.unwrap();
    let (_idle, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = within("the end", connection).await;
    assert!(began.elapsed() >= SHORT);
    let reason = ended.err().and_then(|error| error.reason());
    assert!(matches!(reason, None | Some(h2::Reason::NO_ERROR)), "{reason:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_under_way_is_no_rest() {
    let gateway = with(|settings| settings.http_idle_timeout = SHORT).await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let mut opened = Vec::new();
    for door in Door::BOTH {
        let mut stream = door.open(&gateway, &Ask::new("take your time")).await.unwrap();
        stream.first_text().await;
        opened.push(stream);
    }
    sleep(3 * SHORT).await;
    gateway.sim.release();
    for stream in opened {
        let outcome = within("the rest", stream.finish()).await;
        outcome.assert_whole(&answer_text("take your time"));
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_time_to_rest_changes_while_it_runs() {
    let gateway = Gateway::start().await;
    let mut settings = gateway.live().settings();
    settings.http_idle_timeout = SHORT;
    assert!(gateway.live().apply(&settings));
    let mut wire = Wire::connect(gateway.http).await;
    is_served(&mut wire).await;
    wire.ends().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_old_connection_of_http_1_says_so_in_an_answer_and_loses_nothing() {
    let gateway = with(|settings| settings.max_connection_age = Some(SHORT)).await;
    let began = Instant::now();
    let mut wire = Wire::connect(gateway.http).await;
    is_served(&mut wire).await;
    // After its maximum age it waits for one more request.
    sleep(2 * SHORT).await;
    let heard = wire.ask(good().as_bytes()).await;
    assert!(heard.status == 200 && heard.closes(), "{heard:?}");
    wire.ends().await;
    assert!(began.elapsed() >= SHORT.mul_f64(0.9));
    gateway.stop().await;
}

fn call() -> Vec<u8> {
    let key = format!("Bearer {KEY}");
    packed([
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/v1/models"),
        (":authority", "gateway"),
        ("authorization", key.as_str()),
    ])
}

#[tokio::test]
async fn an_old_connection_of_http_2_is_drained() {
    let gateway = with(|settings| settings.max_connection_age = Some(SHORT)).await;
    let mut client = Attacker::connect(gateway.http).await;
    client
        .send(&framed(HEADERS, END_HEADERS | END_STREAM, 1, &call()))
        .await;
    let mut heard = Vec::new();
    within("a farewell", async {
        while Told(heard.clone()).of(GOAWAY).is_empty() {
            assert!(client.read.read_buf(&mut heard).await.unwrap() > 0, "no farewell");
        }
    })
    .await;
    let told = Told(heard);
    assert!(!told.of(HEADERS).is_empty(), "it was answered before");
    told.assert_gone_away(0);
    drop(client);
    // A chat under way when its connection reaches the maximum age runs to its end.
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let mut stream = Door::Grpc.open(&gateway, &Ask::new("old")).await.unwrap();
    stream.first_text().await;
    sleep(3 * SHORT).await;
    gateway.sim.release();
    let outcome = within("the rest", stream.finish()).await;
    outcome.assert_whole(&answer_text("old"));
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn after_the_grace_an_old_connection_of_http_2_ends_with_what_is_on_it() {
    let gateway = with(|settings| {
        settings.max_connection_age = Some(SHORT);
        settings.shutdown_grace = SHORT;
    })
    .await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let mut chats = gateway.chats();
    let opened = chats.stream_chat_completion(Ask::new("too old").request());
    let mut events = within("a stream", opened).await.unwrap().into_inner();
    let cut = async {
        while events.message().await?.is_some() {}
        Ok::<(), tonic::Status>(())
    };
    let cut = within("the cut", cut).await;
    let failure = failure_of(&cut.expect_err("it ended as if it were whole"), true);
    assert_eq!(failure.kind, "shutting_down");
    assert_eq!(failure.should_retry, Some(true));
    let chat = gateway
        .raw
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY)
        .json(&json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "too old"}]}));
    let opened = within("a stream", chat.send()).await.unwrap();
    assert_eq!(opened.version(), http::Version::HTTP_2);
    let told = within("the end", opened.text()).await.unwrap();
    let last = told.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    assert!(
        last.contains("shutting_down") && !told.contains("[DONE]"),
        "{told}"
    );
    gateway.sim.release();
    gateway.settled().await;
    let page = gateway.get("/metrics").await.text().await.unwrap();
    let chats = page
        .lines()
        .filter(|line| line.starts_with("duogate_requests_total{"));
    let mut chats: Vec<&str> = chats.filter(|line| !line.ends_with(" 0")).collect();
    chats.sort_unstable();
    let [grpc, http] = chats[..] else {
        panic!("{chats:?}");
    };
    for (door, line) in [("grpc", grpc), ("http", http)] {
        let said = [format!("door=\"{door}\""), "outcome=\"shutting_down\"".to_owned()];
        assert!(said.iter().all(|said| line.contains(said)), "{line}");
    }
    gateway.stop().await;
}

/// What is open for ever on an old connection ends with it, in words.
#[tokio::test]
async fn conversations_and_watches_on_an_old_connection_are_told_that_it_ends() {
    let gateway = with(|settings| {
        settings.max_connection_age = Some(SHORT);
        settings.shutdown_grace = SHORT;
    })
    .await;
    let mut talk = Talk::anew(&gateway).await;
    let mut health = HealthClient::new(gateway.channel());
    let mut watch = health
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    let watched = async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended as if it were whole"),
                Err(status) => break status,
            }
        }
    };
    let (ended, watched) = tokio::join!(within("the end", talk.end()), within("the end", watched));
    assert_eq!(ended.unwrap_err().kind, "shutting_down");
    assert_eq!(watched.code(), tonic::Code::Unavailable);
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn heads_of_http_1_are_sound_or_refused_by_name() {
    let gateway = Gateway::start().await;
    let host = "host: it\r\n";
    let body = "transfer-encoding: chunked\r\n";
    for (what, version, headers, status, named) in [
        ("no host", "1.1", String::new(), 400, "host"),
        ("two hosts", "1.1", format!("{host}{host}"), 400, "host"),
        ("two hosts, in 1.0", "1.0", format!("{host}{host}"), 400, "host"),
        ("a host that is none", "1.1", "host: a b\r\n".into(), 400, "host"),
        ("hosts in one", "1.1", "host: a, b\r\n".into(), 400, "host"),
        (
            "hosts without a blank",
            "1.1",
            "host: a,b\r\n".into(),
            400,
            "host",
        ),
        ("a user", "1.1", "host: me@it\r\n".into(), 400, "host"),
        (
            "a user of the host's name",
            "1.1",
            "host: it@it\r\n".into(),
            400,
            "host",
        ),
        ("a port in letters", "1.1", "host: it:x\r\n".into(), 400, "host"),
        (
            "a port with a sign",
            "1.1",
            "host: it:+80\r\n".into(),
            400,
            "host",
        ),
        (
            "a port beyond all",
            "1.1",
            "host: it:65536\r\n".into(),
            400,
            "host",
        ),
        (
            "a port of an address in letters",
            "1.1",
            "host: [::1]:x\r\n".into(),
            400,
            "host",
        ),
        ("a port of no host", "1.1", "host: :80\r\n".into(), 400, "host"),
        (
            "an unknown coding",
            "1.1",
            format!("{host}transfer-encoding: gzip, chunked\r\n"),
            501,
            "transfer-encoding",
        ),
        (
            "an unknown coding in a line of its own",
            "1.1",
            format!("{host}transfer-encoding: x-mine\r\n{body}"),
            501,
            "transfer-encoding",
        ),
        (
            "chunks of chunks",
            "1.1",
            format!("{host}transfer-encoding: chunked, chunked\r\n"),
            400,
            "transfer-encoding",
        ),
    ] {
        let chunks = if named == "host" {
            ""
        } else {
            "5\r\nabcde\r\n0\r\n\r\n"
        };
        let keep = "connection: keep-alive\r\n";
        for address in [gateway.http, gateway.grpc] {
            let mut wire = Wire::connect(address).await;
            let request = format!(
                "POST /v1/models HTTP/{version}\r\nauthorization: Bearer {KEY}\r\n{keep}{headers}\r\n{chunks}"
            );
            let heard = wire.ask(request.as_bytes()).await;
            assert_eq!(heard.status, status, "{what}: {heard:?}");
            if address == gateway.http {
                let body: serde_json::Value = serde_json::from_str(&heard.body).expect(what);
                assert_eq!(body["error"]["param"], named, "{what}: {body}");
                assert_eq!(body["error"]["type"], "invalid_request_error", "{what}: {body}");
                assert_eq!(heard.header("x-should-retry"), Some("false"), "{what}");
                assert!(heard.header("x-request-id").is_some(), "{what}");
            } else {
                assert!(
                    heard.body.to_ascii_lowercase().contains(named),
                    "{what}: {heard:?}"
                );
            }
            if !heard.closes() {
                let heard = wire.ask(b"GET / HTTP/1.1\r\nhost: it\r\n\r\n").await;
                assert!([200, 415].contains(&heard.status), "{what}: {heard:?}");
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn hosts_of_every_good_form_are_served() {
    let gateway = Gateway::start().await;
    let key = format!("authorization: Bearer {KEY}\r\n");
    for (version, host) in [
        ("1.0", ""),
        ("1.1", "host:\r\n"),
        ("1.1", "Host: Example.COM:3333\r\n"),
        ("1.1", "host: [::1]:3333\r\n"),
        ("1.1", "host: [::1]\r\n"),
        ("1.1", "host: it:\r\n"),
        ("1.1", "host: it:00080\r\n"),
        ("1.1", "host: 127.0.0.1\r\n"),
        ("1.1", "host: under_score.local\r\n"),
    ] {
        let mut wire = Wire::connect(gateway.http).await;
        let request = format!("GET /v1/models HTTP/{version}\r\n{key}{host}\r\n");
        assert_eq!(wire.ask(request.as_bytes()).await.status, 200, "{host}");
    }
    gateway.stop().await;
}

/// If the length of a body is unknown, nothing after it may be taken for a request.
#[tokio::test]
async fn a_coding_that_hides_the_bodys_end_closes_the_connection() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    let request = format!(
        "POST /v1/models HTTP/1.1\r\nhost: it\r\ntransfer-encoding: x-mine\r\n\r\n{}",
        good()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    within("the end", stream.read_to_string(&mut heard))
        .await
        .unwrap();
    assert!(
        heard.starts_with("HTTP/1.1 400 ") && !heard.contains("200 OK"),
        "{heard}"
    );
    eventually("it goes on for others", async || {
        gateway.get("/livez").await.status() == 200
    })
    .await;
    gateway.stop().await;
}
