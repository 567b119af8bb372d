//! The circuit breakers, one for each origin of the upstream: a dead service costs its callers milliseconds and not
//! minutes, and hears from us once in a while instead of all the time.
//!
//! Only what chats wait for is counted. A breaker opens when [`FAILURES`] calls failed by a fault of the service within
//! [`WINDOW`] seconds and they are half or more of that time's calls; or as many in a row, since a busy service that dies has
//! many good calls behind it. It closes when a probe is answered: for the origin
//! that has a harmless call, a call in the background; for any other, one real chat.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

/// The seconds that are looked back on.
const WINDOW: usize = 10;
/// So many failures open a breaker, if they are half or more of the calls: a share of failures that retries cope with
/// opens it hardly ever (at one call in five failing, twenty of the last forty is 4.7 deviations away).
const FAILURES: u32 = 20;

/// The calls of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Which second since the breakers were made.
    second: u64,
    good: u32,
    failed: u32,
}

#[derive(Debug, Default)]
struct Breaker {
    buckets: [Bucket; WINDOW],
    /// Failures since the last good call.
    in_a_row: u32,
    /// When the next probe is due; `None` while it is closed.
    open: Option<Instant>,
}

/// The breakers of all origins.
#[derive(Debug)]
pub(super) struct Breakers {
    began: Instant,
    /// The origin that is probed in the background.
    harmless: usize,
    breakers: Mutex<Vec<Breaker>>,
    probe_interval: Mutex<Duration>,
    /// How many are open.
    open: watch::Sender<usize>,
}

impl Breakers {
    /// Closed breakers, which allow an open origin one probe in each `probe_interval`: the `harmless` one in the
    /// background, any other by a chat.
    #[must_use]
    pub(super) fn new(harmless: usize, probe_interval: Duration) -> Self {
        Self {
            began: Instant::now(),
            harmless,
            breakers: Mutex::default(),
            probe_interval: Mutex::new(probe_interval),
            open: watch::Sender::new(0),
        }
    }

    fn interval(&self) -> Duration {
        *self.probe_interval.lock()
    }

    /// Changes how often an open origin is probed, from the next probe on.
    pub(super) fn set_probe_interval(&self, interval: Duration) {
        *self.probe_interval.lock() = interval;
    }

    /// Counts a call to an origin that ended, well or by a fault of the service.
    pub(super) fn count(&self, origin: usize, good: bool) {
        let now = Instant::now();
        let second = now.duration_since(self.began).as_secs();
        let mut breakers = self.breakers.lock();
        if breakers.len() <= origin {
            breakers.resize_with(origin + 1, Breaker::default);
        }
        let Some(breaker) = breakers.get_mut(origin) else {
            return;
        };
        if breaker.open.is_some() {
            // Calls that were under way when the harmless origin's opened say nothing new: a probe tells.
            if good && origin != self.harmless {
                self.close(origin, &mut breakers);
            }
            return;
        }
        breaker.note(second, good);
        if !good && breaker.must_open(second) {
            breaker.open = Some(now + self.interval());
            tracing::warn!(
                origin,
                "the upstream keeps failing: chats are refused until it answers a probe"
            );
            self.tell(&breakers);
        }
    }

    /// When the harmless origin is probed next; `None` while it is closed.
    #[must_use]
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.breakers.lock().get(self.harmless)?.open
    }

    /// Asks for a try of a chat.
    ///
    /// # Errors
    /// How long to stay away, while a breaker is open and this chat is not the probe.
    pub(super) fn pass(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let again = now + self.interval();
        let mut breakers = self.breakers.lock();
        let waits = breakers.iter().filter_map(|breaker| breaker.open);
        let shut = |(origin, at): (usize, Instant)| origin == self.harmless || at > now;
        let open = |(origin, breaker): (usize, &Breaker)| breaker.open.map(|at| (origin, at));
        if breakers.iter().enumerate().filter_map(open).any(shut) {
            let wait = waits.max().map(|at| at.saturating_duration_since(now));
            return Err(wait.unwrap_or_default().max(Duration::from_millis(1)));
        }
        for breaker in breakers.iter_mut() {
            breaker.open = breaker.open.map(|_| again);
        }
        Ok(())
    }

    /// Whether the harmless origin is to be probed now; if so, it is due again after the interval.
    #[must_use]
    pub(super) fn is_probe_due(&self) -> bool {
        let now = Instant::now();
        let again = now + self.interval();
        let mut breakers = self.breakers.lock();
        let Some(breaker) = breakers.get_mut(self.harmless) else {
            return false;
        };
        let due = breaker.open.is_some_and(|at| at <= now);
        if due {
            breaker.open = Some(again);
        }
        due
    }

    /// A probe of the harmless origin was answered: it is closed, and what it failed by is forgotten.
    pub(super) fn probe_answered(&self) {
        self.close(self.harmless, &mut self.breakers.lock());
    }

    fn close(&self, origin: usize, breakers: &mut [Breaker]) {
        if let Some(breaker) = breakers.get_mut(origin)
            && breaker.open.is_some()
        {
            *breaker = Breaker::default();
            tracing::info!(origin, "the upstream answers again");
            self.tell(breakers);
        }
    }

    fn tell(&self, breakers: &[Breaker]) {
        let open = breakers.iter().filter(|breaker| breaker.open.is_some()).count();
        self.open.send_replace(open);
    }

    /// How many are open now.
    #[must_use]
    pub(super) fn open_count(&self) -> usize {
        *self.open.borrow()
    }

    /// Sees each change of how many are open.
    #[must_use]
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    /// Resolves as soon as any is open.
    pub(super) async fn opened(&self) {
        // The sender lives as long as `self`, so this ends in no other way.
        let mut open = self.open.subscribe();
        let _open = open.wait_for(|&open| open > 0).await;
    }
}

