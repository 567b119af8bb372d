//! The response object, as it stands on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::{super::fields::Fields, echo::Echo, item::Item};
use crate::engine::{
    chat::{FinishReason, Head, Usage},
    error::{ChatError, ErrorKind},
};

/// Where a response stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Standing<'a> {
    InProgress,
    Ended(FinishReason, Usage),
    Failed(&'a ChatError),
}

/// OpenAI's word for it, which is also the last part of the event's name.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResponseWord {
    Response,
}

/// A response.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Response)]
pub(super) struct ResponseObject<'a> {
    id: &'a str,
    #[schema(inline)]
    object: ResponseWord,
    created_at: u64,
    #[schema(inline)]
    status: Status,
    #[schema(required)]
    error: Option<Failure<'a>>,
    #[schema(required)]
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: &'a [Item],
    /// There is none before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    usage: Option<Figures>,
    #[serde(flatten)]
    asked: &'a Echo,
}

/// Why a response failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResponseError)]
struct Failure<'a> {
    #[schema(inline)]
    code: FailureCode,
    message: &'a str,
}

/// OpenAI's list of these codes is closed, and SDKs know no other.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FailureCode {
    RateLimitExceeded,
    InvalidPrompt,
    ServerError,
}

/// What cut a response short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResponseIncompleteDetails)]
struct Incomplete {
    #[schema(inline)]
    reason: IncompleteReason,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum IncompleteReason {
    MaxOutputTokens,
    ContentFilter,
}

/// The upstream's figures, or else counts with the o200k_base vocabulary.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResponseUsage)]
struct Figures {
    input_tokens: u32,
    #[schema(inline)]
    input_tokens_details: InputDetails,
    output_tokens: u32,
    #[schema(inline)]
    output_tokens_details: OutputDetails,
    total_tokens: u32,
}

#[derive(Debug, Serialize, ToSchema)]
struct InputDetails {
    cached_tokens: u32,
    cache_write_tokens: u32,
}

#[derive(Debug, Serialize, ToSchema)]
struct OutputDetails {
    reasoning_tokens: u32,
}

/// What stands in a response from its beginning: who it is, and what was asked.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) head: Head,
    asked: Echo,
}

impl Draft {
    /// A response that begins now, to a request of these fields.
    pub(super) fn new(fields: &Fields, model: String, store: bool) -> Self {
        Self {
            head: Head::with_prefix("resp_", model),
            asked: Echo::of(fields, store),
        }
    }

    /// Says that this response is not kept after all.
    pub(super) fn is_not_stored(&mut self) {
        self.asked.is_not_stored();
    }

    /// The whole object.
    pub(super) fn at<'a>(&'a self, standing: Standing<'a>, output: &'a [Item]) -> ResponseObject<'a> {
        let mut object = ResponseObject {
            id: &self.head.id,
            object: ResponseWord::Response,
            created_at: self.head.created,
            status: Status::InProgress,
            error: None,
            incomplete_details: None,
            model: &self.head.model,
            output,
            usage: None,
            asked: &self.asked,
        };
        match standing {
            Standing::InProgress => {}
            Standing::Ended(reason, used) => {
                object.usage = Some(figures(used));
                let cut_by = match reason {
                    FinishReason::Stop | FinishReason::ToolCalls => None,
                    FinishReason::Length => Some(IncompleteReason::MaxOutputTokens),
                    FinishReason::ContentFilter => Some(IncompleteReason::ContentFilter),
                };
                object.status = cut_by.map_or(Status::Completed, |_| Status::Incomplete);
                object.incomplete_details = cut_by.map(|reason| Incomplete { reason });
            }
            Standing::Failed(failure) => {
                object.status = Status::Failed;
                object.error = Some(Failure {
                    code: failure_code(failure.kind()),
                    message: failure.message(),
                });
            }
        }
        object
    }
}

fn failure_code(kind: ErrorKind) -> FailureCode {
    match kind {
        ErrorKind::RateLimited => FailureCode::RateLimitExceeded,
        ErrorKind::InvalidRequest
        | ErrorKind::UnsupportedParameter
        | ErrorKind::ContextLengthExceeded
        | ErrorKind::ModelNotFound
        | ErrorKind::NotFound
        | ErrorKind::UpstreamRefused => FailureCode::InvalidPrompt,
        ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::UnknownUrl
        | ErrorKind::MethodNotSupported
        | ErrorKind::UpgradeRequired
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::RequestTimeout
        | ErrorKind::RequestTooLarge
        | ErrorKind::PoolExhausted
        | ErrorKind::CredentialsRejected
        | ErrorKind::Overloaded
        | ErrorKind::ShuttingDown
        | ErrorKind::UpstreamUnavailable
        | ErrorKind::UpstreamTruncated
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::Internal => FailureCode::ServerError,
    }
}

fn figures(usage: Usage) -> Figures {
    let Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        reasoning_tokens,
    } = usage;
    Figures {
        input_tokens: prompt_tokens,
        input_tokens_details: InputDetails {
            cached_tokens: 0,
            cache_write_tokens: 0,
        },
        output_tokens: completion_tokens,
        output_tokens_details: OutputDetails { reasoning_tokens },
        total_tokens,
    }
}
