//! Builds the parts that depend on the settings alone: the engine's policy, the credentials and the models.

use std::{fmt, io, path::Path, sync::Arc};

use super::StartError;
use crate::{
    config::{self, Settings},
    engine::{
        BenchPolicy, Engine, EnginePolicy, Parts, UnmarkedEnd, UpstreamParts,
        provider::Token,
        store::{NoopStore, SavedToken, TokenStore},
    },
    telemetry::Metrics,
};

/// Applies settings that were read anew to the upstreams of an engine.
pub(super) type Apply = Arc<dyn Fn(&Engine, &Settings) + Send + Sync>;

/// The upstreams of a gateway, and the state of their tokens.
pub struct Upstreams {
    pub(super) parts: Vec<UpstreamParts>,
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) saved: Vec<SavedToken>,
    pub(super) apply: Apply,
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.parts).finish()
    }
}

impl Upstreams {
    /// Upstreams whose state is not saved, and which no change of the settings concerns.
    #[must_use]
    pub fn new(parts: Vec<UpstreamParts>) -> Self {
        Self {
            parts,
            store: Arc::new(NoopStore),
            saved: Vec::new(),
            apply: Arc::new(|_, _| {}),
        }
    }
}

pub(super) fn engine(settings: &Settings, upstreams: Upstreams, metrics: Arc<Metrics>) -> (Engine, Apply) {
    let Upstreams {
        parts,
        store,
        saved,
        apply,
    } = upstreams;
    let engine = Engine::new(Parts {
        upstreams: parts,
        policy: policy(settings),
        metrics,
        store,
        saved,
    });
    (engine, apply)
}

pub(super) fn tokens(settings: &Settings) -> Vec<Token> {
    settings.tokens.iter().cloned().map(Token::new).collect()
}

pub(super) fn state_error(directory: &Path, error: &io::Error) -> StartError {
    StartError::Build(format!("STATE_DIR: cannot use {}: {error}", directory.display()))
}

pub(super) fn policy(settings: &Settings) -> EnginePolicy {
    EnginePolicy {
        max_retries: settings.max_retries,
        retry_delay: settings.retry_delay,
        patience: settings.timeout,
        unmarked_end: match settings.unmarked_end {
            config::UnmarkedEnd::Error => UnmarkedEnd::Error,
            config::UnmarkedEnd::Stop => UnmarkedEnd::Stop,
        },
        max_concurrent: settings.max_concurrent_requests,
        bench: BenchPolicy {
            cooldown: settings.token_cooldown,
            max_refusals: settings.token_max_failures,
            max_in_flight: settings.max_in_flight_per_token,
            ..BenchPolicy::default()
        },
        probe_interval: settings.breaker_probe_interval,
    }
}
