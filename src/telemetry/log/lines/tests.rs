use std::{collections::VecDeque, io, sync::mpsc};

use super::*;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn notice(lost: u64) -> String {
    format!("lost {lost}\n")
}

/// A sink that follows a script: each write takes that many bytes or fails; after the script it takes everything.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Result<usize, ErrorKind>>>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Result<usize, ErrorKind>>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            written: Arc::default(),
        }
    }

    fn written(&self) -> String {
        String::from_utf8(self.written.lock().clone()).unwrap()
    }
}

impl Write for Scripted {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let step = self.script.lock().pop_front();
        let most = step.unwrap_or(Ok(usize::MAX))?.min(text.len());
        self.written.lock().extend_from_slice(&text[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that blocks until its gate is opened by dropping the other end.
struct Gated {
    gate: mpsc::Receiver<()>,
    sink: Scripted,
}

impl Write for Gated {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _opened = self.gate.recv();
        self.sink.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gated() -> (Lines, Scripted, mpsc::Sender<()>) {
    let (opener, gate) = mpsc::channel();
    let sink = Scripted::default();
    let out = Gated {
        gate,
        sink: sink.clone(),
    };
    (Lines::start(out, notice).unwrap(), sink, opener)
}

/// Enqueues each text separately, so that each is a write of its own.
fn one_by_one(sink: &Scripted, texts: &[&str]) -> Lines {
    let lines = Lines::start(sink.clone(), notice).unwrap();
    for text in texts {
        lines.push(text.as_bytes());
        assert!(lines.flush(PATIENCE));
    }
    lines
}

#[test]
fn what_waits_is_bounded_in_bytes_and_the_newest_is_lost() {
    for length in [60, 1_500, 2_100, 5_000, 100_000, BOUND / 2] {
        let (lines, sink, opener) = gated();
        let mut taken = String::new();
        let mut number = 0;
        while lines.lost() < 3 {
            let line = format!("{number}{}\n", "x".repeat(length));
            lines.push(line.as_bytes());
            let queue = lines.shared.lock();
            let waits: usize = queue.chunks.iter().map(cost).sum();
            assert!(
                waits <= queue.held && queue.held <= BOUND,
                "{waits}, {}",
                queue.held
            );
            drop(queue);
            if lines.lost() == 0 {
                taken += &line;
            }
            number += 1;
        }
        // Chunks must not waste much of the bound.
        assert!(
            taken.len() >= BOUND / 2 || length >= BOUND / 2,
            "{length}: {}",
            taken.len()
        );
        assert!(!lines.flush(Duration::from_millis(1)), "it waits for its reader");
        drop(opener);
        assert!(lines.flush(PATIENCE));
        assert!(sink.written() == taken + "lost 3\n", "{length}");
        assert_eq!(lines.shared.lock().held, 0);
        lines.push(b"on\n");
        assert!(lines.flush(PATIENCE));
        assert!(sink.written().ends_with("lost 3\non\n"), "told once");
    }
}

#[test]
fn a_line_beyond_the_bound_is_lost_alone() {
    let sink = Scripted::default();
    let huge = "x".repeat(BOUND) + "\n";
    let lines = one_by_one(&sink, &["one\n", &huge, "two\n"]);
    assert_eq!((lines.lost(), sink.written().as_str()), (1, "one\ntwo\nlost 1\n"));
}

#[test]
fn a_line_that_cannot_be_written_is_lost_and_the_next_is_tried() {
    for error in [
        ErrorKind::BrokenPipe,
        ErrorKind::StorageFull,
        ErrorKind::Other,
        ErrorKind::PermissionDenied,
    ] {
        let sink = Scripted::new([Ok(99), Err(error), Err(error), Ok(99)]);
        let lines = one_by_one(&sink, &["one\n", "two\n", "three\nfour\n", "five\n"]);
        assert_eq!(lines.lost(), 3);
        assert_eq!(sink.written(), "one\nfive\nlost 3\n", "{error:?}");
    }
}

#[test]
fn a_line_that_was_cut_does_not_run_into_the_next() {
    let full = Err(ErrorKind::StorageFull);
    let sink = Scripted::new([Ok(2), full, full, Ok(1)]);
    let lines = one_by_one(&sink, &["one\n", "two\n", "three\n"]);
    assert_eq!(
        (lines.lost(), sink.written().as_str()),
        (2, "on\nthree\nlost 2\n")
    );
    // Of lines in one write, those that were written are not counted as lost.
    let sink = Scripted::new([Ok(9), full]);
    let lines = one_by_one(&sink, &["one\ntwo\nthree\nfour\n", "five\n"]);
    assert_eq!(
        (lines.lost(), sink.written().as_str()),
        (2, "one\ntwo\nt\nfive\nlost 2\n")
    );
    // A report that was cut is repeated.
    let sink = Scripted::new([full, Ok(99), Ok(3), full]);
    let lines = one_by_one(&sink, &["one\n", "two\n", "three\n"]);
    assert_eq!(
        (lines.lost(), sink.written().as_str()),
        (1, "two\nlos\nthree\nlost 1\n")
    );
}

#[test]
fn short_writes_and_waits_lose_nothing() {
    let wait = Err(ErrorKind::WouldBlock);
    let sink = Scripted::new([Ok(1), Err(ErrorKind::Interrupted), Ok(1), wait, wait, Ok(1)]);
    let lines = one_by_one(&sink, &["one\n", "two\n"]);
    assert_eq!((lines.lost(), sink.written().as_str()), (0, "one\ntwo\n"));
}

#[test]
fn lines_of_many_threads_are_whole_and_in_each_ones_order() {
    const EACH: usize = 5_000;
    let sink = Scripted::default();
    let lines = Lines::start(sink.clone(), notice).unwrap();
    thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let lines = lines.clone();
            scope.spawn(move || {
                (0..EACH).for_each(|number| lines.push(format!("{name} {number}\n").as_bytes()));
            });
        }
    });
    assert!(lines.flush(PATIENCE));
    let written = sink.written();
    for name in ["a ", "b ", "c "] {
        let numbers = written.lines().filter_map(|line| line.strip_prefix(name));
        assert!(numbers.eq((0..EACH).map(|number| number.to_string())), "{name}");
    }
    assert_eq!(written.lines().count(), 3 * EACH);
}
