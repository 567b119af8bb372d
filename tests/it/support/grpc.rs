//! A strict client of the gRPC door: it checks the order of events, and the details of every status.

use duogate::app::client::{
    self as proto, CreateChatCompletionResponse, FinishReason, Role, StreamChatCompletionResponse,
    Usage as Figures, content_part::Part, stream_chat_completion_response::Event,
};
use tonic::{Status, Streaming, metadata::MetadataMap};
use tonic_types::StatusExt;

use super::{Ask, Choice, Failure, Gateway, Outcome, Usage, catalogue};

pub(crate) async fn chat(gateway: &Gateway, ask: &Ask) -> Outcome {
    let answered = gateway.chats().create_chat_completion(ask.request()).await;
    match answered {
        Ok(response) => {
            let ignored = ignored(response.metadata());
            Outcome {
                ignored,
                ..whole(response.into_inner(), ask.answers())
            }
        }
        Err(status) => Outcome::failed(failure_of(&status, false)),
    }
}

pub(crate) async fn open(gateway: &Gateway, ask: &Ask) -> Result<GrpcOpened, Failure> {
    let answered = gateway.chats().stream_chat_completion(ask.request()).await;
    match answered {
        Ok(response) => Ok(GrpcOpened {
            count: 0,
            signs: 0,
            ended: false,
            outcome: Outcome {
                ignored: ignored(response.metadata()),
                choices: vec![Choice::default(); ask.answers()],
                ..Outcome::default()
            },
            events: response.into_inner(),
        }),
        Err(status) => Err(failure_of(&status, false)),
    }
}

/// Fields of the request without effect, as named by the response.
fn ignored(metadata: &MetadataMap) -> Vec<String> {
    let names = metadata
        .get("x-duogate-ignored")
        .map_or("", |names| names.to_str().unwrap());
    let names = names.split_terminator(", ");
    names.map(str::to_owned).collect()
}

fn whole(response: CreateChatCompletionResponse, answers: usize) -> Outcome {
    assert_eq!(response.choices.len(), answers, "{response:?}");
    assert!(response.created > 1_700_000_000);
    Outcome {
        id: response.id,
        model: response.model,
        choices: (0..)
            .zip(response.choices)
            .map(|(index, one)| choice(index, one))
            .collect(),
        usage: response.usage.map(usage),
        ..Outcome::default()
    }
}

fn choice(index: u32, choice: proto::Choice) -> Choice {
    assert_eq!(choice.index, index);
    let finish = finish(choice.finish_reason());
    let message = choice.message.expect("a message");
    assert_eq!(message.role(), Role::Assistant);
    let text = message.content.into_iter().map(|part| match part.part {
        Some(Part::Text(text)) => text,
        other => panic!("{other:?} in a message"),
    });
    Choice {
        text: text.collect(),
        reasoning: message.reasoning.unwrap_or_default().text,
        finish: Some(finish),
    }
}

pub(crate) fn finish(reason: FinishReason) -> String {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Unspecified => panic!("an answer must say why it ended"),
    }
    .to_owned()
}

pub(crate) fn usage(figures: Figures) -> Usage {
    Usage {
        prompt: figures.prompt_tokens.into(),
        completion: figures.completion_tokens.into(),
        total: figures.total_tokens.into(),
        reasoning: figures
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens)
            .expect("how many tokens are reasoning")
            .into(),
    }
}

/// The failure in a status, its rendering checked against the catalogue.
pub(crate) fn failure_of(status: &Status, in_band: bool) -> Failure {
    let details = status.get_error_details();
    let info = details.error_info();
    let info = info.unwrap_or_else(|| panic!("a status without ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "duogate");
    let row = catalogue::by_reason(&info.reason);
    assert_eq!(status.code(), row.grpc, "{status:?}");
    assert!(
        details
            .request_info()
            .is_some_and(|info| !info.request_id.is_empty())
    );
    let resource = details.resource_info();
    assert_eq!(
        resource.is_some(),
        row.grpc == tonic::Code::NotFound,
        "{status:?}"
    );
    assert!(
        resource
            .is_none_or(|resource| !resource.resource_type.is_empty() && !resource.resource_name.is_empty())
    );
    let retry_after = details.retry_info().and_then(|info| info.retry_delay);
    let pushback = status.metadata().get("grpc-retry-pushback-ms");
    let pushback = pushback.expect("clients with a retry policy read it");
    let pushback: i64 = pushback.to_str().unwrap().parse().unwrap();
    let field = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first())
        .map(|violation| violation.field.clone());
    Failure {
        kind: row.kind,
        message: status.message().to_owned(),
        field,
        retry_after,
        should_retry: Some(pushback >= 0),
        in_band,
    }
}

/// A stream of events under way.
#[derive(Debug)]
pub(crate) struct GrpcOpened {
    events: Streaming<StreamChatCompletionResponse>,
    count: u32,
    /// Number of keep-alive events.
    pub(crate) signs: usize,
    ended: bool,
    pub(crate) outcome: Outcome,
}

impl GrpcOpened {
    /// Reads one event; false at the end.
    pub(crate) async fn advance(&mut self) -> bool {
        if self.ended {
            return false;
        }
        match self.events.message().await {
            Ok(Some(event)) => {
                self.take(event);
                return true;
            }
            Ok(None) => assert!(self.outcome.is_finished(), "OK without a finished event"),
            Err(status) => {
                assert!(!self.outcome.is_finished(), "a failure after the finished event");
                self.outcome.failure = Some(failure_of(&status, true));
            }
        }
        self.ended = true;
        false
    }

    fn take(&mut self, event: StreamChatCompletionResponse) {
        if let Some(Event::KeepAlive(_)) = event.event {
            assert_eq!((event.sequence, event.choice_index), (0, 0), "{event:?}");
            self.signs += 1;
            return;
        }
        assert_eq!(event.sequence, self.count, "{event:?}");
        self.count += 1;
        let unfinished = self.outcome.choices.iter().filter(|one| one.finish.is_none());
        let unfinished = unfinished.count();
        let choice = &mut self.outcome.choices[event.choice_index as usize];
        let event_of = event.event.expect("an event");
        // The usage covers all choices together.
        let goes_on = choice.finish.is_none() || matches!(event_of, Event::Usage(_));
        assert!(goes_on, "after the finish came {event_of:?}");
        match event_of {
            Event::Started(started) => {
                assert_eq!((event.sequence, event.choice_index), (0, 0));
                assert!(started.created > 1_700_000_000);
                self.outcome.id = started.id;
                self.outcome.model = started.model;
            }
            Event::Content(delta) => choice.text += &delta.text,
            Event::Reasoning(delta) => choice.reasoning += &delta.text,
            Event::Usage(figures) => {
                assert_eq!(self.outcome.usage, None, "usage twice");
                assert_eq!(unfinished, 1, "the usage comes before the last finish");
                self.outcome.usage = Some(usage(figures));
            }
            other @ (Event::Refusal(_)
            | Event::ToolCall(_)
            | Event::Audio(_)
            | Event::Annotation(_)
            | Event::KeepAlive(_)) => {
                panic!("the upstream gives text alone: {other:?}");
            }
            Event::Finished(end) => {
                choice.finish = Some(finish(end.finish_reason()));
                let told = self.outcome.usage.is_some() || unfinished > 1;
                assert!(told, "the last finish came before the usage");
            }
        }
        assert!(!self.outcome.id.is_empty(), "the first event is the start");
    }
}
