//! The handle for scripting the simulated upstream and for inspecting what it received.

use std::fmt;
use std::sync::Arc;

use super::chaos::{Chance, Chaos};
use super::counts::Counts;
use super::fault::Rule;
use super::records::{AnswerRecord, Records};
use super::shared::{Hold, Shared};

/// A handle to a simulated upstream. Cheap to clone; clones control the same one.
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

    /// Appends a rule.
    pub fn script(&self, rule: Rule) {
        self.shared.change(|state| state.rules.push(rule));
    }

    /// Removes every rule.
    pub fn clear(&self) {
        self.shared.change(|state| state.rules.clear());
    }

    /// Starts random faults, or stops them with `None`.
    pub fn chance(&self, chaos: Option<Chaos>) {
        self.shared.change(|state| state.chance = chaos.map(Chance::new));
    }

    /// The rules that are not exhausted.
    pub fn rules(&self) -> Vec<Rule> {
        self.shared.read(|state| state.rules.clone())
    }

    /// Opens an account for a token, unless there is one.
    pub fn add_token(&self, token: &str) {
        self.shared.change(|state| state.add_token(token));
    }

    /// Answers 401 to a token from now on; open answers continue. False if the token is unknown.
    pub fn revoke(&self, token: &str) -> bool {
        self.shared.change(|state| state.set_revoked(token, true))
    }

    /// Accepts a revoked token again. False if the token is unknown.
    pub fn restore(&self, token: &str) -> bool {
        self.shared.change(|state| state.set_revoked(token, false))
    }

    /// Drops a token's conversations as the service does on its own: calls on them are answered 404, and are no breach.
    pub fn expire_conversations(&self, token: &str) {
        self.shared.change(|state| state.expire(token, false));
    }

    /// The same, including the token's projects.
    pub fn expire_projects(&self, token: &str) {
        self.shared.change(|state| state.expire(token, true));
    }

    /// Holds answers: nothing more is sent, not even of those that have started.
    pub fn hold(&self) {
        self.hold_at(Hold::BeforeHead);
    }

    /// Holds answers at a point; those past it stop where they are.
    pub fn hold_at(&self, point: Hold) {
        self.shared.set_hold(Some(point));
    }

    /// Lets held answers continue.
    pub fn release(&self) {
        self.shared.set_hold(None);
    }

    /// The point at which answers are held.
    pub fn held(&self) -> Option<Hold> {
        self.shared.held()
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.shared.read(|state| state.counts.clone())
    }

    /// The latest thousand breaches as sentences, with known tokens masked.
    pub fn breaches(&self) -> Vec<String> {
        self.shared.read(|state| state.records.breaches())
    }

    /// The answers asked for, the latest few thousand.
    pub fn answers(&self) -> Vec<AnswerRecord> {
        self.shared.read(|state| state.records.answers())
    }

    /// Clears breaches, answers and counts; gauges such as the open answers stay.
    pub fn forget(&self) {
        self.shared.change(|state| {
            state.records = Records::default();
            state.counts.forget();
        });
    }

    /// Waits until the counts satisfy the predicate, checked after each change. Has no time limit of its own.
    pub async fn wait_until(&self, predicate: impl Fn(&Counts) -> bool) {
        self.shared.wait_for_counts(predicate).await;
    }
}

impl fmt::Debug for SimControl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimControl").finish_non_exhaustive()
    }
}
