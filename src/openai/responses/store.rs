//! Responses that are kept in memory, so that a later request can go on from them: a bounded number in bounded room,
//! the oldest out first, and each seen only by the key that made it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::Value;

use crate::engine::{caller::Caller, request::Message};

/// The owner of a response: the id of its caller, or nobody where no key was needed.
pub(super) type Owner = Option<String>;

pub(super) fn owner_of(caller: Option<&Caller>) -> Owner {
    caller.map(|caller| caller.id().to_owned())
}

/// What is kept of a response.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: String,
    /// The response object, as JSON.
    pub(super) response: String,
    /// The items of its input, oldest first.
    pub(super) input: Vec<KeptItem>,
    /// The items of its output.
    pub(super) output: Vec<KeptItem>,
    /// The conversation up to its end, instructions left out.
    pub(super) history: Vec<Message>,
}

/// An item and its id.
#[derive(Debug)]
pub(super) struct KeptItem {
    pub(super) id: String,
    /// The item, as JSON.
    pub(super) item: String,
}

impl KeptItem {
    pub(super) fn of(id: &str, item: &impl Serialize) -> Self {
        Self {
            id: id.to_owned(),
            // What cannot be written cannot be called back.
            item: serde_json::to_string(item).unwrap_or_default(),
        }
    }
}

impl Kept {
    /// The room that it takes, in bytes.
    fn size(&self) -> usize {
        /// What each text costs beside its bytes, indexes included.
        const EACH: usize = 192;
        let items = self.input.iter().chain(&self.output);
        let items = items.map(|item| item.item.len() + item.id.len() * 2 + EACH);
        let messages = self.history.iter();
        let messages = messages.map(|message| message.size() + EACH);
        self.response.len() + self.id.len() * 3 + EACH * 2 + items.sum::<usize>() + messages.sum::<usize>()
    }
}

/// The responses. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct ResponseStore {
    inner: Arc<Mutex<Inner>>,
    most: usize,
    most_bytes: usize,
}

#[derive(Default)]
struct Inner {
    /// By age.
    kept: BTreeMap<u64, Entry>,
    by_id: HashMap<String, u64>,
    by_item: HashMap<(Owner, String), u64>,
    bytes: usize,
    next: u64,
}

struct Entry {
    owner: Owner,
    kept: Arc<Kept>,
    size: usize,
}

impl fmt::Debug for ResponseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        write!(f, "ResponseStore({} in {} bytes)", inner.kept.len(), inner.bytes)
    }
}

impl ResponseStore {
    /// A store for at most `most` responses of at most `most_bytes` together.
    #[must_use]
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            inner: Arc::default(),
            most,
            most_bytes,
        }
    }

    /// Whether anything is ever kept.
    pub(super) fn is_open(&self) -> bool {
        self.most > 0 && self.most_bytes > 0
    }

    /// Keeps a response, and lets the oldest go that there is no room for. False where it is too large by itself.
    pub(super) fn keep(&self, owner: Owner, kept: Kept) -> bool {
        let size = kept.size();
        if self.most == 0 || size > self.most_bytes {
            return false;
        }
        let mut inner = self.lock();
        let age = inner.next;
        inner.next += 1;
        inner.bytes += size;
        inner.by_id.insert(kept.id.clone(), age);
        for item in kept.input.iter().chain(&kept.output) {
            inner.by_item.insert((owner.clone(), item.id.clone()), age);
        }
        let kept = Arc::new(kept);
        inner.kept.insert(age, Entry { owner, kept, size });
        while inner.kept.len() > self.most || inner.bytes > self.most_bytes {
            let Some((&oldest, _)) = inner.kept.first_key_value() else {
                break;
            };
            inner.remove(oldest);
        }
        true
    }

    /// The response of this id, if it is this owner's.
    pub(super) fn find(&self, owner: &Owner, id: &str) -> Option<Arc<Kept>> {
        let inner = self.lock();
        let entry = inner.kept.get(inner.by_id.get(id)?)?;
        (entry.owner == *owner).then(|| Arc::clone(&entry.kept))
    }

    /// The item of this id in one of this owner's responses, the latest first.
    pub(super) fn find_item(&self, owner: &Owner, id: &str) -> Option<Value> {
        let kept = {
            let inner = self.lock();
            let age = inner.by_item.get(&(owner.clone(), id.to_owned()))?;
            Arc::clone(&inner.kept.get(age)?.kept)
        };
        let mut items = kept.output.iter().chain(&kept.input);
        let item = items.find(|item| item.id == id)?;
        serde_json::from_str(&item.item).ok()
    }

    /// Forgets a response. False where this owner has none of this id.
    pub(super) fn forget(&self, owner: &Owner, id: &str) -> bool {
        let mut inner = self.lock();
        let age = inner.by_id.get(id).copied();
        let age = age.filter(|age| inner.kept.get(age).is_some_and(|entry| entry.owner == *owner));
        age.is_some_and(|age| inner.remove(age))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    fn remove(&mut self, age: u64) -> bool {
        let Some(Entry { owner, kept, size }) = self.kept.remove(&age) else {
            return false;
        };
        self.bytes -= size;
        self.by_id.remove(&kept.id);
        for item in kept.input.iter().chain(&kept.output) {
            let key = (owner.clone(), item.id.clone());
            // A later response may hold an item of the same id.
            if self.by_item.get(&key) == Some(&age) {
                self.by_item.remove(&key);
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
