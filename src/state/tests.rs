use std::time::{Duration, SystemTime};

use super::*;
use crate::engine::{BenchReason, upstream::ConversationRef};

fn conversation(id: u64) -> SavedConversation {
    SavedConversation {
        digest: [7; 32],
        reference: ConversationRef {
            project: RemoteId::Text("p/1".to_owned()),
            conversation: RemoteId::Unsigned(id),
        },
    }
}

fn ids(saved: &Saved) -> Vec<u64> {
    let mut ids: Vec<u64> = saved
        .conversations
        .iter()
        .map(|saved| match saved.reference.conversation {
            RemoteId::Unsigned(id) => id,
            RemoteId::Text(_) | RemoteId::Signed(_) => panic!("{saved:?}"),
        })
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_was_kept_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("made/anew");
    let tokens = [
        SavedToken {
            digest: [1; 32],
            benched: Some((
                BenchReason::Refused,
                SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_123),
            )),
            refusals: 3,
            rate_limits: 0,
        },
        SavedToken {
            digest: [2; 32],
            benched: None,
            refusals: 5,
            rate_limits: 1,
        },
    ];
    let (state, saved) = StateDir::open(&place).unwrap();
    assert_eq!(saved, Saved::default());
    state.keep_tokens(&tokens[..1]);
    state.keep_tokens(&tokens);
    (1..=3).for_each(|id| state.owe(&conversation(id)));
    state.settle(&conversation(2));
    drop(state);
    let (_state, saved) = StateDir::open(&place).unwrap();
    assert_eq!(saved.tokens, tokens);
    assert_eq!(ids(&saved), [1, 3]);
    assert!(saved.conversations.contains(&conversation(1)));
}

#[test]
fn a_directory_serves_one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _) = StateDir::open(directory.path()).unwrap();
    let second = StateDir::open(directory.path()).err().unwrap();
    assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
    drop(first);
    assert!(StateDir::open(directory.path()).is_ok());
}

#[test]
fn a_line_that_was_half_written_costs_nothing_but_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = StateDir::open(directory.path()).unwrap();
    state.owe(&conversation(1));
    state.owe(&conversation(2));
    drop(state);
    let journal = directory.path().join(JOURNAL);
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.trim_end().strip_suffix('}').unwrap()).unwrap();
    let (state, saved) = StateDir::open(directory.path()).unwrap();
    assert_eq!(ids(&saved), [1]);
    state.owe(&conversation(3));
    drop(state);
    assert_eq!(ids(&StateDir::open(directory.path()).unwrap().1), [1, 3]);
}

#[test]
fn tokens_that_cannot_be_read_are_left_out() {
    let whole = format::write_tokens(&[]);
    for text in [
        "no json",
        "{}",
        &whole.replace('1', "2"),
        r#"{"version":1,"tokens":[{}]}"#,
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(TOKENS), text).unwrap();
        assert_eq!(
            StateDir::open(directory.path()).unwrap().1,
            Saved::default(),
            "{text}"
        );
    }
}

#[test]
fn the_journal_is_rewritten_when_most_of_it_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = StateDir::open(directory.path()).unwrap();
    state.owe(&conversation(0));
    for id in 1..=SHORT as u64 {
        state.owe(&conversation(id));
        state.settle(&conversation(id));
    }
    let lines = fs::read_to_string(directory.path().join(JOURNAL))
        .unwrap()
        .lines()
        .count();
    assert!(lines < SHORT + 2, "{lines}");
    drop(state);
    assert_eq!(ids(&StateDir::open(directory.path()).unwrap().1), [0]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_could_not_be_written_is_there_once_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = StateDir::open(directory.path()).unwrap();
    state.owe(&conversation(1));
    let full = private().write(true).open("/dev/full").unwrap();
    state.journal.lock().unwrap().file = full;
    state.owe(&conversation(2));
    assert!(state.journal.lock().unwrap().failing);
    state.owe(&conversation(3));
    state.settle(&conversation(1));
    assert!(!state.journal.lock().unwrap().failing);
    drop(state);
    assert_eq!(ids(&StateDir::open(directory.path()).unwrap().1), [2, 3]);
}

#[cfg(unix)]
#[test]
fn the_files_are_nobody_elses_business() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = StateDir::open(directory.path()).unwrap();
    state.keep_tokens(&[]);
    for name in [TOKENS, JOURNAL, LOCK] {
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}
