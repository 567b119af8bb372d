//! Keys and upstream credentials: their sources, their valid characters, and removal of repeats.
//!
//! Messages name an entry by its position and a character by its kind; the entry itself is never displayed.

use super::EXAMPLE_KEY;
use super::files::{read_text, why_unreadable};
use super::given::{Complaints, Given};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// The kind of secret in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// Keys that clients send to the gateway.
    Key,
    /// Credentials that the gateway sends upstream in a cookie.
    Token,
}

impl Sort {
    /// Why a secret is invalid; `None` if it is valid.
    fn fault(self, secret: &str) -> Option<String> {
        if secret.trim().is_empty() {
            return Some("is empty".to_owned());
        }
        let kind = secret.chars().find_map(|character| self.forbids(character))?;
        Some(match self {
            Self::Key => format!("holds {kind}; a key is visible ASCII without blanks"),
            Self::Token => format!("holds {kind}, which no cookie may hold"),
        })
    }

    /// The kind of a forbidden character. For credentials these are all outside RFC 6265's cookie octets.
    fn forbids(self, character: char) -> Option<&'static str> {
        match character {
            ' ' => Some("a space"),
            _ if character.is_control() => Some("a control character"),
            _ if !character.is_ascii() => Some("a character outside ASCII"),
            _ if self == Self::Key => None,
            '"' => Some("a double quote"),
            ',' => Some("a comma"),
            ';' => Some("a semicolon"),
            '\\' => Some("a backslash"),
            _ => None,
        }
    }
}

/// Why a text is no valid upstream credential, without displaying it; `None` if it is valid.
#[must_use]
pub fn token_fault(secret: &str) -> Option<String> {
    Sort::Token.fault(secret)
}

/// The secret in a line of a secrets file; `None` for a blank line or a comment.
#[must_use]
pub fn secret_of_line(line: &str) -> Option<&str> {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line).trim();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}

/// Reads a key with a purpose of its own, such as the admin key; `example` is the public one from `.env.example`.
pub(super) fn key_of_its_own(given: &mut Given<'_>, example: &str) -> Result<SecretString, String> {
    /// Shorter keys can be guessed, although wrong ones are answered with a delay.
    const SHORTEST: usize = 16;
    let key = given.text("a key")?;
    if let Some(fault) = Sort::Key.fault(key) {
        return Err(fault);
    }
    if key == example {
        let warning = "is the example's key, which everyone can read; replace it";
        given.warnings.push(warning.to_owned());
    } else if key.len() < SHORTEST {
        let warning = format!("is shorter than {SHORTEST} characters, and may be guessed");
        given.warnings.push(warning);
    }
    Ok(SecretString::from(key.to_owned()))
}

/// Adds the entries of a list variable.
pub(super) fn from_list(
    sort: Sort,
    secrets: &mut Vec<SecretString>,
    given: &mut Given<'_>,
) -> Result<(), Complaints> {
    let example = match sort {
        Sort::Key => r#"["first key", "second key"]"#,
        Sort::Token => r#"["first token", "second token"]"#,
    };
    let entries = given.list(example)?.into_iter().enumerate();
    let named = entries
        .map(|(index, entry)| (format!("entry {}", index + 1), entry))
        .collect();
    take(sort, secrets, named, given)
}

/// Adds the lines of a file named by a variable.
pub(super) fn from_file(
    sort: Sort,
    secrets: &mut Vec<SecretString>,
    given: &mut Given<'_>,
) -> Result<(), Complaints> {
    let text = read_text(&given.path()?).map_err(|error| why_unreadable(&error))?;
    let lines = text.lines().map(secret_of_line).enumerate();
    let named = lines
        .filter_map(|(index, secret)| Some((format!("line {}", index + 1), Some(secret?.to_owned()))))
        .collect();
    take(sort, secrets, named, given)
}

fn take(
    sort: Sort,
    secrets: &mut Vec<SecretString>,
    entries: Vec<(String, Option<String>)>,
    given: &mut Given<'_>,
) -> Result<(), Complaints> {
    let mut seen: HashSet<String> = secrets
        .iter()
        .map(|secret| secret.expose_secret().to_owned())
        .collect();
    let mut complaints = Vec::new();
    for (place, entry) in entries {
        let Some(secret) = entry else {
            complaints.push(format!("{place} is neither a string nor a whole number"));
            continue;
        };
        if let Some(fault) = sort.fault(&secret) {
            complaints.push(format!("{place} {fault}"));
            continue;
        }
        if secret == EXAMPLE_KEY {
            given.warnings.push(format!(
                "{place} is the example's key, which everyone can read; replace it"
            ));
        }
        if seen.insert(secret.clone()) {
            secrets.push(SecretString::from(secret));
        } else {
            given
                .warnings
                .push(format!("{place} repeats an earlier one and counts once"));
        }
    }
    Complaints::check(complaints)
}

/// Whether two lists differ in their secrets or the order of these.
pub(super) fn differ(one: &[SecretString], other: &[SecretString]) -> bool {
    let (one, other) = (one.iter(), other.iter());
    !one.map(ExposeSecret::expose_secret)
        .eq(other.map(ExposeSecret::expose_secret))
}

/// The number of keys.
pub(super) fn show_keys(keys: &[SecretString]) -> String {
    count(keys.len(), "key")
}

/// The number of credentials, and the first few as eight hexadecimal digits of their SHA-256.
pub(super) fn show_tokens(tokens: &[SecretString]) -> String {
    const SHOWN: usize = 8;
    let counted = count(tokens.len(), "token");
    if tokens.is_empty() {
        return counted;
    }
    let mut names: Vec<String> = tokens.iter().take(SHOWN).map(fingerprint).collect();
    if tokens.len() > SHOWN {
        names.push("…".to_owned());
    }
    format!("{counted} ({})", names.join(", "))
}

/// "1 key", "2 keys".
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn fingerprint(secret: &SecretString) -> String {
    let digest = Sha256::digest(secret.expose_secret().as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
