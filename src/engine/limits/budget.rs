//! A number of tokens, spent as the answer comes, wherever it is split.
//!
//! Tokens are those of o200k_base over the whole text, so a piece of it can be counted only once nothing that follows
//! can change how it is split. Two things keep that from being seen or felt: a token is at least one byte, so as many
//! bytes as there are tokens left pass uncounted; and text that cannot be counted yet is looked at again only after it
//! has grown by a part of its length, so that the work stays in proportion to the text.

use crate::engine::{event::Event, prompt::vocabulary};

/// Up to this length a look at the uncounted text costs next to nothing.
const SHORT: usize = 256;

/// The budget of one answer. Reasoning is counted with the rest, as OpenAI does; each run of one kind is a text of its
/// own.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    kind: Kind,
    /// What came of this run and is not counted yet.
    pending: String,
    /// How much of that has been let go already.
    released: usize,
    /// The next look is due when `pending` is this long.
    next_look: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Content,
    Reasoning,
    Refusal,
}

impl Kind {
    /// The kind of text that an event adds to; `None` for one that is no running text.
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Content(_) => Some(Kind::Content),
            Event::Reasoning(_) => Some(Kind::Reasoning),
            Event::Refusal(_) => Some(Kind::Refusal),
            Event::ToolCall(_) | Event::Annotation(_) | Event::Usage(_) | Event::Finish(_) | Event::End => {
                None
            }
        }
    }

    fn delta(self, text: &str) -> Option<Event> {
        (!text.is_empty()).then(|| match self {
            Kind::Content => Event::Content(text.to_owned()),
            Kind::Reasoning => Event::Reasoning(text.to_owned()),
            Kind::Refusal => Event::Refusal(text.to_owned()),
        })
    }
}

/// The answer is cut: the budget is spent, and there was more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent;

impl Budget {
    /// A budget of so many tokens.
    pub(super) fn new(tokens: u64) -> Self {
        Self {
            left: usize::try_from(tokens).unwrap_or(usize::MAX),
            kind: Kind::Content,
            pending: String::new(),
            released: 0,
            next_look: 0,
        }
    }

    /// How many bytes would have to be counted if so many came now, or the end.
    pub(super) fn work(&self, more: usize, of_other_kind: bool) -> usize {
        let pending = self.pending.len() + more;
        let counts = pending > self.left || (of_other_kind && !self.pending.is_empty());
        if counts { pending } else { 0 }
    }

    /// Whether `delta` begins another run.
    pub(super) fn turns(&self, event: &Event) -> bool {
        Kind::of(event) != Some(self.kind)
    }

    /// Takes more of the answer, and adds to `out` what is certain to be within the budget.
    pub(super) fn push(&mut self, event: &Event, out: &mut Vec<Event>) -> Result<(), Spent> {
        if self.turns(event) && !self.pending.is_empty() {
            self.count_all(out)?;
        }
        let Some(kind) = Kind::of(event) else {
            return self.push_whole(event, out);
        };
        self.kind = kind;
        self.pending.push_str(event.text());
        if self.pending.len() > self.left && self.pending.len() >= self.next_look {
            self.count(settled, out)?;
            self.next_look = match self.pending.len() {
                ..=SHORT => 0,
                long => long + long / 4,
            };
        }
        // A token is at least a byte: a cut cannot come any earlier.
        let safe = self.pending.floor_char_boundary(self.left);
        self.release(safe, out);
        if self.left == 0 && !self.pending.is_empty() {
            return Err(Spent);
        }
        Ok(())
    }

    /// Takes a piece of a tool call and the like, which goes through whole or not at all.
    fn push_whole(&mut self, event: &Event, out: &mut Vec<Event>) -> Result<(), Spent> {
        let tokens = vocabulary().count(event.text());
        if tokens > self.left {
            self.left = 0;
            return Err(Spent);
        }
        self.left -= tokens;
        out.push(event.clone());
        Ok(())
    }

    /// Nothing follows: adds to `out` what is left of the answer.
    pub(super) fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), Spent> {
        if self.pending.len() > self.left {
            return self.count_all(out);
        }
        self.release(self.pending.len(), out);
        Ok(())
    }

    /// The run is over, so all of it can be counted.
    fn count_all(&mut self, out: &mut Vec<Event>) -> Result<(), Spent> {
        self.next_look = 0;
        self.count(|pieces| pieces.len(), out)
    }

    /// Counts as many of the pieces of the pending text as `settled` says, and lets them go.
    fn count(&mut self, settled: fn(&[&str]) -> usize, out: &mut Vec<Event>) -> Result<(), Spent> {
        let text = std::mem::take(&mut self.pending);
        let pieces: Vec<&str> = vocabulary().split(&text).collect();
        let mut end = 0;
        for piece in pieces.iter().take(settled(&pieces)) {
            let tokens = vocabulary().bpe.count(piece.as_bytes());
            if tokens > self.left {
                end += first_tokens(piece, self.left);
                self.left = 0;
                self.pending = text;
                self.release(end, out);
                return Err(Spent);
            }
            self.left -= tokens;
            end += piece.len();
        }
        self.pending = text;
        self.release(end, out);
        self.pending.drain(..end);
        self.released -= end;
        Ok(())
    }

    /// Lets the pending text up to `end` go, as far as that has not been done.
    fn release(&mut self, end: usize, out: &mut Vec<Event>) {
        let text = self.pending.get(self.released..end).unwrap_or_default();
        out.extend(self.kind.delta(text));
        self.released = self.released.max(end);
    }
}

