//! Base URLs as users write them: they reach the API's endpoints, and other paths have no second spelling.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    ADMIN_KEY, Ask, Gateway, KEY, ONCE, Serving, Setup, each_door, error_of, for_each, within,
};

/// Base URLs in use.
const BASES: [&str; 16] = [
    "/v1",
    "",
    "/",
    "/v1/",
    "//v1",
    "//v1//",
    "/v1/v1",
    "/v1//v1/",
    "/openai",
    "/openai/v1",
    "/openai/v1/",
    "//openai//v1//",
    "/v1/openai",
    "/openai/deployments/it-model",
    "/openai//deployments/it-model/",
    "/v1/chat/completions",
];

fn bodies() -> [(&'static str, Value); 3] {
    [
        (
            "/chat/completions",
            json!({ "messages": [{ "role": "user", "content": "hi" }] }),
        ),
        ("/completions", json!({ "prompt": "hi" })),
        ("/responses", json!({ "input": "hi" })),
    ]
}

/// Posts with the key in the header that Azure's clients use.
async fn post(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    let request = gateway.web.post(gateway.url(path)).header("api-key", KEY);
    request.json(body).send().await.unwrap()
}

/// Posts to a path unchanged, without a client's normalization.
async fn raw(gateway: &Gateway, path: &str) -> String {
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: it\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    within("an answer and the end", read).await.unwrap();
    answer
}

#[tokio::test]
async fn every_endpoint_is_reached_from_every_base() {
    let gateway = Gateway::start().await;
    for_each(BASES, async |base| {
        for (endpoint, mut body) in bodies() {
            body["model"] = "it-model".into();
            for end in ["", "/", "?api-version=2025-04-01-preview", "//?a=b"] {
                for stream in [false, true] {
                    body["stream"] = stream.into();
                    let path = format!("{base}{endpoint}{end}");
                    let response = post(&gateway, &path, &body).await;
                    assert_eq!(response.status(), 200, "{path}");
                    assert_eq!(response.headers()["openai-version"], "2020-10-01", "{path}");
                    let text = response.text().await.unwrap();
                    assert!(
                        text.contains("it-model") && text.contains("said: "),
                        "{path}: {text}"
                    );
                }
            }
        }
        let get = async |path: String| {
            let response = gateway.get(&path).await;
            assert_eq!(response.status(), 200, "{path}");
            response.json::<Value>().await.unwrap()
        };
        assert_eq!(get(format!("{base}/models")).await["object"], "list");
        assert_eq!(get(format!("{base}/models/")).await["object"], "list");
        for (id, name) in [
            ("a%20b", "a b"),
            ("org/name", "org/name"),
            ("org%2Fname", "org/name"),
            ("a%2F", "a/"),
        ] {
            assert_eq!(get(format!("{base}/models/{id}")).await["id"], name);
        }
        let body = json!({ "model": "it-model", "input": "keep me" });
        let kept = post(&gateway, &format!("{base}/responses"), &body).await;
        let kept: Value = kept.json().await.unwrap();
        let id = kept["id"].as_str().unwrap();
        assert_eq!(get(format!("{base}/responses/{id}")).await["id"], id);
        assert_eq!(
            get(format!("{base}/responses/{id}/input_items?limit=1")).await["object"],
            "list"
        );
        let delete = gateway
            .web
            .delete(gateway.url(&format!("{base}/responses/{id}/")))
            .bearer_auth(KEY);
        assert_eq!(delete.send().await.unwrap().status(), 200);
        let wrong = gateway.get(&format!("{base}/chat/completions")).await;
        assert_eq!(wrong.headers()["allow"], "POST");
        assert_eq!(error_of(wrong).await.kind, "method_not_supported");
    })
    .await;
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_paths_model_is_the_bodys_where_that_has_none() {
    let gateway = Gateway::start().await;
    for (endpoint, body) in bodies() {
        for (spelled, name) in [
            ("gpt-4o", "gpt-4o"),
            ("Claude%204%20Sonnet", "Claude 4 Sonnet"),
            ("meta%2Fllama-4", "meta/llama-4"),
            // Azure's clients leave slashes as they are.
            ("meta/llama-4", "meta/llama-4"),
            ("meta/llama%204/", "meta/llama 4"),
            ("openai/gpt-oss/20b", "openai/gpt-oss/20b"),
            ("a/chat/b", "a/chat/b"),
            ("a/deployments/b", "a/deployments/b"),
            // Words of paths are also valid ids.
            ("chat", "chat"),
            ("v1", "v1"),
            ("deployments", "deployments"),
        ] {
            let path = format!("/openai/deployments/{spelled}{endpoint}?api-version=2024-10-21");
            for given in [None, Some(Value::Null), Some("".into()), Some(name.into())] {
                let mut body = body.clone();
                if let Some(given) = given.clone() {
                    body["model"] = given;
                }
                let response = post(&gateway, &path, &body).await;
                assert_eq!(response.status(), 200, "{path} {given:?}");
                assert_eq!(response.json::<Value>().await.unwrap()["model"], name);
                assert_eq!(gateway.sim.answers().last().unwrap().model, name);
            }
            for other in [
                json!("other"),
                json!(name.to_uppercase()),
                json!(7),
                json!([name]),
            ] {
                let mut body = body.clone();
                body["model"] = other.clone();
                let failure = error_of(post(&gateway, &path, &body).await).await;
                assert_eq!(
                    (failure.kind, failure.field.as_deref()),
                    ("invalid_request", Some("model")),
                    "{path} {other}"
                );
            }
        }
        let none = error_of(post(&gateway, endpoint, &body).await).await;
        assert_eq!(none.field.as_deref(), Some("model"), "no path names one");
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_deployment_is_compared_as_it_is_written_and_resolved_as_any_name() {
    let gateway = Setup::new()
        .settings(|settings| {
            settings.available_models = vec!["o4-Default".to_owned()];
            settings.model_aliases = [("fast".to_owned(), "o4-Default".to_owned())].into();
        })
        .start()
        .await;
    let body = |model: Option<&str>| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        if let Some(model) = model {
            body["model"] = model.into();
        }
        body
    };
    let path = |name: &str| format!("/openai/deployments/{name}/chat/completions");
    for model in [None, Some("fast")] {
        assert_eq!(post(&gateway, &path("fast"), &body(model)).await.status(), 200);
        assert_eq!(gateway.sim.answers().last().unwrap().model, "o4-Default");
    }
    let other = error_of(post(&gateway, &path("fast"), &body(Some("o4-Default"))).await).await;
    assert_eq!(
        (other.kind, other.field.as_deref()),
        ("invalid_request", Some("model"))
    );
    let unknown = error_of(post(&gateway, &path("slow"), &body(None)).await).await;
    assert_eq!(unknown.kind, "model_not_found");
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn nothing_else_has_a_second_spelling() {
    let gateway = Setup::new()
        .settings(|settings| settings.admin_key = Some(ADMIN_KEY.into()))
        .start()
        .await;
    for path in [
        "/admin/tokens",
        "/metrics",
        "/health",
        "/livez",
        "/readyz",
        "/openapi.json",
    ] {
        let key = if path.starts_with("/admin") {
            ADMIN_KEY
        } else {
            KEY
        };
        let get = async |path: &str| {
            let request = gateway.web.get(gateway.url(path)).bearer_auth(key);
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(get(path).await, 200, "{path}");
        let coded = format!("/%{:02x}{}", path.as_bytes()[1], &path[2..]);
        for other in [
            format!("/{path}"),
            format!("{path}/"),
            format!("/v1{path}"),
            format!("/v1/v1{path}"),
            format!("/openai{path}"),
            format!("/openai/v1{path}"),
            format!("/openai/deployments/m{path}"),
            format!("/openai/deployments/m/n{path}"),
            format!("/openai/deployments/m/chat/completions{path}"),
            format!("/openai/deployments/m/chat/completions/..{path}"),
            format!("/v1/chat/completions{path}"),
            coded,
        ] {
            // The admin key is no caller's key.
            let refused = if key == KEY || other.starts_with("/admin/") {
                404
            } else {
                401
            };
            assert_eq!(get(&other).await, refused, "{other}");
        }
    }
    for path in [
        "/v2/chat/completions",
        "/api/v1/chat/completions",
        "/chat",
        "/v1",
        "/openai",
        "/openai/deployments/m",
        "/openai/deployments//chat/completions",
        "/openai/deployments/%ff/chat/completions",
        "/openai/deployments//a/b/chat/completions",
        "/openai/deployments/a/b%ff/chat/completions",
        "/openai/deployments/a/../chat/completions",
        "/openai/deployments/a/./b/chat/completions",
        "/openai/deployments/a/b",
        "/openai/deployments/a/b/embeddings",
        "/openai/deployments/a/b/xchat/completion",
        "/openai/deployments/m/embeddings",
        "/openai/deployments/m/images/generations",
        "/v1/%63hat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/../v1/chat/completions",
        "/v1/chat/completions/chat",
        "/V1/chat/completions",
        "/duogate.v1.ChatService/CreateChatCompletion",
        "//duogate.v1.ChatService/CreateChatCompletion",
        "/v1/duogate.v1.ChatService/CreateChatCompletion",
    ] {
        let answer = raw(&gateway, path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        assert!(answer.contains("\"code\":\"unknown_url\""), "{path}: {answer}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn other_spellings_work_where_one_port_serves_both_protocols() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().one_port().start().await;
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("hi")).await;
            outcome.assert_whole(&duogate::sim::answer_text("hi"));
        }
        for path in ["/chat/completions", "//v1/chat/completions/"] {
            assert_eq!(
                post(&gateway, path, &Ask::new("hi").json(false)).await.status(),
                200,
                "{path}"
            );
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_log_and_the_metrics_know_one_path() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join(".env"), format!("API_KEYS=[\"{KEY}\"]\n")).unwrap();
    let mut serving = Serving::start(place.path());
    let web = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let url = |path: &str| format!("http://{}{path}", serving.http);
    let urls = [
        "/v1/chat/completions",
        "/chat/completions/",
        "/openai/deployments/it-model//chat/completions?api-version=1",
    ]
    .map(url);
    let metrics = url("/metrics");
    for url in urls {
        let refused = web.post(&url).bearer_auth(KEY).body("{}").send().await.unwrap();
        assert_eq!(refused.status(), 400, "{url}");
        let line: Value = serde_json::from_str(&serving.until("request ended")).unwrap();
        assert_eq!(line["http.path"], "/v1/chat/completions", "{url}");
    }
    let metrics = web
        .get(metrics)
        .bearer_auth(KEY)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let chats = metrics
        .lines()
        .filter(|line| line.starts_with("duogate_requests_total{") && line.contains("\"invalid_request\""));
    let counts = chats.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), 3, "all of them are chats: {metrics}");
    serving.stop().await;
}
