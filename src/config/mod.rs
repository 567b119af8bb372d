//! The typed settings of the process.
//!
//! Five layers make them, each over the one before: built-in defaults, a TOML file, a `.env` file, the process
//! environment, command-line flags. One table (`table`) says for every variable what it is called, what it
//! defaults to, how it is read and how it is shown; `.env.example` and `docs/configuration.md` are held to it.
//!
//! Everything wrong is reported at once, each problem under its variable's name and the layer it came from. No
//! message ever repeats a value, so none can hold a secret. Nothing in here starts, connects or logs.

mod dotenv;
mod files;
mod given;
mod headers;
mod json;
mod layers;
mod models;
mod problems;
mod secrets;
mod settings;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod urls;

pub use files::{LARGEST_FILE, read_text, why_unreadable};
pub use problems::{Problem, Problems};
pub use secrets::{secret_of_line, token_fault};
pub use settings::{LogFormat, Settings, UnmarkedEnd};
pub use sources::{Flags, Sources};
pub use table::{Group, Variable, groups};
pub use urls::{BaseUrl, ProxyUrl};

use figment::Figment;
use given::Given;
use problems::Report;
use secrecy::ExposeSecret;

/// The key that `.env.example` shows. It works, and draws a warning: everyone can read it.
pub const EXAMPLE_KEY: &str = "sk-duogate-replace-me";

/// The admin key that `.env.example` shows; as [`EXAMPLE_KEY`].
pub const EXAMPLE_ADMIN_KEY: &str = "adm-duogate-replace-me";

/// Settings that passed every check, and what is odd about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings of the process.
    pub settings: Settings,
    /// What deserves a look and does not stop the start, one line each, free of secrets.
    pub warnings: Vec<String>,
}

/// Reads all layers and checks the result.
///
/// # Errors
/// Every problem found, in the order of the layers and then of the table; never only the first.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut report = Report::default();
    let figment = layers::gather(sources, &mut report);
    let files_were_read = report.is_clean();
    let mut settings = Settings::blank();
    read(&figment, sources, &mut settings, &mut report);
    settings.settle();
    check_together(&settings, files_were_read, &mut report);
    let warnings = report.finish()?;
    Ok(Loaded { settings, warnings })
}

/// Reads every variable of the table that some layer sets.
fn read(figment: &Figment, sources: &Sources, settings: &mut Settings, report: &mut Report) {
    for variable in table::variables() {
        let Ok(value) = figment.find_value(variable.name) else {
            continue;
        };
        let source = figment
            .get_metadata(value.tag())
            .map(|metadata| metadata.name.to_string());
        let mut given = Given::new(&value, &sources.directory);
        let outcome = (variable.set)(settings, &mut given);
        for warning in given.warnings {
            report.warning(variable.name, &warning);
        }
        for message in outcome.err().map(|complaints| complaints.0).unwrap_or_default() {
            report.problem(variable.name, message, source.as_deref());
        }
    }
}

/// The checks that need more than one variable. Each is skipped where one of its variables is wrong by itself, so
/// that one mistake is not told twice.
fn check_together(settings: &Settings, files_were_read: bool, report: &mut Report) {
    let keys_are_known = files_were_read && !report.blames(&["API_KEYS", "API_KEYS_FILE", "REQUIRE_API_KEY"]);
    if settings.require_api_key && settings.api_keys.is_empty() && keys_are_known {
        let message = "no key is configured and REQUIRE_API_KEY is true; run `duogate init` to write a .env with a \
                       fresh key, or set REQUIRE_API_KEY=false to let everybody in";
        report.problem("API_KEYS", message.to_owned(), None);
    }
    if !settings.require_api_key {
        report.warning(
            "REQUIRE_API_KEY",
            "is false: whoever reaches the ports may use the gateway",
        );
    }
    if !report.blames(&["ADMIN_KEY"]) {
        check_admin_key(settings, report);
    }
    let tokens_are_known = files_were_read && !report.blames(&["TOKEN_POOL", "TOKEN_POOL_FILE"]);
    if settings.tokens.is_empty() && tokens_are_known {
        report.warning(
            "TOKEN_POOL",
            "holds no token: the gateway starts, and answers no chat",
        );
    }
    let same_place = settings.port == settings.grpc_port && settings.host == settings.grpc_host;
    if same_place && settings.port != 0 && !report.blames(&["HOST", "PORT", "GRPC_HOST", "GRPC_PORT"]) {
        let message = "is the same as PORT on the same host; expected a port of its own";
        report.problem("GRPC_PORT", message.to_owned(), None);
    }
    if settings.request_timeout < settings.timeout && !report.blames(&["TIMEOUT", "REQUEST_TIMEOUT"]) {
        report.warning(
            "REQUEST_TIMEOUT",
            "is shorter than TIMEOUT, which can then never be reached",
        );
    }
    if !report.blames(&["AVAILABLE_MODELS", "MODEL_ALIASES"]) {
        models::check_aliases(settings, report);
    }
}

/// Who may chat must not thereby be able to operate the gateway.
fn check_admin_key(settings: &Settings, report: &mut Report) {
    let Some(admin_key) = &settings.admin_key else {
        return;
    };
    let admin_key = admin_key.expose_secret();
    if settings
        .api_keys
        .iter()
        .any(|key| key.expose_secret() == admin_key)
    {
        let message = "is one of API_KEYS (or a line of API_KEYS_FILE); expected a key of its own";
        report.problem("ADMIN_KEY", message.to_owned(), None);
    }
}
