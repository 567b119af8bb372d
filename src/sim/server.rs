//! The running server: it listens, serves each connection in its own task, and ends them all.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::config::{Endpoints, SimConfig};
use super::control::SimControl;
use super::line::Line;
use super::models::{self, Behaviour};
use super::refusal::HangUp;
use super::routes;
use super::shared::Shared;

/// Time that a shutdown gives open calls.
const GRACE: Duration = Duration::from_millis(500);
/// Pause after a failed accept, usually for lack of file descriptors.
const REST: Duration = Duration::from_millis(20);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A running simulated upstream. Dropping it closes it and all connections at once.
#[derive(Debug)]
pub struct Sim {
    addr: SocketAddr,
    control: SimControl,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Sim {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        Self::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), config).await
    }

    /// Starts on an address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(addr: SocketAddr, config: SimConfig) -> io::Result<Self> {
        Self::resume(addr, SimControl::new(Arc::new(Shared::new(config)))).await
    }

    /// Starts on an address with the accounts, rules and counts of an earlier one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    #[expect(
        clippy::unused_async,
        reason = "it must run inside the runtime, which its signature says"
    )]
    pub async fn resume(addr: SocketAddr, control: SimControl) -> io::Result<Self> {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        control.shared().set_stopping(false);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, control.shared().clone(), stop.clone()));
        Ok(Self {
            addr,
            control,
            stop,
            tasks,
        })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address it listens on, as `http://127.0.0.1:port`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The URLs to configure a gateway with.
    pub fn endpoints(&self) -> Endpoints {
        let origin = self.origin();
        Endpoints {
            project: format!("{origin}/project"),
            conversation: format!("{origin}/conversation"),
            message: format!("{origin}/conversation"),
            target: format!("{origin}/chat"),
            site: self.control.shared().config.site.clone(),
        }
    }

    /// The control handle. It stays valid after the server has ended.
    pub fn control(&self) -> SimControl {
        self.control.clone()
    }

    /// The model names that select a behaviour. They can be combined with `+`.
    pub fn model_names() -> Vec<&'static str> {
        models::TABLE.iter().map(|behaviour| behaviour.name).collect()
    }

    /// The same names with their meanings.
    pub fn behaviours() -> &'static [Behaviour] {
        models::TABLE
    }

    /// Stops listening, gives open calls half a second, then closes the rest. When it returns every connection is
    /// closed.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.control.shared().set_stopping(true);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let router = routes::router(shared.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let line = Line::new(stream, shared.clone());
                    connections.spawn(connection(line, router.clone(), stop.clone()));
                }
                Err(_) => tokio::time::sleep(REST).await,
            },
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        shared.set_stopping(true);
        connections.shutdown().await;
    }
}

async fn connection(line: Line, router: Router, stop: CancellationToken) {
    let reset = line.reset();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let (router, reset) = (router.clone(), reset.clone());
        async move {
            let answered: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
            let Ok(response) = answered;
            match response.extensions().get::<HangUp>() {
                Some(hang_up) => {
                    reset.store(hang_up.reset, Ordering::Release);
                    Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "closed by a rule",
                    ))
                }
                None => Ok(response),
            }
        }
    });
    let mut serving = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(line), service));
    tokio::select! {
        // Disconnecting clients and cutting rules both end in an error here, and are counted elsewhere.
        _ = serving.as_mut() => {}
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}
