//! The layers of the settings: the files they are read from, and their values before any check.

mod environment;

use super::files::{Wanted, position, printable};
use super::problems::Report;
use super::sources::Sources;
use super::table::{self, Variable};
use super::{dotenv, names, sources::Flags};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::collections::HashMap;

/// One layer: its name in messages, and its values by variable name.
struct Layer {
    name: String,
    values: Dict,
}

impl Layer {
    fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            values: Dict::new(),
        }
    }

    /// Sets a value; a blank one means unset, except where the variable allows blank values.
    fn put(&mut self, variable: &Variable, value: Value) {
        let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
        if !is_blank || variable.blank_is_a_value {
            self.values.insert(variable.name.to_owned(), value);
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Merges all layers, stronger ones over weaker ones. Invalid files are reported, and read as far as possible.
pub(super) fn gather(sources: &Sources, report: &mut Report) -> Figment {
    let (otherwise_spelled, environment) = environment::layers(&sources.environment, report);
    Figment::new()
        .merge(defaults())
        .merge(toml_layer(sources, report))
        .merge(dotenv_layer(sources, report))
        .merge(otherwise_spelled)
        .merge(environment)
        .merge(flags_layer(&sources.flags))
}

/// Only the layer of built-in defaults.
pub(super) fn only_defaults() -> Figment {
    Figment::from(defaults())
}

fn defaults() -> Layer {
    let mut layer = Layer::new("the defaults");
    for variable in table::variables() {
        layer.put(variable, Value::from(variable.default));
    }
    layer
}

fn toml_layer(sources: &Sources, report: &mut Report) -> Layer {
    let wanted = Wanted::new(sources, sources.config.as_deref(), "duogate.toml", "--config");
    let mut layer = Layer::new(wanted.label.clone());
    let Some(text) = wanted.read(report) else {
        return layer;
    };
    let keys = Toml::from_str(&text).unwrap_or_else(|error| {
        // The library's error message quotes the line, which may hold a secret.
        let place = position(&text, error.span().map_or(0, |span| span.start));
        report.problem(
            wanted.blame,
            format!("{place} is not valid TOML"),
            Some(&wanted.label),
        );
        lines_by_themselves(&text)
    });
    for (key, value) in keys {
        match toml_variable(&key) {
            Ok(variable) => {
                if layer.values.contains_key(variable.name) {
                    let message = "is given twice, in upper case and in lower case".to_owned();
                    report.problem(variable.name, message, Some(&wanted.label));
                }
                layer.put(variable, value);
            }
            Err(message) => report.problem(wanted.blame, message, Some(&wanted.label)),
        }
    }
    layer
}

/// The lines before the first table, each parsed on its own: salvages the rest of an invalid file.
fn lines_by_themselves(text: &str) -> Dict {
    text.lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Toml::from_str::<Dict>(line).ok())
        .flatten()
        .collect()
}

/// The variable that a key stands for, or the message that there is none.
fn toml_variable(key: &str) -> Result<&'static Variable, String> {
    let found = names::variable(key);
    if let Some(variable) = found.filter(|variable| key == variable.name || !key.contains(char::is_uppercase))
    {
        return Ok(variable);
    }
    let shown = printable(key);
    Err(match found.or_else(|| names::meant_in_file(key)) {
        Some(meant) => format!(
            "the key `{shown}` is not known; did you mean `{}`?",
            meant.name.to_ascii_lowercase()
        ),
        None => format!("the key `{shown}` is not known"),
    })
}

fn dotenv_layer(sources: &Sources, report: &mut Report) -> Layer {
    let wanted = Wanted::new(sources, sources.env_file.as_deref(), ".env", "--env-file");
    let mut layer = Layer::new(wanted.label.clone());
    let Some(text) = wanted.read(report) else {
        return layer;
    };
    let mut last: HashMap<&str, dotenv::Entry> = HashMap::new();
    for line in dotenv::parse(&text) {
        let entry = match line {
            Ok(entry) => entry,
            Err(dotenv::BadLine(number)) => {
                let message = format!("line {number} is not NAME=value; expected one variable on each line");
                report.problem(wanted.blame, message, Some(&wanted.label));
                continue;
            }
        };
        let Some(variable) = names::variable(&entry.name) else {
            let place = format!("{}, line {}", wanted.label, entry.line);
            near_miss(&entry.name, names::meant_in_file(&entry.name), &place, report);
            continue;
        };
        if let Some(earlier) = last.get(variable.name) {
            let lines = format!("lines {} and {}", earlier.line, entry.line);
            let message = format!("is given twice in {} ({lines}); the last counts", wanted.label);
            report.warning(variable.name, &message);
        }
        last.insert(variable.name, entry);
    }
    for variable in table::variables() {
        if let Some(entry) = last.remove(variable.name) {
            layer.put(variable, Value::from(entry.value));
        }
    }
    layer
}

/// Warns about an unknown name that resembles a variable's.
fn near_miss(name: &str, meant: Option<&Variable>, place: &str, report: &mut Report) {
    if let Some(meant) = meant {
        let message = format!(
            "is no setting, and is ignored (from {place}); did you mean {}?",
            meant.name
        );
        report.warning(&printable(name), &message);
    }
}

fn flags_layer(flags: &Flags) -> Layer {
    let Flags {
        host,
        port,
        grpc_port,
        workers,
    } = flags;
    let given = [
        ("HOST", host.clone()),
        ("PORT", port.map(|port| port.to_string())),
        ("GRPC_PORT", grpc_port.clone()),
        ("WORKERS", workers.map(|workers| workers.to_string())),
    ];
    let mut layer = Layer::new("the command line");
    for (name, value) in given {
        if let Some(value) = value {
            layer.values.insert(name.to_owned(), Value::from(value));
        }
    }
    layer
}
