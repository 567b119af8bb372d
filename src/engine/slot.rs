//! One token's place in the pool: its state, and what each failure and success makes of it.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    bench::{BenchPolicy, BenchReason},
    provider::Token,
    store::SavedToken,
    verdict::TokenVerdict,
};

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// Out of use until then; after that, one trial.
    Benched {
        reason: BenchReason,
        until: Instant,
        /// When a refused token is tried in the background: a little later than `until`, so that tokens which fell
        /// together do not come back together.
        trial: Instant,
    },
    /// Its time on the bench is over, and one chat or one call is trying it.
    Probing {
        reason: BenchReason,
    },
    Disabled,
}

/// What keeps a token from being chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Its own `exp` claim says that it is over.
    Expired,
    /// Refused too often in a row.
    Disabled,
    /// On the bench for so long.
    Benched(BenchReason, Duration),
    /// Being tried after a bench.
    Probing(BenchReason),
    /// As many chats hold it as may.
    Full,
}

#[derive(Debug)]
pub(super) struct Slot {
    token: Token,
    state: State,
    /// When its `exp` claim says that it dies.
    expires: Option<Instant>,
    in_flight: usize,
    /// The number of the lease that used it last; 0 for never.
    last_used: u64,
    /// Goes up with each failure that counts, so that leases given before it are known as such.
    generation: u64,
    refusals: u32,
    rate_limits: u32,
    leases: u64,
    failures: u64,
}

/// The state of a token, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
pub enum TokenState {
    /// In use, or free for it.
    Ready,
    /// Cooling down after a failure.
    Benched,
    /// Under a half-open probe.
    Probing,
    /// Refused too often in a row.
    Disabled,
    /// Over by its own `exp` claim.
    Expired,
}

impl TokenState {
    /// The state's name on pages and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TokenState::Ready => "ready",
            TokenState::Benched => "benched",
            TokenState::Probing => "probing",
            TokenState::Disabled => "disabled",
            TokenState::Expired => "expired",
        }
    }
}

/// One token, as health pages show it.
#[derive(Debug, Clone)]
pub struct TokenSnapshot {
    /// The token, which shows no more of itself than its hash.
    pub token: Token,
    /// Its state.
    pub state: TokenState,
    /// Why it is out of use, where a failure put it there.
    pub reason: Option<BenchReason>,
    /// Until it may be tried again.
    pub benched_for: Option<Duration>,
    /// Chats that hold it now.
    pub in_flight: usize,
    /// Chats that it was given to.
    pub leases: u64,
    /// Failures that counted against it.
    pub failures: u64,
    /// Refusals in a row.
    pub refusals: u32,
    /// When its `exp` claim says that it dies.
    pub expires_at: Option<SystemTime>,
    /// The size of its warm pool, where the provider has one.
    pub warm: usize,
    /// What keeps it from being chosen now.
    pub obstacle: Option<Obstacle>,
}

impl TokenSnapshot {
    /// Whether a chat could be given this token now.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.obstacle.is_none() || self.obstacle == Some(Obstacle::Full)
    }
}

