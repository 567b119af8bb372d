//! `duogate.v1.ChatService`.

use std::{borrow::Cow, sync::Arc};

use arc_swap::ArcSwap;
use futures::{FutureExt, StreamExt, stream, stream::BoxStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    IGNORED, Limits,
    converse::{Talk, Terms},
    convert, error,
    events::{Events, Telling},
    layer::{Admitted, Entered},
    proto::{
        ConverseRequest, ConverseResponse, CreateChatCompletionRequest, CreateChatCompletionResponse,
        GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse, Started,
        StreamChatCompletionResponse, chat_service_server::ChatService,
    },
    request::{self, Reading, Unsupported},
};
use crate::{
    engine::{
        Engine, Permit,
        chat::{CallContext, Head},
        error::{ChatError, ErrorKind},
        not_found,
        request::ChatRequest,
    },
    telemetry::CallRecord,
};

#[derive(Clone)]
pub(super) struct Chat {
    pub(super) engine: Engine,
    pub(super) unsupported: Unsupported,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    /// Ends conversations between two turns.
    pub(super) soft_stop: CancellationToken,
}

/// A chat that has come through the door.
struct Call {
    head: Head,
    request: ChatRequest,
    context: CallContext,
    permit: Permit,
    /// Names of the fields that have no effect.
    ignored: Vec<Cow<'static, str>>,
}

impl Chat {
    /// The reading of a request for this model.
    pub(super) fn reading(&self, model: &str) -> Reading {
        Reading::new(self.engine.capabilities(model), self.unsupported)
    }

    fn accept(&self, request: Request<CreateChatCompletionRequest>) -> Result<Call, Status> {
        let record = record(&request)?;
        let admitted = request.extensions().get::<Admitted>().cloned();
        let admission = admitted.and_then(|admitted| Some((admitted.take_permit()?, admitted.deadline)));
        let (permit, deadline) = admission.ok_or_else(|| past_admission(&record))?;
        let wire = request.into_inner();
        let reading = self.reading(&wire.model);
        let read = request::read(wire, reading);
        let (request, ignored) = read.map_err(|failure| error::status(&failure, &record))?;
        record.set_model(&request.model);
        let head = Head::new(request.model.clone());
        Ok(Call {
            head,
            request,
            context: CallContext { deadline, record },
            permit,
            ignored,
        })
    }
}

/// An answer whose metadata name the fields of the request that have no effect.
fn naming<T>(ignored: &[Cow<'static, str>], answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    if let (false, Ok(names)) = (ignored.is_empty(), ignored.join(", ").parse()) {
        response.metadata_mut().insert(IGNORED, names);
    }
    response
}

fn past_admission(record: &CallRecord) -> Status {
    let failure = ChatError::new(ErrorKind::Internal, "The call came past its admission.");
    error::status(&failure, record)
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
            ignored,
        } = self.accept(request)?;
        let record = context.record.clone();
        match self.engine.complete_choices(vec![request], context, permit).await {
            Ok(completions) => Ok(naming(&ignored, convert::whole(head, completions))),
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
            ignored,
        } = self.accept(request)?;
        let record = context.record.clone();
        let Head { id, created, model } = head;
        let started = Started {
            id,
            created: convert::created_seconds(created),
            model,
            ..Started::default()
        };
        let telling = Telling {
            started,
            answers: request.n.unwrap_or(1),
            limits: Arc::clone(&self.limits),
            record: record.clone(),
        };
        let engine = self.engine.clone();
        let opening = async move { engine.stream_choices(vec![request], context, permit).await };
        let events = Events::open(opening.boxed(), telling).await;
        let events = events.map_err(|failure| error::status(&failure, &record))?;
        let events = stream::unfold(events, |mut events| async move {
            events.next().await.map(|item| (item, events))
        });
        Ok(naming(&ignored, events.boxed()))
    }

    type ConverseStream = BoxStream<'static, Result<ConverseResponse, Status>>;

    async fn converse(
        &self,
        request: Request<Streaming<ConverseRequest>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        let record = record(&request)?;
        let entered = request.extensions().get::<Entered>().cloned();
        let entered = entered.ok_or_else(|| past_admission(&record))?;
        let room = self
            .engine
            .admit_dialogue(entered.caller.as_ref())
            .map_err(|failure| {
                // It had no turn to be counted by.
                let told = self.engine.begin_turn(&record, 0);
                let status = error::status(&failure, told.record());
                told.record()
                    .outcome()
                    .inspect(|outcome| record.conclude(*outcome));
                status
            })?;
        let terms = Terms {
            record,
            room,
            entered,
        };
        let talk = Talk::new(self.clone(), request.into_inner(), terms);
        // The head goes out before anything is read: clients may well wait for it before they speak.
        Ok(Response::new(talk.events()))
    }

    async fn list_models(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let names = self.engine.model_names();
        let models = names.iter().map(|name| convert::model(name)).collect();
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
        if !self.engine.offers(&id) {
            return Err(error::status(&not_found(&id), &record));
        }
        Ok(Response::new(GetModelResponse {
            model: Some(convert::model(&id)),
        }))
    }
}
