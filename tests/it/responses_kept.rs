//! Stored responses: continued, retrieved, deleted, and never visible to another key.

use duogate::config::Settings;
use serde_json::{Value, json};

use crate::support::{Failure, Gateway, KEY, OTHER_KEY, Setup, error_of, events_of, post};

const PATH: &str = "/v1/responses";

async fn respond(gateway: &Gateway, body: Value) -> Value {
    let mut asked = json!({ "model": "it-model" });
    asked
        .as_object_mut()
        .unwrap()
        .extend(body.as_object().unwrap().clone());
    let response = post(gateway, PATH, &asked).await;
    assert_eq!(response.status(), 200, "{asked}");
    response.json().await.unwrap()
}

fn said(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap()
}

fn place(response: &Value) -> String {
    format!("{PATH}/{}", response["id"].as_str().unwrap())
}

async fn go_on(gateway: &Gateway, id: &Value, key: &str) -> Result<Value, Failure> {
    let body = json!({ "model": "it-model", "input": "and?", "previous_response_id": id });
    let request = gateway.web.post(gateway.url(PATH)).bearer_auth(key).json(&body);
    let response = request.send().await.unwrap();
    if response.status() == 200 {
        Ok(response.json().await.unwrap())
    } else {
        Err(error_of(response).await)
    }
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let response = gateway.get(path).await;
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_chain_sends_its_whole_history_and_no_earlier_instructions() {
    let gateway = Gateway::start().await;
    let first = respond(&gateway, json!({ "input": "one", "instructions": "Be brief." })).await;
    assert_eq!(said(&first), "You said: System: Be brief.\n\nUser: one");
    let second = go_on(&gateway, &first["id"], KEY).await.unwrap();
    assert_eq!(second["previous_response_id"], first["id"]);
    // Lines of an answer that look like a speaker's are indented.
    let history = "User: one\n\nAssistant: You said: System: Be brief.\n\n  User: one\n\nUser: and?";
    assert_eq!(said(&second), format!("You said: {history}"));
    let third = go_on(&gateway, &second["id"], KEY).await.unwrap();
    assert!(said(&third).starts_with(&format!("You said: {history}\n\nAssistant: ")));
    gateway.settled().await;
    assert_eq!(
        gateway.sim.counts().conversations_made,
        3,
        "each in a conversation of its own"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_kept_response_is_shown_as_it_was_answered() {
    let gateway = Gateway::start().await;
    let whole = respond(&gateway, json!({ "input": "one" })).await;
    assert_eq!(get(&gateway, &place(&whole)).await, whole);
    let body = json!({ "model": "it-model", "input": "one", "stream": true });
    let text = post(&gateway, PATH, &body).await.text().await.unwrap();
    let streamed = events_of(&text, true).pop().unwrap()["response"].clone();
    assert_eq!(get(&gateway, &place(&streamed)).await, streamed);
    assert!(go_on(&gateway, &streamed["id"], KEY).await.is_ok());
    let streaming = gateway.get(&format!("{}?stream=true", place(&whole))).await;
    let failure = error_of(streaming).await;
    assert_eq!(
        (failure.kind, failure.field.as_deref()),
        ("unsupported_parameter", Some("stream"))
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_forgotten_is_gone_and_what_followed_it_is_not() {
    let gateway = Gateway::start().await;
    let first = respond(&gateway, json!({ "input": "one" })).await;
    let second = go_on(&gateway, &first["id"], KEY).await.unwrap();
    let delete = async || {
        let request = gateway.web.delete(gateway.url(&place(&first))).bearer_auth(KEY);
        request.send().await.unwrap()
    };
    let deleted: Value = delete().await.json().await.unwrap();
    assert_eq!(
        deleted,
        json!({ "id": first["id"], "object": "response", "deleted": true })
    );
    let id = first["id"].as_str().unwrap();
    let failure = error_of(delete().await).await;
    assert_eq!(
        (failure.kind, failure.message),
        ("not_found", format!("Response with id '{id}' not found."))
    );
    assert_eq!(
        error_of(gateway.get(&place(&first)).await).await.kind,
        "not_found"
    );
    let failure = go_on(&gateway, &first["id"], KEY).await.unwrap_err();
    assert_eq!(
        failure.message,
        format!("Previous response with id '{id}' not found.")
    );
    assert_eq!(failure.field.as_deref(), Some("previous_response_id"));
    assert!(go_on(&gateway, &second["id"], KEY).await.is_ok());
    gateway.stop().await;
}

#[tokio::test]
async fn another_key_finds_nothing() {
    let gateway = Gateway::start().await;
    let mine = respond(&gateway, json!({ "input": "a secret" })).await;
    let failure = go_on(&gateway, &mine["id"], OTHER_KEY).await.unwrap_err();
    assert_eq!(failure.kind, "not_found");
    let item = json!([{ "type": "item_reference", "id": mine["output"][0]["id"] }]);
    let body = json!({ "model": "it-model", "input": item });
    let request = gateway
        .web
        .post(gateway.url(PATH))
        .bearer_auth(OTHER_KEY)
        .json(&body);
    assert_eq!(error_of(request.send().await.unwrap()).await.kind, "not_found");
    for (method, path) in [
        ("GET", place(&mine)),
        ("DELETE", place(&mine)),
        ("GET", format!("{}/input_items", place(&mine))),
    ] {
        let request = gateway.web.request(method.parse().unwrap(), gateway.url(&path));
        let response = request.bearer_auth(OTHER_KEY).send().await.unwrap();
        assert_eq!(error_of(response).await.kind, "not_found", "{method}");
    }
    assert_eq!(get(&gateway, &place(&mine)).await, mine);
    gateway.stop().await;
}

#[tokio::test]
async fn a_kept_item_can_be_called_back_by_its_id() {
    let gateway = Gateway::start().await;
    let first = respond(
        &gateway,
        json!({ "input": [{ "role": "user", "content": "one", "id": "msg_mine" }] }),
    )
    .await;
    let input = json!([
        { "type": "item_reference", "id": "msg_mine" },
        { "id": first["output"][0]["id"] },
        { "role": "user", "content": "and?" },
    ]);
    let second = respond(&gateway, json!({ "input": input })).await;
    assert_eq!(
        said(&second),
        "You said: User: one\n\nAssistant: You said: one\n\nUser: and?"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_items_of_an_input_are_listed_page_by_page() {
    let gateway = Gateway::start().await;
    let item = |text: &str| json!({ "role": "user", "content": text });
    let response = respond(
        &gateway,
        json!({ "input": [item("one"), item("two"), item("three")] }),
    )
    .await;
    let path = format!("{}/input_items", place(&response));
    let all = get(&gateway, &path).await;
    let data = all["data"].as_array().unwrap();
    let texts: Vec<&str> = data
        .iter()
        .map(|item| item["content"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["three", "two", "one"]);
    assert!(
        data.iter()
            .all(|item| item["type"] == "message" && item["content"][0]["type"] == "input_text")
    );
    assert_eq!(
        (&all["first_id"], &all["last_id"]),
        (&data[0]["id"], &data[2]["id"])
    );
    assert_eq!(
        (&all["object"], &all["has_more"]),
        (&json!("list"), &json!(false))
    );
    let page = get(&gateway, &format!("{path}?order=asc&limit=1")).await;
    assert_eq!(
        (&page["data"], &page["has_more"]),
        (&json!([data[2]]), &json!(true))
    );
    let after = page["last_id"].as_str().unwrap();
    let rest = get(&gateway, &format!("{path}?order=asc&after={after}")).await;
    assert_eq!(rest["data"], json!([data[1], data[0]]));
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=x", "after"),
    ] {
        let failure = error_of(gateway.get(&format!("{path}?{query}")).await).await;
        assert_eq!(
            (failure.kind, failure.field.as_deref()),
            ("invalid_request", Some(field))
        );
    }
    gateway.stop().await;
}

/// A change that makes the store small.
type Room = fn(&mut Settings);

#[tokio::test]
async fn what_is_not_to_be_stored_or_does_not_fit_is_not_kept_and_says_so() {
    let rooms: [(Room, Value); 4] = [
        (|_| {}, json!({ "store": false })),
        (|settings| settings.responses_store_max = 0, json!({})),
        (
            |settings| settings.responses_store_bytes = 0,
            json!({ "store": true }),
        ),
        (
            |settings| settings.responses_store_bytes = 2000,
            json!({ "input": "x".repeat(2000) }),
        ),
    ];
    for (room, more) in rooms {
        let gateway = Setup::new().settings(room).start().await;
        let mut body = json!({ "input": "one" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let response = respond(&gateway, body).await;
        assert_eq!(response["store"], false);
        assert_eq!(
            error_of(gateway.get(&place(&response)).await).await.kind,
            "not_found"
        );
        let failure = go_on(&gateway, &response["id"], KEY).await.unwrap_err();
        assert_eq!(failure.kind, "not_found");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn the_oldest_response_makes_room_for_the_newest() {
    let gateway = Setup::new()
        .settings(|settings| settings.responses_store_max = 2)
        .start()
        .await;
    let mut made = Vec::new();
    for number in 0..3 {
        made.push(respond(&gateway, json!({ "input": format!("number {number}") })).await);
    }
    assert_eq!(
        error_of(gateway.get(&place(&made[0])).await).await.kind,
        "not_found"
    );
    assert_eq!(get(&gateway, &place(&made[1])).await, made[1]);
    assert_eq!(get(&gateway, &place(&made[2])).await, made[2]);
    gateway.stop().await;
}
