//! The typed settings of the process.
//!
//! They come from five layers, each overriding the one before: built-in defaults, a TOML file, a `.env` file, the
//! process environment, command-line flags. One table (`table`) defines each variable: its name, default, parsing and
//! display. Tests keep `.env.example` and `docs/configuration.md` equal to it.
//!
//! All problems are reported at once, each with its variable and layer. No message repeats a value, which might be a
//! secret. This module starts nothing, connects to nothing and logs nothing.

mod address;
mod dotenv;
mod files;
mod given;
mod headers;
mod json;
mod layers;
mod links;
mod models;
mod names;
mod origins;
mod problems;
mod proxies;
mod secrets;
mod settings;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod together;
mod urls;
mod watch;

pub use address::{HttpAddress, at, http_address, listening_host};
pub use files::{LARGEST_FILE, read_text, why_unreadable};
pub use problems::{Problem, Problems};
pub use secrets::{secret_of_line, token_fault};
pub use settings::{ClientAuth, LogFormat, Settings, UnmarkedEnd, UnsupportedParams};
pub use sources::{Flags, Sources};
pub use table::{Group, Variable, groups};
pub use urls::{BaseUrl, ProxyUrl};
pub use watch::{Watch, differences};

use figment::Figment;
use given::Given;
use problems::Report;
use std::path::Path;

/// The key in `.env.example`. It works but causes a warning, since it is public.
pub const EXAMPLE_KEY: &str = "sk-duogate-replace-me";

/// The admin key in `.env.example`; as [`EXAMPLE_KEY`].
pub const EXAMPLE_ADMIN_KEY: &str = "adm-duogate-replace-me";

/// The metrics key in `.env.example`; as [`EXAMPLE_KEY`].
pub const EXAMPLE_METRICS_KEY: &str = "met-duogate-replace-me";

/// Settings that passed every check, with warnings about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings of the process.
    pub settings: Settings,
    /// Warnings that do not prevent the start, one line each, without secrets.
    pub warnings: Vec<String>,
}

/// Reads all layers and checks the result. Reads files, and blocks for as long.
///
/// # Errors
/// Every problem found, in the order of the layers and then of the table.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let (settings, report) = gather(sources);
    let warnings = report.finish()?;
    Ok(Loaded { settings, warnings })
}

/// The settings as far as they can be read, and the report about them.
fn gather(sources: &Sources) -> (Settings, Report) {
    let mut report = Report::default();
    let figment = layers::gather(sources, &mut report);
    let files_were_read = report.is_clean();
    let mut settings = Settings::blank();
    read(
        &figment,
        &sources.directory,
        table::variables(),
        &mut settings,
        &mut report,
    );
    settings.settle();
    together::check(&settings, files_were_read, &mut report);
    (settings, report)
}

/// Reads those of `variables` that are set in some layer.
fn read(
    figment: &Figment,
    directory: &Path,
    variables: impl Iterator<Item = &'static Variable>,
    settings: &mut Settings,
    report: &mut Report,
) {
    for variable in variables {
        let Ok(value) = figment.find_value(variable.name) else {
            continue;
        };
        let source = figment
            .get_metadata(value.tag())
            .map(|metadata| metadata.name.to_string());
        let mut given = Given::new(&value, directory);
        let outcome = (variable.set)(settings, &mut given);
        for warning in given.warnings {
            report.warning(variable.name, &warning);
        }
        for message in outcome.err().map(|complaints| complaints.0).unwrap_or_default() {
            report.problem(variable.name, message, source.as_deref());
        }
    }
}
