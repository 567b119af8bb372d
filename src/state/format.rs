//! The formats of the two files.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::engine::{
    BenchReason,
    store::{SavedConversation, SavedToken},
    upstream::{ConversationRef, RemoteId},
};

/// `tokens.json`.
#[derive(Serialize, Deserialize)]
struct Tokens {
    version: u32,
    tokens: Vec<Token>,
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Token {
    sha256: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// In milliseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    refusals: u32,
    rate_limits: u32,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum State {
    Benched,
    Disabled,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Refused,
    RateLimited,
}

/// One line of `conversations.log`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Made(Entry),
    Gone(Entry),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    sha256: String,
    project: Id,
    conversation: Id,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Id {
    Unsigned(u64),
    Signed(i64),
    Text(String),
}

pub(super) fn write_tokens(tokens: &[SavedToken]) -> String {
    let tokens = tokens.iter().map(|saved| {
        let (state, reason, until) = match saved.benched {
            Some((reason, until)) => (State::Benched, Some(reason), Some(until)),
            None => (State::Disabled, None, None),
        };
        let since_1970 = until.map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        Token {
            sha256: hex(&saved.digest),
            state,
            reason: reason.map(|reason| match reason {
                BenchReason::Refused => Reason::Refused,
                BenchReason::RateLimited => Reason::RateLimited,
            }),
            until_ms: since_1970.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            refusals: saved.refusals,
            rate_limits: saved.rate_limits,
        }
    });
    let tokens = Tokens {
        version: VERSION,
        tokens: tokens.collect(),
    };
    line(&tokens)
}

pub(super) fn read_tokens(text: &str) -> Result<Vec<SavedToken>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let read: Tokens = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if read.version != VERSION {
        return Err(format!("its version is {}, not {VERSION}", read.version));
    }
    let tokens = read.tokens.into_iter().map(|token| {
        let digest = unhex(&token.sha256).ok_or("sha256 is no SHA-256")?;
        let benched = match (token.state, token.reason, token.until_ms) {
            (State::Disabled, _, _) => None,
            (State::Benched, Some(reason), Some(until)) => {
                let reason = match reason {
                    Reason::Refused => BenchReason::Refused,
                    Reason::RateLimited => BenchReason::RateLimited,
                };
                let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(until));
                Some((reason, until.ok_or("until_ms is no time")?))
            }
            (State::Benched, _, _) => return Err("a benched token lacks reason or until_ms".to_owned()),
        };
        Ok(SavedToken {
            digest,
            benched,
            refusals: token.refusals,
            rate_limits: token.rate_limits,
        })
    });
    tokens.collect()
}

pub(super) fn made(conversation: &SavedConversation) -> String {
    line(&Line::Made(entry(conversation)))
}

pub(super) fn gone(conversation: &SavedConversation) -> String {
    line(&Line::Gone(entry(conversation)))
}

/// The conversations that still have to be deleted according to the journal. An unreadable line, such as one half
/// written by a killed process, is skipped.
pub(super) fn read_journal(text: &str) -> HashMap<([u8; 32], RemoteId), RemoteId> {
    let mut owed = HashMap::new();
    let mut unread = 0;
    for line in text.lines() {
        match serde_json::from_str(line).ok().and_then(understood) {
            Some((key, Some(project))) => {
                owed.insert(key, project);
            }
            Some((key, None)) => {
                owed.remove(&key);
            }
            None => unread += 1,
        }
    }
    if unread > 0 {
        tracing::warn!(
            lines = unread,
            "lines of the conversations' journal cannot be read"
        );
    }
    owed
}

type Key = ([u8; 32], RemoteId);

fn understood(line: Line) -> Option<(Key, Option<RemoteId>)> {
    let (entry, made) = match line {
        Line::Made(entry) => (entry, true),
        Line::Gone(entry) => (entry, false),
    };
    let key = (unhex(&entry.sha256)?, remote(entry.conversation));
    Some((key, made.then(|| remote(entry.project))))
}

pub(super) fn saved(digest: [u8; 32], project: RemoteId, conversation: RemoteId) -> SavedConversation {
    SavedConversation {
        digest,
        reference: ConversationRef {
            project,
            conversation,
        },
    }
}

fn entry(conversation: &SavedConversation) -> Entry {
    Entry {
        sha256: hex(&conversation.digest),
        project: id(&conversation.reference.project),
        conversation: id(&conversation.reference.conversation),
    }
}

fn id(remote: &RemoteId) -> Id {
    match remote {
        RemoteId::Text(text) => Id::Text(text.clone()),
        RemoteId::Unsigned(number) => Id::Unsigned(*number),
        RemoteId::Signed(number) => Id::Signed(*number),
    }
}

fn remote(id: Id) -> RemoteId {
    match id {
        Id::Text(text) => RemoteId::Text(text),
        Id::Unsigned(number) => RemoteId::Unsigned(number),
        Id::Signed(number) => RemoteId::Signed(number),
    }
}

/// Compact JSON with a line end. Serialization cannot fail: the types written here have only string keys.
fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}
