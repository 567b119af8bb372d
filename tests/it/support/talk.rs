//! A strict client of `Converse`: it checks the order of events, and each turn from its start to its end.

use duogate::app::client::{
    ContentPart, ConverseCancel, ConverseRequest, ConverseResponse, ConverseStart, ConverseTurn,
    CreateChatCompletionRequest, HistoryReplayed, ReplayReason, TurnFailure, content_part::Part,
    converse_request::Request, converse_response::Event, turn_finished::Outcome as Ended,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Ask, Failure, Gateway, KEY, Usage, failure_of,
    grpc::{finish, usage},
    within,
};

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// OpenAI's finish reason.
    Whole(String),
    Failed(TurnFailure),
    Cancelled,
}

/// The outcome of a turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TurnOutcome {
    pub(crate) number: u32,
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) usage: Option<Usage>,
    pub(crate) replayed: Option<HistoryReplayed>,
    pub(crate) end: End,
}

impl TurnOutcome {
    #[track_caller]
    pub(crate) fn assert_whole(&self, text: &str) {
        assert_eq!(self.end, End::Whole("stop".to_owned()), "{self:?}");
        assert_eq!(self.text, text);
        assert!(self.usage.is_some(), "a whole answer tells its usage");
    }

    /// Checks that the answer is complete, with any text.
    #[track_caller]
    pub(crate) fn assert_ended(&self) {
        assert_eq!(self.end, End::Whole("stop".to_owned()), "{self:?}");
    }

    /// Checks that the turn failed with this reason.
    #[track_caller]
    pub(crate) fn assert_failed(&self, reason: &str) -> &TurnFailure {
        let End::Failed(failure) = &self.end else {
            panic!("expected {reason}: {self:?}");
        };
        assert_eq!(failure.reason, reason, "{failure:?}");
        failure
    }

    /// Why the history was sent again, if it was.
    pub(crate) fn replay(&self) -> Option<ReplayReason> {
        self.replayed.as_ref().map(HistoryReplayed::reason)
    }
}

/// A conversation. Dropping it disconnects.
#[derive(Debug)]
pub(crate) struct Talk {
    say: Option<mpsc::Sender<ConverseRequest>>,
    events: Streaming<ConverseResponse>,
    count: u32,
}

impl Talk {
    /// Opens the stream without sending anything. The head must arrive nevertheless.
    pub(crate) async fn open(gateway: &Gateway) -> Result<Self, Status> {
        Self::open_with(gateway, |_| {}).await
    }

    /// The same, with other metadata.
    pub(crate) async fn open_with(
        gateway: &Gateway,
        change: impl FnOnce(&mut tonic::Request<ReceiverStream<ConverseRequest>>),
    ) -> Result<Self, Status> {
        let (say, said) = mpsc::channel(64);
        let mut request = tonic::Request::new(ReceiverStream::new(said));
        let key = format!("Bearer {KEY}").parse().unwrap();
        request.metadata_mut().insert("authorization", key);
        change(&mut request);
        let mut chats = gateway.chats();
        let opened = within("the head of the stream", chats.converse(request)).await?;
        Ok(Self {
            say: Some(say),
            events: opened.into_inner(),
            count: 0,
        })
    }

    /// Opens a conversation with the model of `ask`, and its messages as the history.
    pub(crate) async fn start(gateway: &Gateway, ask: &Ask) -> Self {
        Self::start_with(gateway, ask.proto()).await
    }

    /// Opens a conversation without a history.
    pub(crate) async fn anew(gateway: &Gateway) -> Self {
        let mut ask = Ask::new("");
        ask.messages.clear();
        Self::start(gateway, &ask).await
    }

    pub(crate) async fn start_with(gateway: &Gateway, options: CreateChatCompletionRequest) -> Self {
        let mut talk = Self::open(gateway).await.unwrap();
        let model = options.model.clone();
        talk.send_start(options).await;
        match talk.event().await.unwrap() {
            Some((0, Event::Started(started))) => {
                assert_eq!(started.model, model);
                assert!(started.id.starts_with("conv-"), "{started:?}");
                assert!(started.created > 1_700_000_000);
            }
            other => panic!("expected the start: {other:?}"),
        }
        talk
    }

    pub(crate) async fn send(&self, request: Option<Request>) {
        let say = self.say.as_ref().expect("it is still open");
        say.send(ConverseRequest { request }).await.unwrap();
    }

    pub(crate) async fn send_start(&self, options: CreateChatCompletionRequest) {
        let options = Some(options);
        self.send(Some(Request::Start(ConverseStart { options }))).await;
    }

