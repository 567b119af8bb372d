//! The same over HTTP/2: the response, the end of its stream, at most a reset without an error, and the connection
//! continues.

use std::{future::poll_fn, net::SocketAddr};

use bytes::Bytes;
use h2::{
    Reason, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{Method, Request, Response};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use crate::support::{
    Ask, Door, Gateway, KEY, Setup, crossed, for_some,
    http2::{Attacker, DATA, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, Told, framed, packed},
    within,
};

const LIMIT: usize = 64 * 1024;
const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";

#[derive(Debug, Clone, Copy)]
struct Refusal {
    door: Door,
    method: Method2,
    path: &'static str,
    key: &'static str,
    kind: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Copy)]
enum Method2 {
    Get,
    Post,
    Put,
}

impl From<Method2> for Method {
    fn from(method: Method2) -> Self {
        match method {
            Method2::Get => Self::GET,
            Method2::Post => Self::POST,
            Method2::Put => Self::PUT,
        }
    }
}

fn refusals() -> Vec<Refusal> {
    let http = |method, path, key, status| Refusal {
        door: Door::Http,
        method,
        path,
        key,
        kind: "application/json",
        status,
    };
    let grpc = |path, key, kind, status| Refusal {
        door: Door::Grpc,
        method: Method2::Post,
        path,
        key,
        kind,
        status,
    };
    let chat = "/v1/chat/completions";
    vec![
        http(Method2::Post, chat, "sk-wrong", 401),
        http(Method2::Put, chat, KEY, 405),
        http(Method2::Post, "/no/such/path", KEY, 404),
        http(Method2::Get, "/metrics", KEY, 200),
        Refusal {
            kind: "text/plain",
            ..http(Method2::Post, chat, KEY, 415)
        },
        grpc(CREATE, "sk-wrong", "application/grpc", 200),
        grpc(CREATE, "sk-wrong", "application/grpc-web", 200),
        grpc("/duogate.v1.ChatService/NoSuch", KEY, "application/grpc", 200),
        grpc(CREATE, KEY, "text/plain", 415),
    ]
}

/// A connection and the task that drives it.
struct Connected {
    requests: SendRequest<Bytes>,
    driver: JoinSet<Result<(), h2::Error>>,
}

async fn connect(address: SocketAddr) -> Connected {
    let stream = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    Connected { requests, driver }
}

impl Connected {
    async fn begin(
        &mut self,
        refusal: &Refusal,
        length: Option<usize>,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::builder()
            .method(Method::from(refusal.method))
            .uri(format!("http://it{}", refusal.path))
            .header("authorization", format!("Bearer {}", refusal.key))
            .header("content-type", refusal.kind)
            .header("te", "trailers");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(request.body(()).unwrap(), false).unwrap()
    }

    async fn good_requests_are_served(&mut self, door: Door) {
        let good = match door {
            Door::Http => Refusal {
                door,
                method: Method2::Get,
                path: "/v1/models",
                key: KEY,
                kind: "application/json",
                status: 200,
            },
            Door::Grpc => Refusal {
                door,
                method: Method2::Post,
                path: "/duogate.v1.ChatService/ListModels",
                key: KEY,
                kind: "application/grpc",
                status: 200,
            },
        };
        let (response, mut body) = self.begin(&good, None).await;
        let message = match door {
            Door::Http => Bytes::new(),
            Door::Grpc => Bytes::from_static(&[0; 5]),
        };
        body.send_data(message, true).unwrap();
        let response = response.await.expect("the connection goes on");
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("grpc-status"), "{response:?}");
        read(response).await;
    }
}

/// Reads a response to the end of its stream.
async fn read(response: Response<h2::RecvStream>) {
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data.expect("an answer, whole");
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    body.trailers().await.expect("an answer's end");
}

