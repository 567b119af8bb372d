//! A streamed answer as numbered events, and signs of life where none comes.
//!
//! The head of the answer is held for the first event, so that a failure before it is a status alone, which a client's
//! retry policy may act on; no longer than `KEEPALIVE_INTERVAL`, after which head and signs of life go out, and a failure
//! is told by the status at the end.

use std::{collections::VecDeque, sync::Arc};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{
    Limits, convert, error,
    proto::{
        ContentDelta, Finished, KeepAlive, ReasoningDelta, RefusalDelta, Started,
        StreamChatCompletionResponse, stream_chat_completion_response::Event,
    },
};
use crate::{
    engine::{
        ChoiceStream,
        error::ChatError,
        event::{self, ChoiceEvent},
    },
    telemetry::CallRecord,
};

/// An answer that is being started.
type Opening = BoxFuture<'static, Result<ChoiceStream, ChatError>>;

/// What an answer is told with.
pub(super) struct Telling {
    /// Its head.
    pub(super) started: Started,
    /// How many answers there are to one call.
    pub(super) answers: u64,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) record: CallRecord,
}

enum Stage {
    /// No text has come, and the head of the answer is out already.
    Opening(Opening),
    Flowing(Box<ChoiceStream>),
    Ended,
}

/// Pulled by its client.
pub(super) struct Events {
    stage: Stage,
    silence: Silence,
    record: CallRecord,
    /// What goes out before the answer's first event.
    started: Option<Started>,
    /// What goes out next, each with its answer's index.
    queue: VecDeque<(u32, Event)>,
    sequence: u32,
    /// Answers that are not whole yet.
    unfinished: u64,
    /// The end of the last answer: the figures go before it.
    last: Option<(u32, Event)>,
}

impl Events {
    /// Waits for the first text, but not for too long.
    ///
    /// # Errors
    /// When the call failed before the head of its answer went out.
    pub(super) async fn open(mut opening: Opening, telling: Telling) -> Result<Self, ChatError> {
        let Telling {
            started,
            answers,
            limits,
            record,
        } = telling;
        let silence = Silence::new(limits);
        let opened = timeout_at(silence.end(), &mut opening).await;
        let mut events = Self {
            stage: Stage::Ended,
            silence,
            record,
            started: Some(started),
            queue: VecDeque::new(),
            sequence: 0,
            unfinished: answers,
            last: None,
        };
        match opened {
            Ok(chat) => events.begin(chat?),
            Err(_) => events.stage = Stage::Opening(opening),
        }
        Ok(events)
    }

    fn begin(&mut self, chat: ChoiceStream) {
        self.queue
            .extend(self.started.take().map(|started| (0, Event::Started(started))));
        self.stage = Stage::Flowing(Box::new(chat));
    }

    pub(super) async fn next(&mut self) -> Option<Result<StreamChatCompletionResponse, Status>> {
        let told = match timeout_at(self.silence.end(), self.advance()).await {
            Ok(told) => told,
            Err(_) => Some(Ok(keep_alive())),
        };
        self.silence.broken();
        told
    }

    /// The next event that is counted. Dropping the future loses nothing.
    async fn advance(&mut self) -> Option<Result<StreamChatCompletionResponse, Status>> {
        loop {
            if let Some((choice_index, event)) = self.queue.pop_front() {
                let sequence = self.sequence;
                self.sequence += 1;
                return Some(Ok(StreamChatCompletionResponse {
                    sequence,
                    choice_index,
                    event: Some(event),
                }));
            }
            if let Err(failure) = self.step().await? {
                self.stage = Stage::Ended;
                return Some(Err(error::status(&failure, &self.record)));
            }
        }
    }

    async fn step(&mut self) -> Option<Result<(), ChatError>> {
        let step = match &mut self.stage {
            Stage::Opening(opening) => opening.await.map(|chat| self.begin(chat)),
            Stage::Flowing(chat) => chat.next().await?.map(|event| self.take(event)),
            Stage::Ended => return None,
        };
        Some(step)
    }

