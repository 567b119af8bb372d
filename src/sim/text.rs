//! The text of answers, which depends only on the message, and their usage counts.

/// Most pieces of a streamed text, so that a huge one does not become millions of events.
const MOST_PIECES: usize = 512;
/// Longest piece of a text with fewer pieces; longer words are cut between characters.
const LONGEST_PIECE: usize = 1024;

/// The answer to a message. It contains the whole message, so that a test can tell answers apart.
pub fn answer_text(message: &str) -> String {
    format!("You said: {message}")
}

/// The usage reported for a message and its answer, in words separated by white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Words of the message.
    pub prompt_tokens: u64,
    /// Words of the answer.
    pub completion_tokens: u64,
    /// The sum of both.
    pub total_tokens: u64,
}

/// The usage of a message and its answer.
pub fn usage_of(message: &str, answer: &str) -> Usage {
    let words = |text: &str| u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX);
    let (prompt_tokens, completion_tokens) = (words(message), words(answer));
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens + completion_tokens,
    }
}

/// The pieces of a streamed text: words with the white space after them. Concatenated they are the text.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let longest = LONGEST_PIECE.max(text.len() / MOST_PIECES);
    let shortest = text.len() / MOST_PIECES;
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut word_ended = false;
    for (at, character) in text.char_indices() {
        let long_enough = at - start >= shortest.max(1);
        let word_begins = word_ended && !character.is_whitespace();
        if at > start && ((word_begins && long_enough) || at - start >= longest) {
            pieces.push(&text[start..at]);
            start = at;
        }
        word_ended = character.is_whitespace();
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_words_with_their_white_space_and_make_up_the_text() {
        assert_eq!(pieces("You said: hi  there"), ["You ", "said: ", "hi  ", "there"]);
        assert_eq!(pieces(""), Vec::<&str>::new());
    }

    #[test]
    fn long_texts_and_long_words_come_in_bounded_pieces() {
        let word = "é".repeat(10_000);
        assert!(pieces(&word).iter().all(|piece| piece.len() <= LONGEST_PIECE + 4));
        let text = "word ".repeat(1_000_000);
        for whole in [word, text] {
            let pieces = pieces(&whole);
            assert!(pieces.len() <= 2 * MOST_PIECES);
            assert_eq!(pieces.concat(), whole);
        }
    }
}
