//! One chat, from the request to its answer: what goes upstream, the attempts within the deadline, the stream or the
//! whole of what came.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{
    Engine, Permit,
    attempts::{Run, Tries, Want},
    chat::{CallContext, Completion, FinishReason, Said, Usage},
    error::ChatError,
    failure::deadline_exceeded,
    inflight::Ticket,
    limits::Limits,
    outcome,
    provider::PreparedChat,
    request::ChatRequest,
    route::Route,
    stream::{ChatStream, Opened, fold},
    upstream::Upstream,
};
use crate::telemetry::Outcome;

/// A request that its upstream has accepted.
pub(super) struct Prepared {
    pub(super) upstream: Arc<Upstream>,
    pub(super) chat: Arc<dyn PreparedChat>,
    pub(super) limits: Limits,
}

impl Prepared {
    /// Hands a request to the upstream of its route.
    pub(super) async fn of(request: ChatRequest, route: &Route) -> Result<Self, ChatError> {
        let Route { upstream, model } = route;
        let limits = Limits::of(&request);
        let chat = upstream.provider.prepare(request, model).await?;
        Ok(Self {
            upstream: Arc::clone(upstream),
            chat,
            limits,
        })
    }

    /// The answer, where it is known without the upstream: one of no tokens is empty.
    pub(super) async fn foregone(&self) -> Option<Completion> {
        if self.limits.max_tokens != Some(0) {
            return None;
        }
        let prompt_tokens = self.chat.prompt().tokens().await;
        Some(Completion {
            said: Said::default(),
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
    /// Hands a request to the upstream of its model.
    pub(super) async fn prepare(
        &self,
        request: ChatRequest,
        context: &CallContext,
    ) -> Result<Prepared, ChatError> {
        let prepared = async {
            context.record.set_model(&request.model);
            let route = self.route(&request.model)?;
            Prepared::of(request, &route).await
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
        Ok(ChatStream::new(opened, permit, context, ticket))
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
        let completion = fold(opened).await;
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
        let run = self.run(prepared, context, want);
        in_time(run.attempts(Tries::default()), context, ticket).await
    }

    /// The attempts of a prepared chat.
    pub(super) fn run<'a>(&self, prepared: &'a Prepared, context: &'a CallContext, want: Want) -> Run<'a> {
        Run {
            upstream: &prepared.upstream,
            policy: self.shared.policy(),
            chat: prepared.chat.as_ref(),
            limits: &prepared.limits,
            context,
            want,
        }
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
