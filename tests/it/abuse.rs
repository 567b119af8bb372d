//! Peers that violate or abuse HTTP/2: the process keeps serving others, and its memory does not grow.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use duogate::{
    app::client::chat_service_client::ChatServiceClient,
    sim::{Sim, SimConfig},
};
use prost::Message;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::support::{
    Ask, KEY, TOKENS, frame,
    http2::{
        Attacker, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, call, framed, packed,
    },
    within,
};

/// Largest growth of the process allowed during an attack, in KiB.
const MOST_GROWTH: u64 = 48 * 1024;
/// Largest resident memory ever allowed, in KiB.
const MOST: u64 = 200_000;

/// The program in a process of its own, so that its memory can be measured.
struct Served {
    child: Child,
    grpc: SocketAddr,
    _place: TempDir,
    sim: Sim,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Served {
    async fn start() -> Self {
        let sim = Sim::start(SimConfig {
            tokens: TOKENS.map(str::to_owned).to_vec(),
            ..SimConfig::default()
        });
        let sim = sim.await.unwrap();
        let endpoints = sim.endpoints();
        let place = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_duogate"))
            .arg("serve")
            .current_dir(place.path())
            .env_clear()
            .envs([
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("GRPC_PORT", "0"),
                ("LOG_FORMAT", "json"),
                ("API_KEYS", &format!("[\"{KEY}\"]")),
                ("TOKEN_POOL", &format!("{TOKENS:?}")),
                ("PROJECT_API_URL", &endpoints.project),
                ("CONVERSATION_API_URL", &endpoints.conversation),
                ("MESSAGE_API_URL", &endpoints.message),
                ("TARGET_API_URL", &endpoints.target),
                ("SITE_URL", &endpoints.site),
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("\"serving\""));
        let serving: serde_json::Value = serde_json::from_str(&serving.expect("it serves")).unwrap();
        let grpc = serving["grpc"].as_str().unwrap().parse().unwrap();
        // Drains the log, so that the program never blocks on it.
        std::thread::spawn(move || lines.for_each(drop));
        let served = Self {
            child,
            grpc,
            _place: place,
            sim,
        };
        // Memory allocated by the first chats does not count as growth.
        for _ in 0..3 {
            served.chat().await;
        }
        served
    }

    /// A memory value of the process in KiB: `VmRSS` is the current one, `VmHWM` the peak.
    fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// A chat of another client on its own connection.
    async fn chat(&self) {
        let client = ChatServiceClient::connect(format!("http://{}", self.grpc));
        let mut client = within("a connection", client).await.unwrap();
        let answer = client.create_chat_completion(Ask::new("hi").request());
        within("an answer for somebody else", answer).await.unwrap();
    }

    /// Runs an attack while others chat, and checks the process afterwards.
    async fn stands(&self, what: &str, attack: impl AsyncFn(&Self)) {
        let before = self.memory("VmRSS");
        let mut others = JoinSet::new();
        let grpc = self.grpc;
        others.spawn(async move {
            let mut client = ChatServiceClient::connect(format!("http://{grpc}"))
                .await
                .unwrap();
            for _ in 0..5 {
                let answer = client.create_chat_completion(Ask::new("hi").request());
                within("an answer meanwhile", answer).await.unwrap();
            }
        });
        within(what, attack(self)).await;
        others.join_all().await;
        self.chat().await;
        let after = self.memory("VmRSS");
        assert!(
            after < before + MOST_GROWTH,
            "{what}: {before} KiB became {after} KiB"
        );
        let most = self.memory("VmHWM");
        assert!(most < MOST, "{what}: it took {most} KiB at its worst");
    }

    async fn connect(&self) -> Attacker {
        Attacker::connect(self.grpc).await
    }
}

const ENHANCE_YOUR_CALM: u32 = 11;
const FRAME_SIZE_ERROR: u32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_rapid_reset_ends_its_own_connection_and_nothing_else() {
    let served = Served::start().await;
    let headers = call();
    let storm: Vec<u8> = (0..20_000_u32)
        .flat_map(|index| {
            let stream = 2 * index + 1;
            let reset = framed(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [framed(HEADERS, END_HEADERS, stream, &headers), reset].concat()
        })
        .collect();
    served
        .stands("a rapid reset", async |served| {
            let told = served.connect().await.send_reading(&storm).await;
            told.assert_gone_away(ENHANCE_YOUR_CALM);
        })
        .await;
    assert_eq!(served.sim.control().breaches(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_are_more_than_one_connection_gets() {
    let served = Served::start().await;
    let headers = call();
    let crowd: Vec<u8> = (0..10_000_u32)
        .flat_map(|index| framed(HEADERS, END_HEADERS, 2 * index + 1, &headers))
        .collect();
    served
        .stands("ten thousand streams", async |served| {
            let told = served.connect().await.send_reading(&crowd).await;
            // Streams beyond the limit are refused, and a peer that ignores this is disconnected.
            assert!(!told.of(RST_STREAM).is_empty());
            told.assert_gone_away(ENHANCE_YOUR_CALM);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_small_frames_are_borne_whether_the_peer_listens_or_not() {
    let served = Served::start().await;
    let open = framed(HEADERS, END_HEADERS, 1, &call());
    let floods = [
        ("pings", framed(PING, 0, 0, &[7; 8]).repeat(100_000)),
        (
            "settings",
            framed(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(50_000),
        ),
        (
            "empty data",
            [open.clone(), framed(DATA, 0, 1, &[]).repeat(100_000)].concat(),
        ),
        (
            "window updates",
            framed(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(100_000),
        ),
        ("unknown frames", framed(0x77, 0, 0, b"?").repeat(100_000)),
    ];
    for (what, flood) in &floods {
        served
            .stands(what, async |served| {
                served.connect().await.send_reading(flood).await;
                let mut deaf = served.connect().await;
                deaf.send(flood).await;
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_not_collected() {
    let served = Served::start().await;
    let long = "x".repeat(200);
    let block = packed((0..80).map(|_| ("x-more", long.as_str())));
    let endless = [
        framed(HEADERS, 0, 1, &call()),
        framed(CONTINUATION, 0, 1, &block).repeat(2000),
    ];
    // A header is entered into the table once, and then referenced 60,000 times with one byte each.
    let mut bomb = call();
    bomb.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 60_000]);
    let mut pieces = bomb.chunks(16_000).enumerate().map(|(index, piece)| {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let last = if (index + 1) * 16_000 >= bomb.len() {
            END_HEADERS
        } else {
            0
        };
        framed(kind, last, 1, piece)
    });
    let bomb: Vec<u8> = pieces.by_ref().flatten().collect();
    for (what, attack) in [("headers without end", endless.concat()), ("a header bomb", bomb)] {
        served
            .stands(what, async |served| {
                let told = served.connect().await.send_reading(&attack).await;
                let answered: usize = told.of(DATA).iter().map(|data| data.len()).sum();
                assert_eq!(answered, 0, "{what} is answered by no chat");
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_frames_of_one_byte_is_a_call() {
    let served = Served::start().await;
    let body = frame(&Ask::new("byte by byte").proto().encode_to_vec());
    let mut bytes = framed(HEADERS, END_HEADERS, 1, &call());
    for byte in &body {
        bytes.extend(framed(DATA, 0, 1, &[*byte]));
    }
    bytes.extend(framed(DATA, END_STREAM, 1, &[]));
    served
        .stands("a call byte by byte", async |served| {
            let mut attacker = served.connect().await;
            for byte in &bytes {
                assert!(attacker.send(&[*byte]).await);
            }
            let Attacker {
                mut read,
                write: _open,
            } = attacker;
            let mut all = Vec::new();
            while !String::from_utf8_lossy(&all).contains("You said: byte by byte") {
                assert_ne!(read.read_buf(&mut all).await.unwrap(), 0, "the connection ended");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_2_is_closed() {
    let served = Served::start().await;
    let mut random = fastrand::Rng::with_seed(20);
    let noise: Vec<u8> = (0..200_000).map(|_| random.u8(..)).collect();
    let open = framed(HEADERS, END_HEADERS, 1, &call());
    let large = [open.clone(), framed(DATA, 0, 1, &vec![0; 1 << 20])].concat();
    served
        .stands("a frame beyond the limit", async |served| {
            let told = served.connect().await.send_reading(&large).await;
            told.assert_gone_away(FRAME_SIZE_ERROR);
        })
        .await;
    for (what, bytes) in [
        ("noise", noise.clone()),
        (
            "half a head",
            framed(HEADERS, END_HEADERS, 1, &call())[..20].to_vec(),
        ),
        ("broken compression", framed(HEADERS, END_HEADERS, 1, &[0xff; 64])),
        ("data for no stream", framed(DATA, 0, 99, b"?")),
        ("headers on stream 0", framed(HEADERS, END_HEADERS, 0, &call())),
        ("an even stream", framed(HEADERS, END_HEADERS, 2, &call())),
        (
            "a window beyond all",
            framed(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        ),
        (
            "half a message",
            [open, framed(DATA, END_STREAM, 1, &[0, 0, 0, 1, 0, 1])].concat(),
        ),
    ] {
        served
            .stands(what, async |served| {
                served.connect().await.send_reading(&bytes).await;
                // The same without the connection preface.
                let mut bare = TcpStream::connect(served.grpc).await.unwrap();
                let _taken = timeout(Duration::from_secs(1), bare.write_all(&bytes)).await;
            })
            .await;
    }
    assert!(
        served.sim.control().counts().calls.values().sum::<u64>() > 0,
        "others chatted"
    );
}
