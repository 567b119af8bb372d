//! The counters of the simulated upstream: calls, statuses, open answers, conversations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One of the seven calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Call 1.
    ListProjects,
    /// Call 2.
    CreateProject,
    /// Call 3.
    ListConversations,
    /// Call 4.
    CreateConversation,
    /// Call 5.
    DeleteConversation,
    /// Call 6.
    Message,
    /// Call 7.
    Answer,
}

impl Step {
    /// The call's name in breaches.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ListProjects => "call 1 (list projects)",
            Self::CreateProject => "call 2 (create a project)",
            Self::ListConversations => "call 3 (list conversations)",
            Self::CreateConversation => "call 4 (create a conversation)",
            Self::DeleteConversation => "call 5 (delete a conversation)",
            Self::Message => "call 6 (message)",
            Self::Answer => "call 7 (answer)",
        }
    }
}

/// Counts since the start or the last `forget`. Open, held and existing things are gauges, which `forget` keeps. Only
/// known tokens appear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Calls begun, by step.
    pub calls: BTreeMap<Step, u64>,
    /// Calls begun with a known token, by token and step.
    pub calls_by_token: BTreeMap<String, BTreeMap<Step, u64>>,
    /// Heads sent, by step and status.
    pub statuses: BTreeMap<Step, BTreeMap<u16, u64>>,
    /// Calls whose connection a rule closed before the head, by step.
    pub hung_up: BTreeMap<Step, u64>,
    /// Calls whose client disconnected before the head, by step.
    pub abandoned: BTreeMap<Step, u64>,
    /// Messages accepted.
    pub messages: u64,
    /// Answers begun: call 7 passed every check.
    pub answers_asked: u64,
    /// Answers whose first piece of content was sent.
    pub answers_started: u64,
    /// Answers sent to their end, or at least to their finish reason or `[DONE]`.
    pub answers_finished: u64,
    /// Answers failed by a rule or model name, or cut by the shutdown of the simulator.
    pub answers_failed: u64,
    /// Answers whose client disconnected early, before or after the head.
    pub answers_left: u64,
    /// Answers open now, by token; tokens without one are absent.
    pub open_answers: BTreeMap<String, u64>,
    /// The most answers open at the same time, by token.
    pub most_open_answers: BTreeMap<String, u64>,
    /// Conversations created by call 4.
    pub conversations_made: u64,
    /// Conversations deleted by call 5.
    pub conversations_deleted: u64,
    /// Existing conversations, without those that an account began with.
    pub conversations_left: u64,
    /// Existing conversations by token, including those that the account began with.
    pub conversations: BTreeMap<String, u64>,
    /// Existing projects by token.
    pub projects: BTreeMap<String, u64>,
    /// Connections open now.
    pub connections_open: u64,
    /// Connections accepted.
    pub connections_made: u64,
    /// Breaches of the contract, including those whose sentences were dropped.
    pub breaches: u64,
}

impl Counts {
    /// Calls of one step.
    pub fn calls_of(&self, step: Step) -> u64 {
        self.calls.get(&step).copied().unwrap_or(0)
    }

    /// Calls of one step made with one token.
    pub fn calls_with(&self, token: &str, step: Step) -> u64 {
        self.calls_by_token
            .get(token)
            .and_then(|steps| steps.get(&step))
            .copied()
            .unwrap_or(0)
    }

    /// Heads of one step sent with one status.
    pub fn answered_with(&self, step: Step, status: u16) -> u64 {
        self.statuses
            .get(&step)
            .and_then(|statuses| statuses.get(&status))
            .copied()
            .unwrap_or(0)
    }

    /// Answers open now, over all tokens.
    pub fn open(&self) -> u64 {
        self.open_answers.values().sum()
    }

    /// Resets everything but the gauges.
    pub(super) fn forget(&mut self) {
        let gauges = std::mem::take(self);
        *self = Self {
            most_open_answers: gauges.open_answers.clone(),
            open_answers: gauges.open_answers,
            conversations_left: gauges.conversations_left,
            conversations: gauges.conversations,
            projects: gauges.projects,
            connections_open: gauges.connections_open,
            ..Self::default()
        };
    }

    pub(super) fn answer_opened(&mut self, token: &str) {
        let open = self.open_answers.entry(token.to_owned()).or_default();
        *open += 1;
        let most = self.most_open_answers.entry(token.to_owned()).or_default();
        *most = (*most).max(*open);
        self.answers_asked += 1;
    }

    pub(super) fn answer_closed(&mut self, token: &str) {
        if let Some(open) = self.open_answers.get_mut(token) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open_answers.remove(token);
            }
        }
    }
}
