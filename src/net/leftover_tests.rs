use std::convert::Infallible;

use futures::future::join_all;
use http::Method;
use http_body_util::{Full, StreamBody};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

type Sent = Result<Frame<Bytes>, Infallible>;
type Stream = StreamBody<ReceiverStream<Sent>>;

fn leftovers() -> Arc<Leftovers> {
    patient(PATIENCE)
}

fn patient(patience: Duration) -> Arc<Leftovers> {
    Arc::new(Leftovers {
        room: Room::new(),
        tasks: TaskTracker::new(),
        patience,
        stop: CancellationToken::new(),
    })
}

/// A body and its sender; the body ends when the sender is dropped.
fn body() -> (mpsc::Sender<Sent>, Stream) {
    let (sender, receiver) = mpsc::channel(64);
    (sender, StreamBody::new(ReceiverStream::new(receiver)))
}

async fn send(sender: &mpsc::Sender<Sent>, bytes: u64) {
    let bytes = vec![0; usize::try_from(bytes).unwrap()];
    sender.send(Ok(Frame::data(bytes.into()))).await.unwrap();
}

fn request<B>(version: Version, headers: &[(&'static str, &'static str)], body: B) -> Request<B> {
    let mut request = Request::builder().method(Method::POST).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// The rest of an HTTP/1.1 body that was dropped unread.
fn refused<B: Lendable>(leftovers: &Arc<Leftovers>, body: B) -> Rest<B> {
    let (lent, rest) = leftovers.lend(request(Version::HTTP_11, &[], body));
    drop(lent);
    rest.expect("there is a body")
}

#[tokio::test(start_paused = true)]
async fn a_rest_is_read_to_its_end_up_to_the_bound() {
    for (sizes, is_read) in [
        (vec![1], true),
        (vec![MOST / 2, MOST / 2], true),
        (vec![MOST / 2, MOST / 2, 1], false),
    ] {
        let (sender, stream) = body();
        for size in &sizes {
            send(&sender, *size).await;
        }
        drop(sender);
        let rest = refused(&leftovers(), stream);
        assert_eq!(rest.read_away().await, is_read, "{sizes:?}");
    }
    let long = Full::new(Bytes::from(vec![0; usize::try_from(MOST).unwrap() + 1]));
    assert!(
        !refused(&leftovers(), long).read_away().await,
        "announced as too long"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_does_not_come_is_waited_for_a_little_and_no_longer_than_bodies_are() {
    for (patience, longest) in [(PATIENCE, LONGEST), (LONGEST / 4, LONGEST / 4)] {
        let (sender, stream) = body();
        send(&sender, 10).await;
        let began = Instant::now();
        assert!(!refused(&patient(patience), stream).read_away().await);
        assert_eq!(began.elapsed(), longest);
        drop(sender);
    }
}

#[tokio::test(start_paused = true)]
async fn the_stop_ends_the_reading() {
    let (_sender, stream) = body();
    let leftovers = leftovers();
    let rest = refused(&leftovers, stream);
    let began = Instant::now();
    let stop = async {
        sleep(LONGEST / 2).await;
        leftovers.stop.cancel();
    };
    let (is_read, ()) = tokio::join!(rest.read_away(), stop);
    assert!(!is_read);
    assert_eq!(began.elapsed(), LONGEST / 2);
}

#[tokio::test(start_paused = true)]
async fn one_more_than_there_is_room_for_is_not_waited_for() {
    let leftovers = leftovers();
    let (senders, streams): (Vec<_>, Vec<_>) = (0..AT_ONCE).map(|_| body()).unzip();
    let waiting = streams
        .into_iter()
        .map(|stream| refused(&leftovers, stream).read_away());
    let one_more = async {
        sleep(LONGEST / 2).await;
        let began = Instant::now();
        let (_sender, stream) = body();
        assert!(!refused(&leftovers, stream).read_away().await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(senders);
    };
    let (read, ()) = tokio::join!(join_all(waiting), one_more);
    assert!(
        read.into_iter().all(|is_read| is_read),
        "the others were waited for"
    );
    let (sender, stream) = body();
    drop(sender);
    assert!(
        refused(&leftovers, stream).read_away().await,
        "there is room again"
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_leave_to_send_is_not_read() {
    for (headers, was_read, goes_on) in [
        (&[("expect", "100-Continue")][..], false, false),
        (&[("expect", "100-continue")], true, true),
        (&[("connection", "x, Close")], false, false),
        (&[("connection", "x")], false, true),
    ] {
        let (sender, stream) = body();
        send(&sender, 10).await;
        send(&sender, 10).await;
        drop(sender);
        let (mut lent, rest) = leftovers().lend(request(Version::HTTP_11, headers, stream));
        if was_read {
            lent.body_mut().frame().await.unwrap().unwrap();
        }
        drop(lent);
        assert_eq!(rest.unwrap().read_away().await, goes_on, "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_read_has_no_rest_and_one_in_use_has_no_end() {
    let (sender, stream) = body();
    send(&sender, 10).await;
    drop(sender);
    let (lent, rest) = leftovers().lend(request(Version::HTTP_11, &[], stream));
    lent.into_body().collect().await.unwrap();
    assert!(rest.unwrap().read_away().await);
    let (_sender, stream) = body();
    let (_in_use, rest) = leftovers().lend(request(Version::HTTP_11, &[], stream));
    assert!(!rest.unwrap().read_away().await);
    let (_, rest) = leftovers().lend(request(Version::HTTP_11, &[], Full::new(Bytes::new())));
    assert!(rest.is_none(), "no body at all");
}

#[tokio::test(start_paused = true)]
async fn a_rest_of_http_2_is_read_behind_the_answer_for_as_long() {
    let leftovers = leftovers();
    let (sender, stream) = body();
    let (lent, rest) = leftovers.lend(request(Version::HTTP_2, &[], stream));
    assert!(rest.is_none());
    drop(lent);
    send(&sender, MOST / 2).await;
    assert_eq!(leftovers.tasks.len(), 1);
    let began = Instant::now();
    sender.closed().await;
    assert_eq!(began.elapsed(), LONGEST);
}
