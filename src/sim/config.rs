//! What a simulated upstream is started with, and the addresses it hands out.

use std::time::Duration;

use super::shape::Shape;

/// How the simulated upstream behaves when no rule and no model name says otherwise.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// The cookies it knows; each is an account of its own.
    pub tokens: Vec<String>,
    /// Whether each account begins with one project.
    pub accounts_with_project: bool,
    /// How many conversations each account begins with, as if a person had made them; touching one is a
    /// breach. More than none gives each account a project to hold them.
    pub foreign_conversations: usize,
    /// The site that origins and referers must name, without a slash at its end.
    pub site: String,
    /// Waited before every answer's head.
    pub latency: Duration,
    /// Waited between the chunks of a stream.
    pub chunk_delay: Duration,
    /// How many conversations an account holds. When it is full, call 4 answers 400 with
    /// `{"statusCode":400,"message":"conversation limit reached"}`.
    pub conversation_limit: Option<usize>,
    /// Whether ids are 64-bit JSON numbers, most of them above 2^53, rather than strings.
    pub numeric_ids: bool,
    /// Whether ids that are strings need percent-encoding in a path (`c 7/é?#%`).
    pub awkward_ids: bool,
    /// Whether successes take turns among what the contract allows: 200 and 201 (204 for a deletion), and the
    /// new conversation's id in `id`, `conversationId` or `conversation_id`. Otherwise 201 for what makes
    /// something, 200 for the rest, and `id`.
    pub varied: bool,
    /// How answers are written.
    pub answer: Shape,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            tokens: vec!["sim-token".to_owned()],
            accounts_with_project: false,
            foreign_conversations: 0,
            site: "http://sim.invalid".to_owned(),
            latency: Duration::ZERO,
            chunk_delay: Duration::ZERO,
            conversation_limit: None,
            numeric_ids: false,
            awkward_ids: false,
            varied: false,
            answer: Shape::default(),
        }
    }
}

/// The addresses a gateway needs to speak to this upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For `PROJECT_API_URL`.
    pub project: String,
    /// For `CONVERSATION_API_URL`.
    pub conversation: String,
    /// For `MESSAGE_API_URL`.
    pub message: String,
    /// For `TARGET_API_URL`.
    pub target: String,
    /// For `SITE_URL`.
    pub site: String,
}
