//! The accounts of the service: their projects and conversations, and the effect of each call on them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::chaos::Chance;
use super::config::SimConfig;
use super::counts::{Counts, Step};
use super::fault::Rule;
use super::ids::{self, Departed, Departure, Mint};
use super::records::Records;
use super::refusal::Refusal;
use super::turns::Turn;

/// A project of an account.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) id: Value,
    name: String,
    pub(super) token: String,
}

/// A conversation of a project.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) id: Value,
    pub(super) project: String,
    pub(super) token: String,
    /// Whether it existed when the account was opened.
    pub(super) foreign: bool,
    pub(super) turn: Turn,
    pub(super) text: Option<String>,
    pub(super) last_text: u64,
}

/// The mutable state.
#[derive(Debug)]
pub(super) struct State {
    pub(super) counts: Counts,
    pub(super) rules: Vec<Rule>,
    pub(super) chance: Option<Chance>,
    pub(super) records: Records,
    /// Each known token, and whether it is revoked.
    tokens: BTreeMap<String, bool>,
    pub(super) projects: BTreeMap<String, Project>,
    pub(super) conversations: HashMap<String, Conversation>,
    pub(super) departed: Departed,
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
            chance: None,
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

    /// Opens an account for a token, unless there is one.
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

    /// Sets whether a token is revoked; false if it is unknown.
    pub(super) fn set_revoked(&mut self, token: &str, revoked: bool) -> bool {
        self.tokens.get_mut(token).map(|state| *state = revoked).is_some()
    }

    /// Whether a token is revoked; `None` for an unknown one.
    pub(super) fn is_revoked(&self, token: &str) -> Option<bool> {
        self.tokens.get(token).copied()
    }

    /// Records a breach, with known tokens masked; those shorter than four bytes are not.
    pub(super) fn breach(&mut self, sentence: &str) {
        let secrets = self.tokens.keys().filter(|token| token.len() >= 4);
        let clean = secrets.fold(sentence.to_owned(), |text, token| {
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

    pub(super) fn list_projects(&self, token: &str) -> Value {
        let own = self.projects.values().filter(|project| project.token == token);
        own.map(|project| json!({"id": project.id, "name": project.name, "color": "blue"}))
            .collect()
    }

    /// Creates a project. A second one is a breach, and is created too.
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

    /// Creates a conversation, unless the account is full.
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

    /// Drops a token's conversations and optionally its projects, as the service does on its own.
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
