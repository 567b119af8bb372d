//! The memory of this process during the run.

use std::{
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

/// Sampling interval.
const EVERY: Duration = Duration::from_millis(100);

/// Samples of the resident size, by the completed share of the run.
pub(crate) struct Memory {
    done: Arc<AtomicUsize>,
    samples: Arc<Mutex<[(u64, u64); 4]>>,
    _watching: JoinSet<()>,
}

impl Memory {
    /// Starts sampling; the run has this many steps.
    pub(crate) fn watch(steps: usize) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let samples = Arc::new(Mutex::new([(0, 0); 4]));
        let mut watching = JoinSet::new();
        let (counter, book) = (Arc::clone(&done), Arc::clone(&samples));
        watching.spawn(async move {
            loop {
                let quarter = counter.load(Ordering::Relaxed) * 4 / steps.max(1);
                note(&book, quarter.min(3));
                tokio::time::sleep(EVERY).await;
            }
        });
        Self {
            done,
            samples,
            _watching: watching,
        }
    }

    /// Counts a completed step.
    pub(crate) fn note_end(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// The mean resident size in each quarter of the run, in bytes; 0 if unknown.
    pub(crate) fn quarters(&self) -> [u64; 4] {
        let samples = *self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.map(|(sum, count)| sum.checked_div(count).unwrap_or(0))
    }
}

fn note(book: &Mutex<[(u64, u64); 4]>, quarter: usize) {
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some((sum, count)), Some(now)) = (book.get_mut(quarter), resident()) {
        *sum += now;
        *count += 1;
    }
}

/// The resident size in bytes, on Linux.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
