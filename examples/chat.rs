//! Streams one answer over gRPC, with a deadline, retries and the details of errors.
//!
//! Usage: `cargo run --example chat -- [--deadline SECONDS] [--stop-after PIECES] MODEL TEXT`
//! `DUOGATE` is the address (127.0.0.1:50051), `DUOGATE_KEY` the key. Ctrl-C cancels.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool")]

use std::{env, error::Error, io::Write, process::ExitCode, time::Duration};

use clap::Parser;
use duogate::client::stream_chat_completion_response::Event;
use duogate::client::{CreateChatCompletionRequest as Ask, chat_service_client::ChatServiceClient};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::{Request, Status, metadata::AsciiMetadataValue, transport::Endpoint};
use tonic_types::StatusExt;
use tower::{ServiceExt, retry::Policy, retry::Retry, service_fn};

#[derive(Parser)]
struct Arguments {
    /// Seconds for the whole chat, retries included.
    #[arg(long, default_value_t = 60.0)]
    deadline: f64,
    /// Cancel after this many pieces of the answer.
    #[arg(long, default_value_t = 0)]
    stop_after: u32,
    model: String,
    text: String,
}

/// Retries left. Each waits as long as the gateway says: it gives a delay if a retry can help, and -1 otherwise.
#[derive(Clone)]
struct AsTold(u32);

impl<Answer> Policy<Ask, Answer, Status> for AsTold {
    type Future = Sleep;
    fn retry(&mut self, _: &mut Ask, answer: &mut Result<Answer, Status>) -> Option<Sleep> {
        let told = answer.as_ref().err()?.metadata().get("grpc-retry-pushback-ms")?;
        let wait = Duration::from_millis(told.to_str().ok()?.parse().ok()?);
        self.0 = self.0.checked_sub(1)?;
        Some(sleep(wait))
    }
    fn clone_request(&mut self, ask: &Ask) -> Option<Ask> {
        Some(ask.clone())
    }
}

async fn chat(arguments: Arguments, deadline: Instant) -> Result<(), Box<dyn Error>> {
    let address = env::var("DUOGATE").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let key = env::var("DUOGATE_KEY").unwrap_or_else(|_| "sk-duogate-demo".to_owned());
    let key = format!("Bearer {key}").parse::<AsciiMetadataValue>()?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let client = ChatServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(20 << 20);
    let call = service_fn(async |ask: Ask| {
        let mut request = Request::new(ask);
        request.metadata_mut().insert("authorization", key.clone());
        // The library's own timer would give CANCELLED, so it fires a second after this one.
        request.set_timeout(deadline.duration_since(Instant::now()) + Duration::from_secs(1));
        client.clone().stream_chat_completion(request).await
    });
    let ask = Ask::with_text(arguments.model, arguments.text);
    let mut events = Retry::new(AsTold(3), call).oneshot(ask).await?.into_inner();
    let mut pieces = 0;
    while let Some(event) = events.message().await? {
        if let Some(Event::Content(delta)) = event.event {
            print!("{}", delta.text);
            std::io::stdout().flush()?;
            pieces += 1;
            if pieces == arguments.stop_after {
                return Err(Status::cancelled("as told").into()); // dropping the stream cancels it
            }
        } else if let Some(Event::Finished(_)) = event.event {
            println!(); // without this event the answer is incomplete
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let deadline = Instant::now() + Duration::try_from_secs_f64(arguments.deadline)?;
    let error = tokio::select! {
        ended = chat(arguments, deadline) => match ended { Ok(()) => return Ok(ExitCode::SUCCESS), Err(error) => error },
        () = sleep_until(deadline) => Status::deadline_exceeded("the deadline passed").into(),
        _ = tokio::signal::ctrl_c() => Status::cancelled("by Ctrl-C").into(),
    };
    let status = error.downcast::<Status>()?;
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .map_or("of the client's own", |info| &info.reason);
    eprintln!("{:?}: {}\n  reason: {reason}", status.code(), status.message());
    if let Some(wait) = details.retry_info().and_then(|told| told.retry_delay) {
        eprintln!("  retry after: {:.3} s", wait.as_secs_f64());
    }
    for wrong in details.bad_request().iter().flat_map(|bad| &bad.field_violations) {
        eprintln!("  field {}: {}", wrong.field, wrong.description);
    }
    Ok(ExitCode::FAILURE)
}
