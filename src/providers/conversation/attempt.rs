//! One attempt: a conversation, the message, and the answer up to its first event.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::BoxFuture};
use tokio::time::timeout;

use super::{answer::ConversationAnswer, handle::Conversation, manager::Conversations, service::Step};
use crate::engine::{
    event::Event,
    prompt::Prompt,
    provider::{Answer, Fault, PreparedChat, Session, Token, UpstreamError},
};

/// A chat as the service takes it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Chat {
    pub(super) conversations: Conversations,
    pub(super) prompt: Arc<Prompt>,
    /// The model, as the service calls it.
    pub(super) model: Arc<str>,
}

impl PreparedChat for Chat {
    fn prompt(&self) -> Arc<Prompt> {
        Arc::clone(&self.prompt)
    }

    fn open(
        &self,
        credential: &Token,
        session: Option<Session>,
        last: Option<&Fault>,
    ) -> BoxFuture<'static, Result<Box<dyn Answer>, UpstreamError>> {
        let (chat, token) = (self.clone(), credential.clone());
        let was_gone = last == Some(&Fault::Gone);
        async move {
            let answer = match session {
                Some(session) => chat.go_on(&token, session).await?,
                None => chat.begin(&token, was_gone).await?,
            };
            Ok(Box::new(answer) as Box<dyn Answer>)
        }
        .boxed()
    }
}

impl Chat {
    /// Asks in the conversation of a session.
    async fn go_on(&self, token: &Token, session: Session) -> Result<ConversationAnswer, UpstreamError> {
        let Some(mut conversation) = session.into_state::<Conversation>() else {
            let detail = "the session is not one of this service's";
            return Err(UpstreamError::new(Step::PostMessage.name(), Fault::Gone, detail));
        };
        conversation.rested().await;
        let asked = self.ask(token, *conversation).await;
        if asked.as_ref().is_err_and(is_gone) {
            // The rest of the warm pool has most likely gone the same way.
            self.conversations.empty_warm_pool(token);
        }
        asked
    }

    /// Asks in a warm conversation, or in a fresh one. A warm one may have vanished meanwhile, and a fresh one may have
    /// lost its project: another follows at once, once for each, but not when the last attempt ended so already.
    async fn begin(&self, token: &Token, was_gone: bool) -> Result<ConversationAnswer, UpstreamError> {
        if let Some(warm) = self.conversations.warm(token) {
            match self.ask(token, warm).await {
                Err(error) if is_gone(&error) => {
                    log_lost(token, &error);
                    self.conversations.empty_warm_pool(token);
                }
                asked => return asked,
            }
        }
        match self.begin_fresh(token).await {
            Err(error) if is_gone(&error) && !was_gone => {
                log_lost(token, &error);
                self.begin_fresh(token).await
            }
            asked => asked,
        }
    }

    async fn begin_fresh(&self, token: &Token) -> Result<ConversationAnswer, UpstreamError> {
        let conversation = self.conversations.fresh(token).await?;
        let project = conversation.reference().project.clone();
        let asked = self.ask(token, conversation).await;
        if asked.as_ref().is_err_and(is_gone) {
            self.conversations.forget_project(token, &project).await;
        }
        asked
    }

    /// Posts the message, and waits for the first event of the answer: only that shows whether the conversation is still
    /// there.
    async fn ask(
        &self,
        token: &Token,
        mut conversation: Conversation,
    ) -> Result<ConversationAnswer, UpstreamError> {
        let service = self.conversations.service();
        let reference = conversation.reference().clone();
        conversation.begin();
        service
            .post_message(token, &reference, self.prompt.text())
            .await?;
        let mut answer = service.open_answer(token, &reference, &self.model).await?;
        let first = match timeout(service.timeout(), answer.next()).await {
            Ok(Some(Err(error))) if is_gone(&error) => return Err(error),
            Ok(first) => first,
            Err(_) => {
                let step = Step::ReadAnswer.name();
                return Err(UpstreamError::new(step, Fault::Timeout, "the answer stalled"));
            }
        };
        if let Some(Ok(Event::End)) = first {
            answer.complete();
        }
        conversation.attach(answer);
        Ok(ConversationAnswer {
            conversation,
            first: Some(first),
            prompt: Arc::clone(&self.prompt),
        })
    }
}

fn is_gone(error: &UpstreamError) -> bool {
    error.fault == Fault::Gone
}

fn log_lost(token: &Token, error: &UpstreamError) {
    tracing::warn!(token = %token.label(), retries = 0, error = %error, "an attempt failed");
}
