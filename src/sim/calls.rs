//! The seven calls: each is judged, planned, put into effect and answered, in that order.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::body::{self, Ending, OpenAnswer, Pace};
use super::contract::{self, Call};
use super::counts::Step;
use super::events;
use super::fault;
use super::models;
use super::plan::{Head, Plan};
use super::refusal::{self, HangUp, Refusal};
use super::shared::{Progress, Shared};
use super::state::{Place, SentId};

/// The most bytes of a request's body.
const MOST_BYTES: usize = 64 << 20;

/// Serves one call from its request to its head.
pub(super) async fn serve(shared: Arc<Shared>, step: Step, id: Option<SentId>, request: Request) -> Response {
    shared.change(|state| state.begin_call(step));
    let mut unanswered = Unanswered {
        shared: &shared,
        step,
        answered: false,
    };
    let response = answer(&shared, step, id, request)
        .await
        .unwrap_or_else(|refusal| {
            shared.note(step, &refusal);
            refusal.into_response()
        });
    unanswered.answered = true;
    let hung_up = response.extensions().get::<HangUp>().is_some();
    let status = response.status().as_u16();
    shared.change(|state| {
        if hung_up {
            *state.counts.hung_up.entry(step).or_default() += 1;
        } else {
            *state
                .counts
                .statuses
                .entry(step)
                .or_default()
                .entry(status)
                .or_default() += 1;
        }
    });
    response
}

/// Counts a call whose client leaves before the head: its future is dropped.
struct Unanswered<'a> {
    shared: &'a Shared,
    step: Step,
    answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared
                .change(|state| *state.counts.abandoned.entry(self.step).or_default() += 1);
        }
    }
}

async fn answer(
    shared: &Arc<Shared>,
    step: Step,
    id: Option<SentId>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    for name in contract::strangers(&parts.headers) {
        shared.breach(step, &format!("the header {name} travelled on"));
    }
    let token = contract::token(&parts.headers)?;
    match shared.read(|state| state.is_revoked(token)) {
        Some(false) => {}
        Some(true) => {
            shared.change(|state| state.begin_call_with(token, step));
            return Err(Refusal::plain(401, "Unauthorized"));
        }
        None => return Err(Refusal::breach(401, "the token was never known")),
    }
    shared.change(|state| state.begin_call_with(token, step));
    let bytes = axum::body::to_bytes(body, MOST_BYTES).await;
    let bytes = bytes.map_err(|error| Refusal::plain(400, format!("the body did not arrive: {error}")))?;
    let call = contract::read(step, id, &parts, &bytes)?;
    let place = locate(shared, token, &call)?;
    contract::page(step, &place, &parts.headers, &shared.config.site)?;
    let plan = plan(shared, token, step, &call)?;
    shared.settle(&place.conversation).await;
    let performance = Performance {
        shared,
        token,
        step,
        place: &place,
        plan,
    };
    performance.play(&call).await
}

/// Finds what a call names.
fn locate(shared: &Shared, token: &str, call: &Call) -> Result<Place, Refusal> {
    shared.read(|state| match call {
        Call::ListProjects | Call::CreateProject { .. } => Ok(Place::default()),
        Call::ListConversations { project } | Call::CreateConversation { project } => {
            state.find_project(token, project)
        }
        Call::DeleteConversation {
            conversation: SentId::Path(id),
        } if state.is_gone_for(token, id) => Err(Refusal::plain(404, "conversation not found")),
        Call::DeleteConversation { conversation }
        | Call::Message { conversation, .. }
        | Call::Answer { conversation, .. } => state.find_conversation(token, conversation),
    })
}

/// What will happen to a call: the rules' word first, then the model's.
fn plan(shared: &Shared, token: &str, step: Step, call: &Call) -> Result<Plan, Refusal> {
    let mut plan = Plan::new(&shared.config);
    let struck = shared.change(|state| fault::strike(&mut state.rules, token, step));
    let behaviours = match call {
        Call::Answer { model, .. } => models::behaviour(model).map_err(|why| Refusal::plain(400, why))?,
        Call::ListProjects
        | Call::CreateProject { .. }
        | Call::ListConversations { .. }
        | Call::CreateConversation { .. }
        | Call::DeleteConversation { .. }
        | Call::Message { .. } => Vec::new(),
    };
    for fault in behaviours.into_iter().chain(struck) {
        plan.add(fault).map_err(|why| Refusal::plain(500, why))?;
    }
    Ok(plan)
}

/// A call that has passed every check of its form.
struct Performance<'a> {
    shared: &'a Arc<Shared>,
    token: &'a str,
    step: Step,
    place: &'a Place,
    plan: Plan,
}

/// What a call came to.
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
    async fn play(self, call: &Call) -> Result<Response, Refusal> {
        if let Head::Redirect { code, location } = &self.plan.head {
            tokio::time::sleep(self.plan.delay).await;
            return Ok(refusal::redirect(*code, location));
        }
        self.forewarn()?;
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

    /// Records what is a breach and yet done.
    fn forewarn(&self) -> Result<(), Refusal> {
        let conversation = &self.place.conversation;
        if conversation.is_empty() {
            return Ok(());
        }
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
        Ok(())
    }

    /// Puts a call into effect. A message or an answer counts as tried even when it is to fail.
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
                    let open = (self.shared.clone(), self.token.to_owned(), conversation.clone());
                    let open = OpenAnswer::new(open.0, open.1, open.2);
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

    /// The first of the choices, or by turns when successes vary.
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

    /// A message that is answered with success may be followed by the question for its answer.
    fn told(&self, status: StatusCode) {
        if self.step == Step::Message && status.is_success() {
            self.shared
                .change(|state| state.message_told(&self.place.conversation));
        }
    }
}
