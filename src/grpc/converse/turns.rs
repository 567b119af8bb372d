//! The turns that a client has sent and that are not begun yet.

use std::collections::VecDeque;

use crate::engine::error::ChatError;

/// How many turns may wait; while so many do, the client is not heard, and its own sending stops.
const MOST: usize = 16;
/// How many bytes of text may wait; a single turn may be longer.
const MOST_BYTES: usize = 1 << 20;

/// A turn that was sent.
#[derive(Debug)]
pub(super) struct Heard {
    /// Counted from 1.
    pub(super) number: u32,
    /// What it says, or what is wrong with it; nothing when it was given up.
    pub(super) text: Option<Result<String, ChatError>>,
}

/// Turns in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Awaiting {
    turns: VecDeque<Heard>,
    heard: u32,
    bytes: usize,
}

impl Awaiting {
    /// Whether another one may come.
    pub(super) fn has_room(&self) -> bool {
        self.turns.len() < MOST && self.bytes < MOST_BYTES
    }

    /// How many have come so far.
    pub(super) fn heard(&self) -> u32 {
        self.heard
    }

    pub(super) fn push(&mut self, text: Result<String, ChatError>) {
        self.heard += 1;
        self.bytes += size(&text);
        self.turns.push_back(Heard {
            number: self.heard,
            text: Some(text),
        });
    }

    pub(super) fn pop(&mut self) -> Option<Heard> {
        let heard = self.turns.pop_front()?;
        self.bytes -= heard.text.as_ref().map_or(0, size);
        Some(heard)
    }

    /// Gives up the turn of that number, if it waits.
    pub(super) fn cancel(&mut self, number: u32) {
        if let Some(heard) = self.turns.iter_mut().find(|heard| heard.number == number) {
            self.bytes -= heard.text.take().as_ref().map_or(0, size);
        }
    }
}

fn size(text: &Result<String, ChatError>) -> usize {
    text.as_ref().map_or(0, String::len)
}
