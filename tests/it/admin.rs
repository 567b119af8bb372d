//! Admin operations on the pool through both doors: access, and the effect of each.

mod access;
mod choice;
mod conversations;
mod pool_file;
mod requests;
mod tokens;

use duogate::{config::Settings, sim::answer_text};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{ADMIN_KEY, Ask, Desk, Door, Gateway, Setup};

/// A gateway with an admin key.
fn operated() -> Setup {
    Setup::new().settings(|settings: &mut Settings| settings.admin_key = Some(ADMIN_KEY.into()))
}

/// A token's SHA-256.
fn sha256(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The row of a token.
#[track_caller]
fn row<'a>(rows: &'a [Value], token: &str) -> &'a Value {
    let hash = sha256(token);
    let row = rows.iter().find(|row| row["sha256"] == hash.as_str());
    row.unwrap_or_else(|| panic!("{} is not in {rows:?}", &hash[..8]))
}

/// Opens an account on the upstream, and adds its token to the pool.
async fn hire(desk: Desk<'_>, token: &str) -> Value {
    desk.gateway.sim.add_token(token);
    desk.add(token).await.unwrap()
}

async fn chat(gateway: &Gateway, door: Door, text: &str) {
    let outcome = door.chat(gateway, &Ask::new(text)).await;
    outcome.assert_whole(&answer_text(text));
}
