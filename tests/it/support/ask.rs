//! A question, as either door wants it.

use duogate::app::client::{ChatMessage, ContentPart, CreateChatCompletionRequest, Role, content_part::Part};
use serde_json::{Value, json};

use super::KEY;

/// What a client asks. By default one user message to a model of no special behaviour, with a good key.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) messages: Vec<(&'static str, String)>,
    pub(crate) key: Option<String>,
    /// More fields of the JSON body.
    pub(crate) more: Value,
}

impl Ask {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            model: "it-model".to_owned(),
            messages: vec![("user", text.into())],
            key: Some(KEY.to_owned()),
            more: json!({}),
        }
    }

    pub(crate) fn model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// More fields of the JSON body; through the other door `stop` and `max_tokens` alone.
    pub(crate) fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
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
        for (name, value) in self.more.as_object().unwrap() {
            match name.as_str() {
                "stop" => request.stop = serde_json::from_value(value.clone()).unwrap(),
                "max_tokens" => request.max_tokens = Some(serde_json::from_value(value.clone()).unwrap()),
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
        request
    }
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
