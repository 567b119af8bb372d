//! The layers beneath the settings: which files are read, and what each layer says, still unchecked.

use super::files::{Wanted, position, printable};
use super::problems::Report;
use super::sources::Sources;
use super::table::{self, Variable};
use super::{dotenv, sources::Flags};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::collections::HashMap;
use std::ffi::OsString;

/// One layer: what it is called in messages, and its values under the variables' names.
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

    /// Takes a value over, unless it is blank where blank means unset.
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

/// All layers, the stronger over the weaker. Files that are wrong are reported and left out.
pub(super) fn gather(sources: &Sources, report: &mut Report) -> Figment {
    Figment::new()
        .merge(defaults())
        .merge(toml_layer(sources, report))
        .merge(dotenv_layer(sources, report))
        .merge(environment_layer(&sources.environment, report))
        .merge(flags_layer(&sources.flags))
}

/// The built-in defaults, as a layer of their own.
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
    let keys: Dict = match Toml::from_str(&text) {
        Ok(keys) => keys,
        Err(error) => {
            // The error's own text quotes the line, secrets and all.
            let place = position(&text, error.span().map_or(0, |span| span.start));
            report.problem(
                wanted.blame,
                format!("{place} is not valid TOML"),
                Some(&wanted.label),
            );
            return layer;
        }
    };
    for (key, value) in keys {
        let name = key.to_ascii_uppercase();
        let known = table::variables().find(|variable| variable.name == name);
        let Some(variable) = known.filter(|_| key == name || key == name.to_ascii_lowercase()) else {
            let message = format!("the key `{}` is not known", printable(&key));
            report.problem(wanted.blame, message, Some(&wanted.label));
            continue;
        };
        if layer.values.contains_key(variable.name) {
            let message = "is given twice, in upper case and in lower case".to_owned();
            report.problem(variable.name, message, Some(&wanted.label));
        }
        layer.put(variable, value);
    }
    layer
}

fn dotenv_layer(sources: &Sources, report: &mut Report) -> Layer {
    let wanted = Wanted::new(sources, sources.env_file.as_deref(), ".env", "--env-file");
    let mut layer = Layer::new(wanted.label.clone());
    let Some(text) = wanted.read(report) else {
        return layer;
    };
    let mut last: HashMap<&str, dotenv::Entry> = HashMap::new();
    for line in dotenv::parse(&text) {
        match line {
            Ok(entry) => {
                let known = table::variables().find(|variable| variable.name == entry.name);
                let Some(variable) = known else { continue };
                if let Some(earlier) = last.get(variable.name) {
                    let lines = format!("lines {} and {}", earlier.line, entry.line);
                    let message = format!("is given twice in {} ({lines}); the last counts", wanted.label);
                    report.warning(variable.name, &message);
                }
                last.insert(variable.name, entry);
            }
            Err(dotenv::BadLine(number)) => {
                let message = format!("line {number} is not NAME=value; expected one variable on each line");
                report.problem(wanted.blame, message, Some(&wanted.label));
            }
        }
    }
    for variable in table::variables() {
        if let Some(entry) = last.remove(variable.name) {
            layer.put(variable, Value::from(entry.value));
        }
    }
    layer
}

fn environment_layer(environment: &[(OsString, OsString)], report: &mut Report) -> Layer {
    let mut layer = Layer::new("the environment");
    for variable in table::variables() {
        let Some((_, value)) = environment.iter().find(|(name, _)| name == variable.name) else {
            continue;
        };
        match value.to_str() {
            Some(text) => layer.put(variable, Value::from(dotenv::unquote(text))),
            None => {
                report.problem(
                    variable.name,
                    "is not valid UTF-8".to_owned(),
                    Some("the environment"),
                );
            }
        }
    }
    layer
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
