//! Every scenario runs once for each door, on gateways of its own, and what came of it through the one must be what came
//! through the other: text, reasoning, finish, usage and failure of each chat, and the calls to the upstream by step.
//!
//! There is no list of ways to chat besides these functions: who wants one is compared.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use duogate::sim::Step;

use super::{Ask, Choice, Door, Failure, Outcome, Way, for_each};

/// For a scenario of one case.
pub(crate) const ONCE: [(); 1] = [()];

/// The ways that a crowd's chats take in turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways(&'static [Way]);

impl Ways {
    const HTTP: Self = Self(&Door::Http.ways());
    const GRPC: Self = Self(&Door::Grpc.ways());
    const MIXED: Self = Self(&[Self::HTTP.0[0], Self::GRPC.0[1], Self::GRPC.0[0], Self::HTTP.0[1]]);

    /// This one for every chat.
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

    /// The way of the chat of this number: a whole answer where it is even, else a stream.
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
    for_each(cases, async |case| {
        let (http, grpc) = tokio::join!(
            scenario(case.clone(), Door::Http),
            scenario(case.clone(), Door::Grpc)
        );
        http.assert_same(&grpc, &format!("{case:?}: HTTP left, gRPC right"));
    })
    .await;
}

/// Runs `scenario`, in which many chats take the ways in turn, for every case: through either door, and through both
/// at once.
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

/// What a client asked for and what it got, as far as both wires can tell it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Chat {
    asked: String,
    streamed: bool,
    came_to: CameTo,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum CameTo {
    /// The client went before the end.
    Nothing,
    End {
        model: String,
        choices: Vec<Choice>,
        /// Of the prompt, of the answer, and of both.
        usage: Option<(u64, u64, u64)>,
        failure: Option<Told>,
    },
}

/// A failure. Of the time to wait only whether there is one: it runs out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    kind: &'static str,
    /// Not of bad input, where each door speaks of its own fields.
    message: Option<String>,
    in_band: bool,
    /// In band OpenAI's wire has no room for these.
    has_time_to_wait: Option<bool>,
    should_retry: Option<bool>,
}

impl Told {
    fn new(failure: &Failure) -> Self {
        let aside = !failure.in_band;
        Self {
            kind: failure.kind,
            message: (failure.kind != "invalid_request").then(|| failure.message.clone()),
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
            choices: outcome.choices.clone(),
            usage: outcome
                .usage
                .map(|usage| (usage.prompt, usage.completion, usage.total)),
            failure: outcome.failure.as_ref().map(Told::new),
        }
    }
}

/// The chats of one gateway, written down as they go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chats(Arc<Mutex<Vec<Chat>>>);

/// The place where a chat that is under way will be written down.
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
            came_to: CameTo::Nothing,
        });
        Noted {
            chats: self.clone(),
            index: chats.len() - 1,
        }
    }

    /// All of them, in an order that does not depend on who was faster.
    pub(crate) fn seen(&self, calls: BTreeMap<Step, u64>) -> Seen {
        let mut chats = self.0.lock().unwrap().clone();
        chats.sort_unstable();
        Seen { chats, calls }
    }
}

impl Noted {
    pub(crate) fn end(&self, outcome: &Outcome) {
        self.chats.0.lock().unwrap()[self.index].came_to = CameTo::end(outcome);
    }
}

/// What came of a scenario.
#[derive(Debug)]
pub(crate) struct Seen {
    chats: Vec<Chat>,
    /// Calls of the upstream, by step.
    calls: BTreeMap<Step, u64>,
}

impl Seen {
    /// Calls of these steps are not compared: how many there are is a matter of time, not of doors.
    pub(crate) fn whatever_calls(mut self, steps: &[Step]) -> Self {
        self.calls.retain(|step, _| !steps.contains(step));
        self
    }

    /// No calls are compared: the scenario's chats, or what the gateway does by itself, race for them.
    pub(crate) fn chats_alone(mut self) -> Self {
        self.calls.clear();
        self
    }

    /// Of the answers only how each chat ended: how far they had come by then is a race.
    pub(crate) fn ends_alone(mut self) -> Self {
        for chat in &mut self.chats {
            if let CameTo::End { choices, .. } = &mut chat.came_to {
                choices.clear();
            }
        }
        self
    }

