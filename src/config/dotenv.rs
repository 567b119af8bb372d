//! Parses `.env` text as users of python-dotenv and Docker's `--env-file` expect.
//!
//! One `NAME=value` per line. The value extends to the line's end and needs no quotes, even around JSON or spaces; one
//! pair of outer quotes is removed; whitespace and a `#` end an unquoted value outside JSON strings. There is no
//! substitution and no escape sequence, so that a secret is taken literally.

/// One `NAME=value` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line's number, from 1.
    pub(super) line: usize,
    /// The name, trimmed; never empty.
    pub(super) name: String,
    /// The value, without comment and outer quotes.
    pub(super) value: String,
}

/// A line that is not `NAME=value`: its number, from 1. The text is omitted deliberately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadLine(pub(super) usize);

/// The entries of a `.env` file, in order; blank lines and comments are skipped.
pub(super) fn parse(text: &str) -> Vec<Result<Entry, BadLine>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n')
        .enumerate()
        .filter_map(|(index, line)| parse_line(index + 1, line.trim()))
        .collect()
}

fn parse_line(number: usize, line: &str) -> Option<Result<Entry, BadLine>> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let Some((name, value)) = line.split_once('=') else {
        return Some(Err(BadLine(number)));
    };
    let name = name.trim();
    let name = match name.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim(),
        _ => name,
    };
    if name.is_empty() {
        return Some(Err(BadLine(number)));
    }
    // The untrimmed value matters: in `NAME= # note` the space is what makes the rest a comment.
    Some(Ok(Entry {
        line: number,
        name: name.to_owned(),
        value: value_of(value).to_owned(),
    }))
}

fn value_of(raw: &str) -> &str {
    let value = raw.trim();
    quoted(value).unwrap_or_else(|| without_comment(raw).trim())
}

/// The text between outer quotes. The closing quote is the first one followed by only a comment or nothing, so that
/// JSON may contain quotes.
fn quoted(value: &str) -> Option<&str> {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let inner = value.get(1..)?;
    inner.match_indices(quote).find_map(|(at, _)| {
        let rest = inner.get(at + 1..)?;
        let ends =
            rest.is_empty() || (rest.starts_with(char::is_whitespace) && rest.trim_start().starts_with('#'));
        if ends { inner.get(..at) } else { None }
    })
}

/// Cuts at the first `#` that follows whitespace and is outside JSON strings.
fn without_comment(value: &str) -> &str {
    let is_json = value.trim_start().starts_with(['[', '{']);
    let (mut in_string, mut escaped, mut after_blank) = (false, false, false);
    for (at, character) in value.char_indices() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character == '#' && after_blank {
            return value.get(..at).unwrap_or(value);
        } else {
            in_string = is_json && character == '"';
        }
        after_blank = character.is_whitespace();
    }
    value
}

/// Removes one pair of outer quotes: some tools pass the quotes of an `.env` file on.
pub(super) fn unquote(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    value
}
