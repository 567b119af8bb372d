//! The attempts of one chat: lease, conversation, message, answer, and what follows when one of them fails.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Shared,
    answer::{AnswerReader, Delta, Ending, Read},
    chat::CallContext,
    conversation::Conversation,
    error::ChatError,
    failure::{deadline_exceeded, given_up, no_token, unavailable},
    limits::{LimitedReader, Limits},
    pool::{Lease, Trail},
    stream::{Held, Opened},
    upstream::{ConversationRef, Upstream, UpstreamError},
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
pub(super) struct Chat<'a> {
    pub(super) prompt: &'a str,
    pub(super) model: &'a str,
    pub(super) limits: &'a Limits,
    pub(super) context: &'a CallContext,
    pub(super) want: Want,
}

/// What the attempts of one chat have been through.
#[derive(Debug, Default)]
pub(super) struct Tries {
    trail: Trail,
    /// Tries after a fault of the service.
    retries: u32,
    /// A fresh conversation was lost once, which counts as nobody's fault.
    renewed: bool,
    /// A conversation that stood ready was lost: only fresh ones from here on.
    fresh_only: bool,
    /// The conversation of the last attempt, and whether it had stood ready.
    last: Option<(ConversationRef, bool)>,
    attempts: u32,
}

impl Shared {
    /// Attempts until one succeeds, or none can help any more; `tries` is what the chat has been through already.
    pub(super) async fn attempts(&self, chat: &Chat<'_>, mut tries: Tries) -> Result<Opened, ChatError> {
        loop {
            self.check_prospects(&tries, chat.context.deadline)?;
            let lease = self.pool.lease(&tries.trail).map_err(no_token)?;
            if let Ok(opened) = self.step(chat, lease, None, &mut tries).await? {
                return Ok(opened);
            }
        }
    }

    /// One attempt: in `conversation`, which is one of the lease's token, or in another. When it fails the token is judged,
    /// and what has to be waited for before the next attempt has been waited for.
    ///
    /// # Errors
    /// When no other attempt would fare better. The inner error says why this one failed.
    pub(super) async fn step(
        &self,
        chat: &Chat<'_>,
        mut lease: Lease,
        conversation: Option<Conversation>,
        tries: &mut Tries,
    ) -> Result<Result<Opened, UpstreamError>, ChatError> {
        chat.context.record.set_token(lease.token().label());
        tries.attempts += 1;
        let error = match self.attempt(chat, &mut lease, conversation, tries).await {
            Ok((reader, deltas, ending)) => {
                return Ok(Ok(Opened {
                    held: Held { reader, lease },
                    deltas,
                    ending,
                }));
            }
            Err(error) => error,
        };
        let (token_verdict, chat_verdict) = verdict(&error);
        if lease.failed(token_verdict) {
            self.conversations.empty_stock(lease.token());
        }
        let retries = tries.retries;
        // A want of the gateway's own is told where it is met, and seldom.
        if !error.fault.is_local() {
            tracing::warn!(token = %lease.token().label(), retries, error = %error, "an attempt failed");
        }
        match chat_verdict {
            ChatVerdict::OtherToken => tries.trail.bar(lease.slot()),
            ChatVerdict::GiveUp => return Err(given_up(&error)),
            ChatVerdict::Anew if self.lost(tries, &lease).await => {}
            ChatVerdict::Anew | ChatVerdict::Again => {
                tries.trail.tried(lease.slot());
                drop(lease); // nobody waits with a token in hand
                self.back_off(tries.retries, &error, chat.context.deadline)
                    .await?;
                tries.retries += 1;
            }
        }
        Ok(Err(error))
    }

