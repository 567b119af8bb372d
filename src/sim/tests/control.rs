//! The control over HTTP.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::super::{Fault, Hold, Rule, Step};
use super::{World, drained};

async fn post(world: &World, path: &str, body: &Value) -> Response {
    world
        .client
        .post(format!("{}{path}", world.sim.origin()))
        .json(body)
        .send()
        .await
        .unwrap()
}

async fn get(world: &World, path: &str) -> Value {
    world
        .client
        .get(format!("{}{path}", world.sim.origin()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_root_says_what_this_is() {
    let world = World::new().await;
    let response = world.client.get(world.sim.origin()).send().await.unwrap();
    assert!(response.text().await.unwrap().starts_with("duogate sim"));
    assert!(world.is_flawless());
}

#[tokio::test]
async fn the_state_tells_counts_and_breaches() {
    let world = World::new().await;
    drained(world.ask("gpt", "hello").await).await;
    world.bare(Method::PUT, "/project").send().await.unwrap();
    world.until(|counts| counts.answers_finished == 1).await;
    let state = get(&world, "/sim/state").await;
    assert_eq!(state["counts"]["calls"]["answer"], 1);
    assert_eq!(state["counts"]["statuses"]["message"]["201"], 1);
    assert_eq!(state["counts"]["projects"]["sim-token"], 1);
    assert_eq!((&state["open"], &state["held"]), (&json!(0), &Value::Null));
    assert_eq!(state["breaches"].as_array().unwrap().len(), 1);
    assert_eq!(get(&world, "/sim/answers").await[0]["text"], "hello");
    assert!(
        get(&world, "/sim/models")
            .await
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["name"] == "fault:cut")
    );
    assert_eq!(post(&world, "/sim/forget", &json!({})).await.status(), 204);
    let state = get(&world, "/sim/state").await;
    assert_eq!(
        (
            &state["counts"]["messages"],
            &state["counts"]["conversations_left"]
        ),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn rules_are_added_listed_and_removed() {
    let world = World::new().await;
    let rule =
        json!({"step": "list_projects", "times": 1, "fault": {"status": {"code": 429, "retry_after": "7"}}});
    assert_eq!(post(&world, "/sim/rules", &rule).await.status(), 204);
    let response = world.bare(Method::GET, "/project").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    for fault in [
        json!("stall"),
        json!({"delay": 20}),
        json!({"cut_mid_stream": {"after": 2}}),
        json!({"form": {"dialect": {"json": "response"}}}),
        json!({"form": "byte_order_mark"}),
        json!({"several": [{"named": "fault:cut"}, {"say": "hello"}]}),
    ] {
        assert_eq!(
            post(&world, "/sim/rules", &json!({"token": "nobody", "fault": fault}))
                .await
                .status(),
            204,
            "{fault}"
        );
    }
    assert_eq!(get(&world, "/sim/rules").await.as_array().unwrap().len(), 6);
    for wrong in [
        json!({"fault": "nonsense"}),
        json!({"fault": {"named": "gpt"}}),
        json!({"step": "stall"}),
    ] {
        assert_eq!(post(&world, "/sim/rules", &wrong).await.status(), 400, "{wrong}");
    }
    let address = format!("{}/sim/rules", world.sim.origin());
    assert_eq!(world.client.delete(address).send().await.unwrap().status(), 204);
    assert_eq!(get(&world, "/sim/rules").await, json!([]));
}

#[tokio::test]
async fn a_rule_is_the_same_after_a_journey_through_json() {
    let rule = Rule::once(Fault::ErrorEvent {
        after: 1,
        status: Some(401),
    })
    .on(Step::Answer)
    .with_token("a")
    .after(3);
    let text = serde_json::to_string(&rule).unwrap();
    assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), rule);
}

#[tokio::test]
async fn answers_are_held_and_released() {
    let world = World::new().await;
    assert_eq!(
        post(&world, "/sim/hold", &json!({"at": "after_head"}))
            .await
            .status(),
        204
    );
    assert_eq!(world.control.held(), Some(Hold::AfterHead));
    let bare = world
        .client
        .post(format!("{}/sim/hold", world.sim.origin()))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (bare.status().as_u16(), world.control.held()),
        (204, Some(Hold::BeforeHead))
    );
    assert_eq!(post(&world, "/sim/release", &json!({})).await.status(), 204);
    assert_eq!(world.control.held(), None);
}

#[tokio::test]
async fn tokens_are_added_revoked_and_restored() {
    let world = World::new().await;
    let token = json!({"token": "late"});
    let list = || async {
        let request = world
            .client
            .get(format!("{}/project", world.sim.origin()))
            .header("cookie", "token=late");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(&world, "/sim/tokens/revoke", &token).await.status(), 404);
    assert_eq!(post(&world, "/sim/tokens/add", &token).await.status(), 204);
    assert_eq!(list().await, 200);
    assert_eq!(post(&world, "/sim/tokens/revoke", &token).await.status(), 204);
    assert_eq!(list().await, 401);
    assert_eq!(post(&world, "/sim/tokens/restore", &token).await.status(), 204);
    assert_eq!(list().await, 200);
    assert_eq!(
        post(&world, "/sim/tokens/expire-projects", &token).await.status(),
        204
    );
    assert_eq!(
        post(&world, "/sim/tokens/expire-conversations", &token)
            .await
            .status(),
        204
    );
    assert!(world.is_flawless());
}
