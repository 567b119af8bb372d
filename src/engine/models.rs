//! Which models are on offer, and what the upstream calls them.

use std::collections::BTreeMap;

use super::error::{ChatError, ErrorKind};

/// When the models were made known, in seconds since 1970: a fixed date, since clients may remember it.
pub const MODEL_CREATED: i64 = 1_735_689_600; // 2025-01-01T00:00:00Z

/// Who offers the models: one name, since the upstream tells none.
pub const MODEL_OWNER: &str = "duogate";

/// The longest model name, in bytes.
pub const MAX_MODEL_NAME: usize = 256;

/// The models that clients may name.
#[derive(Debug, Clone, Default)]
pub struct Models {
    available: Vec<String>,
    aliases: BTreeMap<String, String>,
}

impl Models {
    /// The `available` names and the `aliases` for them. No available names at all lets any name through.
    #[must_use]
    pub fn new(available: Vec<String>, aliases: BTreeMap<String, String>) -> Self {
        Self { available, aliases }
    }

    /// Every name on offer: the available ones in their order, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let aliases = self
            .aliases
            .keys()
            .filter(|alias| !self.available.contains(alias));
        self.available.iter().chain(aliases).map(String::as_str)
    }

    /// What the upstream calls the model that a client calls `name`.
    ///
    /// # Errors
    /// `model_not_found` where there is a list and the name is not on it, and where no chat may use the name.
    pub fn resolve<'a>(&'a self, name: &'a str) -> Result<&'a str, ChatError> {
        if let Some(target) = self.aliases.get(name) {
            return Ok(target);
        }
        let is_on_offer = match self.available.as_slice() {
            [] => fault_of(name).is_none(),
            listed => listed.iter().any(|listed| listed == name),
        };
        is_on_offer.then_some(name).ok_or_else(|| not_found(name))
    }
}

/// What is wrong with a name that no model can have.
pub(super) fn fault_of(name: &str) -> Option<String> {
    if name.len() > MAX_MODEL_NAME {
        return Some(format!("the name is longer than {MAX_MODEL_NAME} bytes"));
    }
    if name.is_empty() {
        return Some("the name is empty".to_owned());
    }
    let has_control = name.chars().any(char::is_control);
    has_control.then(|| "the name holds a control character".to_owned())
}

/// OpenAI's own words for a model that does not exist.
#[must_use]
pub fn not_found(name: &str) -> ChatError {
    let shown: String = name.chars().take(MAX_MODEL_NAME).collect();
    let message = format!("The model `{shown}` does not exist or you do not have access to it.");
    ChatError::new(ErrorKind::ModelNotFound, message).with_field("model")
}
