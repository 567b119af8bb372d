//! Lingering close. Closing a socket that has unread bytes resets the connection, and a client that is still sending
//! (for example a body over the limit) then never sees the response that says why it was refused.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// Longest time spent on reading after the shutdown.
const LONGEST: Duration = Duration::from_secs(5);
/// A peer that sends nothing for this long has finished, or is gone.
const SILENCE: Duration = Duration::from_millis(500);
/// Most bytes that are discarded: more than any legitimate body.
const MOST: usize = 256 * 1024 * 1024;
const PIECE: usize = 16 * 1024;

/// A socket that, after its shutdown, reads and discards until the peer closes too.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    farewell: Option<Farewell>,
}

#[derive(Debug)]
struct Farewell {
    silence: Pin<Box<Sleep>>,
    until: Instant,
    left: usize,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            farewell: None,
        }
    }

    /// Ready when the peer has closed, or a limit is reached.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let farewell = self.farewell.get_or_insert_with(|| Farewell {
            silence: Box::pin(sleep(SILENCE)),
            until: Instant::now() + LONGEST,
            left: MOST,
        });
        let mut piece = [0; PIECE];
        loop {
            let mut buffer = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    farewell.left = farewell.left.saturating_sub(buffer.filled().len());
                    let now = Instant::now();
                    if farewell.left == 0 || now >= farewell.until {
                        return Poll::Ready(());
                    }
                    farewell.silence.as_mut().reset(now + SILENCE);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return farewell.silence.as_mut().poll(context),
            }
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
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
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        self.poll_farewell(context).map(Ok)
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
