//! One upstream as the engine sees it: a provider, the pool of its credentials, and its models.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::{
    BenchReason, EnginePolicy, Models, TokenSnapshot,
    attempts::FastestStart,
    calls::Calls,
    pool::TokenPool,
    provider::{CredentialChange, Provider, Token},
    store::SavedToken,
};

/// The parts of one upstream.
#[derive(Clone)]
pub struct UpstreamParts {
    /// The upstream's kind, in person.
    pub provider: Arc<dyn Provider>,
    /// The calls that the provider makes.
    pub calls: Calls,
    /// Its credentials.
    pub tokens: Vec<Token>,
    /// Its models.
    pub models: Models,
}

impl fmt::Debug for UpstreamParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamParts({} tokens)", self.tokens.len())
    }
}

/// One upstream.
pub(super) struct Upstream {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) calls: Calls,
    pub(super) pool: TokenPool,
    pub(super) fastest_start: FastestStart,
    models: RwLock<Arc<Models>>,
    /// The tokens that the configuration names, by digest.
    configured: Mutex<HashSet<[u8; 32]>>,
    /// The last bare connection: when it was tried, and whether it was made.
    reachable: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({:?})", self.pool)
    }
}

impl Upstream {
    pub(super) fn new(parts: UpstreamParts, policy: &EnginePolicy, saved: &[SavedToken]) -> Self {
        let UpstreamParts {
            provider,
            calls,
            tokens,
            models,
        } = parts;
        let configured = tokens.iter().map(Token::digest).collect();
        let pool = TokenPool::new(tokens, policy.bench);
        pool.restore(saved);
        Self {
            provider,
            calls,
            pool,
            fastest_start: FastestStart::default(),
            models: RwLock::new(Arc::new(models)),
            configured: Mutex::new(configured),
            reachable: tokio::sync::Mutex::default(),
        }
    }

    /// The models on offer now.
    pub(super) fn models(&self) -> Arc<Models> {
        Arc::clone(&self.models.read())
    }

    /// Every token, without its secret.
    pub(super) fn snapshot(&self) -> Vec<TokenSnapshot> {
        self.with_warm_pools(self.pool.snapshot())
    }

    /// Fills in what the provider alone knows.
    pub(super) fn with_warm_pools(&self, mut rows: Vec<TokenSnapshot>) -> Vec<TokenSnapshot> {
        if let Some(conversations) = self.provider.conversations() {
            for row in &mut rows {
                row.warm = conversations.warm(&row.token);
            }
        }
        rows
    }

    /// Whether a chat is worth sending: some token can be used now, or is merely rate limited and comes back by a chat,
    /// so somebody must send one.
    pub(super) fn has_hope(&self) -> bool {
        let rows = self.pool.snapshot();
        rows.iter()
            .any(|row| row.is_available() || row.reason == Some(BenchReason::RateLimited))
    }

    /// See [`Engine::is_upstream_reachable`](super::Engine::is_upstream_reachable).
    pub(super) async fn is_reachable(&self) -> bool {
        const FRESH: Duration = Duration::from_secs(10);
        if let Some(answered) = self.calls.recent_contact() {
            return answered;
        }
        let mut known = self.reachable.lock().await;
        if let Some((at, reachable)) = *known
            && at.elapsed() < FRESH
        {
            return reachable;
        }
        let Some(reachable) = self.provider.is_reachable().await else {
            return known.is_none_or(|(_, reachable)| reachable);
        };
        *known = Some((Instant::now(), reachable));
        reachable
    }

    /// Whether the settings, as they were last read, name the token with this digest.
    pub(super) fn is_configured(&self, digest: &[u8; 32]) -> bool {
        self.configured.lock().contains(digest)
    }

    /// Adds a token, ready for use; false when it is in the pool already.
    pub(super) fn add(&self, token: &Token) -> bool {
        let added = self.pool.add(token.clone());
        if added {
            tracing::info!(token = %token.label(), "a token was added");
            self.provider.credential_changed(token, CredentialChange::Usable);
        }
        added
    }

    /// Takes a token out of the pool; false when there is no such token.
    pub(super) fn remove(&self, digest: &[u8; 32]) -> bool {
        let Some(token) = self.pool.remove(digest) else {
            return false;
        };
        self.provider
            .credential_changed(&token, CredentialChange::Removed);
        tracing::info!(token = %token.label(), "a token was removed");
        true
    }

    /// Changes the policy.
    pub(super) fn set_policy(&self, policy: &EnginePolicy) {
        self.pool.set_policy(policy.bench);
        self.calls.breakers().set_probe_interval(policy.probe_interval);
    }

    /// See [`Engine::follow`](super::Engine::follow).
    pub(super) fn follow(&self, tokens: Vec<Token>, models: Models) {
        *self.models.write() = Arc::new(models);
        let now: HashSet<[u8; 32]> = tokens.iter().map(Token::digest).collect();
        let before = std::mem::replace(&mut *self.configured.lock(), now.clone());
        for token in tokens {
            if !before.contains(&token.digest()) && !self.add(&token) {
                tracing::debug!(token = %token.label(), "the token is in the pool already");
            }
        }
        for digest in before.difference(&now) {
            if !self.remove(digest) {
                tracing::debug!("a token that left the settings had left the pool before");
            }
        }
    }
}
