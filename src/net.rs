//! Sockets: binding, accepting, and serving a connection until it or the process ends. The same for both doors.

mod descriptors;
mod heads;
mod linger;
mod stall;
mod tls;
mod unread;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use self::{
    heads::Headed,
    linger::Lingering,
    stall::Stalling,
    unread::{Streams, Told},
};
use arc_swap::ArcSwap;
use axum::{Router, response::Response};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::{MapRequest, MapResponse};

use crate::telemetry::{Connections, OpenConnection, Peer, Refusal, seldom};

pub use self::descriptors::raise_descriptor_limit;
pub use self::tls::{ClientAuth, Protocol, Tls, TlsError, TlsFile, TlsFiles, Validity};

/// After a failed accept, most likely for want of file descriptors, some may come free within this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A silent HTTP/2 peer is asked for a sign of life this often, and given up after as long again as the second.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// Streams on one HTTP/2 connection. More than the usual 100, since a microservice's client has one connection.
const MAX_STREAMS: u32 = 1024;
/// All headers of one request together, in bytes.
const MAX_HEADERS: u32 = 64 * 1024;
/// Streams that a peer opened and reset before they were looked at; one more, and the connection ends. What a rapid
/// reset costs is bounded by it.
const MAX_UNSEEN_RESETS: usize = 64;
/// Streams that were reset because the peer broke the rules of HTTP/2; one more, and the connection ends.
const MAX_FAULTY_STREAMS: usize = 256;
/// A TLS handshake must be done by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What peers are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a request's head may take; an HTTP/1 connection that idles between requests is closed after it too.
    pub head: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub write: Duration,
}

/// When serving ends.
#[derive(Debug, Clone)]
pub struct Stops {
    /// Nothing new is accepted from then on, and connections close once they have nothing under way.
    pub soft: CancellationToken,
    /// Connections that are open close there and then.
    pub hard: CancellationToken,
}

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the host does not resolve, or the port cannot be had.
    pub async fn bind(host: &str, port: u16) -> io::Result<Self> {
        let listener = match host.parse::<IpAddr>() {
            Ok(ip) => TcpListener::bind((ip, port)).await?,
            Err(_) => TcpListener::bind((host, port)).await?,
        };
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The real address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves until the soft stop, then waits for the connections that are open; the hard stop closes
    /// those that are left. Without TLS both HTTP/1.1 and HTTP/2 by prior knowledge are understood, with it what the
    /// handshake agreed on. A changed `patience` counts for connections from then on.
    pub async fn serve(
        self,
        router: Router,
        tls: Option<(Tls, Protocol)>,
        patience: Arc<ArcSwap<Patience>>,
        stops: Stops,
        counts: Connections,
    ) {
        let connections = TaskTracker::new();
        let Self { listener, .. } = self;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stops.soft.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        tls: tls.as_ref().map(|(tls, protocol)| tls.config(*protocol)),
                        router: router.clone(),
                        patience: **patience.load(),
                        tasks: connections.clone(),
                        stops: stops.clone(),
                        counts: counts.clone(),
                        peer: Peer(peer),
                        _open: counts.accepted(),
                    };
                    connections.spawn(connection.serve(stream));
                }
                Err(error) => {
                    counts.refused(Refusal::of(&error));
                    if let Some(left_out) = seldom("accept") {
                        tracing::warn!(error = %error, left_out, "a connection could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

/// What a connection is served with.
struct Connection {
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    patience: Patience,
    /// Where the streams of HTTP/2 run.
    tasks: TaskTracker,
    stops: Stops,
    counts: Connections,
    peer: Peer,
    _open: OpenConnection,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Without it a small answer can wait 40 ms for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection was lost before it began");
            return;
        }
        let stream = Stalling::new(Lingering::new(stream), self.patience.write);
        match self.tls.clone() {
            None => self.serve_stream(stream).await,
            Some(config) => {
                let stream = tokio::select! {
                    biased;
                    () = self.stops.soft.cancelled() => return,
                    stream = shake_hands(stream, config) => stream,
                };
                match stream {
                    Some(stream) => self.serve_stream(stream).await,
                    None => self.counts.refused(Refusal::TlsHandshake),
                }
            }
        }
    }

    async fn serve_stream(self, stream: impl Stream) {
        let Self {
            router,
            patience,
            tasks,
            stops,
            peer,
            _open,
            ..
        } = self;
        let streams = Streams {
            tasks,
            patience: patience.write,
        };
        let builder = builder(patience, streams);
        let router = MapRequest::new(router, move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let service = MapResponse::new(router, |response: Response| response.map(Told::new));
        let connection = builder.serve_connection(
            TokioIo::new(Headed::new(stream, patience.head)),
            TowerToHyperService::new(service),
        );
        let mut connection = std::pin::pin!(connection);
        let mut draining = false;
        loop {
            tokio::select! {
                biased;
                () = stops.hard.cancelled() => return,
                () = stops.soft.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error = %error, "a connection broke");
                    }
                    return;
                }
            }
        }
    }
}

/// The connection in its TLS, unless the peer fails at it. It is then told why.
async fn shake_hands(stream: impl Stream, config: Arc<ServerConfig>) -> Option<impl Stream> {
    let handshake = TlsAcceptor::from(config).accept(stream).into_fallible();
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err((error, mut stream))) => {
            tracing::debug!(error = %error, "a TLS handshake failed");
            if let Err(error) = stream.shutdown().await {
                tracing::debug!(error = %error, "a connection broke");
            }
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

fn builder(patience: Patience, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_PATIENCE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(MAX_FAULTY_STREAMS);
    builder
}
