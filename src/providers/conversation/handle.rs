//! One conversation in hand: where it is, the answer that runs in it, and what becomes of it afterwards.

use std::fmt;

use tokio::task::JoinHandle;

use super::{body::Reader, cleanup::Last, manager::Conversations};
use crate::engine::{calls::ObservedStream, provider::Token};
use crate::state::ConversationRef;

/// How the last answer in a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// None was asked for.
    Idle,
    /// It runs, or broke off.
    Open,
    /// It is whole.
    Whole,
}

/// A conversation that the gateway made, for one chat. Dropping it removes it from the upstream in the background,
/// after its answer, if it still holds one, has been closed.
pub(super) struct Conversation {
    conversations: Conversations,
    token: Token,
    reference: ConversationRef,
    answer: Option<ObservedStream<Reader>>,
    ended: Ended,
    /// Reads what is left of the last answer's body.
    resting: Option<JoinHandle<()>>,
}

impl Conversation {
    pub(super) fn new(conversations: Conversations, token: Token, reference: ConversationRef) -> Self {
        Self {
            conversations,
            token,
            reference,
            answer: None,
            ended: Ended::Idle,
            resting: None,
        }
    }

    /// The token whose account it is in.
    #[must_use]
    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// Where it is.
    #[must_use]
    pub(super) fn reference(&self) -> &ConversationRef {
        &self.reference
    }

    /// A message goes into it: the service may begin to write.
    pub(super) fn begin(&mut self) {
        self.ended = Ended::Open;
    }

    /// Takes over the answer that runs in it.
    pub(super) fn attach(&mut self, answer: ObservedStream<Reader>) {
        self.answer = Some(answer);
        self.ended = Ended::Open;
    }

    /// The answer that runs in it.
    pub(super) fn answer(&mut self) -> Option<&mut ObservedStream<Reader>> {
        self.answer.as_mut()
    }

    /// The answer is whole: what is left of its body is read to the end when the conversation is dropped.
    pub(super) fn finished(&mut self) {
        self.ended = Ended::Whole;
    }

    /// Its answer is whole, and another message may follow, now or much later. What is left of the body is read in the
    /// background meanwhile. `None` when the answer is not whole: nothing may follow then.
    #[must_use]
    pub(super) fn rest(mut self) -> Option<Self> {
        if self.ended != Ended::Whole {
            return None;
        }
        self.ended = Ended::Idle;
        let answer = self.answer.take();
        self.resting = answer.map(|answer| self.conversations.run(Last::Finished(Box::new(answer)).settle()));
        Some(self)
    }

    /// Resolves when the last answer's body is closed, so that no message meets an open one.
    pub(super) async fn rested(&mut self) {
        if let Some(resting) = &mut self.resting {
            // It can end only well, or with the process.
            let _ended = resting.await;
            self.resting = None;
        }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Conversation({} of {:?})",
            self.reference.conversation, self.token
        )
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let last = match (self.ended, self.answer.take()) {
            (Ended::Whole, Some(answer)) => Last::Finished(Box::new(answer)),
            (Ended::Idle | Ended::Whole, None) => self.resting.take().map_or(Last::Idle, Last::Resting),
            // An answer that is not finished closes here and now, not when the task gets its turn.
            (Ended::Open | Ended::Idle, _) => Last::Abandoned,
        };
        let (token, reference) = (self.token.clone(), self.reference.clone());
        self.conversations.cleanup().remove(token, reference, last);
    }
}
