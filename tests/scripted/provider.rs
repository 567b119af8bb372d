//! A provider in memory: it answers from a script by the model's name, and remembers each request as it came.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use duogate::engine::{
    Models, UpstreamParts,
    calls::{Call, Calls, Purpose},
    chat::{FinishReason, Usage},
    error::ChatError,
    event::{Annotation, Event, ToolCallDelta, ToolKind},
    prompt::Prompt,
    provider::{Answer, Capabilities, Fault, PreparedChat, Provider, Session, Token, UpstreamError},
    request::{ChatRequest, Message, Part},
};
use futures::{FutureExt, Stream, future::BoxFuture};

/// The one step of this provider.
const STEP: &str = "answer";
pub(crate) const USAGE: Usage = Usage {
    prompt_tokens: 11,
    completion_tokens: 7,
    total_tokens: 18,
    reasoning_tokens: 0,
};

/// What the models of the script say.
pub(crate) fn script(model: &str) -> Vec<Event> {
    let text = |text: &str| Event::Content(text.to_owned());
    let call = |index, id: Option<&str>, name: Option<&str>, input: &str| {
        Event::ToolCall(ToolCallDelta {
            index,
            id: id.map(str::to_owned),
            kind: ToolKind::Function,
            name: name.map(str::to_owned),
            input: input.to_owned(),
        })
    };
    let mut events = match model {
        "up/caller" => vec![
            Event::Reasoning("I need the weather.".to_owned()),
            call(0, Some("call_1"), Some("weather"), ""),
            call(0, None, None, r#"{"city":"#),
            call(0, None, None, r#""Oslo"}"#),
            call(1, Some("call_2"), Some("time"), "{}"),
        ],
        "up/refuser" => vec![
            Event::Refusal("I cannot ".to_owned()),
            Event::Refusal("do that.".to_owned()),
        ],
        "up/citer" => vec![
            text("It is so."),
            Event::Annotation(Annotation {
                url: "https://example.com/".to_owned(),
                title: "Example".to_owned(),
                start: 0,
                end: 9,
            }),
        ],
        _ => vec![text("plain "), text("text")],
    };
    events.push(Event::Usage(USAGE));
    events.push(Event::Finish(match model {
        "up/caller" => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    }));
    events.push(Event::End);
    events
}

/// The provider. Clones are one.
#[derive(Clone)]
pub(crate) struct Scripted {
    calls: Calls,
    pub(crate) requests: Arc<Mutex<Vec<(ChatRequest, bool)>>>,
}

impl Scripted {
    /// An upstream over this provider; each of its models has a client's name and its own.
    pub(crate) fn upstream(
        metrics: &Arc<duogate::telemetry::Metrics>,
        names: &[(&str, &str)],
        token: &str,
    ) -> (Self, UpstreamParts) {
        let calls = Calls::new(Arc::clone(metrics), &[STEP], 0, Duration::from_secs(1));
        let provider = Self {
            calls: calls.clone(),
            requests: Arc::default(),
        };
        let aliases: BTreeMap<String, String> = names
            .iter()
            .map(|(name, own)| ((*name).to_owned(), (*own).to_owned()))
            .collect();
        let parts = UpstreamParts {
            provider: Arc::new(provider.clone()),
            calls,
            tokens: vec![Token::new(token.into())],
            models: Models::new(vec![names[0].0.to_owned()], aliases),
        };
        (provider, parts)
    }
}

impl Provider for Scripted {
    fn capabilities(&self, model: &str) -> Capabilities {
        let can = model == "up/caller";
        Capabilities {
            tools: can,
            images: can,
            response_formats: can,
            logprobs: can,
            hints: can,
            ..Capabilities::default()
        }
    }

    fn prepare(
        &self,
        request: ChatRequest,
        model: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn PreparedChat>, ChatError>> {
        let chat = Chat {
            provider: self.clone(),
            request,
            model: model.to_owned(),
        };
        async move { Ok(Arc::new(chat) as Arc<dyn PreparedChat>) }.boxed()
    }

    fn message_size(&self, message: &Message, _is_alone: bool) -> usize {
        message.parts.iter().map(Part::size).sum()
    }

    fn max_request_size(&self) -> usize {
        1 << 20
    }

    fn probe(&self, _: &Token) -> BoxFuture<'static, Result<(), UpstreamError>> {
        async { Ok(()) }.boxed()
    }

    fn is_reachable(&self) -> BoxFuture<'static, Option<bool>> {
        async { Some(true) }.boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

struct Chat {
    provider: Scripted,
    request: ChatRequest,
    model: String,
}

impl PreparedChat for Chat {
    fn prompt(&self) -> Arc<Prompt> {
        Arc::new(Prompt::new("counted by nobody"))
    }

    fn open(
        &self,
        credential: &Token,
        session: Option<Session>,
        _last: Option<&Fault>,
    ) -> BoxFuture<'static, Result<Box<dyn Answer>, UpstreamError>> {
        let is_turn = session.is_some();
        let mut requests = self.provider.requests.lock().unwrap();
        requests.push((self.request.clone(), is_turn));
        drop(requests);
        let (calls, model, credential) = (
            self.provider.calls.clone(),
            self.model.clone(),
            credential.clone(),
        );
        async move {
            let call = Call {
                step: STEP,
                origin: 0,
                purpose: Purpose::Chat,
            };
            let opened = async {
                if model == "up/dead" {
                    return Err(UpstreamError::new(STEP, Fault::Connection, "nobody listens"));
                }
                Ok(Said {
                    events: script(&model).into_iter(),
                    credential,
                    complete: false,
                })
            };
            let answer = calls.observe(call, opened).await?;
            Ok(Box::new(answer) as Box<dyn Answer>)
        }
        .boxed()
    }
}

struct Said {
    events: std::vec::IntoIter<Event>,
    credential: Token,
    complete: bool,
}

impl Stream for Said {
    type Item = Result<Event, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.events.next().map(Ok))
    }
}

impl Answer for Said {
    fn complete(&mut self) {
        self.complete = true;
    }

    fn prompt(&self) -> Arc<Prompt> {
        Arc::new(Prompt::new("counted by nobody"))
    }

    fn into_session(self: Box<Self>) -> Option<Session> {
        self.complete.then(|| Session::new(self.credential.clone(), ()))
    }
}
