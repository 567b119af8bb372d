//! Failures after the first text. A stream never pretends to be complete; a whole answer is retried.

use std::time::Duration;

use duogate::{
    config::UnmarkedEnd,
    sim::{Fault, Rule, Step, answer_text},
};

use crate::support::{Ask, Gateway, ONCE, Setup, each_door};

const QUESTION: &str = "tell me a long story, please";
/// The first two pieces of the answer to the question.
const TWO_PIECES: &str = "You said: ";
const CUTS: [&str; 4] = [
    "fault:cut",
    "fault:polite-cut",
    "fault:malformed",
    "fault:error-event",
];

fn attempts(gateway: &Gateway) -> u64 {
    gateway.sim.counts().calls_of(Step::Answer)
}

#[tokio::test]
async fn a_cut_stream_is_reported_not_finished() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        for cut in CUTS {
            for form in ["", "+dialect:tab"] {
                let model = format!("{cut}{form}");
                let before = attempts(&gateway);
                let outcome = door.stream(&gateway, &Ask::new(QUESTION).model(&model)).await;
                let failure = outcome.assert_failed("upstream_truncated");
                assert!(failure.in_band, "{model} {door:?}");
                assert_eq!(outcome.text(), TWO_PIECES, "{model} {door:?}");
                assert_eq!(
                    attempts(&gateway),
                    before + 1,
                    "no second upstream: {model} {door:?}"
                );
            }
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_of_a_stream_is_benched() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let refused = Fault::ErrorEvent {
            after: 2,
            status: Some(401),
        };
        gateway.sim.script(Rule::once(refused).on(Step::Answer));
        let outcome = door.stream(&gateway, &Ask::new(QUESTION)).await;
        assert!(outcome.assert_failed("upstream_truncated").in_band);
        let pool = gateway.health().await["token_pool"].clone();
        assert_eq!(pool["failed_tokens"], 1, "{door:?} {pool}");
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_stalls_in_its_middle_is_cut_after_the_patience() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.timeout = Duration::from_millis(800))
            .start()
            .await;
        let outcome = door
            .stream(&gateway, &Ask::new(QUESTION).model("fault:stall"))
            .await;
        assert!(outcome.assert_failed("upstream_truncated").in_band);
        assert_eq!(outcome.text(), TWO_PIECES);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_slow_stream_is_not_cut_however_long_it_takes() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.timeout = Duration::from_millis(1500))
            .start()
            .await;
        let question = "one two three four five six seven eight nine ten";
        let began = std::time::Instant::now();
        let outcome = door
            .stream(&gateway, &Ask::new(question).model("fault:drip"))
            .await;
        outcome.assert_whole(&answer_text(question));
        assert!(began.elapsed() > Duration::from_millis(1500), "it was not slow");
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_event_of_absurd_size_ends_the_stream() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let outcome = door
            .stream(&gateway, &Ask::new(QUESTION).model("fault:oversized"))
            .await;
        assert!(outcome.assert_failed("upstream_truncated").in_band);
        assert_eq!(outcome.text(), TWO_PIECES, "{door:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_whole_answer_is_tried_for_again_and_cut_text_never_shows() {
    let cuts = [
        Fault::CutMidStream { after: 3 },
        Fault::PoliteCut { after: 3 },
        Fault::Malformed { after: 3 },
        Fault::ErrorEvent {
            after: 3,
            status: None,
        },
    ];
    each_door(cuts, async |cut, door| {
        let gateway = Gateway::start().await;
        let draft = Fault::Say("a draft that nobody must ever see".to_owned());
        let fault = Fault::Several(vec![draft, cut.clone()]);
        gateway.sim.script(Rule::once(fault).times(2).on(Step::Answer));
        let outcome = door.chat(&gateway, &Ask::new(QUESTION)).await;
        outcome.assert_whole(&answer_text(QUESTION));
        assert_eq!(attempts(&gateway), 3, "{cut:?} {door:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_whole_answer_that_is_cut_every_time_is_told_as_such() {
    each_door(CUTS, async |cut, door| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_retries = 2)
            .start()
            .await;
        let outcome = door.chat(&gateway, &Ask::new(QUESTION).model(cut)).await;
        let failure = outcome.assert_failed("upstream_truncated");
        assert!(!failure.in_band, "{cut} {door:?}");
        assert_eq!(outcome.text(), "", "{cut} {door:?}");
        assert_eq!(attempts(&gateway), 3, "{cut} {door:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_polite_end_without_a_mark_is_whole_only_where_that_is_configured() {
    let forms = [
        "fault:polite-cut",
        "fault:polite-cut+dialect:tab",
        "fault:no-done+fault:no-finish",
    ];
    each_door(forms, async |form, door| {
        let trusting = Setup::new()
            .settings(|settings| settings.unmarked_end = UnmarkedEnd::Stop)
            .start()
            .await;
        let strict = Setup::new()
            .settings(|settings| settings.max_retries = 0)
            .start()
            .await;
        let said = if form.contains("polite") {
            TWO_PIECES.to_owned()
        } else {
            answer_text(QUESTION)
        };
        for way in door.ways() {
            let ask = Ask::new(QUESTION).model(form);
            way.ask(&trusting, &ask).await.assert_whole(&said);
            let outcome = way.ask(&strict, &ask).await;
            let failure = outcome.assert_failed("upstream_truncated");
            assert!(
                failure.message.contains("UNMARKED_END=stop"),
                "{way:?}: {}",
                failure.message
            );
        }
        trusting.settled().await;
        strict.settled().await;
        trusting.stop().await.and(strict.stop().await)
    })
    .await;
}

#[tokio::test]
async fn one_mark_of_the_end_is_enough() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        for form in [
            "fault:no-done",
            "fault:no-finish",
            "fault:no-done+dialect:tab",
            "fault:no-finish+dialect:tab",
        ] {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new(QUESTION).model(form)).await;
                assert_eq!(outcome.failure, None, "{form} {way:?}");
                outcome.assert_whole(&answer_text(QUESTION));
            }
        }
        assert_eq!(attempts(&gateway), 8);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
