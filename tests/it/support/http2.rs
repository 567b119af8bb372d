//! HTTP/2 frame by frame, for what no client library sends.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::KEY;

const PATH: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers in HPACK's plainest encoding.
pub(crate) fn packed<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            // A length of up to 127 + 127 takes two bytes.
            match u8::try_from(text.len()).unwrap() {
                short @ ..127 => block.push(short),
                long => block.extend([127, long - 127]),
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

pub(crate) fn call() -> Vec<u8> {
    let key = format!("Bearer {KEY}");
    let plain = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", "gateway"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", key.as_str()),
    ];
    packed(plain)
}

/// A connection of a misbehaving peer.
pub(crate) struct Attacker {
    pub(crate) read: OwnedReadHalf,
    pub(crate) write: OwnedWriteHalf,
}

impl Attacker {
    /// Connects, and sends the connection preface.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (read, write) = TcpStream::connect(address).await.unwrap().into_split();
        let mut attacker = Self { read, write };
        let hello = [
            PREFACE,
            &framed(SETTINGS, 0, 0, &[]),
            &framed(SETTINGS, 1, 0, &[]),
        ];
        attacker.send(&hello.concat()).await;
        attacker
    }

    /// Sends as much as possible; false when the connection was closed, or takes no more.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let patience = Duration::from_secs(1);
        matches!(timeout(patience, self.write.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The same, while reading the gateway's frames.
    pub(crate) async fn send_reading(self, bytes: &[u8]) -> Told {
        let Self { mut read, mut write } = self;
        let reading = async {
            let mut all = Vec::new();
            let _ended = timeout(Duration::from_secs(5), read.read_to_end(&mut all)).await;
            all
        };
        let sending = async {
            let _sent = timeout(Duration::from_secs(5), write.write_all(bytes)).await;
            let _closed = write.shutdown().await;
        };
        let (all, ()) = tokio::join!(reading, sending);
        Told(all)
    }
}

/// The gateway's frames.
pub(crate) struct Told(pub(crate) Vec<u8>);

impl Told {
    /// The payloads of all frames of a kind.
    pub(crate) fn of(&self, kind: u8) -> Vec<&[u8]> {
        let (mut found, mut rest) = (Vec::new(), self.0.as_slice());
        while rest.len() >= 9 {
            let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
            let end = (9 + length).min(rest.len());
            if rest[3] == kind {
                found.push(&rest[9..end]);
            }
            rest = &rest[end..];
        }
        found
    }

    /// Checks that the connection was closed with this reason.
    #[track_caller]
    pub(crate) fn assert_gone_away(&self, reason: u32) {
        let reasons: Vec<u32> = self
            .of(GOAWAY)
            .iter()
            .map(|gone| u32::from_be_bytes(gone[4..8].try_into().unwrap()))
            .collect();
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
}