impl Breaker {
    fn note(&mut self, second: u64, good: bool) {
        let index = usize::try_from(second).unwrap_or(usize::MAX) % WINDOW;
        let Some(bucket) = self.buckets.get_mut(index) else {
            return;
        };
        if bucket.second != second {
            *bucket = Bucket {
                second,
                ..Bucket::default()
            };
        }
        if good {
            bucket.good += 1;
            self.in_a_row = 0;
        } else {
            bucket.failed += 1;
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
    }

    fn must_open(&self, second: u64) -> bool {
        let recent = |bucket: &&Bucket| second.saturating_sub(bucket.second) < WINDOW as u64;
        let recent = self.buckets.iter().filter(recent);
        let (good, failed) = recent.fold((0, 0), |(good, failed), bucket| {
            (good + bucket.good, failed + bucket.failed)
        });
        (failed >= FAILURES && failed >= good) || self.in_a_row >= FAILURES
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breakers() -> Breakers {
        Breakers::new(0, SECOND)
    }

    fn count(breakers: &Breakers, good: u32, failed: u32) {
        (0..good).for_each(|_| breakers.count(0, true));
        (0..failed).for_each(|_| breakers.count(0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_failures_that_are_half_of_the_calls_open_it() {
        let half = breakers();
        count(&half, 0, 19);
        assert_eq!(half.pass(), Ok(()));
        count(&half, 0, 1);
        assert_eq!(half.pass(), Err(SECOND));
        half.opened().await;

        let fewer = breakers();
        count(&fewer, 11, 10);
        count(&fewer, 10, 10);
        assert_eq!(fewer.open_count(), 0);
        count(&fewer, 0, 1);
        assert_eq!(fewer.open_count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_failures_in_a_row_open_it_whatever_was_before() {
        let busy = breakers();
        count(&busy, 10_000, 19);
        count(&busy, 1, 19);
        assert_eq!(busy.open_count(), 0);
        count(&busy, 0, 1);
        assert_eq!(busy.open_count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_ten_seconds_does_not_count() {
        let breakers = breakers();
        count(&breakers, 100, 19);
        advance(9 * SECOND).await;
        (0..40).for_each(|_| count(&breakers, 1, 2));
        assert_eq!(breakers.open_count(), 0, "a hundred good calls are remembered");
        advance(10 * SECOND).await;
        (0..9).for_each(|_| count(&breakers, 1, 2));
        assert_eq!(breakers.open_count(), 0);
        count(&breakers, 0, 2);
        assert_eq!(breakers.open_count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_harmless_origin_is_probed_once_in_each_interval_and_closed_by_an_answer() {
        let breakers = breakers();
        count(&breakers, 0, 20);
        assert!(!breakers.is_probe_due());
        advance(SECOND).await;
        assert!(breakers.pass().is_err(), "no chat is the probe");
        assert!(breakers.is_probe_due());
        assert!(!breakers.is_probe_due());
        advance(SECOND).await;
        assert!(breakers.is_probe_due());
        count(&breakers, 50, 0);
        assert_eq!(breakers.open_count(), 1, "calls from before prove nothing");
        breakers.probe_answered();
        assert_eq!(breakers.pass(), Ok(()));
        count(&breakers, 0, 19);
        assert_eq!(breakers.open_count(), 0, "it starts anew");
    }

    #[tokio::test(start_paused = true)]
    async fn another_origin_is_probed_by_one_chat_in_each_interval() {
        let breakers = breakers();
        (0..20).for_each(|_| breakers.count(2, false));
        assert_eq!(breakers.open_count(), 1);
        assert!(breakers.pass().is_err());
        advance(SECOND).await;
        assert!(!breakers.is_probe_due());
        assert_eq!(breakers.pass(), Ok(()));
        assert!(breakers.pass().is_err(), "one is enough");
        breakers.count(2, false);
        assert_eq!(breakers.open_count(), 1);
        breakers.count(2, true);
        assert_eq!(breakers.pass(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_in_five_never_opens_it() {
        let breakers = breakers();
        fastrand::seed(1);
        for call in 0..200_000 {
            breakers.count(0, fastrand::f64() >= 0.2);
            if call % 40 == 0 {
                advance(SECOND).await;
            }
        }
        assert_eq!(breakers.open_count(), 0);
    }
}
