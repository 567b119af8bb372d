//! Limits of single fields, and what is said of a value that is beyond them.

use std::fmt;

use crate::engine::error::ChatError;

/// How what the upstream may not offer is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// By everything that is known: it is offered.
    Fully,
    /// By its form alone: it is refused for what it is, and what others add to their vocabulary is no fault.
    Openly,
    /// By nothing: it is left out.
    NotAtAll,
}

/// A field that cannot be taken; `problem` is said after its name.
pub(super) fn invalid(field: &str, problem: &str) -> ChatError {
    ChatError::invalid(field, format!("Invalid '{field}': {problem}."))
}

/// A field that must be set.
pub(super) fn missing(field: &str) -> ChatError {
    ChatError::invalid(field, format!("Missing '{field}': it must be set."))
}

/// A value or a size that is out of its range.
pub(super) fn beyond(field: &str, expected: &str, got: impl fmt::Display) -> ChatError {
    invalid(field, &format!("expected {expected}, but got {got}"))
}

/// A number from `least` to `most`; NaN is none.
pub(super) fn number(field: &str, value: Option<f64>, least: f64, most: f64) -> Result<(), ChatError> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(beyond(field, &format!("a number from {least} to {most}"), value))
        }
        Some(_) | None => Ok(()),
    }
}

/// A text of at most so many characters.
pub(super) fn characters(field: &str, text: Option<&str>, most: usize) -> Result<(), ChatError> {
    let count = text
        .filter(|text| text.len() > most)
        .map(|text| text.chars().count());
    match count {
        Some(count) if count > most => Err(beyond(field, &format!("at most {most} characters"), count)),
        Some(_) | None => Ok(()),
    }
}

/// The name of something that a model is told of.
pub(super) fn name(field: &str, text: &str, judged: Judged) -> Result<(), ChatError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_good = match judged {
        Judged::Fully => (1..=64).contains(&text.len()) && text.bytes().all(is_plain),
        Judged::Openly => !text.is_empty(),
        Judged::NotAtAll => true,
    };
    if is_good {
        Ok(())
    } else {
        Err(invalid(field, "expected 1 to 64 letters, digits, '_' or '-'"))
    }
}

/// A JSON object as text.
pub(super) fn json_object(field: &str, text: Option<&str>) -> Result<(), ChatError> {
    let is_object = |text: &str| serde_json::from_str::<serde_json::Map<_, _>>(text).is_ok();
    match text {
        Some(text) if !is_object(text) => Err(invalid(field, "expected a JSON object as text")),
        Some(_) | None => Ok(()),
    }
}

/// A number that the enum knows; none where it knows another, and that is no fault.
pub(super) fn known<E: TryFrom<i32>>(
    field: &str,
    number: i32,
    judged: Judged,
) -> Result<Option<E>, ChatError> {
    match (E::try_from(number), judged) {
        (Ok(value), _) => Ok(Some(value)),
        (Err(_), Judged::Fully) => Err(invalid(field, &format!("{number} is no value of its enum"))),
        (Err(_), Judged::Openly | Judged::NotAtAll) => Ok(None),
    }
}

/// Whether a field was set at all.
pub(super) trait Set {
    fn is_set(&self) -> bool;
}

/// An enum's field: 0 is its `_UNSPECIFIED`.
impl Set for i32 {
    fn is_set(&self) -> bool {
        *self != 0
    }
}
