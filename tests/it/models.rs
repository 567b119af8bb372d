//! The models: list, lookup, aliases and rejection.

use duogate::{
    app::client::{GetModelRequest, ListModelsRequest},
    sim::answer_text,
};
use serde_json::Value;
use tonic::Request;
use tonic_types::StatusExt;

use crate::support::{Ask, Door, Gateway, KEY, ONCE, Setup, each_door, error_of, failure_of};

const NAMES: [&str; 4] = ["Gemini 2.5 Pro", "meta/llama-4", "o4-Default", "50% off?#&"];

fn with_key<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-api-key", KEY.parse().unwrap());
    request
}

/// A gateway with four models, one of which has two aliases.
async fn shop() -> Gateway {
    Setup::new()
        .settings(|settings| {
            settings.available_models = NAMES.map(str::to_owned).to_vec();
            let aliases = [("fast", "o4-Default"), ("gpt-4o", "Gemini 2.5 Pro")];
            settings.model_aliases = aliases
                .map(|(name, model)| (name.to_owned(), model.to_owned()))
                .into();
        })
        .start()
        .await
}

async fn list(gateway: &Gateway, door: Door) -> Vec<String> {
    match door {
        Door::Http => {
            let body: Value = gateway.get("/v1/models").await.json().await.unwrap();
            assert_eq!(body["object"], "list");
            let models = body["data"].as_array().unwrap();
            let models = models.iter().map(|model| {
                assert_eq!(model["object"], "model");
                assert!(
                    model["created"].is_u64() && model["owned_by"].is_string(),
                    "{model}"
                );
                model["id"].as_str().unwrap().to_owned()
            });
            models.collect()
        }
        Door::Grpc => {
            let list = gateway
                .chats()
                .list_models(with_key(ListModelsRequest {}))
                .await
                .unwrap();
            let models = list.into_inner().models;
            assert!(
                models
                    .iter()
                    .all(|model| model.created > 0 && !model.owned_by.is_empty())
            );
            models.into_iter().map(|model| model.id).collect()
        }
    }
}

#[tokio::test]
async fn models_and_their_other_names_are_listed_alike_at_both_doors() {
    let gateway = shop().await;
    for door in Door::BOTH {
        let all = [NAMES.as_slice(), &["fast", "gpt-4o"]].concat();
        assert_eq!(list(&gateway, door).await, all, "{door:?}");
        assert_eq!(gateway.health().await["models"], serde_json::json!(all));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_is_found_whatever_its_name_holds() {
    let gateway = shop().await;
    for (path, id) in [
        ("o4-Default", "o4-Default"),
        ("Gemini%202.5%20Pro", "Gemini 2.5 Pro"),
        ("meta/llama-4", "meta/llama-4"),
        ("meta%2Fllama-4", "meta/llama-4"),
        ("50%25%20off%3F%23%26", "50% off?#&"),
        ("fast", "fast"),
    ] {
        let response = gateway.get(&format!("/v1/models/{path}")).await;
        assert_eq!(response.status(), 200, "{path}");
        let model: Value = response.json().await.unwrap();
        assert_eq!((&model["id"], &model["object"]), (&id.into(), &"model".into()));
        let request = with_key(GetModelRequest { id: id.to_owned() });
        let found = gateway.chats().get_model(request).await.unwrap().into_inner();
        let found = found.model.expect("a model");
        assert_eq!(found.id, id);
        assert_eq!(model["created"], found.created, "the same at both doors");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_model_is_not_found_anywhere() {
    each_door(ONCE, async |(), door| {
        let gateway = shop().await;
        let missing = error_of(gateway.get("/v1/models/gpt-99").await).await;
        assert_eq!(
            (missing.kind, missing.field.as_deref()),
            ("model_not_found", Some("model"))
        );
        assert!(missing.message.contains("`gpt-99`"), "{}", missing.message);
        let request = with_key(GetModelRequest {
            id: "gpt-99".to_owned(),
        });
        let status = gateway.chats().get_model(request).await.unwrap_err();
        assert_eq!(failure_of(&status, false).kind, "model_not_found");
        let details = status.get_error_details();
        let resource = details.resource_info().expect("ResourceInfo");
        assert_eq!(
            (resource.resource_type.as_str(), resource.resource_name.as_str()),
            ("model", "gpt-99")
        );
        for way in door.ways() {
            for model in ["gpt-99", "o4-default", "Gemini 2.5 Pro "] {
                let outcome = way.ask(&gateway, &Ask::new("hi").model(model)).await;
                let failure = outcome.assert_failed("model_not_found");
                assert_eq!(failure.should_retry, Some(false), "{way:?} {model}");
            }
        }
        assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn another_name_becomes_the_upstreams_and_the_answer_keeps_the_clients() {
    each_door(ONCE, async |(), door| {
        let gateway = shop().await;
        for (name, upstream) in [
            ("fast", "o4-Default"),
            ("gpt-4o", "Gemini 2.5 Pro"),
            ("meta/llama-4", "meta/llama-4"),
        ] {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new("which one?").model(name)).await;
                outcome.assert_whole(&answer_text("which one?"));
                assert_eq!(outcome.model, name, "{way:?}");
                assert_eq!(gateway.sim.answers().last().unwrap().model, upstream, "{way:?}");
            }
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_name_that_no_chat_may_use_is_no_model() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let long = "m".repeat(257);
        for (name, spelled) in [
            (long.as_str(), long.as_str()),
            ("a\nb", "a%0Ab"),
            ("\u{0}", "%00"),
            ("a\u{7f}", "a%7f"),
            ("a\u{85}", "a%C2%85"),
        ] {
            let missing = error_of(gateway.get(&format!("/v1/models/{spelled}")).await).await;
            assert_eq!(missing.kind, "model_not_found", "{spelled}");
            let request = with_key(GetModelRequest { id: name.to_owned() });
            let status = gateway.chats().get_model(request).await.unwrap_err();
            assert_eq!(failure_of(&status, false).kind, "model_not_found", "{spelled}");
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new("hi").model(name)).await;
                let failure = outcome.assert_failed("invalid_request");
                assert_eq!(failure.field.as_deref(), Some("model"), "{way:?} {spelled}");
            }
        }
        let longest = "m".repeat(256);
        assert_eq!(gateway.get(&format!("/v1/models/{longest}")).await.status(), 200);
        let request = with_key(GetModelRequest { id: longest });
        assert!(gateway.chats().get_model(request).await.is_ok());
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn without_a_list_any_name_is_let_through() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        for way in door.ways() {
            let outcome = way
                .ask(&gateway, &Ask::new("hi").model("a model/nobody listed"))
                .await;
            outcome.assert_whole(&answer_text("hi"));
        }
        assert!(
            gateway
                .sim
                .answers()
                .iter()
                .all(|answer| answer.model == "a model/nobody listed")
        );
        assert_eq!(list(&gateway, door).await, Vec::<String>::new());
        gateway.stop().await
    })
    .await;
}
