//! HTTP/1.1 without a client library, on one persistent connection.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::within;

/// A response as received.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it announces the connection's close.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection.
pub(crate) struct Wire {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (read, write) = TcpStream::connect(address).await.unwrap().into_split();
        let read = BufReader::new(read);
        Self { read, write }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("room to send", self.write.write_all(bytes)).await.unwrap();
    }

    /// The same on a connection that may be closed; false if it is.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        within("room to send", self.write.write_all(bytes)).await.is_ok()
    }

    /// Sends while reading the response, as a client does that expects an early one. The peer need not take everything.
    pub(crate) async fn ask(&mut self, bytes: &[u8]) -> Heard {
        let Self { read, write } = self;
        let sending = async {
            let _taken = write.write_all(bytes).await;
        };
        let (heard, ()) = within("an answer", async { tokio::join!(heard(read), sending) }).await;
        heard.expect("an answer, whole")
    }

    /// The next response; `None` if the connection ends first.
    pub(crate) async fn hear(&mut self) -> Option<Heard> {
        within("an answer or the end", heard(&mut self.read)).await
    }

    /// Waits for an orderly end, without any byte before it.
    pub(crate) async fn ends(&mut self) {
        let mut rest = Vec::new();
        let read = within("the end", self.read.read_to_end(&mut rest)).await;
        assert_eq!(String::from_utf8_lossy(&rest), "", "more than was asked for");
        read.expect("an end in order");
    }
}

async fn line(read: &mut BufReader<OwnedReadHalf>) -> Option<String> {
    let mut line = String::new();
    let length = read.read_line(&mut line).await.ok()?;
    let line = line.strip_suffix("\r\n")?.to_owned();
    (length > 0).then_some(line)
}

async fn heard(read: &mut BufReader<OwnedReadHalf>) -> Option<Heard> {
    let first = line(read).await?;
    let status = first.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let line = line(read).await?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut heard = Heard {
        status,
        headers,
        body: String::new(),
    };
    let mut body = Vec::new();
    if let Some(length) = heard.header("content-length") {
        body = vec![0; length.parse().ok()?];
        read.read_exact(&mut body).await.ok()?;
    } else if heard.header("transfer-encoding").is_some() {
        loop {
            let length = usize::from_str_radix(&line(read).await?, 16).ok()?;
            let mut chunk = vec![0; length + 2];
            read.read_exact(&mut chunk).await.ok()?;
            body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    }
    heard.body = String::from_utf8_lossy(&body).into_owned();
    Some(heard)
}
