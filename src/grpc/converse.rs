//! `Converse`: one stream, one conversation. Hears what the client says while a turn is answered, keeps the turns in their
//! order, and tells each from its start to its end.

mod outbox;
mod turns;

use std::{future::pending, mem, sync::Arc};

use futures::{StreamExt, stream, stream::BoxStream};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Status, Streaming};

use self::{
    outbox::Outbox,
    turns::{Awaiting, Heard},
};
use super::{
    convert, error,
    events::Silence,
    layer::{Entered, of_the_librarys},
    proto::{
        ConverseCancel, ConverseRequest, ConverseResponse, ConverseStart, ConverseStarted,
        converse_request::Request, converse_response::Event, turn_finished::Outcome as Ended,
    },
    request,
    service::Chat,
};
use crate::{
    engine::{
        Dialogue, Permit, Turn, TurnEvent,
        chat::{CallContext, Head},
        deadline_exceeded,
        error::{ChatError, ErrorKind},
        shutting_down,
    },
    telemetry::{CallRecord, Outcome, ToldTurn},
};

/// What a conversation came through the door with.
pub(super) struct Terms {
    pub(super) record: CallRecord,
    /// The room to be open at all.
    pub(super) room: Permit,
    pub(super) entered: Entered,
}

/// One conversation. Pulled by its client.
pub(super) struct Talk {
    chat: Chat,
    requests: Streaming<ConverseRequest>,
    record: CallRecord,
    entered: Entered,
    stage: Stage,
    /// Turns that were sent and not yet begun.
    awaiting: Awaiting,
    /// Whether the client may still say something.
    hearing: bool,
    /// Since when nothing has happened.
    quiet_since: Instant,
    /// Since when nothing has been told.
    silence: Silence,
    outbox: Outbox,
    /// It is over, with this status where that is not a good one; what is in the outbox goes first.
    over: Option<Result<(), Status>>,
}

/// Where the conversation stands.
enum Stage {
    /// Nothing was said yet.
    Unstarted(Permit),
    /// Between two turns.
    Idle(Box<Dialogue>),
    /// A turn is being answered.
    Answering(Box<Answering>),
    /// On the way from one to another, and when it is over.
    Between,
}

/// The turn that is being answered.
struct Answering {
    number: u32,
    turn: Turn,
    told: ToldTurn,
}

/// What happens next.
enum Happening {
    Heard(Box<Result<Option<ConverseRequest>, Status>>),
    Answered(Option<Result<TurnEvent, ChatError>>),
    Ends(ChatError),
}

impl Talk {
    pub(super) fn new(chat: Chat, requests: Streaming<ConverseRequest>, terms: Terms) -> Self {
        let Terms {
            record,
            room,
            entered,
        } = terms;
        Self {
            silence: Silence::new(Arc::clone(&chat.limits)),
            chat,
            requests,
            record,
            entered,
            stage: Stage::Unstarted(room),
            awaiting: Awaiting::default(),
            hearing: true,
            quiet_since: Instant::now(),
            outbox: Outbox::default(),
            over: None,
        }
    }

