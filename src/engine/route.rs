//! Routes: the upstream that serves a model, and its own name for it.

use std::sync::Arc;

use super::{Engine, error::ChatError, models::not_found, provider::Capabilities, upstream::Upstream};

/// The way of a chat.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) upstream: Arc<Upstream>,
    /// The model, as the upstream calls it.
    pub(super) model: String,
}

impl Engine {
    /// The route of the model that a client calls `name`: the first upstream that offers it.
    ///
    /// # Errors
    /// `model_not_found`.
    pub(super) fn route(&self, name: &str) -> Result<Route, ChatError> {
        let mut offers = self.shared.upstreams.iter().filter_map(|upstream| {
            let models = upstream.models();
            let model = models.resolve(name).ok()?.to_owned();
            let upstream = Arc::clone(upstream);
            Some(Route { upstream, model })
        });
        offers.next().ok_or_else(|| not_found(name))
    }

    /// The names of all models on offer, upstream by upstream, each once.
    #[must_use]
    pub fn model_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for upstream in &self.shared.upstreams {
            for name in upstream.models().names() {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    /// Whether a chat may name this model.
    #[must_use]
    pub fn offers(&self, name: &str) -> bool {
        self.route(name).is_ok()
    }

    /// The capabilities of a model, by the client's name; those of plain text for one that is not on offer.
    #[must_use]
    pub fn capabilities(&self, name: &str) -> Capabilities {
        match self.route(name) {
            Ok(Route { upstream, model }) => upstream.provider.capabilities(&model),
            Err(_) => Capabilities::default(),
        }
    }
}