impl Slot {
    /// A token that is ready.
    pub(super) fn new(token: Token) -> Self {
        let dies_in = token
            .expires_at()
            .map(|at| at.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO));
        Self {
            state: State::Ready,
            expires: dies_in.and_then(|wait| Instant::now().checked_add(wait)),
            in_flight: 0,
            last_used: 0,
            generation: 0,
            refusals: 0,
            rate_limits: 0,
            leases: 0,
            failures: 0,
            token,
        }
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    pub(super) fn standing(&self) -> State {
        self.state
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What keeps a chat from getting this token now; `None` when nothing does.
    pub(super) fn obstacle(&self, now: Instant, policy: &BenchPolicy) -> Option<Obstacle> {
        if self.is_expired(now) {
            return Some(Obstacle::Expired);
        }
        match self.state {
            State::Disabled => Some(Obstacle::Disabled),
            State::Probing { reason } => Some(Obstacle::Probing(reason)),
            State::Benched { reason, until, .. } if until > now || reason == BenchReason::Refused => {
                Some(Obstacle::Benched(reason, until.saturating_duration_since(now)))
            }
            State::Benched { .. } | State::Ready => {
                let full = policy.max_in_flight > 0 && self.in_flight >= policy.max_in_flight;
                full.then_some(Obstacle::Full)
            }
        }
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Among usable tokens the one with the smallest is next: fewest chats in flight, then longest unused.
    pub(super) fn precedence(&self) -> (usize, u64) {
        (self.in_flight, self.last_used)
    }

    /// Gives the token to a chat, whose lease is the pool's `number`th; true when that chat tries a benched token.
    pub(super) fn take(&mut self, number: u64) -> bool {
        self.in_flight += 1;
        self.last_used = number;
        self.leases += 1;
        let State::Benched { reason, .. } = self.state else {
            return false;
        };
        self.state = State::Probing { reason };
        true
    }

    /// Takes the token back. A trial that came to no judgement leaves the token where it was: due for another.
    pub(super) fn give_back(&mut self, undecided_trial: bool, generation: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if undecided_trial {
            self.postpone(generation, Duration::ZERO);
        }
    }

    /// When this token should be tried in the background.
    pub(super) fn trial_at(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Benched {
                reason: BenchReason::Refused,
                trial,
                ..
            } if !self.is_expired(now) => Some(trial),
            State::Benched { .. } | State::Ready | State::Probing { .. } | State::Disabled => None,
        }
    }

    /// A call in the background tries the token from now on.
    pub(super) fn begin_trial(&mut self) {
        if let State::Benched { reason, .. } = self.state {
            self.state = State::Probing { reason };
        }
    }

    /// A trial came to no judgement: another may follow after `wait`.
    pub(super) fn postpone(&mut self, generation: u64, wait: Duration) {
        if self.generation == generation
            && let State::Probing { reason } = self.state
        {
            let until = Instant::now() + wait;
            self.state = State::Benched {
                reason,
                until,
                trial: until,
            };
        }
    }

    /// A call in the background was answered well. What a chat will meet is not proved by that, so the refusals in a
    /// row stand until one succeeds.
    pub(super) fn pass_trial(&mut self, generation: u64) {
        if self.generation == generation && matches!(self.state, State::Probing { .. }) {
            self.state = State::Ready;
        }
    }

    /// A lease of `generation` succeeded: what the token was benched for is forgotten, unless it failed since.
    pub(super) fn succeed(&mut self, generation: u64) {
        if self.generation == generation && self.state != State::Disabled {
            self.state = State::Ready;
            self.refusals = 0;
            self.rate_limits = 0;
        }
    }

    /// Everything held against the token is forgotten.
    pub(super) fn reset(&mut self) {
        self.generation += 1;
        self.state = State::Ready;
        self.refusals = 0;
        self.rate_limits = 0;
    }

    /// A lease of `generation` failed; true when that counts. Of many calls in flight on a token that dies, only the
    /// first does.
    pub(super) fn fail(&mut self, generation: u64, verdict: TokenVerdict, policy: &BenchPolicy) -> bool {
        if self.generation != generation {
            return self.fail_late(verdict, policy);
        }
        match verdict {
            TokenVerdict::Refused => self.refuse(policy),
            TokenVerdict::RateLimited(retry_after) => self.limit(retry_after, policy),
            TokenVerdict::Keep => return false,
        }
        true
    }

    /// A failure seen by a lease that is older than the last failure that counted: news only where it makes matters
    /// worse than they are known to be.
    fn fail_late(&mut self, verdict: TokenVerdict, policy: &BenchPolicy) -> bool {
        let State::Benched {
            reason: BenchReason::RateLimited,
            until,
            ..
        } = self.state
        else {
            return false;
        };
        match verdict {
            TokenVerdict::Refused => {
                self.refuse(policy);
                true
            }
            TokenVerdict::RateLimited(Some(wait)) => {
                self.bench(
                    BenchReason::RateLimited,
                    until.max(Instant::now() + wait.min(policy.cap)),
                );
                true
            }
            TokenVerdict::RateLimited(None) | TokenVerdict::Keep => false,
        }
    }

    fn refuse(&mut self, policy: &BenchPolicy) {
        self.count_failure();
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= policy.max_refusals {
            self.state = State::Disabled;
        } else {
            let wait = doubled(policy.cooldown, self.refusals, policy.cap);
            self.bench(BenchReason::Refused, Instant::now() + wait);
        }
    }

    fn limit(&mut self, retry_after: Option<Duration>, policy: &BenchPolicy) {
        self.count_failure();
        self.rate_limits = self.rate_limits.saturating_add(1);
        let wait = match retry_after {
            Some(wait) => wait.min(policy.cap),
            None => doubled(policy.rate_limit_first, self.rate_limits, policy.rate_limit_cap),
        };
        self.bench(BenchReason::RateLimited, Instant::now() + wait);
    }

    fn bench(&mut self, reason: BenchReason, until: Instant) {
        /// Trials are spread over this share of the bench.
        const SPREAD: f64 = 0.1;
        let wait = until.saturating_duration_since(Instant::now());
        self.state = State::Benched {
            reason,
            until,
            trial: until + wait.mul_f64(SPREAD * fastrand::f64()),
        };
    }

    fn count_failure(&mut self) {
        self.generation += 1;
        self.failures += 1;
    }

    pub(super) fn snapshot(&self, now: Instant, policy: &BenchPolicy) -> TokenSnapshot {
        let (state, reason, until) = match self.state {
            _ if self.is_expired(now) => (TokenState::Expired, None, None),
            State::Ready => (TokenState::Ready, None, None),
            State::Benched { reason, until, .. } => (TokenState::Benched, Some(reason), Some(until)),
            State::Probing { reason } => (TokenState::Probing, Some(reason), None),
            State::Disabled => (TokenState::Disabled, Some(BenchReason::Refused), None),
        };
        TokenSnapshot {
            token: self.token.clone(),
            state,
            reason,
            benched_for: until.map(|until| until.saturating_duration_since(now)),
            in_flight: self.in_flight,
            leases: self.leases,
            failures: self.failures,
            refusals: self.refusals,
            expires_at: self.token.expires_at(),
            warm: 0,
            obstacle: self.obstacle(now, policy),
        }
    }

    /// What a restart should know of this token; `None` when nothing is held against it.
    pub(super) fn save(&self) -> Option<SavedToken> {
        let (reason, until) = match self.state {
            State::Benched { reason, until, .. } => (Some(reason), Some(until)),
            State::Probing { reason } => (Some(reason), Some(Instant::now())),
            State::Disabled => (None, None),
            State::Ready => return None,
        };
        let until = until.map(|until| SystemTime::now() + until.saturating_duration_since(Instant::now()));
        Some(SavedToken {
            digest: self.token.digest(),
            benched: reason.zip(until),
            refusals: self.refusals,
            rate_limits: self.rate_limits,
        })
    }

    /// Takes over what an earlier run held against this token. No bench lasts longer than the policy's longest,
    /// whatever the clocks say.
    pub(super) fn restore(&mut self, saved: &SavedToken, policy: &BenchPolicy) {
        self.refusals = saved.refusals;
        self.rate_limits = saved.rate_limits;
        match saved.benched {
            None => self.state = State::Disabled,
            Some((reason, until)) => {
                let wait = until.duration_since(SystemTime::now()).unwrap_or_default();
                self.bench(reason, Instant::now() + wait.min(policy.cap));
            }
        }
    }
}

/// `first` for the first time, twice that for the second, and so on up to `cap`.
fn doubled(first: Duration, times: u32, cap: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(times.saturating_sub(1));
    first.saturating_mul(factor).min(cap)
}
