//! A conversation of many turns: each goes to the same conversation upstream with nothing but its own text, as long as that
//! lasts. Where it does not, the history goes with the next turn into a new one.

use std::{fmt, sync::Arc};

use futures::{FutureExt, future::BoxFuture};

use super::{
    Engine, Permit,
    attempts::{Chat, Tries, Want},
    chat::{CallContext, ChatEvent, ChatRequest, Message, Role},
    chats::in_time,
    conversation::Conversation,
    error::ChatError,
    limits::Limits,
    pool::Lease,
    stream::{ChatStream, Opened},
    text::{Prompt, fits, paragraph_len},
    upstream::{Fault, UpstreamError},
};
use crate::telemetry::{CallRecord, ToldTurn};

/// Why the history was sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayReason {
    /// The token whose account held the conversation cannot be used, for now or for ever.
    TokenLost,
    /// The service lost the conversation, or failed at the message in it.
    ConversationLost,
    /// The turn before did not come to its own end upstream: it failed, was cancelled, or a limit ended it.
    TurnCut,
}

/// One event of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEvent {
    /// The turn goes into a new conversation, and the history with it. Before anything of the answer.
    Replayed {
        /// Why.
        reason: ReplayReason,
        /// How many messages were sent again.
        messages: usize,
    },
    /// More of the answer, or its end. Nothing comes after [`ChatEvent::Finished`].
    Chat(ChatEvent),
}

/// Where the next turn can go.
#[derive(Debug)]
enum Place {
    /// Nothing was said upstream yet.
    Nowhere,
    /// The last turn's answer is whole: its conversation takes another message.
    Here(Conversation),
    /// There is none to go on in.
    Lost(ReplayReason),
}

/// A conversation between two turns. Holds no token and no permit. Dropping it removes the conversation upstream.
#[derive(Debug)]
pub struct Dialogue {
    engine: Engine,
    /// As the client named it.
    model: String,
    /// As the upstream names it.
    mode: String,
    limits: Limits,
    /// Shared with the turn under way.
    history: Arc<Vec<Message>>,
    /// What the history takes of a transcript, in bytes.
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
    pub fn admit_dialogue(&self) -> Result<Permit, ChatError> {
        self.room_in(&self.shared.dialogues)
    }

    /// Begins a conversation, with what was said before. Makes no call yet.
    ///
    /// # Errors
    /// `model_not_found`, or `context_length_exceeded`.
    pub fn converse(&self, beginning: ChatRequest, room: Permit) -> Result<Dialogue, ChatError> {
        let ChatRequest {
            model,
            messages,
            stop,
            max_tokens,
            temperature: _,
            top_p: _,
            n: _,
        } = beginning;
        let mode = self.models().resolve(&model)?.to_owned();
        let dialogue = Dialogue {
            engine: self.clone(),
            model,
            mode,
            limits: Limits { stop, max_tokens },
            size: messages.iter().map(paragraph_len).sum(),
            history: Arc::new(messages),
            place: Place::Nowhere,
            _room: room,
        };
        let most = self.shared.policy().max_prompt_bytes;
        fits(dialogue.size, most)?;
        Ok(dialogue)
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
        &self.model
    }

    /// The text again, if the history could still be sent with it. One that could not has no way on when its
    /// conversation is lost.
    ///
    /// # Errors
    /// `context_length_exceeded`.
    pub fn fits(&self, text: String) -> Result<String, ChatError> {
        // A lone first turn goes as it is.
        let question = question(text);
        let size = if self.history.is_empty() {
            question.text.len()
        } else {
            self.size + paragraph_len(&question)
        };
        fits(size, self.engine.shared.policy().max_prompt_bytes)?;
        Ok(question.text)
    }

