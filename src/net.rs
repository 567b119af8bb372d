//! Sockets: binding, accepting, and serving a connection until it or the process ends. The same for both doors.

mod heads;
mod linger;
mod stall;
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
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::MapResponse;

/// After a failed accept, most likely for want of file descriptors, some may come free within this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A silent HTTP/2 peer is asked for a sign of life this often, and given up after as long again as the second.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// Streams on one HTTP/2 connection. More than the usual 100, since a microservice's client has one connection.
const MAX_STREAMS: u32 = 1024;
/// All headers of one request together, in bytes.
const MAX_HEADERS: u32 = 64 * 1024;

/// Which protocols a door speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, and HTTP/2 by prior knowledge.
    Http,
    /// HTTP/2 alone, as gRPC needs it.
    Http2,
}

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
    /// those that are left. A changed `patience` counts for connections from then on.
    pub async fn serve(
        self,
        router: Router,
        protocol: Protocol,
        patience: Arc<ArcSwap<Patience>>,
        stops: Stops,
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
                Ok((stream, _)) => {
                    let patience = **patience.load();
                    let streams = Streams {
                        tasks: connections.clone(),
                        patience: patience.write,
                    };
                    let builder = builder(protocol, patience, streams);
                    connections.spawn(serve_connection(
                        stream,
                        builder,
                        router.clone(),
                        patience,
                        stops.clone(),
                    ));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

async fn serve_connection(
    stream: TcpStream,
    builder: auto::Builder<Streams>,
    router: Router,
    patience: Patience,
    stops: Stops,
) {
    // Without it a small answer can wait 40 ms for the peer's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection was lost before it began");
        return;
    }
    let stream = Stalling::new(Lingering::new(stream), patience.write);
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

fn builder(protocol: Protocol, patience: Patience, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    if protocol == Protocol::Http2 {
        builder = builder.http2_only();
    }
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
        .max_header_list_size(MAX_HEADERS);
    builder
}
