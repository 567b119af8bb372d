//! Clients that do not read their response: they are cut off, their resources are freed, and until then the upstream is
//! held back, too. Over both doors, HTTP/1 and HTTP/2, with a blocked socket or a closed stream window.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use duogate::{
    config::Settings,
    sim::{Hold, Step},
};
use h2::{RecvStream, client::SendRequest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Ask, Door, Gateway, KEY, ONCE, Setup, Way, each_door, each_way, eventually, frame, within,
};

const PATIENCE: Duration = Duration::from_secs(1);
/// More than all sockets between the upstream and its client buffer.
const LARGE: usize = 14 * 1024 * 1024;
const MIB: usize = 1024 * 1024;

async fn impatient() -> Gateway {
    let impatient = |settings: &mut Settings| {
        settings.client_write_timeout = PATIENCE;
        settings.max_body_bytes = 64 * MIB;
        settings.max_prompt_bytes = 64 * MIB;
        settings.timeout = Duration::from_secs(300);
    };
    Setup::new().tokens(1).settings(impatient).start().await
}

fn large() -> Ask {
    words_of(LARGE)
}

/// A question of this many bytes, whose answer is as long. Counting its tokens takes the upstream some time.
fn words_of(bytes: usize) -> Ask {
    Ask::new("word ".repeat(bytes / 5)).model("usage:on")
}

fn address(gateway: &Gateway, door: Door) -> SocketAddr {
    match door {
        Door::Http => gateway.http,
        Door::Grpc => gateway.grpc,
    }
}

/// A connection with a small receive buffer.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(address).await.unwrap()
}

