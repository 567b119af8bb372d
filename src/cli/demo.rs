//! `duogate demo`: a gateway and a simulated upstream on this machine. It ignores `.env`, the environment and proxies,
//! so that nothing in its surroundings can break it.

use std::{
    error::Error,
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::{Done, descriptor_limit, run_on, runtime, show_aside, signals::stop_on_signals};
use crate::{
    app::{
        App, StartError, Surroundings,
        client::{
            CreateChatCompletionRequest, FinishReason, chat_service_client::ChatServiceClient,
            stream_chat_completion_response::Event,
        },
        start_logging,
    },
    config::{BaseUrl, LogFormat, Settings, listening_host},
    sim::{Sim, SimConfig},
};

const KEY: &str = "sk-duogate-demo";
/// The admin key.
const ADMIN_KEY: &str = "adm-duogate-demo";
const TOKENS: [&str; 3] = ["demo-token-1", "demo-token-2", "demo-token-3"];
const MODELS: [&str; 3] = ["Gemini 2.5 Pro", "Claude 4 Sonnet", "o4-Default"];
/// Slow enough to see an answer arrive in pieces.
const PACE: Duration = Duration::from_millis(60);
const HTTP_QUESTION: &str = "Hello through the OpenAI door! Do you read me?";
const GRPC_QUESTION: &str = "Hello through the gRPC door! Do you read me?";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Exit after the chats: 0 if both were complete, 1 otherwise. Uses free ports unless they are given
    #[arg(long)]
    once: bool,
    /// Address that both doors listen on
    #[arg(long, default_value = "127.0.0.1", value_parser = listening_host)]
    host: String,
    /// HTTP port; 0 picks a free one [default: 3333]
    #[arg(long)]
    port: Option<u16>,
    /// gRPC port; 0 picks a free one [default: 50051]
    #[arg(long)]
    grpc_port: Option<u16>,
}

pub(super) fn run(args: &DemoArgs) -> Done {
    start_logging("warn", LogFormat::Text)?;
    let _descriptors = descriptor_limit();
    run_on(runtime(0)?, demonstrate(args))
}

async fn demonstrate(args: &DemoArgs) -> Done {
    let sim = Sim::start(SimConfig {
        tokens: TOKENS.map(str::to_owned).to_vec(),
        chunk_delay: PACE,
        ..SimConfig::default()
    })
    .await?;
    let app = App::bind(&settings(&sim, args)?, Surroundings::Ignored)
        .await
        .map_err(|error| match error {
            busy @ StartError::Bind(..) => {
                format!("{busy}\n(--port and --grpc-port take others, and 0 is a free one)")
            }
            other @ (StartError::Settings(..) | StartError::Build(_)) => other.to_string(),
        })?;
    let is_everywhere = app.http_address().ip().is_unspecified();
    let http = reachable(app.http_address());
    let grpc = reachable(app.grpc_address().ok_or("the gRPC door is off")?);
    let (stop, watcher) = stop_on_signals();
    let serving = TaskTracker::new();
    let gateway = serving.spawn(app.run(stop.clone()));
    let places = format!(
        "simulated upstream  {}\nHTTP door           http://{http}/v1\ngRPC door           {grpc}\n\n",
        sim.origin()
    );
    let shown = async {
        show_aside(places).await?;
        if is_everywhere {
            show_aside("Both doors are on every other address of this machine as well.\n\n").await?;
        }
        let whole = both(http, grpc).await?;
        let goes_on = !args.once && whole && show_aside(recipes(http, grpc)).await?;
        Ok::<_, Box<dyn Error>>((whole, goes_on))
    };
    let (whole, goes_on) = tokio::select! {
        shown = shown => shown?,
        () = stop.soft.cancelled() => (false, false),
    };
    if !goes_on {
        stop.soft.cancel();
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

/// An address that clients on this machine can use: a wildcard address becomes loopback, since not every system can
/// connect to it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

fn settings(sim: &Sim, args: &DemoArgs) -> Result<Settings, Box<dyn Error>> {
    let endpoints = sim.endpoints();
    let defaults = Settings::default();
    let port = |given: Option<u16>, usual| given.unwrap_or(if args.once { 0 } else { usual });
    Ok(Settings {
        app_name: "duogate demo".to_owned(),
        host: args.host.clone(),
        grpc_host: args.host.clone(),
        port: port(args.port, defaults.port),
        grpc_port: defaults.grpc_port.map(|usual| port(args.grpc_port, usual)),
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

/// Chats through both doors; true when both answers were complete.
async fn both(http: SocketAddr, grpc: SocketAddr) -> Result<bool, Box<dyn Error>> {
    show_aside(format!(
        "HTTP  POST /v1/chat/completions, streamed\n  you    {HTTP_QUESTION}\n"
    ))
    .await?;
    let over_http = told(chat_over_http(http).await).await?;
    show_aside(format!(
        "gRPC  duogate.v1.ChatService/StreamChatCompletion\n  you    {GRPC_QUESTION}\n"
    ))
    .await?;
    let over_grpc = told(chat_over_grpc(grpc).await).await?;
    Ok(over_http && over_grpc)
}

async fn told(whole: Result<bool, Box<dyn Error>>) -> io::Result<bool> {
    let verdict = match &whole {
        Ok(true) => "whole",
        Ok(false) => "cut short",
        Err(error) => &format!("failed: {error}"),
    };
    show_aside(format!("         ({verdict})\n\n")).await?;
    Ok(whole.unwrap_or(false))
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
    show_aside("  model  ").await?;
    let (mut finished, mut done) = (false, false);
    let mut lines = String::new();
    let mut body = response.bytes_stream();
    while let Some(bytes) = body.next().await {
        // The gateway sends each event in one piece, so no character is split.
        lines.push_str(&String::from_utf8_lossy(&bytes?));
        while let Some((line, rest)) = lines.split_once('\n') {
            match line.strip_prefix("data: ") {
                Some("[DONE]") => done = true,
                Some(data) => {
                    let chunk: Value = serde_json::from_str(data)?;
                    let piece = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str);
                    show_aside(piece.unwrap_or_default()).await?;
                    finished |= chunk
                        .pointer("/choices/0/finish_reason")
                        .is_some_and(Value::is_string);
                }
                None => {}
            }
            lines = rest.to_owned();
        }
    }
    show_aside("\n").await?;
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
    show_aside("  model  ").await?;
    let mut finished = false;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Content(delta)) => drop(show_aside(delta.text).await?),
            Some(Event::Finished(end)) => finished = end.finish_reason() == FinishReason::Stop,
            Some(_) | None => {}
        }
    }
    show_aside("\n").await?;
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
