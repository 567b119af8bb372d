//! One token as an operator sees it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::engine::{BenchReason, TokenSnapshot, TokenState};

/// One token of the pool, without its secret.
#[derive(Debug, Clone)]
pub struct TokenView {
    pub(super) digest: [u8; 32],
    /// The first eight hexadecimal digits of its SHA-256: how logs name it.
    pub label: Arc<str>,
    /// All 64 of them.
    pub sha256: String,
    /// Its state.
    pub state: TokenState,
    /// Why it is out of use, where a failure put it there.
    pub reason: Option<BenchReason>,
    /// Until when it rests.
    pub until: Option<SystemTime>,
    /// The same, counted from now.
    pub rests_for: Option<Duration>,
    /// Whether a chat could be given it now, but for a limit on its chats.
    pub available: bool,
    /// Chats that hold it now.
    pub in_flight: usize,
    /// Chats that it was given to since the start.
    pub chats: u64,
    /// Failures that counted against it since the start.
    pub failures: u64,
    /// Refusals in a row.
    pub refusals_in_a_row: u32,
    /// Conversations that stand ready in its account.
    pub warm_conversations: usize,
    /// When it dies by its own word, the `exp` of a JWT.
    pub expires_at: Option<SystemTime>,
}

impl From<TokenSnapshot> for TokenView {
    fn from(row: TokenSnapshot) -> Self {
        let available = row.is_available();
        let TokenSnapshot {
            token,
            state,
            reason,
            benched_for,
            in_flight,
            leases,
            failures,
            refusals,
            expires_at,
            warm,
            obstacle: _,
        } = row;
        let rests_for = benched_for.filter(|wait| !wait.is_zero());
        Self {
            digest: token.digest(),
            label: Arc::clone(token.label()),
            sha256: hex(&token.digest()),
            state,
            reason,
            until: rests_for.and_then(|wait| SystemTime::now().checked_add(wait)),
            rests_for,
            available,
            in_flight,
            chats: leases,
            failures,
            refusals_in_a_row: refusals,
            warm_conversations: warm,
            expires_at: expires_at.map(writable),
        }
    }
}

/// The nearest time that RFC 3339 can write: a claim may name any.
fn writable(time: SystemTime) -> SystemTime {
    /// 9999-12-31T23:59:59Z.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_no_calendar_writes_are_brought_to_one_that_it_does() {
        let far = UNIX_EPOCH + Duration::from_secs(u64::MAX >> 8);
        let text = humantime::format_rfc3339_seconds(writable(far)).to_string();
        assert_eq!(text, "9999-12-31T23:59:59Z");
        assert_eq!(writable(UNIX_EPOCH - Duration::from_secs(1)), UNIX_EPOCH);
    }
}
