//! The check of the admin key. Wrong keys wait for their answer, so that guessing takes its time; right ones never do.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderMap;
use parking_lot::{Mutex, MutexGuard};
use secrecy::SecretString;
use tokio::time::sleep;

use crate::{
    auth::{Auth, offers_key},
    engine::{
        caller::Caller,
        error::{ChatError, ErrorKind},
    },
};

/// What the first wrong key waits; doubles with each in a row.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);
/// So many wait at once. More are refused at once: a crowd of guesses must not become a crowd of open requests.
const MOST_WAITING: usize = 16;

/// The check. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Gate {
    auth: Auth,
    brake: Arc<Brake>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// A gate that one key opens.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        Self {
            auth: Auth::new(&[key], true),
            brake: Arc::default(),
        }
    }

    /// Looks for the key as `Authorization: Bearer`, `X-API-Key`, `api-key`, in this order; the first that is not empty
    /// decides. Never in the query, which proxies log.
    ///
    /// # Errors
    /// `unauthenticated`: at once when there is no key, after a wait when it is a wrong one.
    pub async fn check(&self, headers: &HeaderMap) -> Result<Caller, ChatError> {
        if let Ok(Some(caller)) = self.auth.check(headers, None) {
            self.brake.release();
            return Ok(caller);
        }
        if !offers_key(headers) {
            let message = "You didn't provide the admin key. Provide it in an Authorization header using Bearer auth \
                           (Authorization: Bearer YOUR_ADMIN_KEY).";
            return Err(ChatError::new(ErrorKind::Unauthenticated, message));
        }
        self.brake.hold().await;
        Err(ChatError::new(
            ErrorKind::Unauthenticated,
            "Incorrect admin key provided.",
        ))
    }
}

/// What slows wrong keys down, all of the process together.
#[derive(Debug, Default)]
struct Brake(Mutex<Pressure>);

#[derive(Debug, Default)]
struct Pressure {
    /// Wrong keys since the last right one.
    in_a_row: u32,
    waiting: usize,
}

impl Brake {
    fn lock(&self) -> MutexGuard<'_, Pressure> {
        // Two counters that nothing can break.
        self.0.lock()
    }

    /// A right key came.
    fn release(&self) {
        self.lock().in_a_row = 0;
    }

    /// A wrong key came: resolves when it may be told so.
    async fn hold(&self) {
        let Some((_place, wait)) = self.enter() else {
            return;
        };
        sleep(wait).await;
    }

    fn enter(&self) -> Option<(Place<'_>, Duration)> {
        let mut pressure = self.lock();
        let wait = FIRST
            .saturating_mul(2_u32.saturating_pow(pressure.in_a_row))
            .min(LONGEST);
        pressure.in_a_row = pressure.in_a_row.saturating_add(1);
        let in_a_row = pressure.in_a_row;
        if pressure.waiting >= MOST_WAITING {
            return None;
        }
        pressure.waiting += 1;
        drop(pressure);
        tracing::warn!(in_a_row, "a wrong admin key was offered");
        Some((Place(self), wait))
    }
}

/// A place among those that wait.
struct Place<'a>(&'a Brake);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use tokio::time::Instant;

    use super::*;

    const KEY: &str = "adm-0123456789abcdef";

    fn gate() -> Gate {
        Gate::new(KEY.into())
    }

    fn offered(key: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            format!("Bearer {key}").parse().unwrap(),
        )])
    }

    /// How long the answer to a key took, and whether the key was right.
    async fn timed(gate: &Gate, key: &str) -> (u128, bool) {
        let began = Instant::now();
        let right = gate.check(&offered(key)).await.is_ok();
        (began.elapsed().as_millis(), right)
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_keys_in_a_row_wait_longer_and_longer_and_right_ones_never() {
        let gate = gate();
        for wait in [500, 1000, 2000, 4000, 5000, 5000] {
            assert_eq!(timed(&gate, "wrong").await, (wait, false));
        }
        assert_eq!(timed(&gate, KEY).await, (0, true));
        assert_eq!(
            timed(&gate, "wrong").await,
            (500, false),
            "a right key begins anew"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_key_is_told_at_once_and_counts_for_nothing() {
        let gate = gate();
        for _ in 0..10 {
            let refused = gate.check(&HeaderMap::new()).now_or_never().expect("no wait");
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unauthenticated);
        }
        assert_eq!(timed(&gate, "wrong").await, (500, false));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_may_wait_are_refused_at_once() {
        let gate = gate();
        let crowd = join_all((0..3 * MOST_WAITING).map(|_| timed(&gate, "wrong"))).await;
        let waited = crowd.iter().filter(|(wait, _)| *wait > 0).count();
        assert_eq!(waited, MOST_WAITING);
        assert!(crowd.iter().all(|(wait, right)| *wait <= 5000 && !right));
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_key_passes_a_crowd_of_wrong_ones() {
        let gate = gate();
        let wrong = offered("wrong");
        let mut crowd: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(gate.check(&wrong))).collect();
        for guess in &mut crowd {
            assert!(guess.now_or_never().is_none(), "it waits");
        }
        assert_eq!(timed(&gate, KEY).await, (0, true));
        assert_eq!(timed(&gate, "wrong").await, (0, false), "no place is left");
        drop(crowd);
        let (wait, _) = timed(&gate, "wrong").await;
        assert!(wait > 0, "who leaves makes room");
    }

    #[tokio::test]
    async fn the_query_is_no_place_for_the_key_and_debug_shows_nothing() {
        let gate = gate();
        assert!(gate.check(&HeaderMap::new()).await.is_err());
        for name in ["x-api-key", "api-key"] {
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), KEY.parse().unwrap())]);
            assert!(gate.check(&headers).await.is_ok(), "{name}");
        }
        assert!(!format!("{gate:?}").contains("0123"));
    }
}
