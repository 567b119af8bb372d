//! Tests of the simulated upstream with a plain HTTP client that follows the contract unless a test says otherwise.

mod breaches;
mod control;
mod faults;
mod leaving;
mod order;
mod shapes;
mod whole;

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Counts, Rule, Sim, SimConfig, SimControl};

pub(super) const TOKEN: &str = "sim-token";

/// A simulator and a client for it.
pub(super) struct World {
    pub(super) sim: Sim,
    pub(super) control: SimControl,
    pub(super) client: Client,
    pub(super) site: String,
}

/// A conversation and its project.
#[derive(Clone)]
pub(super) struct Talk {
    pub(super) project: Value,
    pub(super) conversation: Value,
}

pub(super) fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

pub(super) fn segment(id: &Value) -> String {
    let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub(super) async fn with(config: SimConfig) -> Self {
        let sim = Sim::start(config).await.unwrap();
        let control = sim.control();
        let site = sim.endpoints().site;
        Self {
            control,
            client: client(),
            site,
            sim,
        }
    }

    /// A world with one rule.
    pub(super) async fn scripted(rule: Rule) -> Self {
        let world = Self::new().await;
        world.control.script(rule);
        world
    }

    /// A call with only the cookie.
    pub(super) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let address = format!("{}{path}", self.sim.origin());
        self.client
            .request(method, address)
            .header("cookie", format!("token={TOKEN}"))
    }

    /// A call with `origin` and `referer` of a page of the site.
    pub(super) fn paged(&self, method: Method, path: &str, page: &str) -> RequestBuilder {
        let referer = format!("{}/{page}", self.site);
        self.bare(method, path)
            .header("origin", &self.site)
            .header("referer", referer)
    }

    pub(super) async fn project(&self) -> Value {
        let name = json!({"name": uuid::Uuid::new_v4().to_string()});
        let response = self
            .bare(Method::POST, "/project")
            .json(&name)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 201);
        response.json::<Value>().await.unwrap()["id"].clone()
    }

    pub(super) fn create(&self, project: &Value) -> RequestBuilder {
        let page = format!("project/{}", segment(project));
        self.paged(Method::POST, "/conversation", &page)
            .json(&json!({"projectId": project}))
    }

    pub(super) async fn conversation_in(&self, project: &Value) -> Talk {
        let made: Value = self.create(project).send().await.unwrap().json().await.unwrap();
        let keys = ["id", "conversationId", "conversation_id"];
        let conversation = keys.iter().find_map(|key| made.get(key)).unwrap().clone();
        Talk {
            project: project.clone(),
            conversation,
        }
    }

    pub(super) async fn talk(&self) -> Talk {
        let project = self.project().await;
        self.conversation_in(&project).await
    }

    fn talk_page(talk: &Talk) -> String {
        format!(
            "project/{}/conversation/{}",
            segment(&talk.project),
            segment(&talk.conversation)
        )
    }

    pub(super) fn message(&self, talk: &Talk, text: &str) -> RequestBuilder {
        let path = format!("/conversation/{}/message", segment(&talk.conversation));
        self.paged(Method::POST, &path, &Self::talk_page(talk))
            .json(&json!({"content": text, "role": "user"}))
    }

    pub(super) fn answer(&self, talk: &Talk, model: &str) -> RequestBuilder {
        self.paged(Method::POST, "/chat", &Self::talk_page(talk))
            .json(&json!({"conversationId": talk.conversation, "mode": model}))
    }

    pub(super) fn delete(&self, talk: &Talk) -> RequestBuilder {
        self.paged(
            Method::DELETE,
            &format!("/conversation/{}", segment(&talk.conversation)),
            "",
        )
    }

    /// A conversation to which a message was posted.
    pub(super) async fn told(&self, text: &str) -> Talk {
        let talk = self.talk().await;
        let response = self.message(&talk, text).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
        talk
    }

    /// The response to a message with a model, from its head on.
    pub(super) async fn ask(&self, model: &str, text: &str) -> Response {
        let talk = self.told(text).await;
        self.answer(&talk, model).send().await.unwrap()
    }

    pub(super) async fn until(&self, predicate: impl Fn(&Counts) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(10), self.control.wait_until(predicate)).await;
        assert!(waited.is_ok(), "waited in vain: {:#?}", self.control.counts());
    }

    pub(super) fn is_flawless(&self) -> bool {
        self.control.breaches().is_empty()
    }
}

/// The received part of a body, and whether it was complete.
pub(super) async fn drained(mut response: Response) -> (String, bool) {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (String::from_utf8(bytes).unwrap(), true),
            Err(_) => return (String::from_utf8(bytes).unwrap(), false),
        }
    }
}

/// The content of a plain stream of server-sent events.
pub(super) fn content(stream: &str) -> String {
    let chunks = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let values = chunks.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    values
        .filter_map(|value| {
            value["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect()
}
