//! A dialogue of many turns: each turn goes to the same session upstream with nothing but its own text, as long as that
//! lasts. When the session is lost, the history goes with the next turn into a new one.

use std::{fmt, sync::Arc};

use futures::{FutureExt, future::BoxFuture};

use super::{
    Engine, Permit,
    attempts::{Run, Tries, Want, check_prospects},
    caller::Caller,
    chat::{CallContext, Said},
    chats::{Prepared, in_time},
    error::ChatError,
    event::Event,
    pool::Lease,
    prompt::fits,
    provider::{Fault, Session, UpstreamError},
    request::{ChatRequest, Message, Part, Role},
    route::Route,
    stream::{ChatStream, Opened},
};
use crate::telemetry::{CallRecord, ToldTurn};

/// Why the history was sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayReason {
    /// The token that the session belongs to cannot be used, for now or for good.
    TokenLost,
    /// The service lost the session, or failed at the message in it.
    SessionLost,
    /// The turn before did not come to its own end upstream: it failed, was cancelled, or a limit ended it.
    TurnCut,
}

/// One event of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEvent {
    /// The turn goes into a new session, and the history with it. Before any event of the answer.
    Replayed {
        /// Why.
        reason: ReplayReason,
        /// How many messages were sent again.
        messages: usize,
    },
    /// An event of the answer. Nothing comes after [`Event::Finish`].
    Answer(Event),
}

/// Where the next turn can go.
#[derive(Debug)]
enum Place {
    /// Nothing was said upstream yet.
    Nowhere,
    /// The last turn's answer is whole: its session takes another message.
    Here(Session),
    /// There is no session to go on in.
    Lost(ReplayReason),
}

/// A dialogue between two turns. Holds no token and no permit. Dropping it ends the session upstream.
#[derive(Debug)]
pub struct Dialogue {
    engine: Engine,
    /// Everything of the first request but its messages.
    settings: Arc<ChatRequest>,
    route: Route,
    /// Shared with the turn under way.
    history: Arc<Vec<Message>>,
    /// The size of the history in a request, in bytes.
    size: usize,
    place: Place,
    /// The room to be open at all.
    _room: Permit,
}

impl Engine {
    /// Takes room for one open [`Dialogue`]. There is as much as for chats under way, and counted apart, since one that
    /// waits for its next turn costs the upstream nothing, and here no more than its history.
    ///
    /// # Errors
    /// As [`Engine::admit`].
    pub fn admit_dialogue(&self, caller: Option<&Caller>) -> Result<Permit, ChatError> {
        self.room_in(&self.shared.dialogues, caller)
    }

    /// Begins a dialogue, whose history are the messages of the request. Makes no call yet.
    ///
    /// # Errors
    /// `model_not_found`, or `context_length_exceeded`.
    pub fn converse(&self, beginning: ChatRequest, room: Permit) -> Result<Dialogue, ChatError> {
        let mut settings = beginning;
        let messages = std::mem::take(&mut settings.messages);
        let route = self.route(&settings.model)?;
        let provider = &route.upstream.provider;
        let sizes = messages
            .iter()
            .map(|message| provider.message_size(message, false));
        let size = sizes.sum();
        fits(size, provider.max_request_size())?;
        Ok(Dialogue {
            engine: self.clone(),
            settings: Arc::new(settings),
            route,
            size,
            history: Arc::new(messages),
            place: Place::Nowhere,
            _room: room,
        })
    }

    /// The `number`th turn of a request begins now, whatever will come of it: keep it until it is over.
    #[must_use]
    pub fn begin_turn(&self, request: &CallRecord, number: u32) -> ToldTurn {
        ToldTurn::begin(request, number, Arc::clone(&self.shared.metrics))
    }
}

