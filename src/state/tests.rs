use std::{fs, time::SystemTime};

use super::{
    keeper::{JOURNAL, LOCK, SHORT, TOKENS, private},
    *,
};
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

fn owe(desk: &Desk, id: u64) {
    let made = conversation(id);
    let ConversationRef {
        project,
        conversation,
    } = made.reference.clone();
    desk.note(&format::made(&made), |owed| {
        owed.insert((made.digest, conversation), project);
    });
}

fn settle(desk: &Desk, id: u64) {
    let gone = conversation(id);
    desk.note(&format::gone(&gone), |owed| {
        owed.remove(&(gone.digest, gone.reference.conversation.clone()));
    });
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
    state.keep_tokens(tokens[..1].to_vec());
    state.keep_tokens(tokens.to_vec());
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
    drop(state);
    let lines = fs::read_to_string(directory.path().join(JOURNAL))
        .unwrap()
        .lines()
        .count();
    assert!(lines < SHORT + 2, "{lines}");
    assert_eq!(ids(&StateDir::open(directory.path()).unwrap().1), [0]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_could_not_be_written_is_there_once_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let (mut keeper, _, owed) = Keeper::open(directory.path()).unwrap();
    let desk = Desk::new(owed);
    let keep = |keeper: &mut Keeper| {
        let batch = desk.next().unwrap();
        let number = batch.number;
        keeper.keep(batch, || desk.owed());
        desk.finish(number);
    };
    owe(&desk, 1);
    keep(&mut keeper);
    keeper.journal = private().write(true).open("/dev/full").unwrap();
    owe(&desk, 2);
    keep(&mut keeper);
    assert!(keeper.failing);
    owe(&desk, 3);
    settle(&desk, 1);
    keep(&mut keeper);
    assert!(!keeper.failing);
    drop(keeper);
    assert_eq!(ids(&StateDir::open(directory.path()).unwrap().1), [2, 3]);
}

#[cfg(unix)]
#[test]
fn the_files_are_nobody_elses_business() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = StateDir::open(directory.path()).unwrap();
    state.keep_tokens(Vec::new());
    drop(state);
    for name in [TOKENS, JOURNAL, LOCK] {
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn what_waits_for_a_disk_is_bounded_and_the_journal_is_whole_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let (mut keeper, _, owed) = Keeper::open(directory.path()).unwrap();
    let desk = Desk::new(owed);
    let one = format::made(&conversation(1)).len();
    let many = 2 * (MOST_WAITING / one) as u64;
    for id in 0..many {
        owe(&desk, id);
        settle(&desk, id);
        assert!(desk.tray().lines.len() <= MOST_WAITING);
    }
    owe(&desk, many);
    let batch = desk.next().unwrap();
    assert!(batch.overflown);
    keeper.keep(batch, || desk.owed());
    drop(keeper);
    assert_eq!(ids(&StateDir::open(directory.path()).unwrap().1), [many]);
}

/// Puts a pipe without a reader in place of the temporary file of `tokens.json`: opening it blocks.
#[cfg(unix)]
#[tokio::test]
async fn a_disk_that_does_not_answer_holds_up_one_caller_once() {
    let directory = tempfile::tempdir().unwrap();
    let (state, _) = StateDir::open(directory.path()).unwrap();
    let pipe = directory.path().join(format!("{TOKENS}.new"));
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    state.keep_tokens(Vec::new());
    state.owe(&conversation(1));
    state.kept(Duration::from_millis(50)).await;
    state.owe(&conversation(2));
    // If this call blocked, the test would not end.
    state.kept(Duration::MAX).await;
    // A reader unblocks the write.
    let reader = thread::spawn(move || fs::read(pipe).unwrap());
    let mut done = state.desk.done.subscribe();
    done.wait_for(|done| *done == 3).await.unwrap();
    reader.join().unwrap();
    state.kept(Duration::MAX).await;
    assert!(!state.desk.tray().stalled);
    drop(state);
    assert_eq!(ids(&StateDir::open(directory.path()).unwrap().1), [1, 2]);
}