    /// Says something, and gives the answer as it comes. Nothing happens until it is asked for.
    #[must_use]
    pub fn turn(self, text: String, context: CallContext, permit: Permit) -> Turn {
        let mut dialogue = self;
        let question = question(text);
        let opening = Opening {
            engine: dialogue.engine.clone(),
            mode: dialogue.mode.clone(),
            limits: dialogue.limits.clone(),
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
    fn remember(&mut self, question: Message, answer: String) {
        let answer = (!answer.is_empty()).then_some(Message {
            role: Role::Assistant,
            name: None,
            text: answer,
        });
        let history = Arc::make_mut(&mut self.history);
        for message in [question].into_iter().chain(answer) {
            self.size += paragraph_len(&message);
            history.push(message);
        }
    }
}

/// What a turn says, as a message.
fn question(text: String) -> Message {
    Message {
        role: Role::User,
        name: None,
        text,
    }
}

/// A turn whose answer has not started.
struct Opening {
    engine: Engine,
    mode: String,
    limits: Limits,
    history: Arc<Vec<Message>>,
    question: Message,
    context: CallContext,
}

/// What became of trying the conversation that was there.
enum GoneOn {
    /// The answer has started.
    Opened(Box<(Opened, Prompt)>),
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
        let begun = opened.map(|(opened, prompt, replayed)| {
            let chat = ChatStream::new(opened, permit, Arc::new(prompt), context, ticket);
            (chat.keeping(), replayed)
        });
        (place, begun)
    }

    async fn open(&self, place: &mut Place) -> Result<(Opened, Prompt, Option<ReplayReason>), ChatError> {
        let mut tries = Tries::default();
        let replayed = match self.go_on(place, &mut tries).await? {
            GoneOn::Opened(opened) => {
                let (opened, prompt) = *opened;
                return Ok((opened, prompt, None));
            }
            GoneOn::Nowhere => None,
            GoneOn::Lost(reason) => Some(reason),
        };
        let all = self.history.iter().chain([&self.question]).cloned();
        let prompt = self.prompt(all.collect()).await?;
        let opened = self.engine.shared.attempts(&self.chat(&prompt), tries).await?;
        // Only now: until another has taken its place, a conversation that nothing was tried on is still good.
        *place = Place::Lost(ReplayReason::TurnCut);
        Ok((opened, prompt, replayed))
    }

    /// Tries the conversation that is there, with the turn's own text alone.
    async fn go_on(&self, place: &mut Place, tries: &mut Tries) -> Result<GoneOn, ChatError> {
        let shared = &self.engine.shared;
        let (conversation, lease) = match std::mem::replace(place, Place::Lost(ReplayReason::TurnCut)) {
            Place::Nowhere => {
                *place = Place::Nowhere;
                return Ok(GoneOn::Nowhere);
            }
            Place::Lost(reason) => return Ok(GoneOn::Lost(reason)),
            Place::Here(conversation) => match self.lease_for(&conversation) {
                Ok(Some(lease)) => (conversation, lease),
                // Nothing is tried on it, so it stays good.
                Ok(None) => {
                    *place = Place::Here(conversation);
                    return Ok(GoneOn::Lost(ReplayReason::TokenLost));
                }
                Err(error) => {
                    *place = Place::Here(conversation);
                    return Err(error);
                }
            },
        };
        let prompt = self.prompt(vec![self.question.clone()]).await?;
        let chat = self.chat(&prompt);
        let tried = shared.step(&chat, lease, Some(conversation), tries).await?;
        Ok(match tried {
            Ok(opened) => GoneOn::Opened(Box::new((opened, prompt))),
            Err(error) => GoneOn::Lost(lost_by(&error)),
        })
    }

    /// The conversation's own token, where it can be used.
    fn lease_for(&self, conversation: &Conversation) -> Result<Option<Lease>, ChatError> {
        let shared = &self.engine.shared;
        shared.check_prospects(&Tries::default(), self.context.deadline)?;
        Ok(shared.pool.lease_of(conversation.token()))
    }

    async fn prompt(&self, messages: Vec<Message>) -> Result<Prompt, ChatError> {
        Prompt::of(messages, self.engine.shared.policy().max_prompt_bytes).await
    }

    fn chat<'a>(&'a self, prompt: &'a Prompt) -> Chat<'a> {
        Chat {
            prompt: prompt.text(),
            model: &self.mode,
            limits: &self.limits,
            context: &self.context,
            want: Want::Start,
        }
    }
}

/// What a failure in a conversation says of why it was lost.
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
        | Fault::Local { .. } => ReplayReason::ConversationLost,
    }
}

/// One turn under way. Pulled by its client: nothing runs while nobody asks. Dropping it cancels it, and ends the
/// conversation with it.
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
    /// The next event; `None` after [`ChatEvent::Finished`] or an error. Dropping the future loses no event.
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
                Some(Ok(ChatEvent::Content(_) | ChatEvent::Reasoning(_))) => {}
                Some(Ok(ChatEvent::Finished { .. })) => self.whole(),
                // A turn that failed leaves no trace: its client may send it again.
                Some(Err(_)) | None => self.state = State::Over,
            }
            return event.map(|event| event.map(TurnEvent::Chat));
        }
    }

    fn whole(&mut self) {
        let State::Answering(chat) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let (answer, kept) = chat.into_parts();
        self.dialogue.remember(self.question.clone(), answer);
        if let Some(conversation) = kept {
            self.dialogue.place = Place::Here(conversation);
        }
    }

    /// The conversation, for the next turn. A turn that is not over is cancelled: it stays in the history with what had
    /// come of its answer.
    #[must_use]
    pub fn end(mut self) -> Dialogue {
        let said = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return self.dialogue,
            State::Opening(_) => String::new(),
            State::Answering(chat) => chat.into_parts().0,
        };
        self.dialogue.remember(self.question, said);
        self.dialogue
    }
}