/// Sends this many bytes; returns the reason of a reset.
async fn send(body: &mut SendStream<Bytes>, size: usize, ends: bool) -> Option<Reason> {
    let mut left = size;
    while left > 0 {
        body.reserve_capacity(left.min(16_000));
        match poll_fn(|context| body.poll_capacity(context)).await {
            Some(Ok(room)) => {
                let room = room.min(left);
                left -= room;
                if body
                    .send_data(vec![b' '; room].into(), ends && left == 0)
                    .is_err()
                {
                    break;
                }
            }
            Some(Err(error)) => return error.reason(),
            None => break,
        }
    }
    if left == 0 && ends {
        return None;
    }
    Some(poll_fn(|context| body.poll_reset(context)).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_leaves_its_connection_as_it_was() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_body_bytes = LIMIT)
        .start()
        .await;
    let sizes = crossed([90_000, 900_000, 5_000_000], [false, true]);
    for_some(
        8,
        crossed(refusals(), sizes),
        async |(refusal, (size, announced))| {
            let mut connected = connect(address(&gateway, refusal.door)).await;
            for ends in [true, false] {
                let (response, mut body) = connected.begin(&refusal, announced.then_some(size)).await;
                // A body without an end is shorter than announced.
                let sent = if ends { size } else { size / 2 };
                let answered = async {
                    let response = response.await.expect("an answer");
                    assert_eq!(response.status(), refusal.status);
                    read(response).await;
                };
                let (told, ()) = tokio::join!(send(&mut body, sent, ends), answered);
                assert!(matches!(told, None | Some(Reason::NO_ERROR)), "{told:?}");
                assert!(ends || told.is_some(), "it goes on for ever");
                connected.good_requests_are_served(refusal.door).await;
            }
            assert!(connected.driver.is_empty() || connected.driver.try_join_next().is_none());
        },
    )
    .await;
    gateway.stop().await;
}

fn address(gateway: &Gateway, door: Door) -> SocketAddr {
    match door {
        Door::Http => gateway.http,
        Door::Grpc => gateway.grpc,
    }
}

/// Bodies still being sent after their rejection must not count as protocol errors of the connection.
#[tokio::test]
async fn bodies_that_come_after_their_refusals_are_not_held_against_the_connection() {
    const CROWD: u32 = 900;
    let gateway = Gateway::start().await;
    let mut client = Attacker::connect(gateway.grpc).await;
    let plain = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CREATE),
        (":authority", "gateway"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", "Bearer sk-wrong"),
    ];
    let heads: Vec<u8> = (0..CROWD)
        .flat_map(|index| framed(HEADERS, END_HEADERS, 2 * index + 1, &packed(plain)))
        .collect();
    assert!(client.send(&heads).await);
    let mut heard = Vec::new();
    let answered = async |client: &mut Attacker, heard: &mut Vec<u8>, count: usize| {
        while Told(heard.clone()).of(HEADERS).len() < count {
            let read = within("answers", client.read.read_buf(heard)).await;
            assert!(read.unwrap() > 0, "it was closed");
        }
    };
    answered(&mut client, &mut heard, CROWD as usize).await;
    let reset: std::collections::HashSet<u32> = streams(&heard, RST_STREAM);
    let late: Vec<u8> = (0..CROWD)
        .map(|index| 2 * index + 1)
        .filter(|stream| !reset.contains(stream))
        .flat_map(|stream| framed(DATA, 1, stream, b"the rest"))
        .collect();
    assert!(client.send(&late).await);
    let good = Ask::new("still there?");
    let message = crate::support::frame(&prost::Message::encode_to_vec(&good.proto()));
    let stream = 2 * CROWD + 1;
    let call = [
        framed(HEADERS, END_HEADERS, stream, &crate::support::http2::call()),
        framed(DATA, 1, stream, &message),
    ];
    assert!(client.send(&call.concat()).await);
    while !String::from_utf8_lossy(&heard).contains("You said: still there?") {
        let read = within("the answer", client.read.read_buf(&mut heard)).await;
        assert!(read.unwrap() > 0, "it was closed");
    }
    assert!(Told(heard).of(GOAWAY).is_empty(), "the connection was given up");
    drop(client);
    gateway.settled().await;
    gateway.stop().await;
}

/// The ids of the streams with frames of a kind.
fn streams(bytes: &[u8], kind: u8) -> std::collections::HashSet<u32> {
    let (mut found, mut rest) = (std::collections::HashSet::new(), bytes);
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        if rest[3] == kind {
            found.insert(u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]));
        }
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    found
}
