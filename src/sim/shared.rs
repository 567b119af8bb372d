//! State shared by all connections of a simulated upstream, with notification of changes and holding of answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::config::SimConfig;
use super::counts::{Counts, Step};
use super::refusal::Refusal;
use super::state::State;

/// How long a call waits for an open answer of the same conversation to close. Disconnecting and the next call travel
/// on different connections, so they may arrive in either order.
const SETTLING: Duration = Duration::from_millis(500);

/// The points at which answers can be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Before the head.
    #[default]
    BeforeHead,
    /// After the head, before the body.
    AfterHead,
    /// After the first piece of content.
    AfterFirstPiece,
}

/// The progress of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Nothing,
    Head,
    Content,
}

impl Hold {
    fn stops(self, progress: Progress) -> bool {
        match self {
            Self::BeforeHead => true,
            Self::AfterHead => progress != Progress::Nothing,
            Self::AfterFirstPiece => progress == Progress::Content,
        }
    }
}

/// The shared state.
pub(super) struct Shared {
    pub(super) config: SimConfig,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    hold: watch::Sender<Option<Hold>>,
    stopping: AtomicBool,
}

impl Shared {
    pub(super) fn new(mut config: SimConfig) -> Self {
        config.site.truncate(config.site.trim_end_matches('/').len());
        Self {
            state: Mutex::new(State::new(&config)),
            config,
            changed: watch::Sender::new(0),
            hold: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Reads the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes the tasks that wait for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        result
    }

    /// Waits until the state satisfies the predicate, checked after each change.
    pub(super) async fn wait_for(&self, wanted: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if self.read(&wanted) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The same with a copy of the counts, so that the predicate may use the control.
    pub(super) async fn wait_for_counts(&self, wanted: impl Fn(&Counts) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let counts = self.read(|state| state.counts.clone());
            if wanted(&counts) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for a short time until an open answer of the conversation has closed.
    pub(super) async fn settle(&self, conversation: &str) {
        let quiet = self.wait_for(|state| !state.is_answering(conversation));
        // After the timeout the state itself rejects the call.
        let _ = tokio::time::timeout(SETTLING, quiet).await;
    }

    /// Waits while answers with this progress are held.
    pub(super) async fn pass(&self, progress: Progress) {
        let mut hold = self.hold.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = hold
            .wait_for(|hold| !hold.is_some_and(|hold| hold.stops(progress)))
            .await;
    }

    pub(super) fn set_hold(&self, hold: Option<Hold>) {
        self.hold.send_replace(hold);
    }

    pub(super) fn held(&self) -> Option<Hold> {
        *self.hold.borrow()
    }

    pub(super) fn set_stopping(&self, stopping: bool) {
        self.stopping.store(stopping, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Records a breach that does not make the call fail.
    pub(super) fn breach(&self, step: Step, what: &str) {
        self.change(|state| state.breach(&format!("{}: {what}", step.title())));
    }

    /// Records the breach in a refusal, if it is one.
    pub(super) fn note(&self, step: Step, refusal: &Refusal) {
        if refusal.breach {
            self.breach(step, &refusal.message);
        }
    }
}
