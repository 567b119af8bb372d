//! Waiting with a deadline; a failed wait names what it waited for.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

/// Far longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// Waits for `future`.
#[track_caller]
pub(crate) fn within<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("waited in vain for: {what} (at {caller})"),
        }
    }
}

/// Polls `holds` until it returns true.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "this never came true: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Runs `check` for every case, several at a time, since most of them mostly wait.
pub(crate) async fn for_each<T: Debug>(cases: impl IntoIterator<Item = T>, check: impl AsyncFn(T)) {
    const AT_ONCE: usize = 24;
    for_some(AT_ONCE, cases, check).await;
}

/// The same, this many at a time.
pub(crate) async fn for_some<T: Debug>(
    at_once: usize,
    cases: impl IntoIterator<Item = T>,
    check: impl AsyncFn(T),
) {
    let checks = stream::iter(cases).for_each_concurrent(at_once, async |case| {
        let what = format!("{case:?}");
        within(&what, check(case)).await;
    });
    checks.await;
}

/// Each of `cases` combined with each of `others`.
pub(crate) fn crossed<A: Clone, B: Clone>(
    cases: impl IntoIterator<Item = A>,
    others: impl IntoIterator<Item = B>,
) -> Vec<(A, B)> {
    let others: Vec<B> = others.into_iter().collect();
    let cases = cases.into_iter();
    let pairs = cases.flat_map(|case| others.iter().map(move |other| (case.clone(), other.clone())));
    pairs.collect()
}
