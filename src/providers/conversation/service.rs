//! The conversation service over HTTP: its calls, with their cookie, referer and origin, and what their failures are.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use strum::VariantArray;
use url::Url;
use uuid::Uuid;

use super::{
    body::{self, Reader, describe},
    client::{BuildError, Endpoints, configure},
    origins,
    wire::{self, Unusable},
};
use crate::engine::{
    calls::{Call, Calls, ObservedStream, Purpose},
    provider::{Fault, Token, UpstreamError},
};
use crate::state::{ConversationRef, RemoteId};
use crate::telemetry::Metrics;

/// The most that the answer to a small call may hold, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// One path segment: everything but what RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A call of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Step {
    /// Finding the account's project.
    ListProjects,
    /// Making one for an account that has none.
    CreateProject,
    /// Listing the conversations of a project; no step of a chat.
    ListConversations,
    /// Making a fresh conversation.
    CreateConversation,
    /// Posting the user's text.
    PostMessage,
    /// Asking for the answer, and reading it.
    ReadAnswer,
    /// Removing a conversation afterwards.
    DeleteConversation,
}

impl Step {
    /// The step's name, as metrics and logs have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::ListProjects => "list_projects",
            Step::CreateProject => "create_project",
            Step::ListConversations => "list_conversations",
            Step::CreateConversation => "create_conversation",
            Step::PostMessage => "post_message",
            Step::ReadAnswer => "read_answer",
            Step::DeleteConversation => "delete_conversation",
        }
    }
}

/// The conversation service, called over one pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) client: Client,
    endpoints: Arc<Endpoints>,
    origin: HeaderValue,
    /// The origins of projects, conversations, messages and answers, numbered from 0.
    origins: [usize; 4],
    calls: Calls,
}

impl Service {
    /// Builds the client. Makes no connection.
    ///
    /// # Errors
    /// When the proxy or the site cannot be used.
    pub(super) fn build(
        endpoints: Endpoints,
        metrics: Arc<Metrics>,
        probe_interval: Duration,
    ) -> Result<Self, BuildError> {
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
        let origins = origins::number(&endpoints);
        let steps: Vec<_> = Step::VARIANTS.iter().map(|step| step.name()).collect();
        let probed = origin_of(origins, PROBE);
        Ok(Self {
            client,
            origins,
            endpoints: Arc::new(endpoints),
            origin,
            calls: Calls::new(metrics, &steps, probed, probe_interval),
        })
    }

