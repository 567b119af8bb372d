//! Both limits together, as the answer meets them.

use proptest::prelude::*;

use super::*;
use crate::engine::prompt::vocabulary;

fn limits(stop: &[&str], max_tokens: Option<u64>) -> Limits {
    Limits {
        stop: stop.iter().map(|&stop| stop.to_owned()).collect(),
        max_tokens,
    }
}

/// What is left of an answer: its reasoning, its content, and why it was cut.
type Left = (String, String, Option<FinishReason>);

fn run(deltas: Vec<Event>, limits: &Limits) -> Left {
    let Some(mut limiter) = Limiter::new(limits) else {
        panic!("nothing is limited");
    };
    let (mut reasoning, mut content) = (String::new(), String::new());
    let mut take = |passed: Passed| {
        for event in passed.deltas {
            if matches!(event, Event::Reasoning(_)) {
                reasoning.push_str(event.text());
            } else {
                content.push_str(event.text());
            }
        }
        passed.cut
    };
    let mut cut = None;
    for delta in deltas {
        cut = take(limiter.push(delta));
        if cut.is_some() {
            break;
        }
    }
    if cut.is_none() {
        cut = take(limiter.finish());
    }
    (reasoning, content, cut)
}

fn content(text: &str) -> Vec<Event> {
    vec![Event::Content(text.to_owned())]
}

#[test]
fn nothing_is_in_the_way_of_an_answer_without_limits() {
    assert!(Limiter::new(&Limits::default()).is_none());
}

#[test]
fn whichever_limit_is_reached_first_ends_the_answer() {
    let text = "one two three four";
    let left = |stop: &[&str], tokens| run(content(text), &limits(stop, tokens));
    let cut = |text: &str, reason| (String::new(), text.to_owned(), reason);
    assert_eq!(
        left(&[" three"], Some(4)),
        cut("one two", Some(FinishReason::Stop))
    );
    assert_eq!(left(&[" three"], Some(1)), cut("one", Some(FinishReason::Length)));
    assert_eq!(
        left(&[" three"], Some(2)),
        cut("one two", Some(FinishReason::Stop))
    );
    assert_eq!(left(&["five"], Some(4)), cut(text, None));
    assert_eq!(
        left(&["five"], Some(3)),
        cut("one two three", Some(FinishReason::Length))
    );
    assert_eq!(left(&["one"], None), cut("", Some(FinishReason::Stop)));
}

#[test]
fn a_stop_text_in_the_reasoning_means_nothing() {
    let deltas = vec![
        Event::Reasoning("to END or".into()),
        Event::Content("not E".into()),
        Event::Reasoning("ND".into()),
        Event::Content("ND".into()),
    ];
    assert_eq!(
        run(deltas, &limits(&["END"], None)),
        ("to END orND".into(), "not ".into(), Some(FinishReason::Stop))
    );
}

#[test]
fn a_cut_inside_a_character_goes_back_to_the_one_before() {
    let text = "🦀𓀀🦀𓀀";
    let tokens = vocabulary().encode(text);
    for most in 1..tokens.len() {
        let bytes = vocabulary().bpe.decode_tokens(&tokens[..most]);
        let whole = &text[..text.floor_char_boundary(bytes.len())];
        let left = run(content(text), &limits(&[], Some(most as u64)));
        assert_eq!(
            left,
            (String::new(), whole.to_owned(), Some(FinishReason::Length))
        );
    }
}

fn deltas() -> impl Strategy<Value = Vec<(bool, String)>> {
    let text = "[aB' \n7!的é。]{1,5}";
    prop::collection::vec((prop::bool::weighted(0.2), text), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn the_same_is_left_of_an_answer_however_it_is_split(
        runs in deltas(),
        stops in prop::collection::vec("[aB' \n7!]{1,3}", 0..3),
        tokens in prop::option::of(1_u64..25),
    ) {
        let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
        let limits = limits(&stops, tokens);
        prop_assume!(Limiter::new(&limits).is_some());
        let delta = |(reasoning, text): (bool, String)| if reasoning {
            Event::Reasoning(text)
        } else {
            Event::Content(text)
        };
        let whole: Vec<Event> = runs.iter().cloned().map(delta).collect();
        let letters = runs.iter().flat_map(|(kind, text)| text.chars().map(|char| (*kind, char.to_string())));
        let letters: Vec<Event> = letters.map(delta).collect();
        prop_assert_eq!(run(letters, &limits), run(whole, &limits));
    }
}
