//! One connection: served until the client closes it, a timeout or the maximum age is reached, or the process stops.

use std::{convert::Infallible, fmt, future::pending, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::Response};
use futures::FutureExt;
use http::{HeaderValue, Request, Version, header};
use hyper::{body::Incoming, service::service_fn, upgrade::OnUpgrade};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::{
    Patience, Stops,
    activity::Activity,
    heads::Headed,
    leftover::{Leftovers, Room},
    linger::Lingering,
    stall::Stalling,
    unread::{Streams, Told},
};
use crate::telemetry::{Connections, CutOff, OpenConnection, Peer, Refusal};

/// An HTTP/2 peer that sends nothing is pinged after the first, and disconnected if the second passes without a reply.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// Concurrent streams on one HTTP/2 connection. More than the usual 100, since a service often has a single connection.
const MAX_STREAMS: u32 = 1024;
/// Maximum size of all headers of one request, in bytes.
const MAX_HEADERS: u32 = 64 * 1024;
/// Streams that a peer may open and reset before they are accepted; one more ends the connection. Bounds the cost of a
/// rapid-reset attack.
const MAX_UNSEEN_RESETS: usize = 64;
/// Streams that may be reset because the peer violated HTTP/2; one more ends the connection.
const MAX_FAULTY_STREAMS: usize = 256;
/// What a connection that has reached its age is given, once its grace is over, to tell its client so.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A TLS handshake must be done by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// An accepted connection and everything needed to serve it.
pub(super) struct Connection {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) router: Router,
    pub(super) patience: Patience,
    /// Runs the tasks of HTTP/2 streams.
    pub(super) tasks: TaskTracker,
    /// Shared by the connections of a port.
    pub(super) room: Room,
    pub(super) stops: Stops,
    pub(super) counts: Connections,
    pub(super) peer: Peer,
    /// Counts the connection as open until it is dropped.
    pub(super) open: OpenConnection,
}

impl Connection {
    pub(super) async fn serve(self, stream: TcpStream) {
        // Without TCP_NODELAY a small response can wait 40 ms for the peer's delayed acknowledgement.
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
            room,
            stops,
            peer,
            open: _open,
            ..
        } = self;
        let cut_off = CutOff::default();
        let requests = Requests {
            router,
            peer,
            cut_off: cut_off.clone(),
            activity: Activity::new(),
            leftovers: Arc::new(Leftovers {
                room,
                tasks: tasks.clone(),
                patience: patience.body,
                stop: stops.soft.clone(),
            }),
            upgrade: Arc::default(),
        };
        let activity = requests.activity.clone();
        let upgrade = Arc::clone(&requests.upgrade);
        let streams = Streams {
            tasks,
            patience: patience.write,
        };
        let builder = builder(streams);
        let stream = Headed::new(stream, patience.head, activity.clone());
        let service = service_fn(move |request| requests.answer(request));
        // No upgrade is ever performed, but only this variant gives the stream back when a client asked for one.
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let life = Life {
            activity,
            patience,
            stops: &stops,
            cut_off,
        };
        if life.run(connection).await {
            tokio::select! {
                biased;
                () = stops.hard.cancelled() => {}
                () = end_in_order(&upgrade) => {}
            }
        }
    }
}

/// The events that end a connection.
struct Life<'a> {
    activity: Activity,
    patience: Patience,
    stops: &'a Stops,
    cut_off: CutOff,
}

impl Life<'_> {
    /// Serves a connection to its end. False when it broke or was cut off.
    async fn run<C>(&self, connection: C) -> bool
    where
        C: GracefulConnection<Error: fmt::Display>,
    {
        let Self {
            activity,
            patience,
            stops,
            cut_off: CutOff(cut_off),
        } = self;
        let mut connection = pin!(connection);
        let mut old = pin!(until(patience.age.map(old_age)));
        let mut grace = None;
        let (mut closes, mut is_old) = (false, false);
        loop {
            tokio::select! {
                biased;
                () = stops.hard.cancelled() => return false,
                () = stops.soft.cancelled(), if !closes => closes = true,
                () = &mut old, if !is_old && !closes => {
                    is_old = true;
                    // Over HTTP/1 the next response announces the close instead.
                    closes = !activity.grow_old();
                    grace = closes.then(|| Instant::now() + patience.grace);
                }
                () = activity.rested(patience.rest), if !closes => closes = true,
                () = until(grace) => {
                    if cut_off.is_cancelled() {
                        return false;
                    }
                    tracing::debug!("a connection has reached its age, and its grace is over");
                    cut_off.cancel();
                    grace = Some(Instant::now() + LAST_WORDS);
                }
                ended = connection.as_mut() => {
                    if let Err(error) = &ended {
                        tracing::debug!(error = %error, "a connection broke");
                    }
                    return ended.is_ok();
                }
            }
            if closes {
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Waits until `moment`; forever when there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// When a connection that begins now reaches its maximum age: varied by up to a tenth either way, so that connections
/// opened together are not closed together.
fn old_age(age: Duration) -> Instant {
    Instant::now() + age.mul_f64(0.9 + fastrand::f64() / 5.0)
}

/// Shuts down a stream that the server library handed back for an upgrade; others it shuts down itself.
async fn end_in_order(upgrade: &Mutex<Option<OnUpgrade>>) {
    let asked = upgrade.lock().take();
    if let Some(Ok(stream)) = asked.and_then(OnUpgrade::now_or_never)
        && let Err(error) = TokioIo::new(stream).shutdown().await
    {
        tracing::debug!(error = %error, "a connection broke");
    }
}

/// Answers the requests of one connection.
struct Requests {
    router: Router,
    peer: Peer,
    cut_off: CutOff,
    activity: Activity,
    leftovers: Arc<Leftovers>,
    /// Yields the stream when a client has asked for an upgrade.
    upgrade: Arc<Mutex<Option<OnUpgrade>>>,
}

impl Requests {
    /// Answers a request. Over HTTP/1 the response's head waits until the rest of the request's body is out of the way,
    /// or says `Connection: close`.
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Told<Body>>, Infallible>> + use<> {
        let version = request.version();
        let under_way = self.activity.begin(version);
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.cut_off.clone());
        if version < Version::HTTP_2
            && let Some(asked) = request.extensions_mut().remove::<OnUpgrade>()
        {
            *self.upgrade.lock() = Some(asked);
        }
        let (request, rest) = self.leftovers.lend(request);
        let answer = self.router.clone().call(request);
        let activity = self.activity.clone();
        async move {
            let Ok(mut response) = answer.await;
            let goes_on = match rest {
                Some(rest) => rest.read_away().await,
                None => true,
            };
            if version < Version::HTTP_2 && (!goes_on || activity.is_old()) {
                let headers = response.headers_mut();
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Told::new(body, under_way)))
        }
    }
}

/// Performs the TLS handshake. `None` when it fails, after a TLS alert to the peer, or times out.
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

/// The transport beneath HTTP: TCP, perhaps with TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Head timeouts of HTTP/1 are enforced by [`Headed`]: the library's own would also end idle connections.
fn builder(streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
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
