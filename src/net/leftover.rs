//! The unread rest of a request's body when its response is ready.
//!
//! Over HTTP/1 the next request follows the rest on the same connection, so the rest is read and discarded up to a
//! limit, or the response says `Connection: close`. Over HTTP/2 the rest blocks nothing, but frames that arrive after
//! the library has forgotten a reset stream count as the peer's protocol errors; so it is discarded there too, after
//! the response.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Most bytes that are discarded.
const MOST: u64 = 1024 * 1024;
/// Longest time spent on discarding once the response is ready.
const LONGEST: Duration = Duration::from_secs(2);
/// Concurrent HTTP/1 responses on one port that wait for a rest. Beyond it a response closes its connection instead.
const AT_ONCE: usize = 256;

/// How the rests of bodies are discarded on one connection.
#[derive(Debug)]
pub(super) struct Leftovers {
    /// Shared by the connections of a port.
    pub(super) room: Room,
    /// Runs the reading of HTTP/2 rests.
    pub(super) tasks: TaskTracker,
    /// Timeout of a whole body.
    pub(super) patience: Duration,
    /// From then on no rest is read.
    pub(super) stop: CancellationToken,
}

/// Permits for HTTP/1 rests that are read concurrently.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Leftovers {
    /// Wraps a request's body so that its unread rest comes back when the handler drops it. Over HTTP/1 the rest is
    /// handed to the returned [`Rest`], which is `None` for a request without a body.
    pub(super) fn lend<B: Lendable>(
        self: &Arc<Self>,
        request: Request<B>,
    ) -> (Request<Lent<B>>, Option<Rest<B>>) {
        let (head, body) = request.into_parts();
        let reading = Reading {
            until: Instant::now() + self.patience,
            bounds: Arc::clone(self),
        };
        let (back, rest) = if body.is_end_stream() {
            (None, None)
        } else if head.version >= Version::HTTP_2 {
            (Some(Back::Away(reading)), None)
        } else {
            let (sender, returned) = oneshot::channel();
            let rest = Rest {
                returned,
                reading,
                asks_first: asks_first(&head.headers),
                is_last: is_last(head.version, &head.headers),
            };
            (Some(Back::Owner(sender)), Some(rest))
        };
        let lent = Lent {
            body: Some(body),
            back,
            was_read: false,
        };
        (Request::from_parts(head, lent), rest)
    }
}

/// `Expect: 100-continue`: the client holds its body back until asked for it, and may or may not send it after a
/// refusal.
fn asks_first(headers: &HeaderMap) -> bool {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    expectations.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The client announces that this is the connection's last request.
fn is_last(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        let mut values = headers.get_all(header::CONNECTION).iter();
        values.any(|value| {
            let words = value.to_str().unwrap_or_default().split(',');
            words
                .into_iter()
                .any(|said| said.trim().eq_ignore_ascii_case(word))
        })
    };
    says("close") || (version < Version::HTTP_11 && !says("keep-alive"))
}

/// A body whose rest can be read and discarded.
pub(super) trait Lendable: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static> Lendable for B {}

/// A body that its handler dropped.
#[derive(Debug)]
struct Returned<B> {
    /// `None` for one that failed.
    body: Option<B>,
    was_read: bool,
}

/// The destination of a body that is dropped before its end.
#[derive(Debug)]
enum Back<B> {
    Owner(oneshot::Sender<Returned<B>>),
    Away(Reading),
}

/// A request's body as the handler sees it.
#[derive(Debug)]
pub(super) struct Lent<B: Lendable> {
    body: Option<B>,
    /// `None` once the body has ended.
    back: Option<Back<B>>,
    /// The body was polled at least once.
    was_read: bool,
}

impl<B: Lendable> Body for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let me = &mut *self;
        let Some(body) = &mut me.body else {
            return Poll::Ready(None);
        };
        me.was_read = true;
        let frame = ready!(Pin::new(body).poll_frame(context));
        match &frame {
            Some(Ok(_)) => {}
            None => me.back = None,
            Some(Err(_)) => {
                if let Some(Back::Owner(owner)) = me.back.take() {
                    // The receiver may be gone already.
                    let _told = owner.send(Returned {
                        body: None,
                        was_read: true,
                    });
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B: Lendable> Drop for Lent<B> {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        let (Some(body), Some(back)) = (body, self.back.take()) else {
            return;
        };
        match back {
            Back::Owner(owner) => {
                let was_read = self.was_read;
                let _dropped_where_the_owner_is_gone = owner.send(Returned {
                    body: Some(body),
                    was_read,
                });
            }
            Back::Away(reading) => {
                let tasks = reading.bounds.tasks.clone();
                if let Ok(runtime) = Handle::try_current() {
                    tasks.spawn_on(
                        async move {
                            let _whether_all_of_it = reading.read_away(body).await;
                        },
                        &runtime,
                    );
                }
            }
        }
    }
}

/// The rest of an HTTP/1 body, if the handler left any.
#[derive(Debug)]
pub(super) struct Rest<B> {
    returned: oneshot::Receiver<Returned<B>>,
    reading: Reading,
    asks_first: bool,
    is_last: bool,
}

impl<B: Lendable> Rest<B> {
    /// Discards the rest now that the response is ready. False when that did not succeed, so that the connection must
    /// close: the rest was too large or too slow, too many were being read, or another task still reads the body.
    pub(super) async fn read_away(mut self) -> bool {
        let returned = match self.returned.try_recv() {
            Ok(returned) => returned,
            // The body was read to its end, or dropped at it.
            Err(oneshot::error::TryRecvError::Closed) => return true,
            Err(oneshot::error::TryRecvError::Empty) => return false,
        };
        let Some(body) = returned.body else {
            return false;
        };
        // Reading would send `100 Continue`, and thereby ask for the body.
        let holds_back = self.asks_first && !returned.was_read;
        if holds_back || self.is_last {
            return false;
        }
        let Ok(_room) = self.reading.bounds.room.0.try_acquire() else {
            return false;
        };
        self.reading.read_away(body).await
    }
}

/// The deadline and limits of reading a body.
#[derive(Debug)]
struct Reading {
    until: Instant,
    bounds: Arc<Leftovers>,
}

impl Reading {
    /// True when the body's end was reached within the limits.
    async fn read_away<B: Lendable>(&self, mut body: B) -> bool {
        if body.size_hint().lower() > MOST {
            return false;
        }
        let until = self.until.min(Instant::now() + LONGEST);
        let reading = async {
            let mut room = MOST;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    return false;
                };
                let size = frame.data_ref().map_or(0, Bytes::len) as u64;
                match room.checked_sub(size) {
                    Some(left) => room = left,
                    None => return false,
                }
            }
            true
        };
        tokio::select! {
            biased;
            () = self.bounds.stop.cancelled() => false,
            read = timeout_at(until, reading) => read.unwrap_or(false),
        }
    }
}

#[cfg(test)]
#[path = "leftover_tests.rs"]
mod tests;
