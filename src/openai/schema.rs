//! Shapes of request fields, declared as data: what a JSON value may be, and what is said of one that is not.

use serde_json::{Map, Value};

use super::place::Place;
use crate::engine::error::ChatError;

/// What a value may be.
#[derive(Debug)]
pub(super) enum Shape {
    Bool,
    /// From least to most; `1.0` is an integer too, as JSON has it.
    Integer(i128, i128),
    /// From least to most.
    Number(f64, f64),
    /// So many characters.
    Text(usize, usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// So many of this shape.
    List(usize, usize, &'static Shape),
    /// These keys; others are ignored.
    Object(&'static [Key]),
    /// An object whose other keys depend on the word under this key.
    Tagged(&'static str, &'static [(&'static str, &'static [Key])]),
    /// The same, but what becomes of a word that is not known is its reader's to say.
    Kinds(&'static str, &'static [(&'static str, &'static [Key])]),
    /// Any keys: at most so many, of so many characters, each with a value of this shape.
    Pairs(usize, usize, &'static Shape),
    /// The first shape that is of the value's JSON type.
    Either(&'static [Shape]),
    /// An object, whatever is in it.
    AnyObject,
    /// An object that is looked at apart; the document has it under this name.
    Apart(&'static str),
}

/// A text without limits.
pub(super) const TEXT: Shape = Shape::Text(0, usize::MAX);

/// One key of an object.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) presence: Presence,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It may be absent, and null means that it is.
    Optional,
    /// It must be there.
    Required,
}

/// How much is let pass of what only somebody else's growing vocabulary decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// Nothing: the value is obeyed.
    No,
    /// Words and kinds that are not known: the value has no effect.
    Words,
    /// Lengths beyond what is known too: the value is refused in any case, and for what it is.
    Lengths,
}

/// By what a value is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge {
    pub(super) open: Open,
}

impl Judge {
    fn is_open(self) -> bool {
        self.open != Open::No
    }

    /// The most of something that is known to have so many.
    fn most(self, known: usize) -> usize {
        if self.open == Open::Lengths {
            usize::MAX
        } else {
            known
        }
    }

    /// Half a character in what has no effect has none either.
    fn check_text(self, place: &Place<'_>) -> Result<(), ChatError> {
        if self.is_open() {
            Ok(())
        } else {
            place.check_text()
        }
    }

    /// Checks that what is used at `place` stands there once, and holds no half of a character.
    ///
    /// # Errors
    /// `invalid_request` with the place.
    pub(super) fn check_used(self, place: &Place<'_>) -> Result<(), ChatError> {
        place.check_once()?;
        self.check_text(place)
    }
}

/// A key that may be absent, for which null stands too.
pub(super) const fn key(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        presence: Presence::Optional,
    }
}

/// A key that must be there.
pub(super) const fn required(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        presence: Presence::Required,
    }
}

impl Key {
    /// Checks this key of the object at `place`.
    ///
    /// # Errors
    /// `invalid_request`, naming the innermost field that is at fault.
    pub(super) fn check(
        &self,
        object: &Map<String, Value>,
        place: &Place<'_>,
        judge: Judge,
    ) -> Result<(), ChatError> {
        let place = place.member(self.name);
        let Some(value) = object.get(self.name) else {
            return match self.presence {
                Presence::Required => Err(missing(place.path())),
                Presence::Optional => Ok(()),
            };
        };
        place.check_once()?;
        if value.is_null() && self.presence == Presence::Optional {
            return Ok(());
        }
        self.shape.check(value, &place, judge)
    }
}

/// Says that a parameter must be there.
pub(super) fn missing(field: impl Into<String>) -> ChatError {
    let field = field.into();
    let message = format!("Missing required parameter: '{field}'.");
    ChatError::invalid(field, message)
}

/// Says that a word is none of those that are known.
pub(super) fn unknown_word(field: impl Into<String>, word: &str, known: &[&str]) -> ChatError {
    let word: String = word.chars().take(64).collect();
    let known: Vec<String> = known.iter().map(|known| format!("'{known}'")).collect();
    let known = match known.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{}, and {last}", others.join(", ")),
        _ => known.concat(),
    };
    ChatError::invalid(
        field,
        format!("Invalid value: '{word}'. Supported values are: {known}."),
    )
}

/// Says that a value is of a wrong type.
pub(super) fn wrong_type(field: impl Into<String>, expected: &str, value: &Value) -> ChatError {
    let field = field.into();
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let message = format!("Invalid type for '{field}': expected {expected}, but got {got} instead.");
    ChatError::invalid(field, message)
}

/// A value as an integer; one that no integer type holds comes as the nearest that does.
pub(super) fn integer(value: &Value) -> Option<i128> {
    let number = value.as_number()?;
    if let Some(integer) = number.as_i128() {
        return Some(integer);
    }
    let float = number.as_f64()?;
    if float.fract() != 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is whole, and the cast saturates"
    )]
    let nearest = float as i128;
    // What is read as a decimal though it is whole was beyond 64 bits, however it was rounded.
    let least = i128::from(i64::MIN);
    Some(if nearest == least { least - 1 } else { nearest })
}

impl Shape {
    /// What a value of this shape is, in words.
    fn expected(&self) -> String {
        match self {
            Shape::Bool => "a boolean".to_owned(),
            Shape::Integer(..) => "an integer".to_owned(),
            Shape::Number(..) => "a decimal".to_owned(),
            Shape::Text(..) => "a string".to_owned(),
            Shape::Word(words) => format!("one of '{}'", words.join("', '")),
            Shape::List(..) => "an array".to_owned(),
            Shape::Object(_)
            | Shape::Tagged(..)
            | Shape::Kinds(..)
            | Shape::Pairs(..)
            | Shape::AnyObject
            | Shape::Apart(_) => "an object".to_owned(),
            Shape::Either(shapes) => {
                let each: Vec<String> = shapes.iter().map(Shape::expected).collect();
                each.join(" or ")
            }
        }
    }

