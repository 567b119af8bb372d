use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const SETTINGS: u8 = 4;
const DATA: u8 = 0;

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload).unwrap().to_be_bytes();
    let mut frame = length.to_vec();
    frame.extend([kind, flags, 0, 0, 0, 1]);
    frame.extend(vec![7; payload]);
    frame
}

/// The bytes of a whole client session, and the offsets at which no head is incomplete.
fn conversation() -> (Vec<u8>, Vec<usize>) {
    let mut bytes = PREFACE.to_vec();
    let mut between = vec![bytes.len()];
    let mut add = |frame: Vec<u8>, ends_a_head: bool, is_data: bool| {
        let start = bytes.len();
        bytes.extend(frame);
        if is_data {
            between.extend(start + FRAME_HEAD..bytes.len());
        }
        if ends_a_head {
            between.push(bytes.len());
        }
    };
    add(frame(SETTINGS, 0, 0), true, true);
    add(frame(SETTINGS, 1, 12), true, true);
    add(frame(HEADERS, END_HEADERS, 20), true, false);
    add(frame(DATA, 0, 300), true, true);
    add(frame(HEADERS, 1, 5), false, false);
    add(frame(CONTINUATION, 0, 0), false, false);
    add(frame(CONTINUATION, END_HEADERS, 3), true, false);
    add(frame(DATA, 1, 0), true, true);
    (bytes, between)
}

#[test]
fn a_head_is_under_way_from_its_first_byte_to_its_last() {
    let (bytes, between) = conversation();
    let mut progress = Progress::Preface(0);
    for (index, byte) in bytes.iter().enumerate() {
        progress.follow(&[*byte]);
        let outside = between.contains(&(index + 1));
        assert_eq!(
            progress.is_within_a_head(),
            !outside,
            "after {} bytes: {progress:?}",
            index + 1
        );
    }
}

#[test]
fn what_is_no_http_2_is_left_to_others() {
    for start in ["GET / HTTP/1.1\r\n", "POST /", "PRI * HTTP/1.1", "\u{16}"] {
        let mut progress = Progress::Preface(0);
        assert!(progress.follow(start.as_bytes()), "{start}");
        assert_eq!(progress, Progress::Elsewhere);
    }
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_place_is_the_same(cut in 0..500_usize, other in 0..500_usize) {
        let (bytes, _) = conversation();
        let (cut, other) = (cut.min(bytes.len()), other.min(bytes.len()));
        let (first, second) = (cut.min(other), cut.max(other));
        let (mut whole, mut split) = (Progress::Preface(0), Progress::Preface(0));
        let mut completed = false;
        for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
            completed |= split.follow(part);
        }
        prop_assert_eq!(whole.follow(&bytes), completed);
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_followed(bytes: Vec<u8>) {
        let mut progress = Progress::Preface(0);
        progress.follow(PREFACE);
        progress.follow(&bytes);
        progress.is_within_a_head();
    }
}

fn pair() -> (Headed<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(4096);
    (Headed::new(ours, PATIENCE, Activity::new()), theirs)
}

/// Reads until an error, and returns the time that took.
async fn failure_of(mut ours: Headed<DuplexStream>) -> Duration {
    let began = Instant::now();
    let failure = ours.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(failure.kind(), io::ErrorKind::TimedOut);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_given_up() {
    let (ours, _theirs) = pair();
    assert_eq!(failure_of(ours).await, PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_in_gets_no_more_time_for_its_bytes() {
    let (ours, mut theirs) = pair();
    let trickle = async {
        theirs.write_all(PREFACE).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        for byte in frame(HEADERS, END_HEADERS, 200) {
            if theirs.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (after, ()) = tokio::join!(failure_of(ours), trickle);
    assert_eq!(after, PATIENCE + Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn between_two_heads_a_connection_may_rest_and_a_body_may_trickle() {
    let (mut ours, mut theirs) = pair();
    let talk = async {
        theirs.write_all(PREFACE).await.unwrap();
        for part in [
            frame(SETTINGS, 0, 0),
            frame(HEADERS, END_HEADERS, 9),
            frame(DATA, 0, 40),
        ] {
            let (head, payload) = part.split_at(FRAME_HEAD);
            tokio::time::sleep(3 * PATIENCE).await;
            theirs.write_all(head).await.unwrap();
            for byte in payload {
                tokio::time::sleep(Duration::from_secs(2)).await;
                theirs.write_all(&[*byte]).await.unwrap();
            }
        }
        drop(theirs);
    };
    let mut heard = Vec::new();
    let (read, ()) = tokio::join!(ours.read_to_end(&mut heard), talk);
    read.unwrap();
    assert_eq!(heard.len(), PREFACE.len() + 3 * FRAME_HEAD + 49);
}
