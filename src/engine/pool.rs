//! The token pool: which token serves the next chat, and what a token's failures cost it.
//!
//! Nothing here waits or calls out: every method takes the one lock, decides, and returns.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

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
pub enum BenchReason {
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
struct Slot {
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

/// A token's place in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId(usize);

/// Which tokens a chat has been through.
#[derive(Debug, Default)]
pub struct Trail {
    barred: HashSet<SlotId>,
    tried: HashSet<SlotId>,
}

impl Trail {
    /// The token was at fault: it is not picked again in this chat.
    pub fn bar(&mut self, slot: SlotId) {
        self.barred.insert(slot);
    }

    /// The token was tried in vain without being at fault: others are preferred.
    pub fn tried(&mut self, slot: SlotId) {
        self.tried.insert(slot);
    }
}

/// Why there is no token to lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoToken {
    /// The pool was configured without tokens.
    Empty,
    /// The upstream refuses every one of them.
    AllRefused,
    /// All are out of use, at least one only for a while.
    Exhausted {
        /// Until the soonest is back.
        retry_after: Duration,
    },
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

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    lease_count: u64,
}

/// All tokens, behind one lock. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TokenPool {
    slots: Arc<Mutex<Slots>>,
    policy: BenchPolicy,
}

impl TokenPool {
    /// A pool of `tokens`, all ready.
    #[must_use]
    pub fn new(tokens: Vec<Token>, policy: BenchPolicy) -> Self {
        let slots = tokens
            .into_iter()
            .map(|token| Slot {
                token,
                state: State::Ready,
                in_flight: 0,
                last_used: 0,
                generation: 0,
                refusals: 0,
                rate_limits: 0,
                leases: 0,
                failures: 0,
            })
            .collect();
        Self {
            slots: Arc::new(Mutex::new(Slots {
                slots,
                lease_count: 0,
            })),
            policy,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Every change under this lock is complete before it could panic, so a poisoned lock guards sound data.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases the token with the fewest chats in flight, among equals the longest unused one. Tokens that this chat
    /// has tried come last, those that were at fault in it not at all.
    ///
    /// # Errors
    /// When no token can be had; it never waits for one.
    pub fn lease(&self, trail: &Trail) -> Result<Lease, NoToken> {
        let now = Instant::now();
        let mut pool = self.lock();
        let best = pool
            .slots
            .iter()
            .enumerate()
            .filter(|(index, slot)| slot.is_usable(now) && !trail.barred.contains(&SlotId(*index)))
            .min_by_key(|(index, slot)| {
                (
                    trail.tried.contains(&SlotId(*index)),
                    slot.in_flight,
                    slot.last_used,
                )
            })
            .map(|(index, _)| index);
        let Some(index) = best else {
            return Err(pool.why_none(now));
        };
        pool.lease_count += 1;
        let number = pool.lease_count;
        let Some(slot) = pool.slots.get_mut(index) else {
            return Err(NoToken::Empty);
        };
        let probes = if let State::Benched { reason, .. } = slot.state {
            slot.state = State::Probing { reason };
            true
        } else {
            false
        };
        slot.in_flight += 1;
        slot.last_used = number;
        slot.leases += 1;
        Ok(Lease {
            pool: self.clone(),
            slot: SlotId(index),
            token: slot.token.clone(),
            generation: slot.generation,
            probes,
        })
    }

    /// Every token, in the configured order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<TokenSnapshot> {
        let now = Instant::now();
        self.lock().slots.iter().map(|slot| slot.snapshot(now)).collect()
    }

    fn settle(&self, slot: SlotId, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.lock().slots.get_mut(slot.0) {
            change(slot);
        }
    }
}

impl Slots {
    fn why_none(&self, now: Instant) -> NoToken {
        if self.slots.is_empty() {
            return NoToken::Empty;
        }
        // A token that is ready, but was at fault in this chat, or is being probed, may be back at any moment.
        const ANY_MOMENT: Duration = Duration::from_secs(1);
        let soonest = self
            .slots
            .iter()
            .filter_map(|slot| match slot.state {
                State::Ready
                | State::Probing {
                    reason: BenchReason::RateLimited,
                } => Some(ANY_MOMENT),
                State::Benched {
                    reason: BenchReason::RateLimited,
                    until,
                } => Some(until.saturating_duration_since(now)),
                State::Benched {
                    reason: BenchReason::Refused,
                    ..
                }
                | State::Probing {
                    reason: BenchReason::Refused,
                }
                | State::Disabled => None,
            })
            .min();
        match soonest {
            Some(retry_after) => NoToken::Exhausted { retry_after },
            None => NoToken::AllRefused,
        }
    }
}

impl Slot {
    fn is_usable(&self, now: Instant) -> bool {
        match self.state {
            State::Ready => true,
            State::Benched { until, .. } => until <= now,
            State::Probing { .. } | State::Disabled => false,
        }
    }

    fn snapshot(&self, now: Instant) -> TokenSnapshot {
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

    fn refuse(&mut self, policy: &BenchPolicy) {
        self.fail();
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

    fn limit(&mut self, policy: &BenchPolicy, retry_after: Option<Duration>) {
        self.fail();
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

    fn fail(&mut self) {
        self.generation += 1;
        self.failures += 1;
    }

    /// A failure seen by a lease that is older than the last failure that counted: news only where it makes matters
    /// worse than they are known to be.
    fn fail_late(&mut self, policy: &BenchPolicy, verdict: TokenVerdict) {
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
}

/// `first` for the first time, twice that for the second, and so on up to `cap`.
fn doubled(first: Duration, times: u32, cap: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(times.saturating_sub(1));
    first.saturating_mul(factor).min(cap)
}

/// The right to use one token for one attempt. Dropping it gives the token back; a lease that was never judged says
/// nothing about its token.
#[derive(Debug)]
pub struct Lease {
    pool: TokenPool,
    slot: SlotId,
    token: Token,
    generation: u64,
    probes: bool,
}

impl Lease {
    /// The token.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The token's place in the pool.
    #[must_use]
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// The token did its work: what it was benched for is forgotten, unless it failed again meanwhile.
    pub fn succeeded(&mut self) {
        self.probes = false;
        self.pool.settle(self.slot, |slot| {
            if slot.generation == self.generation && slot.state != State::Disabled {
                slot.state = State::Ready;
                slot.refusals = 0;
                slot.rate_limits = 0;
            }
        });
    }

    /// The attempt failed, and this is what it means for the token.
    pub fn failed(&mut self, verdict: TokenVerdict) {
        let policy = self.pool.policy;
        let generation = self.generation;
        if verdict == TokenVerdict::Keep {
            return; // a probe that met another fault has proved nothing; Drop puts it back
        }
        self.probes = false;
        self.pool.settle(self.slot, |slot| {
            if slot.generation != generation {
                return slot.fail_late(&policy, verdict);
            }
            match verdict {
                TokenVerdict::Refused => slot.refuse(&policy),
                TokenVerdict::RateLimited(retry_after) => slot.limit(&policy, retry_after),
                TokenVerdict::Keep => {}
            }
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (generation, probes) = (self.generation, self.probes);
        self.pool.settle(self.slot, |slot| {
            slot.in_flight = slot.in_flight.saturating_sub(1);
            if probes
                && slot.generation == generation
                && let State::Probing { reason } = slot.state
            {
                slot.state = State::Benched {
                    reason,
                    until: Instant::now(),
                };
            }
        });
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
