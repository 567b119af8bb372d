//! The conversation service over HTTP: its calls, with their cookie, referer and origin, and what their failures are.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    answer::{self, describe},
    client::{BuildError, Endpoints, configure},
    places,
    wire::{self, Unusable},
};
use crate::engine::upstream::{
    Answer, ConversationRef, Fault, RemoteId, Step, Token, Upstream, UpstreamError,
};

/// The most that the answer to a small call may hold, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// One path segment: everything but what RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The conversation service, called over one pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConversationService {
    pub(super) client: Client,
    endpoints: std::sync::Arc<Endpoints>,
    origin: HeaderValue,
    /// Which origin projects, conversations, messages and answers are on, numbered from 0.
    origins: [usize; 4],
}

impl ConversationService {
    /// Builds the client. Makes no connection.
    ///
    /// # Errors
    /// When the proxy or the site cannot be used.
    pub fn build(endpoints: Endpoints) -> Result<Self, BuildError> {
        // Fails only where a provider is installed already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let origin = Url::parse(&endpoints.site)
            .ok()
            .and_then(|site| HeaderValue::from_str(&site.origin().ascii_serialization()).ok())
            .ok_or_else(|| BuildError("SITE_URL has no origin".to_owned()))?;
        let client = match configure(&endpoints)?.build() {
            Ok(client) => client,
            // A machine without a certificate store: the usual public roots are better than no service.
            Err(error) => {
                tracing::warn!(error = %describe(&error), "no system certificates: using the built-in roots");
                let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
                    .iter()
                    .filter_map(|root| reqwest::Certificate::from_der(root).ok());
                configure(&endpoints)?
                    .tls_certs_only(roots)
                    .build()
                    .map_err(|error| BuildError(describe(&error)))?
            }
        };
        Ok(Self {
            client,
            origins: places::origins(&endpoints),
            endpoints: std::sync::Arc::new(endpoints),
            origin,
        })
    }

    fn request(&self, method: Method, url: &str, token: &Token) -> RequestBuilder {
        let mut request = self
            .client
            .request(method, url)
            .header(header::ORIGIN, self.origin.clone());
        // The configuration has checked that a token holds cookie characters only.
        if let Ok(mut cookie) = HeaderValue::from_str(&format!("token={}", token.expose())) {
            cookie.set_sensitive(true);
            request = request.header(header::COOKIE, cookie);
        }
        request
    }

    /// Sends a request and waits for the head of a good answer.
    async fn send(&self, step: Step, request: RequestBuilder) -> Result<Response, UpstreamError> {
        let failed = |fault, detail: String| UpstreamError::new(step, fault, detail);
        let response = match tokio::time::timeout(self.endpoints.timeout, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let otherwise = if error.is_timeout() {
                    Fault::Timeout
                } else {
                    Fault::Connection
                };
                return Err(failed(answer::fault(&error, otherwise), describe(&error)));
            }
            Err(_) => return Err(failed(Fault::Timeout, "no answer came".to_owned())),
        };
        let status = response.status();
        if matches!(status, StatusCode::OK | StatusCode::CREATED)
            || (step == Step::DeleteConversation && status == StatusCode::NO_CONTENT)
        {
            return Ok(response);
        }
        let retry_after = retry_after(response.headers());
        Err(failed(
            fault_of(step, status.as_u16(), retry_after),
            format!("status {status}"),
        ))
    }

    /// Sends a request and reads the whole answer, which a failure inside may turn into an error.
    async fn call(&self, step: Step, request: RequestBuilder) -> Result<Value, UpstreamError> {
        let response = self.send(step, request).await?;
        let body = tokio::time::timeout(self.endpoints.timeout, read_body(response)).await;
        let body = body
            .unwrap_or_else(|_| Err((Fault::Timeout, "the body stalled".to_owned())))
            .map_err(|(fault, detail)| UpstreamError::new(step, fault, detail))?;
        let value = match wire::parse(&body) {
            Ok(value) => value,
            // What these two answer says nothing that matters; an HTML page is another thing.
            Err(_) if needs_no_answer(step) && !looks_like_html(&body) => Value::Null,
            Err(error) => return Err(unusable(step, error)),
        };
        match wire::embedded_failure(&value) {
            Some(status) => Err(unusable(step, Unusable::Failure(status))),
            None => Ok(value),
        }
    }

    /// Sends a request whose answer lists things that have an id.
    async fn list(&self, step: Step, request: RequestBuilder) -> Result<Vec<RemoteId>, UpstreamError> {
        let Value::Array(listed) = self.call(step, request).await? else {
            return Err(UpstreamError::new(
                step,
                Fault::Malformed,
                "the answer is no array",
            ));
        };
        let ids = listed.iter().map(|item| wire::read_id(item, &["id"]));
        ids.collect::<Result<_, _>>()
            .map_err(|error| unusable(step, error))
    }

    fn project_page(&self, project: &RemoteId) -> String {
        format!("{}/project/{}", self.endpoints.site, segment(project))
    }

    fn conversation_page(&self, at: &ConversationRef) -> String {
        format!(
            "{}/conversation/{}",
            self.project_page(&at.project),
            segment(&at.conversation)
        )
    }
}

fn needs_no_answer(step: Step) -> bool {
    match step {
        Step::PostMessage | Step::DeleteConversation => true,
        Step::ListProjects
        | Step::CreateProject
        | Step::ListConversations
        | Step::CreateConversation
        | Step::ReadAnswer => false,
    }
}