    fn take(&mut self, event: ChoiceEvent) {
        let ChoiceEvent { index, event } = event;
        match event {
            event::Event::Content(text) => {
                let logprobs = Vec::new();
                self.queue
                    .push_back((index, Event::Content(ContentDelta { text, logprobs })));
            }
            event::Event::Reasoning(text) => {
                self.queue
                    .push_back((index, Event::Reasoning(ReasoningDelta { text })));
            }
            event::Event::Finish(reason) => {
                let finish_reason = convert::finish_reason(reason).into();
                let finished = (index, Event::Finished(Finished { finish_reason }));
                self.unfinished = self.unfinished.saturating_sub(1);
                if self.unfinished == 0 {
                    self.last = Some(finished);
                } else {
                    self.queue.push_back(finished);
                }
            }
            event::Event::Refusal(text) => {
                let logprobs = Vec::new();
                self.queue
                    .push_back((index, Event::Refusal(RefusalDelta { text, logprobs })));
            }
            event::Event::ToolCall(delta) => {
                let delta = convert::tool_call_delta(delta);
                self.queue.push_back((index, Event::ToolCall(delta)));
            }
            event::Event::Annotation(annotation) => {
                let annotation = convert::annotation(annotation);
                self.queue.push_back((index, Event::Annotation(annotation)));
            }
            event::Event::End => {}
            event::Event::Usage(usage) => {
                self.queue.push_back((0, Event::Usage(convert::usage(usage))));
                self.queue.extend(self.last.take());
            }
        }
    }
}

/// It has no number and belongs to no answer.
fn keep_alive() -> StreamChatCompletionResponse {
    StreamChatCompletionResponse {
        event: Some(Event::KeepAlive(KeepAlive {})),
        ..StreamChatCompletionResponse::default()
    }
}

/// How long nothing has been sent on a stream. It is asked only when the client takes something, so that one that takes
/// nothing is owed one sign of life at most.
pub(super) struct Silence {
    since: Instant,
    limits: Arc<ArcSwap<Limits>>,
}

impl Silence {
    pub(super) fn new(limits: Arc<ArcSwap<Limits>>) -> Self {
        let since = Instant::now();
        Self { since, limits }
    }

    /// Something goes out.
    pub(super) fn broken(&mut self) {
        self.since = Instant::now();
    }

    /// When it has lasted so long that a sign of life is due.
    pub(super) fn end(&self) -> Instant {
        self.since + self.limits.load().keepalive_interval
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;
    use crate::telemetry::Door;

    const INTERVAL: Duration = Duration::from_secs(15);

    /// A call of which nothing ever comes.
    async fn silent() -> Events {
        let limits = Limits {
            request_timeout: Duration::MAX,
            body_read_timeout: Duration::MAX,
            converse_idle_timeout: Duration::MAX,
            keepalive_interval: INTERVAL,
        };
        let telling = Telling {
            started: Started::default(),
            answers: 1,
            limits: Arc::new(ArcSwap::from_pointee(limits)),
            record: CallRecord::new(Door::Grpc, "request".to_owned()),
        };
        Events::open(pending().boxed(), telling).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_comes_with_a_sign_of_life_and_each_silence_ends_with_another() {
        let began = Instant::now();
        let mut events = silent().await;
        for number in 1..=3 {
            let told = events.next().await.unwrap().unwrap();
            assert_eq!(told, keep_alive());
            let passed = began.elapsed();
            assert!(
                passed >= INTERVAL * number && passed < INTERVAL * (number + 1),
                "{passed:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_owed_one_sign_of_life_however_long_it_takes() {
        let mut events = silent().await;
        assert!(events.next().await.is_some());
        advance(INTERVAL * 10).await;
        assert!(events.next().now_or_never().is_some());
        assert!(events.next().now_or_never().is_none());
    }
}
