//! Several answers to one call, to one question or to several: each a chat of its own, with its own permit and token,
//! and all of them one call for the client. The first failure ends them all.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use futures::{
    Stream, StreamExt, TryStreamExt,
    future::try_join_all,
    stream::{self, BoxStream, SelectAll, select_all},
};

use super::{
    Engine, Permit,
    chat::{CallContext, Completion, Usage},
    chats::Prepared,
    error::ChatError,
    event::{ChoiceEvent, Event},
    outcome,
    request::ChatRequest,
    stream::ChatStream,
};
use crate::telemetry::{CallRecord, Outcome};

/// Several whole answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completions {
    /// In the order of their indexes.
    pub choices: Vec<Completion>,
    /// What they cost together.
    pub usage: Usage,
}

impl Engine {
    /// Starts as many chats as the requests want answers: resolves when the first text of any is here. Answers are
    /// numbered request by request. Dropping the future cancels them all.
    ///
    /// # Errors
    /// When there is no room for all, or one failed before any text came.
    pub async fn stream_choices(
        &self,
        requests: Vec<ChatRequest>,
        context: CallContext,
        permit: Permit,
    ) -> Result<ChoiceStream, ChatError> {
        let mut choices = ChoiceStream::new(context.record.clone());
        let planned = self.prepare_all(requests, &context, permit).await?;
        choices.questions = planned.iter().map(|planned| planned.question).collect();
        choices.unfinished = planned.len();
        let mut answers = planned.into_iter();
        choices.answers = match (answers.next(), answers.next()) {
            (Some(only), None) => {
                let started = self.answer(only, part(&context)).await;
                let answer = started.inspect_err(|error| choices.end(outcome(error.kind())))?;
                Answers::One(answer)
            }
            (first, second) => {
                let all = first.into_iter().chain(second).chain(answers);
                Answers::Many(select_all((0..).zip(all).map(|(index, planned)| {
                    let started = stream::once(self.clone().answer_of(planned, part(&context)));
                    let events = started.map_ok(Answer::events).try_flatten();
                    events.map(move |event| (index, event)).boxed()
                })))
            }
        };
        match choices.next().await {
            Some(Ok(first)) => {
                choices.first = Some(first);
                Ok(choices)
            }
            Some(Err(error)) => Err(error),
            None => Ok(choices),
        }
    }

    /// Runs as many chats as the requests want answers to their ends, numbered request by request. Dropping the future
    /// cancels them all.
    ///
    /// # Errors
    /// When there is no room for all, or one failed.
    pub async fn complete_choices(
        &self,
        requests: Vec<ChatRequest>,
        context: CallContext,
        permit: Permit,
    ) -> Result<Completions, ChatError> {
        let planned = self.prepare_all(requests, &context, permit).await?;
        let questions: Vec<usize> = planned.iter().map(|planned| planned.question).collect();
        let each = planned.into_iter().map(|planned| {
            let context = part(&context);
            async move { self.finish(&planned.prepared, context, planned.permit).await }
        });
        let choices = try_join_all(each)
            .await
            .inspect_err(|error| context.record.conclude(outcome(error.kind())))?;
        context.record.conclude(Outcome::OK);
        let mut bill = Bill::default();
        for (question, choice) in questions.into_iter().zip(&choices) {
            bill.add(question, choice.usage);
        }
        Ok(Completions {
            choices,
            usage: bill.sum,
        })
    }

    /// Takes room for every answer but the first, which was admitted: for all of them or for none.
    fn admit_more(&self, requests: &[ChatRequest], first: &Permit) -> Result<Vec<Permit>, ChatError> {
        let all: u64 = requests.iter().map(answers).sum();
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        let limit = self.shared.admission.limit();
        if all > limit {
            // More than there is ever room for, so nobody shall be told to try again.
            let field = if requests.len() == 1 { "n" } else { "messages" };
            let message = format!(
                "{all} choices are asked for at once, and this gateway has room for {limit} \
                 (MAX_CONCURRENT_REQUESTS). Ask for fewer."
            );
            return Err(ChatError::invalid(field, message));
        }
        let more = all.saturating_sub(1);
        self.shared.admission.take(more, first.caller())
    }

    async fn prepare_all(
        &self,
        requests: Vec<ChatRequest>,
        context: &CallContext,
        permit: Permit,
    ) -> Result<Vec<Planned>, ChatError> {
        let more = self.admit_more(&requests, &permit);
        let mut permits = more.inspect_err(|error| context.record.conclude(outcome(error.kind())))?;
        permits.push(permit);
        let mut permits = permits.into_iter();
        let mut planned = Vec::new();
        for (question, request) in requests.into_iter().enumerate() {
            let answers = answers(&request);
            let prepared = Arc::new(self.prepare(request, context).await?);
            planned.extend((0..answers).zip(&mut permits).map(|(_, permit)| Planned {
                question,
                prepared: Arc::clone(&prepared),
                permit,
            }));
        }
        Ok(planned)
    }

    /// Starts one answer.
    async fn answer(&self, planned: Planned, context: CallContext) -> Result<Answer, ChatError> {
        let Planned { prepared, permit, .. } = planned;
        if let Some(Completion { reason, usage, .. }) = prepared.foregone().await {
            let events = VecDeque::from([Event::Usage(usage), Event::Finish(reason)]);
            return Ok(Answer::Foregone(events));
        }
        let chat = self.start(&prepared, context, permit).await?;
        Ok(Answer::Chat(Box::new(chat)))
    }