    /// The calls that are made, and how they end.
    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The bound of each wait: for a connection, for the head of an answer, for its next event.
    pub(super) fn timeout(&self) -> Duration {
        self.endpoints.timeout
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
        let failed = |fault, detail: String| UpstreamError::new(step.name(), fault, detail);
        let response = match tokio::time::timeout(self.endpoints.timeout, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let otherwise = if error.is_timeout() {
                    Fault::Timeout
                } else {
                    Fault::Connection
                };
                return Err(failed(body::fault(&error, otherwise), describe(&error)));
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
            .map_err(|(fault, detail)| UpstreamError::new(step.name(), fault, detail))?;
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
                step.name(),
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
        Unusable::Malformed(detail) => UpstreamError::new(step.name(), Fault::Malformed, detail),
        Unusable::Failure(status) => UpstreamError::new(
            step.name(),
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
            piece.map_err(|error| (body::fault(&error, Fault::Connection), describe(&error)))?;
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

/// The calls, each counted for its `purpose`. Dropping the future closes the call; what it creates may be made all the
/// same.
impl Service {
    /// The projects of the token's account; may be none.
    pub(super) async fn list_projects(
        &self,
        token: &Token,
        purpose: Purpose,
    ) -> Result<Vec<RemoteId>, UpstreamError> {
        let step = Step::ListProjects;
        let request = self.request(Method::GET, &self.endpoints.project, token);
        self.observe(step, purpose, self.list(step, request)).await
    }

    /// Makes a project in the token's account.
    pub(super) async fn create_project(
        &self,
        token: &Token,
        purpose: Purpose,
    ) -> Result<RemoteId, UpstreamError> {
        let step = Step::CreateProject;
        let request = self
            .request(Method::POST, &self.endpoints.project, token)
            .json(&json!({ "name": Uuid::new_v4().to_string() }));
        let created = async {
            let value = self.call(step, request).await?;
            wire::read_id(&value, &["id"]).map_err(|error| unusable(step, error))
        };
        self.observe(step, purpose, created).await
    }

    /// The conversations of a project, whoever made them.
    pub(super) async fn list_conversations(
        &self,
        token: &Token,
        project: &RemoteId,
    ) -> Result<Vec<RemoteId>, UpstreamError> {
        let step = Step::ListConversations;
        let url = format!("{}/{}/conversations", self.endpoints.project, segment(project));
        let request = self.request(Method::GET, &url, token);
        self.observe(step, Purpose::Background, self.list(step, request))
            .await
    }

    /// Makes a fresh conversation in a project.
    pub(super) async fn create_conversation(
        &self,
        token: &Token,
        project: &RemoteId,
        purpose: Purpose,
    ) -> Result<RemoteId, UpstreamError> {
        let step = Step::CreateConversation;
        let request = self
            .request(Method::POST, &self.endpoints.conversation, token)
            .header(header::REFERER, self.project_page(project))
            .json(&json!({ "projectId": wire::id_value(project) }));
        let created = async {
            let value = self.call(step, request).await?;
            wire::read_id(&value, &["id", "conversationId", "conversation_id"])
                .map_err(|error| unusable(step, error))
        };
        self.observe(step, purpose, created).await
    }

    /// Removes a conversation. One that is gone already counts as removed.
    pub(super) async fn delete_conversation(
        &self,
        token: &Token,
        at: &ConversationRef,
    ) -> Result<(), UpstreamError> {
        let step = Step::DeleteConversation;
        let url = format!("{}/{}", self.endpoints.conversation, segment(&at.conversation));
        let request = self
            .request(Method::DELETE, &url, token)
            .header(header::REFERER, format!("{}/", self.endpoints.site));
        let deleted = async {
            match self.call(step, request).await {
                Err(error) if error.fault != Fault::Gone => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        self.observe(step, Purpose::Background, deleted).await
    }

    /// Posts the user's text, for a chat.
    pub(super) async fn post_message(
        &self,
        token: &Token,
        at: &ConversationRef,
        text: &str,
    ) -> Result<(), UpstreamError> {
        let step = Step::PostMessage;
        let url = format!("{}/{}/message", self.endpoints.message, segment(&at.conversation));
        let request = self
            .request(Method::POST, &url, token)
            .header(header::REFERER, self.conversation_page(at))
            .json(&json!({ "content": text, "role": "user" }));
        let posted = async { self.call(step, request).await.map(drop) };
        self.observe(step, Purpose::Chat, posted).await
    }

    /// Asks for the answer to the last message, for a chat; resolves when its head is there.
    pub(super) async fn open_answer(
        &self,
        token: &Token,
        at: &ConversationRef,
        model: &str,
    ) -> Result<ObservedStream<Reader>, UpstreamError> {
        let step = Step::ReadAnswer;
        let request = self
            .request(Method::POST, &self.endpoints.target, token)
            .header(header::REFERER, self.conversation_page(at))
            .json(&json!({ "conversationId": wire::id_value(&at.conversation), "mode": model }));
        let opened = async { self.send(step, request).await.map(body::read) };
        self.calls
            .observe_stream(self.call_of(step, Purpose::Chat), opened)
            .await
    }

    async fn observe<T>(
        &self,
        step: Step,
        purpose: Purpose,
        made: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        self.calls.observe(self.call_of(step, purpose), made).await
    }

    fn call_of(&self, step: Step, purpose: Purpose) -> Call {
        Call {
            step: step.name(),
            origin: origin_of(self.origins, step),
            purpose,
        }
    }

    /// Whether every origin of the service can be connected to; `None` where the gateway's own machine lacks the means.
    pub(super) async fn is_reachable(&self) -> Option<bool> {
        origins::are_reachable(&self.endpoints).await
    }
}

/// The call that changes nothing upstream.
const PROBE: Step = Step::ListProjects;

fn origin_of(origins: [usize; 4], step: Step) -> usize {
    let [projects, conversations, messages, answers] = origins;
    match step {
        Step::ListProjects | Step::CreateProject | Step::ListConversations => projects,
        Step::CreateConversation | Step::DeleteConversation => conversations,
        Step::PostMessage => messages,
        Step::ReadAnswer => answers,
    }
}
