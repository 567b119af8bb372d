//! Calls that violate the contract: each is recorded as a sentence, and answered as the service would.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::super::{SimConfig, SimControl};
use super::{Talk, World, segment};

/// Sends a request, and expects a status and exactly one breach that contains the words.
pub(super) async fn is_a_breach(control: &SimControl, request: RequestBuilder, status: u16, words: &str) {
    control.forget();
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status, "{words}");
    let breaches = control.breaches();
    assert!(
        breaches.len() == 1 && breaches[0].contains(words),
        "{words}: {breaches:?}"
    );
    assert_eq!(control.counts().breaches, 1);
}

#[tokio::test]
async fn a_cookie_other_than_one_known_token_is_a_breach() {
    let world = World::new().await;
    let address = format!("{}/project", world.sim.origin());
    let get = || world.client.get(&address);
    for (request, words) in [
        (get(), "not exactly one cookie"),
        (get().header("cookie", "token=a-stranger"), "never known"),
        (get().header("cookie", "session=sim-token"), "not of the form"),
        (
            get().header("cookie", "token=sim-token; theme=dark"),
            "other things",
        ),
        (
            get()
                .header("cookie", "token=sim-token")
                .header("cookie", "token=b"),
            "not exactly one cookie",
        ),
    ] {
        is_a_breach(&world.control, request, 401, words).await;
    }
}

#[tokio::test]
async fn no_breach_shows_a_token() {
    let world = World::new().await;
    let talk = world.talk().await;
    let request = world
        .create(&talk.project)
        .header("referer", "http://elsewhere/sim-token");
    request.send().await.unwrap();
    let request = world.client.get(format!("{}/project", world.sim.origin()));
    request
        .header("cookie", "token=a-secret-stranger")
        .send()
        .await
        .unwrap();
    let breaches = world.control.breaches().join("\n");
    assert!(
        !breaches.is_empty() && !breaches.contains("sim-token") && !breaches.contains("secret"),
        "{breaches}"
    );
}

#[tokio::test]
async fn a_wrong_page_is_a_breach() {
    let world = World::new().await;
    let talk = world.talk().await;
    let create = json!({"projectId": talk.project});
    let page = format!("project/{}", segment(&talk.project));
    let message = format!("/conversation/{}/message", segment(&talk.conversation));
    let delete = format!("/conversation/{}", segment(&talk.conversation));
    let body = json!({"content": "hello", "role": "user"});
    let chat = json!({"conversationId": talk.conversation, "mode": "gpt"});
    let slash = world
        .paged(Method::POST, "/conversation", &format!("{page}/"))
        .json(&create);
    for (request, words) in [
        (
            world.bare(Method::POST, "/conversation").json(&create),
            "the referer was None",
        ),
        (slash, "should have been"),
        (world.paged(Method::DELETE, &delete, "project"), "the referer was"),
        (
            world.paged(Method::POST, &message, &page).json(&body),
            "the referer was",
        ),
        (
            world.paged(Method::POST, "/chat", &page).json(&chat),
            "the referer was",
        ),
        (
            world
                .bare(Method::DELETE, &delete)
                .header("referer", "http://sim.invalid/"),
            "the origin was None",
        ),
        (
            world.message(&talk, "hello").header("origin", "http://other"),
            "the origin was",
        ),
        (
            world
                .bare(Method::GET, "/project")
                .header("origin", "http://other"),
            "the origin was",
        ),
    ] {
        is_a_breach(&world.control, request, 400, words).await;
    }
}

