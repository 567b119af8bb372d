//! Responses that are ready before their requests have been read. The unread rest of a body affects no later request:
//! the connection continues, or the response has announced its close.

use std::net::SocketAddr;

use duogate::sim::Hold;
use prost::Message;

use crate::support::{ADMIN_KEY, Ask, Door, Gateway, KEY, Setup, Wire, crossed, for_some, frame, within};

const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const LIMIT: usize = 64 * 1024;
const SMALL: usize = 90_000;
const MIDDLE: usize = 900_000;
const LARGE: usize = 5_000_000;

/// A request that is rejected before its body is read.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    door: Door,
    /// Method and path.
    line: &'static str,
    headers: &'static str,
    key: &'static str,
    status: u16,
    /// Text in the response's head or body.
    holds: &'static str,
}

const fn http(line: &'static str, key: &'static str, status: u16, holds: &'static str) -> Refusal {
    Refusal {
        door: Door::Http,
        line,
        headers: "content-type: application/json\r\n",
        key,
        status,
        holds,
    }
}

const fn grpc(line: &'static str, headers: &'static str, key: &'static str, status: u16) -> Refusal {
    Refusal {
        door: Door::Grpc,
        line,
        headers,
        key,
        status,
        holds: "",
    }
}

const CHAT: &str = "POST /v1/chat/completions";
const WEB: &str = "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n";

/// Rejections by a gateway with capacity.
fn refusals() -> Vec<Refusal> {
    let call = "POST /duogate.v1.ChatService/CreateChatCompletion";
    let mut all = vec![
        http(CHAT, "", 401, "invalid_api_key"),
        http(CHAT, "sk-wrong", 401, "invalid_api_key"),
        http("POST /v1/responses", "sk-wrong", 401, "invalid_api_key"),
        http("POST /v1/completions", "sk-wrong", 401, "invalid_api_key"),
        http(CHAT, KEY, 413, "request_too_large"),
        http("POST /no/such/path", KEY, 404, "unknown_url"),
        http("PUT /v1/chat/completions", KEY, 405, "method_not_supported"),
        http("OPTIONS /v1/chat/completions", KEY, 204, ""),
        http("DELETE /v1/responses/resp_none", KEY, 404, "not_found"),
        http("GET /v1/models", KEY, 200, "\"data\""),
        http("GET /metrics", KEY, 200, "duogate_"),
        http("GET /livez", "", 200, ""),
        http("GET /health", "", 200, "status"),
        http("GET /openapi.json", "", 200, "openapi"),
        http("POST /admin/tokens", "sk-wrong", 401, "invalid_api_key"),
        http("GET /admin/tokens", ADMIN_KEY, 200, ""),
        grpc(call, WEB, "sk-wrong", 200),
        grpc("POST /duogate.v1.ChatService/NoSuch", WEB, KEY, 200),
        grpc("POST /duogate.v1.DiagnosticsService/NoSuch", WEB, "sk-wrong", 200),
        grpc(call, "content-type: application/grpc\r\n", KEY, 505),
        grpc(call, "content-type: text/plain\r\n", KEY, 415),
        grpc(
            "OPTIONS /duogate.v1.ChatService/CreateChatCompletion",
            "origin: https://a.example\r\naccess-control-request-method: POST\r\n",
            "",
            200,
        ),
    ];
    all.push(Refusal {
        headers: "content-type: text/plain\r\n",
        ..http(CHAT, KEY, 415, "unsupported_media_type")
    });
    all.push(Refusal {
        headers: "origin: https://a.example\r\naccess-control-request-method: POST\r\n",
        ..http("OPTIONS /v1/chat/completions", "", 200, "")
    });
    all
}

/// Rejections by a gateway at its limit.
fn refusals_for_want_of_room() -> Vec<Refusal> {
    vec![
        http(CHAT, KEY, 503, "overloaded"),
        http("POST /v1/responses", KEY, 503, "overloaded"),
        http("POST /v1/completions", KEY, 503, "overloaded"),
        grpc("POST /duogate.v1.ChatService/StreamChatCompletion", WEB, KEY, 200),
    ]
}

/// The framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Length,
    Chunked,
    Trailers,
    /// With `Expect: 100-continue`, the body held back.
    Expect,
    /// With `Expect: 100-continue`, the body sent anyway.
    ExpectAndSend,
}

const FORMS: [Form; 5] = [
    Form::Length,
    Form::Chunked,
    Form::Trailers,
    Form::Expect,
    Form::ExpectAndSend,
];

