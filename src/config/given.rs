//! Reads one value from any layer: text from an environment, or a typed value from TOML.
//!
//! Every error states what is expected, and never what was found, which may be a secret.

use super::json;
use figment::value::{Num, Value};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest configurable time in seconds: a year. Far longer ones would overflow the clock.
pub(super) const LONGEST_SECONDS: f64 = 31_536_000.0;

const HOST_EXPECTED: &str = "an IP address or a host name, without a port";

/// Number of invalid entries of one list that are reported individually.
const TOLD_ENTRIES: usize = 20;

/// Why a value is invalid: one message per problem.
#[derive(Debug)]
pub(super) struct Complaints(pub(super) Vec<String>);

impl From<String> for Complaints {
    fn from(message: String) -> Self {
        Self(vec![message])
    }
}

impl Complaints {
    /// An error if there are messages; a long list is cut.
    pub(super) fn check(mut messages: Vec<String>) -> Result<(), Self> {
        if messages.is_empty() {
            return Ok(());
        }
        let untold = messages.len().saturating_sub(TOLD_ENTRIES);
        if untold > 0 {
            messages.truncate(TOLD_ENTRIES);
            messages.push(format!("{untold} more entries are wrong"));
        }
        Err(Self(messages))
    }
}

/// The value of one variable from some layer.
pub(super) struct Given<'a> {
    value: &'a Value,
    /// The base of relative paths.
    pub(super) directory: &'a Path,
    /// Warnings about the value.
    pub(super) warnings: Vec<String>,
}

impl<'a> Given<'a> {
    pub(super) fn new(value: &'a Value, directory: &'a Path) -> Self {
        Self {
            value,
            directory,
            warnings: Vec::new(),
        }
    }

    /// The text, trimmed.
    pub(super) fn text(&self, expected: &str) -> Result<&'a str, String> {
        let text = self.value.as_str().map(str::trim);
        text.ok_or_else(|| format!("is not a text; expected {expected}"))
    }

    /// Display text: no control characters, at most 256 bytes.
    pub(super) fn title(&self) -> Result<String, String> {
        let text = self.text("a text of at most 256 bytes")?;
        if text.len() > 256 {
            return Err("is too long; expected at most 256 bytes".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character; expected printable text".to_owned());
        }
        Ok(text.to_owned())
    }

    /// A boolean, in one of its usual spellings.
    pub(super) fn truth(&self) -> Result<bool, String> {
        let text = self.scalar().unwrap_or_default().to_ascii_lowercase();
        match text.as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is not a boolean; expected true or false (or 1/0, yes/no, on/off)".to_owned()),
        }
    }

    /// A whole number within limits.
    pub(super) fn integer<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Result<T, String> {
        let (least, most) = (range.start(), range.end());
        let text = self.scalar().unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "is not a whole number; expected one from {least} to {most}"
            ));
        }
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("is out of range; expected a whole number from {least} to {most}"))
    }

    /// A whole number within limits, or `off`.
    pub(super) fn integer_or_off<T: TryFrom<u64>>(
        &self,
        range: RangeInclusive<u64>,
    ) -> Result<Option<T>, String> {
        let is_off = self.scalar().is_some_and(|text| text.eq_ignore_ascii_case("off"));
        if is_off {
            return Ok(None);
        }
        let number = self.integer(range).map(Some);
        number.map_err(|problem| format!("{problem}, or off"))
    }

    /// A time in seconds, decimals allowed, at most a year.
    pub(super) fn seconds(&self, may_be_zero: bool) -> Result<Duration, String> {
        let limits = if may_be_zero {
            "from 0 to 31536000"
        } else {
            "more than 0, at most 31536000"
        };
        let text = self.scalar().unwrap_or_default();
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = number.ok_or_else(|| format!("is not a number of seconds; expected {limits}"))?;
        let time = Duration::try_from_secs_f64(number)
            .ok()
            .filter(|_| number <= LONGEST_SECONDS);
        let time = time.filter(|time| may_be_zero || !time.is_zero());
        time.ok_or_else(|| format!("is out of range; expected seconds, {limits}"))
    }

    /// One of a few words, in any case.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let text = self.value.as_str().unwrap_or_default().trim();
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            format!("is not known; expected {}", words.join(" or "))
        })
    }

    /// An IP address or a host name to listen on, without brackets.
    pub(super) fn host(&self) -> Result<String, String> {
        Self::host_of(self.text(HOST_EXPECTED)?)
    }

    /// The same for a text from elsewhere.
    pub(super) fn host_of(text: &str) -> Result<String, String> {
        let text = text.trim();
        let wrong = || format!("is no address to listen on; expected {HOST_EXPECTED}");
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inner
                .parse::<Ipv6Addr>()
                .map(|_| inner.to_owned())
                .map_err(|_| wrong());
        }
        let is_address = text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok();
        if is_address || is_host_name(text) {
            Ok(text.to_owned())
        } else {
            Err(wrong())
        }
    }

    /// A path; a relative one is resolved against the settings' directory.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        self.text("a file's path").map(|text| self.directory.join(text))
    }

    /// The elements of a list: a TOML array, or the text of a JSON one. Blank text is the empty list.
    pub(super) fn list(&self, example: &str) -> Result<Vec<json::Element>, String> {
        if let Value::Array(_, values) = self.value {
            return Ok(values.iter().map(element).collect());
        }
        let expected = format!("expected a JSON array on one line, for example {example}");
        let Some(text) = self.value.as_str() else {
            return Err(format!("is not a list; {expected}"));
        };
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        json::list(text).map_err(|column| format!("is not a JSON array (column {column}); {expected}"))
    }

    /// The members of an object: a TOML table, or the text of a JSON object. Blank text is the empty object.
    pub(super) fn object(&self, example: &str) -> Result<Vec<(String, json::Element)>, String> {
        if let Value::Dict(_, values) = self.value {
            return Ok(values
                .iter()
                .map(|(name, value)| (name.clone(), element(value)))
                .collect());
        }
        let expected = format!("expected a JSON object on one line, for example {example}");
        let Some(text) = self.value.as_str() else {
            return Err(format!("is not an object; {expected}"));
        };
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        json::object(text).map_err(|column| format!("is not a JSON object (column {column}); {expected}"))
    }

    /// The text of a scalar; TOML numbers and booleans as they would be written.
    fn scalar(&self) -> Option<String> {
        match self.value {
            Value::Bool(_, truth) => Some(truth.to_string()),
            Value::Num(_, number) => {
                whole(*number).or_else(|| number.to_f64().map(|number| format!("{number:?}")))
            }
            Value::String(..) | Value::Char(..) => self.value.as_str().map(|text| text.trim().to_owned()),
            Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
        }
    }
}

/// The digits of a whole number, signed or not.
fn whole(number: Num) -> Option<String> {
    let signed = number.to_i128().map(|number| number.to_string());
    signed.or_else(|| number.to_u128().map(|number| number.to_string()))
}

/// A TOML value as a list element: a string or a whole number.
fn element(value: &Value) -> json::Element {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Num(_, number) => whole(*number),
        Value::Char(..) | Value::Bool(..) | Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

/// Letters, digits, `-` and `_` in labels of 1 to 63 characters. A numeric last label would make it a malformed
/// address.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let characters = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && characters && !label.starts_with('-') && !label.ends_with('-')
    };
    let last_is_a_number = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(is_label) && !last_is_a_number
}
