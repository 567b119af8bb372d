//! The parts that the settings alone decide: the provider, its tokens and models, and the engine over them.

use std::{io, path::Path, sync::Arc};

use super::{StartError, Surroundings};
use crate::{
    config::{self, Settings},
    engine::{
        BenchPolicy, Engine, EnginePolicy, Models, Parts, UnmarkedEnd, UpstreamParts,
        provider::Token,
        store::{NoopStore, TokenStore},
    },
    providers::{
        Proxies,
        conversation::{
            self, ConversationPolicy, ConversationProvider, Endpoints, Journal, NoJournal, WarmPoolPolicy,
        },
    },
    state::{Saved, StateDir},
    telemetry::Metrics,
};

/// A provider that writes nothing down.
pub(super) fn provider(
    settings: &Settings,
    surroundings: Surroundings,
) -> Result<ConversationProvider, StartError> {
    let metrics = Metrics::build().map_err(|error| StartError::Build(error.to_string()))?;
    build(conversation::Parts {
        endpoints: endpoints(settings, surroundings),
        policy: provider_policy(settings),
        probe_interval: settings.breaker_probe_interval,
        journal: Arc::new(NoJournal),
        owed: Vec::new(),
        metrics: Arc::new(metrics),
    })
}

fn build(parts: conversation::Parts) -> Result<ConversationProvider, StartError> {
    ConversationProvider::build(parts).map_err(|error| StartError::Build(error.to_string()))
}

fn endpoints(settings: &Settings, surroundings: Surroundings) -> Endpoints {
    let proxies = match surroundings {
        Surroundings::Environment => Proxies::of(|name| std::env::var(name).ok()).0,
        Surroundings::Ignored => Proxies::default(),
    };
    Endpoints {
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
    }
}

pub(super) fn tokens(settings: &Settings) -> Vec<Token> {
    settings.tokens.iter().cloned().map(Token::new).collect()
}

/// The engine, and the provider behind it.
pub(super) fn engine(
    settings: &Settings,
    surroundings: Surroundings,
    metrics: Arc<Metrics>,
) -> Result<(Engine, ConversationProvider), StartError> {
    let (store, journal, saved): (Arc<dyn TokenStore>, Arc<dyn Journal>, Saved) = match &settings.state_dir {
        None => (Arc::new(NoopStore), Arc::new(NoJournal), Saved::default()),
        Some(directory) => {
            let opened = StateDir::open(directory);
            let (state, saved) = opened.map_err(|error| state_error(directory, &error))?;
            let state = Arc::new(state);
            (Arc::<StateDir>::clone(&state), state, saved)
        }
    };
    let provider = build(conversation::Parts {
        endpoints: endpoints(settings, surroundings),
        policy: provider_policy(settings),
        probe_interval: settings.breaker_probe_interval,
        journal,
        owed: saved.conversations,
        metrics: Arc::clone(&metrics),
    })?;
    let upstream = UpstreamParts {
        provider: Arc::new(provider.clone()),
        calls: provider.calls(),
        tokens: tokens(settings),
        models: models(settings),
    };
    let engine = Engine::new(Parts {
        upstreams: vec![upstream],
        policy: policy(settings),
        metrics,
        store,
        saved: saved.tokens,
    });
    Ok((engine, provider))
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
        bench: BenchPolicy {
            cooldown: settings.token_cooldown,
            max_refusals: settings.token_max_failures,
            max_in_flight: settings.max_in_flight_per_token,
            ..BenchPolicy::default()
        },
        probe_interval: settings.breaker_probe_interval,
    }
}

pub(super) fn provider_policy(settings: &Settings) -> conversation::Policy {
    conversation::Policy {
        conversations: ConversationPolicy {
            warm_pool: WarmPoolPolicy {
                limit: settings.warm_conversations,
                ttl: settings.warm_ttl,
            },
            cleanup: settings.cleanup_conversations,
            creation_limit: settings.max_concurrent_requests,
        },
        max_prompt_bytes: settings.max_prompt_bytes,
    }
}
