//! Rate limit for log lines that one cause can trigger many times a second.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// At most one line of a kind within this interval.
const EVERY: Duration = Duration::from_secs(5);

/// Process-wide, like the log itself.
static LINES: Mutex<Option<HashMap<&'static str, Line>>> = Mutex::new(None);

/// The state of one kind of line.
#[derive(Debug)]
struct Line {
    written: Instant,
    left_out: u64,
}

/// `Some` when a line of this kind may be logged now, with the number of lines suppressed since the last one. Kinds are
/// limited independently.
#[must_use]
pub fn seldom(sort: &'static str) -> Option<u64> {
    let mut lines = LINES.lock();
    pass(lines.get_or_insert_default(), sort, Instant::now())
}

fn pass(lines: &mut HashMap<&'static str, Line>, sort: &'static str, now: Instant) -> Option<u64> {
    let Some(line) = lines.get_mut(sort) else {
        let first = Line {
            written: now,
            left_out: 0,
        };
        lines.insert(sort, first);
        return Some(0);
    };
    if now.saturating_duration_since(line.written) < EVERY {
        line.left_out += 1;
        return None;
    }
    line.written = now;
    Some(std::mem::take(&mut line.left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_each_interval_says_how_many_were_left_out() {
        let (mut lines, began) = (HashMap::new(), Instant::now());
        let mut at = |sort, seconds| pass(&mut lines, sort, began + Duration::from_secs_f64(seconds));
        assert_eq!(at("one", 0.0), Some(0));
        assert_eq!(at("one", 1.0), None);
        assert_eq!(at("other", 1.0), Some(0), "each sort by itself");
        assert_eq!(at("one", 4.9), None);
        assert_eq!(at("one", 5.0), Some(2));
        assert_eq!(at("one", 9.9), None);
        assert_eq!(at("one", 60.0), Some(1));
        assert_eq!(at("one", 65.0), Some(0));
    }
}
