//! The forms of ids: JSON strings or numbers in bodies, text in paths and referers.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::config::SimConfig;

/// Number of deleted or expired ids that are remembered.
const MOST_DEPARTED: usize = 16_384;

/// Generates unique ids.
#[derive(Debug)]
pub(super) struct Mint {
    numeric: bool,
    awkward: bool,
    made: u64,
}

impl Mint {
    pub(super) fn new(config: &SimConfig) -> Self {
        Self {
            numeric: config.numeric_ids,
            awkward: config.awkward_ids,
            made: 0,
        }
    }

    /// The next id. Numbers alternate between small ones, those just above 2^53, which a float would round, and those
    /// just above 2^63, which a signed integer cannot hold.
    pub(super) fn next(&mut self, letter: char) -> Value {
        self.made += 1;
        let made = self.made;
        match (self.numeric, self.awkward) {
            (true, _) => match made % 3 {
                0 => json!(made),
                1 => json!((1_u64 << 53) + 2 * made + 1),
                _ => json!((1_u64 << 63) + made),
            },
            (false, true) => json!(format!("{letter} {made}/é?#%")),
            (false, false) => json!(format!("{letter}-{made:06}")),
        }
    }
}

/// An id as text; `None` if it is neither a string nor a number.
pub(super) fn text(id: &Value) -> Option<String> {
    id.as_str()
        .map(str::to_owned)
        .or_else(|| id.as_number().map(ToString::to_string))
}

/// Why an id no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// This token deleted it.
    Deleted(String),
    /// The service dropped it on its own.
    Expired,
}

/// The latest ids that no longer exist.
#[derive(Debug, Default)]
pub(super) struct Departed {
    order: VecDeque<String>,
    how: HashMap<String, Departure>,
}

impl Departed {
    pub(super) fn add(&mut self, id: String, how: Departure) {
        self.order.push_back(id.clone());
        self.how.insert(id, how);
        if self.order.len() > MOST_DEPARTED
            && let Some(oldest) = self.order.pop_front()
        {
            self.how.remove(&oldest);
        }
    }

    pub(super) fn how(&self, id: &str) -> Option<&Departure> {
        self.how.get(id)
    }
}
