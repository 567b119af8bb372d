//! Every scenario runs once for each door on separate gateways, and both results must be equal: text, reasoning, finish
//! reason, usage and failure of each chat in the order of their beginning, the upstream's calls by step, and the texts
//! sent to it.
//!
//! These functions are the only source of ways to chat, so every scenario that chats is compared.

mod tests;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use duogate::sim::{SimControl, Step};

use super::{Ask, Choice, Door, Failure, Outcome, Way, for_some};

/// For a scenario with one case.
pub(crate) const ONCE: [(); 1] = [()];

/// The ways used in turn by a crowd's chats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways(&'static [Way]);

impl Ways {
    const HTTP: Self = Self(&Door::Http.ways());
    const GRPC: Self = Self(&Door::Grpc.ways());
    const MIXED: Self = Self(&[Self::HTTP.0[0], Self::GRPC.0[1], Self::GRPC.0[0], Self::HTTP.0[1]]);

    /// This way for every chat.
    pub(crate) fn of(way: Way) -> Self {
        match way.door {
            Door::Http => Self::HTTP.only(way.streamed),
            Door::Grpc => Self::GRPC.only(way.streamed),
        }
    }

    fn only(self, streamed: bool) -> Self {
        let index = usize::from(streamed);
        Self(&self.0[index..=index])
    }

    /// The way of the chat with this number: a whole answer if it is even, else a stream.
    pub(crate) fn nth(self, number: usize) -> Way {
        self.0[number % self.0.len()]
    }
}

/// Runs `scenario` for every case through every way to chat.
pub(crate) async fn each_way<C: Clone + Debug>(
    cases: impl IntoIterator<Item = C>,
    scenario: impl AsyncFn(C, Way) -> Seen,
) {
    let cases = super::crossed(cases, [false, true]);
    each_door(cases, async |(case, streamed), door| {
        scenario(case, Way { door, streamed }).await
    })
    .await;
}

/// Runs `scenario` for every case through either door.
pub(crate) async fn each_door<C: Clone + Debug>(
    cases: impl IntoIterator<Item = C>,
    scenario: impl AsyncFn(C, Door) -> Seen,
) {
    /// Number of gateway pairs running concurrently.
    const AT_ONCE: usize = 8;
    for_some(AT_ONCE, cases, async |case| {
        let (http, grpc) = tokio::join!(
            Box::pin(scenario(case.clone(), Door::Http)),
            Box::pin(scenario(case.clone(), Door::Grpc))
        );
        http.assert_same(&grpc, &format!("{case:?}: HTTP left, gRPC right"));
    })
    .await;
}

/// Runs `scenario`, whose many chats use the ways in turn, for every case: through either door, and through both at
/// once.
pub(crate) async fn each_crowd<C: Clone + Debug>(
    cases: impl IntoIterator<Item = C>,
    scenario: impl AsyncFn(C, Ways) -> Seen,
) {
    for case in cases {
        let http = scenario(case.clone(), Ways::HTTP).await;
        let grpc = scenario(case.clone(), Ways::GRPC).await;
        http.assert_same(&grpc, &format!("{case:?}: HTTP left, gRPC right"));
        let mixed = scenario(case.clone(), Ways::MIXED).await;
        http.assert_same(&mixed, &format!("{case:?}: HTTP left, both doors right"));
    }
}

/// A client's request and its result, as far as both wires can express it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Chat {
    asked: String,
    streamed: bool,
    came_to: CameTo,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum CameTo {
    /// The client disconnected after this much of a stream.
    Left { text: String },
    End {
        model: String,
        ignored: Vec<String>,
        choices: Vec<Choice>,
        /// Of the prompt, of the answer, and their sum.
        usage: Option<(u64, u64, u64)>,
        failure: Option<Told>,
    },
}

/// A failure. Of the retry delay only its presence is compared, since it runs down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    kind: &'static str,
    /// Omitted for invalid input, which each door describes in terms of its own format.
    message: Option<String>,
    /// Omitted for an unknown model, which gRPC reports as a resource.
    field: Option<String>,
    in_band: bool,
    /// Omitted in band, where OpenAI's wire has no room for it.
    has_time_to_wait: Option<bool>,
    should_retry: Option<bool>,
}

const BAD_INPUT: [&str; 2] = ["invalid_request", "unsupported_parameter"];

/// The name of an omitted field: OpenAI's, if it differs from the contract's.
fn field(name: &str) -> String {
    let name = match name {
        "image_url" => "image",
        "input_audio" => "audio",
        other => other,
    };
    name.to_owned()
}

impl Told {
    fn new(failure: &Failure) -> Self {
        let aside = !failure.in_band;
        Self {
            kind: failure.kind,
            message: (!BAD_INPUT.contains(&failure.kind)).then(|| failure.message.clone()),
            field: failure
                .field
                .clone()
                .filter(|_| failure.kind != "model_not_found"),
            in_band: failure.in_band,
            has_time_to_wait: aside.then_some(failure.retry_after.is_some()),
            should_retry: failure.should_retry.filter(|_| aside),
        }
    }
}