    /// The same, for an answer beside others.
    async fn answer_of(self, planned: Planned, context: CallContext) -> Result<Answer, ChatError> {
        self.answer(planned, context).await
    }
}

/// One answer under way.
enum Answer {
    Chat(Box<ChatStream>),
    /// It was known without the upstream.
    Foregone(VecDeque<Event>),
}

impl Answer {
    async fn next(&mut self) -> Option<Result<Event, ChatError>> {
        match self {
            Answer::Chat(chat) => chat.next().await,
            Answer::Foregone(events) => events.pop_front().map(Ok),
        }
    }

    fn events(self) -> impl Stream<Item = Result<Event, ChatError>> {
        stream::unfold(self, |mut answer| async move {
            let event = answer.next().await?;
            Some((event, answer))
        })
    }
}

/// The answers of one call.
enum Answers {
    /// The usual case, which pays for no fan-out.
    One(Answer),
    Many(SelectAll<BoxStream<'static, (u32, Result<Event, ChatError>)>>),
    Closed,
}

impl Answers {
    /// The next event of any, and the number of its choice.
    async fn next(&mut self) -> Option<(u32, Result<Event, ChatError>)> {
        match self {
            Answers::One(answer) => Some((0, answer.next().await?)),
            Answers::Many(answers) => answers.next().await,
            Answers::Closed => None,
        }
    }
}

/// One answer that is to be had.
struct Planned {
    /// To which of the requests it is.
    question: usize,
    prepared: Arc<Prepared>,
    permit: Permit,
}

/// How many answers a request wants.
fn answers(request: &ChatRequest) -> u64 {
    request.n.unwrap_or(1)
}

/// The part of a call that one of several answers is.
fn part(context: &CallContext) -> CallContext {
    CallContext {
        deadline: context.deadline,
        record: context.record.part(),
    }
}

/// What several answers cost together: each question once, however many answers it has.
#[derive(Debug, Default)]
struct Bill {
    asked: HashSet<usize>,
    sum: Usage,
}

impl Bill {
    fn add(&mut self, question: usize, usage: Usage) {
        let Usage {
            mut prompt_tokens,
            completion_tokens,
            mut total_tokens,
            reasoning_tokens,
        } = usage;
        if !self.asked.insert(question) {
            prompt_tokens = 0;
            total_tokens = completion_tokens;
        }
        let sum = &mut self.sum;
        sum.prompt_tokens = sum.prompt_tokens.saturating_add(prompt_tokens);
        sum.completion_tokens = sum.completion_tokens.saturating_add(completion_tokens);
        sum.total_tokens = sum.total_tokens.saturating_add(total_tokens);
        sum.reasoning_tokens = sum.reasoning_tokens.saturating_add(reasoning_tokens);
    }
}

/// Several streamed answers, mixed as they come. Pulled by their client: nothing runs while nobody asks. Dropping it
/// before the end closes them all, and counts the call as cancelled.
pub struct ChoiceStream {
    answers: Answers,
    /// What the call's start waited for.
    first: Option<ChoiceEvent>,
    unfinished: usize,
    /// Which of the requests each answer is to.
    questions: Vec<usize>,
    bill: Bill,
    record: CallRecord,
    ended: bool,
}

impl std::fmt::Debug for ChoiceStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChoiceStream({} unfinished)", self.unfinished)
    }
}

impl ChoiceStream {
    fn new(record: CallRecord) -> Self {
        Self {
            answers: Answers::Closed,
            first: None,
            unfinished: 0,
            questions: Vec::new(),
            bill: Bill::default(),
            record,
            ended: false,
        }
    }

    /// The next event of any answer; `None` after [`Event::Usage`] or an error. Dropping the future loses no
    /// event.
    ///
    /// # Errors
    /// Once, as the last item: one of the answers failed. The others are closed.
    pub async fn next(&mut self) -> Option<Result<ChoiceEvent, ChatError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.ended {
            return None;
        }
        loop {
            if self.unfinished == 0 {
                self.end(Outcome::OK);
                let event = Event::Usage(self.bill.sum);
                return Some(Ok(ChoiceEvent { index: 0, event }));
            }
            let (index, event) = self.answers.next().await?;
            match event {
                Ok(Event::Usage(usage)) => self.bill(index, usage),
                Ok(event) => {
                    if matches!(event, Event::Finish(_)) {
                        self.finished();
                    }
                    return Some(Ok(ChoiceEvent { index, event }));
                }
                Err(error) => {
                    self.end(outcome(error.kind()));
                    return Some(Err(error));
                }
            }
        }
    }

    /// One choice's figures become part of the sum.
    fn bill(&mut self, index: u32, usage: Usage) {
        let index = usize::try_from(index).ok();
        let asked = index.and_then(|index| self.questions.get(index));
        self.bill.add(asked.copied().unwrap_or_default(), usage);
    }

    fn finished(&mut self) {
        self.unfinished = self.unfinished.saturating_sub(1);
        if self.unfinished == 0 {
            // A client that leaves now has all that matters.
            self.record.conclude(Outcome::OK);
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.record.conclude(outcome);
        self.answers = Answers::Closed;
    }
}

impl Drop for ChoiceStream {
    fn drop(&mut self) {
        // A call that failed before it began has said so already.
        if !self.ended {
            self.record.conclude(Outcome::CANCELLED);
        }
    }
}
