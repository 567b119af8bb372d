//! The calls to one upstream: counted, timed, and the input of its circuit breakers. A provider makes its calls through
//! this.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use strum::IntoEnumIterator;
use tokio::time::Instant;

use super::{
    breaker::Breakers,
    error::ChatError,
    provider::{Fault, UpstreamError},
};
use crate::telemetry::{Metrics, Outcome, seldom};

/// A call that is older than this tells nothing about the service's health now.
const RECENT: Duration = Duration::from_secs(60);
/// The outcome of a call that was dropped before its end.
const CLOSED: &str = "closed";

/// A call of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The step, as metrics and logs name it.
    pub step: &'static str,
    /// The origin that takes the call: calls with equal numbers fail together when it is down. Small, from 0.
    pub origin: usize,
    /// Who waits for it.
    pub purpose: Purpose,
}

/// Who waits for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A chat: the call counts for the circuit breakers.
    Chat,
    /// Nobody.
    Background,
}

/// The calls to one upstream. Cheap to clone; all clones are one upstream's.
#[derive(Debug, Clone)]
pub struct Calls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    last_contact: Mutex<Option<Contact>>,
    breakers: Breakers,
}

#[derive(Debug, Clone, Copy)]
struct Contact {
    at: Instant,
    /// Whether the service answered in any way.
    answered: bool,
}

impl Calls {
    /// Counts in `metrics`, where every series of the provider's `steps` begins at zero. An open circuit breaker is
    /// probed once in `probe_interval`: that of `probed_origin` in the background, by [`Provider::probe`], any other by
    /// a chat.
    ///
    /// [`Provider::probe`]: super::provider::Provider::probe
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        steps: &[&'static str],
        probed_origin: usize,
        probe_interval: Duration,
    ) -> Self {
        let faults = Fault::iter().map(|fault| fault.name());
        let outcomes: Vec<_> = [Outcome::OK.name, CLOSED].into_iter().chain(faults).collect();
        metrics.begin_upstream_calls(steps, &outcomes);
        Self {
            shared: Arc::new(Shared {
                metrics,
                last_contact: Mutex::default(),
                breakers: Breakers::new(probed_origin, probe_interval),
            }),
        }
    }

    /// Makes a call: `made` resolves when its answer is read. Dropping the future closes the call uncounted.
    ///
    /// # Errors
    /// As the call fails.
    pub async fn observe<T>(
        &self,
        call: Call,
        made: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let result = self.time(call, made).await;
        self.ended(call, result.as_ref().err());
        result
    }

    /// Makes a call whose answer is a stream: `made` resolves with the stream, which is counted at its end.
    ///
    /// # Errors
    /// As the call fails before the stream is there.
    pub async fn observe_stream<S>(
        &self,
        call: Call,
        made: impl Future<Output = Result<S, UpstreamError>>,
    ) -> Result<ObservedStream<S>, UpstreamError> {
        match self.time(call, made).await {
            Ok(stream) => Ok(ObservedStream {
                stream,
                calls: self.clone(),
                call,
                counted: false,
            }),
            Err(error) => {
                self.ended(call, Some(&error));
                Err(error)
            }
        }
    }

    async fn time<T>(&self, call: Call, made: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = made.await;
        self.shared
            .metrics
            .observe_upstream_head(call.step, began.elapsed());
        result
    }

    /// Whether the service answered the last call in any way; `None` where that was not recent.
    pub(super) fn recent_contact(&self) -> Option<bool> {
        let contact = *self.shared.last_contact.lock();
        contact
            .filter(|contact| contact.at.elapsed() < RECENT)
            .map(|contact| contact.answered)
    }

    pub(super) fn breakers(&self) -> &Breakers {
        &self.shared.breakers
    }

    /// Lets an attempt of a chat pass.
    ///
    /// # Errors
    /// `upstream_unavailable` while a circuit breaker is open.
    pub(super) fn pass(&self) -> Result<(), ChatError> {
        self.shared.breakers.pass().map_err(ChatError::circuit_open)
    }

    fn ended(&self, call: Call, error: Option<&UpstreamError>) {
        let outcome = error.map_or(Outcome::OK.name, |error| error.fault.name());
        self.shared.metrics.count_upstream_call(call.step, outcome);
        if let Some(error) = error.filter(|error| error.fault.is_local()) {
            if let Some(left_out) = seldom("upstream_call") {
                tracing::warn!(error = %error, left_out, "the gateway's own machine has nothing left for a call to the upstream");
            }
            return;
        }
        // Even a failure is an answer.
        let silent = |error: &UpstreamError| matches!(error.fault, Fault::Connection | Fault::Timeout);
        *self.shared.last_contact.lock() = Some(Contact {
            at: Instant::now(),
            answered: !error.is_some_and(silent),
        });
        if call.purpose == Purpose::Chat {
            let good = !error.is_some_and(|error| error.fault.is_services());
            self.shared.breakers.count(call.origin, good);
        }
    }
}

/// The answer to a call, as a stream. It counts when it ends, fails, or is dropped before either.
#[derive(Debug)]
pub struct ObservedStream<S> {
    stream: S,
    calls: Calls,
    call: Call,
    counted: bool,
}

impl<S> ObservedStream<S> {
    /// The answer is whole by what has come: it counts as a good one from here on.
    pub fn complete(&mut self) {
        self.end(None);
    }

    fn end(&mut self, error: Option<&UpstreamError>) {
        if !std::mem::replace(&mut self.counted, true) {
            self.calls.ended(self.call, error);
        }
    }
}

impl<T, S: Stream<Item = Result<T, UpstreamError>> + Unpin> Stream for ObservedStream<S> {
    type Item = Result<T, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Err(error))) => self.end(Some(error)),
            Poll::Ready(None) => self.end(None),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }
}

impl<S> Drop for ObservedStream<S> {
    fn drop(&mut self) {
        if !self.counted {
            self.calls
                .shared
                .metrics
                .count_upstream_call(self.call.step, CLOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shortage_of_our_own_feeds_no_breaker_and_is_no_contact() {
        let metrics = Arc::new(Metrics::build().unwrap());
        let calls = Calls::new(metrics, &["post_message"], 0, Duration::from_secs(1));
        let call = Call {
            step: "post_message",
            origin: 0,
            purpose: Purpose::Chat,
        };
        let open_count = || calls.breakers().open_count();
        let local = UpstreamError::new("post_message", Fault::Local { sent: false }, "no descriptor");
        (0..100).for_each(|_| calls.ended(call, Some(&local)));
        assert_eq!((open_count(), calls.recent_contact()), (0, None));
        let remote = UpstreamError::new("post_message", Fault::Connection, "refused");
        (0..100).for_each(|_| calls.ended(call, Some(&remote)));
        assert_eq!((open_count(), calls.recent_contact()), (1, Some(false)));
    }
}
