//! The configuration of a simulated upstream, and the URLs it provides.

use std::time::Duration;

use super::shape::Shape;

/// The behaviour of the simulated upstream when no rule and no model name changes it.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// The accepted tokens (cookies), each for an account of its own.
    pub tokens: Vec<String>,
    /// Whether each account begins with one project.
    pub accounts_with_project: bool,
    /// Number of conversations in each account at the start, as if a person had created them; touching one is a breach.
    /// If there are any, each account has a project for them.
    pub foreign_conversations: usize,
    /// The site that origins and referers must name, without a trailing slash.
    pub site: String,
    /// Delay before the head of each response.
    pub latency: Duration,
    /// Delay between the chunks of a stream.
    pub chunk_delay: Duration,
    /// Most conversations of an account. When it is full, call 4 answers 400 with
    /// `{"statusCode":400,"message":"conversation limit reached"}`.
    pub conversation_limit: Option<usize>,
    /// Whether ids are 64-bit JSON numbers, most of them above 2^53, instead of strings.
    pub numeric_ids: bool,
    /// Whether string ids need percent-encoding in a path (`c 7/é?#%`).
    pub awkward_ids: bool,
    /// Whether successes rotate among the forms that the contract allows: 200 and 201 (204 for a deletion), and the new
    /// conversation's id in `id`, `conversationId` or `conversation_id`. Otherwise 201 for creations, 200 for the rest,
    /// and `id`.
    pub varied: bool,
    /// The format of answers.
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

/// The URLs a gateway needs to use this upstream.
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
