//! The layer of the process environment, most of which belongs to other programs.

use super::{Layer, near_miss};
use crate::config::{dotenv, links, names, problems::Report, table::Variable};
use figment::value::Value;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

const LABEL: &str = "the environment";

/// Two layers: variables under other spellings of their names (first), and under their exact names, which win.
pub(super) fn layers(environment: &[(OsString, OsString)], report: &mut Report) -> (Layer, Layer) {
    let mut exact = Layer::new(LABEL);
    let mut others = Layer::new(format!("{LABEL}, in another spelling"));
    let mut spellings: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut strangers = Vec::new();
    for (name, value) in sorted(environment) {
        let Some(variable) = names::variable(name) else {
            strangers.push((name, value));
            continue;
        };
        let Some(text) = text(variable, name, value, report) else {
            continue;
        };
        let layer = if name == variable.name {
            &mut exact
        } else {
            &mut others
        };
        layer.put(variable, Value::from(text));
        if layer.values.contains_key(variable.name) {
            spellings.entry(variable.name).or_default().push(name);
        }
    }
    for (variable, spelled) in spellings.iter().filter(|(_, spelled)| spelled.len() > 1) {
        // Upper case sorts first, lower case last.
        let counts = spelled.iter().find(|name| *name == variable).or(spelled.last());
        let message = format!(
            "is in {LABEL} as {}; {} counts",
            spelled.join(" and as "),
            counts.unwrap_or(variable)
        );
        report.warning(variable, &message);
    }
    for (name, value) in strangers {
        let text = value.to_string_lossy();
        let meant = names::meant_in_environment(name, &text)
            .filter(|meant| !spellings.contains_key(meant.name) && !links::is_service_link(name, &text));
        near_miss(name, meant, LABEL, report);
    }
    (others, exact)
}

/// Sorted by name, so that the result does not depend on the environment's order. Names that are not Unicode are
/// skipped.
fn sorted(environment: &[(OsString, OsString)]) -> Vec<(&str, &OsStr)> {
    let mut entries: Vec<(&str, &OsStr)> = environment
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value.as_os_str())))
        .collect();
    entries.sort_by_key(|(name, _)| *name);
    entries
}

/// The value as text. `None`, with a problem or warning, if it is not UTF-8 or was injected by a container platform.
fn text<'a>(variable: &Variable, name: &str, value: &'a OsStr, report: &mut Report) -> Option<&'a str> {
    let Some(text) = value.to_str() else {
        report.problem(variable.name, "is not valid UTF-8".to_owned(), Some(LABEL));
        return None;
    };
    let text = dotenv::unquote(text);
    if links::is_service_link(name, text) {
        let message = "holds the address of a service, which the platform puts into the environment, and is ignored \
                       there; `enableServiceLinks: false` keeps it out";
        report.warning(variable.name, message);
        return None;
    }
    Some(text)
}
