//! The queue of log lines. Callers enqueue and continue; a dedicated thread writes, so that a stalled reader, a full
//! disk or a closed pipe blocks nothing.
//!
//! The queue is bounded in bytes, and when it is full the newest line is lost. A line that cannot be written is lost
//! too, and the next one is tried all the same. Lost lines are counted, and reported in one line once the writer has
//! caught up.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Maximum size of the queue, in bytes of memory.
pub(super) const BOUND: usize = 8 << 20;
/// Lines are batched up to this size: a write of up to 4096 bytes to a pipe is atomic (`PIPE_BUF`).
const CHUNK: usize = 4096;
/// Interval between retries on a descriptor that would block.
const AGAIN: Duration = Duration::from_millis(20);

/// Formats the line that reports a number of lost lines.
pub(super) type Notice = fn(u64) -> String;

/// The queued lines. Cheap to clone; clones share the queue.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when there is something to write.
    work: Condvar,
    /// Signalled when everything is written.
    rest: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// Each chunk contains whole lines, and is never longer than its capacity.
    chunks: VecDeque<Vec<u8>>,
    /// Memory of the chunks, including the one that is being written.
    held: usize,
    /// An empty chunk to reuse.
    spare: Option<Vec<u8>>,
    /// The writer is waiting for work.
    idle: bool,
}

impl Queue {
    /// Enqueues whole lines; false when there is no room.
    fn take(&mut self, text: &[u8]) -> bool {
        if let Some(last) = self.chunks.back_mut()
            && last.len() + text.len() <= last.capacity()
        {
            last.extend_from_slice(text);
            return true;
        }
        let room = text.len().max(CHUNK);
        if self.held + room + size_of::<Vec<u8>>() > BOUND {
            return false;
        }
        let spare = self.spare.take().filter(|spare| spare.capacity() >= room);
        let mut chunk = spare.unwrap_or_else(|| Vec::with_capacity(room));
        chunk.extend_from_slice(text);
        self.held += cost(&chunk);
        self.chunks.push_back(chunk);
        true
    }

    fn give_back(&mut self, mut chunk: Vec<u8>) {
        self.held -= cost(&chunk);
        if chunk.capacity() == CHUNK {
            chunk.clear();
            self.spare = Some(chunk);
        }
    }
}

fn cost(chunk: &Vec<u8>) -> usize {
    chunk.capacity() + size_of_val(chunk)
}

fn count(text: &[u8]) -> u64 {
    text.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

impl Lines {
    /// A queue with a thread that writes it to `out` until the process ends.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(out: impl Write + Send + 'static, notice: Notice) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            shared: Arc::clone(&shared),
            out,
            notice,
            told: 0,
            torn: false,
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(|| writer.run())?;
        Ok(Self { shared })
    }

    /// Enqueues text that consists of whole lines. Never blocks on the output.
    pub(super) fn push(&self, text: &[u8]) {
        let mut queue = self.shared.lock();
        if !queue.take(text) {
            drop(queue);
            self.shared.lose(text);
            return;
        }
        // A wake-up is a system call; a busy writer needs none.
        let was_idle = mem::take(&mut queue.idle);
        drop(queue);
        if was_idle {
            self.shared.work.notify_one();
        }
    }

    /// Blocks until everything is written or lost; false when that took longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let mut queue = self.shared.lock();
        self.shared
            .rest
            .wait_while_for(&mut queue, |queue| !queue.idle, patience);
        queue.idle
    }

    /// Number of lines lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Write for &Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.push(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    fn lose(&self, text: &[u8]) {
        self.lost.fetch_add(count(text), Ordering::Relaxed);
    }

    /// The next chunk; blocks until there is one.
    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        loop {
            if let Some(chunk) = queue.chunks.pop_front() {
                return chunk;
            }
            queue.idle = true;
            self.rest.notify_all();
            self.work.wait_while(&mut queue, |queue| queue.idle);
        }
    }
}

/// The state of the writing thread.
struct Writer<W> {
    shared: Arc<Shared>,
    out: W,
    notice: Notice,
    /// Lost lines that have been reported.
    told: u64,
    /// The last line was written only in part.
    torn: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        loop {
            let chunk = self.shared.next();
            let is_whole = self.write(&chunk);
            let mut queue = self.shared.lock();
            queue.give_back(chunk);
            let has_caught_up = queue.chunks.is_empty();
            drop(queue);
            if is_whole && has_caught_up {
                self.tell();
            }
        }
    }

    /// Writes whole lines; false when some of them are lost.
    fn write(&mut self, text: &[u8]) -> bool {
        // Ends the partial line, so that the next one starts on its own.
        if self.torn {
            self.torn = !self.put(b"\n").is_empty();
        }
        let left = if self.torn { text } else { self.put(text) };
        if left.is_empty() {
            return true;
        }
        let written = text.len() - left.len();
        self.torn |= text
            .get(..written)
            .and_then(<[u8]>::last)
            .is_some_and(|last| *last != b'\n');
        self.shared.lose(left);
        false
    }

    /// Writes as much as possible, and returns the rest.
    fn put<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut left = text;
        while !left.is_empty() {
            match self.out.write(left) {
                Ok(0) => break,
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process may have made the shared descriptor non-blocking; its reader is merely slow.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(AGAIN),
                Err(_) => break,
            }
        }
        left
    }

    /// Reports the lines lost since the last report.
    fn tell(&mut self) {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > self.told {
            let notice = (self.notice)(lost - self.told);
            let left = self.put(notice.as_bytes()).len();
            if left == 0 {
                self.told = lost;
            } else {
                self.torn = left < notice.len();
            }
        }
    }
}

#[cfg(test)]
mod tests;