#[tokio::test]
async fn a_body_with_other_keys_or_types_is_a_breach() {
    let world = World::new().await;
    let talk = world.talk().await;
    let message = |body: Value| world.message(&talk, "").json(&body);
    let answer = |body: Value| world.answer(&talk, "gpt").json(&body);
    let (conversation, id) = (&talk.conversation, "c-000002");
    for (request, words) in [
        (message(json!({"content": "a"})), "has the keys"),
        (
            message(json!({"content": "a", "role": "user", "model": "gpt"})),
            "has the keys",
        ),
        (
            message(json!({"content": "", "role": "user"})),
            "content is not a string",
        ),
        (
            message(json!({"content": ["a"], "role": "user"})),
            "content is not a string",
        ),
        (message(json!({"content": "a", "role": "system"})), "the role was"),
        (
            answer(json!({"conversationId": conversation, "model": "gpt"})),
            "has the keys",
        ),
        (
            answer(json!({"conversationId": conversation, "mode": 4})),
            "mode is not a string",
        ),
        (
            answer(json!({"conversationId": [id], "mode": "gpt"})),
            "neither string nor number",
        ),
        (
            world
                .bare(Method::POST, "/project")
                .json(&json!({"name": "mine"})),
            "not a version 4 UUID",
        ),
        (
            world
                .bare(Method::POST, "/project")
                .header("content-type", "application/json")
                .body("{"),
            "not a JSON",
        ),
        (world.bare(Method::GET, "/project").body("{}"), "a body was sent"),
        (world.bare(Method::GET, "/project?limit=2"), "had a query"),
    ] {
        is_a_breach(&world.control, request, 400, words).await;
    }
    let plain = world.bare(Method::POST, "/project").body(r#"{"name": "x"}"#);
    is_a_breach(&world.control, plain, 415, "the content type was").await;
}

#[tokio::test]
async fn an_id_that_changes_its_type_is_a_breach() {
    let world = World::with(SimConfig {
        numeric_ids: true,
        ..SimConfig::default()
    })
    .await;
    let talk = world.told("hello").await;
    let text = talk.conversation.to_string();
    let answer = world
        .answer(&talk, "gpt")
        .json(&json!({"conversationId": text, "mode": "gpt"}));
    is_a_breach(&world.control, answer, 400, "went back as").await;
    let create = world
        .create(&talk.project)
        .json(&json!({"projectId": talk.project.to_string()}));
    is_a_breach(&world.control, create, 400, "went back as").await;
}

#[tokio::test]
async fn an_id_of_nobody_or_of_another_account_is_a_breach() {
    let tokens = vec!["sim-token".to_owned(), "other-token".to_owned()];
    let world = World::with(SimConfig {
        tokens,
        ..SimConfig::default()
    })
    .await;
    let talk = world.talk().await;
    let nobody = Talk {
        project: talk.project.clone(),
        conversation: json!("c-999999"),
    };
    is_a_breach(
        &world.control,
        world.message(&nobody, "hello"),
        404,
        "has no conversation",
    )
    .await;
    is_a_breach(
        &world.control,
        world.create(&json!("p-999999")),
        404,
        "has no project",
    )
    .await;
    let path = format!(
        "{}/project/{}/conversations",
        world.sim.origin(),
        segment(&talk.project)
    );
    let foreign = world.client.get(path).header("cookie", "token=other-token");
    is_a_breach(&world.control, foreign, 404, "has no project").await;
}

#[tokio::test]
async fn another_path_or_method_is_a_breach() {
    let world = World::new().await;
    is_a_breach(
        &world.control,
        world.bare(Method::GET, "/v1/models"),
        404,
        "none of the calls",
    )
    .await;
    is_a_breach(
        &world.control,
        world.bare(Method::PUT, "/chat"),
        405,
        "none of the calls",
    )
    .await;
    is_a_breach(
        &world.control,
        world.bare(Method::HEAD, "/project"),
        405,
        "the method was HEAD",
    )
    .await;
    is_a_breach(
        &world.control,
        world.bare(Method::DELETE, "/conversation/"),
        404,
        "none of the calls",
    )
    .await;
}

#[tokio::test]
async fn headers_of_the_gateways_own_clients_are_breaches_and_ignored() {
    let world = World::new().await;
    for name in [
        "authorization",
        "x-api-key",
        "x-request-id",
        "openai-organization",
        "x-stainless-lang",
    ] {
        let request = world.bare(Method::GET, "/project").header(name, "secret");
        is_a_breach(&world.control, request, 200, name).await;
    }
}
