//! What is held of a pool: the right to use a token, and the right to try one. Dropping either gives the token back.

use std::time::Duration;

use super::{SlotId, TokenPool};
use crate::engine::{provider::Token, verdict::TokenVerdict};

/// The right to use one token for one attempt. Dropping it gives the token back; a lease that was never judged says
/// nothing about its token.
#[derive(Debug)]
pub(in crate::engine) struct Lease {
    pub(super) pool: TokenPool,
    pub(super) slot: SlotId,
    pub(super) token: Token,
    pub(super) generation: u64,
    /// It tries a benched token, and nothing has been proved yet.
    pub(super) undecided_trial: bool,
}

impl Lease {
    /// The token.
    #[must_use]
    pub(in crate::engine) fn token(&self) -> &Token {
        &self.token
    }

    /// The token's place in the pool.
    #[must_use]
    pub(in crate::engine) fn slot(&self) -> SlotId {
        self.slot
    }

    /// The token did its work: what it was benched for is forgotten, unless it failed again meanwhile. False when the
    /// token has left the pool.
    pub(in crate::engine) fn succeeded(&mut self) -> bool {
        self.undecided_trial = false;
        let generation = self.generation;
        let settled = self.pool.settle(self.slot, |slot, _| slot.succeed(generation));
        settled.is_some()
    }

    /// The attempt failed, and this is what it means for the token; true when the token is out of use by it. A fault
    /// that is not the token's decides nothing.
    pub(in crate::engine) fn failed(&mut self, verdict: TokenVerdict) -> bool {
        self.undecided_trial &= verdict == TokenVerdict::Keep;
        let generation = self.generation;
        let counted = self
            .pool
            .settle(self.slot, |slot, policy| slot.fail(generation, verdict, policy));
        counted.unwrap_or(false)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (undecided, generation) = (self.undecided_trial, self.generation);
        self.pool
            .settle(self.slot, |slot, _| slot.give_back(undecided, generation));
    }
}

/// A call in the background that tries a token. Dropping it unjudged lets another follow.
#[derive(Debug)]
pub(in crate::engine) struct Trial {
    pub(super) pool: TokenPool,
    pub(super) slot: SlotId,
    pub(super) token: Token,
    pub(super) generation: u64,
    pub(super) again_in: Duration,
}

impl Trial {
    /// The token.
    #[must_use]
    pub(in crate::engine) fn token(&self) -> &Token {
        &self.token
    }

    /// The call was answered well: the token is ready.
    pub(in crate::engine) fn passed(self) {
        let generation = self.generation;
        self.pool.settle(self.slot, |slot, _| slot.pass_trial(generation));
    }

    /// The call failed. A fault that is not the token's decides nothing: another trial follows after `again_in`.
    pub(in crate::engine) fn failed(mut self, verdict: TokenVerdict, again_in: Duration) {
        self.again_in = again_in;
        let generation = self.generation;
        self.pool
            .settle(self.slot, |slot, policy| slot.fail(generation, verdict, policy));
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Changes nothing where a judgement has moved the token on.
        let (generation, again_in) = (self.generation, self.again_in);
        self.pool
            .settle(self.slot, |slot, _| slot.postpone(generation, again_in));
    }
}
