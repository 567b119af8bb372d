//! `duogate.v1.DiagnosticsService`: operating the pool over gRPC. The key was checked before.

use std::fmt;

use tonic::{Request, Response, Status};

use super::{
    error,
    proto::{self, diagnostics_service_server::DiagnosticsService},
    service::record,
};
use crate::{
    admin::{Added, Candidate, Choice, Operator, Probed, Removed, Standing, TokenView},
    engine::{
        BenchReason, ChatSnapshot, TokenState,
        error::ChatError,
        provider::{Cleared, ConversationCounts, Scope},
    },
    telemetry::{CallRecord, Door},
};

impl fmt::Debug for proto::AddTokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddTokenRequest")
    }
}

pub(super) struct Diagnostics {
    operator: Operator,
}

impl Diagnostics {
    pub(super) fn new(operator: Operator) -> Self {
        Self { operator }
    }
}

fn answer<T>(outcome: Result<T, ChatError>, record: &CallRecord) -> Result<Response<T>, Status> {
    outcome
        .map(Response::new)
        .map_err(|failure| error::status(&failure, record))
}

#[tonic::async_trait]
impl DiagnosticsService for Diagnostics {
    async fn list_tokens(
        &self,
        _: Request<proto::ListTokensRequest>,
    ) -> Result<Response<proto::ListTokensResponse>, Status> {
        let tokens = self.operator.tokens().into_iter().map(token).collect();
        Ok(Response::new(proto::ListTokensResponse { tokens }))
    }

    async fn add_token(
        &self,
        request: Request<proto::AddTokenRequest>,
    ) -> Result<Response<proto::AddTokenResponse>, Status> {
        let record = record(&request)?;
        let secret = request.into_inner().token.into();
        let added = self.operator.add_token(secret).await;
        let added = added.map(
            |Added {
                 token: view,
                 added,
                 kept,
             }| proto::AddTokenResponse {
                token: Some(token(view)),
                added,
                persisted: kept.persisted,
                note: kept.note,
            },
        );
        answer(added, &record)
    }

    async fn remove_token(
        &self,
        request: Request<proto::RemoveTokenRequest>,
    ) -> Result<Response<proto::RemoveTokenResponse>, Status> {
        let record = record(&request)?;
        let removed = self.operator.remove_token(&request.into_inner().hash).await;
        let removed = removed.map(|Removed { token: view, kept }| proto::RemoveTokenResponse {
            token: Some(token(view)),
            persisted: kept.persisted,
            note: kept.note,
        });
        answer(removed, &record)
    }

    async fn reset_token(
        &self,
        request: Request<proto::ResetTokenRequest>,
    ) -> Result<Response<proto::ResetTokenResponse>, Status> {
        let record = record(&request)?;
        let reset = self.operator.reset_token(&request.into_inner().hash);
        let reset = reset.map(|view| proto::ResetTokenResponse {
            token: Some(token(view)),
        });
        answer(reset, &record)
    }

    async fn probe_token(
        &self,
        request: Request<proto::ProbeTokenRequest>,
    ) -> Result<Response<proto::ProbeTokenResponse>, Status> {
        let record = record(&request)?;
        let probed = self.operator.probe_token(&request.into_inner().hash).await;
        let probed = probed.map(|Probed { token: view, failure }| proto::ProbeTokenResponse {
            token: Some(token(view)),
            failure: failure.map(|(kind, message)| proto::ProbeFailure {
                kind: kind.to_owned(),
                message,
            }),
        });
        answer(probed, &record)
    }

    async fn list_requests(
        &self,
        _: Request<proto::ListRequestsRequest>,
    ) -> Result<Response<proto::ListRequestsResponse>, Status> {
        let requests = self.operator.requests().into_iter().map(active).collect();
        Ok(Response::new(proto::ListRequestsResponse { requests }))
    }

    async fn cancel_request(
        &self,
        request: Request<proto::CancelRequestRequest>,
    ) -> Result<Response<proto::CancelRequestResponse>, Status> {
        let record = record(&request)?;
        let cancelled = self.operator.cancel_request(&request.into_inner().id);
        let cancelled = cancelled.map(|cancelled| proto::CancelRequestResponse {
            cancelled: count(cancelled),
        });
        answer(cancelled, &record)
    }

