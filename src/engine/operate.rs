//! What an operator may ask of the engine and do to it while it runs.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
};

use futures::{StreamExt, stream};
use tracing::Instrument;

use super::{
    Engine, EnginePolicy, Models, TokenSnapshot,
    error::ChatError,
    failure::no_token,
    inflight::ChatSnapshot,
    ledger::{ConversationCounts, Standing},
    upstream::{ConversationRef, RemoteId, Token, Upstream, UpstreamError},
};

/// Conversations that are removed at once at an operator's word.
const CONCURRENT_REMOVALS: usize = 8;

/// Which conversations an operator means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that the gateway made and nobody uses.
    Ours,
    /// All of the accounts', whoever made them; but for those that a chat runs in.
    Account,
}

/// What became of conversations that were to be removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// They are gone.
    pub removed: usize,
    /// They, or the lists that name them, could not be had: the log tells why.
    pub failed: usize,
}

/// Why the next chat would get the token that it would get.
#[derive(Debug)]
pub struct Explanation {
    /// The token that would be chosen now, or what the next chat would be told instead.
    pub chosen: Result<Token, ChatError>,
    /// Every token, with what keeps it from being chosen. Among those that nothing keeps, the one with the fewest chats
    /// is chosen, and among equals the one that was unused for longest.
    pub tokens: Vec<TokenSnapshot>,
    /// How many origins of the upstream have an open circuit breaker, so that no token would be used.
    pub open_breakers: usize,
}

impl Engine {
    /// Every token, without its secret.
    #[must_use]
    pub fn tokens(&self) -> Vec<TokenSnapshot> {
        self.with_stock(self.shared.pool.snapshot())
    }

    fn with_stock(&self, mut tokens: Vec<TokenSnapshot>) -> Vec<TokenSnapshot> {
        for token in &mut tokens {
            token.stock = self.shared.conversations.stocked(&token.token);
        }
        tokens
    }

    /// Whether the settings, as they were last read, name the token with this digest.
    #[must_use]
    pub fn is_configured(&self, digest: &[u8; 32]) -> bool {
        let configured = self.shared.configured.lock();
        configured
            .unwrap_or_else(PoisonError::into_inner)
            .contains(digest)
    }

    /// The token of the pool with this digest.
    #[must_use]
    pub fn token(&self, digest: &[u8; 32]) -> Option<Token> {
        self.shared.pool.find(digest)
    }

    /// Adds a token, ready for use; false when it is in the pool already.
    #[must_use]
    pub fn add_token(&self, token: &Token) -> bool {
        let added = self.shared.pool.add(token.clone());
        if added {
            tracing::info!(token = %token.label(), "a token was added");
            self.shared.remove_left(token);
        }
        added
    }

    /// Takes a token out of the pool: chats that hold it go on, what stands ready in its account is removed. False when
    /// there is no such token.
    #[must_use]
    pub fn remove_token(&self, digest: &[u8; 32]) -> bool {
        let Some(token) = self.shared.pool.remove(digest) else {
            return false;
        };
        self.shared.conversations.close_account(&token);
        tracing::info!(token = %token.label(), "a token was removed");
        true
    }

    /// Forgets everything that is held against a token; false when there is no such token.
    #[must_use]
    pub fn reset_token(&self, digest: &[u8; 32]) -> bool {
        self.shared.pool.reset(digest)
    }

    /// Tries a token with the one call that changes nothing. The pool learns from it as from a chat: a token that is
    /// accepted is ready, one that is refused is benched.
    ///
    /// # Errors
    /// As the call failed.
    pub async fn probe_token(&self, token: &Token) -> Result<(), UpstreamError> {
        self.shared.probe_token(token).await
    }

    /// The chats under way, the oldest first.
    #[must_use]
    pub fn chats(&self) -> Vec<ChatSnapshot> {
        self.shared.in_flight.snapshot()
    }

    /// Ends the chats of a request, told as `cancelled`; how many there were.
    #[must_use]
    pub fn cancel_chats(&self, request_id: &str) -> usize {
        self.shared.in_flight.cancel(request_id)
    }

