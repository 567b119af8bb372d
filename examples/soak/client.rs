//! Clients of both doors that record everything they receive.

use std::{net::SocketAddr, time::Duration};

use duogate::client::{
    ChatMessage, ContentPart, CreateChatCompletionRequest, Role, chat_service_client::ChatServiceClient,
    content_part::Part, stream_chat_completion_response::Event,
};
use futures::StreamExt;
use serde_json::{Value, json};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

/// How a chat ended for its client.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// With a complete answer.
    Whole { text: String, met_empty_pool: bool },
    /// With an error.
    Failed {
        kind: String,
        /// The text received before it.
        text: String,
        /// The retry delay, if the client was asked to retry.
        again_in: Option<Duration>,
        met_empty_pool: bool,
    },
    /// In a way that violates the protocol.
    Broken(String),
    /// The client disconnected.
    Left,
}

impl End {
    /// Records whether the client met an exhausted pool.
    pub(crate) fn after_empty_pool(mut self, met: bool) -> Self {
        if let End::Whole { met_empty_pool, .. } | End::Failed { met_empty_pool, .. } = &mut self {
            *met_empty_pool = met;
        }
        self
    }
}

/// A client of both doors.
pub(crate) struct Client {
    web: reqwest::Client,
    url: String,
    channel: Channel,
}

impl Client {
    pub(crate) fn new(http: SocketAddr, grpc: SocketAddr) -> Result<Self, String> {
        let web = reqwest::Client::builder().no_proxy().build();
        let channel = Endpoint::from_shared(format!("http://{grpc}"));
        Ok(Self {
            web: web.map_err(|error| error.to_string())?,
            url: format!("http://{http}/v1/chat/completions"),
            channel: channel.map_err(|error| error.to_string())?.connect_lazy(),
        })
    }

    /// Asks in one of four ways, by turns.
    pub(crate) async fn ask(&self, number: usize, text: &str) -> End {
        let streamed = number % 2 == 1;
        if number % 4 < 2 {
            self.ask_http(text, streamed).await.unwrap_or_else(End::Broken)
        } else {
            self.ask_grpc(text, streamed).await.unwrap_or_else(End::Broken)
        }
    }

    async fn ask_http(&self, text: &str, streamed: bool) -> Result<End, String> {
        let body = json!({
            "model": "soak",
            "messages": [{ "role": "user", "content": text }],
            "stream": streamed,
        });
        let answer = self.web.post(&self.url).json(&body).send().await;
        let answer = answer.map_err(|error| format!("no answer: {error}"))?;
        if !answer.status().is_success() {
            let again = answer
                .headers()
                .get("x-should-retry")
                .is_some_and(|value| value == "true");
            let wait = answer
                .headers()
                .get("retry-after-ms")
                .and_then(|value| value.to_str().ok());
            let wait = wait.and_then(|text| text.parse().ok()).map(Duration::from_millis);
            let body: Value = answer
                .json()
                .await
                .map_err(|error| format!("an error that is no JSON: {error}"))?;
            return Ok(failed(&body, String::new(), wait.filter(|_| again)));
        }
        if streamed {
            return read_events(answer).await;
        }
        let body: Value = answer
            .json()
            .await
            .map_err(|error| format!("an answer that is no JSON: {error}"))?;
        let choice = &body["choices"][0];
        if choice["finish_reason"] != "stop" {
            return Err(format!("an answer without its end: {body}"));
        }
        let text = choice["message"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(whole(text))
    }

    async fn ask_grpc(&self, text: &str, streamed: bool) -> Result<End, String> {
        let mut client = ChatServiceClient::new(self.channel.clone());
        let request = CreateChatCompletionRequest {
            model: "soak".to_owned(),
            messages: vec![ChatMessage {
                role: Role::User.into(),
                content: vec![ContentPart {
                    part: Some(Part::Text(text.to_owned())),
                    ..ContentPart::default()
                }],
                ..ChatMessage::default()
            }],
            ..CreateChatCompletionRequest::default()
        };
        if !streamed {
            let answer = match client.create_chat_completion(request).await {
                Ok(answer) => answer.into_inner(),
                Err(status) => return refused(&status, String::new()),
            };
            let message = answer
                .choices
                .into_iter()
                .next()
                .and_then(|choice| choice.message);
            let parts = message.ok_or("an answer without a message")?.content;
            let texts = parts.into_iter().filter_map(|part| match part.part {
                Some(Part::Text(text)) => Some(text),
                Some(_) | None => None,
            });
            return Ok(whole(texts.collect()));
        }
        let mut events = match client.stream_chat_completion(request).await {
            Ok(events) => events.into_inner(),
            Err(status) => return refused(&status, String::new()),
        };
        let (mut text, mut finished) = (String::new(), false);
        loop {
            match events.message().await {
                Ok(Some(event)) => match event.event {
                    Some(Event::Content(delta)) => text += &delta.text,
                    Some(Event::Finished(_)) => finished = true,
                    Some(_) => {}
                    None => return Err("an empty event".to_owned()),
                },
                Ok(None) if finished => return Ok(whole(text)),
                Ok(None) => return Err("OK without a finish".to_owned()),
                Err(_) if finished => return Err("a failure after the finish".to_owned()),
                Err(status) => return refused(&status, text),
            }
        }
    }
}

async fn read_events(answer: reqwest::Response) -> Result<End, String> {
    let mut bytes = answer.bytes_stream();
    let (mut pending, mut text, mut finished) = (Vec::new(), String::new(), false);
    while let Some(piece) = bytes.next().await {
        pending.extend_from_slice(&piece.map_err(|error| format!("a stream that broke: {error}"))?);
        while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = pending.drain(..end + 2).collect();
            let event = String::from_utf8(event).map_err(|error| error.to_string())?;
            let Some(data) = event.trim_end().strip_prefix("data: ") else {
                continue; // a comment
            };
            if data == "[DONE]" {
                return if finished {
                    Ok(whole(text))
                } else {
                    Err("[DONE] without a finish".to_owned())
                };
            }
            let data: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
            if data.get("error").is_some() {
                return if finished {
                    Err("a failure after the finish".to_owned())
                } else {
                    Ok(failed(&data, text, None))
                };
            }
            let choice = &data["choices"][0];
            text += choice["delta"]["content"].as_str().unwrap_or_default();
            finished |= !choice["finish_reason"].is_null();
        }
    }
    Err("a stream that ended with neither [DONE] nor an error".to_owned())
}

fn whole(text: String) -> End {
    End::Whole {
        text,
        met_empty_pool: false,
    }
}

fn failed(body: &Value, text: String, again_in: Option<Duration>) -> End {
    let code = body["error"]["code"].as_str().unwrap_or("nothing");
    let kind = match code {
        "no_available_tokens" => "pool_exhausted",
        "upstream_credentials" => "credentials_rejected",
        "timeout" => "deadline_exceeded",
        other => other,
    };
    End::Failed {
        kind: kind.to_owned(),
        text,
        again_in,
        met_empty_pool: false,
    }
}

fn refused(status: &Status, text: String) -> Result<End, String> {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .ok_or_else(|| format!("a status without ErrorInfo: {status:?}"))?;
    let pushback = status.metadata().get("grpc-retry-pushback-ms");
    let pushback = pushback.and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(End::Failed {
        kind: info.reason.to_lowercase(),
        text,
        again_in: pushback.map(Duration::from_millis),
        met_empty_pool: false,
    })
}
