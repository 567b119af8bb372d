//! Paths in Rust sources, as far as the text reveals them.

/// Every path in a source file that starts at the crate's root, by `crate` or by enough `super`s.
pub(crate) fn paths_from_the_root(source: &str, module: &[String]) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = at == 0 || tokens[at - 1] != "::";
        let starts_path = tokens.get(at + 1).is_some_and(|next| next == "::");
        if begins && starts_path && matches!(tokens[at].as_str(), "crate" | "super" | "self") {
            let mut found = Vec::new();
            at = expand(&tokens, at, &mut Vec::new(), &mut found);
            paths.extend(found.iter().filter_map(|path| absolute(path, module)));
        } else {
            at += 1;
        }
    }
    paths
}

/// Expands one path with all its groups (`a::{b::c, d}` is two), and returns its end.
fn expand(tokens: &[String], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = expand(tokens, at, prefix, found);
                    if tokens.get(at).is_some_and(|token| token == "as") {
                        at += 2;
                    }
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    } else if tokens.get(at).is_some_and(|token| token != "}") {
                        break;
                    }
                }
                at += 1;
                break;
            }
            Some(segment) => {
                prefix.push(segment.to_owned());
                at += 1;
                if tokens.get(at).is_some_and(|token| token == "::") {
                    at += 1;
                } else {
                    found.push(prefix.clone());
                    break;
                }
            }
            None => break,
        }
    }
    prefix.truncate(depth);
    at
}

/// The path from the crate's root, if it certainly starts there.
fn absolute(path: &[String], module: &[String]) -> Option<Vec<String>> {
    if path.first().is_some_and(|first| first == "crate") {
        return Some(path[1..].to_vec());
    }
    let path = path.strip_prefix(&["self".to_owned()]).unwrap_or(path);
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    // Inside a module within the file fewer `super`s lead out of it, so this may only find too much, and what it finds
    // in excess has no module's name.
    (supers >= module.len() && supers > 0).then(|| path[supers..].to_vec())
}

/// The identifiers and punctuation that matter in paths, without comments and literals.
fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&char) = chars.get(at) {
        let rest = &chars[at..];
        if rest.starts_with(&['/', '/']) {
            at += rest.iter().take_while(|char| **char != '\n').count();
        } else if rest.starts_with(&['/', '*']) {
            at += block_comment(rest);
        } else if let Some(length) = literal(rest) {
            at += length;
            tokens.push("literal".to_owned());
        } else if char.is_alphanumeric() || char == '_' {
            let word: String = rest
                .iter()
                .take_while(|char| char.is_alphanumeric() || **char == '_')
                .collect();
            at += word.chars().count();
            tokens.push(word);
        } else if rest.starts_with(&[':', ':']) {
            at += 2;
            tokens.push("::".to_owned());
        } else {
            at += 1;
            if !char.is_whitespace() {
                tokens.push(char.to_string());
            }
        }
    }
    tokens
}

/// The length of a block comment, nested ones included.
fn block_comment(chars: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string or character literal that begins here; a lifetime is none.
fn literal(chars: &[char]) -> Option<usize> {
    let prefix = chars
        .iter()
        .take_while(|char| matches!(char, 'b' | 'r' | 'c'))
        .count();
    let (marks, rest) = (&chars[..prefix], &chars[prefix..]);
    if marks.contains(&'r') {
        let hashes = rest.iter().take_while(|char| **char == '#').count();
        (rest.get(hashes) == Some(&'"')).then_some(())?;
        let end: Vec<char> = std::iter::once('"')
            .chain(std::iter::repeat_n('#', hashes))
            .collect();
        let body = &rest[hashes + 1..];
        let length = body.windows(end.len()).position(|window| window == end)?;
        return Some(prefix + hashes + 1 + length + end.len());
    }
    let quote = *rest.first()?;
    let is_char = quote == '\'' && (rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\''));
    if quote != '"' && !is_char {
        return None;
    }
    let mut at = 1;
    while rest.get(at).is_some_and(|char| *char != quote) {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    Some(prefix + at + 1)
}
