//! How many chats may be under way: a counter and a limit, with no queue behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    caller::Caller,
    error::{ChatError, ErrorKind},
};

/// The counter. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Admission(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    held: AtomicUsize,
    limit: AtomicUsize,
}

/// The right to have one chat under way. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    counter: Arc<Counter>,
    caller: Option<Caller>,
}

impl Permit {
    /// Who holds it; `None` for a caller without a key.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }
}

impl Admission {
    /// Room for `limit` chats.
    #[must_use]
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Counter {
            held: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        }))
    }

    /// Changes the room there is. Chats that are under way go on.
    pub(super) fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// How many chats there is room for when none is under way.
    #[must_use]
    pub(super) fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Chats under way.
    #[must_use]
    pub(super) fn held(&self) -> usize {
        self.0.held.load(Ordering::SeqCst)
    }

    /// Takes room for `count` chats of a caller, all or none.
    ///
    /// # Errors
    /// `overloaded`.
    pub(super) fn take(&self, count: usize, caller: Option<&Caller>) -> Result<Vec<Permit>, ChatError> {
        /// By then some of the chats under way are likely to have ended.
        const ROOM_IN: Duration = Duration::from_secs(1);
        let limit = self.limit();
        let more = |held: usize| held.checked_add(count).filter(|sum| *sum <= limit);
        let taken = self.0.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        if taken.is_err() {
            let message = "The gateway has as many requests under way as it may. Send the request again.";
            return Err(ChatError::new(ErrorKind::Overloaded, message).with_retry_after(Some(ROOM_IN)));
        }
        let permits = (0..count).map(|_| Permit {
            counter: Arc::clone(&self.0),
            caller: caller.cloned(),
        });
        Ok(permits.collect())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counter.held.fetch_sub(1, Ordering::SeqCst);
    }
}
