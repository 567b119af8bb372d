//! The chats under way, by name: for the operator who wants to see them, or to end one.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    error::ChatError,
    failure::{cancelled, shutting_down},
};
use crate::telemetry::{CallRecord, Door};

/// One chat under way.
#[derive(Debug, Clone)]
pub struct ChatSnapshot {
    /// The request's id.
    pub id: String,
    /// The door that it came through.
    pub door: Door,
    /// The model, as the client named it.
    pub model: Option<String>,
    /// How long it has been under way.
    pub age: Duration,
    /// Bytes of text that its client has got so far.
    pub bytes: u64,
    /// The token that serves it now, by its short hash.
    pub token: Option<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    record: CallRecord,
    bytes: Arc<AtomicU64>,
    cancel: CancellationToken,
}

/// All chats under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    chats: Arc<Mutex<(u64, HashMap<u64, Entry>)>>,
    stop: CancellationToken,
}

impl InFlight {
    /// None yet; `stop` ends every one there will be.
    #[must_use]
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            chats: Arc::default(),
            stop,
        }
    }

    /// Enters a chat, until the ticket is dropped.
    #[must_use]
    pub(super) fn enter(&self, record: &CallRecord) -> Ticket {
        // One token for both ends, so that waiting for either costs no more than for one.
        let (bytes, cancel) = (Arc::<AtomicU64>::default(), record.cut_off().child_token());
        let entry = Entry {
            record: record.clone(),
            bytes: Arc::clone(&bytes),
            cancel: cancel.clone(),
        };
        let mut chats = self.chats.lock();
        chats.0 += 1;
        let number = chats.0;
        chats.1.insert(number, entry);
        Ticket {
            all: self.clone(),
            number,
            bytes,
            cancel,
            cut_off: record.cut_off().clone(),
        }
    }

    /// Every chat, the oldest first.
    #[must_use]
    pub(super) fn snapshot(&self) -> Vec<ChatSnapshot> {
        let chats = self.chats.lock();
        let mut rows: Vec<ChatSnapshot> = chats.1.values().map(Entry::snapshot).collect();
        drop(chats);
        rows.sort_by_key(|row| std::cmp::Reverse(row.age));
        rows
    }

    /// Ends the chats of that request; how many there were.
    pub(super) fn cancel(&self, request_id: &str) -> usize {
        let chats = self.chats.lock();
        let named = chats.1.values();
        let named = named.filter(|chat| chat.record.request_id() == request_id);
        named.map(|chat| chat.cancel.cancel()).count()
    }
}

impl Entry {
    fn snapshot(&self) -> ChatSnapshot {
        ChatSnapshot {
            id: self.record.request_id().to_owned(),
            door: self.record.door(),
            model: self.record.model().map(str::to_owned),
            age: self.record.began().elapsed(),
            bytes: self.bytes.load(Ordering::Relaxed),
            token: self.record.token(),
        }
    }
}

/// A chat's entry. Dropping it says that the chat is over.
pub(super) struct Ticket {
    all: InFlight,
    number: u64,
    bytes: Arc<AtomicU64>,
    cancel: CancellationToken,
    /// The end of the connection's grace.
    cut_off: CancellationToken,
}

impl Ticket {
    /// Resolves when the chat is to end before its time, with what its client is told.
    pub(super) async fn ended(&self) -> ChatError {
        tokio::select! {
            biased;
            () = self.all.stop.cancelled() => shutting_down(),
            () = self.cancel.cancelled() => match self.cut_off.is_cancelled() {
                true => shutting_down(),
                false => cancelled(),
            },
        }
    }

    /// So many more bytes of text went to the client.
    pub(super) fn count(&self, bytes: usize) {
        self.bytes
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.chats.lock().1.remove(&self.number);
    }
}
