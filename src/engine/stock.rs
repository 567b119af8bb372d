//! The warm stock of one account: conversations that stand ready, so that a chat pays two round trips and not five.
//!
//! It adapts to the rate of use: as many are kept as chats used the account within the time that one keeps, up to the
//! limit. What is not used any more runs out by itself and is not replaced.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::upstream::ConversationRef;

/// How much is kept ready, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockPolicy {
    /// The most that one account keeps; 0 keeps none.
    pub limit: usize,
    /// How long one may stand.
    pub ttl: Duration,
}

/// Tells whether a conversation that is being made is still wanted when it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// The stock of one account.
#[derive(Debug, Default)]
pub(super) struct Stock {
    /// The oldest first.
    ready: VecDeque<(ConversationRef, Instant)>,
    /// When chats used the account; no more of them than are kept ready at most.
    uses: VecDeque<Instant>,
    filling: bool,
    epoch: u64,
    /// Nothing is put in any more.
    closed: bool,
}

impl Stock {
    /// Takes the oldest that has not expired. Expired ones stay for [`Stock::expired`].
    pub(super) fn take(&mut self, policy: StockPolicy) -> Option<ConversationRef> {
        let now = Instant::now();
        let index = self
            .ready
            .iter()
            .position(|(_, made)| now.duration_since(*made) < policy.ttl)?;
        self.ready.remove(index).map(|(reference, _)| reference)
    }

    /// A chat used the account.
    pub(super) fn note_use(&mut self, policy: StockPolicy) {
        self.uses.push_back(Instant::now());
        while self.uses.len() > policy.limit {
            self.uses.pop_front();
        }
    }

    /// Whether one more is wanted and nobody makes one yet; from then on somebody does.
    pub(super) fn begin_filling(&mut self, policy: StockPolicy) -> Option<Epoch> {
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
        policy: StockPolicy,
    ) -> Result<(), ConversationRef> {
        if epoch.0 != self.epoch || self.ready.len() >= policy.limit {
            return Err(reference);
        }
        self.ready.push_back((reference, Instant::now()));
        Ok(())
    }

    /// Whether the one who fills should go on; if not, another may begin.
    pub(super) fn goes_on_filling(&mut self, epoch: Epoch, policy: StockPolicy) -> bool {
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
    pub(super) fn expired(&mut self, policy: StockPolicy) -> Vec<ConversationRef> {
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
    pub(super) fn next_expiry(&self, policy: StockPolicy) -> Option<Instant> {
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

    fn wanted(&self, policy: StockPolicy) -> usize {
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
    use crate::engine::upstream::RemoteId;

    const POLICY: StockPolicy = StockPolicy {
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
    fn fill(stock: &mut Stock) -> u64 {
        let Some(epoch) = stock.begin_filling(POLICY) else {
            return 0;
        };
        let mut made = 0;
        loop {
            stock.put(conversation(made), epoch, POLICY).unwrap();
            made += 1;
            if !stock.goes_on_filling(epoch, POLICY) {
                return made;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_as_many_as_were_lately_used_and_no_more_than_the_limit() {
        let mut stock = Stock::default();
        assert_eq!(fill(&mut stock), 0, "an account that nobody uses keeps none");
        stock.note_use(POLICY);
        assert_eq!(fill(&mut stock), 1);
        (0..10).for_each(|_| stock.note_use(POLICY));
        assert_eq!(fill(&mut stock), 1);
        assert_eq!(stock.len(), 2);
        advance(POLICY.ttl).await;
        assert_eq!(stock.take(POLICY), None, "too old");
        assert_eq!(stock.expired(POLICY).len(), 2);
        assert_eq!(fill(&mut stock), 0, "what nobody uses is not replaced");
        stock.note_use(POLICY);
        assert_eq!(fill(&mut stock), 1, "it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_first_and_expires_first() {
        let mut stock = Stock::default();
        (0..2).for_each(|_| stock.note_use(POLICY));
        let epoch = stock.begin_filling(POLICY).unwrap();
        stock.put(conversation(1), epoch, POLICY).unwrap();
        let first = Instant::now();
        advance(Duration::from_secs(10)).await;
        stock.put(conversation(2), epoch, POLICY).unwrap();
        assert_eq!(stock.next_expiry(POLICY), Some(first + POLICY.ttl));
        assert_eq!(stock.take(POLICY), Some(conversation(1)));
        assert_eq!(stock.take(POLICY), Some(conversation(2)));
        assert_eq!(stock.take(POLICY), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_closed_takes_nothing_any_more() {
        let mut stock = Stock::default();
        stock.note_use(POLICY);
        let epoch = stock.begin_filling(POLICY).unwrap();
        assert_eq!(stock.close(), []);
        assert_eq!(stock.put(conversation(1), epoch, POLICY), Err(conversation(1)));
        stock.note_use(POLICY);
        assert_eq!(stock.begin_filling(POLICY), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_being_made_when_it_was_emptied_is_not_wanted() {
        let mut stock = Stock::default();
        stock.note_use(POLICY);
        let old = stock.begin_filling(POLICY).unwrap();
        assert_eq!(stock.begin_filling(POLICY), None, "one makes it");
        assert_eq!(stock.empty(), []);
        stock.note_use(POLICY);
        let new = stock.begin_filling(POLICY).unwrap();
        assert_eq!(stock.put(conversation(1), old, POLICY), Err(conversation(1)));
        assert!(!stock.goes_on_filling(old, POLICY));
        stock.stop_filling(old);
        assert_eq!(stock.begin_filling(POLICY), None, "the new one still makes it");
        stock.put(conversation(2), new, POLICY).unwrap();
        assert!(!stock.goes_on_filling(new, POLICY));
    }
}
