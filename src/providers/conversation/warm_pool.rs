//! The warm pool of one account: conversations that are made in advance, so that a chat pays two round trips and not
//! five.
//!
//! It adapts to the rate of use: as many are kept as chats used the account within the time that one keeps, up to the
//! limit. What is not used any more runs out by itself and is not replaced.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::state::ConversationRef;

/// The size of a warm pool, and how long a conversation stays in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmPoolPolicy {
    /// The most conversations of one account; 0 for none.
    pub limit: usize,
    /// The age at which one is removed.
    pub ttl: Duration,
}

/// Tells whether a conversation that is being made is still wanted when it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// The pool of one account.
#[derive(Debug, Default)]
pub(super) struct WarmPool {
    /// The oldest first.
    ready: VecDeque<(ConversationRef, Instant)>,
    /// When chats used the account; no more of them than are kept ready at most.
    uses: VecDeque<Instant>,
    filling: bool,
    epoch: u64,
    /// Nothing is put in any more.
    closed: bool,
}

impl WarmPool {
    /// Takes the oldest that has not expired. Expired ones stay for [`WarmPool::expired`].
    pub(super) fn take(&mut self, policy: WarmPoolPolicy) -> Option<ConversationRef> {
        let now = Instant::now();
        let index = self
            .ready
            .iter()
            .position(|(_, made)| now.duration_since(*made) < policy.ttl)?;
        self.ready.remove(index).map(|(reference, _)| reference)
    }

    /// A chat used the account.
    pub(super) fn note_use(&mut self, policy: WarmPoolPolicy) {
        self.uses.push_back(Instant::now());
        while self.uses.len() > policy.limit {
            self.uses.pop_front();
        }
    }

    /// Whether one more is wanted and nobody makes one yet; from then on somebody does.
    pub(super) fn begin_filling(&mut self, policy: WarmPoolPolicy) -> Option<Epoch> {
        if self.closed || self.filling || self.ready.len() >= self.wanted(policy) {
            return None;
        }
        self.filling = true;
        Some(Epoch(self.epoch))
    }

    /// Puts one in that was made; hands it back where it is not wanted any more.
    pub(super) fn put(
        &mut self,
        reference: ConversationRef,
        epoch: Epoch,
        policy: WarmPoolPolicy,
    ) -> Result<(), ConversationRef> {
        if epoch.0 != self.epoch || self.ready.len() >= policy.limit {
            return Err(reference);
        }
        self.ready.push_back((reference, Instant::now()));
        Ok(())
    }

    /// Whether the one who fills should go on; if not, another may begin.
    pub(super) fn goes_on_filling(&mut self, epoch: Epoch, policy: WarmPoolPolicy) -> bool {
        if epoch.0 != self.epoch {
            return false; // whoever emptied it has ended the filling as well
        }
        self.filling = self.ready.len() < self.wanted(policy);
        self.filling
    }

    /// The one who fills gives up.
    pub(super) fn stop_filling(&mut self, epoch: Epoch) {
        if epoch.0 == self.epoch {
            self.filling = false;
        }
    }

    /// Takes out what has stood too long, or is more than there should be.
    pub(super) fn expired(&mut self, policy: WarmPoolPolicy) -> Vec<ConversationRef> {
        let now = Instant::now();
        let mut expired = Vec::new();
        while let Some((_, made)) = self.ready.front()
            && (now.duration_since(*made) >= policy.ttl || self.ready.len() > policy.limit)
        {
            expired.extend(self.ready.pop_front().map(|(reference, _)| reference));
        }
        expired
    }

    /// When the next one expires.
    pub(super) fn next_expiry(&self, policy: WarmPoolPolicy) -> Option<Instant> {
        self.ready
            .front()
            .and_then(|(_, made)| made.checked_add(policy.ttl))
    }

    /// Empties it, and forgets the use: its token is out of use, or the process ends.
    pub(super) fn empty(&mut self) -> Vec<ConversationRef> {
        self.epoch += 1;
        self.filling = false;
        self.uses.clear();
        self.ready.drain(..).map(|(reference, _)| reference).collect()
    }

