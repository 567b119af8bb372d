//! Heads of requests that trickle in. The server library times HTTP/1's from the end of the request before, as if a
//! connection that rests were a slow head, and HTTP/2's not at all, neither the preface that opens a connection nor the
//! frames that hold a request's headers; so both are timed here.

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

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What comes before each frame's payload: its length in three bytes, its type, its flags, its stream in four.
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// A connection that fails to be read once a head has been under way for so long. It stands above any encryption.
#[derive(Debug)]
pub(super) struct Headed<S> {
    stream: S,
    patience: Duration,
    progress: Progress,
    /// Where heads of HTTP/1 are known to end.
    activity: Activity,
    /// Since when the head of HTTP/2, or the first of the connection, has been under way.
    began: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Headed<S> {
    /// A connection that was opened just now.
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

    /// Ready when the head that is under way has had its time.
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

/// How far a connection's bytes have come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// So many bytes of the preface.
    Preface(usize),
    /// HTTP/1, or nothing that this can follow.
    Elsewhere,
    /// Within HTTP/2's frames.
    Frames {
        head: [u8; FRAME_HEAD],
        /// So many bytes of it are here; all of them while a payload is under way.
        filled: usize,
        payload_left: usize,
        /// A block of headers has begun and its last frame has not.
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

    /// Takes the next bytes in; true when a head ended in them.
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
