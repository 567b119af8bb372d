//! Stop texts, found as the answer comes, wherever it is split.

/// One stop text, and how much of it the end of what came so far could be the beginning of: the automaton of Knuth,
/// Morris and Pratt, whose state is just that.
#[derive(Debug)]
struct Needle {
    bytes: Box<[u8]>,
    /// For each length of a match, the next shorter one that its end still is.
    borders: Box<[usize]>,
    matched: usize,
}

impl Needle {
    fn new(text: &str) -> Self {
        let bytes: Box<[u8]> = text.as_bytes().into();
        let mut borders = Vec::with_capacity(bytes.len());
        let mut matched = 0;
        for (place, &byte) in bytes.iter().enumerate() {
            if place > 0 {
                matched = advance(&bytes, &borders, matched, byte);
            }
            borders.push(matched);
        }
        Self {
            bytes,
            borders: borders.into(),
            matched: 0,
        }
    }

    /// Takes one more byte; true when it completes the text.
    fn take(&mut self, byte: u8) -> bool {
        self.matched = advance(&self.bytes, &self.borders, self.matched, byte);
        self.matched == self.bytes.len()
    }
}

fn advance(bytes: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    loop {
        if bytes.get(matched) == Some(&byte) {
            return matched + 1;
        }
        match matched.checked_sub(1) {
            Some(longest) => matched = borders.get(longest).copied().unwrap_or(0),
            None => return 0,
        }
    }
}

/// Looks for all stop texts at once. What may turn out to be the beginning of one is held back.
#[derive(Debug)]
pub(super) struct StopMatcher {
    needles: Vec<Needle>,
    /// What is held back begins at `start`; what stands before it was let go.
    text: String,
    start: usize,
}

impl StopMatcher {
    /// A matcher for texts of which none is empty.
    pub(super) fn new(stops: &[String]) -> Self {
        Self {
            needles: stops.iter().map(|stop| Needle::new(stop)).collect(),
            text: String::new(),
            start: 0,
        }
    }

    /// Takes more of the answer. Gives what is certain to be no part of a stop text, and whether one is complete:
    /// then nothing follows. Of several the first to be complete counts, and of those the longest.
    pub(super) fn push(&mut self, more: &str) -> (String, bool) {
        let before = self.text.len();
        self.text.push_str(more);
        for (place, byte) in more.bytes().enumerate() {
            let complete = self.needles.iter_mut().filter_map(|needle| {
                let complete = needle.take(byte);
                complete.then_some(needle.bytes.len())
            });
            // All needles must take the byte, so that the search goes on to the last of them.
            if let Some(longest) = complete.max() {
                return (self.release((before + place + 1).saturating_sub(longest)), true);
            }
        }
        let held = self.needles.iter().map(|needle| needle.matched).max();
        (self.release(self.text.len() - held.unwrap_or(0)), false)
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.text.len() - self.start
    }

    /// The answer is over: what was held back is no stop text.
    pub(super) fn finish(&mut self) -> String {
        self.release(self.text.len())
    }

    fn release(&mut self, end: usize) -> String {
        // A match begins where its text begins, which is never inside a character.
        let released = self.text.get(self.start..end).unwrap_or_default().to_owned();
        self.start = self.start.max(end);
        // Moving the rest up only when it is the smaller half keeps the work in proportion to the text.
        if self.start > self.text.len() / 2 {
            self.text.drain(..self.start);
            self.start = 0;
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by the definition: the first place where some stop text ends, the longest that ends there cut off.
    fn by_definition(text: &str, stops: &[String]) -> (String, bool) {
        for end in 0..=text.len() {
            let ending = stops
                .iter()
                .filter(|stop| text.as_bytes()[..end].ends_with(stop.as_bytes()));
            if let Some(longest) = ending.map(String::len).max() {
                return (text[..end - longest].to_owned(), true);
            }
        }
        (text.to_owned(), false)
    }

    fn in_pieces(pieces: &[String], stops: &[String]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops);
        let mut out = String::new();
        for piece in pieces {
            let (released, stopped) = matcher.push(piece);
            out.push_str(&released);
            if stopped {
                return (out, true);
            }
        }
        (out + &matcher.finish(), false)
    }

    proptest! {
        #[test]
        fn however_the_answer_is_split_it_ends_before_the_first_stop_text(
            pieces in prop::collection::vec("[abéè\n]{0,5}", 0..12),
            stops in prop::collection::vec("[abéè\n]{1,4}", 1..5),
        ) {
            prop_assert_eq!(in_pieces(&pieces, &stops), by_definition(&pieces.concat(), &stops));
        }
    }

    #[test]
    fn only_what_may_be_a_beginning_is_held_back() {
        let mut matcher = StopMatcher::new(&["\n\n".into(), "END".into()]);
        assert_eq!(matcher.push("one\n"), ("one".into(), false));
        assert_eq!(matcher.push("two EN"), ("\ntwo ".into(), false));
        assert_eq!(matcher.push("T"), ("ENT".into(), false));
        assert_eq!(matcher.push(" END of it"), (" ".into(), true));
    }

    #[test]
    fn the_work_is_in_proportion_to_the_text_however_hostile_it_is() {
        // A quadratic search would take hours.
        let stop = format!("{}b", "a".repeat(1_000_000));
        let mut matcher = StopMatcher::new(&[stop]);
        let mut released = 0;
        for _ in 0..300_000 {
            released += matcher.push("aaaaaaaaaa").0.len();
        }
        assert_eq!(released, 2_000_000);
    }
}
