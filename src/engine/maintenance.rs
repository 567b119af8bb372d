//! Background upkeep: tokens that cool down are tried again, an upstream that failed is probed, the providers are
//! maintained, and state is saved.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::{
    Engine, Shared,
    pool::Trial,
    provider::{CredentialChange, Token, UpstreamError},
    upstream::Upstream,
    verdict::{TokenVerdict, verdict},
};

/// The longest pause between two rounds.
const AT_LEAST: Duration = Duration::from_secs(10);
/// A half-open probe that the service's own fault spoilt is made again after this, or after the first cooldown if that
/// is shorter.
const SPOILT_TRIAL: Duration = Duration::from_secs(10);

impl Engine {
    /// Maintains every upstream; never ends. Dropping the future stops that, and cuts nothing short.
    pub async fn maintain(&self) {
        let upstreams = self.shared.upstreams.iter();
        join_all(upstreams.map(|upstream| self.maintain_one(upstream))).await;
    }

    async fn maintain_one(&self, upstream: &Arc<Upstream>) {
        let shared = &self.shared;
        for token in upstream.pool.tokens() {
            upstream
                .provider
                .credential_changed(&token, CredentialChange::Usable);
        }
        let breakers = upstream.calls.breakers();
        let mut open = breakers.watch();
        let mut saved = None;
        loop {
            let due_of_provider = upstream.provider.maintain(&upstream.pool.snapshot());
            for trial in upstream.pool.due_trials() {
                let (upstream, cooldown) = (Arc::clone(upstream), shared.policy().bench.cooldown);
                self.shared
                    .tasks
                    .spawn(async move { upstream.try_token(trial, cooldown).await });
            }
            if breakers.is_probe_due() {
                let upstream = Arc::clone(upstream);
                self.shared
                    .tasks
                    .spawn(async move { upstream.probe_service().await });
            }
            let version = upstream.pool.version();
            if saved.replace(version) != Some(version) {
                shared.save_tokens();
            }
            let due = [upstream.pool.next_trial(), breakers.next_probe(), due_of_provider];
            let due = due.into_iter().flatten();
            let next = due.fold(Instant::now() + AT_LEAST, Instant::min);
            tokio::select! {
                () = sleep_until(next) => {}
                () = upstream.pool.changed() => {}
                _ = open.changed() => {}
            }
        }
    }
}

impl Shared {
    /// Saves the failure state of all tokens.
    pub(super) fn save_tokens(&self) {
        let upstreams = self.upstreams.iter();
        let tokens = upstreams.flat_map(|upstream| upstream.pool.save());
        self.store.save(tokens.collect());
    }
}

impl Upstream {
    /// One half-open probe of a token.
    async fn try_token(&self, trial: Trial, cooldown: Duration) {
        let token = trial.token().clone();
        match self.provider.probe(&token).await {
            Ok(()) => {
                tracing::info!(token = %token.label(), "the token is accepted again");
                trial.passed();
                self.provider.credential_changed(&token, CredentialChange::Usable);
            }
            Err(error) => {
                tracing::info!(token = %token.label(), error = %error, "the token's trial failed");
                let again_in = cooldown.min(SPOILT_TRIAL);
                let (verdict, _) = verdict(&error);
                trial.failed(verdict, again_in.mul_f64(0.5 + fastrand::f64() / 2.0));
            }
        }
    }

    /// Asks a service whose circuit breaker is open whether it is there. Any answer but a fault of its own closes the
    /// breaker; a probe that the gateway's own machine had no means for tells nothing.
    async fn probe_service(&self) {
        let rows = self.pool.snapshot();
        let ready = rows.iter().find(|row| row.is_available());
        let Some(row) = ready.or(rows.first()) else {
            return;
        };
        match self.provider.probe(&row.token).await {
            Err(error) if error.fault.is_services() => {
                tracing::info!(error = %error, "the upstream still fails");
            }
            Err(error) if error.fault.is_local() => {}
            Ok(()) | Err(_) => {
                self.calls.breakers().probe_answered();
                for row in self.pool.snapshot().iter().filter(|row| row.is_available()) {
                    self.provider
                        .credential_changed(&row.token, CredentialChange::Usable);
                }
            }
        }
    }

    /// Tries a token by hand, and takes over the result.
    pub(super) async fn probe(&self, token: &Token) -> Result<(), UpstreamError> {
        let probed = self.provider.probe(token).await;
        match &probed {
            Ok(()) => {
                self.pool.reset(&token.digest());
                self.provider.credential_changed(token, CredentialChange::Usable);
            }
            Err(error) => match verdict(error).0 {
                TokenVerdict::Keep => {}
                judged @ (TokenVerdict::Refused | TokenVerdict::RateLimited(_)) => {
                    self.pool.judge(&token.digest(), judged);
                    self.provider
                        .credential_changed(token, CredentialChange::Unusable);
                }
            },
        }
        probed
    }
}
