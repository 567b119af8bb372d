//! What operators are told, as it stands on the wire.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{Candidate, Choice, Kept, Probed, TokenView},
    engine::{
        BenchReason, ChatSnapshot,
        provider::{Cleared, ConversationCounts},
    },
};

/// A token of the pool, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminToken)]
pub(super) struct TokenRow {
    /// The first eight hexadecimal digits of its SHA-256, as logs name it.
    token: String,
    sha256: String,
    /// `ready`, `benched`, `probing`, `disabled` or `expired`.
    state: &'static str,
    /// Why it is out of use: `refused` or `rate_limited`.
    #[schema(required)]
    reason: Option<&'static str>,
    /// Until when it rests.
    #[schema(required)]
    until: Option<String>,
    #[schema(required)]
    rests_for_seconds: Option<f64>,
    available: bool,
    in_flight: usize,
    chats: u64,
    failures: u64,
    refusals_in_a_row: u32,
    warm_conversations: usize,
    #[schema(required)]
    expires_at: Option<String>,
}

impl From<&TokenView> for TokenRow {
    fn from(view: &TokenView) -> Self {
        Self {
            token: view.label.to_string(),
            sha256: view.sha256.clone(),
            state: view.state.name(),
            reason: view.reason.map(BenchReason::name),
            until: view.until.map(written),
            rests_for_seconds: view.rests_for.map(rounded),
            available: view.available,
            in_flight: view.in_flight,
            chats: view.chats,
            failures: view.failures,
            refusals_in_a_row: view.refusals_in_a_row,
            warm_conversations: view.warm_conversations,
            expires_at: view.expires_at.map(written),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminTokens)]
pub(super) struct TokenRows {
    pub(super) tokens: Vec<TokenRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminOneToken)]
pub(super) struct OneToken {
    pub(super) token: TokenRow,
}

/// What became of a token that was to be added.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminAddedToken)]
pub(super) struct AddedToken {
    pub(super) token: TokenRow,
    /// False where it was in the pool already.
    pub(super) added: bool,
    #[serde(flatten)]
    pub(super) kept: KeptRow,
}

/// The token that was removed.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminRemovedToken)]
pub(super) struct RemovedToken {
    pub(super) token: TokenRow,
    #[serde(flatten)]
    pub(super) kept: KeptRow,
}

/// Whether the change outlives the process.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminKept)]
pub(super) struct KeptRow {
    persisted: bool,
    /// What an operator should know of that.
    note: String,
}

impl From<Kept> for KeptRow {
    fn from(kept: Kept) -> Self {
        let Kept { persisted, note } = kept;
        Self { persisted, note }
    }
}

/// What a try of a token came to.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminProbedToken)]
pub(super) struct ProbedToken {
    ok: bool,
    #[schema(required)]
    failure: Option<Reason>,
    token: TokenRow,
}

impl From<Probed> for ProbedToken {
    fn from(probed: Probed) -> Self {
        let Probed { token, failure } = probed;
        let failure = failure.map(|(kind, message)| Reason { kind, message });
        Self {
            ok: failure.is_none(),
            failure,
            token: TokenRow::from(&token),
        }
    }
}

/// Why not.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminReason)]
struct Reason {
    kind: &'static str,
    message: String,
}

/// The chats under way, the oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminRequests)]
pub(super) struct RequestRows {
    pub(super) requests: Vec<RequestRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminRequest)]
pub(super) struct RequestRow {
    /// The id of the request that it belongs to.
    id: String,
    /// `http` or `grpc`.
    door: &'static str,
    #[schema(required)]
    model: Option<String>,
    age_seconds: f64,
    /// What was answered so far.
    bytes: u64,
    /// The token that it holds.
    #[schema(required)]
    token: Option<String>,
}

impl From<ChatSnapshot> for RequestRow {
    fn from(chat: ChatSnapshot) -> Self {
        let ChatSnapshot {
            id,
            door,
            model,
            age,
            bytes,
            token,
        } = chat;
        Self {
            id,
            door: door.name(),
            model,
            age_seconds: rounded(age),
            bytes,
            token: token.as_deref().map(str::to_owned),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminCancelled)]
pub(super) struct CancelledRow {
    pub(super) id: String,
    /// How many chats it had.
    pub(super) cancelled: usize,
}

/// Which token the next chat would get, and why no other.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminChoice)]
pub(super) struct ChoiceRow {
    #[schema(required)]
    chosen: Option<Chosen>,
    /// Why the next chat would be refused.
    #[schema(required)]
    refusal: Option<Reason>,
    /// Origins of the upstream whose circuit breaker is open.
    open_breakers: usize,
    tokens: Vec<CandidateRow>,
}

impl From<Choice> for ChoiceRow {
    fn from(choice: Choice) -> Self {
        let chosen = choice.chosen().map(|token| Chosen {
            token: token.label.to_string(),
            sha256: token.sha256.clone(),
        });
        let Choice {
            refusal,
            candidates,
            open_breakers,
        } = choice;
        let refusal = refusal.map(|error| Reason {
            kind: error.kind().name(),
            message: error.message().to_owned(),
        });
        Self {
            chosen,
            refusal,
            open_breakers,
            tokens: candidates.into_iter().map(CandidateRow::from).collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminChosen)]
struct Chosen {
    token: String,
    sha256: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminCandidate)]
struct CandidateRow {
    #[serde(flatten)]
    token: TokenRow,
    /// Where it stands: `chosen`, `busier`, `used_later`, `full`, `benched`, `probing`, `disabled` or `expired`.
    standing: &'static str,
    /// The same in words.
    why: String,
}

impl From<Candidate> for CandidateRow {
    fn from(candidate: Candidate) -> Self {
        Self {
            token: TokenRow::from(&candidate.token),
            standing: candidate.standing.name(),
            why: candidate.why,
        }
    }
}

/// How many conversations of the gateway's there are on the upstream.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminConversations)]
pub(super) struct ConversationRow {
    in_use: usize,
    ready: usize,
    /// On their way out.
    leaving: usize,
    /// That could not be removed.
    left_behind: usize,
}

impl From<ConversationCounts> for ConversationRow {
    fn from(counts: ConversationCounts) -> Self {
        let ConversationCounts {
            in_use,
            ready,
            leaving,
            left_behind,
        } = counts;
        Self {
            in_use,
            ready,
            leaving,
            left_behind,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminCleared)]
pub(super) struct ClearedRow {
    removed: usize,
    failed: usize,
}

impl From<Cleared> for ClearedRow {
    fn from(cleared: Cleared) -> Self {
        let Cleared { removed, failed } = cleared;
        Self { removed, failed }
    }
}

fn written(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Seconds with three decimals.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
