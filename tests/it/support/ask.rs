//! A question in the form of either door.

use duogate::app::client::{ChatMessage, ContentPart, CreateChatCompletionRequest, Role, content_part::Part};
use serde_json::{Value, json};

use super::KEY;

/// A client's request. By default one user message to an ordinary model, with a valid key.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) messages: Vec<(&'static str, String)>,
    pub(crate) key: Option<String>,
    /// More fields of the JSON body.
    pub(crate) more: Value,
    /// The same for the gRPC door, if [`Self::proto`] does not translate it.
    to_grpc: Option<Change>,
    /// The client's own id of the request.
    pub(crate) id: Option<&'static str>,
}

/// Sets something in the gRPC door's message.
pub(crate) type Change = fn(&mut CreateChatCompletionRequest);

impl Ask {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            model: "it-model".to_owned(),
            messages: vec![("user", text.into())],
            key: Some(KEY.to_owned()),
            more: json!({}),
            to_grpc: None,
            id: None,
        }
    }

    pub(crate) fn model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// Adds fields to the JSON body that [`Self::proto`] translates.
    pub(crate) fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
    }

    /// Adds fields to the JSON body, and their equivalent at the gRPC door.
    pub(crate) fn said(mut self, more: Value, to_grpc: Change) -> Self {
        self.more = more;
        self.to_grpc = Some(to_grpc);
        self
    }

    /// Sets the client's own id of the request.
    pub(crate) fn id(mut self, id: &'static str) -> Self {
        self.id = Some(id);
        self
    }

    /// Number of answers asked for.
    pub(crate) fn answers(&self) -> usize {
        let count = self.more.get("n").and_then(Value::as_u64).unwrap_or(1);
        usize::try_from(count).unwrap()
    }

    pub(crate) fn key(mut self, key: Option<&str>) -> Self {
        self.key = key.map(str::to_owned);
        self
    }

    /// The body of `POST /v1/chat/completions`.
    pub(crate) fn json(&self, stream: bool) -> Value {
        let messages = self
            .messages
            .iter()
            .map(|(role, text)| json!({ "role": role, "content": text }));
        let messages: Vec<Value> = messages.collect();
        let mut body = json!({ "model": self.model, "messages": messages });
        if stream {
            body["stream"] = json!(true);
            body["stream_options"] = json!({ "include_usage": true });
        }
        let more = self.more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        body
    }

    /// The same as a protobuf message.
    pub(crate) fn proto(&self) -> CreateChatCompletionRequest {
        let messages = self.messages.iter().map(|(role, text)| ChatMessage {
            role: role_named(role).into(),
            content: vec![ContentPart {
                part: Some(Part::Text(text.clone())),
                ..ContentPart::default()
            }],
            ..ChatMessage::default()
        });
        let mut request = CreateChatCompletionRequest {
            model: self.model.clone(),
            messages: messages.collect(),
            ..CreateChatCompletionRequest::default()
        };
        if let Some(change) = self.to_grpc {
            change(&mut request);
            return request;
        }
        for (name, value) in self.more.as_object().unwrap() {
            match name.as_str() {
                "stop" => request.stop = texts(value),
                // The contract has one field for both.
                "max_tokens" | "max_completion_tokens" => request.max_tokens = Some(number(value)),
                "n" => request.n = Some(number(value)),
                other => panic!("{other} is not asked for through both doors here"),
            }
        }
        request
    }

    /// The call's message with its key in the metadata.
    pub(crate) fn request(&self) -> tonic::Request<CreateChatCompletionRequest> {
        let mut request = tonic::Request::new(self.proto());
        if let Some(key) = &self.key {
            let value = format!("Bearer {key}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        if let Some(id) = self.id {
            request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        }
        request
    }
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    list.iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn role_named(name: &str) -> Role {
    match name {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => panic!("{other} is no role"),
    }
}
