//! The handle by which a test or another process scripts the upstream and asks what it saw.

use std::fmt;
use std::sync::Arc;

use super::chaos::{Chance, Chaos};
use super::counts::Counts;
use super::fault::Rule;
use super::records::{AnswerRecord, Records};
use super::shared::{Hold, Shared};

/// A handle to a simulated upstream; its clones are the same one.
#[derive(Clone)]
pub struct SimControl {
    shared: Arc<Shared>,
}

impl SimControl {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Adds a rule behind those there are.
    pub fn script(&self, rule: Rule) {
        self.shared.change(|state| state.rules.push(rule));
    }

    /// Removes every rule.
    pub fn clear(&self) {
        self.shared.change(|state| state.rules.clear());
    }

    /// From now on calls go wrong by chance, or no more.
    pub fn chance(&self, chaos: Option<Chaos>) {
        self.shared.change(|state| state.chance = chaos.map(Chance::new));
    }

    /// The rules that are not used up.
    pub fn rules(&self) -> Vec<Rule> {
        self.shared.read(|state| state.rules.clone())
    }

    /// Opens an account for a token, unless there is one.
    pub fn add_token(&self, token: &str) {
        self.shared.change(|state| state.add_token(token));
    }

    /// Answers 401 to a token from now on; answers that are open go on. Whether the token is known.
    pub fn revoke(&self, token: &str) -> bool {
        self.shared.change(|state| state.set_revoked(token, true))
    }

    /// Takes a token back that was revoked. Whether the token is known.
    pub fn restore(&self, token: &str) -> bool {
        self.shared.change(|state| state.set_revoked(token, false))
    }

    /// Drops the conversations of a token as a service does on its own: what is done on them is answered 404,
    /// and is no breach.
    pub fn expire_conversations(&self, token: &str) {
        self.shared.change(|state| state.expire(token, false));
    }

    /// The same, with the token's projects.
    pub fn expire_projects(&self, token: &str) {
        self.shared.change(|state| state.expire(token, true));
    }

    /// From now on answers send nothing, those neither that are in their middle.
    pub fn hold(&self) {
        self.hold_at(Hold::BeforeHead);
    }

    /// From now on answers stop at a point; those that are past it stop where they are.
    pub fn hold_at(&self, point: Hold) {
        self.shared.set_hold(Some(point));
    }

    /// Lets held answers go on.
    pub fn release(&self) {
        self.shared.set_hold(None);
    }

    /// Where answers are held now.
    pub fn held(&self) -> Option<Hold> {
        self.shared.held()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.shared.read(|state| state.counts.clone())
    }

    /// Each breach of the contract as a sentence, the latest thousand, with no known token in it.
    pub fn breaches(&self) -> Vec<String> {
        self.shared.read(|state| state.records.breaches())
    }

    /// What was asked, the latest few thousand.
    pub fn answers(&self) -> Vec<AnswerRecord> {
        self.shared.read(|state| state.records.answers())
    }

    /// Forgets breaches, answers and counts; gauges such as the open answers stay.
    pub fn forget(&self) {
        self.shared.change(|state| {
            state.records = Records::default();
            state.counts.forget();
        });
    }

    /// Waits until the counts are as wanted; they are looked at anew after each change. It does not end by
    /// itself: put a timeout around it.
    pub async fn wait_until(&self, predicate: impl Fn(&Counts) -> bool) {
        self.shared.wait_for_counts(predicate).await;
    }
}

impl fmt::Debug for SimControl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimControl").finish_non_exhaustive()
    }
}
