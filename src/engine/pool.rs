//! The token pool: which token serves the next chat, and what a token's failures cost it.
//!
//! Nothing here waits or calls out: every method takes the one lock, decides, and returns.

mod lease;

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

pub(super) use lease::{Lease, Trial};

use super::{
    bench::{BenchPolicy, BenchReason},
    provider::Token,
    slot::{Obstacle, Slot, TokenSnapshot},
    store::SavedToken,
    verdict::TokenVerdict,
};

/// A token's place in the pool; never given to another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SlotId(u64);

/// Which tokens a chat has been through.
#[derive(Debug, Default)]
pub(super) struct TriedTokens {
    barred: HashSet<SlotId>,
    tried: HashSet<SlotId>,
}

impl TriedTokens {
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
    /// The pool has no tokens.
    Empty,
    /// The upstream refuses every one of them, or they are over.
    AllRefused,
    /// Every token that could be used is held by as many chats as may.
    Full,
    /// All are out of use, at least one only for a while.
    Exhausted {
        /// Until the soonest is back.
        retry_after: Duration,
    },
}

#[derive(Debug)]
struct Slots {
    /// In the order of their ids, which is the order they came in.
    slots: Vec<(SlotId, Slot)>,
    next_id: u64,
    lease_count: u64,
    policy: BenchPolicy,
    /// Goes up with each change of a token's state.
    version: u64,
}

/// All tokens, behind one lock. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct TokenPool {
    slots: Arc<Mutex<Slots>>,
    /// Told whenever a token's state has changed.
    changed: Arc<Notify>,
}

impl TokenPool {
    /// A pool of `tokens`, all ready.
    #[must_use]
    pub(super) fn new(tokens: Vec<Token>, policy: BenchPolicy) -> Self {
        let mut slots = Slots {
            slots: Vec::new(),
            next_id: 0,
            lease_count: 0,
            policy,
            version: 0,
        };
        for token in tokens {
            slots.add(token);
        }
        Self {
            slots: Arc::new(Mutex::new(slots)),
            changed: Arc::default(),
        }
    }

    /// Leases the token with the fewest chats in flight, among equals the longest unused one. Tokens that this chat
    /// has tried come last, those that were at fault in it not at all.
    ///
    /// # Errors
    /// When no token can be had; it never waits for one.
    pub(super) fn lease(&self, tried: &TriedTokens) -> Result<Lease, NoToken> {
        let now = Instant::now();
        let mut pool = self.slots.lock();
        let number = pool.lease_count + 1;
        let Some((id, slot)) = pool.best(tried, now) else {
            return Err(pool.why_none(now));
        };
        let lease = self.take(id, slot, number);
        pool.lease_count = number;
        Ok(lease)
    }

    /// Leases this very token; `None` when it has left the pool or cannot be used now.
    pub(super) fn lease_of(&self, token: &Token) -> Option<Lease> {
        let now = Instant::now();
        let mut pool = self.slots.lock();
        let (number, policy) = (pool.lease_count + 1, pool.policy);
        let index = pool.find_token(&token.digest())?;
        let (id, slot) = pool.slots.get_mut(index)?;
        if slot.obstacle(now, &policy).is_some() {
            return None;
        }
        let lease = self.take(*id, slot, number);
        pool.lease_count = number;
        Some(lease)
    }

    fn take(&self, id: SlotId, slot: &mut Slot, number: u64) -> Lease {
        Lease {
            pool: self.clone(),
            slot: id,
            token: slot.token().clone(),
            generation: slot.generation(),
            undecided_trial: slot.take(number),
        }
    }

    /// The token that the next chat would get, or why it would get none; and every token as it stood at that moment.
    pub(super) fn explain(&self) -> (Result<Token, NoToken>, Vec<TokenSnapshot>) {
        let now = Instant::now();
        let mut pool = self.slots.lock();
        let best = pool.best(&TriedTokens::default(), now);
        let next = best.map(|(_, slot)| slot.token().clone());
        let next = next.ok_or_else(|| pool.why_none(now));
        let slots = pool.slots.iter();
        let tokens = slots.map(|(_, slot)| slot.snapshot(now, &pool.policy));
        (next, tokens.collect())
    }

    /// Every token, in the order they came.
    #[must_use]
    pub(super) fn snapshot(&self) -> Vec<TokenSnapshot> {
        let now = Instant::now();
        let pool = self.slots.lock();
        let slots = pool.slots.iter();
        slots.map(|(_, slot)| slot.snapshot(now, &pool.policy)).collect()
    }

    /// Adds a token, ready; false when it is there already.
    pub(super) fn add(&self, token: Token) -> bool {
        let mut pool = self.slots.lock();
        let is_new = pool.find_token(&token.digest()).is_none();
        if is_new {
            pool.add(token);
        }
        is_new
    }

    /// Takes a token out. Chats that hold it go on.
    pub(super) fn remove(&self, digest: &[u8; 32]) -> Option<Token> {
        let mut pool = self.slots.lock();
        let index = pool.find_token(digest)?;
        let (_, slot) = pool.slots.remove(index);
        pool.version += 1;
        drop(pool);
        self.changed.notify_one();
        Some(slot.token().clone())
    }

    /// Forgets everything that is held against a token; false when there is no such token.
    pub(super) fn reset(&self, digest: &[u8; 32]) -> bool {
        self.settle_token(digest, |slot, _| slot.reset())
    }

    /// Changes what failures cost from now on; benches that run go on.
    pub(super) fn set_policy(&self, policy: BenchPolicy) {
        self.slots.lock().policy = policy;
    }

