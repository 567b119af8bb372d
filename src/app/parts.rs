//! Builds the parts that depend on the settings alone: the upstream client, credentials, models, and the engine.

use std::{io, path::Path, sync::Arc};

use super::{StartError, Surroundings};
use crate::{
    backend::{self, ConversationService, Endpoints, Proxies},
    config::{self, Settings},
    engine::{
        BenchPolicy, ConversationPolicy, Engine, EnginePolicy, Models, Parts, StockPolicy, UnmarkedEnd,
        store::{Forgetful, Saved, Store},
        upstream::{Token, Upstream},
    },
    state::StateDir,
    telemetry::Metrics,
};

pub(super) fn upstream(
    settings: &Settings,
    surroundings: Surroundings,
) -> Result<ConversationService, StartError> {
    let proxies = match surroundings {
        Surroundings::Environment => Proxies::of(|name| std::env::var(name).ok()).0,
        Surroundings::Ignored => Proxies::default(),
    };
    let endpoints = Endpoints {
        project: settings.project_url.to_string(),
        conversation: settings.conversation_url.to_string(),
        message: settings.message_url.to_string(),
        target: settings.target_url.to_string(),
        site: settings.site_url.to_string(),
        headers: settings.upstream_headers.clone(),
        proxy: settings
            .upstream_proxy
            .as_ref()
            .map(|proxy| proxy.expose().into()),
        proxies,
        timeout: settings.timeout,
    };
    let built = ConversationService::build(endpoints);
    built.map_err(|error: backend::BuildError| StartError::Build(error.to_string()))
}

pub(super) fn tokens(settings: &Settings) -> Vec<Token> {
    settings.tokens.iter().cloned().map(Token::new).collect()
}

pub(super) fn engine(
    settings: &Settings,
    upstream: Arc<dyn Upstream>,
    metrics: Arc<Metrics>,
) -> Result<Engine, StartError> {
    let (store, saved): (Arc<dyn Store>, Saved) = match &settings.state_dir {
        None => (Arc::new(Forgetful), Saved::default()),
        Some(directory) => {
            let opened = StateDir::open(directory);
            let (state, saved) = opened.map_err(|error| state_error(directory, &error))?;
            (Arc::new(state), saved)
        }
    };
    Ok(Engine::new(Parts {
        upstream,
        tokens: tokens(settings),
        models: models(settings),
        policy: policy(settings),
        metrics,
        store,
        saved,
    }))
}

pub(super) fn state_error(directory: &Path, error: &io::Error) -> StartError {
    StartError::Build(format!("STATE_DIR: cannot use {}: {error}", directory.display()))
}

pub(super) fn models(settings: &Settings) -> Models {
    Models::new(settings.available_models.clone(), settings.model_aliases.clone())
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
        max_prompt_bytes: settings.max_prompt_bytes,
        bench: BenchPolicy {
            cooldown: settings.token_cooldown,
            max_refusals: settings.token_max_failures,
            max_in_flight: settings.max_in_flight_per_token,
            ..BenchPolicy::default()
        },
        conversations: ConversationPolicy {
            stock: StockPolicy {
                limit: settings.warm_conversations,
                ttl: settings.warm_ttl,
            },
            cleanup: settings.cleanup_conversations,
            makings: settings.max_concurrent_requests,
        },
        probe_interval: settings.breaker_probe_interval,
    }
}
