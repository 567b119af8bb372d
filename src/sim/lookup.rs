//! Looking up ids, and checking their owner.

use serde_json::Value;

use super::ids::{self, Departure};
use super::refusal::Refusal;
use super::state::State;

/// An id as sent in a call.
#[derive(Clone, Debug)]
pub(super) enum SentId {
    /// In the path, decoded.
    Path(String),
    /// In the JSON body.
    Body(Value),
}

/// The ids that a call refers to, as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) project: String,
    pub(super) conversation: String,
}

impl State {
    /// Finds the project with this id.
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

    /// Finds the conversation with this id.
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

    /// Whether the conversation existed when the account was opened.
    pub(super) fn is_foreign(&self, conversation: &str) -> bool {
        self.conversations
            .get(conversation)
            .is_some_and(|conversation| conversation.foreign)
    }

    /// Whether this token deleted the conversation before, or the service dropped it; deleting it again is no breach
    /// then.
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
