//! Why and for how long tokens are kept out of use.

use std::time::Duration;

/// How long failures keep a token out of use, and how much it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchPolicy {
    /// The first bench of a token that the upstream refused; doubles with each refusal in a row.
    pub cooldown: Duration,
    /// No bench lasts longer, whatever the upstream asks for.
    pub cap: Duration,
    /// A token refused this often in a row is disabled for good.
    pub max_refusals: u32,
    /// The first bench of a token that was rate limited without a `Retry-After`; doubles.
    pub rate_limit_first: Duration,
    /// The longest such bench.
    pub rate_limit_cap: Duration,
    /// The most chats that may hold one token at a time; 0 for no limit.
    pub max_in_flight: usize,
}

impl Default for BenchPolicy {
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(600),
            cap: Duration::from_secs(3600),
            max_refusals: 5,
            rate_limit_first: Duration::from_secs(1),
            rate_limit_cap: Duration::from_secs(60),
            max_in_flight: 0,
        }
    }
}

/// Why a token sits on the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchReason {
    /// The upstream refused it (401, 403). It comes back by a call in the background.
    Refused,
    /// The upstream limited its rate (429). It comes back by one real chat.
    RateLimited,
}

impl BenchReason {
    /// The reason's name on health pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BenchReason::Refused => "refused",
            BenchReason::RateLimited => "rate_limited",
        }
    }
}
