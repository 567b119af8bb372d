//! Deadlines of calls and of the gateway, and the keep-alive events of a silent stream.

use std::time::{Duration, Instant};

use duogate::{
    app::client::{
        ConverseRequest, ConverseStart, ConverseTurn, ListModelsRequest, converse_request::Request,
    },
    config::Settings,
    sim::{Fault, Hold, Rule, Step, answer_text},
};
use prost::Message;

use crate::support::{
    Ask, Door, Gateway, ONCE, Opened, Setup, each_door, each_way, failure_of, frame, raw_call, within,
};

const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const STREAM: &str = "/duogate.v1.ChatService/StreamChatCompletion";
const CONVERSE: &str = "/duogate.v1.ChatService/Converse";
const SHORT: Duration = Duration::from_millis(300);

/// The messages of a call with a question.
fn asking(path: &str, text: &str) -> Vec<u8> {
    let options = Ask::new(text).proto();
    if path != CONVERSE {
        return frame(&options.encode_to_vec());
    }
    let content = options.messages[0].content.clone();
    let options = Some(options);
    let requests = [
        Request::Start(ConverseStart { options }),
        Request::Turn(ConverseTurn { content }),
    ];
    let requests = requests.map(|request| ConverseRequest {
        request: Some(request),
    });
    requests.map(|request| frame(&request.encode_to_vec())).concat()
}

