//! One token's place in the pool: its state, and what each failure and success makes of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{upstream::Token, verdict::TokenVerdict};

/// How long failures keep a token out of use.
#[derive(Debug, Clone, Copy)]
pub struct BenchPolicy {
    /// The first bench of a token that the upstream refused; doubles with each refusal in a row.
    pub cooldown: Duration,
    /// No bench lasts longer, whatever the upstream asks for.
    pub cap: Duration,
    /// A token refused this often in a row is disabled for good.
    pub max_refusals: u32,
    /// The first bench of a token that was rate limited without a `Retry-After`; doubles.
    pub rate_limit_first: Duration,
    /// The longest such bench.
    pub rate_limit_cap: Duration,
}

impl Default for BenchPolicy {
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(600),
            cap: Duration::from_secs(3600),
            max_refusals: 5,
            rate_limit_first: Duration::from_secs(1),
            rate_limit_cap: Duration::from_secs(60),
        }
    }
}

/// Why a token sits on the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BenchReason {
    /// The upstream refused it (401, 403).
    Refused,
    /// The upstream limited its rate (429).
    RateLimited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Out of use until then; after that, one chat may try it.
    Benched {
        reason: BenchReason,
        until: Instant,
    },
    /// Its time on the bench is over and one chat is trying it.
    Probing {
        reason: BenchReason,
    },
    Disabled,
}

#[derive(Debug)]
pub(super) struct Slot {
    token: Token,
    state: State,
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

/// One token, as health pages tell it.
#[derive(Debug, Clone)]
pub struct TokenSnapshot {
    /// The token's short hash.
    pub label: Arc<str>,
    /// `ready`, `benched`, `probing` or `disabled`.
    pub state: &'static str,
    /// Why it is on the bench.
    pub reason: Option<&'static str>,
    /// Until it may be tried again.
    pub benched_for: Option<Duration>,
    /// Chats that hold it now.
    pub in_flight: usize,
    /// Chats that it was given to.
    pub leases: u64,
    /// Failures that counted against it.
    pub failures: u64,
}

impl TokenSnapshot {
    /// Whether a chat could be given this token now.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == "ready" || self.benched_for.is_some_and(|wait| wait.is_zero())
    }
}

impl Slot {
    /// A token that is ready.
    pub(super) fn new(token: Token) -> Self {
        Self {
            token,
            state: State::Ready,
            in_flight: 0,
            last_used: 0,
            generation: 0,
            refusals: 0,
            rate_limits: 0,
            leases: 0,
            failures: 0,
        }
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_usable(&self, now: Instant) -> bool {
        match self.state {
            State::Ready => true,
            State::Benched { until, .. } => until <= now,
            State::Probing { .. } | State::Disabled => false,
        }
    }

    /// Among usable tokens the one with the smallest is next: fewest chats in flight, then longest unused.
    pub(super) fn precedence(&self) -> (usize, u64) {
        (self.in_flight, self.last_used)
    }

    /// Until this token may be of use, unless the upstream refuses it.
    pub(super) fn back_in(&self, now: Instant) -> Option<Duration> {
        /// A token that is ready but was at fault in this chat, or is being tried, may be back at any moment.
        const ANY_MOMENT: Duration = Duration::from_secs(1);
        match self.state {
            State::Ready => Some(ANY_MOMENT),
            State::Benched { reason, until } => {
                (reason == BenchReason::RateLimited).then(|| until.saturating_duration_since(now))
            }
            State::Probing { reason } => (reason == BenchReason::RateLimited).then_some(ANY_MOMENT),
            State::Disabled => None,
        }
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
        if undecided_trial
            && self.generation == generation
            && let State::Probing { reason } = self.state
        {
            self.state = State::Benched {
                reason,
                until: Instant::now(),
            };
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

    /// A lease of `generation` failed. Of many calls in flight on a token that dies, only the first counts.
    pub(super) fn fail(&mut self, generation: u64, verdict: TokenVerdict, policy: &BenchPolicy) {
        if self.generation != generation {
            return self.fail_late(verdict, policy);
        }
        match verdict {
            TokenVerdict::Refused => self.refuse(policy),
            TokenVerdict::RateLimited(retry_after) => self.limit(retry_after, policy),
            TokenVerdict::Keep => {}
        }
    }

    /// A failure seen by a lease that is older than the last failure that counted: news only where it makes matters
    /// worse than they are known to be.
    fn fail_late(&mut self, verdict: TokenVerdict, policy: &BenchPolicy) {
        let State::Benched {
            reason: BenchReason::RateLimited,
            until,
        } = self.state
        else {
            return;
        };
        match verdict {
            TokenVerdict::Refused => self.refuse(policy),
            TokenVerdict::RateLimited(Some(wait)) => {
                let until = until.max(Instant::now() + wait.min(policy.cap));
                self.state = State::Benched {
                    reason: BenchReason::RateLimited,
                    until,
                };
            }
            TokenVerdict::RateLimited(None) | TokenVerdict::Keep => {}
        }
    }

    fn refuse(&mut self, policy: &BenchPolicy) {
        self.count_failure();
        self.refusals = self.refusals.saturating_add(1);
        self.state = if self.refusals >= policy.max_refusals {
            State::Disabled
        } else {
            let wait = doubled(policy.cooldown, self.refusals, policy.cap);
            State::Benched {
                reason: BenchReason::Refused,
                until: Instant::now() + wait,
            }
        };
    }

    fn limit(&mut self, retry_after: Option<Duration>, policy: &BenchPolicy) {
        self.count_failure();
        self.rate_limits = self.rate_limits.saturating_add(1);
        let wait = match retry_after {
            Some(wait) => wait.min(policy.cap),
            None => doubled(policy.rate_limit_first, self.rate_limits, policy.rate_limit_cap),
        };
        self.state = State::Benched {
            reason: BenchReason::RateLimited,
            until: Instant::now() + wait,
        };
    }

    fn count_failure(&mut self) {
        self.generation += 1;
        self.failures += 1;
    }

    pub(super) fn snapshot(&self, now: Instant) -> TokenSnapshot {
        let (state, reason, until) = match self.state {
            State::Ready => ("ready", None, None),
            State::Benched { reason, until } => ("benched", Some(reason), Some(until)),
            State::Probing { reason } => ("probing", Some(reason), None),
            State::Disabled => ("disabled", Some(BenchReason::Refused), None),
        };
        TokenSnapshot {
            label: Arc::clone(self.token.label()),
            state,
            reason: reason.map(|reason| match reason {
                BenchReason::Refused => "refused",
                BenchReason::RateLimited => "rate_limited",
            }),
            benched_for: until.map(|until| until.saturating_duration_since(now)),
            in_flight: self.in_flight,
            leases: self.leases,
            failures: self.failures,
        }
    }
}

/// `first` for the first time, twice that for the second, and so on up to `cap`.
fn doubled(first: Duration, times: u32, cap: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(times.saturating_sub(1));
    first.saturating_mul(factor).min(cap)
}
