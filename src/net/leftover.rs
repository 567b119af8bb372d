//! What is left of a request's body when its answer is ready. Over HTTP/1 the next request stands behind it, and a
//! client that has sent all of the one sends the next: so the rest is read away up to a bound, or the answer says that
//! the connection closes. Over HTTP/2 the rest harms nobody, but frames that were on their way when the stream was
//! reset count as the peer's faults once the library has forgotten it, so it is read away there too, behind the answer.

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

/// What is read away at the most, in bytes.
const MOST: u64 = 1024 * 1024;
/// What it may take at the most, once the answer is ready.
const LONGEST: Duration = Duration::from_secs(2);
/// Answers of HTTP/1 that wait for it at once, on one port. One more says at once that its connection closes.
const AT_ONCE: usize = 256;

/// How rests are read away on one connection.
#[derive(Debug)]
pub(super) struct Leftovers {
    /// Shared by the connections of a port.
    pub(super) room: Room,
    /// Where rests of HTTP/2 are read.
    pub(super) tasks: TaskTracker,
    /// How long a body may take in all.
    pub(super) patience: Duration,
    /// No rest is worth waiting for from then on.
    pub(super) stop: CancellationToken,
}

/// For how many rests of HTTP/1 there is time at once.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Leftovers {
    /// Lends a request's body out: whoever lets go of it before its end gives it back. Over HTTP/1 what is given back
    /// waits in the [`Rest`], where there is a body at all.
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

/// A client that sends its body only once it was told to. Whether it sends it after a refusal nobody knows.
fn asks_first(headers: &HeaderMap) -> bool {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    expectations.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The client says itself that this is its connection's last request.
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

/// A body whose rest can be read away.
pub(super) trait Lendable: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static> Lendable for B {}

/// A body that came back.
#[derive(Debug)]
struct Returned<B> {
    /// None for one that broke the rules.
    body: Option<B>,
    was_read: bool,
}

/// Where a body goes when it is let go of before its end.
#[derive(Debug)]
enum Back<B> {
    Owner(oneshot::Sender<Returned<B>>),
    Away(Reading),
}

/// A request's body, on loan.
#[derive(Debug)]
pub(super) struct Lent<B: Lendable> {
    body: Option<B>,
    /// None once the body has ended.
    back: Option<Back<B>>,
    /// Somebody has asked for some of it.
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
                    // An owner that is gone has no use for it.
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

/// The rest of a body of HTTP/1, should there be one when the answer is ready.
#[derive(Debug)]
pub(super) struct Rest<B> {
    returned: oneshot::Receiver<Returned<B>>,
    reading: Reading,
    asks_first: bool,
    is_last: bool,
}

impl<B: Lendable> Rest<B> {
    /// Reads it away, now that the answer is ready. False when it was not, so that the connection cannot go on: it was
    /// too much or too slow, too many were at it, or it is still being read by somebody who answers meanwhile.
    pub(super) async fn read_away(mut self) -> bool {
        let returned = match self.returned.try_recv() {
            Ok(returned) => returned,
            // Nobody holds it any more, or only its end.
            Err(oneshot::error::TryRecvError::Closed) => return true,
            Err(oneshot::error::TryRecvError::Empty) => return false,
        };
        let Some(body) = returned.body else {
            return false;
        };
        // Reading would tell the client to send.
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

/// For how long a body is read.
#[derive(Debug)]
struct Reading {
    until: Instant,
    bounds: Arc<Leftovers>,
}

impl Reading {
    /// True when the body's end was reached within the bounds.
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
