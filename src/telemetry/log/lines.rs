//! Lines on their way to the log. Whoever logs hands them over and goes on: a thread of its own writes them, so that a
//! reader that stalls, a full disk and a closed pipe hold up nobody and nothing.
//!
//! What waits is bounded in bytes, and beyond that the newest line is lost. A line that cannot be written is lost too,
//! and the next one is tried all the same. All of them are counted, and one line says how many they were once the
//! writing has caught up.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// The most that may wait, in bytes of memory.
pub(super) const BOUND: usize = 8 << 20;
/// Lines are gathered up to this size. A pipe takes so much as a whole or not at all, and never mixes it with what others
/// write to it.
const CHUNK: usize = 4096;
/// How soon a descriptor that would block is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Says in a line of its own how many lines were lost.
pub(super) type Notice = fn(u64) -> String;

/// The lines that wait. Cheap to clone; all clones are one queue.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    work: Condvar,
    /// All is written.
    rest: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// Whole lines, some in each; none is longer than its capacity.
    chunks: VecDeque<Vec<u8>>,
    /// The memory of the chunks, and of the one that is being written.
    held: usize,
    /// An empty chunk for the next line.
    spare: Option<Vec<u8>>,
    /// The writer has nothing to do.
    idle: bool,
}

impl Queue {
    /// Takes whole lines; false when there is no room.
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
    /// Lines that a thread of their own writes to `out` until the process ends.
    ///
    /// # Errors
    /// When there can be no such thread.
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

    /// Takes over text that consists of whole lines. Waits for no reader.
    pub(super) fn push(&self, text: &[u8]) {
        let mut queue = self.shared.lock();
        if !queue.take(text) {
            drop(queue);
            self.shared.lose(text);
            return;
        }
        // Waking is a call of the kernel, which a busy writer does without.
        let was_idle = mem::take(&mut queue.idle);
        drop(queue);
        if was_idle {
            self.shared.work.notify_one();
        }
    }

    /// Waits until all is written or lost; false when that took longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let queue = self.shared.lock();
        let waited = self
            .shared
            .rest
            .wait_timeout_while(queue, patience, |queue| !queue.idle);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.idle
    }

    /// Lines that were lost so far.
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
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, text: &[u8]) {
        self.lost.fetch_add(count(text), Ordering::Relaxed);
    }

    /// The next chunk. Waits for it.
    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        loop {
            if let Some(chunk) = queue.chunks.pop_front() {
                return chunk;
            }
            queue.idle = true;
            self.rest.notify_all();
            queue = self
                .work
                .wait_while(queue, |queue| queue.idle)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What the thread works with.
struct Writer<W> {
    shared: Arc<Shared>,
    out: W,
    notice: Notice,
    /// Of the lines that were lost, those that were told.
    told: u64,
    /// The last line was cut in its middle.
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
        // What is left of a line that was cut must not run into the next one.
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

    /// Writes as much as can be, and hands back the rest.
    fn put<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut left = text;
        while !left.is_empty() {
            match self.out.write(left) {
                Ok(0) => break,
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Others may have made it non-blocking: its reader is slow, and no more.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(AGAIN),
                Err(_) => break,
            }
        }
        left
    }

    /// Says how many lines were lost, once for them all.
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
