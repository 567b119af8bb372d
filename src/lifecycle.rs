//! Where the process stands: starting, ready, draining. Everybody may look; only the composition root moves it on.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A stage of the process's life; it only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Serving what is under way, and nothing new.
    Draining,
}

/// The process's life. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    soft_stop: CancellationToken,
    hard_stop: CancellationToken,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Starting),
            soft_stop: CancellationToken::new(),
            hard_stop: CancellationToken::new(),
        }
    }
}

impl Lifecycle {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves to `phase`, never back.
    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = phase > *now;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// The doors are open.
    pub fn ready(&self) {
        self.advance(Phase::Ready);
    }

    /// The soft stop: not ready any more, nothing new is accepted, what is under way goes on.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
        self.soft_stop.cancel();
    }

    /// The hard stop: connections that are still open close now.
    pub fn close(&self) {
        self.drain();
        self.hard_stop.cancel();
    }

    /// Fires at the soft stop.
    #[must_use]
    pub fn soft_stop(&self) -> &CancellationToken {
        &self.soft_stop
    }

    /// Fires at the hard stop.
    #[must_use]
    pub fn hard_stop(&self) -> &CancellationToken {
        &self.hard_stop
    }
}
