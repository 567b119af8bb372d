//! The one table of variables: everything about each, in the order in which they are documented.
//!
//! Loading, `describe`, `.env.example` and `docs/configuration.md` all follow it, so a new variable is one row here
//! and one field of the settings.

mod access;
mod answers;
mod pool;
mod service;
mod tls;
mod upstream;

use super::given::{Complaints, Given};
use super::settings::Settings;

/// One variable: what the documentation says of it, and how it is read and shown.
pub struct Variable {
    /// Its exact name.
    pub name: &'static str,
    /// The default as one would write it; empty when there is none.
    pub default: &'static str,
    /// What holds when there is no default, in words.
    pub otherwise: &'static str,
    /// A value that works, where the default shows nothing; empty otherwise.
    pub example: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// Which values it may have.
    pub limits: &'static str,
    /// Whether a change counts while the gateway runs, and not only after a restart.
    pub live: bool,
    /// Whether a blank value says something (an empty list) and not just "unset".
    pub(super) blank_is_a_value: bool,
    /// Checks a value and takes it over. After an error the settings are of no use any more.
    pub(super) set: fn(&mut Settings, &mut Given<'_>) -> Result<(), Complaints>,
    /// The effective value, secrets hidden.
    pub(super) show: fn(&Settings) -> String,
    /// Whether two settings differ in it, where what is shown does not tell.
    pub(super) differ: Option<fn(&Settings, &Settings) -> bool>,
}

/// Variables that belong together.
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

/// Every variable by group, in the order of the documentation.
#[must_use]
pub fn groups() -> &'static [Group] {
    &GROUPS
}

/// All variables, in the order of the documentation.
pub(super) fn variables() -> impl Iterator<Item = &'static Variable> {
    GROUPS.iter().flat_map(|group| group.variables)
}

/// A row with everything left out, to be filled by struct update.
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

/// Text as JSON, which keeps names with commas apart.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A time in seconds, as one would write it.
fn seconds(time: std::time::Duration) -> String {
    time.as_secs_f64().to_string()
}

/// A path, or "none".
fn path(path: Option<&std::path::Path>) -> String {
    path.map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}

/// The word that stands for a choice.
fn word<T: PartialEq>(choices: &[(&'static str, T)], chosen: &T) -> String {
    choices
        .iter()
        .find(|(_, choice)| choice == chosen)
        .map_or_else(String::new, |(word, _)| (*word).to_owned())
}
