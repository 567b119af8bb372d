//! The HTTP door's headers, as SDKs and browsers read them.

use duogate::{
    config::UnsupportedParams,
    sim::{Fault, Rule, Step},
};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::{Ask, Gateway, KEY, Setup, error_of};

async fn post(gateway: &Gateway, body: &Value) -> reqwest::Response {
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    request.json(body).send().await.unwrap()
}

fn ignored(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("x-duogate-ignored")
        .map(|names| names.to_str().unwrap())
}

/// A part of `server-timing`, in milliseconds.
fn timing(headers: &HeaderMap, name: &str) -> Option<f64> {
    let timing = headers["server-timing"].to_str().unwrap();
    let part = timing.split(", ").find_map(|part| part.strip_prefix(name))?;
    Some(part.strip_prefix(";dur=").unwrap().parse().unwrap())
}

#[tokio::test]
async fn what_was_left_out_is_named_on_whole_and_streamed_answers() {
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        let body = |more: Value| Ask::new("hi").with(more).json(stream);
        let plain = post(&gateway, &body(json!({ "max_tokens": 99, "stop": "x", "n": 2 }))).await;
        assert_eq!(ignored(plain.headers()), None);
        let nothing = json!({ "temperature": null, "tools": [], "response_format": { "type": "text" },
            "logprobs": false, "modalities": ["text"], "tool_choice": "none" });
        assert_eq!(ignored(post(&gateway, &body(nothing)).await.headers()), None);
        let flavour =
            json!({ "user": "u", "seed": 1, "temperature": 0, "parallel_tool_calls": true, "unknown": 1 });
        let flavoured = post(&gateway, &body(flavour)).await;
        assert_eq!(
            ignored(flavoured.headers()),
            Some("temperature, seed, parallel_tool_calls, user")
        );
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn agents_that_always_send_tools_can_be_let_in() {
    let gateway = Setup::new()
        .settings(|settings| settings.unsupported_params = UnsupportedParams::Ignore)
        .start()
        .await;
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": {} } });
    let parts = json!([
        { "type": "text", "text": "see " },
        { "type": "image_url", "image_url": { "url": "data:," } },
        { "type": "image_url", "image_url": { "url": "data:," } },
    ]);
    let more = json!({ "tools": [tool], "tool_choice": "auto", "response_format": { "type": "json_object" },
        "logprobs": true, "top_logprobs": 2, "messages": [{ "role": "user", "content": parts }] });
    for stream in [false, true] {
        let response = post(&gateway, &Ask::new("hi").with(more.clone()).json(stream)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            ignored(response.headers()),
            Some("tools, tool_choice, response_format, logprobs, top_logprobs, image_url")
        );
        let _body = response.bytes().await.unwrap();
    }
    for answer in gateway.sim.answers() {
        assert_eq!(answer.text, "see [image][image]");
    }
    // An invalid value is rejected where the field is obeyed; an omitted field is not validated.
    let wrong = Ask::new("hi").with(json!({ "tools": 7, "stop": 7 })).json(false);
    assert_eq!(
        error_of(post(&gateway, &wrong).await).await.field.as_deref(),
        Some("stop")
    );
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn every_answer_tells_its_version_and_its_time() {
    let gateway = Gateway::start().await;
    let slow = std::time::Duration::from_millis(300);
    gateway
        .sim
        .script(Rule::always(Fault::Delay(slow)).on(Step::Answer));
    for stream in [false, true] {
        let response = post(&gateway, &Ask::new("hi").json(stream)).await;
        let headers = response.headers();
        assert_eq!(headers["openai-version"], "2020-10-01");
        let whole: f64 = headers["openai-processing-ms"].to_str().unwrap().parse().unwrap();
        let [own, upstream, total] =
            ["gateway", "upstream", "total"].map(|name| timing(headers, name).unwrap());
        assert!(
            upstream >= 300.0 && (own + upstream - total).abs() < 0.01,
            "{own} + {upstream} = {total}"
        );
        assert!((total - whole).abs() <= 1.0, "{total} and {whole}");
    }
    gateway.sim.clear();
    let failed = post(&gateway, &json!({})).await;
    assert_eq!(failed.headers()["openai-version"], "2020-10-01");
    assert_eq!(timing(failed.headers(), "upstream"), None);
    assert!(timing(failed.headers(), "total").is_some());
    let health = gateway.get("/health").await;
    assert!(!health.headers().contains_key("openai-version"), "the API only");
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_names_its_request_as_it_likes_within_reason() {
    let gateway = Gateway::start().await;
    let asked = async |name: &'static str, id: &str| {
        let request = gateway
            .web
            .get(gateway.url("/v1/models"))
            .bearer_auth(KEY)
            .header(name, id);
        let response = request.send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    for name in ["x-client-request-id", "x-request-id"] {
        assert_eq!(asked(name, "trace-1").await, "trace-1");
        for odd in ["", "a b", "<script>", &"x".repeat(129)] {
            let given = uuid::Uuid::parse_str(&asked(name, odd).await).unwrap();
            assert_eq!(given.get_version_num(), 7, "{name}: {odd}");
        }
    }
    gateway.stop().await;
}

/// A browser's preflight request.
async fn preflight(gateway: &Gateway, path: &str, origin: &str) -> HeaderMap {
    let request = gateway.web.request(http::Method::OPTIONS, gateway.url(path));
    let wanted =
        "authorization,content-type,x-stainless-lang,x-stainless-retry-count,x-stainless-os,openai-project";
    let response = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", wanted)
        .send()
        .await
        .unwrap();
    assert!(response.status().is_success(), "without any key");
    let headers = response.headers().clone();
    assert_eq!(headers["access-control-allow-headers"], wanted);
    assert!(
        headers["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );
    assert!(response.bytes().await.unwrap().is_empty());
    headers
}

#[tokio::test]
async fn web_pages_may_call_and_read_all_that_matters() {
    let gateway = Gateway::start().await;
    for path in ["/v1/chat/completions", "/v1/models", "/v1/nothing"] {
        let headers = preflight(&gateway, path, "https://page.example").await;
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert!(headers.contains_key("access-control-max-age"));
    }
    let send = async |method: &str, path: &str, key: Option<&str>, body: &str| {
        let request = gateway.web.request(method.parse().unwrap(), gateway.url(path));
        let request = request
            .header("origin", "https://page.example")
            .body(body.to_owned());
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        request
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap()
    };
    let chat = Ask::new("hi").json(true).to_string();
    let chats = "/v1/chat/completions";
    let huge = "x".repeat(10 * 1024 * 1024 + 1);
    for (method, path, key, body, status) in [
        ("POST", chats, Some(KEY), chat.as_str(), 200),
        ("GET", "/v1/models", Some(KEY), "", 200),
        ("GET", "/v1/models", None, "", 401),
        ("POST", chats, Some(KEY), "{", 400),
        ("POST", chats, Some(KEY), &huge, 413),
        ("GET", "/v1/nothing", Some(KEY), "", 404),
        ("GET", chats, Some(KEY), "", 405),
    ] {
        let response = send(method, path, key, body).await;
        assert_eq!(response.status(), status, "{method} {path}");
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], "*", "{status}");
        let exposed = headers["access-control-expose-headers"].to_str().unwrap();
        for name in [
            "x-request-id",
            "retry-after",
            "retry-after-ms",
            "x-should-retry",
            "x-duogate-ignored",
        ] {
            assert!(
                exposed.split(',').any(|exposed| exposed.trim() == name),
                "{name}: {exposed}"
            );
        }
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn only_pages_of_the_named_origins_may_call() {
    for (origins, allowed) in [(vec!["https://good.example"], true), (vec![], false)] {
        let gateway = Setup::new()
            .settings(|settings| {
                settings.cors_allow_origins = origins.into_iter().map(str::to_owned).collect();
            })
            .start()
            .await;
        let ask = async |origin: &'static str| {
            let request = gateway.web.get(gateway.url("/v1/models")).bearer_auth(KEY);
            let response = request.header("origin", origin).send().await.unwrap();
            let headers = response.headers();
            headers
                .get("access-control-allow-origin")
                .map(|origin| origin.to_str().unwrap().to_owned())
        };
        let good = allowed.then(|| "https://good.example".to_owned());
        assert_eq!(ask("https://good.example").await, good);
        assert_eq!(ask("https://bad.example").await, None);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn head_and_options_are_answered_as_http_wants_it() {
    let gateway = Gateway::start().await;
    let send = async |method: &str, path: &str| {
        let request = gateway
            .web
            .request(method.parse().unwrap(), gateway.url(path))
            .bearer_auth(KEY);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.bytes().await.unwrap())
    };
    let (status, headers, body) = send("HEAD", "/v1/models").await;
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(headers["content-type"], "application/json");
    for (path, allowed) in [("/v1/chat/completions", "POST"), ("/v1/models", "GET,HEAD")] {
        let (status, headers, body) = send("OPTIONS", path).await;
        assert_eq!((status, body.len()), (204, 0), "{path}");
        assert_eq!(headers["allow"], allowed, "{path}");
    }
    assert_eq!(send("OPTIONS", "/v1/nothing").await.0, 404);
    assert_eq!(send("HEAD", "/v1/nothing").await.0, 404);
    let (status, _, body) = send("HEAD", "/v1/chat/completions").await;
    assert_eq!((status, body.len()), (405, 0));
    gateway.stop().await;
}