    /// Whether a value is of this shape's JSON type.
    fn is_of_type(&self, value: &Value) -> bool {
        match self {
            Shape::Bool => value.is_boolean(),
            Shape::Integer(..) => integer(value).is_some(),
            Shape::Number(..) => value.is_number(),
            Shape::Text(..) | Shape::Word(_) => value.is_string(),
            Shape::List(..) => value.is_array(),
            Shape::Object(_)
            | Shape::Tagged(..)
            | Shape::Kinds(..)
            | Shape::Pairs(..)
            | Shape::AnyObject
            | Shape::Apart(_) => value.is_object(),
            Shape::Either(shapes) => shapes.iter().any(|shape| shape.is_of_type(value)),
        }
    }

    /// Checks the value at `place`.
    ///
    /// # Errors
    /// `invalid_request`, naming the innermost field that is at fault.
    pub(super) fn check(&self, value: &Value, place: &Place<'_>, judge: Judge) -> Result<(), ChatError> {
        let path = place.path();
        if !self.is_of_type(value) {
            return Err(wrong_type(path, &self.expected(), value));
        }
        match (self, value) {
            (Shape::Integer(least, most), value) => {
                let number = integer(value).unwrap_or_default();
                in_range(path, "integer", value, number, (*least, *most))
            }
            (Shape::Number(least, most), value) => {
                let number = value.as_f64().unwrap_or_default();
                in_range(path, "decimal", value, number, (*least, *most))
            }
            (Shape::Text(least, most), Value::String(text)) => {
                judge.check_text(place)?;
                let most = judge.most(*most);
                // Counting characters is needed only where bytes do not settle it.
                let settled = text.len() <= most && *least <= 1;
                let length = if settled { text.len() } else { text.chars().count() };
                in_size(path, "string", length, *least, most)
            }
            (Shape::Word(words), Value::String(word))
                if !judge.is_open() && !words.contains(&word.as_str()) =>
            {
                Err(unknown_word(path, word, words))
            }
            (Shape::List(least, most, of), Value::Array(items)) => {
                in_size(path, "array", items.len(), *least, judge.most(*most))?;
                let mut items = items.iter().enumerate();
                items.try_for_each(|(index, item)| of.check(item, &place.item(index), judge))
            }
            (Shape::Object(keys), Value::Object(object)) => {
                keys.iter().try_for_each(|key| key.check(object, place, judge))
            }
            (Shape::Tagged(tag, kinds), Value::Object(object)) => {
                check_kind((tag, kinds), judge.is_open(), object, place, judge)
            }
            (Shape::Kinds(tag, kinds), Value::Object(object)) => {
                check_kind((tag, kinds), true, object, place, judge)
            }
            (Shape::Pairs(most, longest, of), Value::Object(object)) => {
                judge.check_text(place)?;
                in_size(path, "object", object.len(), 0, judge.most(*most))?;
                object.iter().try_for_each(|(name, value)| {
                    in_size(path, "key", name.chars().count(), 0, judge.most(*longest))?;
                    let place = place.member(name);
                    place.check_once()?;
                    of.check(value, &place, judge)
                })
            }
            (Shape::Either(shapes), value) => {
                let shape = shapes.iter().find(|shape| shape.is_of_type(value));
                shape.map_or(Ok(()), |shape| shape.check(value, place, judge))
            }
            _ => Ok(()),
        }
    }
}

/// Checks an object whose keys depend on the word under its tag; any other word will do where it is `open`.
fn check_kind(
    (tag, kinds): (&str, &[(&str, &[Key])]),
    open: bool,
    object: &Map<String, Value>,
    place: &Place<'_>,
    judge: Judge,
) -> Result<(), ChatError> {
    let field = place.member(tag);
    judge.check_used(&field)?;
    let word = match object.get(tag) {
        None => return Err(missing(field.path())),
        Some(Value::String(word)) => word,
        Some(other) => return Err(wrong_type(field.path(), "a string", other)),
    };
    match kinds.iter().find(|(name, _)| name == word) {
        Some((_, keys)) => keys.iter().try_for_each(|key| key.check(object, place, judge)),
        None if open => Ok(()),
        None => {
            let known: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
            Err(unknown_word(field.path(), word, &known))
        }
    }
}

/// Checks a number, which stands as it was given in `value`: an integer type's end may stand for it here, and a decimal has
/// hundreds of digits.
fn in_range<T>(
    path: &str,
    what: &str,
    value: &Value,
    number: T,
    (least, most): (T, T),
) -> Result<(), ChatError>
where
    T: Copy + PartialOrd + std::fmt::Display,
{
    let (side, sign, bound) = if number < least {
        ("below minimum", ">=", least)
    } else if number > most {
        ("above maximum", "<=", most)
    } else {
        return Ok(());
    };
    let message = format!(
        "Invalid '{path}': {what} {side} value. Expected a value {sign} {bound}, but got {value} instead."
    );
    Err(ChatError::invalid(path, message))
}

fn in_size(path: &str, what: &str, size: usize, least: usize, most: usize) -> Result<(), ChatError> {
    let (side, name, bound) = if size < least {
        ("short", "minimum", least)
    } else if size > most {
        ("long", "maximum", most)
    } else {
        return Ok(());
    };
    let message = format!(
        "Invalid '{path}': {what} too {side}. Expected one with {name} length {bound}, but got one with length {size} \
         instead."
    );
    Err(ChatError::invalid(path, message))
}
