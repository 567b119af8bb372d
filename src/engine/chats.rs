//! One chat, from the request to its answer: what goes upstream, the attempts within the deadline, the stream or the
//! whole of what came.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{
    Engine, Permit,
    attempts::{Chat, Tries, Want},
    chat::{CallContext, ChatRequest, Completion, FinishReason, Usage},
    error::ChatError,
    failure::deadline_exceeded,
    inflight::Ticket,
    limits::Limits,
    outcome,
    stream::{ChatStream, Opened, fold},
    text::Prompt,
};
use crate::telemetry::Outcome;

/// A request as the upstream is to get it.
#[derive(Debug)]
pub(super) struct Prepared {
    model: String,
    prompt: Arc<Prompt>,
    limits: Limits,
}

impl Prepared {
    /// The answer, where it is known without the upstream: one of no tokens is empty.
    pub(super) async fn foregone(&self) -> Option<Completion> {
        if self.limits.max_tokens != Some(0) {
            return None;
        }
        let prompt_tokens = self.prompt.tokens().await;
        Some(Completion {
            text: String::new(),
            reasoning: String::new(),
            reason: FinishReason::Length,
            usage: Usage {
                prompt_tokens,
                total_tokens: prompt_tokens,
                ..Usage::default()
            },
        })
    }
}

impl Engine {
    /// Starts a chat: resolves when the first text of its answer is here, after as many tries as that takes.
    /// Dropping the future cancels the chat. Of a request for several answers it gives one.
    ///
    /// # Errors
    /// When no answer could be started.
    pub async fn stream(
        &self,
        request: ChatRequest,
        context: CallContext,
        permit: Permit,
    ) -> Result<ChatStream, ChatError> {
        let prepared = self.prepare(request, &context).await?;
        self.start(&prepared, context, permit).await
    }

    /// Runs a chat to its end: resolves with the whole answer. Dropping the future cancels the chat. Of a request for
    /// several answers it gives one.
    ///
    /// # Errors
    /// When no whole answer could be had.
    pub async fn complete(
        &self,
        request: ChatRequest,
        context: CallContext,
        permit: Permit,
    ) -> Result<Completion, ChatError> {
        let prepared = self.prepare(request, &context).await?;
        self.finish(&prepared, context, permit).await
    }

    /// Makes of a request what the upstream is to get.
    pub(super) async fn prepare(
        &self,
        request: ChatRequest,
        context: &CallContext,
    ) -> Result<Prepared, ChatError> {
        let prepared = async {
            let ChatRequest {
                model,
                messages,
                stop,
                max_tokens,
                temperature: _,
                top_p: _,
                n: _,
            } = request;
            context.record.set_model(&model);
            let model = self.models().resolve(&model)?.to_owned();
            let prompt = Prompt::of(messages, self.shared.policy().max_prompt_bytes).await?;
            Ok(Prepared {
                model,
                prompt: Arc::new(prompt),
                limits: Limits { stop, max_tokens },
            })
        };
        prepared
            .await
            .inspect_err(|error: &ChatError| context.record.conclude(outcome(error.kind())))
    }

    /// Starts a chat that is prepared.
    pub(super) async fn start(
        &self,
        prepared: &Prepared,
        context: CallContext,
        permit: Permit,
    ) -> Result<ChatStream, ChatError> {
        let ticket = self.shared.in_flight.enter(&context.record);
        let opened = self.open(prepared, &context, &ticket, Want::Start).await?;
        let prompt = Arc::clone(&prepared.prompt);
        Ok(ChatStream::new(opened, permit, prompt, context, ticket))
    }

    /// Runs a chat that is prepared to its end.
    pub(super) async fn finish(
        &self,
        prepared: &Prepared,
        context: CallContext,
        permit: Permit,
    ) -> Result<Completion, ChatError> {
        if let Some(completion) = prepared.foregone().await {
            context.record.conclude(Outcome::OK);
            return Ok(completion);
        }
        let ticket = self.shared.in_flight.enter(&context.record);
        let opened = self.open(prepared, &context, &ticket, Want::Whole).await?;
        let completion = fold(opened, &prepared.prompt).await;
        context.record.conclude(Outcome::OK);
        drop(permit);
        Ok(completion)
    }

    async fn open(
        &self,
        prepared: &Prepared,
        context: &CallContext,
        ticket: &Ticket,
        want: Want,
    ) -> Result<Opened, ChatError> {
        let Prepared {
            model,
            prompt,
            limits,
        } = prepared;
        let chat = Chat {
            prompt: prompt.text(),
            model,
            limits,
            context,
            want,
        };
        in_time(self.shared.attempts(&chat, Tries::default()), context, ticket).await
    }
}

/// Runs attempts until the chat's deadline, or until it is ended before its time; notes how long they took, and why they
/// came to nothing.
pub(super) async fn in_time<T>(
    attempts: impl Future<Output = Result<T, ChatError>>,
    context: &CallContext,
    ticket: &Ticket,
) -> Result<T, ChatError> {
    let began = Instant::now();
    let opened = tokio::select! {
        biased;
        error = ticket.ended() => Err(error),
        opened = timeout_at(context.deadline, attempts) => opened.unwrap_or_else(|_| Err(deadline_exceeded())),
    };
    context.record.note_upstream(began.elapsed());
    opened.inspect_err(|error| context.record.conclude(outcome(error.kind())))
}
