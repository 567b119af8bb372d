//! Sockets: binding, accepting, and serving a connection until it or the process ends. The same for both doors.

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

/// After a failed accept, most likely for want of file descriptors, some may come free within this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What peers are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a request's body may take, what nobody wants of it included.
    pub body: Duration,
    /// How long a connection may rest between requests.
    pub rest: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub write: Duration,
    /// How old a connection may grow, give or take a tenth. No limit where there is none.
    pub age: Option<Duration>,
    /// How long requests on a connection of HTTP/2 may go on once it has reached its age.
    pub grace: Duration,
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
