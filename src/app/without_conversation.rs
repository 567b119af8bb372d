//! A build without the conversation service: the settings know no other upstream.

use std::sync::Arc;

use super::{StartError, Surroundings, parts::Upstreams};
use crate::{config::Settings, engine::provider::Provider, telemetry::Metrics};

fn none() -> StartError {
    StartError::Build("this build has no provider for a conversation service".to_owned())
}

pub(super) fn upstreams(
    _settings: &Settings,
    _surroundings: Surroundings,
    _metrics: &Arc<Metrics>,
) -> Result<Upstreams, StartError> {
    Err(none())
}

pub(super) fn provider(
    _settings: &Settings,
    _surroundings: Surroundings,
) -> Result<Arc<dyn Provider>, StartError> {
    Err(none())
}
