//! The upstream, with every call counted, the service's pulse taken, and the circuit breakers fed by what chats wait
//! for. It changes nothing.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture};
use tokio::time::Instant;

use super::{
    breaker::Breakers,
    counted::CLOSED,
    upstream::{
        Answer, AnswerEvent, Capabilities, ConversationRef, Fault, RemoteId, Step, Token, Upstream,
        UpstreamError,
    },
};
use crate::telemetry::{Metrics, seldom};

/// A call that is older than this tells nothing about the service's health now.
const RECENT: Duration = Duration::from_secs(60);

/// Wraps an upstream.
#[derive(Clone)]
pub(super) struct Observed {
    inner: Arc<dyn Upstream>,
    metrics: Arc<Metrics>,
    pulse: Arc<Mutex<Option<(Instant, bool)>>>,
    /// Those that calls which a chat waits for are counted by.
    breakers: Option<Arc<Breakers>>,
}

impl Observed {
    /// For calls that nobody waits for.
    pub(super) fn background(inner: Arc<dyn Upstream>, metrics: Arc<Metrics>) -> Self {
        Self {
            inner,
            metrics,
            pulse: Arc::default(),
            breakers: None,
        }
    }

    /// The same upstream, for calls that a chat waits for.
    pub(super) fn foreground(&self, breakers: Arc<Breakers>) -> Self {
        Self {
            breakers: Some(breakers),
            ..self.clone()
        }
    }

    /// Whether the service answered the last call in any way, if that was recent.
    pub(super) fn recent_pulse(&self) -> Option<bool> {
        let pulse = *self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        pulse
            .filter(|(at, _)| at.elapsed() < RECENT)
            .map(|(_, alive)| alive)
    }

    fn ended(&self, step: Step, error: Option<&UpstreamError>) {
        self.metrics
            .count_upstream_call(step.name(), error.map_or("ok", |error| error.fault.name()));
        if let Some(error) = error.filter(|error| error.fault.is_local()) {
            if let Some(left_out) = seldom("upstream_call") {
                tracing::warn!(error = %error, left_out, "the gateway's own machine has nothing left for a call to the upstream");
            }
            return;
        }
        // Whoever answers is there, even with a failure.
        let silent = |error: &UpstreamError| matches!(error.fault, Fault::Connection | Fault::Timeout);
        let alive = !error.is_some_and(silent);
        *self.pulse.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), alive));
        if let Some(breakers) = &self.breakers {
            let good = !error.is_some_and(|error| error.fault.is_services());
            breakers.count(self.inner.origin(step), good);
        }
    }

    fn observe<T: Send + 'static>(
        &self,
        step: Step,
        call: BoxFuture<'static, Result<T, UpstreamError>>,
    ) -> BoxFuture<'static, Result<T, UpstreamError>> {
        let observed = self.clone();
        async move {
            let began = Instant::now();
            let result = call.await;
            observed
                .metrics
                .observe_upstream_head(step.name(), began.elapsed());
            observed.ended(step, result.as_ref().err());
            result
        }
        .boxed()
    }
}

impl Upstream for Observed {
    fn list_projects(&self, token: &Token) -> BoxFuture<'static, Result<Vec<RemoteId>, UpstreamError>> {
        self.observe(Step::ListProjects, self.inner.list_projects(token))
    }

    fn create_project(&self, token: &Token) -> BoxFuture<'static, Result<RemoteId, UpstreamError>> {
        self.observe(Step::CreateProject, self.inner.create_project(token))
    }

    fn list_conversations(
        &self,
        token: &Token,
        project: &RemoteId,
    ) -> BoxFuture<'static, Result<Vec<RemoteId>, UpstreamError>> {
        self.observe(
            Step::ListConversations,
            self.inner.list_conversations(token, project),
        )
    }

    fn create_conversation(
        &self,
        token: &Token,
        project: &RemoteId,
    ) -> BoxFuture<'static, Result<RemoteId, UpstreamError>> {
        self.observe(
            Step::CreateConversation,
            self.inner.create_conversation(token, project),
        )
    }

    fn delete_conversation(
        &self,
        token: &Token,
        conversation: &ConversationRef,
    ) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.observe(
            Step::DeleteConversation,
            self.inner.delete_conversation(token, conversation),
        )
    }

    fn post_message(
        &self,
        token: &Token,
        conversation: &ConversationRef,
        text: &str,
    ) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.observe(
            Step::PostMessage,
            self.inner.post_message(token, conversation, text),
        )
    }

    fn open_answer(
        &self,
        token: &Token,
        conversation: &ConversationRef,
        model: &str,
    ) -> BoxFuture<'static, Result<Answer, UpstreamError>> {
        let call = self.inner.open_answer(token, conversation, model);
        let observed = self.clone();
        async move {
            let began = Instant::now();
            let opened = call.await;
            observed
                .metrics
                .observe_upstream_head(Step::ReadAnswer.name(), began.elapsed());
            match opened {
                Ok(answer) => Ok(ObservedAnswer {
                    answer,
                    observed,
                    told: false,
                }
                .boxed()),
                Err(error) => {
                    observed.ended(Step::ReadAnswer, Some(&error));
                    Err(error)
                }
            }
        }
        .boxed()
    }

    fn origin(&self, step: Step) -> usize {
        self.inner.origin(step)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_reachable(&self) -> BoxFuture<'static, Option<bool>> {
        self.inner.is_reachable()
    }
}

/// An answer under way: it counts when it ends, fails, or is closed before either.
struct ObservedAnswer {
    answer: Answer,
    observed: Observed,
    told: bool,
}

impl ObservedAnswer {
    fn tell(&mut self, error: Option<&UpstreamError>) {
        if !std::mem::replace(&mut self.told, true) {
            self.observed.ended(Step::ReadAnswer, error);
        }
    }
}

impl Stream for ObservedAnswer {
    type Item = Result<AnswerEvent, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.answer.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Err(error))) => self.tell(Some(error)),
            Poll::Ready(Some(Ok(AnswerEvent::Done)) | None) => self.tell(None),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for ObservedAnswer {
    fn drop(&mut self) {
        if !self.told {
            self.observed
                .metrics
                .count_upstream_call(Step::ReadAnswer.name(), CLOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::answer::tests::Quiet;

    #[tokio::test(start_paused = true)]
    async fn a_want_of_our_own_feeds_no_breaker_and_takes_no_pulse() {
        let breakers = Arc::new(Breakers::new(0, Duration::from_secs(1)));
        let metrics = Arc::new(Metrics::build().unwrap());
        let observed = Observed::background(Arc::new(Quiet), metrics).foreground(Arc::clone(&breakers));
        let local = UpstreamError::new(Step::PostMessage, Fault::Local { sent: false }, "no descriptor");
        (0..100).for_each(|_| observed.ended(Step::PostMessage, Some(&local)));
        assert_eq!((breakers.open_count(), observed.recent_pulse()), (0, None));
        let remote = UpstreamError::new(Step::PostMessage, Fault::Connection, "refused");
        (0..100).for_each(|_| observed.ended(Step::PostMessage, Some(&remote)));
        assert_eq!((breakers.open_count(), observed.recent_pulse()), (1, Some(false)));
    }
}
