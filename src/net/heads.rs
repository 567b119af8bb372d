//! Timeouts for request heads that arrive slowly. The server library's HTTP/1 timeout runs from the end of the previous
//! request, so it would also end idle connections; and it has none for HTTP/2, neither for the connection preface nor
//! for the frames of a header block. Both are timed here.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::activity::Activity;

/// The connection preface of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Size of a frame header: three bytes of length, one of type, one of flags, four of stream id.
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// A stream whose reads fail once a request head has been incomplete for `patience`. Sits above TLS.
#[derive(Debug)]
pub(super) struct Headed<S> {
    stream: S,
    patience: Duration,
    progress: Progress,
    /// Tells when a head of HTTP/1 ends.
    activity: Activity,
    /// When the current HTTP/2 header block, or the first head of the connection, began.
    began: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Headed<S> {
    pub(super) fn new(stream: S, patience: Duration, activity: Activity) -> Self {
        Self {
            stream,
            patience,
            activity,
            progress: Progress::Preface(0),
            began: Some(Instant::now()),
            timer: None,
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        let completed = self.progress.follow(bytes);
        if !self.progress.is_within_a_head() {
            self.began = None;
        } else if completed || self.began.is_none() {
            self.began = Some(Instant::now());
        }
        if self.progress == Progress::Elsewhere {
            self.activity.heard(bytes);
        }
    }

    /// Ready when the current head has exceeded its timeout.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let began = match self.progress {
            Progress::Elsewhere => self.activity.head_since(),
            Progress::Preface(_) | Progress::Frames { .. } => self.began,
        };
        let Some(began) = began else {
            self.timer = None;
            return Poll::Pending;
        };
        let deadline = began + self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context)
    }
}

/// The position in a connection's byte stream.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// Within the preface; the number of its bytes seen.
    Preface(usize),
    /// HTTP/1, or a protocol that is not followed here.
    Elsewhere,
    /// Within HTTP/2 frames.
    Frames {
        head: [u8; FRAME_HEAD],
        /// Bytes of the frame header that have arrived; all of them while a payload is being read.
        filled: usize,
        payload_left: usize,
        /// A header block has begun and its last frame has not.
        block: bool,
    },
}

impl Progress {
    fn frames() -> Self {
        Self::Frames {
            head: [0; FRAME_HEAD],
            filled: 0,
            payload_left: 0,
            block: false,
        }
    }

    /// Advances by `bytes`; true when a head ended within them.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut completed = false;
        while !bytes.is_empty() {
            match self {
                Self::Elsewhere => return completed,
                Self::Preface(seen) => {
                    let expected = PREFACE.get(*seen..).unwrap_or_default();
                    let both = expected.len().min(bytes.len());
                    let (now, rest) = bytes.split_at(both);
                    if !expected.starts_with(now) {
                        *self = Self::Elsewhere;
                        return true;
                    }
                    *seen += both;
                    bytes = rest;
                    if *seen == PREFACE.len() {
                        *self = Self::frames();
                        completed = true;
                    }
                }
                Self::Frames {
                    head,
                    filled,
                    payload_left,
                    block,
                } => {
                    if let Some(missing) = head.get_mut(*filled..).filter(|missing| !missing.is_empty()) {
                        let both = missing.len().min(bytes.len());
                        let (now, rest) = bytes.split_at(both);
                        missing.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
                        *filled += both;
                        bytes = rest;
                        if *filled < FRAME_HEAD {
                            return completed;
                        }
                        let [high, middle, low, kind, flags, ..] = *head;
                        *payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                        *block = matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS == 0;
                    }
                    let both = bytes.len().min(*payload_left);
                    bytes = bytes.get(both..).unwrap_or_default();
                    *payload_left -= both;
                    if *payload_left == 0 {
                        completed |= !*block;
                        *filled = 0;
                    }
                }
            }
        }
        completed
    }

    fn is_within_a_head(&self) -> bool {
        match self {
            Self::Preface(_) => true,
            Self::Elsewhere => false,
            Self::Frames {
                head, filled, block, ..
            } => {
                let [_, _, _, kind, ..] = *head;
                *block
                    || (1..FRAME_HEAD).contains(filled)
                    || (*filled == FRAME_HEAD && matches!(kind, HEADERS | CONTINUATION))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Headed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                self.heard(buffer.filled().get(before..).unwrap_or_default());
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_overdue(context).map(|()| {
                let reason = "a request's head did not arrive in time";
                Err(io::Error::new(io::ErrorKind::TimedOut, reason))
            }),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Headed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
