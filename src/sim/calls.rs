//! The seven calls: each is checked and planned here, then performed.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};

use super::contract::{self, Call};
use super::counts::Step;
use super::fault;
use super::lookup::{Place, SentId};
use super::models;
use super::performance::Performance;
use super::plan::Plan;
use super::refusal::{HangUp, Refusal};
use super::shared::Shared;

/// Largest request body, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// Serves one call up to the head of its response.
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

/// Counts a call whose client disconnects before the head, which drops the call's future.
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
            shared.change(|state| {
                state.begin_call_with(token, step);
                if let (Step::Message, Some(SentId::Path(conversation))) = (step, &id) {
                    state.message_refused(token, conversation);
                }
            });
            return Err(Refusal::plain(401, "Unauthorized"));
        }
        None => return Err(Refusal::breach(401, "the token was never known")),
    }
    shared.change(|state| state.begin_call_with(token, step));
    let bytes = axum::body::to_bytes(body, MOST_BYTES).await;
    let bytes = bytes.map_err(|error| Refusal::plain(400, format!("the body did not arrive: {error}")))?;
    let call = contract::read(step, id.as_ref(), &parts, &bytes)?;
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

/// Finds the project or conversation that a call names.
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

/// The faults of a call: those of the model, overridden by a matching rule or, without one, by chance.
fn plan(shared: &Shared, token: &str, step: Step, call: &Call) -> Result<Plan, Refusal> {
    let mut plan = Plan::new(&shared.config);
    let struck = shared.change(|state| {
        let by_rule = fault::strike(&mut state.rules, token, step);
        by_rule.or_else(|| state.chance.as_mut()?.strike())
    });
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
