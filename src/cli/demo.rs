//! `duogate demo`: the main job on this machine alone. It reads no `.env`, no environment and no proxies, so that
//! nothing around it can break it.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use futures::StreamExt;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::{Done, descriptor_limit, runtime, signals::stop_on_signals, tell};
use crate::{
    app::{
        App, StartError, Surroundings,
        client::{
            CreateChatCompletionRequest, FinishReason, chat_service_client::ChatServiceClient,
            stream_chat_completion_response::Event,
        },
        start_logging,
    },
    config::{BaseUrl, LogFormat, Settings},
    sim::{Sim, SimConfig},
};

const KEY: &str = "sk-duogate-demo";
/// What operators are let in with.
const ADMIN_KEY: &str = "adm-duogate-demo";
const TOKENS: [&str; 3] = ["demo-token-1", "demo-token-2", "demo-token-3"];
const MODELS: [&str; 3] = ["Gemini 2.5 Pro", "Claude 4 Sonnet", "o4-Default"];
/// Slow enough to see an answer arrive in pieces.
const PACE: Duration = Duration::from_millis(60);
const HTTP_QUESTION: &str = "Hello through the OpenAI door! Do you read me?";
const GRPC_QUESTION: &str = "Hello through the gRPC door! Do you read me?";

pub(super) fn run(once: bool) -> Done {
    start_logging("warn", LogFormat::Text)?;
    let _descriptors = descriptor_limit();
    runtime(0)?.block_on(demonstrate(once))
}

async fn demonstrate(once: bool) -> Done {
    let sim = Sim::start(SimConfig {
        tokens: TOKENS.map(str::to_owned).to_vec(),
        chunk_delay: PACE,
        ..SimConfig::default()
    })
    .await?;
    let app = App::bind(&settings(&sim, once)?, Surroundings::Ignored)
        .await
        .map_err(|error| match error {
            busy @ StartError::Bind(..) => format!("{busy}\n(`duogate demo --once` takes free ports)"),
            other @ (StartError::Settings(..) | StartError::Build(_)) => other.to_string(),
        })?;
    let (http, grpc) = (app.http_address(), app.grpc_address());
    let (stop, watcher) = stop_on_signals();
    let serving = TaskTracker::new();
    let gateway = serving.spawn(app.run(stop.clone()));
    tell(&format!(
        "simulated upstream  {}\nHTTP door           http://{http}/v1\ngRPC door           {grpc}\n",
        sim.origin()
    ))?;
    let whole = tokio::select! {
        whole = both(http, grpc) => whole?,
        () = stop.soft.cancelled() => false,
    };
    if once || !whole {
        stop.soft.cancel();
    } else {
        tell(&recipes(http, grpc))?;
    }
    gateway.await??;
    watcher.cancel();
    sim.shutdown().await;
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn settings(sim: &Sim, once: bool) -> Result<Settings, Box<dyn Error>> {
    let endpoints = sim.endpoints();
    let defaults = Settings::default();
    Ok(Settings {
        app_name: "duogate demo".to_owned(),
        host: "127.0.0.1".to_owned(),
        grpc_host: "127.0.0.1".to_owned(),
        port: if once { 0 } else { defaults.port },
        grpc_port: if once { 0 } else { defaults.grpc_port },
        api_keys: vec![KEY.into()],
        admin_key: Some(ADMIN_KEY.into()),
        tokens: TOKENS.map(Into::into).to_vec(),
        available_models: MODELS.map(str::to_owned).to_vec(),
        project_url: BaseUrl::parse(&endpoints.project)?,
        conversation_url: BaseUrl::parse(&endpoints.conversation)?,
        message_url: BaseUrl::parse(&endpoints.message)?,
        target_url: BaseUrl::parse(&endpoints.target)?,
        site_url: BaseUrl::parse(&endpoints.site)?,
        shutdown_grace: Duration::from_secs(3),
        ..defaults
    })
}

/// Chats through both doors; true when both answers were whole.
async fn both(http: SocketAddr, grpc: SocketAddr) -> Result<bool, Box<dyn Error>> {
    tell(&format!(
        "HTTP  POST /v1/chat/completions, streamed\n  you    {HTTP_QUESTION}"
    ))?;
    let over_http = told(chat_over_http(http).await)?;
    tell(&format!(
        "gRPC  duogate.v1.ChatService/StreamChatCompletion\n  you    {GRPC_QUESTION}"
    ))?;
    let over_grpc = told(chat_over_grpc(grpc).await)?;
    Ok(over_http && over_grpc)
}

fn told(whole: Result<bool, Box<dyn Error>>) -> io::Result<bool> {
    match whole {
        Ok(true) => tell("         (whole)\n").map(|()| true),
        Ok(false) => tell("         (cut short)\n").map(|()| false),
        Err(error) => tell(&format!("         (failed: {error})\n")).map(|()| false),
    }
}

fn show(piece: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(piece.as_bytes())?;
    out.flush()
}

async fn chat_over_http(address: SocketAddr) -> Result<bool, Box<dyn Error>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client
        .post(format!("http://{address}/v1/chat/completions"))
        .bearer_auth(KEY)
        .json(&json!({
            "model": MODELS.first(),
            "messages": [{ "role": "user", "content": HTTP_QUESTION }],
            "stream": true,
        }))
        .send()
        .await?
        .error_for_status()?;
    show("  model  ")?;
    let (mut finished, mut done) = (false, false);
    let mut lines = String::new();
    let mut body = response.bytes_stream();
    while let Some(bytes) = body.next().await {
        // The gateway ends every event's line in one piece of the body, so no character is ever split.
        lines.push_str(&String::from_utf8_lossy(&bytes?));
        while let Some((line, rest)) = lines.split_once('\n') {
            match line.strip_prefix("data: ") {
                Some("[DONE]") => done = true,
                Some(data) => {
                    let chunk: Value = serde_json::from_str(data)?;
                    show(
                        chunk
                            .pointer("/choices/0/delta/content")
                            .and_then(Value::as_str)
                            .unwrap_or_default(),
                    )?;
                    finished |= chunk
                        .pointer("/choices/0/finish_reason")
                        .is_some_and(Value::is_string);
                }
                None => {}
            }
            lines = rest.to_owned();
        }
    }
    show("\n")?;
    Ok(finished && done)
}