impl Dialogue {
    /// The model, as the client named it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.settings.model
    }

    /// The parts again, if the history could still be sent with them. Those that could not have no way on when the
    /// session is lost.
    ///
    /// # Errors
    /// `context_length_exceeded`.
    pub fn fits(&self, parts: Vec<Part>) -> Result<Vec<Part>, ChatError> {
        let question = question(parts);
        let provider = &self.route.upstream.provider;
        // A history of empty messages is no part of the request.
        let size = self.size + provider.message_size(&question, self.size == 0);
        fits(size, provider.max_request_size())?;
        Ok(question.parts)
    }

    /// Says something, and gives the answer as it comes. Nothing happens until it is asked for.
    #[must_use]
    pub fn turn(self, parts: Vec<Part>, context: CallContext, permit: Permit) -> Turn {
        let mut dialogue = self;
        let question = question(parts);
        let opening = Opening {
            engine: dialogue.engine.clone(),
            settings: Arc::clone(&dialogue.settings),
            route: dialogue.route.clone(),
            history: Arc::clone(&dialogue.history),
            question: question.clone(),
            context,
        };
        // Whoever drops the opening cannot know how far it came.
        let place = std::mem::replace(&mut dialogue.place, Place::Lost(ReplayReason::TurnCut));
        Turn {
            dialogue,
            question,
            state: State::Opening(opening.run(place, permit).boxed()),
        }
    }

    /// Both sides of a turn become history.
    fn remember(&mut self, question: Message, said: Said) {
        let parts = said.into_parts();
        let answer = (!parts.is_empty()).then_some(Message {
            role: Role::Assistant,
            name: None,
            call_id: None,
            parts,
        });
        let history = Arc::make_mut(&mut self.history);
        for message in [question].into_iter().chain(answer) {
            self.size += self.route.upstream.provider.message_size(&message, false);
            history.push(message);
        }
    }
}

/// The message of a turn.
fn question(parts: Vec<Part>) -> Message {
    Message {
        role: Role::User,
        name: None,
        call_id: None,
        parts,
    }
}

/// A turn whose answer has not started.
struct Opening {
    engine: Engine,
    settings: Arc<ChatRequest>,
    route: Route,
    history: Arc<Vec<Message>>,
    question: Message,
    context: CallContext,
}

/// The outcome of trying the session that was there.
enum GoneOn {
    /// The answer has started.
    Opened(Box<Opened>),
    /// There was none: it is the first turn.
    Nowhere,
    /// It cannot be used, or not any more.
    Lost(ReplayReason),
}

/// Where a turn's answer has started, and whether the history had to go with it.
type Begun = Result<(ChatStream, Option<ReplayReason>), ChatError>;

impl Opening {
    /// The start of the answer; and where the next turn can go when there is none.
    async fn run(self, mut place: Place, permit: Permit) -> (Place, Begun) {
        let context = self.context.clone();
        let ticket = self.engine.shared.in_flight.enter(&context.record);
        let opened = in_time(self.open(&mut place), &context, &ticket).await;
        let begun = opened.map(|(opened, replayed)| {
            let chat = ChatStream::new(opened, permit, context, ticket);
            (chat.keeping(), replayed)
        });
        (place, begun)
    }

    async fn open(&self, place: &mut Place) -> Result<(Opened, Option<ReplayReason>), ChatError> {
        let mut tries = Tries::default();
        let replayed = match self.go_on(place, &mut tries).await? {
            GoneOn::Opened(opened) => return Ok((*opened, None)),
            GoneOn::Nowhere => None,
            GoneOn::Lost(reason) => Some(reason),
        };
        let all = self.history.iter().chain([&self.question]).cloned();
        let prepared = self.prepare(all.collect()).await?;
        let opened = self.run_of(&prepared).attempts(tries).await?;
        // Only now: until another has taken its place, a session that nothing was tried in is still good.
        *place = Place::Lost(ReplayReason::TurnCut);
        Ok((opened, replayed))
    }

    /// Tries the session that is there, with the turn's own text alone.
    async fn go_on(&self, place: &mut Place, tries: &mut Tries) -> Result<GoneOn, ChatError> {
        let session = match std::mem::replace(place, Place::Lost(ReplayReason::TurnCut)) {
            Place::Nowhere => {
                *place = Place::Nowhere;
                return Ok(GoneOn::Nowhere);
            }
            Place::Lost(reason) => return Ok(GoneOn::Lost(reason)),
            Place::Here(session) => session,
        };
        // A session that nothing is tried in stays good.
        let lease = match self.lease_for(&session) {
            Ok(Some(lease)) => lease,
            Ok(None) => {
                *place = Place::Here(session);
                return Ok(GoneOn::Lost(ReplayReason::TokenLost));
            }
            Err(error) => {
                *place = Place::Here(session);
                return Err(error);
            }
        };
        let prepared = self.prepare(vec![self.question.clone()]).await?;
        let tried = self.run_of(&prepared).step(lease, Some(session), tries).await?;
        Ok(match tried {
            Ok(opened) => GoneOn::Opened(Box::new(opened)),
            Err(error) => GoneOn::Lost(lost_by(&error)),
        })
    }

