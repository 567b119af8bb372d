//! Finding variables by name, and guessing the variable meant by an unknown name.

use super::table::{self, Variable};

/// Other names in use for some variables.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("ALIASES", "MODEL_ALIASES"),
    ("API_TOKENS", "TOKEN_POOL"),
    ("HTTP_HOST", "HOST"),
    ("HTTP_PORT", "PORT"),
    ("KEYS", "API_KEYS"),
    ("MODELS", "AVAILABLE_MODELS"),
    ("PROXY", "UPSTREAM_PROXY"),
    ("RETRIES", "MAX_RETRIES"),
    ("TOKEN", "TOKEN_POOL"),
    ("TOKENS", "TOKEN_POOL"),
    ("TOKENS_FILE", "TOKEN_POOL_FILE"),
];

/// Shorter names resemble too many others.
const LONG: usize = 6;

/// The variable with this name, in any case.
pub(super) fn variable(name: &str) -> Option<&'static Variable> {
    table::variables().find(|variable| variable.name.eq_ignore_ascii_case(name))
}

/// The variable meant by an unknown name in a file, where almost all names are the gateway's: one that differs in a
/// letter or two, or has this as another name.
pub(super) fn meant_in_file(name: &str) -> Option<&'static Variable> {
    let name = name.to_ascii_uppercase();
    let called = OTHER_NAMES.iter().find(|(other, _)| *other == name);
    match called {
        Some((_, ours)) => variable(ours),
        None => nearest(&name, |ours| if ours.len() < LONG { 1 } else { 2 }),
    }
}

/// The same for the process environment, where almost all names belong to others: only a difference of one letter in a
/// name of several words counts, unless the value looks like a list or an object.
pub(super) fn meant_in_environment(name: &str, value: &str) -> Option<&'static Variable> {
    if value.trim_start().starts_with(['[', '{']) {
        return meant_in_file(name);
    }
    let name = name.to_ascii_uppercase();
    let is_several_words = |ours: &str| ours.len() >= LONG && ours.contains('_');
    nearest(&name, |ours| usize::from(is_several_words(ours)))
}

/// The variable with the smallest edit distance, at most `most`.
fn nearest(name: &str, most: impl Fn(&str) -> usize) -> Option<&'static Variable> {
    /// Longer than any variable's name, so longer names need no comparison.
    const LONGEST: usize = 64;
    if name.len() > LONGEST || variable(name).is_some() {
        return None;
    }
    table::variables()
        .map(|variable| (strsim::osa_distance(name, variable.name), variable))
        .filter(|(distance, variable)| *distance <= most(variable.name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, variable)| variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_name_stands_for_a_variable_and_is_none_itself() {
        for (other, ours) in OTHER_NAMES {
            assert!(variable(ours).is_some(), "{ours}");
            assert!(variable(other).is_none(), "{other}");
        }
    }
}
