//! Performs a call: takes effect, waits, and responds according to its plan.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::body::{self, Ending, OpenAnswer, Pace};
use super::contract::Call;
use super::counts::Step;
use super::events;
use super::lookup::Place;
use super::plan::{Head, Plan};
use super::refusal::{self, HangUp, Refusal};
use super::shared::{Progress, Shared};

/// A call whose form is valid.
pub(super) struct Performance<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) token: &'a str,
    pub(super) step: Step,
    pub(super) place: &'a Place,
    pub(super) plan: Plan,
}

/// The result of a call.
enum Outcome {
    Document(Value),
    Nothing,
    Answer {
        open: OpenAnswer,
        model: String,
        text: String,
    },
}

impl Performance<'_> {
    /// Performs the call up to the head of its response.
    pub(super) async fn play(self, call: &Call) -> Result<Response, Refusal> {
        if let Head::Redirect { code, location } = &self.plan.head {
            tokio::time::sleep(self.plan.delay).await;
            return Ok(refusal::redirect(*code, location));
        }
        self.forewarn();
        let takes_effect = matches!(
            self.plan.head,
            Head::Good | Head::HangUpAfterEffect | Head::EmptyBody
        );
        let outcome = self.try_out(call, takes_effect)?;
        tokio::time::sleep(self.plan.delay).await;
        if matches!(outcome, Outcome::Answer { .. }) {
            self.shared.pass(Progress::Nothing).await;
        }
        self.answer(outcome).await
    }

    /// Records breaches that do not prevent the call.
    fn forewarn(&self) {
        let conversation = &self.place.conversation;
        if self.shared.read(|state| state.is_foreign(conversation)) {
            self.shared.breach(
                self.step,
                "the conversation was there before and is not the gateway's",
            );
        }
        if self.step == Step::DeleteConversation && self.shared.read(|state| state.is_answering(conversation))
        {
            self.shared
                .breach(self.step, "the conversation's answer is still open");
        }
    }

    /// Applies a call to the state. A message or an answer counts as tried even if the plan makes it fail.
    fn try_out(&self, call: &Call, takes_effect: bool) -> Result<Outcome, Refusal> {
        let Place {
            project,
            conversation,
        } = self.place;
        self.shared.change(|state| {
            Ok(match call {
                Call::Message { text, .. } => {
                    state.message_tried(conversation, text)?;
                    state.counts.messages += u64::from(takes_effect);
                    Outcome::Document(json!({"ok": true}))
                }
                Call::Answer { model, .. } => {
                    let text = state.answer_asked(self.token, conversation, model)?;
                    let open = OpenAnswer::new(self.shared.clone(), self.token, conversation);
                    Outcome::Answer {
                        open,
                        model: model.clone(),
                        text,
                    }
                }
                _ if !takes_effect => Outcome::Nothing,
                Call::ListProjects => Outcome::Document(state.list_projects(self.token)),
                Call::ListConversations { .. } => Outcome::Document(state.list_conversations(project)),
                Call::CreateProject { name } => {
                    Outcome::Document(json!({"id": state.create_project(self.token, name), "name": name}))
                }
                Call::CreateConversation { .. } => {
                    let id = state.create_conversation(self.token, project)?;
                    let key = self.vary(
                        state.counts.conversations_made,
                        ["id", "conversationId", "conversation_id"],
                    );
                    Outcome::Document(json!({key: id, "title": null}))
                }
                Call::DeleteConversation { .. } => {
                    state.delete_conversation(self.token, conversation);
                    Outcome::Nothing
                }
            })
        })
    }

    /// The first of the choices, or with varied successes each in turn.
    fn vary<T: Copy, const N: usize>(&self, turn: u64, choices: [T; N]) -> T {
        let turn = if self.shared.config.varied {
            usize::try_from(turn).unwrap_or(0)
        } else {
            0
        };
        choices[turn % N]
    }

    async fn answer(self, outcome: Outcome) -> Result<Response, Refusal> {
        let response = match &self.plan.head {
            Head::Stall => std::future::pending().await,
            Head::HangUp { reset } => refusal::hang_up(*reset),
            Head::HangUpAfterEffect => refusal::hang_up(false),
            Head::Redirect { code, location } => refusal::redirect(*code, location),
            Head::Page(page) => refusal::page(page),
            Head::ErrorBody(status) => refusal::error_body(*status),
            Head::EmptyBody => refusal::response(200, self.plan.shape.content_type(), Body::empty()),
            Head::Good => return Ok(self.succeed(outcome)),
        };
        if let Outcome::Answer { mut open, .. } = outcome {
            open.end(Ending::Failed);
        }
        if response.extensions().get::<HangUp>().is_none() {
            self.told(response.status());
        }
        Ok(response)
    }

    fn succeed(self, outcome: Outcome) -> Response {
        let calls = self.shared.read(|state| state.counts.calls_of(self.step));
        let status = match self.step {
            Step::CreateProject | Step::CreateConversation | Step::Message => self.vary(calls, [201, 200]),
            Step::DeleteConversation => self.vary(calls, [200, 204]),
            Step::Answer => self.vary(calls, [200, 201]),
            Step::ListProjects | Step::ListConversations => 200,
        };
        let pace = Pace {
            chunk_delay: self.plan.chunk_delay,
            split: self.plan.shape.split,
        };
        let paced = |pieces, open| body::paced(self.shared.clone(), pieces, pace, open);
        let (content_type, body) = match outcome {
            Outcome::Answer { open, model, text } => {
                let pieces = events::answer(&self.plan, &model, &text);
                (self.plan.shape.content_type(), paced(pieces, Some(open)))
            }
            Outcome::Document(value) => {
                let whole = self.plan.interruption.is_none() && pace.split.is_none();
                let body = if whole {
                    value.to_string().into()
                } else {
                    paced(events::document(&self.plan, &value), None)
                };
                ("application/json; charset=utf-8", body)
            }
            Outcome::Nothing => ("text/plain", Body::empty()),
        };
        let response = refusal::response(status, content_type, body);
        self.told(response.status());
        response
    }

    /// Records a successful message, which allows the call for its answer.
    fn told(&self, status: StatusCode) {
        if self.step == Step::Message && status.is_success() {
            self.shared
                .change(|state| state.message_told(&self.place.conversation));
        }
    }
}
