//! The models that clients may ask for, and their aliases.

use super::files::printable;
use super::given::{Complaints, Given};
use super::problems::Report;
use super::settings::Settings;
use std::collections::BTreeMap;

/// The longest model name, in bytes.
const LONGEST_NAME: usize = 256;

/// Reads the list of models, without repeats.
pub(super) fn read_names(given: &mut Given<'_>) -> Result<Vec<String>, Complaints> {
    let mut names: Vec<String> = Vec::new();
    let mut complaints = Vec::new();
    for (index, entry) in given
        .list(r#"["gpt-4o", "Claude Sonnet 4"]"#)?
        .into_iter()
        .enumerate()
    {
        let place = index + 1;
        match entry
            .as_deref()
            .map_or(Err("is neither a string nor a whole number"), name)
        {
            Err(fault) => complaints.push(format!("entry {place} {fault}")),
            Ok(name) if names.contains(&name) => {
                given
                    .warnings
                    .push(format!("entry {place} repeats an earlier one and counts once"));
            }
            Ok(name) => names.push(name),
        }
    }
    Complaints::check(complaints).map(|()| names)
}

/// Reads the aliases: from the name a client uses to the upstream's model.
pub(super) fn read_aliases(given: &Given<'_>) -> Result<BTreeMap<String, String>, Complaints> {
    let mut aliases = BTreeMap::new();
    let mut complaints = Vec::new();
    for (index, (alias, target)) in given.object(r#"{"gpt-4o": "GPT 4o"}"#)?.into_iter().enumerate() {
        let place = index + 1;
        let target = target
            .as_deref()
            .map_or(Err("is neither a string nor a whole number"), name);
        match (name(&alias), target) {
            (Err(fault), _) => complaints.push(format!("the name of entry {place} {fault}")),
            (_, Err(fault)) => complaints.push(format!("the model of entry {place} {fault}")),
            (Ok(alias), Ok(target)) => {
                if aliases.insert(alias, target).is_some() {
                    complaints.push(format!("the name of entry {place} is given twice"));
                }
            }
        }
    }
    Complaints::check(complaints).map(|()| aliases)
}

fn name(text: &str) -> Result<String, &'static str> {
    let name = text.trim();
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > LONGEST_NAME {
        return Err("is too long; expected at most 256 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("holds a control character; expected printable text");
    }
    Ok(name.to_owned())
}

/// Checks the aliases against the list of models; an empty list allows every model.
pub(super) fn check_aliases(settings: &Settings, report: &mut Report) {
    let models = &settings.available_models;
    for (alias, target) in &settings.model_aliases {
        if !models.is_empty() && !models.contains(target) {
            let (alias, target) = (printable(alias), printable(target));
            let message = format!("`{alias}` stands for `{target}`, which is not in AVAILABLE_MODELS");
            report.problem("MODEL_ALIASES", message, None);
        }
        if models.contains(alias) && alias != target {
            let message = format!("`{}` is a listed model too; the alias wins", printable(alias));
            report.warning("MODEL_ALIASES", &message);
        }
    }
}
