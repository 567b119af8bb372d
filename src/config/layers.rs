//! The layers beneath the settings: which files are read, and what each layer says, still unchecked.

use super::problems::Report;
use super::sources::Sources;
use super::table::{self, Variable};
use super::{dotenv, sources::Flags};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest file that is read, in bytes. A configuration is far smaller; a device such as `/dev/zero` is not.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

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
        ("GRPC_PORT", grpc_port.map(|port| port.to_string())),
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

/// A configuration file, whether asked for or only looked for.
struct Wanted {
    path: std::path::PathBuf,
    /// What the file is called in messages.
    label: String,
    /// Under which name its own problems are told.
    blame: &'static str,
    must_exist: bool,
}

impl Wanted {
    fn new(sources: &Sources, asked: Option<&Path>, usual: &'static str, flag: &'static str) -> Self {
        let label = asked.map_or_else(|| usual.to_owned(), |path| printable(&path.to_string_lossy()));
        let path = sources.directory.join(asked.unwrap_or(Path::new(usual)));
        Self {
            path,
            label,
            blame: if asked.is_some() { flag } else { usual },
            must_exist: asked.is_some(),
        }
    }

    fn read(&self, report: &mut Report) -> Option<String> {
        match read_text(&self.path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.must_exist => None,
            Err(error) => {
                report.problem(self.blame, why_unreadable(&error), Some(&self.label));
                None
            }
        }
    }
}

/// Reads a text file of bounded size.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut text = String::new();
    let length = file.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if length as u64 > LARGEST_FILE {
        Err(io::ErrorKind::FileTooLarge.into())
    } else {
        Ok(text)
    }
}

/// Why a file could not be read, in words of ours.
pub(super) fn why_unreadable(error: &io::Error) -> String {
    // Only the kinds that a reader can act on get a sentence of their own; the set of kinds is open.
    #[allow(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is non-exhaustive")]
    let why = match error.kind() {
        io::ErrorKind::NotFound => "the file does not exist",
        io::ErrorKind::PermissionDenied => "the file may not be read: permission denied",
        io::ErrorKind::IsADirectory => "is a directory; expected a file",
        io::ErrorKind::InvalidData => "the file is not valid UTF-8",
        io::ErrorKind::FileTooLarge => "the file is larger than 4 MiB",
        _ => "the file cannot be read",
    };
    why.to_owned()
}

fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// A name from outside, safe to show on one line.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST {
        shown.push('…');
    }
    shown
}
