//! The accounts of the service: their projects and conversations, and what each call does to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::config::SimConfig;
use super::counts::{Counts, Step};
use super::fault::Rule;
use super::ids::{self, Departed, Departure, Mint};
use super::records::Records;
use super::refusal::Refusal;
use super::turns::Turn;

/// A project of an account.
#[derive(Debug)]
struct Project {
    id: Value,
    name: String,
    token: String,
}

/// A conversation of a project.
#[derive(Debug)]
pub(super) struct Conversation {
    id: Value,
    project: String,
    token: String,
    /// Whether the account began with it.
    foreign: bool,
    pub(super) turn: Turn,
    pub(super) text: Option<String>,
    pub(super) last_text: u64,
}

/// An id as a call sends it.
#[derive(Clone, Debug)]
pub(super) enum SentId {
    /// In the path, decoded.
    Path(String),
    /// In the JSON body.
    Body(Value),
}

/// Where a call takes place, as ids in text.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) project: String,
    pub(super) conversation: String,
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) counts: Counts,
    pub(super) rules: Vec<Rule>,
    pub(super) records: Records,
    /// Each known token and whether it is revoked.
    tokens: BTreeMap<String, bool>,
    projects: BTreeMap<String, Project>,
    pub(super) conversations: HashMap<String, Conversation>,
    departed: Departed,
    mint: Mint,
    limit: Option<u64>,
    with_project: bool,
    foreign: usize,
}

impl State {
    pub(super) fn new(config: &SimConfig) -> Self {
        let mut state = Self {
            counts: Counts::default(),
            rules: Vec::new(),
            records: Records::default(),
            tokens: BTreeMap::new(),
            projects: BTreeMap::new(),
            conversations: HashMap::new(),
            departed: Departed::default(),
            mint: Mint::new(config),
            limit: config
                .conversation_limit
                .map(|limit| u64::try_from(limit).unwrap_or(u64::MAX)),
            with_project: config.accounts_with_project,
            foreign: config.foreign_conversations,
        };
        for token in &config.tokens {
            state.add_token(token);
        }
        state
    }

    /// Opens an account, unless there is one.
    pub(super) fn add_token(&mut self, token: &str) {
        if self.tokens.contains_key(token) {
            return;
        }
        self.tokens.insert(token.to_owned(), false);
        self.counts.projects.insert(token.to_owned(), 0);
        self.counts.conversations.insert(token.to_owned(), 0);
        if self.with_project || self.foreign > 0 {
            let project = self.add_project(token, "My project");
            for _ in 0..self.foreign {
                self.add_conversation(token, &project, true);
            }
        }
    }

    /// Revokes a token or takes that back; whether it is known.
    pub(super) fn set_revoked(&mut self, token: &str, revoked: bool) -> bool {
        self.tokens.get_mut(token).map(|state| *state = revoked).is_some()
    }

    /// Whether a token is revoked; nothing when it was never known.
    pub(super) fn is_revoked(&self, token: &str) -> Option<bool> {
        self.tokens.get(token).copied()
    }

    /// Records a breach, with no known token in its sentence.
    pub(super) fn breach(&mut self, sentence: &str) {
        let clean = self
            .tokens
            .keys()
            .filter(|token| !token.is_empty())
            .fold(sentence.to_owned(), |text, token| {
                text.replace(token.as_str(), "<token>")
            });
        self.counts.breaches += 1;
        self.records.breach(&clean);
    }

    pub(super) fn begin_call(&mut self, step: Step) {
        *self.counts.calls.entry(step).or_default() += 1;
    }

    pub(super) fn begin_call_with(&mut self, token: &str, step: Step) {
        let steps = self.counts.calls_by_token.entry(token.to_owned()).or_default();
        *steps.entry(step).or_default() += 1;
    }

    /// The project that an id names.
    pub(super) fn find_project(&self, token: &str, sent: &SentId) -> Result<Place, Refusal> {
        let text = self.known_text(sent, "project")?;
        let found = self.projects.get(&text).filter(|project| project.token == token);
        let project = found.ok_or_else(|| self.missing(&text, "project"))?;
        same_type(sent, &project.id, "project")?;
        Ok(Place {
            project: text,
            conversation: String::new(),
        })
    }

    /// The conversation that an id names.
    pub(super) fn find_conversation(&self, token: &str, sent: &SentId) -> Result<Place, Refusal> {
        let text = self.known_text(sent, "conversation")?;
        let found = self
            .conversations
            .get(&text)
            .filter(|conversation| conversation.token == token);
        let conversation = found.ok_or_else(|| self.missing(&text, "conversation"))?;
        same_type(sent, &conversation.id, "conversation")?;
        Ok(Place {
            project: conversation.project.clone(),
            conversation: text,
        })
    }

    /// Whether the account began with the conversation.
    pub(super) fn is_foreign(&self, conversation: &str) -> bool {
        self.conversations
            .get(conversation)
            .is_some_and(|conversation| conversation.foreign)
    }

