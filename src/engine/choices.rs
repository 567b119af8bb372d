//! Several answers to one request: each a chat of its own, with its own permit, token and conversation, and all of
//! them one call for the client. The first failure ends them all.

use std::sync::Arc;

use futures::{
    StreamExt, TryStreamExt,
    future::try_join_all,
    stream::{self, BoxStream, SelectAll, select_all},
};

use super::{
    Engine, Permit, Prepared,
    chat::{CallContext, ChatEvent, ChatRequest, Completion, FinishReason, Usage},
    error::ChatError,
    failure::overloaded,
    outcome,
};
use crate::telemetry::{CallRecord, Outcome};

/// One event of several answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChoiceEvent {
    /// More of an answer; never empty.
    Content {
        /// Of which one.
        index: u32,
        /// The text.
        text: String,
    },
    /// More of the reasoning before an answer; never empty.
    Reasoning {
        /// Of which one.
        index: u32,
        /// The text.
        text: String,
    },
    /// An answer is whole.
    Finished {
        /// Which one.
        index: u32,
        /// Why it ended.
        reason: FinishReason,
    },
    /// All are whole, and this is what they cost together. Nothing comes after.
    Usage(Usage),
}

/// Several whole answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completions {
    /// In the order of their indexes.
    pub choices: Vec<Completion>,
    /// What they cost together.
    pub usage: Usage,
}

impl Engine {
    /// Takes room for `more` chats beside one that was admitted: for all of them or for none.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn admit_more(&self, more: u32) -> Result<Vec<Permit>, ChatError> {
        let mut all = Arc::clone(&self.shared.admission)
            .try_acquire_many_owned(more)
            .map_err(|_| overloaded())?;
        let each = std::iter::from_fn(|| all.split(1).map(Permit));
        Ok(each.collect())
    }

    /// Starts as many chats as the request wants answers: resolves when the first text of any is here. Dropping the
    /// future cancels them all.
    ///
    /// # Errors
    /// When there is no room for all, or one failed before any text came.
    pub async fn stream_choices(
        &self,
        request: ChatRequest,
        context: CallContext,
        permit: Permit,
    ) -> Result<ChoiceStream, ChatError> {
        let mut choices = ChoiceStream::new(context.record.clone());
        let (prepared, permits) = self.prepare_all(request, &context, permit).await?;
        choices.answers = select_all((0..).zip(permits).map(|(index, permit)| {
            let context = part(&context);
            self.answer(index, Arc::clone(&prepared), context, permit)
        }));
        choices.unfinished = choices.answers.len();
        match choices.next().await {
            Some(Ok(first)) => {
                choices.first = Some(first);
                Ok(choices)
            }
            Some(Err(error)) => Err(error),
            None => Ok(choices),
        }
    }

    /// Runs as many chats as the request wants answers to their ends. Dropping the future cancels them all.
    ///
    /// # Errors
    /// When there is no room for all, or one failed.
    pub async fn complete_choices(
        &self,
        request: ChatRequest,
        context: CallContext,
        permit: Permit,
    ) -> Result<Completions, ChatError> {
        let (prepared, permits) = self.prepare_all(request, &context, permit).await?;
        let each = permits
            .into_iter()
            .map(|permit| self.finish(&prepared, part(&context), permit));
        let choices = try_join_all(each)
            .await
            .inspect_err(|error| context.record.conclude(outcome(error.kind())))?;
        context.record.conclude(Outcome::OK);
        let usage = choices.iter().map(|choice| choice.usage).reduce(together);
        Ok(Completions {
            choices,
            usage: usage.unwrap_or_default(),
        })
    }

    async fn prepare_all(
        &self,
        request: ChatRequest,
        context: &CallContext,
        permit: Permit,
    ) -> Result<(Arc<Prepared>, Vec<Permit>), ChatError> {
        let more = request.n.unwrap_or(1).saturating_sub(1);
        let more = self.admit_more(u32::try_from(more).unwrap_or(u32::MAX));
        let mut permits = more.inspect_err(|error| context.record.conclude(outcome(error.kind())))?;
        permits.push(permit);
        let prepared = self.prepare(request, context).await?;
        Ok((Arc::new(prepared), permits))
    }

    fn answer(
        &self,
        index: u32,
        prepared: Arc<Prepared>,
        context: CallContext,
        permit: Permit,
    ) -> BoxStream<'static, (u32, Result<ChatEvent, ChatError>)> {
        let engine = self.clone();
        let started = async move { engine.start(&prepared, context, permit).await };
        let events = stream::once(started).map_ok(|chat| {
            stream::unfold(chat, |mut chat| async move {
                let event = chat.next().await?;
                Some((event, chat))
            })
        });
        events.try_flatten().map(move |event| (index, event)).boxed()
    }
}