/// What a status means, at each step.
pub(super) fn fault_of(step: Step, status: u16, retry_after: Option<Duration>) -> Fault {
    match status {
        401 | 403 => Fault::Credentials,
        429 => Fault::RateLimited { retry_after },
        404 => match step {
            Step::CreateConversation | Step::PostMessage | Step::ReadAnswer | Step::DeleteConversation => {
                Fault::Gone
            }
            // These name nothing that could be gone: the service is not where it should be.
            Step::ListProjects | Step::CreateProject | Step::ListConversations => {
                Fault::Status { status, retry_after }
            }
        },
        400..=499 => Fault::Refused { status },
        _ => Fault::Status { status, retry_after },
    }
}

fn unusable(step: Step, unusable: Unusable) -> UpstreamError {
    match unusable {
        Unusable::Malformed(detail) => UpstreamError::new(step, Fault::Malformed, detail),
        Unusable::Failure(status) => UpstreamError::new(
            step,
            fault_of(step, status, None),
            format!("a good status holds a failure of status {status}"),
        ),
    }
}

async fn read_body(response: Response) -> Result<Vec<u8>, (Fault, String)> {
    let mut stream = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece: Bytes =
            piece.map_err(|error| (answer::fault(&error, Fault::Connection), describe(&error)))?;
        if body.len() + piece.len() > MAX_BODY {
            return Err((Fault::Malformed, "the body is too large".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn looks_like_html(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

fn segment(id: &RemoteId) -> String {
    utf8_percent_encode(&id.to_string(), SEGMENT).to_string()
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), counted from now, and never more than a day.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(std::time::SystemTime::now())
                .unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(LONGEST))
}

impl Upstream for ConversationService {
    fn list_projects(&self, token: &Token) -> BoxFuture<'static, Result<Vec<RemoteId>, UpstreamError>> {
        let (service, token) = (self.clone(), token.clone());
        async move {
            let request = service.request(Method::GET, &service.endpoints.project, &token);
            service.list(Step::ListProjects, request).await
        }
        .boxed()
    }

    fn create_project(&self, token: &Token) -> BoxFuture<'static, Result<RemoteId, UpstreamError>> {
        let (service, token) = (self.clone(), token.clone());
        async move {
            let step = Step::CreateProject;
            let request = service
                .request(Method::POST, &service.endpoints.project, &token)
                .json(&json!({ "name": Uuid::new_v4().to_string() }));
            let value = service.call(step, request).await?;
            wire::read_id(&value, &["id"]).map_err(|error| unusable(step, error))
        }
        .boxed()
    }

    fn list_conversations(
        &self,
        token: &Token,
        project: &RemoteId,
    ) -> BoxFuture<'static, Result<Vec<RemoteId>, UpstreamError>> {
        let url = format!("{}/{}/conversations", self.endpoints.project, segment(project));
        let request = self.request(Method::GET, &url, token);
        let service = self.clone();
        async move { service.list(Step::ListConversations, request).await }.boxed()
    }

    fn create_conversation(
        &self,
        token: &Token,
        project: &RemoteId,
    ) -> BoxFuture<'static, Result<RemoteId, UpstreamError>> {
        let (service, token, project) = (self.clone(), token.clone(), project.clone());
        async move {
            let step = Step::CreateConversation;
            let request = service
                .request(Method::POST, &service.endpoints.conversation, &token)
                .header(header::REFERER, service.project_page(&project))
                .json(&json!({ "projectId": wire::id_value(&project) }));
            let value = service.call(step, request).await?;
            wire::read_id(&value, &["id", "conversationId", "conversation_id"])
                .map_err(|error| unusable(step, error))
        }
        .boxed()
    }

    fn delete_conversation(
        &self,
        token: &Token,
        conversation: &ConversationRef,
    ) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let (service, token, at) = (self.clone(), token.clone(), conversation.clone());
        async move {
            let url = format!("{}/{}", service.endpoints.conversation, segment(&at.conversation));
            let request = service
                .request(Method::DELETE, &url, &token)
                .header(header::REFERER, format!("{}/", service.endpoints.site));
            match service.call(Step::DeleteConversation, request).await {
                Err(error) if error.fault != Fault::Gone => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        }
        .boxed()
    }

    fn post_message(
        &self,
        token: &Token,
        conversation: &ConversationRef,
        text: &str,
    ) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let url = format!(
            "{}/{}/message",
            self.endpoints.message,
            segment(&conversation.conversation)
        );
        let request = self
            .request(Method::POST, &url, token)
            .header(header::REFERER, self.conversation_page(conversation))
            .json(&json!({ "content": text, "role": "user" }));
        let service = self.clone();
        async move { service.call(Step::PostMessage, request).await.map(drop) }.boxed()
    }

    fn open_answer(
        &self,
        token: &Token,
        conversation: &ConversationRef,
        model: &str,
    ) -> BoxFuture<'static, Result<Answer, UpstreamError>> {
        let request = self
            .request(Method::POST, &self.endpoints.target, token)
            .header(header::REFERER, self.conversation_page(conversation))
            .json(&json!({ "conversationId": wire::id_value(&conversation.conversation), "mode": model }));
        let service = self.clone();
        async move { service.send(Step::ReadAnswer, request).await.map(answer::read) }.boxed()
    }

    fn origin(&self, step: Step) -> usize {
        let [projects, conversations, messages, answers] = self.origins;
        match step {
            Step::ListProjects | Step::CreateProject | Step::ListConversations => projects,
            Step::CreateConversation | Step::DeleteConversation => conversations,
            Step::PostMessage => messages,
            Step::ReadAnswer => answers,
        }
    }

    fn is_reachable(&self) -> BoxFuture<'static, Option<bool>> {
        let endpoints = std::sync::Arc::clone(&self.endpoints);
        async move { places::are_reachable(&endpoints).await }.boxed()
    }
}
