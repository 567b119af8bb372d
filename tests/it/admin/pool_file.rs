//! Admin operations with a `TOKEN_POOL_FILE`.

use std::{fs, path::PathBuf};

use duogate::config::Settings;

use super::{chat, hire, operated, sha256};
use crate::support::{Desk, Gateway, TOKENS, each_door};

const NEW: &str = "it-token-new";

/// A gateway whose only credential is in a file.
async fn with_file() -> (Gateway, PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool");
    fs::write(&path, format!("# the pool\n{}\n", TOKENS[0])).unwrap();
    let setup = operated().tokens(1).settings(|settings: &mut Settings| {
        settings.tokens_of_file = 1;
        settings.token_pool_file = Some(path.clone());
    });
    (setup.start().await, path, directory)
}

#[tokio::test]
async fn the_file_of_tokens_follows_the_pool() {
    each_door([0, 1], async |index, door| {
        let (gateway, path, _directory) = with_file().await;
        let desk = Desk::both(&gateway)[index];
        let added = hire(desk, NEW).await;
        assert_eq!(added["persisted"], true, "{added}");
        let held = format!("# the pool\n{}\n{NEW}\n", TOKENS[0]);
        assert_eq!(fs::read_to_string(&path).unwrap(), held);
        assert_eq!(hire(desk, NEW).await["persisted"], true);
        assert_eq!(fs::read_to_string(&path).unwrap(), held, "once is enough");
        let removed = desk.remove(&sha256(TOKENS[0])).await.unwrap();
        assert_eq!(removed["persisted"], true, "{removed}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("# the pool\n{NEW}\n"));
        chat(&gateway, door, "still there?").await;
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_keeps_no_token_out_of_the_pool() {
    for index in 0..2 {
        let (gateway, path, _directory) = with_file().await;
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let desk = Desk::both(&gateway)[index];
        let added = hire(desk, NEW).await;
        assert_eq!(
            (&added["added"], &added["persisted"]),
            (&true.into(), &false.into())
        );
        let note = added["note"].as_str().unwrap();
        assert!(
            note.contains("TOKEN_POOL_FILE cannot be written") && !note.contains(NEW),
            "{note}"
        );
        let removed = desk.remove(&sha256(TOKENS[0])).await.unwrap();
        assert_eq!(removed["persisted"], false, "{removed}");
        assert_eq!(desk.tokens().await.len(), 1);
        gateway.stop().await;
    }
}