    /// Goes up with each change of a token's state.
    #[must_use]
    pub(super) fn version(&self) -> u64 {
        self.slots.lock().version
    }

    /// What a restart should know.
    #[must_use]
    pub(super) fn save(&self) -> Vec<SavedToken> {
        let pool = self.slots.lock();
        pool.slots.iter().filter_map(|(_, slot)| slot.save()).collect()
    }

    /// Every token itself.
    #[must_use]
    pub(super) fn tokens(&self) -> Vec<Token> {
        let pool = self.slots.lock();
        pool.slots.iter().map(|(_, slot)| slot.token().clone()).collect()
    }

    /// Takes over what an earlier run held against the tokens that are here.
    pub(super) fn restore(&self, saved: &[SavedToken]) {
        let mut pool = self.slots.lock();
        let policy = pool.policy;
        for saved in saved {
            let index = pool.find_token(&saved.digest);
            if let Some((_, slot)) = index.and_then(|index| pool.slots.get_mut(index)) {
                slot.restore(saved, &policy);
            }
        }
    }

    /// Resolves when a token's state has changed since the last time this resolved.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// When the next token should be tried in the background.
    #[must_use]
    pub(super) fn next_trial(&self) -> Option<Instant> {
        let now = Instant::now();
        let pool = self.slots.lock();
        pool.slots.iter().filter_map(|(_, slot)| slot.trial_at(now)).min()
    }

    /// Begins the trials that are due. Each holds its token apart until it is judged or dropped.
    #[must_use]
    pub(super) fn due_trials(&self) -> Vec<Trial> {
        let now = Instant::now();
        let mut pool = self.slots.lock();
        let due = pool.slots.iter_mut();
        let due = due.filter(|(_, slot)| slot.trial_at(now).is_some_and(|at| at <= now));
        due.map(|(id, slot)| {
            slot.begin_trial();
            Trial {
                pool: self.clone(),
                slot: *id,
                token: slot.token().clone(),
                generation: slot.generation(),
                again_in: Duration::ZERO,
            }
        })
        .collect()
    }

    /// The token of that digest.
    #[must_use]
    pub(super) fn find(&self, digest: &[u8; 32]) -> Option<Token> {
        let pool = self.slots.lock();
        let (_, slot) = pool.slots.get(pool.find_token(digest)?)?;
        Some(slot.token().clone())
    }

    /// A call outside any chat told this of the token.
    pub(super) fn judge(&self, digest: &[u8; 32], verdict: TokenVerdict) {
        self.settle_token(digest, |slot, policy| {
            slot.fail(slot.generation(), verdict, policy);
        });
    }

    /// Changes one token's place, and tells whoever waits for that when its state is another afterwards.
    fn settle<T>(&self, id: SlotId, change: impl FnOnce(&mut Slot, &BenchPolicy) -> T) -> Option<T> {
        let mut pool = self.slots.lock();
        let policy = pool.policy;
        let index = pool.slots.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let (_, slot) = pool.slots.get_mut(index)?;
        let before = slot.standing();
        let result = change(slot, &policy);
        if slot.standing() != before {
            pool.version += 1;
            drop(pool);
            self.changed.notify_one();
        }
        Some(result)
    }

    /// As `settle`, for the token of that digest.
    fn settle_token(&self, digest: &[u8; 32], change: impl FnOnce(&mut Slot, &BenchPolicy)) -> bool {
        let pool = self.slots.lock();
        let found = pool.find_token(digest);
        let id = found.and_then(|index| pool.slots.get(index)).map(|(id, _)| *id);
        drop(pool);
        id.is_some_and(|id| self.settle(id, change).is_some())
    }
}

impl Slots {
    fn add(&mut self, token: Token) {
        self.slots.push((SlotId(self.next_id), Slot::new(token)));
        self.next_id += 1;
    }

    fn find_token(&self, digest: &[u8; 32]) -> Option<usize> {
        self.slots
            .iter()
            .position(|(_, slot)| slot.token().digest() == *digest)
    }

    fn best(&mut self, tried: &TriedTokens, now: Instant) -> Option<(SlotId, &mut Slot)> {
        let policy = self.policy;
        self.slots
            .iter_mut()
            .filter(|(id, slot)| slot.obstacle(now, &policy).is_none() && !tried.barred.contains(id))
            .min_by_key(|(id, slot)| (tried.tried.contains(id), slot.precedence()))
            .map(|(id, slot)| (*id, slot))
    }

    fn why_none(&self, now: Instant) -> NoToken {
        /// A token that was at fault in this chat only, or is being tried, may be of use at any moment.
        const ANY_MOMENT: Duration = Duration::from_secs(1);
        if self.slots.is_empty() {
            return NoToken::Empty;
        }
        let mut soonest: Option<Duration> = None;
        let mut full = false;
        for (_, slot) in &self.slots {
            let back_in = match slot.obstacle(now, &self.policy) {
                Some(Obstacle::Full) => {
                    full = true;
                    continue;
                }
                None | Some(Obstacle::Probing(BenchReason::RateLimited)) => ANY_MOMENT,
                Some(Obstacle::Benched(BenchReason::RateLimited, wait)) => wait,
                Some(
                    Obstacle::Expired
                    | Obstacle::Disabled
                    | Obstacle::Benched(BenchReason::Refused, _)
                    | Obstacle::Probing(BenchReason::Refused),
                ) => continue,
            };
            soonest = Some(soonest.map_or(back_in, |known| known.min(back_in)));
        }
        match soonest {
            _ if full => NoToken::Full,
            Some(retry_after) => NoToken::Exhausted { retry_after },
            None => NoToken::AllRefused,
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
