//! Admin operations through either door. Both return the same data, so both are read as the same JSON.

use duogate::app::client::{self, Door as ProtoDoor, diagnostics_service_client::DiagnosticsServiceClient};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::{Request, Status, transport::Channel};

use super::{Door, Failure, Gateway, error_of, failure_of};

/// The admin key, in gateways that have one.
pub(crate) const ADMIN_KEY: &str = "adm-it-0123456789abcdef";

/// A door for admin operations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) door: Door,
}

/// The result of an operation.
pub(crate) type Told = Result<Value, Failure>;

impl<'a> Desk<'a> {
    pub(crate) fn both(gateway: &'a Gateway) -> [Self; 2] {
        Door::BOTH.map(|door| Self { gateway, door })
    }

    fn client(self) -> DiagnosticsServiceClient<Channel> {
        DiagnosticsServiceClient::new(self.gateway.channel())
    }

    async fn http(self, method: Method, path: &str, body: Option<Value>) -> Told {
        let mut request = self.gateway.web.request(method, self.gateway.url(path));
        request = request.bearer_auth(ADMIN_KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        if response.status().is_success() {
            assert_eq!(response.headers()["content-type"], "application/json");
            return Ok(response.json().await.unwrap());
        }
        Err(error_of(response).await)
    }

    pub(crate) async fn tokens(self) -> Vec<Value> {
        let told = match self.door {
            Door::Http => self.http(Method::GET, "/admin/tokens", None).await.unwrap()["tokens"].take(),
            Door::Grpc => {
                let listed = self
                    .client()
                    .list_tokens(keyed(client::ListTokensRequest {}))
                    .await;
                listed.unwrap().into_inner().tokens.iter().map(token).collect()
            }
        };
        told.as_array().unwrap().clone()
    }

    pub(crate) async fn add(self, secret: &str) -> Told {
        match self.door {
            Door::Http => {
                let body = json!({ "token": secret });
                self.http(Method::POST, "/admin/tokens", Some(body)).await
            }
            Door::Grpc => {
                let token = secret.to_owned();
                let request = keyed(client::AddTokenRequest { token });
                assert!(
                    !format!("{request:?}").contains(secret) || secret.is_empty(),
                    "its Debug shows it"
                );
                let added = told(self.client().add_token(request).await)?;
                Ok(json!({
                    "token": self::token(&added.token.unwrap()),
                    "added": added.added,
                    "persisted": added.persisted,
                    "note": added.note,
                }))
            }
        }
    }

    pub(crate) async fn remove(self, hash: &str) -> Told {
        match self.door {
            Door::Http => {
                self.http(Method::DELETE, &format!("/admin/tokens/{hash}"), None)
                    .await
            }
            Door::Grpc => {
                let hash = hash.to_owned();
                let request = keyed(client::RemoveTokenRequest { hash });
                let removed = told(self.client().remove_token(request).await)?;
                Ok(json!({
                    "token": token(&removed.token.unwrap()),
                    "persisted": removed.persisted,
                    "note": removed.note,
                }))
            }
        }
    }

    pub(crate) async fn reset(self, hash: &str) -> Told {
        match self.door {
            Door::Http => {
                let path = format!("/admin/tokens/{hash}/reset");
                self.http(Method::POST, &path, None).await
            }
            Door::Grpc => {
                let hash = hash.to_owned();
                let request = keyed(client::ResetTokenRequest { hash });
                let reset = told(self.client().reset_token(request).await)?;
                Ok(json!({ "token": token(&reset.token.unwrap()) }))
            }
        }
    }

    pub(crate) async fn probe(self, hash: &str) -> Told {
        match self.door {
            Door::Http => {
                let path = format!("/admin/tokens/{hash}/probe");
                self.http(Method::POST, &path, None).await
            }
            Door::Grpc => {
                let hash = hash.to_owned();
                let request = keyed(client::ProbeTokenRequest { hash });
                let probed = told(self.client().probe_token(request).await)?;
                let failure = probed.failure;
                Ok(json!({
                    "ok": failure.is_none(),
                    "failure": failure.map(|failure| json!({ "kind": failure.kind, "message": failure.message })),
                    "token": token(&probed.token.unwrap()),
                }))
            }
        }
    }

    pub(crate) async fn requests(self) -> Vec<Value> {
        match self.door {
            Door::Http => {
                let told = self.http(Method::GET, "/admin/requests", None).await.unwrap();
                told["requests"].as_array().unwrap().clone()
            }
            Door::Grpc => {
                let request = keyed(client::ListRequestsRequest {});
                let listed = self.client().list_requests(request).await;
                let rows = listed.unwrap().into_inner().requests;
                rows.iter().map(active).collect()
            }
        }
    }

    pub(crate) async fn cancel(self, id: &str) -> Told {
        match self.door {
            Door::Http => {
                self.http(Method::DELETE, &format!("/admin/requests/{id}"), None)
                    .await
            }
            Door::Grpc => {
                let request = keyed(client::CancelRequestRequest { id: id.to_owned() });
                let cancelled = told(self.client().cancel_request(request).await)?;
                Ok(json!({ "id": id, "cancelled": cancelled.cancelled }))
            }
        }
    }

    pub(crate) async fn explain(self) -> Value {
        if self.door == Door::Http {
            return self.http(Method::GET, "/admin/explain", None).await.unwrap();
        }
        let told = self.client().explain(keyed(client::ExplainRequest {})).await;
        let told = told.unwrap().into_inner();
        let rows = told.candidates.iter().map(|candidate| {
            let mut row = token(candidate.token.as_ref().unwrap());
            row["standing"] = spelled(candidate.standing().as_str_name(), "STANDING_");
            row["why"] = json!(candidate.why);
            row
        });
        json!({
            "chosen": told.chosen.as_ref().map(|chosen| json!({ "token": chosen.label, "sha256": chosen.sha256 })),
            "refusal": told.refusal.as_ref().map(|told| json!({ "kind": told.kind, "message": told.message })),
            "open_breakers": told.open_breakers,
            "tokens": rows.collect::<Vec<_>>(),
        })
    }

    pub(crate) async fn conversations(self) -> Value {
        if self.door == Door::Http {
            return self
                .http(Method::GET, "/admin/conversations", None)
                .await
                .unwrap();
        }
        let request = keyed(client::GetConversationsRequest {});
        let counts = self
            .client()
            .get_conversations(request)
            .await
            .unwrap()
            .into_inner();
        json!({
            "in_use": counts.in_use,
            "ready": counts.ready,
            "leaving": counts.leaving,
            "left_behind": counts.left_behind,
        })
    }

    /// Clears the conversations of a scope, by its name at the HTTP door.
    pub(crate) async fn clear(self, scope: &str) -> Told {
        match self.door {
            Door::Http => {
                let query = if scope.is_empty() {
                    String::new()
                } else {
                    format!("?scope={scope}")
                };
                self.http(Method::DELETE, &format!("/admin/conversations{query}"), None)
                    .await
            }
            Door::Grpc => {
                let scope = match scope {
                    "" => 0,
                    "ours" => client::ConversationScope::Ours.into(),
                    "account" => client::ConversationScope::Account.into(),
                    _ => 77,
                };
                let request = keyed(client::ClearConversationsRequest { scope });
                let cleared = told(self.client().clear_conversations(request).await)?;
                Ok(json!({ "removed": cleared.removed, "failed": cleared.failed }))
            }
        }
    }
}

/// The named thing does not exist; over gRPC the error details name it, which is checked for every status.
#[track_caller]
pub(crate) fn assert_not_found(desk: Desk<'_>, told: Told, field: &str, name: &str) {
    let refused = told.unwrap_err();
    assert_eq!(refused.kind, "not_found", "{refused:?}");
    let field = Some(field).filter(|_| desk.door == Door::Http);
    assert_eq!(refused.field.as_deref(), field, "{refused:?}");
    assert!(refused.message.contains(name), "{refused:?}");
}

/// A call with the admin key.
pub(crate) fn keyed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {ADMIN_KEY}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn told<T>(answer: Result<tonic::Response<T>, Status>) -> Result<T, Failure> {
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| failure_of(&status, false))
}

