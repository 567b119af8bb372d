//! Verbatim records of limited number: breaches, and the answers asked for.

use std::collections::VecDeque;

use serde::Serialize;

const MOST_BREACHES: usize = 1_000;
const LONGEST_BREACH: usize = 400;
const MOST_ANSWERS: usize = 4_096;
const MOST_ANSWER_BYTES: usize = 32 << 20;

/// One answer that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerRecord {
    /// The token of the call.
    pub token: String,
    /// The conversation's id, as text.
    pub conversation: String,
    /// The model's name.
    pub model: String,
    /// The message to be answered.
    pub text: String,
}

/// The records; the oldest are dropped first.
#[derive(Debug, Default)]
pub(super) struct Records {
    breaches: VecDeque<String>,
    answers: VecDeque<AnswerRecord>,
    answer_bytes: usize,
}

impl Records {
    pub(super) fn breach(&mut self, sentence: &str) {
        self.breaches
            .push_back(sentence.chars().take(LONGEST_BREACH).collect());
        if self.breaches.len() > MOST_BREACHES {
            self.breaches.pop_front();
        }
    }

    pub(super) fn answer(&mut self, record: AnswerRecord) {
        self.answer_bytes += record.text.len();
        self.answers.push_back(record);
        while self.answers.len() > MOST_ANSWERS
            || (self.answer_bytes > MOST_ANSWER_BYTES && self.answers.len() > 1)
        {
            let oldest = self.answers.pop_front().map_or(0, |record| record.text.len());
            self.answer_bytes -= oldest;
        }
    }

    pub(super) fn breaches(&self) -> Vec<String> {
        self.breaches.iter().cloned().collect()
    }

    pub(super) fn answers(&self) -> Vec<AnswerRecord> {
        self.answers.iter().cloned().collect()
    }
}
