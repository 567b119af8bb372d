//! A connection's activity: its requests under way, a request head that is arriving, and since when it has been idle.

use std::sync::Arc;

use http::Version;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Duration, Instant, sleep_until};

/// The activity of one connection. Cheap to clone; clones share the state.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Requests whose responses have not ended.
    under_way: usize,
    /// When the last request ended, or the connection was opened.
    rests_since: Instant,
    /// When the first byte of the HTTP/1 head that is arriving was read.
    head_since: Option<Instant>,
    /// The HTTP version of the first request.
    version: Option<Version>,
    /// The connection has reached its maximum age: over HTTP/1 the next response is the last.
    is_old: bool,
}

impl Activity {
    /// The activity of a connection that was just opened.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            under_way: 0,
            rests_since: Instant::now(),
            head_since: None,
            version: None,
            is_old: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Counts a request whose head has arrived. It is under way until the returned guard is dropped.
    pub(super) fn begin(&self, version: Version) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        state.head_since = None;
        state.version.get_or_insert(version);
        UnderWay(self.clone())
    }

    /// Takes in bytes read over HTTP/1. While no request is under way they begin a head, except for empty lines, which
    /// may precede one.
    pub(super) fn heard(&self, bytes: &[u8]) {
        let mut state = self.state();
        let begins = bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        if state.under_way == 0 && begins {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn head_since(&self) -> Option<Instant> {
        self.state().head_since
    }

    /// Marks the connection as having reached its maximum age. True over HTTP/1, where the next response announces the
    /// close.
    pub(super) fn grow_old(&self) -> bool {
        let mut state = self.state();
        state.is_old = true;
        state.version.is_some_and(|version| version < Version::HTTP_2)
    }

    pub(super) fn is_old(&self) -> bool {
        self.state().is_old
    }

    /// Waits until the connection has been idle for `patience`. Cancel-safe.
    pub(super) async fn rested(&self, patience: Duration) {
        loop {
            let now = Instant::now();
            let until = self.rests_since().unwrap_or(now) + patience;
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn rests_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.under_way == 0 && state.head_since.is_none()).then_some(state.rests_since)
    }
}

/// A guard that counts a request as under way.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.rests_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(620);
    const MINUTE: Duration = Duration::from_secs(60);

    async fn after(activity: &Activity) -> Duration {
        let began = Instant::now();
        activity.rested(PATIENCE).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_counted_from_the_end_of_the_last_request() {
        let activity = Activity::new();
        tokio::time::advance(MINUTE).await;
        assert_eq!(after(&activity).await, PATIENCE - MINUTE);
        let first = activity.begin(Version::HTTP_2);
        let second = activity.begin(Version::HTTP_2);
        let requests = async {
            tokio::time::sleep(MINUTE).await;
            drop(second);
            tokio::time::sleep(10 * PATIENCE).await;
            drop(first);
        };
        let (after, ()) = tokio::join!(after(&activity), requests);
        assert_eq!(after, MINUTE + 11 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_a_head_does_not_rest_and_empty_lines_begin_none() {
        let activity = Activity::new();
        activity.heard(b"\r\n\n");
        assert_eq!(activity.head_since(), None);
        activity.heard(b"\r\nG");
        let began = activity.head_since();
        tokio::time::advance(MINUTE).await;
        activity.heard(b"ET");
        assert_eq!(activity.head_since(), began, "the head's first byte counts");
        let waited = tokio::time::timeout(3 * PATIENCE, activity.rested(PATIENCE)).await;
        assert!(waited.is_err(), "it does not rest");
        let request = activity.begin(Version::HTTP_11);
        activity.heard(b"a body");
        assert_eq!(activity.head_since(), None);
        drop(request);
        assert_eq!(after(&activity).await, PATIENCE);
    }
}
