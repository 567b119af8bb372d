//! The OpenAPI document and its page: they match the gateway's routes, and contain no secret.

use std::{collections::BTreeSet, fs, path::Path};

use duogate::config::Settings;
use reqwest::{Method, redirect};
use serde_json::Value;

use crate::support::{ADMIN_KEY, Gateway, KEY, Setup, TOKENS, error_of};

/// Routes for people, and the document's own.
const UNDOCUMENTED: [&str; 7] = [
    "/openapi.json",
    "/docs",
    "/docs/",
    "/docs/page.js",
    "/docs/page.css",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
];

async fn operated() -> Gateway {
    let with_admin = |settings: &mut Settings| settings.admin_key = Some(ADMIN_KEY.into());
    Setup::new().settings(with_admin).start().await
}

async fn document(gateway: &Gateway) -> Value {
    let response = gateway
        .web
        .get(gateway.url("/openapi.json"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

fn methods(item: &Value) -> BTreeSet<String> {
    let methods = item.as_object().unwrap().keys();
    methods.map(|method| method.to_uppercase()).collect()
}

#[tokio::test]
async fn it_says_what_it_is() {
    let named = |settings: &mut Settings| settings.app_name = "A <b>name</b>".to_owned();
    let gateway = Setup::new().settings(named).start().await;
    let document = document(&gateway).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "A <b>name</b>");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    gateway.stop().await;
}

#[tokio::test]
async fn each_path_has_just_the_methods_that_the_document_gives_it() {
    let gateway = operated().await;
    let document = document(&gateway).await;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 15, "{:?}", paths.keys());
    for (path, item) in paths {
        let place = path.replace("{id}", "one").replace("{hash}", "01234567");
        let options = gateway.web.request(Method::OPTIONS, gateway.url(&place));
        let answer = options.bearer_auth(ADMIN_KEY).send().await.unwrap();
        let allowed = answer
            .headers()
            .get("allow")
            .unwrap_or_else(|| panic!("no such route: {path}"));
        let mut allowed: BTreeSet<String> = allowed.to_str().unwrap().split(',').map(str::to_owned).collect();
        allowed.remove("HEAD");
        assert_eq!(allowed, methods(item), "{path}");
    }
    gateway.stop().await;
}

/// Every text between `before` and a quote in the sources of modules with routes.
fn literals(directory: &Path, before: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            literals(&path, before, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source: String = fs::read_to_string(&path).unwrap().split_whitespace().collect();
            let texts = source.split(before).skip(1);
            found.extend(texts.map(|text| text.split('"').next().unwrap().to_owned()));
        }
    }
}

#[tokio::test]
async fn no_route_is_left_out_of_the_document() {
    let gateway = operated().await;
    let document = document(&gateway).await;
    let (mut plain, mut described) = (BTreeSet::new(), BTreeSet::new());
    for room in ["app", "openai", "ops", "admin"] {
        let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
        literals(&room, ".route(\"", &mut plain);
        literals(&room, ",path=\"", &mut described);
    }
    assert_eq!(
        plain,
        UNDOCUMENTED.map(str::to_owned).into(),
        "routes without a description"
    );
    let described: BTreeSet<String> = described
        .into_iter()
        .map(|path| path.replace("{*", "{"))
        .collect();
    let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(described, documented);
    gateway.stop().await;
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let gateway = operated().await;
    let document = document(&gateway).await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn each_operation_says_which_key_it_wants() {
    let gateway = operated().await;
    let document = document(&gateway).await;
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let ways: Vec<Vec<&String>> = operation["security"]
                .as_array()
                .unwrap()
                .iter()
                .map(|way| way.as_object().unwrap().keys().collect())
                .collect();
            let is_open = ways.is_empty() || ways.iter().any(Vec::is_empty);
            assert!(ways.iter().flatten().all(|name| schemes.contains_key(*name)));
            let admins = ways
                .iter()
                .flatten()
                .filter(|name| name.starts_with("operator_"))
                .count();
            assert_eq!(
                admins,
                if path.starts_with("/admin") { ways.len() } else { 0 },
                "{path}"
            );
            // The document must require a key exactly on the paths that reject a caller without one.
            let place = path.replace("{id}", "one").replace("{hash}", "01234567");
            let method: Method = method.to_uppercase().parse().unwrap();
            let request = gateway.web.request(method, gateway.url(&place));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status() == 401, !is_open, "{path}");
            assert_eq!(operation["responses"]["401"].is_object(), !is_open, "{path}");
            assert!(answer.headers().contains_key("x-request-id"));
            for answer in operation["responses"].as_object().unwrap().values() {
                assert!(answer["headers"]["x-request-id"].is_object(), "{path}");
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_in_it() {
    let gateway = Setup::new()
        .settings(|settings| settings.require_api_key = false)
        .start()
        .await;
    let document = document(&gateway).await;
    let paths = document["paths"].as_object().unwrap();
    assert!(
        paths.keys().all(|path| !path.starts_with("/admin")),
        "there is no admin key"
    );
    let chat = &paths["/v1/chat/completions"]["post"];
    assert!(chat["responses"].get("401").is_none(), "no key is needed");
    gateway.stop().await;
}

#[tokio::test]
async fn the_page_and_all_that_it_loads_are_there_and_nothing_secret_is() {
    let named = |settings: &mut Settings| settings.app_name = "A <b>name</b>".to_owned();
    let gateway = Setup::new().settings(named).start().await;
    for path in UNDOCUMENTED {
        for method in [Method::GET, Method::HEAD] {
            let request = gateway.web.request(method.clone(), gateway.url(path));
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            let policy = response.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .to_owned();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self';"),
                "{policy}"
            );
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            let bytes = response.bytes().await.unwrap();
            assert_eq!(bytes.is_empty(), method == Method::HEAD, "{path}");
            let text = String::from_utf8_lossy(&bytes);
            for secret in TOKENS.into_iter().chain([KEY]) {
                assert!(!text.contains(secret), "{path}");
            }
        }
    }
    let page = gateway.get("/docs").await.text().await.unwrap();
    assert!(page.contains("<title>A &lt;b&gt;name&lt;/b&gt; "), "{page}");
    let elsewhere = ["http:", "https:", "\"//", "'//"];
    assert!(elsewhere.iter().all(|mark| !page.contains(mark)), "{page}");
    for file in page.split('"').filter(|part| part.starts_with("docs/")) {
        assert!(UNDOCUMENTED.contains(&format!("/{file}").as_str()), "{file}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_page_has_one_address_and_other_files_are_not_there() {
    let gateway = Gateway::start().await;
    let patient = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap();
    let moved = patient.get(gateway.url("/docs/")).send().await.unwrap();
    assert_eq!(moved.status(), 308);
    assert_eq!(moved.headers()["location"], "../docs");
    for path in [
        "/docs/index.html",
        "/docs/swagger-initializer.js",
        "/docs/page.css/",
    ] {
        assert_eq!(
            error_of(gateway.get(path).await).await.kind,
            "unknown_url",
            "{path}"
        );
    }
    gateway.stop().await;
}