    /// Which token the next chat would get, and why no other.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let (chosen, tokens) = self.shared.pool.explain();
        Explanation {
            chosen: chosen.map_err(no_token),
            tokens: self.with_stock(tokens),
            open_breakers: self.open_breakers(),
        }
    }

    /// How many origins of the upstream have an open circuit breaker.
    #[must_use]
    pub fn open_breakers(&self) -> usize {
        self.shared.breakers.open_count()
    }

    /// The conversations on the upstream that the gateway made.
    #[must_use]
    pub fn conversations(&self) -> ConversationCounts {
        self.shared.conversations.counts()
    }

    /// Removes conversations at an operator's word, and waits for the end of that. Dropping the future does not stop it.
    pub async fn clear_conversations(&self, scope: Scope) -> Cleared {
        let engine = self.clone();
        let clearing = async move { engine.clear_all(scope).await };
        let cleared = self.shared.tasks.spawn(clearing.in_current_span()).await;
        cleared.unwrap_or_else(|failure| {
            tracing::error!(error = %failure, "conversations could not be cleared");
            Cleared {
                removed: 0,
                failed: 1,
            }
        })
    }

    async fn clear_all(&self, scope: Scope) -> Cleared {
        let (mut doomed, mut cleared) = (Vec::new(), Cleared::default());
        for token in self.shared.pool.tokens() {
            let ours = self.shared.conversations.idle(&token);
            let known: HashSet<RemoteId> = ours.iter().map(|at| at.conversation.clone()).collect();
            doomed.extend(ours.into_iter().map(|reference| (token.clone(), reference)));
            if scope == Scope::Ours {
                continue;
            }
            match self.others(&token, &known).await {
                Ok(others) => doomed.extend(others.into_iter().map(|reference| (token.clone(), reference))),
                Err(error) => {
                    tracing::warn!(token = %token.label(), error = %error, "an account's conversations cannot be listed");
                    cleared.failed += 1;
                }
            }
        }
        let removals = doomed
            .into_iter()
            .map(|(token, reference)| self.clear(token, reference));
        let mut removals = stream::iter(removals).buffer_unordered(CONCURRENT_REMOVALS);
        while let Some(removed) = removals.next().await {
            let count = if removed {
                &mut cleared.removed
            } else {
                &mut cleared.failed
            };
            *count += 1;
        }
        tracing::info!(
            removed = cleared.removed,
            failed = cleared.failed,
            "conversations were cleared"
        );
        cleared
    }

    /// What an account holds beside these, and beside what the gateway uses or removes already.
    async fn others(
        &self,
        token: &Token,
        known: &HashSet<RemoteId>,
    ) -> Result<Vec<ConversationRef>, UpstreamError> {
        let upstream = &self.shared.background;
        let mut listed = Vec::new();
        for project in upstream.list_projects(token).await? {
            for conversation in upstream.list_conversations(token, &project).await? {
                let project = project.clone();
                listed.push(ConversationRef {
                    project,
                    conversation,
                });
            }
        }
        // One that was being made while the lists were read is in them, and not in the book yet.
        self.shared.conversations.all_made(token).await;
        let ledger = self.shared.conversations.ledger();
        listed.retain(|at| !known.contains(&at.conversation) && !ledger.holds(token, &at.conversation));
        Ok(listed)
    }

    async fn clear(&self, token: Token, reference: ConversationRef) -> bool {
        let ledger = self.shared.conversations.ledger();
        let ours = ledger.holds(&token, &reference.conversation);
        match self
            .shared
            .background
            .delete_conversation(&token, &reference)
            .await
        {
            Ok(()) => {
                if ours {
                    ledger.gone(&token, &reference);
                }
                true
            }
            Err(error) => {
                if ours {
                    ledger.stand(&token, &reference, Standing::Left);
                }
                tracing::warn!(token = %token.label(), error = %error, "a conversation could not be removed");
                false
            }
        }
    }

    /// Takes over settings that were read anew. Of the tokens, what was added to the settings is added and what was
    /// taken out of them is removed; what an operator did by hand stays. Chats under way go on as they began.
    pub fn reconfigure(&self, tokens: Vec<Token>, models: Models, policy: EnginePolicy) {
        let shared = &self.shared;
        shared.pool.set_policy(policy.bench);
        shared.conversations.set_policy(policy.conversations);
        shared.admission.set_limit(policy.max_concurrent);
        shared.dialogues.set_limit(policy.max_concurrent);
        shared.breakers.set_probe_interval(policy.probe_interval);
        *shared.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        shared.metrics.begin_models(models.names());
        *shared.models.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(models);
        let now: HashSet<[u8; 32]> = tokens.iter().map(Token::digest).collect();
        let mut configured = shared.configured.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *configured, now.clone());
        drop(configured);
        for token in tokens {
            if !before.contains(&token.digest()) && !self.add_token(&token) {
                tracing::debug!(token = %token.label(), "the token is in the pool already");
            }
        }
        for digest in before.difference(&now) {
            if !self.remove_token(digest) {
                tracing::debug!("a token that left the settings had left the pool before");
            }
        }
    }
}
