//! Conversations for operators: counted, and cleared by hand.

use std::collections::HashSet;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use tracing::Instrument;

use super::{ledger::Standing, manager::Conversations};
use crate::engine::{
    calls::Purpose,
    provider::{Cleared, ConversationAdmin, ConversationCounts, Scope, Token, UpstreamError},
};
use crate::state::{ConversationRef, RemoteId};

/// Removals under way at once for one clearing.
const CONCURRENT_REMOVALS: usize = 8;

impl ConversationAdmin for Conversations {
    fn counts(&self) -> ConversationCounts {
        self.ledger().counts()
    }

    fn warm(&self, credential: &Token) -> usize {
        self.warm_count(credential)
    }

    fn clear(&self, scope: Scope, credentials: Vec<Token>) -> BoxFuture<'static, Cleared> {
        let conversations = self.clone();
        let clearing = async move { conversations.clear_all(scope, credentials).await };
        let clearing = self.tasks().spawn(clearing.in_current_span());
        async move {
            clearing.await.unwrap_or_else(|failure| {
                tracing::error!(error = %failure, "conversations could not be cleared");
                Cleared {
                    removed: 0,
                    failed: 1,
                }
            })
        }
        .boxed()
    }
}

impl Conversations {
    async fn clear_all(&self, scope: Scope, credentials: Vec<Token>) -> Cleared {
        let (mut doomed, mut cleared) = (Vec::new(), Cleared::default());
        for token in credentials {
            let ours = self.idle(&token);
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
            .map(|(token, reference)| self.clear_one(token, reference));
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

    /// The account's conversations beside these, and beside those that the gateway uses or removes already.
    async fn others(
        &self,
        token: &Token,
        known: &HashSet<RemoteId>,
    ) -> Result<Vec<ConversationRef>, UpstreamError> {
        let service = self.service();
        let mut listed = Vec::new();
        for project in service.list_projects(token, Purpose::Background).await? {
            for conversation in service.list_conversations(token, &project).await? {
                let project = project.clone();
                listed.push(ConversationRef {
                    project,
                    conversation,
                });
            }
        }
        // One that was being created while the lists were read is in them, and not in the ledger yet.
        self.all_created(token).await;
        let ledger = self.ledger();
        listed.retain(|at| !known.contains(&at.conversation) && !ledger.holds(token, &at.conversation));
        Ok(listed)
    }

    async fn clear_one(&self, token: Token, reference: ConversationRef) -> bool {
        let ledger = self.ledger();
        let ours = ledger.holds(&token, &reference.conversation);
        match self.service().delete_conversation(&token, &reference).await {
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
}
