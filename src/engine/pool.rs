//! The token pool: which token serves the next chat, and what a token's failures cost it.
//!
//! Nothing here waits or calls out: every method takes the one lock, decides, and returns.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    slot::{BenchPolicy, Slot, TokenSnapshot},
    upstream::Token,
    verdict::TokenVerdict,
};

/// A token's place in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SlotId(usize);

/// Which tokens a chat has been through.
#[derive(Debug, Default)]
pub(super) struct Trail {
    barred: HashSet<SlotId>,
    tried: HashSet<SlotId>,
}

impl Trail {
    /// The token was at fault: it is not picked again in this chat.
    pub(super) fn bar(&mut self, slot: SlotId) {
        self.barred.insert(slot);
    }

    /// The token was tried in vain without being at fault: others are preferred.
    pub(super) fn tried(&mut self, slot: SlotId) {
        self.tried.insert(slot);
    }
}

/// Why there is no token to lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoToken {
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

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    lease_count: u64,
}

/// All tokens, behind one lock. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct TokenPool {
    slots: Arc<Mutex<Slots>>,
    policy: BenchPolicy,
}

impl TokenPool {
    /// A pool of `tokens`, all ready.
    #[must_use]
    pub(super) fn new(tokens: Vec<Token>, policy: BenchPolicy) -> Self {
        let slots = tokens.into_iter().map(Slot::new).collect();
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
    pub(super) fn lease(&self, trail: &Trail) -> Result<Lease, NoToken> {
        let now = Instant::now();
        let mut pool = self.lock();
        let best = pool
            .slots
            .iter()
            .enumerate()
            .filter(|(index, slot)| slot.is_usable(now) && !trail.barred.contains(&SlotId(*index)))
            .min_by_key(|(index, slot)| (trail.tried.contains(&SlotId(*index)), slot.precedence()))
            .map(|(index, _)| index);
        let number = pool.lease_count + 1;
        let Some((index, slot)) = best.and_then(|index| Some((index, pool.slots.get_mut(index)?))) else {
            return Err(pool.why_none(now));
        };
        let lease = Lease {
            pool: self.clone(),
            slot: SlotId(index),
            token: slot.token().clone(),
            generation: slot.generation(),
            undecided_trial: slot.take(number),
        };
        pool.lease_count = number;
        Ok(lease)
    }

    /// Every token, in the configured order.
    #[must_use]
    pub(super) fn snapshot(&self) -> Vec<TokenSnapshot> {
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
        let soonest = self.slots.iter().filter_map(|slot| slot.back_in(now)).min();
        match soonest {
            Some(retry_after) => NoToken::Exhausted { retry_after },
            None => NoToken::AllRefused,
        }
    }
}

/// The right to use one token for one attempt. Dropping it gives the token back; a lease that was never judged says
/// nothing about its token.
#[derive(Debug)]
pub(super) struct Lease {
    pool: TokenPool,
    slot: SlotId,
    token: Token,
    generation: u64,
    /// It tries a benched token, and nothing has been proved yet.
    undecided_trial: bool,
}

impl Lease {
    /// The token.
    #[must_use]
    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// The token's place in the pool.
    #[must_use]
    pub(super) fn slot(&self) -> SlotId {
        self.slot
    }

    /// The token did its work: what it was benched for is forgotten, unless it failed again meanwhile.
    pub(super) fn succeeded(&mut self) {
        self.undecided_trial = false;
        self.pool.settle(self.slot, |slot| slot.succeed(self.generation));
    }

    /// The attempt failed, and this is what it means for the token. A fault that is not the token's decides nothing.
    pub(super) fn failed(&mut self, verdict: TokenVerdict) {
        self.undecided_trial &= verdict == TokenVerdict::Keep;
        let policy = self.pool.policy;
        self.pool
            .settle(self.slot, |slot| slot.fail(self.generation, verdict, &policy));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.settle(self.slot, |slot| {
            slot.give_back(self.undecided_trial, self.generation);
        });
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