impl Form {
    fn request(self, refusal: &Refusal, size: usize) -> Vec<u8> {
        let Refusal { line, headers, .. } = refusal;
        let key = match refusal.key {
            "" => String::new(),
            key => format!("authorization: Bearer {key}\r\n"),
        };
        let framing = match self {
            Self::Length => format!("content-length: {size}\r\n"),
            Self::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            Self::Trailers => "transfer-encoding: chunked\r\ntrailer: x-sum\r\n".to_owned(),
            Self::Expect | Self::ExpectAndSend => {
                format!("content-length: {size}\r\nexpect: 100-continue\r\n")
            }
        };
        let head = format!("{line} HTTP/1.1\r\nhost: it\r\n{headers}{key}{framing}\r\n");
        let mut bytes = head.into_bytes();
        match self {
            Self::Length | Self::ExpectAndSend => bytes.resize(bytes.len() + size, b' '),
            Self::Chunked | Self::Trailers => {
                let mut left = size;
                while left > 0 {
                    let piece = left.min(16_000);
                    bytes.extend(format!("{piece:x}\r\n").into_bytes());
                    bytes.resize(bytes.len() + piece, b' ');
                    bytes.extend(b"\r\n");
                    left -= piece;
                }
                bytes.extend(b"0\r\n");
                bytes.extend(if self == Self::Trailers {
                    b"x-sum: 1\r\n\r\n".as_slice()
                } else {
                    b"\r\n"
                });
            }
            Self::Expect => {}
        }
        bytes
    }
}

/// A valid request that follows on the same connection.
fn innocent(door: Door) -> Vec<u8> {
    match door {
        Door::Http => {
            format!("GET /v1/models HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {KEY}\r\n\r\n").into_bytes()
        }
        Door::Grpc => {
            let path = "/duogate.v1.ChatService/ListModels";
            let body = frame(b"");
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {KEY}\r\n{WEB}content-length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), &body].concat()
        }
    }
}

async fn innocent_is_served(wire: &mut Wire, door: Door) {
    let heard = wire.hear().await.expect("the next request was lost");
    assert_eq!(heard.status, 200, "{heard:?}");
    let whole = match door {
        Door::Http => "\"data\":",
        Door::Grpc => "grpc-status:0",
    };
    assert!(heard.body.contains(whole), "{heard:?}");
    assert!(!heard.closes(), "{heard:?}");
}

fn address(gateway: &Gateway, door: Door) -> SocketAddr {
    match door {
        Door::Http => gateway.http,
        Door::Grpc => gateway.grpc,
    }
}

/// Sends a request that is rejected, checks the response, and sends a valid one on the same connection.
async fn refused_and_served(gateway: &Gateway, refusal: &Refusal, form: Form, size: usize) {
    let mut wire = Wire::connect(address(gateway, refusal.door)).await;
    let heard = wire.ask(&form.request(refusal, size)).await;
    // There was no `100 Continue` before it.
    assert_eq!(heard.status, refusal.status, "{heard:?}");
    let all = format!("{:?}{}", heard.headers, heard.body);
    assert!(all.contains(refusal.holds), "{heard:?}");
    let may_close = size > 1024 * 1024 || matches!(form, Form::Expect | Form::ExpectAndSend);
    if heard.closes() {
        assert!(may_close, "the rest was small enough to read: {heard:?}");
        wire.ends().await;
    } else {
        wire.send(&innocent(refusal.door)).await;
        innocent_is_served(&mut wire, refusal.door).await;
    }
}

async fn every_refusal(gateway: &Gateway, refusals: Vec<Refusal>) {
    let forms = crossed(FORMS, [SMALL, MIDDLE, LARGE]);
    for_some(8, crossed(refusals, forms), async |(refusal, (form, size))| {
        refused_and_served(gateway, &refusal, form, size).await;
    })
    .await;
}

async fn small() -> Gateway {
    Setup::new()
        .settings(|settings| {
            settings.max_body_bytes = LIMIT;
            settings.admin_key = Some(ADMIN_KEY.into());
        })
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_never_costs_the_next_request() {
    let gateway = small().await;
    every_refusal(&gateway, refusals()).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_for_want_of_room() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 1)
        .start()
        .await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let mut running = Door::Grpc.open(&gateway, &Ask::new("a long one")).await.unwrap();
    running.first_text().await;
    every_refusal(&gateway, refusals_for_want_of_room()).await;
    gateway.sim.release();
    within("the rest", running.finish()).await;
    gateway.stop().await;
}

/// A client whose socket accepted the whole body sends its next request right behind it.
#[tokio::test]
async fn what_was_sent_behind_a_refused_body_is_answered_too() {
    let gateway = small().await;
    for refusal in refusals() {
        for form in [Form::Length, Form::Chunked, Form::Trailers] {
            let both = [form.request(&refusal, SMALL), innocent(refusal.door)].concat();
            let mut wire = Wire::connect(address(&gateway, refusal.door)).await;
            let heard = wire.ask(&both).await;
            assert_eq!(heard.status, refusal.status, "{refusal:?} {form:?}");
            assert!(!heard.closes(), "{refusal:?} {form:?}: {heard:?}");
            innocent_is_served(&mut wire, refusal.door).await;
        }
    }
    gateway.stop().await;
}