    /// Sends a turn without waiting for anything.
    pub(crate) async fn say(&self, text: impl Into<String>) {
        let part = Some(Part::Text(text.into()));
        let content = vec![ContentPart {
            part,
            ..ContentPart::default()
        }];
        self.send(Some(Request::Turn(ConverseTurn { content }))).await;
    }

    pub(crate) async fn cancel(&self, turn: u32) {
        self.send(Some(Request::Cancel(ConverseCancel { turn }))).await;
    }

    /// The same on a stream that may have ended; false if it has.
    pub(crate) async fn try_cancel(&self, turn: u32) -> bool {
        let request = Some(Request::Cancel(ConverseCancel { turn }));
        let say = self.say.as_ref().expect("it is still open");
        say.send(ConverseRequest { request }).await.is_ok()
    }

    /// Sends a turn and reads the answer to its end.
    pub(crate) async fn ask(&mut self, text: &str) -> TurnOutcome {
        self.say(text).await;
        self.turn().await
    }

    /// Closes the sending side.
    pub(crate) fn close(&mut self) {
        self.say = None;
    }

    /// The next event with its turn; `None` at a normal end.
    pub(crate) async fn event(&mut self) -> Result<Option<(u32, Event)>, Failure> {
        loop {
            match within("an event or the end", self.events.message()).await {
                Ok(Some(response)) if is_sign_of_life(&response) => {}
                Ok(Some(response)) => {
                    assert_eq!(response.sequence, self.count, "{response:?}");
                    self.count += 1;
                    return Ok(Some((response.turn, response.event.expect("an event"))));
                }
                Ok(None) => return Ok(None),
                Err(status) => return Err(failure_of(&status, true)),
            }
        }
    }

    /// Waits for a keep-alive event, before which nothing else may arrive.
    pub(crate) async fn sign_of_life(&mut self) {
        let response = within("a sign of life", self.events.message()).await.unwrap();
        assert!(is_sign_of_life(&response.expect("the stream goes on")));
    }

    /// Reads until there is text of a turn.
    pub(crate) async fn first_text(&mut self) -> String {
        loop {
            match self.event().await.unwrap() {
                Some((_, Event::Content(content))) => return content.text,
                Some((_, Event::TurnStarted(_) | Event::HistoryReplayed(_))) => {}
                other => panic!("expected text: {other:?}"),
            }
        }
    }

    /// The rest of a turn that was read in part, or a whole one.
    pub(crate) async fn turn(&mut self) -> TurnOutcome {
        let (mut text, mut reasoning) = (String::new(), String::new());
        let (mut figures, mut replayed, mut number) = (None, None, None);
        loop {
            let event = self.event().await.expect("the turn's end comes first");
            let (turn, event) = event.expect("a turn must end");
            assert!(
                turn > 0 && *number.get_or_insert(turn) == turn,
                "{turn}: {event:?}"
            );
            match event {
                Event::TurnStarted(started) => {
                    assert!(started.id.starts_with("chatcmpl-"), "{started:?}");
                    assert!(started.created > 1_700_000_000);
                }
                Event::HistoryReplayed(event) => {
                    assert!(text.is_empty() && reasoning.is_empty(), "the replay came late");
                    assert!(replayed.replace(event).is_none(), "two replays");
                }
                Event::Content(delta) => text += &delta.text,
                Event::Reasoning(delta) => reasoning += &delta.text,
                Event::Usage(event) => figures = Some(usage(event)),
                Event::TurnFinished(finished) => {
                    let end = match finished.outcome.expect("an outcome") {
                        Ended::FinishReason(reason) => End::Whole(finish(reason.try_into().unwrap())),
                        Ended::Failure(failure) => End::Failed(failure),
                        Ended::Cancelled(_) => End::Cancelled,
                    };
                    assert_eq!(matches!(end, End::Whole(_)), figures.is_some(), "{end:?}");
                    return TurnOutcome {
                        number: turn,
                        text,
                        reasoning,
                        usage: figures,
                        replayed,
                        end,
                    };
                }
                other @ (Event::Started(_)
                | Event::Refusal(_)
                | Event::ToolCall(_)
                | Event::Audio(_)
                | Event::Annotation(_)
                | Event::KeepAlive(_)) => panic!("the upstream gives text alone: {other:?}"),
            }
        }
    }

    /// The end of the stream, with nothing before it.
    pub(crate) async fn end(&mut self) -> Result<(), Failure> {
        match self.event().await? {
            None => Ok(()),
            Some(event) => panic!("expected the end: {event:?}"),
        }
    }
}

/// A keep-alive event has no number and belongs to no turn.
fn is_sign_of_life(response: &ConverseResponse) -> bool {
    let is_one = matches!(response.event, Some(Event::KeepAlive(_)));
    assert!(
        !is_one || (response.sequence, response.turn) == (0, 0),
        "{response:?}"
    );
    is_one
}
