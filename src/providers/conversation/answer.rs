//! The answer to a chat: runs in its conversation, and owns it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt};

use super::handle::Conversation;
use crate::engine::{
    event::Event,
    prompt::Prompt,
    provider::{Answer, Session, UpstreamError},
};

type Item = Result<Event, UpstreamError>;

/// An answer. Dropping it closes it, and removes the conversation in the background.
pub(super) struct ConversationAnswer {
    pub(super) conversation: Conversation,
    /// The first event, which has been waited for already.
    pub(super) first: Option<Option<Item>>,
    pub(super) prompt: Arc<Prompt>,
}

impl Stream for ConversationAnswer {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(first);
        }
        match self.conversation.answer() {
            Some(answer) => {
                let polled = answer.poll_next_unpin(context);
                if let Poll::Ready(Some(Ok(Event::End))) = polled {
                    answer.complete();
                }
                polled
            }
            None => Poll::Ready(None),
        }
    }
}

impl Answer for ConversationAnswer {
    fn complete(&mut self) {
        self.conversation.finished();
    }

    fn prompt(&self) -> Arc<Prompt> {
        Arc::clone(&self.prompt)
    }

    fn into_session(self: Box<Self>) -> Option<Session> {
        let conversation = self.conversation.rest()?;
        Some(Session::new(conversation.token().clone(), conversation))
    }
}