#[tokio::test]
async fn a_grpc_deadline_that_passes_is_told_as_such() {
    let gateway = Setup::new().start().await;
    gateway.sim.hold();
    for path in [CREATE, STREAM, CONVERSE] {
        for timeout in ["300m", "300000u"] {
            let body = asking(path, "hurry");
            let began = Instant::now();
            let answer = raw_call(&gateway, path, &[("grpc-timeout", timeout)], body).await;
            assert!(began.elapsed() >= SHORT, "{path} {timeout}");
            let failure = failure_of(&answer.status, false);
            assert_eq!(failure.kind, "deadline_exceeded", "{path} {timeout}");
            assert_eq!(failure.should_retry, Some(false));
        }
    }
    gateway.sim.release();
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_grpc_deadline_is_told_within_50_milliseconds() {
    let gateway = Setup::new().start().await;
    gateway.sim.hold();
    for (timeout, allowed) in [("100m", 100), ("250000u", 250)] {
        for path in [CREATE, STREAM, CONVERSE] {
            let mut late = Vec::new();
            // A busy machine may delay one attempt, but not all of them.
            for _ in 0..5 {
                let body = asking(path, "hurry");
                let began = Instant::now();
                let answer = raw_call(&gateway, path, &[("grpc-timeout", timeout)], body).await;
                let late_by = began.elapsed().checked_sub(Duration::from_millis(allowed));
                late.push(late_by.expect("not before its time"));
                assert_eq!(failure_of(&answer.status, false).kind, "deadline_exceeded");
            }
            let best = late.iter().min().unwrap();
            assert!(*best < Duration::from_millis(50), "{path} {timeout}: {late:?}");
        }
    }
    gateway.sim.release();
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_grpc_deadline_that_has_passed_already_costs_no_call() {
    let gateway = Setup::new().start().await;
    for path in [CREATE, STREAM, CONVERSE] {
        for timeout in ["1n", "0S", "0m"] {
            let body = asking(path, "too late");
            let answer = raw_call(&gateway, path, &[("grpc-timeout", timeout)], body).await;
            let failure = failure_of(&answer.status, false);
            assert_eq!(failure.kind, "deadline_exceeded", "{path} {timeout}");
        }
    }
    gateway.settled().await;
    assert!(
        gateway.sim.counts().calls.is_empty(),
        "{:?}",
        gateway.sim.counts()
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_long_grpc_deadline_leaves_the_gateways_own_in_force() {
    let gateway = Setup::new()
        .settings(|settings| settings.request_timeout = SHORT)
        .start()
        .await;
    gateway.sim.hold();
    let body = frame(&Ask::new("no hurry").proto().encode_to_vec());
    let answer = raw_call(&gateway, CREATE, &[("grpc-timeout", "99999999H")], body).await;
    assert_eq!(failure_of(&answer.status, false).kind, "deadline_exceeded");
    gateway.stop().await;
}

#[tokio::test]
async fn a_malformed_grpc_timeout_is_refused_with_its_name() {
    let gateway = Setup::new().start().await;
    for timeout in ["", "1", "S", "1s", "-1S", "123456789S", "1.5S", "soon"] {
        let body = frame(&Ask::new("when?").proto().encode_to_vec());
        let answer = raw_call(&gateway, CREATE, &[("grpc-timeout", timeout)], body).await;
        let failure = failure_of(&answer.status, false);
        assert_eq!(failure.kind, "invalid_request", "{timeout:?}");
        assert_eq!(failure.field.as_deref(), Some("grpc-timeout"), "{timeout:?}");
    }
    let quick = frame(&ListModelsRequest {}.encode_to_vec());
    let answer = raw_call(
        &gateway,
        "/duogate.v1.ChatService/ListModels",
        &[("grpc-timeout", "5S")],
        quick,
    )
    .await;
    assert_eq!(answer.status.code(), tonic::Code::Ok);
    gateway.stop().await;
}

#[tokio::test]
async fn the_request_timeout_bounds_a_chat_with_all_its_retries() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| {
                settings.request_timeout = Duration::from_millis(1500);
                settings.max_retries = 100;
                settings.retry_delay = Duration::from_millis(20);
            })
            .start()
            .await;
        gateway.sim.hold();
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("in time?")).await;
            let failure = outcome.assert_failed("deadline_exceeded");
            assert!(!failure.in_band, "{way:?}");
            assert_eq!(failure.should_retry, Some(false), "{way:?}");
        }
        gateway.sim.release();
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_wait_that_the_deadline_has_no_room_for_is_not_waited() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.retry_delay = Duration::from_secs(3600))
            .start()
            .await;
        gateway
            .sim
            .script(Rule::always(Fault::status(500)).on(Step::Answer));
        for way in door.ways() {
            let outcome = within("an answer at once", way.ask(&gateway, &Ask::new("now?"))).await;
            outcome.assert_failed("upstream_unavailable");
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_deadline_in_the_middle_of_a_stream_is_told_in_band() {
    each_way(ONCE, async |(), way| {
        let short = |settings: &mut Settings| settings.request_timeout = Duration::from_millis(1500);
        let gateway = Setup::new().settings(short).start().await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let outcome = way.ask(&gateway, &Ask::new("half of it")).await;
        let failure = outcome.assert_failed("deadline_exceeded");
        assert_eq!(failure.in_band, way.streamed, "{way:?}");
        assert_eq!(outcome.text(), if way.streamed { "You " } else { "" }, "{way:?}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

/// A gateway with a short keep-alive interval.
async fn restless() -> Gateway {
    let restless = |settings: &mut Settings| settings.keepalive_interval = Duration::from_millis(50);
    Setup::new().settings(restless).start().await
}

/// Opens a stream and waits for this many keep-alive events and nothing else.
async fn kept_alive(gateway: &Gateway, door: Door, ask: &Ask, signs: usize) -> Opened {
    let opened = within("the head", door.open(gateway, ask)).await;
    let mut stream = opened.expect("the head must not wait for the answer");
    while stream.signs() < signs {
        assert!(within("a sign of life", stream.advance()).await);
    }
    stream
}

#[tokio::test]
async fn signs_of_life_keep_a_silent_stream_alive_until_its_answer() {
    let holds = [Hold::BeforeHead, Hold::AfterHead, Hold::AfterFirstPiece];
    each_door(holds, async |hold, door| {
        let gateway = restless().await;
        gateway.sim.hold_at(hold);
        let stream = kept_alive(&gateway, door, &Ask::new("patience"), 4).await;
        gateway.sim.release();
        let outcome = within("the answer", stream.finish()).await;
        outcome.assert_whole(&answer_text("patience"));
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_failure_behind_signs_of_life_is_told_in_band() {
    each_door(ONCE, async |(), door| {
        let gateway = restless().await;
        gateway.sim.hold();
        let ask = Ask::new("patience").model("fault:400");
        let stream = kept_alive(&gateway, door, &ask, 2).await;
        gateway.sim.release();
        let outcome = within("the failure", stream.finish()).await;
        let failure = outcome.assert_failed("upstream_refused");
        assert!(failure.in_band);
        assert_eq!(outcome.text(), "");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn failover_goes_on_behind_signs_of_life() {
    each_door(ONCE, async |(), door| {
        let gateway = restless().await;
        gateway.sim.hold();
        for status in [401, 500] {
            let rule = Rule::once(Fault::status(status)).on(Step::Answer);
            gateway.sim.script(rule);
        }
        let stream = kept_alive(&gateway, door, &Ask::new("unseen"), 2).await;
        gateway.sim.release();
        let outcome = within("the answer", stream.finish()).await;
        outcome.assert_whole(&answer_text("unseen"));
        assert_eq!(gateway.sim.counts().calls_of(Step::Answer), 3);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn who_leaves_while_nothing_but_signs_of_life_comes_closes_the_upstreams_answer() {
    each_door(ONCE, async |(), door| {
        let gateway = restless().await;
        gateway.sim.hold();
        let stream = kept_alive(&gateway, door, &Ask::new("never mind"), 2).await;
        assert_eq!(gateway.sim.counts().open(), 1);
        drop(stream);
        gateway
            .sim_until("the answer is closed", |counts| counts.open() == 0)
            .await;
        gateway.settled().await;
        assert_eq!(gateway.health().await["statistics"]["cancelled_requests"], 1);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn signs_of_life_put_no_deadline_off() {
    each_door(ONCE, async |(), door| {
        let hurried = |settings: &mut Settings| {
            settings.keepalive_interval = Duration::from_millis(20);
            settings.request_timeout = Duration::from_secs(2);
        };
        let gateway = Setup::new().settings(hurried).start().await;
        gateway.sim.hold();
        let stream = kept_alive(&gateway, door, &Ask::new("too late"), 2).await;
        let outcome = within("the deadline", stream.finish()).await;
        assert!(outcome.assert_failed("deadline_exceeded").in_band);
        gateway.sim.release();
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