    /// Whether an attempt can be of use: not when the upstream keeps failing, and not when the deadline leaves less
    /// than the quickest start that was ever seen.
    ///
    /// # Errors
    /// `deadline_exceeded`, or `upstream_unavailable` while a circuit breaker is open.
    pub(super) fn check_prospects(&self, tries: &Tries, deadline: Instant) -> Result<(), ChatError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || (tries.attempts > 0 && left < self.pace.quickest()) {
            return Err(deadline_exceeded());
        }
        self.breakers.pass().map_err(ChatError::circuit_open)
    }

    /// The conversation was gone; true when another attempt may follow at once. One that stood ready may well have
    /// vanished meanwhile, with the rest of the stock; a fresh one may have lost its project, but only once.
    async fn lost(&self, tries: &mut Tries, lease: &Lease) -> bool {
        match tries.last.take() {
            Some((_, true)) => {
                self.conversations.empty_stock(lease.token());
                tries.fresh_only = true;
                true
            }
            Some((reference, false)) => {
                let token = lease.token();
                self.conversations.forget_project(token, &reference.project).await;
                !std::mem::replace(&mut tries.renewed, true)
            }
            None => !std::mem::replace(&mut tries.renewed, true),
        }
    }

    /// One attempt: a conversation, the message, the answer, and as much of it as is wanted.
    async fn attempt(
        &self,
        chat: &Chat<'_>,
        lease: &mut Lease,
        conversation: Option<Conversation>,
        tries: &mut Tries,
    ) -> Result<(LimitedReader, VecDeque<Delta>, Option<Ending>), UpstreamError> {
        let began = Instant::now();
        tries.last = None;
        let mut conversation = match conversation {
            Some(mut conversation) => {
                conversation.rested().await;
                conversation
            }
            None => self.conversation(lease, tries).await?,
        };
        let reference = conversation.reference().clone();
        tries.last = Some((reference.clone(), conversation.is_warm()));
        conversation.begin();
        let posting = self
            .foreground
            .post_message(lease.token(), &reference, chat.prompt);
        posting.await?;
        let opening = self.foreground.open_answer(lease.token(), &reference, chat.model);
        conversation.attach(opening.await?);
        let policy = self.policy();
        let reader = AnswerReader::new(conversation, policy.patience, policy.unmarked_end);
        let mut reader = LimitedReader::new(reader, chat.limits);
        let mut deltas = VecDeque::new();
        loop {
            let read = reader.read().await?;
            if deltas.is_empty() {
                self.pace.note(began.elapsed());
                if lease.succeeded() {
                    self.conversations.used(lease.token());
                }
                chat.context.record.note_first_token();
            }
            match read {
                Read::End(ending) => return Ok((reader, deltas, Some(ending))),
                Read::Delta(delta) => deltas.push_back(delta),
            }
            if chat.want == Want::Start {
                return Ok((reader, deltas, None));
            }
        }
    }

    async fn conversation(&self, lease: &Lease, tries: &Tries) -> Result<Conversation, UpstreamError> {
        if !tries.fresh_only
            && let Some(warm) = self.conversations.warm(lease.token())
        {
            return Ok(warm);
        }
        self.conversations.fresh(lease.token()).await
    }

    /// Waits before the next try: `RETRY_DELAY` doubling, jittered between half and all of it, and at least as long
    /// as the upstream asked for. A wait that leaves no room before the deadline is answered at once.
    async fn back_off(
        &self,
        retries: u32,
        error: &UpstreamError,
        deadline: Instant,
    ) -> Result<(), ChatError> {
        let policy = self.policy();
        if retries >= policy.max_retries {
            return Err(unavailable(error));
        }
        let doubled = policy.retry_delay.saturating_mul(2_u32.saturating_pow(retries));
        let left = deadline.saturating_duration_since(Instant::now());
        // Half of twice what is left has no room any more, and nothing longer gets near an overflow.
        let jittered = doubled
            .min(left.saturating_mul(2))
            .mul_f64(0.5 + fastrand::f64() / 2.0);
        let asked_for = error.fault.retry_after();
        let wait = jittered.max(asked_for.unwrap_or_default());
        if wait.saturating_add(self.pace.quickest()) >= left {
            return Err(unavailable(error).with_retry_after(asked_for));
        }
        tokio::select! {
            () = sleep(wait) => {}
            // The next look at the prospects tells the caller so, at once.
            () = self.breakers.opened() => {}
        }
        Ok(())
    }
}

/// The quickest start of an answer that was ever seen: no attempt needs less.
#[derive(Debug, Default)]
pub(super) struct Pace(std::sync::Mutex<Option<Duration>>);

impl Pace {
    fn note(&self, took: Duration) {
        let mut quickest = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *quickest = Some(quickest.map_or(took, |known| known.min(took)));
    }

    fn quickest(&self) -> Duration {
        let quickest = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        quickest.unwrap_or_default()
    }
}
