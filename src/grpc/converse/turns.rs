//! The turns that a client has sent and that are not begun yet.

use std::collections::VecDeque;

use super::super::{messages, proto::ConverseTurn, request::Reading};
use crate::engine::{error::ChatError, request::Part};

/// How many turns may wait. While more do, the client is not heard, and its own sending stops.
const MOST: usize = 16;
/// How many bytes of text may wait in all; a single turn may be longer.
const MOST_BYTES: usize = 1 << 20;

/// A turn that was sent.
#[derive(Debug)]
pub(super) struct Heard {
    /// Counted from 1.
    pub(super) number: u32,
    /// What it says, or what is wrong with it; nothing when it was given up.
    pub(super) text: Option<Result<Vec<Part>, ChatError>>,
}

/// Turns in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Awaiting {
    turns: VecDeque<Heard>,
    heard: u32,
    bytes: usize,
}

impl Awaiting {
    /// Whether the client is heard. Behind a single turn, however long, it always is: it may give one up.
    pub(super) fn has_room(&self) -> bool {
        self.turns.len() < 2 || (self.turns.len() <= MOST && self.bytes <= MOST_BYTES)
    }

    /// How many have come so far.
    pub(super) fn heard(&self) -> u32 {
        self.heard
    }

    pub(super) fn push(&mut self, text: Result<Vec<Part>, ChatError>) {
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

/// What a turn says.
pub(super) fn read(turn: ConverseTurn, mut reading: Reading) -> Result<Vec<Part>, ChatError> {
    let ConverseTurn { content } = turn;
    let parts = messages::read_content(&mut reading, "turn.content", content)?;
    if parts.iter().all(Part::is_empty) {
        let message = "Invalid 'turn.content': a turn must say something.";
        return Err(ChatError::invalid("turn.content", message));
    }
    Ok(parts)
}

fn size(text: &Result<Vec<Part>, ChatError>) -> usize {
    let size = |parts: &Vec<Part>| parts.iter().map(Part::size).sum();
    text.as_ref().map_or(0, size)
}
