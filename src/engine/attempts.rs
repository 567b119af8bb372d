//! The attempts of one chat: a lease, the provider's answer, and the consequences of a failure.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{
    EnginePolicy,
    answer::{AnswerReader, Ending, Read},
    chat::CallContext,
    error::ChatError,
    event::Event,
    failure::{deadline_exceeded, given_up, no_token, unavailable},
    limits::{LimitedReader, Limits},
    pool::{Lease, TriedTokens},
    prompt::Prompt,
    provider::{CredentialChange, Fault, PreparedChat, Session, UpstreamError},
    stream::{Held, Opened},
    upstream::Upstream,
    verdict::{ChatVerdict, verdict},
};

/// How much of an answer a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Its first text: from there on no other attempt can take over.
    Start,
    /// All of it: a cut attempt is thrown away, and another may follow.
    Whole,
}

/// One chat on its way through the attempts.
pub(super) struct Run<'a> {
    pub(super) upstream: &'a Arc<Upstream>,
    pub(super) policy: Arc<EnginePolicy>,
    pub(super) chat: &'a dyn PreparedChat,
    pub(super) limits: &'a Limits,
    pub(super) context: &'a CallContext,
    pub(super) want: Want,
}

/// The history of one chat's attempts.
#[derive(Debug, Default)]
pub(super) struct Tries {
    tokens: TriedTokens,
    /// Attempts after a fault of the service.
    retries: u32,
    attempts: u32,
    /// The fault of the last attempt.
    last: Option<Fault>,
}

/// The start of an attempt's answer.
struct Started {
    reader: LimitedReader,
    prompt: Arc<Prompt>,
    events: VecDeque<Event>,
    ending: Option<Ending>,
}

impl Run<'_> {
    /// Attempts until one succeeds, or none can help any more; `tries` are the attempts so far.
    pub(super) async fn attempts(&self, mut tries: Tries) -> Result<Opened, ChatError> {
        loop {
            check_prospects(self.upstream, &tries, self.context.deadline)?;
            let lease = self.upstream.pool.lease(&tries.tokens).map_err(no_token)?;
            if let Ok(opened) = self.step(lease, None, &mut tries).await? {
                return Ok(opened);
            }
        }
    }

    /// One attempt: in `session`, which belongs to the lease's token, or in none. When it fails the token is judged, and
    /// the wait before the next attempt is over.
    ///
    /// # Errors
    /// When no other attempt would fare better. The inner error says why this one failed.
    pub(super) async fn step(
        &self,
        mut lease: Lease,
        session: Option<Session>,
        tries: &mut Tries,
    ) -> Result<Result<Opened, UpstreamError>, ChatError> {
        self.context.record.set_token(lease.token().label());
        tries.attempts += 1;
        let in_session = session.is_some();
        let error = match self.attempt(&mut lease, session, tries.last.as_ref()).await {
            Ok(started) => {
                let Started {
                    reader,
                    prompt,
                    events,
                    ending,
                } = started;
                return Ok(Ok(Opened {
                    held: Held { reader, lease },
                    prompt,
                    events,
                    ending,
                }));
            }
            Err(error) => error,
        };
        tries.last = Some(error.fault.clone());
        let (token_verdict, chat_verdict) = verdict(&error);
        if lease.failed(token_verdict) {
            let change = CredentialChange::Unusable;
            self.upstream.provider.credential_changed(lease.token(), change);
        }
        let retries = tries.retries;
        // A shortage of the gateway's own is logged where it is met, and seldom.
        if !error.fault.is_local() {
            tracing::warn!(token = %lease.token().label(), retries, error = %error, "an attempt failed");
        }
        match chat_verdict {
            ChatVerdict::OtherToken => tries.tokens.bar(lease.slot()),
            ChatVerdict::GiveUp => return Err(given_up(&error)),
            // A lost session is nobody's fault: the chat can be sent whole at once.
            ChatVerdict::Again if in_session && error.fault == Fault::Gone => {}
            ChatVerdict::Again => {
                tries.tokens.tried(lease.slot());
                drop(lease); // release the token before backing off
                self.back_off(tries.retries, &error).await?;
                tries.retries += 1;
            }
        }
        Ok(Err(error))
    }

    fn time_left(&self) -> Duration {
        time_left(self.context.deadline)
    }

    /// One attempt: the answer, and as much of it as is wanted.
    async fn attempt(
        &self,
        lease: &mut Lease,
        session: Option<Session>,
        last: Option<&Fault>,
    ) -> Result<Started, UpstreamError> {
        let began = Instant::now();
        let answer = self.chat.open(lease.token(), session, last).await?;
        let prompt = answer.prompt();
        let reader = AnswerReader::new(answer, self.policy.patience, self.policy.unmarked_end);
        let mut reader = LimitedReader::new(reader, self.limits);
        let mut events = VecDeque::new();
        let ending = loop {
            let read = reader.read().await?;
            if events.is_empty() {
                self.upstream.fastest_start.note(began.elapsed());
                if lease.succeeded() {
                    let change = CredentialChange::Served;
                    self.upstream.provider.credential_changed(lease.token(), change);
                }
                self.context.record.note_first_token();
            }
            match read {
                Read::End(ending) => break Some(ending),
                Read::More(event) => events.push_back(event),
            }
            if self.want == Want::Start {
                break None;
            }
        };
        Ok(Started {
            reader,
            prompt,
            events,
            ending,
        })
    }

    /// Waits before the next try: `RETRY_DELAY` doubling, jittered between half and all of it, and at least as long
    /// as the upstream asked for. A wait that leaves no room before the deadline is answered at once.
    async fn back_off(&self, retries: u32, error: &UpstreamError) -> Result<(), ChatError> {
        if retries >= self.policy.max_retries {
            return Err(unavailable(error));
        }
        let doubled = self
            .policy
            .retry_delay
            .saturating_mul(2_u32.saturating_pow(retries));
        let left = self.time_left();
        // Half of twice the time left has no room any more, and nothing longer gets near an overflow.
        let jittered = doubled
            .min(left.saturating_mul(2))
            .mul_f64(0.5 + fastrand::f64() / 2.0);
        let asked_for = error.fault.retry_after();
        let wait = jittered.max(asked_for.unwrap_or_default());
        if wait.saturating_add(self.upstream.fastest_start.get()) >= left {
            return Err(unavailable(error).with_retry_after(asked_for));
        }
        tokio::select! {
            () = sleep(wait) => {}
            // The next look at the prospects tells the caller so, at once.
            () = self.upstream.calls.breakers().opened() => {}
        }
        Ok(())
    }
}

/// Whether an attempt can be of use: not when the upstream keeps failing, and not when the deadline leaves less than the
/// fastest start of an answer so far.
///
/// # Errors
/// `deadline_exceeded`, or `upstream_unavailable` while a circuit breaker is open.
pub(super) fn check_prospects(
    upstream: &Upstream,
    tries: &Tries,
    deadline: Instant,
) -> Result<(), ChatError> {
    let left = time_left(deadline);
    if left.is_zero() || (tries.attempts > 0 && left < upstream.fastest_start.get()) {
        return Err(deadline_exceeded());
    }
    upstream.calls.pass()
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The fastest start of an answer so far: no attempt needs less.
#[derive(Debug, Default)]
pub(super) struct FastestStart(Mutex<Option<Duration>>);

impl FastestStart {
    fn note(&self, took: Duration) {
        let mut fastest = self.0.lock();
        *fastest = Some(fastest.map_or(took, |known| known.min(took)));
    }

    fn get(&self) -> Duration {
        self.0.lock().unwrap_or_default()
    }
}
