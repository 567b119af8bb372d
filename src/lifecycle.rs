//! The lifecycle of the process: starting, ready, draining. Any module may read it; only the composition root advances
//! it.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A phase of the process. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Finishing requests under way, and accepting no new ones.
    Draining,
}

/// The lifecycle of the process. Cheap to clone; clones share it.
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
    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves forward to `phase`; never back.
    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = phase > *now;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// Enters `Ready`: the doors are open.
    pub fn ready(&self) {
        self.advance(Phase::Ready);
    }

    /// The soft stop: enters `Draining`. Nothing new is accepted; requests under way continue.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
        self.soft_stop.cancel();
    }

    /// The hard stop: open connections are closed now.
    pub fn close(&self) {
        self.drain();
        self.hard_stop.cancel();
    }

    /// Cancelled at the soft stop.
    #[must_use]
    pub fn soft_stop(&self) -> &CancellationToken {
        &self.soft_stop
    }

    /// Cancelled at the hard stop.
    #[must_use]
    pub fn hard_stop(&self) -> &CancellationToken {
        &self.hard_stop
    }
}