/// An enum value's name as the other door spells it; null for an unspecified one.
fn spelled(name: &str, prefix: &str) -> Value {
    match name.strip_prefix(prefix).unwrap() {
        "UNSPECIFIED" => Value::Null,
        name => json!(name.to_lowercase()),
    }
}

fn written(time: Option<&prost_types::Timestamp>) -> Value {
    let written = time.map(|time| {
        let time = std::time::SystemTime::try_from(*time).unwrap();
        humantime::format_rfc3339_millis(time).to_string()
    });
    json!(written)
}

fn token(token: &client::Token) -> Value {
    json!({
        "token": token.label,
        "sha256": token.sha256,
        "state": spelled(token.state().as_str_name(), "TOKEN_STATE_"),
        "reason": spelled(token.reason().as_str_name(), "TOKEN_REASON_"),
        "until": written(token.until.as_ref()),
        "available": token.available,
        "in_flight": token.in_flight,
        "chats": token.chats,
        "failures": token.failures,
        "refusals_in_a_row": token.refusals_in_a_row,
        "warm_conversations": token.warm_conversations,
        "expires_at": written(token.expires_at.as_ref()),
    })
}

fn active(request: &client::ActiveRequest) -> Value {
    let age = request.age.unwrap();
    json!({
        "id": request.id,
        "door": match request.door() {
            ProtoDoor::Http => "http",
            ProtoDoor::Grpc => "grpc",
            ProtoDoor::Unspecified => panic!("a chat came through some door"),
        },
        "model": request.model,
        "age_seconds": std::time::Duration::try_from(age).unwrap().as_secs_f64(),
        "bytes": request.bytes,
        "token": request.token_label,
    })
}