async fn chat_over_grpc(address: SocketAddr) -> Result<bool, Box<dyn Error>> {
    let mut client = ChatServiceClient::connect(format!("http://{address}")).await?;
    let model = MODELS.first().copied().unwrap_or_default();
    let mut request = tonic::Request::new(CreateChatCompletionRequest::with_text(model, GRPC_QUESTION));
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {KEY}").parse()?);
    let mut events = client.stream_chat_completion(request).await?.into_inner();
    show("  model  ")?;
    let mut finished = false;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Content(delta)) => show(&delta.text)?,
            Some(Event::Finished(end)) => finished = end.finish_reason() == FinishReason::Stop,
            // The rest is for programs.
            Some(_) | None => {}
        }
    }
    show("\n")?;
    Ok(finished)
}

fn recipes(http: SocketAddr, grpc: SocketAddr) -> String {
    let model = MODELS.first().copied().unwrap_or_default();
    let mut text = String::from("Both doors stay open until Ctrl-C. Try them:\n\n");
    let _infallible = write!(
        text,
        r#"curl -N http://{http}/v1/chat/completions -H 'Authorization: Bearer {KEY}' \
  -H 'Content-Type: application/json' \
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hi"}}], "stream": true}}'

pip install openai, then:
python3 -c 'from openai import OpenAI
client = OpenAI(base_url="http://{http}/v1", api_key="{KEY}")
print(client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hi"}}]).choices[0].message.content)'

grpcurl -plaintext -H 'authorization: Bearer {KEY}' \
  -d '{{"model": "{model}", "messages": [{{"role": "ROLE_USER", "content": [{{"text": "Hi"}}]}}]}}' \
  {grpc} duogate.v1.ChatService/StreamChatCompletion

curl http://{http}/admin/tokens -H 'Authorization: Bearer {ADMIN_KEY}'

The docs page is at http://{http}/docs, the state at http://{http}/health.
"#
    );
    text
}
