//! Who calls: it travels with each call from the key check into the engine's admission.

use std::{fmt, sync::Arc};

/// A caller. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    id: String,
    name: Option<String>,
    label: String,
}

impl Caller {
    /// A caller with a stable `id`, opaque to the engine, by which everything of the caller's is kept; a `name`, where the
    /// settings give one; and a `label` for logs, which shows no secret.
    #[must_use]
    pub fn new(id: String, name: Option<String>, label: String) -> Self {
        Self(Arc::new(Inner { id, name, label }))
    }

    /// The stable id. Never shown.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The name, where there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The label for logs.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0.label
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({})", self.label())
    }
}
