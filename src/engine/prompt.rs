//! The text that an upstream is sent, as far as its size and its tokens matter.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::error::{ChatError, ErrorKind};

/// Beyond this many bytes working on a text takes milliseconds, too long for a thread that others wait for.
pub const DONE_IN_PLACE: usize = 64 * 1024;

/// The text of a request, and its number of tokens once somebody asks.
#[derive(Debug)]
pub struct Prompt {
    text: Arc<str>,
    tokens: OnceCell<u32>,
}

impl Prompt {
    /// The `text` as it is sent.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            tokens: OnceCell::new(),
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many tokens it has; counted once.
    pub(super) async fn tokens(&self) -> u32 {
        *self.tokens.get_or_init(|| count_tokens(&self.text)).await
    }
}

/// Whether a text of so many bytes may be sent.
///
/// # Errors
/// `context_length_exceeded` when it is longer than `most`.
pub fn fits(size: usize, most: usize) -> Result<(), ChatError> {
    if size <= most {
        return Ok(());
    }
    let message = format!(
        "The prompt is too long: it makes a text of more than {most} bytes, which is the most that this gateway sends. \
         Please reduce its length."
    );
    Err(ChatError::new(ErrorKind::ContextLengthExceeded, message).with_field("messages"))
}

/// Counts tokens with OpenAI's o200k_base vocabulary. Long texts are counted on a thread that nobody waits for.
pub(super) async fn count_tokens(text: &str) -> u32 {
    if text.len() <= DONE_IN_PLACE && is_vocabulary_ready() {
        return count(text);
    }
    let text = text.to_owned();
    // The task can fail only by a panic or at the runtime's end; four bytes a token is the usual rule of thumb.
    let guess = u32::try_from(text.len() / 4 + 1).unwrap_or(u32::MAX);
    tokio::task::spawn_blocking(move || count(&text))
        .await
        .unwrap_or(guess)
}

/// Unfolds the vocabulary, so that no chat has to wait for it. Takes tens of milliseconds.
pub(super) fn unfold_vocabulary() {
    vocabulary();
}

/// Whether using the vocabulary costs no more than the use.
pub(super) fn is_vocabulary_ready() -> bool {
    VOCABULARY_READY.is_completed()
}

/// OpenAI's o200k_base. Its first use takes tens of milliseconds, which belong on no runtime thread.
pub(super) fn vocabulary() -> &'static bpe_openai::Tokenizer {
    let vocabulary = bpe_openai::o200k_base();
    VOCABULARY_READY.call_once(|| {});
    vocabulary
}

static VOCABULARY_READY: std::sync::Once = std::sync::Once::new();

fn count(text: &str) -> u32 {
    u32::try_from(vocabulary().count(text)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tokens_are_counted_with_the_real_vocabulary() {
        assert_eq!(count_tokens("hello world").await, 2);
        assert_eq!(count_tokens("").await, 0);
        assert_eq!(count_tokens(&"a ".repeat(100_000)).await, 100_001);
    }
}
