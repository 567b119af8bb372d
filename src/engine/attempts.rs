//! The attempts of one chat: lease, conversation, message, answer, and what follows when one of them fails.

use std::collections::VecDeque;

use tokio::time::{Instant, sleep};

use super::{
    Shared,
    answer::{AnswerReader, Delta, Ending, Read},
    chat::CallContext,
    error::ChatError,
    failure::{no_token, refused, unavailable},
    limits::{LimitedReader, Limits},
    pool::{Lease, Trail},
    stream::{Held, Opened},
    upstream::{Upstream, UpstreamError},
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

impl Shared {
    /// Attempts until one succeeds, or none can help any more.
    pub(super) async fn attempts(&self, chat: &Chat<'_>) -> Result<Opened, ChatError> {
        let mut trail = Trail::default();
        let mut retries = 0;
        let mut renewed = false;
        loop {
            let mut lease = self.pool.lease(&trail).map_err(no_token)?;
            chat.context.record.set_token(lease.token().label());
            let error = match self.attempt(chat, &mut lease).await {
                Ok((reader, deltas, ending)) => {
                    return Ok(Opened {
                        held: Held { reader, lease },
                        deltas,
                        ending,
                    });
                }
                Err(error) => error,
            };
            let (token_verdict, chat_verdict) = verdict(&error);
            lease.failed(token_verdict);
            let slot = lease.slot();
            tracing::warn!(token = %lease.token().label(), retries, error = %error, "an attempt failed");
            drop(lease); // nobody waits with a token in hand
            match chat_verdict {
                ChatVerdict::OtherToken => trail.bar(slot),
                ChatVerdict::GiveUp => return Err(refused(&error)),
                ChatVerdict::Anew if !renewed => renewed = true,
                ChatVerdict::Anew | ChatVerdict::Again => {
                    trail.tried(slot);
                    self.back_off(retries, &error, chat.context.deadline).await?;
                    retries += 1;
                }
            }
        }
    }

    /// One attempt: a fresh conversation, the message, the answer, and as much of it as is wanted.
    async fn attempt(
        &self,
        chat: &Chat<'_>,
        lease: &mut Lease,
    ) -> Result<(LimitedReader, VecDeque<Delta>, Option<Ending>), UpstreamError> {
        let mut conversation = self.conversations.fresh(lease.token()).await?;
        let reference = conversation.reference().clone();
        self.upstream
            .post_message(lease.token(), &reference, chat.prompt)
            .await?;
        let answer = self
            .upstream
            .open_answer(lease.token(), &reference, chat.model)
            .await?;
        conversation.attach(answer);
        let reader = AnswerReader::new(conversation, self.policy.patience, self.policy.unmarked_end);
        let mut reader = LimitedReader::new(reader, chat.limits);
        let mut deltas = VecDeque::new();
        loop {
            let read = reader.read().await?;
            if deltas.is_empty() {
                lease.succeeded();
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

    /// Waits before the next try: `RETRY_DELAY` doubling, jittered between half and all of it, and at least as long
    /// as the upstream asked for. A wait that the deadline does not leave room for is answered at once.
    async fn back_off(
        &self,
        retries: u32,
        error: &UpstreamError,
        deadline: Instant,
    ) -> Result<(), ChatError> {
        if retries >= self.policy.max_retries {
            return Err(unavailable(error));
        }
        let doubled = self
            .policy
            .retry_delay
            .saturating_mul(2_u32.saturating_pow(retries));
        let left = deadline.saturating_duration_since(Instant::now());
        // Half of twice what is left has no room any more, and nothing longer gets near an overflow.
        let jittered = doubled
            .min(left.saturating_mul(2))
            .mul_f64(0.5 + fastrand::f64() / 2.0);
        let asked_for = error.fault.retry_after();
        let wait = jittered.max(asked_for.unwrap_or_default());
        if wait >= left {
            return Err(unavailable(error).with_retry_after(asked_for));
        }
        sleep(wait).await;
        Ok(())
    }
}
