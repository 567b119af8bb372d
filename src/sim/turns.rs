//! The turns of a conversation: a message, then its answer, then perhaps the next message.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::body::Ending;
use super::records::AnswerRecord;
use super::refusal::Refusal;
use super::state::State;

/// The state of a conversation's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Waiting for the first message.
    Fresh,
    /// A message was tried, and has not succeeded (yet).
    Tried,
    /// A message was accepted; its answer may be asked for.
    Told,
    /// The answer is open.
    Answering,
    /// The answer has ended; a further message is allowed.
    Answered,
    /// The answer failed; a message other than the failed one is allowed.
    Failed,
}

impl State {
    pub(super) fn is_answering(&self, conversation: &str) -> bool {
        self.conversations
            .get(conversation)
            .is_some_and(|found| found.turn == Turn::Answering)
    }

    /// Records a message tried on a conversation, whatever its outcome.
    pub(super) fn message_tried(&mut self, conversation: &str, text: &str) -> Result<(), Refusal> {
        let found = self.conversations.get_mut(conversation).ok_or_else(gone)?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let fingerprint = hasher.finish();
        match found.turn {
            Turn::Fresh | Turn::Answered => {}
            Turn::Failed if found.last_text != fingerprint => {}
            Turn::Failed => {
                return Err(Refusal::breach(
                    409,
                    "the message was tried before on this conversation",
                ));
            }
            Turn::Tried | Turn::Told => {
                return Err(Refusal::breach(
                    409,
                    "a second message without an answer in between",
                ));
            }
            Turn::Answering => return Err(Refusal::breach(409, "a message while an answer is open")),
        }
        found.turn = Turn::Tried;
        found.last_text = fingerprint;
        found.text = Some(text.to_owned());
        Ok(())
    }

    /// Records a message rejected for its token before it was read; it counts as tried.
    pub(super) fn message_refused(&mut self, token: &str, conversation: &str) {
        if let Some(found) = self.conversations.get_mut(conversation)
            && found.token == token
            && found.turn != Turn::Answering
        {
            found.turn = Turn::Tried;
        }
    }

    /// Records that the message's success is about to be sent.
    pub(super) fn message_told(&mut self, conversation: &str) {
        if let Some(found) = self.conversations.get_mut(conversation)
            && found.turn == Turn::Tried
        {
            found.turn = Turn::Told;
        }
    }

    /// Begins an answer and counts it as open; returns the message to be answered.
    pub(super) fn answer_asked(
        &mut self,
        token: &str,
        conversation: &str,
        model: &str,
    ) -> Result<String, Refusal> {
        let found = self.conversations.get_mut(conversation).ok_or_else(gone)?;
        match found.turn {
            Turn::Told => {}
            Turn::Tried => {
                return Err(Refusal::breach(
                    409,
                    "an answer to a message that had not been taken with success",
                ));
            }
            Turn::Answering => return Err(Refusal::breach(409, "a second answer while one is open")),
            Turn::Fresh | Turn::Answered | Turn::Failed => {
                return Err(Refusal::breach(409, "an answer asked without a new message"));
            }
        }
        found.turn = Turn::Answering;
        let text = found.text.take().unwrap_or_default();
        self.counts.answer_opened(token);
        self.records.answer(AnswerRecord {
            token: token.to_owned(),
            conversation: conversation.to_owned(),
            model: model.to_owned(),
            text: text.clone(),
        });
        Ok(text)
    }

    /// Ends the turn as the client sees it, although the answer may still be open.
    pub(super) fn turn_ended(&mut self, conversation: &str, ending: Ending) {
        if let Some(found) = self.conversations.get_mut(conversation)
            && matches!(found.turn, Turn::Answering | Turn::Failed)
        {
            found.turn = if ending == Ending::Finished {
                Turn::Answered
            } else {
                Turn::Failed
            };
        }
    }

    /// Closes the answer.
    pub(super) fn answer_ended(&mut self, token: &str, conversation: &str, ending: Ending) {
        self.counts.answer_closed(token);
        match ending {
            Ending::Finished => self.counts.answers_finished += 1,
            Ending::Failed => self.counts.answers_failed += 1,
            Ending::Left => self.counts.answers_left += 1,
        }
        if self.is_answering(conversation) {
            self.turn_ended(conversation, ending);
        }
    }
}

fn gone() -> Refusal {
    Refusal::plain(404, "conversation not found")
}
