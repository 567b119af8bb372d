//! What every connection of one simulated upstream shares: the state, the word of its changes, the hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::config::SimConfig;
use super::counts::{Counts, Step};
use super::refusal::Refusal;
use super::state::State;

/// How long a call that meets an open answer of its conversation waits for that answer's close to be seen:
/// the two travel on different connections, so they may arrive in either order.
const SETTLING: Duration = Duration::from_millis(500);

/// Where answers are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Nothing is sent, the head neither.
    #[default]
    BeforeHead,
    /// The head is sent and nothing of the body.
    AfterHead,
    /// The stream is sent up to its first piece of content.
    AfterFirstPiece,
}

/// How far an answer has come.
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

/// The one shared thing.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        result
    }

    /// Waits until the state is as wanted; it is looked at anew after each change.
    pub(super) async fn wait_for(&self, wanted: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if self.read(&wanted) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The same, asked of a copy of the counts, so that the predicate may use the control itself.
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

    /// Waits a moment for an open answer of the conversation to be seen closed.
    pub(super) async fn settle(&self, conversation: &str) {
        let quiet = self.wait_for(|state| !state.is_answering(conversation));
        // Whoever comes too early is told so by the state itself.
        let _ = tokio::time::timeout(SETTLING, quiet).await;
    }

    /// Waits as long as answers are held where this one stands.
    pub(super) async fn pass(&self, progress: Progress) {
        let mut hold = self.hold.subscribe();
        // The sender lives as long as this value, so the wait cannot fail.
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

    /// Records a breach that is not answered with an error.
    pub(super) fn breach(&self, step: Step, what: &str) {
        self.change(|state| state.breach(&format!("{}: {what}", step.title())));
    }

    /// Records what a refusal says, if it is a breach.
    pub(super) fn note(&self, step: Step, refusal: &Refusal) {
        if refusal.breach {
            self.breach(step, &refusal.message);
        }
    }
}