/// How many bytes the first `tokens` tokens of a piece are, without half a character at their end.
fn first_tokens(piece: &str, tokens: usize) -> usize {
    let bpe = &vocabulary().bpe;
    let tokens = bpe
        .encode_via_backtracking(piece.as_bytes())
        .into_iter()
        .take(tokens);
    piece.floor_char_boundary(tokens.map(|token| bpe.token_len(token)).sum())
}

/// How many of the pieces that a text is split into stay as they are whatever follows the text.
///
/// The last can always grow. The one before it can take the last one in in three ways: white space may belong to one
/// line end that is still to come; letters may go on where they seemed to begin a new word; `'` may turn out as the
/// `'s` of a word. No piece takes in more than one other.
fn settled(pieces: &[&str]) -> usize {
    let [.., before, last] = pieces else {
        return 0;
    };
    let may_join = match (before.chars().next_back(), last.chars().next()) {
        (Some(one), Some(other)) if one.is_whitespace() => other.is_whitespace(),
        (Some(one), Some(other)) => could_be_letter(one) && (other == '\'' || could_be_letter(other)),
        (None, _) | (_, None) => true,
    };
    pieces.len() - if may_join { 2 } else { 1 }
}

/// Letters, and what stands among them.
fn could_be_letter(char: char) -> bool {
    char.is_ascii_alphabetic() || !(char.is_ascii() || char.is_whitespace() || char.is_numeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that the tokenizer's rules know: cases, contractions, letters without case, marks, digits, signs,
    /// and all sorts of blanks.
    const NASTY: &str = "[aB'sSrReEvVlLdmt的あéÉ\u{301}\u{93f}١7!/=.,。 \u{3000}\t\r\n😀]{0,6}";

    fn run(pieces: &[String], tokens: u64) -> (String, bool) {
        let (mut budget, mut out) = (Budget::new(tokens), Vec::new());
        let mut spent = false;
        for piece in pieces {
            spent = budget.push(&Event::Content(piece.clone()), &mut out).is_err();
            if spent {
                break;
            }
        }
        spent = spent || budget.finish(&mut out).is_err();
        let text = out.iter().map(Event::text);
        (text.collect(), spent)
    }

    /// The first tokens of the whole text, decoded, without half a character.
    fn by_definition(text: &str, tokens: usize) -> (String, bool) {
        let all = vocabulary().encode(text);
        if all.len() <= tokens {
            return (text.to_owned(), false);
        }
        let bytes = vocabulary().bpe.decode_tokens(&all[..tokens]);
        (text[..text.floor_char_boundary(bytes.len())].to_owned(), true)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn however_the_answer_is_split_the_same_tokens_of_it_are_let_through(
            pieces in prop::collection::vec(NASTY, 0..20),
            tokens in 0_u64..30,
        ) {
            let expected = by_definition(&pieces.concat(), usize::try_from(tokens).unwrap());
            prop_assert_eq!(run(&pieces, tokens), expected);
        }

        #[test]
        fn what_is_settled_stays_as_it_is(text in "[aB'sre的あÉ\u{301}\u{93f}7!/。 \u{3000}\r\n]{0,40}") {
            let whole: Vec<&str> = vocabulary().split(&text).collect();
            for (end, _) in text.char_indices() {
                let pieces: Vec<&str> = vocabulary().split(&text[..end]).collect();
                let settled = settled(&pieces);
                prop_assert_eq!(&pieces[..settled], &whole[..settled]);
            }
        }
    }

    #[test]
    fn as_many_bytes_as_tokens_pass_at_once() {
        let (mut budget, mut out) = (Budget::new(8), Vec::new());
        budget.push(&Event::Content("Hel".into()), &mut out).unwrap();
        budget.push(&Event::Content("lo".into()), &mut out).unwrap();
        assert_eq!(out, [Event::Content("Hel".into()), Event::Content("lo".into())]);
        assert_eq!(budget.work(3, false), 0);
        assert_eq!(budget.work(4, false), 9);
        assert_eq!(budget.work(3, true), 8);
    }

    #[test]
    fn reasoning_is_paid_for_too() {
        let (mut budget, mut out) = (Budget::new(3), Vec::new());
        budget
            .push(&Event::Reasoning("one two".into()), &mut out)
            .unwrap();
        let spent = budget.push(&Event::Content("three four".into()), &mut out);
        assert_eq!(spent, Err(Spent));
        let reasoning = out.iter().filter(|event| matches!(event, Event::Reasoning(_)));
        assert_eq!(reasoning.map(Event::text).collect::<String>(), "one two");
        let content = out.iter().filter(|event| matches!(event, Event::Content(_)));
        assert_eq!(content.map(Event::text).collect::<String>(), "three");
    }

    #[test]
    fn the_work_is_in_proportion_to_the_text_however_hostile_it_is() {
        // One word without an end, letter by letter: looking at all of it each time would take hours.
        let pieces = vec!["a".to_owned(); 200_000];
        let (text, spent) = run(&pieces, 1_000);
        assert!(spent);
        assert_eq!(text, by_definition(&pieces.concat(), 1_000).0);
        let blanks = vec![" \n".to_owned(); 100_000];
        assert_eq!(run(&blanks, 3), by_definition(&blanks.concat(), 3));
    }
}
