use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, stream, stream::BoxStream};

use super::*;
use crate::engine::prompt::Prompt;

/// An answer of these events, without a session.
struct Scripted(BoxStream<'static, Result<Event, UpstreamError>>);

impl Stream for Scripted {
    type Item = Result<Event, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl Answer for Scripted {
    fn prompt(&self) -> Arc<Prompt> {
        Arc::new(Prompt::new(""))
    }
}

/// What comes, and what the body does after it.
async fn read_all(
    events: Vec<Result<Event, UpstreamError>>,
    then: After,
    unmarked_end: UnmarkedEnd,
) -> Result<(Vec<Event>, Ending), UpstreamError> {
    let answer = Box::new(Scripted(match then {
        After::Ends => stream::iter(events).boxed(),
        After::Stalls => stream::iter(events).chain(stream::pending()).boxed(),
    }));
    let mut reader = AnswerReader::new(answer, Duration::from_secs(30), unmarked_end);
    let mut deltas = Vec::new();
    loop {
        match reader.read().await? {
            Read::More(delta) => deltas.push(delta),
            Read::End(ending) => return Ok((deltas, ending)),
        }
    }
}

enum After {
    Ends,
    Stalls,
}

fn text(piece: &str) -> Result<Event, UpstreamError> {
    Ok(Event::Content(piece.into()))
}

fn fault_of<T>(result: Result<T, UpstreamError>) -> Option<Fault> {
    result.err().map(|error| error.fault)
}

const STOP: Result<Event, UpstreamError> = Ok(Event::Finish(FinishReason::Stop));
const DONE: Result<Event, UpstreamError> = Ok(Event::End);

#[tokio::test(start_paused = true)]
async fn a_finish_reason_or_an_end_mark_after_text_makes_an_answer_whole() {
    for (events, then) in [
        (vec![text("a"), STOP, DONE], After::Ends),
        (vec![text("a"), STOP], After::Ends),
        (vec![text("a"), DONE], After::Stalls),
        (vec![text(""), text("a"), text(""), STOP], After::Stalls),
    ] {
        let (deltas, ending) = read_all(events, then, UnmarkedEnd::Error).await.unwrap();
        assert_eq!(deltas, [Event::Content("a".into())]);
        assert_eq!(
            ending,
            Ending {
                reason: FinishReason::Stop,
                usage: None
            }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_finish_reason_figures_are_waited_for_no_longer_than_a_second() {
    let usage = Usage {
        prompt_tokens: 1,
        completion_tokens: 2,
        total_tokens: 3,
        reasoning_tokens: 0,
    };
    let began = Instant::now();
    let events = vec![text("a"), STOP, Ok(Event::Usage(usage))];
    let (_, ending) = read_all(events, After::Stalls, UnmarkedEnd::Error).await.unwrap();
    assert_eq!(ending.usage, Some(usage));
    assert_eq!(began.elapsed(), AFTER_FINISH);
}

#[tokio::test(start_paused = true)]
async fn after_a_finish_reason_nothing_can_cut_the_answer() {
    let broken = UpstreamError::new(READ_ANSWER, Fault::Connection, "reset");
    let events = vec![text("a"), STOP, Err(broken)];
    assert!(read_all(events, After::Stalls, UnmarkedEnd::Error).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_polite_end_without_a_mark_is_a_cut_unless_settings_say_otherwise() {
    let cut = read_all(vec![text("a")], After::Ends, UnmarkedEnd::Error).await;
    assert_eq!(fault_of(cut), Some(Fault::Unmarked));
    let whole = read_all(vec![text("a")], After::Ends, UnmarkedEnd::Stop).await;
    assert_eq!(whole.unwrap().1.reason, FinishReason::Stop);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_text_or_finish_is_empty_and_not_cut() {
    for events in [vec![], vec![DONE], vec![text(""), DONE]] {
        for unmarked_end in [UnmarkedEnd::Error, UnmarkedEnd::Stop] {
            let read = read_all(events.clone(), After::Ends, unmarked_end).await;
            assert_eq!(fault_of(read), Some(Fault::Empty));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_timeout_before_the_first_text_and_a_cut_after_it() {
    let began = Instant::now();
    let before = read_all(vec![text("")], After::Stalls, UnmarkedEnd::Error).await;
    assert_eq!(fault_of(before), Some(Fault::Timeout));
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    let after = read_all(vec![text("a")], After::Stalls, UnmarkedEnd::Error).await;
    assert_eq!(fault_of(after), Some(Fault::Truncated));
}

#[tokio::test(start_paused = true)]
async fn the_pool_learns_of_a_bad_token_even_in_the_middle_of_an_answer() {
    let refused = UpstreamError::new(READ_ANSWER, Fault::Credentials, "401");
    let read = read_all(vec![text("a"), Err(refused)], After::Ends, UnmarkedEnd::Error).await;
    assert_eq!(fault_of(read), Some(Fault::Credentials));
}
