//! Administration of the engine while it runs.

use super::{
    Engine, EnginePolicy, Models, TokenSnapshot,
    error::ChatError,
    failure::no_token,
    inflight::ChatSnapshot,
    pool::NoToken,
    provider::{Cleared, ConversationCounts, Scope, Token, UpstreamError},
    upstream::Upstream,
};

/// Why the next chat would get the token that it would get.
#[derive(Debug)]
pub struct Explanation {
    /// The token that would be chosen now, or the error of the next chat.
    pub chosen: Result<Token, ChatError>,
    /// Every token, with the reason why it is unavailable. Of the available ones that with the fewest chats is chosen, and
    /// among equals the one that was unused for longest.
    pub tokens: Vec<TokenSnapshot>,
    /// How many origins of the upstream have an open circuit breaker, so that no token would be used.
    pub open_breakers: usize,
}

impl Engine {
    /// Every token, without its secret.
    #[must_use]
    pub fn tokens(&self) -> Vec<TokenSnapshot> {
        let upstreams = self.shared.upstreams.iter();
        upstreams.flat_map(|upstream| upstream.snapshot()).collect()
    }

    /// The upstream of which this is a token.
    fn upstream_of(&self, digest: &[u8; 32]) -> Option<&Upstream> {
        let mut upstreams = self.shared.upstreams.iter();
        let found = upstreams.find(|upstream| upstream.pool.find(digest).is_some());
        found.map(AsRef::as_ref)
    }

    /// Whether the settings, as they were last read, name the token with this digest.
    #[must_use]
    pub fn is_configured(&self, digest: &[u8; 32]) -> bool {
        let mut upstreams = self.shared.upstreams.iter();
        upstreams.any(|upstream| upstream.is_configured(digest))
    }

    /// Adds a token to the first upstream, ready for use; false when it is in a pool already.
    #[must_use]
    pub fn add_token(&self, token: &Token) -> bool {
        let is_new = self.upstream_of(&token.digest()).is_none();
        let first = self.shared.upstreams.first();
        is_new && first.is_some_and(|upstream| upstream.add(token))
    }

    /// Takes a token out of its pool: chats that hold it go on, its warm pool is emptied. False when there is no such
    /// token.
    #[must_use]
    pub fn remove_token(&self, digest: &[u8; 32]) -> bool {
        let upstream = self.upstream_of(digest);
        upstream.is_some_and(|upstream| upstream.remove(digest))
    }

    /// Clears a token's failure state; false when there is no such token.
    #[must_use]
    pub fn reset_token(&self, digest: &[u8; 32]) -> bool {
        let upstream = self.upstream_of(digest);
        upstream.is_some_and(|upstream| upstream.pool.reset(digest))
    }

    /// Tries a token with the one call that changes nothing. The pool learns from it as from a chat: a token that is
    /// accepted is ready, one that is refused cools down. `None` when there is no such token.
    ///
    /// # Errors
    /// As the call failed.
    pub async fn probe_token(&self, token: &Token) -> Option<Result<(), UpstreamError>> {
        let upstream = self.upstream_of(&token.digest())?;
        Some(upstream.probe(token).await)
    }

    /// The chats under way, the oldest first.
    #[must_use]
    pub fn chats(&self) -> Vec<ChatSnapshot> {
        self.shared.in_flight.snapshot()
    }

    /// Ends the chats of a request with `cancelled`; how many there were.
    #[must_use]
    pub fn cancel_chats(&self, request_id: &str) -> usize {
        self.shared.in_flight.cancel(request_id)
    }

    /// Which token the next chat of the first upstream would get, and why none of the others.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let mut explanation = Explanation {
            chosen: Err(no_token(NoToken::Empty)),
            tokens: Vec::new(),
            open_breakers: self.open_breakers(),
        };
        for (number, upstream) in self.shared.upstreams.iter().enumerate() {
            let (chosen, tokens) = upstream.pool.explain();
            if number == 0 {
                explanation.chosen = chosen.map_err(no_token);
            }
            explanation.tokens.extend(upstream.with_warm_pools(tokens));
        }
        explanation
    }

    /// How many origins of the upstreams have an open circuit breaker.
    #[must_use]
    pub fn open_breakers(&self) -> usize {
        let upstreams = self.shared.upstreams.iter();
        upstreams
            .map(|upstream| upstream.calls.breakers().open_count())
            .sum()
    }

    /// The conversations on the upstreams that the gateway made.
    #[must_use]
    pub fn conversations(&self) -> ConversationCounts {
        let mut sum = ConversationCounts::default();
        for upstream in &self.shared.upstreams {
            let Some(conversations) = upstream.provider.conversations() else {
                continue;
            };
            let ConversationCounts {
                in_use,
                ready,
                leaving,
                left_behind,
            } = conversations.counts();
            sum.in_use += in_use;
            sum.ready += ready;
            sum.leaving += leaving;
            sum.left_behind += left_behind;
        }
        sum
    }

    /// Removes conversations by hand, and waits for the end of that. Dropping the future does not stop it.
    pub async fn clear_conversations(&self, scope: Scope) -> Cleared {
        let mut sum = Cleared::default();
        for upstream in &self.shared.upstreams {
            let Some(conversations) = upstream.provider.conversations() else {
                continue;
            };
            let clearing = conversations.clear(scope, upstream.pool.tokens());
            let Cleared { removed, failed } = clearing.await;
            sum.removed += removed;
            sum.failed += failed;
        }
        sum
    }

    /// Changes the policy. Chats under way go on as they began.
    pub fn set_policy(&self, policy: EnginePolicy) {
        let shared = &self.shared;
        shared.admission.set_limit(policy.max_concurrent);
        shared.dialogues.set_limit(policy.max_concurrent);
        for upstream in &shared.upstreams {
            upstream.set_policy(&policy);
        }
        shared.set_policy(policy);
    }

    /// Takes over the first upstream's tokens and models from settings that were read anew. Tokens that were added to the
    /// settings are added, and those that were taken out of them are removed; changes by hand stay. Chats under way go
    /// on as they began.
    pub fn follow(&self, tokens: Vec<Token>, models: Models) {
        self.shared.metrics.begin_models(models.names());
        if let Some(upstream) = self.shared.upstreams.first() {
            upstream.follow(tokens, models);
        }
    }
}