    /// The chats that ask these words: what becomes of the others is chance.
    pub(crate) fn asking(mut self, words: &str) -> Self {
        self.chats.retain(|chat| chat.asked.contains(words));
        self
    }

    /// Of equal chats one is left: how many there are is a matter of time.
    pub(crate) fn each_once(mut self) -> Self {
        self.chats.dedup();
        self
    }

    /// What came of another gateway in the same scenario comes on top.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.chats.extend(other.chats);
        for (step, count) in other.calls {
            *self.calls.entry(step).or_default() += count;
        }
        self
    }

    #[track_caller]
    fn assert_same(&self, other: &Self, what: &str) {
        for (one, another) in self.chats.iter().zip(&other.chats) {
            // Compared first: what is equal may be megabytes, and need not be printed.
            if one != another {
                let (one, another) = (shortened(one), shortened(another));
                panic!("{what}\n{one}\n{another}");
            }
        }
        assert_eq!(self.chats.len(), other.chats.len(), "chats: {what}");
        assert_eq!(self.calls, other.calls, "calls: {what}");
    }
}

fn shortened(chat: &Chat) -> String {
    const ROOM: usize = 4096;
    let text = format!("{chat:?}");
    text.chars().take(ROOM).collect()
}

mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::support::Usage;

    fn whole() -> Outcome {
        let choice = Choice {
            text: "Hello.".to_owned(),
            finish: Some("stop".to_owned()),
            ..Choice::default()
        };
        Outcome {
            choices: vec![choice],
            usage: Some(Usage {
                prompt: 1,
                completion: 2,
                total: 3,
            }),
            ..Outcome::default()
        }
    }

    fn failed(kind: &'static str, in_band: bool) -> Outcome {
        Outcome::failed(Failure {
            kind,
            message: "No.".to_owned(),
            field: None,
            retry_after: None,
            should_retry: Some(false),
            in_band,
        })
    }

    fn seen(outcomes: &[Outcome], calls: u64) -> Seen {
        let chats = Chats::default();
        for outcome in outcomes {
            chats.begin(&Ask::new("hi"), false).end(outcome);
        }
        chats.seen([(Step::Answer, calls)].into())
    }

    fn differ(one: &Seen, other: &Seen) -> bool {
        catch_unwind(|| one.assert_same(other, "a test")).is_err()
    }

    #[test]
    fn every_difference_is_found() {
        let change = |change: fn(&mut Outcome)| {
            let mut outcome = whole();
            change(&mut outcome);
            outcome
        };
        let other = [
            change(|outcome| outcome.model += "x"),
            change(|outcome| outcome.choices[0].text += "x"),
            change(|outcome| outcome.choices[0].reasoning += "x"),
            change(|outcome| outcome.choices[0].finish = Some("length".to_owned())),
            change(|outcome| outcome.choices.push(outcome.choices[0].clone())),
            change(|outcome| outcome.usage = None),
            change(|outcome| outcome.usage.as_mut().unwrap().total += 1),
            failed("overloaded", false),
        ];
        let good = seen(&[whole()], 1);
        assert!(!differ(&good, &seen(&[whole()], 1)));
        for outcome in other {
            assert!(
                differ(&good, &seen(std::slice::from_ref(&outcome), 1)),
                "{outcome:?}"
            );
        }
        assert!(differ(&good, &seen(&[whole()], 2)), "calls");
        assert!(differ(&good, &seen(&[whole(), whole()], 1)), "chats");
        assert!(differ(&good, &seen(&[], 1)), "no chats");
        let refused = || seen(&[failed("overloaded", false)], 1);
        assert!(differ(&refused(), &seen(&[failed("internal", false)], 1)));
        assert!(differ(&refused(), &seen(&[failed("overloaded", true)], 1)));
        assert!(!differ(&refused(), &refused()));
    }

    #[test]
    fn the_order_in_which_chats_end_makes_no_difference() {
        let one = seen(&[whole(), failed("overloaded", false)], 1);
        let other = seen(&[failed("overloaded", false), whole()], 1);
        assert!(!differ(&one, &other));
        assert!(!differ(
            &one.chats_alone(),
            &seen(&[failed("overloaded", false), whole()], 2).chats_alone()
        ));
    }
}
