//! Which token the next chat would get, and why no other, in words.

use super::TokenView;
use crate::engine::{
    BenchReason, Explanation, Obstacle, TokenSnapshot,
    error::{ChatError, ErrorKind},
    provider::Token,
};

/// The choice that the pool would make now.
#[derive(Debug)]
pub struct Choice {
    /// Why the next chat would be refused; `None` when it would get the chosen token.
    pub refusal: Option<ChatError>,
    /// Every token.
    pub candidates: Vec<Candidate>,
    /// How many origins of the upstream have an open circuit breaker.
    pub open_breakers: usize,
}

/// One token in that choice.
#[derive(Debug)]
pub struct Candidate {
    /// The token.
    pub token: TokenView,
    /// Where it stands.
    pub standing: Standing,
    /// The same in a sentence or two.
    pub why: String,
}

/// Where a token stands in the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The next chat gets it.
    Chosen,
    /// More chats hold it than the chosen one.
    Busier,
    /// As many chats hold it, and it was used later.
    UsedLater,
    /// As many chats hold it as may.
    Full,
    /// It rests.
    Benched,
    /// It is being tried after its rest.
    Probing,
    /// It was refused too often in a row.
    Disabled,
    /// It is over by its own word.
    Expired,
}

impl Standing {
    /// The standing's name: `used_later` and the like.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Standing::Chosen => "chosen",
            Standing::Busier => "busier",
            Standing::UsedLater => "used_later",
            Standing::Full => "full",
            Standing::Benched => "benched",
            Standing::Probing => "probing",
            Standing::Disabled => "disabled",
            Standing::Expired => "expired",
        }
    }
}

impl Choice {
    /// The token that the pool would give.
    #[must_use]
    pub fn chosen(&self) -> Option<&TokenView> {
        let mut candidates = self.candidates.iter();
        let chosen = candidates.find(|candidate| candidate.standing == Standing::Chosen);
        chosen.map(|candidate| &candidate.token)
    }
}

impl From<Explanation> for Choice {
    fn from(explanation: Explanation) -> Self {
        let Explanation {
            chosen,
            tokens,
            open_breakers,
        } = explanation;
        let (chosen, refusal) = match chosen {
            Ok(token) => (Some(token), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let least = tokens
            .iter()
            .filter(|row| is(row, chosen.as_ref()))
            .map(|row| row.in_flight);
        let least = least.min().unwrap_or_default();
        let candidates = tokens.into_iter().map(|row| {
            let (standing, why) = stand(&row, is(&row, chosen.as_ref()), least);
            let token = TokenView::from(row);
            Candidate { token, standing, why }
        });
        let broken = (open_breakers > 0).then(|| {
            let message = "The upstream keeps failing, so a circuit breaker is open: chats are refused, whatever token is \
                           free, until a probe is answered.";
            ChatError::new(ErrorKind::UpstreamUnavailable, message)
        });
        Self {
            candidates: candidates.collect(),
            refusal: broken.or(refusal),
            open_breakers,
        }
    }
}

fn is(row: &TokenSnapshot, token: Option<&Token>) -> bool {
    token.is_some_and(|token| token.digest() == row.token.digest())
}

/// Where a token stands when the chosen one has `least` chats.
fn stand(row: &TokenSnapshot, chosen: bool, least: usize) -> (Standing, String) {
    let Some(obstacle) = row.obstacle else {
        return match row.in_flight {
            _ if chosen => (
                Standing::Chosen,
                "It has the fewest chats in flight; of several such it was unused for longest.".to_owned(),
            ),
            busy if busy > least => (
                Standing::Busier,
                format!("It has {busy} chats in flight, the chosen one {least}."),
            ),
            _ => (
                Standing::UsedLater,
                "It has as many chats in flight as the chosen one, which was unused for longer.".to_owned(),
            ),
        };
    };
    match obstacle {
        Obstacle::Full => {
            let why = "It has as many chats in flight as MAX_IN_FLIGHT_PER_TOKEN allows.";
            (Standing::Full, why.to_owned())
        }
        Obstacle::Benched(BenchReason::Refused, wait) => (
            Standing::Benched,
            format!(
                "The upstream refused it. A call in the background tries it again in {} s or a little later.",
                wait.as_secs_f64().ceil()
            ),
        ),
        Obstacle::Benched(BenchReason::RateLimited, wait) => (
            Standing::Benched,
            format!(
                "The upstream limits its rate. A chat tries it again after {} s.",
                wait.as_secs_f64().ceil()
            ),
        ),
        Obstacle::Probing(BenchReason::Refused) => (
            Standing::Probing,
            "The upstream refused it; a call in the background is trying it now.".to_owned(),
        ),
        Obstacle::Probing(BenchReason::RateLimited) => (
            Standing::Probing,
            "The upstream limited its rate; one chat is trying it now.".to_owned(),
        ),
        Obstacle::Disabled => (
            Standing::Disabled,
            "The upstream refused it too often in a row. It stays out of use until it is reset.".to_owned(),
        ),
        Obstacle::Expired => (
            Standing::Expired,
            "By its own exp claim it has expired.".to_owned(),
        ),
    }
}