/// Valid and wrong keys alternate on one connection, as from a client with two keys.
#[tokio::test]
async fn good_chats_and_refused_ones_take_turns_on_one_connection() {
    let gateway = Gateway::start().await;
    let mut wire = Wire::connect(gateway.http).await;
    let mut web = Wire::connect(gateway.grpc).await;
    for number in 0..40 {
        let wrong = Form::Length.request(&http(CHAT, "sk-wrong", 401, ""), SMALL);
        assert_eq!(wire.ask(&wrong).await.status, 401);
        let body = Ask::new(format!("number {number}"))
            .json(number % 2 == 0)
            .to_string();
        let good = format!(
            "{CHAT} HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let heard = wire.ask(good.as_bytes()).await;
        assert!(heard.status == 200 && !heard.closes(), "{heard:?}");
        let wrong = grpc(
            "POST /duogate.v1.ChatService/CreateChatCompletion",
            WEB,
            "sk-wrong",
            200,
        );
        assert_eq!(web.ask(&Form::Length.request(&wrong, SMALL)).await.status, 200);
        let body = frame(&Ask::new(format!("number {number}")).proto().encode_to_vec());
        let head = format!(
            "POST {CREATE} HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {KEY}\r\n{WEB}content-length: {}\r\n\r\n",
            body.len()
        );
        let heard = web.ask(&[head.as_bytes(), &body].concat()).await;
        assert!(
            heard.body.contains("grpc-status:0") && !heard.closes(),
            "{heard:?}"
        );
    }
    gateway.settled().await;
    gateway.stop().await;
}

/// A body that does not end is awaited for a short time, then the response says that the connection closes.
#[tokio::test]
async fn a_refused_body_that_trickles_in_is_told_that_its_connection_closes() {
    let gateway = small().await;
    // A body without a length is too large only once that much has arrived.
    let at_once = refusals().into_iter().filter(|refusal| refusal.status != 413);
    let cases = crossed(at_once, [Form::Length, Form::Chunked]);
    for_some(24, cases, async |(refusal, form)| {
        let mut bytes = form.request(&refusal, SMALL);
        bytes.truncate(2000);
        let mut wire = Wire::connect(address(&gateway, refusal.door)).await;
        let heard = wire.ask(&bytes).await;
        assert_eq!(heard.status, refusal.status);
        assert!(heard.closes(), "{heard:?}");
        wire.ends().await;
    })
    .await;
    gateway.stop().await;
}

/// After a malformed body the connection cannot continue.
#[tokio::test]
async fn a_body_that_breaks_the_rules_is_told_that_its_connection_closes() {
    let gateway = small().await;
    for (key, status) in [(KEY, 400), ("sk-wrong", 401)] {
        let head = format!(
            "{CHAT} HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {key}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let mut wire = Wire::connect(gateway.http).await;
        let heard = wire
            .ask(format!("{head}5\r\n{{\"a\":\r\nzzz\r\n").as_bytes())
            .await;
        assert_eq!(heard.status, status, "{heard:?}");
        assert!(heard.closes(), "{heard:?}");
        wire.ends().await;
    }
    gateway.stop().await;
}

/// Java's client offers an upgrade to HTTP/2 in the first request of each connection; it must receive the response,
/// too.
#[tokio::test]
async fn who_asks_for_another_protocol_and_is_refused_sees_the_answer() {
    let gateway = small().await;
    let headers =
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
    for size in [SMALL, LARGE] {
        let refusal = Refusal {
            headers,
            ..http(CHAT, "sk-wrong", 401, "invalid_api_key")
        };
        refused_and_served(&gateway, &refusal, Form::Length, size).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_by_a_gateway_that_stops_says_that_the_connection_closes() {
    let gateway = Gateway::start().await;
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let mut running = Door::Grpc.open(&gateway, &Ask::new("a long one")).await.unwrap();
    running.first_text().await;
    let refusal = http(CHAT, KEY, 503, "shutting_down");
    let mut wires = Vec::new();
    for form in [Form::Length, Form::Chunked, Form::Expect] {
        // Heads that are incomplete when the stop comes.
        let bytes = form.request(&refusal, SMALL);
        let mut wire = Wire::connect(gateway.http).await;
        wire.send(&innocent(Door::Http)).await;
        innocent_is_served(&mut wire, Door::Http).await;
        wire.send(&bytes[..20]).await;
        wires.push((form, wire, bytes));
    }
    gateway.stop.soft.cancel();
    for (form, mut wire, bytes) in wires {
        // A late request is cut off; one that is answered learns that the connection closes.
        let _taken = wire.try_send(&bytes[20..]).await;
        if let Some(heard) = wire.hear().await {
            assert!(heard.closes(), "{form:?}: {heard:?}");
        }
    }
    gateway.sim.release();
    within("the rest", running.finish()).await;
    gateway.stop().await;
}