/// The question as a request of HTTP/1.
fn written(ask: &Ask, streamed: bool) -> Vec<u8> {
    let body = ask.json(streamed).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// An HTTP/2 client whose connection is read, whatever its streams do, until it is frozen.
struct Http2 {
    requests: SendRequest<Bytes>,
    driver: JoinSet<()>,
    frozen: CancellationToken,
}

impl Http2 {
    async fn connect(address: SocketAddr, window: u32) -> Self {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(window)
            .initial_connection_window_size(1 << 30);
        let stream = connect(address).await;
        let (requests, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        let mut driver = JoinSet::new();
        let frozen = CancellationToken::new();
        let freeze = frozen.clone();
        driver.spawn(async move {
            let mut connection = connection;
            tokio::select! {
                // Ends in an error when the gateway closes it, which the tests check elsewhere.
                _ended = &mut connection => {}
                // Open, but not read any more.
                () = freeze.cancelled() => std::future::pending().await,
            }
        });
        Self {
            requests,
            driver,
            frozen,
        }
    }

    /// Sends a request, and returns the response's body unread.
    async fn ask(&mut self, way: Way, ask: &Ask) -> RecvStream {
        let (path, kind, body) = match way.door {
            Door::Http => {
                let body = ask.json(way.streamed).to_string().into_bytes();
                ("/v1/chat/completions", "application/json", body)
            }
            Door::Grpc => {
                let body = frame(&prost::Message::encode_to_vec(&ask.proto()));
                let path = if way.streamed {
                    "/duogate.v1.ChatService/StreamChatCompletion"
                } else {
                    "/duogate.v1.ChatService/CreateChatCompletion"
                };
                (path, "application/grpc", body)
            }
        };
        let request = http::Request::post(format!("http://it{path}"))
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", kind)
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut ready = self.requests.clone().ready().await.unwrap();
        let (response, mut sending) = ready.send_request(request, false).unwrap();
        sending.send_data(body.into(), true).unwrap();
        let response = within("the answer's head", response).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body()
    }
}

/// Reads what the window allows without extending it, and waits for the stream's reset.
async fn reset_of(body: &mut RecvStream) -> h2::Error {
    loop {
        match within("the stream is reset", body.data()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => panic!("the answer is whole"),
        }
    }
}

/// Checks that the resources of a streamed chat are free and the chat counts as cancelled. The upstream was held back:
/// it was left before it had sent everything.
async fn check_freed(gateway: &Gateway) {
    gateway
        .sim_until("the answer is left", |counts| counts.answers_left == 1)
        .await;
    eventually("the chat counts as left", async || {
        gateway.health().await["statistics"]["cancelled_requests"] == 1
    })
    .await;
    gateway.settled().await;
    assert_eq!(gateway.health().await["statistics"]["failed_requests"], 0);
    let pool = gateway.health().await["token_pool"].clone();
    assert_eq!(
        pool["available_tokens"], pool["total_tokens"],
        "no token is at fault"
    );
}

#[tokio::test]
async fn a_reader_of_http_1_that_takes_nothing_is_cut_off() {
    let gateway = impatient().await;
    let mut stream = connect(gateway.http).await;
    stream.write_all(&written(&large(), true)).await.unwrap();
    let began = Instant::now();
    check_freed(&gateway).await;
    assert!(began.elapsed() >= PATIENCE);
    let mut rest = Vec::new();
    let read = within("what was on its way", stream.read_to_end(&mut rest)).await;
    assert!(
        read.is_err() || !rest.ends_with(b"0\r\n\r\n"),
        "it must not look whole"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_whole_answer_that_nobody_reads_is_cut_off_on_http_1() {
    let gateway = impatient().await;
    let mut stream = connect(gateway.http).await;
    stream.write_all(&written(&large(), false)).await.unwrap();
    gateway
        .sim_until("the answer is complete", |counts| counts.answers_finished == 1)
        .await;
    gateway.settled().await;
    // The connection is the last thing it holds, and would delay the end.
    gateway.stop().await;
    let mut rest = Vec::new();
    let read = within("what was on its way", stream.read_to_end(&mut rest)).await;
    assert!(read.is_err() || rest.len() < LARGE, "it must not be whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_http_2_without_a_window_is_cut_off() {
    let windows = [0, 65_535];
    each_way(windows, async |window, way| {
        let gateway = impatient().await;
        let ask = if way.streamed { large() } else { words_of(MIB) };
        let mut client = Http2::connect(address(&gateway, way.door), window).await;
        let began = Instant::now();
        let mut body = client.ask(way, &ask).await;
        let reset = reset_of(&mut body).await;
        assert!(began.elapsed() >= PATIENCE, "{way:?}");
        assert_eq!(reset.reason(), Some(h2::Reason::CANCEL), "{way:?}: {reset}");
        if way.streamed {
            check_freed(&gateway).await;
        }
        gateway.settled().await;
        assert!(client.driver.try_join_next().is_none(), "the connection goes on");
        let mut body = client.ask(way, &Ask::new("and now?")).await;
        if window > 0 {
            let first = within("the next answer on it", body.data()).await;
            first.expect("a piece").unwrap();
        }
        drop((body, client));
        gateway.settled().await;
        gateway.stop().await.by_hand()
    })
    .await;
}

#[tokio::test]
async fn a_connection_of_http_2_that_nobody_reads_is_cut_off() {
    each_door(ONCE, async |(), door| {
        let [_, way] = door.ways();
        let gateway = impatient().await;
        let mut client = Http2::connect(address(&gateway, way.door), (1 << 31) - 1).await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let _body = client.ask(way, &large()).await;
        client.frozen.cancel();
        gateway.sim.release();
        check_freed(&gateway).await;
        gateway.stop().await.by_hand()
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_of_http_1_that_goes_on_is_not_cut_off() {
    let gateway = impatient().await;
    let mut stream = connect(gateway.http).await;
    stream.write_all(&written(&large(), true)).await.unwrap();
    let mut answer = Vec::new();
    let began = Instant::now();
    while began.elapsed() < 3 * PATIENCE {
        sleep(PATIENCE / 10).await;
        let read = within("a piece", (&mut stream).take(128 * 1024).read_to_end(&mut answer)).await;
        assert!(read.unwrap() > 0, "it was cut off");
    }
    within("the rest", stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.ends_with(b"0\r\n\r\n"), "the answer is whole");
    let done = b"data: [DONE]";
    assert!(answer.windows(done.len()).any(|bytes| bytes == done));
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_slow_reader_of_http_2_that_goes_on_is_not_cut_off() {
    each_way(ONCE, async |(), way| {
        let gateway = impatient().await;
        let ask = words_of(256 * 1024);
        let mut client = Http2::connect(address(&gateway, way.door), 8 * 1024).await;
        let mut body = client.ask(way, &ask).await;
        let (began, mut total) = (Instant::now(), 0);
        while let Some(piece) = within("a piece", body.data()).await {
            let piece = piece.unwrap_or_else(|error| panic!("{way:?}: cut off after {total} bytes: {error}"));
            total += piece.len();
            if began.elapsed() < 3 * PATIENCE {
                sleep(PATIENCE / 10).await;
            }
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
        assert!(
            began.elapsed() >= 3 * PATIENCE,
            "{way:?}: {total} bytes were too few"
        );
        assert!(total > 250 * 1024, "{way:?}: {total} bytes");
        drop(client);
        gateway.settled().await;
        gateway.stop().await.by_hand()
    })
    .await;
}

#[tokio::test]
async fn who_does_not_even_take_signs_of_life_is_cut_off() {
    each_door(ONCE, async |(), door| {
        let [_, way] = door.ways();
        let restless = |settings: &mut Settings| {
            settings.client_write_timeout = PATIENCE;
            settings.keepalive_interval = PATIENCE / 20;
        };
        let gateway = Setup::new().tokens(1).settings(restless).start().await;
        gateway.sim.hold();
        let mut client = Http2::connect(address(&gateway, way.door), 0).await;
        let mut body = client.ask(way, &Ask::new("anybody there?")).await;
        let reset = reset_of(&mut body).await;
        assert_eq!(reset.reason(), Some(h2::Reason::CANCEL), "{way:?}: {reset}");
        eventually("the chat counts as left", async || {
            gateway.health().await["statistics"]["cancelled_requests"] == 1
        })
        .await;
        gateway.sim.release();
        gateway.settled().await;
        drop(client);
        // It may be cut off before the upstream is asked for the answer, or even has the message.
        gateway
            .stop()
            .await
            .by_hand()
            .whatever_calls(&[Step::Message, Step::Answer])
    })
    .await;
}
