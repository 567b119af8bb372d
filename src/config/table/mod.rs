//! The table of all variables, in the order of the documentation.
//!
//! Loading, `describe`, `.env.example` and `docs/configuration.md` all follow it, so a new variable takes one row here
//! and one field of the settings.

mod access;
mod answers;
mod pool;
mod service;
mod tls;
mod upstream;

use super::given::{Complaints, Given};
use super::settings::Settings;

/// One variable: its documentation, and how it is read and displayed.
pub struct Variable {
    /// Its exact name.
    pub name: &'static str,
    /// The default as a user would write it; empty if there is none.
    pub default: &'static str,
    /// The effect of leaving it unset if there is no default, in words.
    pub otherwise: &'static str,
    /// A valid value, if the default shows none; empty otherwise.
    pub example: &'static str,
    /// Its meaning, in one sentence.
    pub meaning: &'static str,
    /// Its valid values.
    pub limits: &'static str,
    /// Whether a change takes effect without a restart.
    pub live: bool,
    /// Whether a blank value is a value (an empty list) and not the same as unset.
    pub(super) blank_is_a_value: bool,
    /// Checks a value and stores it. After an error the settings are unusable.
    pub(super) set: fn(&mut Settings, &mut Given<'_>) -> Result<(), Complaints>,
    /// The effective value, without secrets.
    pub(super) show: fn(&Settings) -> String,
    /// Compares the variable in two settings, if the displayed values are not enough for that.
    pub(super) differ: Option<fn(&Settings, &Settings) -> bool>,
}

/// A group of variables.
pub struct Group {
    /// Its heading.
    pub title: &'static str,
    /// Its variables.
    pub variables: &'static [Variable],
}

static GROUPS: [Group; 9] = [
    Group {
        title: "Service",
        variables: service::SERVICE,
    },
    Group {
        title: "TLS",
        variables: tls::TLS,
    },
    Group {
        title: "Access",
        variables: access::ACCESS,
    },
    Group {
        title: "Upstream",
        variables: upstream::UPSTREAM,
    },
    Group {
        title: "Tokens and conversations",
        variables: pool::POOL,
    },
    Group {
        title: "Models",
        variables: access::MODELS,
    },
    Group {
        title: "Time and retries",
        variables: answers::TIME,
    },
    Group {
        title: "Limits",
        variables: answers::LIMITS,
    },
    Group {
        title: "Logs",
        variables: service::LOGS,
    },
];

/// All variables by group, in the order of the documentation.
#[must_use]
pub fn groups() -> &'static [Group] {
    &GROUPS
}

/// All variables, in the order of the documentation.
pub(super) fn variables() -> impl Iterator<Item = &'static Variable> {
    GROUPS.iter().flat_map(|group| group.variables)
}

/// An empty row for struct update.
const ROW: Variable = Variable {
    name: "",
    default: "",
    otherwise: "",
    example: "",
    meaning: "",
    limits: "",
    live: false,
    blank_is_a_value: false,
    set: |_, _| Ok(()),
    show: |_| String::new(),
    differ: None,
};

/// Text as JSON, which keeps names with commas distinct.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A time in seconds, as a user would write it.
fn seconds(time: std::time::Duration) -> String {
    time.as_secs_f64().to_string()
}

/// A path, or "none".
fn path(path: Option<&std::path::Path>) -> String {
    path.map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}

/// The word for a chosen value.
fn word<T: PartialEq>(choices: &[(&'static str, T)], chosen: &T) -> String {
    choices
        .iter()
        .find(|(_, choice)| choice == chosen)
        .map_or_else(String::new, |(word, _)| (*word).to_owned())
}
