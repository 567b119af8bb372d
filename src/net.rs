//! Sockets: bind, accept, and serve each connection until it ends or the process stops. Shared by both doors.

mod activity;
mod connection;
mod descriptors;
mod flaw;
mod heads;
mod leftover;
mod linger;
mod stall;
mod tls;
mod unread;
mod vacancy;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use self::{connection::Connection, leftover::Room};
use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::telemetry::{Connections, Peer, Refusal, seldom};

pub use self::{
    descriptors::raise_descriptor_limit,
    flaw::Flaw,
    tls::{ClientAuth, Protocol, Tls, TlsError, TlsFile, TlsFiles, Validity},
    vacancy::look,
};

/// Pause after a failed accept. The usual cause is a lack of file descriptors, and some may be freed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Timeouts towards a peer.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Time a request's head may take to arrive.
    pub head: Duration,
    /// Time a request's body may take to arrive, including the part that is read and discarded.
    pub body: Duration,
    /// Idle timeout of a connection between requests.
    pub rest: Duration,
    /// Write timeout: how long a peer may accept no byte of what is sent to it.
    pub write: Duration,
    /// Maximum age of a connection, varied by up to a tenth. `None`: no limit.
    pub age: Option<Duration>,
    /// Time that requests on an HTTP/2 connection have to finish once it has reached its maximum age.
    pub grace: Duration,
}

/// The two stages of stopping.
#[derive(Debug, Clone)]
pub struct Stops {
    /// Accept no new connection, and close each open one when its requests have finished.
    pub soft: CancellationToken,
    /// Close the open connections at once.
    pub hard: CancellationToken,
}

/// A listening socket that accepts no connection yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the host does not resolve, or the port cannot be bound.
    pub async fn bind(host: &str, port: u16) -> io::Result<Self> {
        let listener = match host.parse::<IpAddr>() {
            Ok(ip) => TcpListener::bind((ip, port)).await?,
            Err(_) => TcpListener::bind((host, port)).await?,
        };
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The bound address, with the port that port 0 resolved to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves until the soft stop, then waits for the open connections to finish; the hard stop closes
    /// those that are left. Without TLS it serves HTTP/1.1 and HTTP/2 with prior knowledge; with TLS, the protocol
    /// agreed on in the handshake. A change of `patience` applies to connections accepted after it.
    pub async fn serve(
        self,
        router: Router,
        tls: Option<(Tls, Protocol)>,
        patience: Arc<ArcSwap<Patience>>,
        stops: Stops,
        counts: Connections,
    ) {
        let connections = TaskTracker::new();
        let room = Room::new();
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
                        room: room.clone(),
                        stops: stops.clone(),
                        counts: counts.clone(),
                        peer: Peer(peer),
                        open: counts.accepted(),
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