    /// The session's own token, where it can be used.
    fn lease_for(&self, session: &Session) -> Result<Option<Lease>, ChatError> {
        let upstream = &self.route.upstream;
        check_prospects(upstream, &Tries::default(), self.context.deadline)?;
        Ok(upstream.pool.lease_of(session.credential()))
    }

    async fn prepare(&self, messages: Vec<Message>) -> Result<Prepared, ChatError> {
        let request = ChatRequest {
            messages,
            ..ChatRequest::clone(&self.settings)
        };
        Prepared::of(request, &self.route).await
    }

    fn run_of<'a>(&'a self, prepared: &'a Prepared) -> Run<'a> {
        self.engine.run(prepared, &self.context, Want::Start)
    }
}

/// Why a failed attempt lost its session.
fn lost_by(error: &UpstreamError) -> ReplayReason {
    match error.fault {
        Fault::Credentials | Fault::RateLimited { .. } => ReplayReason::TokenLost,
        Fault::Gone
        | Fault::Refused { .. }
        | Fault::Status { .. }
        | Fault::Connection
        | Fault::Timeout
        | Fault::Malformed
        | Fault::Empty
        | Fault::Truncated
        | Fault::Unmarked
        | Fault::Local { .. } => ReplayReason::SessionLost,
    }
}

/// One turn under way. Pulled by its client: nothing runs while nobody asks. Dropping it cancels it, and ends the
/// dialogue with it.
pub struct Turn {
    dialogue: Dialogue,
    question: Message,
    state: State,
}

enum State {
    Opening(BoxFuture<'static, (Place, Begun)>),
    Answering(Box<ChatStream>),
    Over,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn(after {} messages)", self.dialogue.history.len())
    }
}

impl Turn {
    /// The next event; `None` after [`Event::Finish`] or an error. Dropping the future loses no event.
    ///
    /// # Errors
    /// Once, as the last item: no answer could be started, or it was cut. What came before is not a whole answer then.
    pub async fn next(&mut self) -> Option<Result<TurnEvent, ChatError>> {
        loop {
            let event = match &mut self.state {
                State::Over => return None,
                State::Opening(opening) => {
                    let (place, begun) = opening.await;
                    self.dialogue.place = place;
                    match begun {
                        Err(error) => {
                            self.state = State::Over;
                            return Some(Err(error));
                        }
                        Ok((chat, replayed)) => {
                            self.state = State::Answering(Box::new(chat));
                            let messages = self.dialogue.history.len();
                            match replayed {
                                Some(reason) => return Some(Ok(TurnEvent::Replayed { reason, messages })),
                                None => continue,
                            }
                        }
                    }
                }
                State::Answering(chat) => chat.next().await,
            };
            match &event {
                Some(Ok(Event::Finish(_))) => self.whole(),
                Some(Ok(_)) => {}
                // A turn that failed leaves no trace: its client may send it again.
                Some(Err(_)) | None => self.state = State::Over,
            }
            return event.map(|event| event.map(TurnEvent::Answer));
        }
    }

    fn whole(&mut self) {
        let State::Answering(chat) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let (said, kept) = chat.into_parts();
        self.dialogue.remember(self.question.clone(), said);
        if let Some(session) = kept {
            self.dialogue.place = Place::Here(session);
        }
    }

    /// The dialogue, for the next turn. A turn that is not over is cancelled: it stays in the history with what had
    /// come of its answer.
    #[must_use]
    pub fn end(mut self) -> Dialogue {
        let said = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return self.dialogue,
            State::Opening(_) => Said::default(),
            State::Answering(chat) => chat.into_parts().0,
        };
        self.dialogue.remember(self.question, said);
        self.dialogue
    }
}