    /// Whether this token has deleted the conversation before, or the service dropped it: deleting it then is
    /// no breach.
    pub(super) fn is_gone_for(&self, token: &str, id: &str) -> bool {
        match self.departed.how(id) {
            Some(Departure::Deleted(by)) => by == token,
            Some(Departure::Expired) => true,
            None => false,
        }
    }

    fn known_text(&self, sent: &SentId, what: &str) -> Result<String, Refusal> {
        match sent {
            SentId::Path(text) => Ok(text.clone()),
            SentId::Body(id) => ids::text(id)
                .ok_or_else(|| Refusal::breach(400, format!("the {what} id is neither string nor number"))),
        }
    }

    fn missing(&self, text: &str, what: &str) -> Refusal {
        match self.departed.how(text) {
            Some(Departure::Expired) => Refusal::plain(404, format!("{what} not found")),
            Some(Departure::Deleted(_)) => {
                Refusal::breach(404, format!("the {what} {text:?} was deleted before"))
            }
            None => Refusal::breach(404, format!("the account has no {what} {text:?}")),
        }
    }

    pub(super) fn list_projects(&self, token: &str) -> Value {
        let own = self.projects.values().filter(|project| project.token == token);
        own.map(|project| json!({"id": project.id, "name": project.name, "color": "blue"}))
            .collect()
    }

    /// Makes a project; a second one is a breach, and made.
    pub(super) fn create_project(&mut self, token: &str, name: &str) -> Value {
        if self
            .counts
            .projects
            .get(token)
            .is_some_and(|projects| *projects > 0)
        {
            self.breach(&format!(
                "{}: the account has a project already",
                Step::CreateProject.title()
            ));
        }
        let text = self.add_project(token, name);
        self.projects
            .get(&text)
            .map_or(Value::Null, |project| project.id.clone())
    }

    fn add_project(&mut self, token: &str, name: &str) -> String {
        let id = self.mint.next('p');
        let text = ids::text(&id).unwrap_or_default();
        self.projects.insert(
            text.clone(),
            Project {
                id,
                name: name.to_owned(),
                token: token.to_owned(),
            },
        );
        *self.counts.projects.entry(token.to_owned()).or_default() += 1;
        text
    }

    pub(super) fn list_conversations(&self, project: &str) -> Value {
        let own = self
            .conversations
            .values()
            .filter(|conversation| conversation.project == project);
        own.map(|conversation| json!({"id": conversation.id, "title": null}))
            .collect()
    }

    /// Makes a conversation, unless the account is full.
    pub(super) fn create_conversation(&mut self, token: &str, project: &str) -> Result<Value, Refusal> {
        let held = self.counts.conversations.get(token).copied().unwrap_or(0);
        if self.limit.is_some_and(|limit| held >= limit) {
            return Err(Refusal::plain(400, "conversation limit reached"));
        }
        self.counts.conversations_made += 1;
        self.counts.conversations_left += 1;
        Ok(self.add_conversation(token, project, false))
    }

    fn add_conversation(&mut self, token: &str, project: &str, foreign: bool) -> Value {
        let id = self.mint.next('c');
        let conversation = Conversation {
            id: id.clone(),
            project: project.to_owned(),
            token: token.to_owned(),
            foreign,
            turn: Turn::Fresh,
            text: None,
            last_text: 0,
        };
        self.conversations
            .insert(ids::text(&id).unwrap_or_default(), conversation);
        *self.counts.conversations.entry(token.to_owned()).or_default() += 1;
        id
    }

    /// Deletes a conversation.
    pub(super) fn delete_conversation(&mut self, token: &str, conversation: &str) {
        self.counts.conversations_deleted += 1;
        self.remove_conversation(conversation, Departure::Deleted(token.to_owned()));
    }

    fn remove_conversation(&mut self, id: &str, how: Departure) {
        let Some(gone) = self.conversations.remove(id) else {
            return;
        };
        self.departed.add(id.to_owned(), how);
        let held = self.counts.conversations.entry(gone.token).or_default();
        *held = held.saturating_sub(1);
        if !gone.foreign {
            self.counts.conversations_left = self.counts.conversations_left.saturating_sub(1);
        }
    }

    /// Drops a token's conversations, and its projects too if asked, as a service does on its own.
    pub(super) fn expire(&mut self, token: &str, projects_too: bool) {
        let own = self
            .conversations
            .iter()
            .filter(|(_, conversation)| conversation.token == token);
        let conversations: BTreeSet<String> = own.map(|(id, _)| id.clone()).collect();
        for id in conversations {
            self.remove_conversation(&id, Departure::Expired);
        }
        if projects_too {
            for (id, _) in self.projects.extract_if(.., |_, project| project.token == token) {
                self.departed.add(id, Departure::Expired);
            }
            self.counts.projects.insert(token.to_owned(), 0);
        }
    }
}

fn same_type(sent: &SentId, id: &Value, what: &str) -> Result<(), Refusal> {
    match sent {
        SentId::Body(sent) if sent != id => Err(Refusal::breach(
            400,
            format!("the {what} id went back as {sent} and had come as {id}"),
        )),
        SentId::Body(_) | SentId::Path(_) => Ok(()),
    }
}
