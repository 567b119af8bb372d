//! Write timeout of HTTP/2 streams. A client can keep its connection flowing while it grants one stream no window: the
//! socket never blocks, the response's body is not polled for its next piece, and so none of the body's timers run. The
//! server library runs each stream in a task; a watch around that task drops it when its reader stalls, which resets
//! the stream and frees everything the response held.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

use super::activity::UnderWay;

/// Largest piece a body hands out, in bytes. A piece is asked for when the previous one fitted into the window, so
/// pieces measure the reader's progress.
const PIECE: usize = 4096;

tokio::task_local! {
    /// The reader of the stream that the current task serves.
    static READER: Arc<Reader>;
}

/// The state of a stream's reader.
#[derive(Debug, Default)]
struct Reader {
    /// Since when a piece has waited for window.
    kept_waiting: Mutex<Option<Instant>>,
}

impl Reader {
    fn set(&self, since: Option<Instant>) {
        *self.kept_waiting.lock() = since;
    }

    fn kept_waiting(&self) -> Option<Instant> {
        *self.kept_waiting.lock()
    }
}

/// Runs the tasks of HTTP/2 streams, each until its reader has accepted nothing for `patience`.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) tasks: TaskTracker,
    pub(super) patience: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.tasks.spawn(Watched {
            stream,
            reader: Arc::default(),
            patience: self.patience,
            timer: None,
        });
    }
}

pin_project! {
    /// A stream's task. It ends with the stream, or drops it unfinished, which resets it.
    struct Watched<F> {
        #[pin]
        stream: F,
        reader: Arc<Reader>,
        patience: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let me = self.project();
        let stream = me.stream;
        if READER
            .sync_scope(Arc::clone(me.reader), || stream.poll(context))
            .is_ready()
        {
            return Poll::Ready(());
        }
        let Some(since) = me.reader.kept_waiting() else {
            *me.timer = None;
            return Poll::Pending;
        };
        let deadline = since + *me.patience;
        let timer = me.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context).map(|()| {
            tracing::debug!("a stream was cut: its reader took nothing for too long");
        })
    }
}

pin_project! {
    /// A response body that reports its reader's progress to the stream's watch, if there is one. The request counts as
    /// under way until the body is dropped.
    pub(super) struct Told<B> {
        #[pin]
        body: B,
        rest: Bytes,
        under_way: UnderWay,
    }
}

impl<B> Told<B> {
    pub(super) fn new(body: B, under_way: UnderWay) -> Self {
        let rest = Bytes::new();
        Self {
            body,
            rest,
            under_way,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Told<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let me = self.project();
        // A poll means that the previous piece fitted into the window.
        let is_watched = READER.try_with(|reader| reader.set(None)).is_ok();
        let frame = if me.rest.is_empty() {
            ready!(me.body.poll_frame(context))
        } else {
            Some(Ok(Frame::data(std::mem::take(me.rest))))
        };
        if !is_watched {
            return Poll::Ready(frame);
        }
        let frame = frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|mut data| {
                    if data.len() > PIECE {
                        *me.rest = data.split_off(PIECE);
                    }
                    data
                })
            })
        });
        if frame.is_some() {
            READER.with(|reader| reader.set(Some(Instant::now())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
