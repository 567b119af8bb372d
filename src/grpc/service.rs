//! `duogate.v1.ChatService`.

use std::collections::VecDeque;

use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{
    convert, error,
    layer::Admitted,
    proto::{
        ContentDelta, CreateChatCompletionRequest, CreateChatCompletionResponse, Finished, GetModelRequest,
        GetModelResponse, ListModelsRequest, ListModelsResponse, ReasoningDelta, Started,
        StreamChatCompletionResponse, chat_service_server::ChatService,
        stream_chat_completion_response::Event,
    },
};
use crate::{
    engine::{
        ChatStream, Engine, Permit,
        chat::{CallContext, ChatEvent, ChatRequest, Head},
        error::{ChatError, ErrorKind},
        not_found,
    },
    telemetry::CallRecord,
};

pub(super) struct Chat {
    engine: Engine,
}

impl Chat {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

/// A chat that has come through the door.
struct Call {
    head: Head,
    request: ChatRequest,
    context: CallContext,
    permit: Permit,
}

fn accept(request: Request<CreateChatCompletionRequest>) -> Result<Call, Status> {
    let record = record(&request)?;
    let admitted = request.extensions().get::<Admitted>().cloned();
    let admission = admitted.and_then(|admitted| Some((admitted.take_permit()?, admitted.deadline)));
    let Some((permit, deadline)) = admission else {
        let failure = ChatError::new(ErrorKind::Internal, "The call came past its admission.");
        return Err(error::status(&failure, &record));
    };
    let request = convert::read(request.into_inner()).map_err(|failure| error::status(&failure, &record))?;
    record.set_model(&request.model);
    let head = Head::new(request.model.clone());
    Ok(Call {
        head,
        request,
        context: CallContext { deadline, record },
        permit,
    })
}

pub(super) fn record<T>(request: &Request<T>) -> Result<CallRecord, Status> {
    let record = request.extensions().get::<CallRecord>().cloned();
    record.ok_or_else(|| Status::internal("the call has no record"))
}

#[tonic::async_trait]
impl ChatService for Chat {
    async fn create_chat_completion(
        &self,
        request: Request<CreateChatCompletionRequest>,
    ) -> Result<Response<CreateChatCompletionResponse>, Status> {
        let Call {
            head,
            request,
            context,
            permit,
        } = accept(request)?;
        let record = context.record.clone();
        match self.engine.complete(request, context, permit).await {
            Ok(completion) => Ok(Response::new(convert::whole(head, completion))),
            Err(failure) => Err(error::status(&failure, &record)),
        }
    }

    type StreamChatCompletionStream = BoxStream<'static, Result<StreamChatCompletionResponse, Status>>;

    async fn stream_chat_completion(
        &self,
        request: Request<CreateChatCompletionRequest>,
    ) -> Result<Response<Self::StreamChatCompletionStream>, Status> {
        let Call {
            head,
            request,
            context,
            permit,
        } = accept(request)?;
        let record = context.record.clone();
        let chat = self.engine.stream(request, context, permit).await;
        let chat = chat.map_err(|failure| error::status(&failure, &record))?;
        let Head { id, created, model } = head;
        let created = convert::created_seconds(created);
        let started = Event::Started(Started { id, created, model });
        let events = Events {
            chat,
            record,
            queue: VecDeque::from([started]),
            sequence: 0,
        };
        let events = stream::unfold(events, |mut events| async move {
            events.next().await.map(|item| (item, events))
        });
        Ok(Response::new(events.boxed()))
    }

    async fn list_models(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let models = self.engine.models().names().map(convert::model).collect();
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn get_model(
        &self,
        request: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        let record = record(&request)?;
        let GetModelRequest { id } = request.into_inner();
        record.set_model(&id);
        if id.is_empty() {
            let failure = ChatError::invalid("id", "Missing 'id': the model's name.");
            return Err(error::status(&failure, &record));
        }
        match self.engine.models().resolve(&id) {
            Ok(_) => Ok(Response::new(GetModelResponse {
                model: Some(convert::model(&id)),
            })),
            Err(_) => Err(error::status(&not_found(&id), &record)),
        }
    }
}

/// A streamed answer as numbered events.
struct Events {
    chat: ChatStream,
    record: CallRecord,
    queue: VecDeque<Event>,
    sequence: u32,
}

impl Events {
    async fn next(&mut self) -> Option<Result<StreamChatCompletionResponse, Status>> {
        if self.queue.is_empty() {
            match self.chat.next().await? {
                Ok(ChatEvent::Content(text)) => self.queue.push_back(Event::Content(ContentDelta { text })),
                Ok(ChatEvent::Reasoning(text)) => {
                    self.queue.push_back(Event::Reasoning(ReasoningDelta { text }));
                }
                Ok(ChatEvent::Finished { reason, usage }) => {
                    let finish_reason = convert::finish_reason(reason).into();
                    self.queue.push_back(Event::Usage(convert::usage(usage)));
                    self.queue.push_back(Event::Finished(Finished { finish_reason }));
                }
                Err(failure) => return Some(Err(error::status(&failure, &self.record))),
            }
        }
        let event = self.queue.pop_front()?;
        let sequence = self.sequence;
        self.sequence += 1;
        Some(Ok(StreamChatCompletionResponse {
            sequence,
            choice_index: 0,
            event: Some(event),
        }))
    }
}
