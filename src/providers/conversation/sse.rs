//! Bytes to events. Two dialects in one decoder, told line by line: server-sent events by the HTML standard, with
//! the liberty that whole JSON needs no blank line after it, and tab lines (`message<TAB>{json}<TAB>`).
//!
//! However the bytes are split, the events are the same. One event takes at most [`MAX_EVENT`] bytes.

/// The most one event may hold, in bytes; an answer's piece takes a few hundred.
pub(super) const MAX_EVENT: usize = 1024 * 1024;

/// The payload of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// The end mark.
    Done,
    /// Anything else; it should be JSON.
    Json(String),
}

/// An event or a line grew beyond [`MAX_EVENT`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Turns a body's bytes into payloads.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The line that has begun, without its end.
    line: Vec<u8>,
    /// The data lines gathered for an event, joined by line feeds.
    data: Vec<u8>,
    json: JsonProgress,
    gathering: bool,
    /// The last byte ended a line as CR: an LF right after it belongs to the same end.
    after_carriage_return: bool,
    begun: bool,
}

impl Decoder {
    /// Takes the next bytes and appends the payloads that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], payloads: &mut Vec<Payload>) -> Result<(), TooLarge> {
        if self.after_carriage_return && !bytes.is_empty() {
            self.after_carriage_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = bytes.split_at(end);
            self.extend_line(line)?;
            self.take_line(payloads)?;
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_carriage_return = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => rest,
            };
        }
        self.extend_line(bytes)
    }

    /// The body has ended: a last line counts without its line end, and a gathered event without its blank line.
    pub(super) fn finish(&mut self, payloads: &mut Vec<Payload>) -> Result<(), TooLarge> {
        if !self.line.is_empty() {
            self.take_line(payloads)?;
        }
        if self.is_whole() {
            self.dispatch(payloads);
        }
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + bytes.len() > MAX_EVENT {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take_line(&mut self, payloads: &mut Vec<Payload>) -> Result<(), TooLarge> {
        let taken = std::mem::take(&mut self.line);
        let mut line = taken.as_slice();
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        let gathered = self.read_line(line, payloads);
        // The buffer goes back, so that a stream of lines costs one allocation.
        self.line = taken;
        self.line.clear();
        gathered
    }

    fn read_line(&mut self, line: &[u8], payloads: &mut Vec<Payload>) -> Result<(), TooLarge> {
        if line.is_empty() {
            self.dispatch(payloads);
            return Ok(());
        }
        if let Some(value) = field(line, b"data") {
            return self.gather(value, payloads);
        }
        if let Some(rest) = line.strip_prefix(b"message\t") {
            self.dispatch(payloads);
            let value = rest.strip_suffix(b"\t").unwrap_or(rest);
            self.gather(value, payloads)?;
            self.dispatch(payloads);
        }
        // Comments, other fields, tab lines of other names: without meaning here.
        Ok(())
    }

    fn gather(&mut self, value: &[u8], payloads: &mut Vec<Payload>) -> Result<(), TooLarge> {
        if self.gathering && self.is_whole() {
            self.dispatch(payloads);
        }
        if self.data.len() + value.len() + 1 > MAX_EVENT {
            return Err(TooLarge);
        }
        if self.gathering {
            self.data.push(b'\n');
        }
        self.gathering = true;
        self.data.extend_from_slice(value);
        self.json.feed(value);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.gathering && (self.json.is_whole() || self.data.trim_ascii() == b"[DONE]")
    }

    fn dispatch(&mut self, payloads: &mut Vec<Payload>) {
        self.gathering = false;
        self.json = JsonProgress::default();
        let data = std::mem::take(&mut self.data);
        let text = data.trim_ascii();
        match text {
            b"" => {}
            b"[DONE]" => payloads.push(Payload::Done),
            _ => payloads.push(Payload::Json(String::from_utf8_lossy(text).into_owned())),
        }
        self.data = data;
        self.data.clear();
    }
}

/// The value of a field called `name`, by the standard's rule: after the colon one space goes; no colon, no value.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(b""),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// Tells, in one pass over the bytes, whether a JSON object or array that began has come to its end.
#[derive(Debug, Default)]
struct JsonProgress {
    depth: usize,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl JsonProgress {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.begun = true;
                    self.depth += 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
