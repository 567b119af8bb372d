//! What the engine does by itself: benched tokens are tried again, an upstream that failed is probed, what stands ready
//! too long is removed, what an earlier run left behind is removed, and state is kept.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    Engine, Shared,
    cleanup::Last,
    pool::Trial,
    upstream::{Token, Upstream},
    verdict::{TokenVerdict, verdict},
};

/// It looks at least this often, whatever it was told.
const AT_LEAST: Duration = Duration::from_secs(10);
/// What could not be removed is tried again this often, while its token is of use.
const LEFT_AGAIN: Duration = Duration::from_secs(60);
/// A trial that the service's own fault spoilt is made again after this, or after the bench's first length if that is
/// shorter.
const SPOILT_TRIAL: Duration = Duration::from_secs(10);

impl Engine {
    /// Tends the pool, the breakers and the stock; never ends. Dropping the future stops that, and cuts nothing short.
    pub async fn tend(&self) {
        let shared = &self.shared;
        for token in shared.pool.tokens() {
            shared.remove_left(&token);
        }
        let mut breakers = shared.breakers.watch();
        let mut kept = None;
        let mut left_again = Instant::now() + LEFT_AGAIN;
        loop {
            if left_again <= Instant::now() {
                left_again = Instant::now() + LEFT_AGAIN;
                shared.remove_all_left();
            }
            let expiry = shared.conversations.sweep(&shared.pool.tokens());
            for trial in shared.pool.due_trials() {
                let shared = Arc::clone(shared);
                self.shared
                    .tasks
                    .spawn(async move { shared.try_token(trial).await });
            }
            if shared.breakers.is_probe_due() {
                let shared = Arc::clone(shared);
                self.shared
                    .tasks
                    .spawn(async move { shared.probe_service().await });
            }
            let version = shared.pool.version();
            if kept.replace(version) != Some(version) {
                shared.keep_tokens().await;
            }
            let due = [shared.pool.next_trial(), shared.breakers.next_probe(), expiry];
            let due = due.into_iter().flatten();
            let next = due.fold(Instant::now() + AT_LEAST, Instant::min);
            tokio::select! {
                () = sleep_until(next) => {}
                () = shared.pool.changed() => {}
                _ = breakers.changed() => {}
            }
        }
    }
}

impl Shared {
    /// Keeps what is held against the tokens.
    pub(super) async fn keep_tokens(&self) {
        let (store, tokens) = (Arc::clone(&self.store), self.pool.save());
        let kept = self.tasks.spawn_blocking(move || store.keep_tokens(&tokens));
        if let Err(failure) = kept.await {
            tracing::error!(error = %failure, "state cannot be kept");
        }
    }

    /// Tries again to remove what could not be removed from the token's account.
    pub(super) fn remove_left(&self, token: &Token) {
        for reference in self.conversations.ledger().take_left(token) {
            self.conversations
                .cleanup()
                .remove(token.clone(), reference, Last::Idle);
        }
    }

    /// As [`Shared::remove_left`], for every token that is of use now.
    fn remove_all_left(&self) {
        let tokens = self.pool.snapshot();
        for token in tokens.iter().filter(|token| token.is_available()) {
            self.remove_left(&token.token);
        }
    }

    /// One half-open trial: the call of the upstream that changes nothing.
    async fn try_token(&self, trial: Trial) {
        let token = trial.token().clone();
        match self.background.list_projects(&token).await {
            Ok(_) => {
                tracing::info!(token = %token.label(), "the token is accepted again");
                trial.passed();
                self.remove_left(&token);
            }
            Err(error) => {
                tracing::info!(token = %token.label(), error = %error, "the token's trial failed");
                let again_in = self.policy().bench.cooldown.min(SPOILT_TRIAL);
                let (verdict, _) = verdict(&error);
                trial.failed(verdict, again_in.mul_f64(0.5 + fastrand::f64() / 2.0));
            }
        }
    }

    /// Asks a service whose circuit breaker is open whether it is there. Any answer but a fault of its own will do; a probe that the
    /// gateway's own machine had no means for tells nothing.
    async fn probe_service(&self) {
        let tokens = self.pool.snapshot();
        let ready = tokens.iter().find(|token| token.is_available());
        let Some(token) = ready.or(tokens.first()) else {
            return;
        };
        let answered = self.background.list_projects(&token.token).await;
        match answered {
            Err(error) if error.fault.is_services() => {
                tracing::info!(error = %error, "the upstream still fails");
            }
            Err(error) if error.fault.is_local() => {}
            Ok(_) | Err(_) => {
                self.breakers.probe_answered();
                self.remove_all_left();
            }
        }
    }

    /// Tries a token at the operator's word, and keeps what that tells.
    pub(super) async fn probe_token(&self, token: &Token) -> Result<(), super::upstream::UpstreamError> {
        let probed = self.background.list_projects(token).await;
        match &probed {
            Ok(_) => {
                self.pool.reset(&token.digest());
                self.remove_left(token);
            }
            Err(error) => match verdict(error).0 {
                TokenVerdict::Keep => {}
                judged @ (TokenVerdict::Refused | TokenVerdict::RateLimited(_)) => {
                    self.pool.judge(&token.digest(), judged);
                    self.conversations.empty_stock(token);
                }
            },
        }
        probed.map(drop)
    }
}
