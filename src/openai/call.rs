//! A call as every chat endpoint takes it in: admitted before its body is read, its failures told in one way.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use tokio::time::Instant;

use super::{
    OpenAi,
    body::{self, Hold},
    error,
    fields::Field,
    json,
    spelling::Deployment,
};
use crate::{
    engine::{
        Permit,
        caller::Caller,
        chat::CallContext,
        error::{ChatError, ErrorKind},
    },
    telemetry::CallRecord,
};

/// A call that was admitted; its body is not read yet.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) context: CallContext,
    permit: Permit,
    headers: HeaderMap,
    /// The model that the path names, where it names one.
    deployment: Option<Deployment>,
    body: Body,
}

impl Call {
    /// Takes a call in. The permit comes first: a request that finds no room never has its body read.
    pub(super) fn enter(openai: &OpenAi, request: Request) -> Result<Self, Refusal> {
        let record = record_of(&request)?;
        let permit = match openai.engine.admit(caller_of(&request)) {
            Ok(permit) => permit,
            Err(error) => return Err(Refusal(error, Some(record))),
        };
        let (mut parts, body) = request.into_parts();
        let deadline = Instant::now() + openai.limits().request_timeout;
        Ok(Self {
            context: CallContext { deadline, record },
            permit,
            headers: parts.headers,
            deployment: parts.extensions.remove(),
            body,
        })
    }

    /// Reads the body: an object, of which the fields of `table` are kept.
    pub(super) async fn read(
        self,
        openai: &OpenAi,
        table: &'static [Field],
    ) -> Result<(Admitted, json::Body), ChatError> {
        let Self {
            context,
            permit,
            headers,
            deployment,
            body,
        } = self;
        let hold = Hold {
            permit,
            deadline: context.deadline,
        };
        let read = body::read_fields(&headers, body, &openai.limits(), table, hold).await;
        let (mut body, permit) = read?;
        if let Some(deployment) = deployment {
            deployment.settle(&mut body.fields)?;
        }
        let call = Admitted { context, permit };
        Ok((call, body))
    }
}

/// A call whose body was read.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) context: CallContext,
    pub(super) permit: Permit,
}

/// A request that ends with an error.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) ChatError, pub(super) Option<CallRecord>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        error::respond(&self.0, self.1.as_ref())
    }
}

pub(super) fn record_of(request: &Request) -> Result<CallRecord, Refusal> {
    let record = request.extensions().get::<CallRecord>().cloned();
    record.ok_or_else(|| {
        let error = ChatError::new(ErrorKind::Internal, "The request has no record.");
        Refusal(error, None)
    })
}

/// The caller, where there is a key.
pub(super) fn caller_of(request: &Request) -> Option<&Caller> {
    request.extensions().get::<Option<Caller>>()?.as_ref()
}

/// The engine speaks of messages; a client that sent none under this name is told its own.
pub(super) fn named(error: ChatError, field: &'static str) -> ChatError {
    if error.field().is_some_and(|name| name.starts_with("messages")) {
        error.renamed(field)
    } else {
        error
    }
}