impl CameTo {
    fn end(outcome: &Outcome) -> Self {
        assert!(
            outcome.is_finished() != outcome.failure.is_some(),
            "a chat came to no end, or to two: {outcome:?}"
        );
        Self::End {
            model: outcome.model.clone(),
            ignored: outcome.ignored.iter().map(|name| field(name)).collect(),
            choices: outcome.choices.clone(),
            usage: outcome
                .usage
                .map(|usage| (usage.prompt, usage.completion, usage.total)),
            failure: outcome.failure.as_ref().map(Told::new),
        }
    }
}

/// The chats of one gateway, recorded as they run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chats(Arc<Mutex<Vec<Chat>>>);

/// The record of a chat in flight.
#[derive(Debug)]
pub(crate) struct Noted {
    chats: Chats,
    index: usize,
}

impl Chats {
    pub(crate) fn begin(&self, ask: &Ask, streamed: bool) -> Noted {
        let mut chats = self.0.lock().unwrap();
        chats.push(Chat {
            asked: format!("{:?} {}", ask.key, ask.json(streamed)),
            streamed,
            came_to: CameTo::Left { text: String::new() },
        });
        Noted {
            chats: self.clone(),
            index: chats.len() - 1,
        }
    }

    /// All chats in the order of their beginning, and the upstream's calls and texts.
    pub(crate) fn seen(&self, sim: &SimControl) -> Seen {
        let said = sim
            .answers()
            .into_iter()
            .map(|answer| (answer.model, answer.text));
        let mut said: Vec<_> = said.collect();
        said.sort_unstable();
        Seen {
            chats: self.0.lock().unwrap().clone(),
            calls: sim.counts().calls,
            said,
            by_hand: false,
        }
    }
}

impl Noted {
    pub(crate) fn end(&self, outcome: &Outcome) {
        self.write(CameTo::end(outcome));
    }

    /// Records that the client disconnects after this much.
    pub(crate) fn leave(&self, outcome: &Outcome) {
        let text = outcome.text().to_owned();
        self.write(CameTo::Left { text });
    }

    fn write(&self, came_to: CameTo) {
        self.chats.0.lock().unwrap()[self.index].came_to = came_to;
    }
}

/// The result of a scenario.
#[derive(Debug)]
pub(crate) struct Seen {
    chats: Vec<Chat>,
    /// Upstream calls by step.
    calls: BTreeMap<Step, u64>,
    /// The models and messages that answers were asked for, sorted.
    said: Vec<(String, String)>,
    by_hand: bool,
}

impl Seen {
    /// Ignores calls of these steps: their number depends on timing, not on the door.
    pub(crate) fn whatever_calls(mut self, steps: &[Step]) -> Self {
        self.calls.retain(|step, _| !steps.contains(step));
        if steps.contains(&Step::Answer) {
            self.said.clear();
        }
        self
    }

    /// Ignores all calls: their number is a race between chats or background work.
    pub(crate) fn chats_alone(mut self) -> Self {
        self.calls.clear();
        self.said.clear();
        self
    }

    /// Compares only the upstream's side, for scenarios whose clients use no client library.
    pub(crate) fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// Compares only how each chat ended: their progress until then is a race.
    pub(crate) fn ends_alone(mut self) -> Self {
        for chat in &mut self.chats {
            if let CameTo::End { choices, .. } = &mut chat.came_to {
                choices.clear();
            }
        }
        self
    }

    /// Keeps only the chats with these words: the outcome of the others is chance.
    pub(crate) fn asking(mut self, words: &str) -> Self {
        self.chats.retain(|chat| chat.asked.contains(words));
        self
    }

    /// Removes repeated chats: their number depends on timing.
    pub(crate) fn each_once(mut self) -> Self {
        self.chats.sort_unstable();
        self.chats.dedup();
        self
    }

    /// Adds the result of another gateway of the same scenario.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.chats.extend(other.chats);
        self.said.extend(other.said);
        for (step, count) in other.calls {
            *self.calls.entry(step).or_default() += count;
        }
        self
    }

    #[track_caller]
    fn assert_same(&self, other: &Self, what: &str) {
        assert!(self.by_hand || !self.chats.is_empty(), "no chat was seen: {what}");
        for (one, another) in self.chats.iter().zip(&other.chats) {
            // Compared first: equal results may be megabytes, and need not be printed.
            if one != another {
                let (one, another) = (shortened(one), shortened(another));
                panic!("{what}\n{one}\n{another}");
            }
        }
        assert_eq!(self.chats.len(), other.chats.len(), "chats: {what}");
        assert_eq!(self.calls, other.calls, "calls: {what}");
        assert!(
            self.said == other.said,
            "what the upstream was told: {what}\n{}\n{}",
            shortened(&self.said),
            shortened(&other.said)
        );
    }
}

fn shortened(told: &impl Debug) -> String {
    const ROOM: usize = 4096;
    let text = format!("{told:?}");
    text.chars().take(ROOM).collect()
}