    /// Empties it for good: its token has left the pool.
    pub(super) fn close(&mut self) -> Vec<ConversationRef> {
        self.closed = true;
        self.empty()
    }

    /// How many stand ready.
    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    fn wanted(&self, policy: WarmPoolPolicy) -> usize {
        let now = Instant::now();
        let recent = self
            .uses
            .iter()
            .filter(|at| now.duration_since(**at) < policy.ttl);
        recent.count().min(policy.limit)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::state::RemoteId;

    const POLICY: WarmPoolPolicy = WarmPoolPolicy {
        limit: 2,
        ttl: Duration::from_secs(300),
    };

    fn conversation(id: u64) -> ConversationRef {
        ConversationRef {
            project: RemoteId::Unsigned(1),
            conversation: RemoteId::Unsigned(id),
        }
    }

    /// Fills as far as is wanted, and tells how many that made.
    fn fill(pool: &mut WarmPool) -> u64 {
        let Some(epoch) = pool.begin_filling(POLICY) else {
            return 0;
        };
        let mut made = 0;
        loop {
            pool.put(conversation(made), epoch, POLICY).unwrap();
            made += 1;
            if !pool.goes_on_filling(epoch, POLICY) {
                return made;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_as_many_as_were_lately_used_and_no_more_than_the_limit() {
        let mut pool = WarmPool::default();
        assert_eq!(fill(&mut pool), 0, "an account that nobody uses keeps none");
        pool.note_use(POLICY);
        assert_eq!(fill(&mut pool), 1);
        (0..10).for_each(|_| pool.note_use(POLICY));
        assert_eq!(fill(&mut pool), 1);
        assert_eq!(pool.len(), 2);
        advance(POLICY.ttl).await;
        assert_eq!(pool.take(POLICY), None, "too old");
        assert_eq!(pool.expired(POLICY).len(), 2);
        assert_eq!(fill(&mut pool), 0, "what nobody uses is not replaced");
        pool.note_use(POLICY);
        assert_eq!(fill(&mut pool), 1, "it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_first_and_expires_first() {
        let mut pool = WarmPool::default();
        (0..2).for_each(|_| pool.note_use(POLICY));
        let epoch = pool.begin_filling(POLICY).unwrap();
        pool.put(conversation(1), epoch, POLICY).unwrap();
        let first = Instant::now();
        advance(Duration::from_secs(10)).await;
        pool.put(conversation(2), epoch, POLICY).unwrap();
        assert_eq!(pool.next_expiry(POLICY), Some(first + POLICY.ttl));
        assert_eq!(pool.take(POLICY), Some(conversation(1)));
        assert_eq!(pool.take(POLICY), Some(conversation(2)));
        assert_eq!(pool.take(POLICY), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_closed_takes_nothing_any_more() {
        let mut pool = WarmPool::default();
        pool.note_use(POLICY);
        let epoch = pool.begin_filling(POLICY).unwrap();
        assert_eq!(pool.close(), []);
        assert_eq!(pool.put(conversation(1), epoch, POLICY), Err(conversation(1)));
        pool.note_use(POLICY);
        assert_eq!(pool.begin_filling(POLICY), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_being_made_when_it_was_emptied_is_not_wanted() {
        let mut pool = WarmPool::default();
        pool.note_use(POLICY);
        let old = pool.begin_filling(POLICY).unwrap();
        assert_eq!(pool.begin_filling(POLICY), None, "one makes it");
        assert_eq!(pool.empty(), []);
        pool.note_use(POLICY);
        let new = pool.begin_filling(POLICY).unwrap();
        assert_eq!(pool.put(conversation(1), old, POLICY), Err(conversation(1)));
        assert!(!pool.goes_on_filling(old, POLICY));
        pool.stop_filling(old);
        assert_eq!(pool.begin_filling(POLICY), None, "the new one still makes it");
        pool.put(conversation(2), new, POLICY).unwrap();
        assert!(!pool.goes_on_filling(new, POLICY));
    }
}