/// The part of a call that one of several answers is.
fn part(context: &CallContext) -> CallContext {
    CallContext {
        deadline: context.deadline,
        record: context.record.part(),
    }
}

/// What two answers to one prompt cost: the prompt once, both answers.
fn together(one: Usage, other: Usage) -> Usage {
    Usage {
        prompt_tokens: one.prompt_tokens,
        completion_tokens: one.completion_tokens.saturating_add(other.completion_tokens),
        total_tokens: one.total_tokens.saturating_add(other.completion_tokens),
    }
}

/// Several streamed answers, mixed as they come. Pulled by their client: nothing runs while nobody asks. Dropping it
/// before the end closes them all, and counts the call as cancelled.
pub struct ChoiceStream {
    answers: SelectAll<BoxStream<'static, (u32, Result<ChatEvent, ChatError>)>>,
    /// What the call's start waited for.
    first: Option<ChoiceEvent>,
    unfinished: usize,
    usage: Option<Usage>,
    record: CallRecord,
    ended: bool,
}

impl std::fmt::Debug for ChoiceStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChoiceStream({} unfinished)", self.unfinished)
    }
}

impl ChoiceStream {
    fn new(record: CallRecord) -> Self {
        Self {
            answers: SelectAll::new(),
            first: None,
            unfinished: 0,
            usage: None,
            record,
            ended: false,
        }
    }

    /// The next event of any answer; `None` after [`ChoiceEvent::Usage`] or an error. Dropping the future loses no
    /// event.
    ///
    /// # Errors
    /// Once, as the last item: one of the answers failed. The others are closed.
    pub async fn next(&mut self) -> Option<Result<ChoiceEvent, ChatError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.ended {
            return None;
        }
        if self.unfinished == 0 {
            self.end(Outcome::OK);
            return self.usage.map(|usage| Ok(ChoiceEvent::Usage(usage)));
        }
        let (index, event) = self.answers.next().await?;
        Some(match event {
            Ok(ChatEvent::Content(text)) => Ok(ChoiceEvent::Content { index, text }),
            Ok(ChatEvent::Reasoning(text)) => Ok(ChoiceEvent::Reasoning { index, text }),
            Ok(ChatEvent::Finished { reason, usage }) => {
                self.unfinished = self.unfinished.saturating_sub(1);
                self.usage = Some(self.usage.map_or(usage, |sum| together(sum, usage)));
                if self.unfinished == 0 {
                    // Whoever goes now has all that matters.
                    self.record.conclude(Outcome::OK);
                }
                Ok(ChoiceEvent::Finished { index, reason })
            }
            Err(error) => {
                self.end(outcome(error.kind()));
                Err(error)
            }
        })
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.record.conclude(outcome);
        self.answers.clear();
    }
}

impl Drop for ChoiceStream {
    fn drop(&mut self) {
        // A call that failed before it began has said so already.
        if !self.ended {
            self.record.conclude(Outcome::CANCELLED);
        }
    }
}