    async fn explain(
        &self,
        _: Request<proto::ExplainRequest>,
    ) -> Result<Response<proto::ExplainResponse>, Status> {
        let choice = self.operator.explain();
        let chosen = choice.chosen().cloned().map(token);
        let Choice {
            refusal,
            candidates,
            open_breakers,
        } = choice;
        Ok(Response::new(proto::ExplainResponse {
            chosen,
            refusal: refusal.map(|error| proto::ExpectedError {
                kind: error.kind().name().to_owned(),
                message: error.message().to_owned(),
            }),
            candidates: candidates.into_iter().map(candidate).collect(),
            open_breakers: count(open_breakers),
        }))
    }

    async fn get_conversations(
        &self,
        _: Request<proto::GetConversationsRequest>,
    ) -> Result<Response<proto::GetConversationsResponse>, Status> {
        let ConversationCounts {
            in_use,
            ready,
            leaving,
            left_behind,
        } = self.operator.conversations();
        Ok(Response::new(proto::GetConversationsResponse {
            in_use: count(in_use),
            ready: count(ready),
            leaving: count(leaving),
            left_behind: count(left_behind),
        }))
    }

    async fn clear_conversations(
        &self,
        request: Request<proto::ClearConversationsRequest>,
    ) -> Result<Response<proto::ClearConversationsResponse>, Status> {
        let record = record(&request)?;
        let scope = match scope(request.into_inner().scope) {
            Ok(scope) => scope,
            Err(failure) => return Err(error::status(&failure, &record)),
        };
        let Cleared { removed, failed } = self.operator.clear_conversations(scope).await;
        Ok(Response::new(proto::ClearConversationsResponse {
            removed: count(removed),
            failed: count(failed),
        }))
    }
}

fn scope(number: i32) -> Result<Scope, ChatError> {
    match proto::ConversationScope::try_from(number) {
        Ok(proto::ConversationScope::Unspecified | proto::ConversationScope::Ours) => Ok(Scope::Ours),
        Ok(proto::ConversationScope::Account) => Ok(Scope::Account),
        Err(_) => {
            let message = format!(
                "Invalid 'scope': {number} is no scope. Use one of the enum duogate.v1.ConversationScope."
            );
            Err(ChatError::invalid("scope", message))
        }
    }
}

/// The wire counts in 32 bits; nothing that is counted here comes near their end.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn token(view: TokenView) -> proto::Token {
    let state = match view.state {
        TokenState::Ready => proto::TokenState::Ready,
        TokenState::Benched => proto::TokenState::Benched,
        TokenState::Probing => proto::TokenState::Probing,
        TokenState::Disabled => proto::TokenState::Disabled,
        TokenState::Expired => proto::TokenState::Expired,
    };
    let reason = view.reason.map(|reason| match reason {
        BenchReason::Refused => proto::TokenReason::Refused,
        BenchReason::RateLimited => proto::TokenReason::RateLimited,
    });
    proto::Token {
        label: view.label.to_string(),
        sha256: view.sha256,
        state: state.into(),
        reason: reason.unwrap_or_default().into(),
        until: view.until.map(Into::into),
        available: view.available,
        expires_at: view.expires_at.map(Into::into),
        in_flight: count(view.in_flight),
        chats: view.chats,
        failures: view.failures,
        refusals_in_a_row: view.refusals_in_a_row,
        warm_conversations: count(view.warm_conversations),
    }
}

fn candidate(candidate: Candidate) -> proto::Candidate {
    let Candidate {
        token: view,
        standing,
        why,
    } = candidate;
    let standing = match standing {
        Standing::Chosen => proto::Standing::Chosen,
        Standing::Busier => proto::Standing::Busier,
        Standing::UsedLater => proto::Standing::UsedLater,
        Standing::Full => proto::Standing::Full,
        Standing::Benched => proto::Standing::Benched,
        Standing::Probing => proto::Standing::Probing,
        Standing::Disabled => proto::Standing::Disabled,
        Standing::Expired => proto::Standing::Expired,
    };
    proto::Candidate {
        token: Some(token(view)),
        standing: standing.into(),
        why,
    }
}

fn active(chat: ChatSnapshot) -> proto::ActiveRequest {
    let ChatSnapshot {
        id,
        door,
        model,
        age,
        bytes,
        token,
    } = chat;
    let door = match door {
        Door::Http => proto::Door::Http,
        Door::Grpc => proto::Door::Grpc,
    };
    proto::ActiveRequest {
        id,
        door: door.into(),
        model,
        // A chat that is older than the wire can say is no chat.
        age: age.try_into().ok(),
        bytes,
        token_label: token.as_deref().map(str::to_owned),
    }
}