    /// The events, and the status that ends them.
    pub(super) fn events(self) -> BoxStream<'static, Result<ConverseResponse, Status>> {
        let events = stream::unfold(self, |mut talk| async move {
            talk.next().await.map(|event| (event, talk))
        });
        events.boxed()
    }

    async fn next(&mut self) -> Option<Result<ConverseResponse, Status>> {
        loop {
            if let Some(event) = self.outbox.pop() {
                self.silence.broken();
                return Some(Ok(event));
            }
            if let Some(end) = &mut self.over {
                return mem::replace(end, Ok(())).err().map(Err);
            }
            match timeout_at(self.silence.end(), self.advance()).await {
                Ok(Ok(())) => {}
                Ok(Err(status)) => self.end(Err(status)),
                Err(_) => {
                    self.silence.broken();
                    return Some(Ok(outbox::keep_alive()));
                }
            }
        }
    }

    /// Goes one step on. Dropping the future loses nothing that was heard or answered.
    async fn advance(&mut self) -> Result<(), Status> {
        let is_answering = matches!(self.stage, Stage::Answering(_));
        let is_late = !is_answering && self.entered.until.is_some_and(|until| until <= Instant::now());
        let begun = if is_late {
            Err(deadline_exceeded())
        } else {
            self.begin_next()
        };
        let step = match begun {
            Ok(true) => return Ok(()),
            Ok(false) if !self.hearing && !is_answering => self.close(),
            Ok(false) => match self.happening().await {
                Happening::Ends(failure) => Err(failure),
                Happening::Heard(heard) => match *heard {
                    Err(status) => return Err(of_the_librarys(&status, &self.record)),
                    Ok(Some(request)) => self.hear(request),
                    Ok(None) => {
                        self.hearing = false;
                        Ok(())
                    }
                },
                Happening::Answered(event) => self.tell(event),
            },
            Err(failure) => Err(failure),
        };
        step.map_err(|failure| error::status(&failure, &self.record))
    }

    async fn happening(&mut self) -> Happening {
        let hears = self.hearing && self.awaiting.has_room();
        let limits = **self.chat.limits.load();
        let (turn, patience) = match &mut self.stage {
            Stage::Answering(answering) => (Some(&mut answering.turn), None),
            // The first message is part of the call, and as late as any may be.
            Stage::Unstarted(_) => (
                None,
                Some(limits.body_read_timeout.min(limits.converse_idle_timeout)),
            ),
            Stage::Idle(_) | Stage::Between => (None, Some(limits.converse_idle_timeout)),
        };
        let is_idle = patience.is_some();
        let quiet_until = patience.and_then(|patience| self.quiet_since.checked_add(patience));
        let answered = async {
            match turn {
                Some(turn) => turn.next().await,
                None => pending().await,
            }
        };
        // What a client says is heard as it comes, and no flood of it holds the answer up, nor the other way round.
        tokio::select! {
            // A turn has its own way to end at a stop or a deadline, and ends before the stream does.
            () = self.chat.soft_stop.cancelled(), if is_idle => Happening::Ends(shutting_down()),
            () = at(self.entered.until), if is_idle => Happening::Ends(deadline_exceeded()),
            () = at(quiet_until) => Happening::Ends(too_quiet()),
            request = self.requests.message(), if hears => Happening::Heard(Box::new(request)),
            event = answered => Happening::Answered(event),
        }
    }

    /// The client has said all, and everything is answered.
    fn close(&mut self) -> Result<(), ChatError> {
        if let Stage::Unstarted(_) = self.stage {
            return Err(ChatError::invalid(
                "start",
                "Missing 'start': a conversation begins with it.",
            ));
        }
        self.record.conclude(Outcome::OK);
        self.end(Ok(()));
        Ok(())
    }

    /// The conversation is removed now, not when its client has taken all that is left to take.
    fn end(&mut self, end: Result<(), Status>) {
        self.over = Some(end);
        self.stage = Stage::Between;
    }

    fn hear(&mut self, request: ConverseRequest) -> Result<(), ChatError> {
        let ConverseRequest { request } = request;
        match request {
            Some(Request::Start(start)) => self.start(start),
            Some(Request::Turn(_) | Request::Cancel(_)) if matches!(self.stage, Stage::Unstarted(_)) => Err(
                ChatError::invalid("start", "Missing 'start': it must be the first message."),
            ),
            Some(Request::Turn(turn)) => {
                let model = self.record.model().unwrap_or_default();
                let text = turns::read(turn, self.chat.reading(model));
                self.quiet_since = Instant::now();
                self.awaiting.push(text);
                Ok(())
            }
            Some(Request::Cancel(ConverseCancel { turn })) => self.cancel(turn),
            None => {
                let message = "Missing 'request': one that this gateway knows must be set.";
                Err(ChatError::invalid("request", message))
            }
        }
    }

    fn start(&mut self, start: ConverseStart) -> Result<(), ChatError> {
        let room = match mem::replace(&mut self.stage, Stage::Between) {
            Stage::Unstarted(room) => room,
            Stage::Idle(_) | Stage::Answering(_) | Stage::Between => {
                let message = "Invalid 'start': the conversation has begun already.";
                return Err(ChatError::invalid("start", message));
            }
        };
        let ConverseStart { options } = start;
        let missing = || ChatError::invalid("start.options", "Missing 'start.options': it names the model.");
        let options = options.ok_or_else(missing)?;
        let reading = self.chat.reading(&options.model);
        let read = request::read_beginning(options, reading);
        let (beginning, ignored) = read.map_err(|failure| failure.within("start.options"))?;
        self.record.set_model(&beginning.model);
        let begun = self.chat.engine.converse(beginning, room);
        let dialogue = begun.map_err(|failure| failure.within("start.options"))?;
        let Head { id, created, model } = Head::with_prefix("conv-", dialogue.model().to_owned());
        let started = ConverseStarted {
            id,
            created: convert::created_seconds(created),
            model,
            ignored: ignored.into_iter().map(Into::into).collect(),
        };
        self.outbox.push(0, Event::Started(started));
        self.quiet_since = Instant::now();
        self.stage = Stage::Idle(Box::new(dialogue));
        Ok(())
    }

    fn cancel(&mut self, number: u32) -> Result<(), ChatError> {
        if number > self.awaiting.heard() {
            let message = format!("Invalid 'cancel.turn': turn {number} was not sent yet.");
            return Err(ChatError::invalid("cancel.turn", message));
        }
        let runs = matches!(&self.stage, Stage::Answering(it) if number == 0 || number == it.number);
        if !runs {
            self.awaiting.cancel(number);
        } else if let Stage::Answering(answering) = mem::replace(&mut self.stage, Stage::Between) {
            let Answering { number, turn, told } = *answering;
            told.record().conclude(Outcome::CANCELLED);
            self.outbox.cancel(number);
            self.rest(turn.end());
        }
        Ok(())
    }

    /// Begins the next turn, where one waits and none is being answered; false when there is nothing to begin.
    fn begin_next(&mut self) -> Result<bool, ChatError> {
        if !matches!(self.stage, Stage::Idle(_)) {
            return Ok(false);
        }
        let Some(Heard { number, text }) = self.awaiting.pop() else {
            return Ok(false);
        };
        let Stage::Idle(dialogue) = mem::replace(&mut self.stage, Stage::Between) else {
            return Ok(false);
        };
        self.outbox.begin(number);
        let told = self.chat.engine.begin_turn(&self.record, number);
        // One that was given up before its time came was never said.
        let Some(text) = text else {
            told.record().conclude(Outcome::CANCELLED);
            self.outbox.cancel(number);
            self.stage = Stage::Idle(dialogue);
            return Ok(true);
        };
        let admitted = self.entered.check_again().and(text).and_then(|text| {
            let text = dialogue.fits(text);
            let text = text.map_err(|failure| failure.with_field("turn.content"))?;
            Ok((text, self.chat.engine.admit(self.entered.caller.as_ref())?))
        });
        match admitted {
            Ok((text, permit)) => {
                let context = CallContext {
                    deadline: self.deadline(),
                    record: told.record().clone(),
                };
                let turn = dialogue.turn(text, context, permit);
                self.stage = Stage::Answering(Box::new(Answering { number, turn, told }));
            }
            Err(failure) => {
                self.outbox
                    .end(number, Ended::Failure(error::of_turn(&failure, told.record())));
                self.stage = Stage::Idle(dialogue);
                if ends_all(&failure) {
                    return Err(failure);
                }
            }
        }
        Ok(true)
    }

    /// By when a turn that begins now must be over.
    fn deadline(&self) -> Instant {
        let own = Instant::now() + self.chat.limits.load().request_timeout;
        self.entered.until.map_or(own, |until| until.min(own))
    }

    /// Tells what came of the turn that is being answered.
    fn tell(&mut self, event: Option<Result<TurnEvent, ChatError>>) -> Result<(), ChatError> {
        let Stage::Answering(answering) = &self.stage else {
            return Ok(());
        };
        let no_end = || ChatError::new(ErrorKind::Internal, "The turn came to no end.");
        let (ended, failure) = match event.unwrap_or_else(|| Err(no_end())) {
            Ok(event) => (self.outbox.take(answering.number, event), None),
            Err(failure) => {
                let told = error::of_turn(&failure, answering.told.record());
                (Some(Ended::Failure(told)), Some(failure))
            }
        };
        let Some(ended) = ended else {
            return Ok(());
        };
        if let Stage::Answering(answering) = mem::replace(&mut self.stage, Stage::Between) {
            let Answering {
                number,
                turn,
                told: _,
            } = *answering;
            self.outbox.end(number, ended);
            self.rest(turn.end());
        }
        match failure {
            Some(failure) if ends_all(&failure) => Err(failure),
            Some(_) | None => Ok(()),
        }
    }

    /// No turn is being answered any more.
    fn rest(&mut self, dialogue: Dialogue) {
        self.quiet_since = Instant::now();
        self.stage = Stage::Idle(Box::new(dialogue));
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // One that ended has said so already.
        if self.over.is_none() {
            self.record.conclude(Outcome::CANCELLED);
        }
    }
}

/// Resolves then, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Whether no later turn could fare better.
fn ends_all(failure: &ChatError) -> bool {
    matches!(
        failure.kind(),
        ErrorKind::ContextLengthExceeded | ErrorKind::Unauthenticated | ErrorKind::ShuttingDown
    )
}

fn too_quiet() -> ChatError {
    let message = "Nothing was said for too long: the conversation is over.";
    ChatError::new(ErrorKind::RequestTimeout, message)
}
