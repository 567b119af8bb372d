//! The conversation service as the settings describe it: the one upstream that they know.

use std::sync::Arc;

use super::{
    StartError, Surroundings,
    parts::{Upstreams, state_error, tokens},
};
use crate::{
    config::Settings,
    engine::{
        Models, UpstreamParts,
        provider::Provider,
        store::{NoopStore, TokenStore},
    },
    providers::{
        Proxies,
        conversation::{self, ConversationPolicy, ConversationProvider, Endpoints, WarmPoolPolicy},
    },
    state::{Journal, NoJournal, Saved, StateDir},
    telemetry::Metrics,
};

/// The upstream of a gateway that serves.
pub(super) fn upstreams(
    settings: &Settings,
    surroundings: Surroundings,
    metrics: &Arc<Metrics>,
) -> Result<Upstreams, StartError> {
    let (store, journal, saved): (Arc<dyn TokenStore>, Arc<dyn Journal>, Saved) = match &settings.state_dir {
        None => (Arc::new(NoopStore), Arc::new(NoJournal), Saved::default()),
        Some(directory) => {
            let opened = StateDir::open(directory);
            let (state, saved) = opened.map_err(|error| state_error(directory, &error))?;
            let state = Arc::new(state);
            (Arc::<StateDir>::clone(&state), state, saved)
        }
    };
    let Saved {
        tokens: saved,
        conversations,
    } = saved;
    let provider = build(conversation::Parts {
        owed: conversations,
        journal,
        ..provider_parts(settings, surroundings, Arc::clone(metrics))
    })?;
    let upstream = UpstreamParts {
        calls: provider.calls(),
        provider: Arc::new(provider.clone()),
        tokens: tokens(settings),
        models: models(settings),
    };
    Ok(Upstreams {
        store,
        saved,
        apply: Arc::new(move |engine, settings| {
            provider.set_policy(policy(settings));
            engine.follow(tokens(settings), models(settings));
        }),
        ..Upstreams::new(vec![upstream])
    })
}

/// A provider that saves nothing, for the commands that make a call and end.
pub(super) fn provider(
    settings: &Settings,
    surroundings: Surroundings,
) -> Result<Arc<dyn Provider>, StartError> {
    let metrics = Metrics::build().map_err(|error| StartError::Build(error.to_string()))?;
    let provider = build(provider_parts(settings, surroundings, Arc::new(metrics)))?;
    Ok(Arc::new(provider))
}

fn models(settings: &Settings) -> Models {
    Models::new(settings.available_models.clone(), settings.model_aliases.clone())
}

fn build(parts: conversation::Parts) -> Result<ConversationProvider, StartError> {
    ConversationProvider::build(parts).map_err(|error| StartError::Build(error.to_string()))
}

fn provider_parts(
    settings: &Settings,
    surroundings: Surroundings,
    metrics: Arc<Metrics>,
) -> conversation::Parts {
    conversation::Parts {
        endpoints: endpoints(settings, surroundings),
        policy: policy(settings),
        probe_interval: settings.breaker_probe_interval,
        journal: Arc::new(NoJournal),
        owed: Vec::new(),
        metrics,
    }
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

fn policy(settings: &Settings) -> conversation::Policy {
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
