//! Tests of the comparison itself: it finds every difference.

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
            reasoning: 0,
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
    let chats = chats.0.lock().unwrap().clone();
    Seen {
        chats,
        calls: [(Step::Answer, calls)].into(),
        said: vec![("model".to_owned(), "hi".to_owned()); outcomes.len()],
        by_hand: false,
    }
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
        change(|outcome| outcome.ignored.push("seed".to_owned())),
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
    assert!(differ(&seen(&[], 1), &seen(&[], 1)), "nothing to compare");
    let mut otherwise = seen(&[whole()], 1);
    otherwise.said[0].1 += "x";
    assert!(differ(&good, &otherwise), "what was said");
    let [one, other] = [
        [whole(), failed("overloaded", false)],
        [failed("overloaded", false), whole()],
    ];
    assert!(differ(&seen(&one, 1), &seen(&other, 1)), "the order");
    let refused = || seen(&[failed("overloaded", false)], 1);
    assert!(differ(&refused(), &seen(&[failed("internal", false)], 1)));
    assert!(differ(&refused(), &seen(&[failed("overloaded", true)], 1)));
    assert!(!differ(&refused(), &refused()));
}
