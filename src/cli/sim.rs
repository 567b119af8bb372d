//! `duogate sim`.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::{Done, run_on, runtime, show_aside, signals::stop_on_signals};
use crate::sim::{Endpoints, Sim, SimConfig};

#[derive(Debug, Args)]
pub(super) struct SimArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port; 0 picks a free one
    #[arg(long, default_value_t = 4444)]
    port: u16,
    /// Credential to accept; may be repeated [default: sim-token]
    #[arg(long = "token", value_name = "TOKEN")]
    tokens: Vec<String>,
    /// Milliseconds before the head of each response
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency: u64,
    /// Milliseconds between the pieces of a streamed response
    #[arg(long, default_value_t = 0, value_name = "MS")]
    chunk_delay: u64,
}

pub(super) fn run(args: &SimArgs) -> Done {
    run_on(runtime(0)?, async {
        let mut config = SimConfig {
            latency: Duration::from_millis(args.latency),
            chunk_delay: Duration::from_millis(args.chunk_delay),
            ..SimConfig::default()
        };
        if !args.tokens.is_empty() {
            config.tokens.clone_from(&args.tokens);
        }
        let tokens = serde_json::to_string(&config.tokens)?;
        let sim = Sim::bind(SocketAddr::new(args.host, args.port), config).await?;
        let Endpoints {
            project,
            conversation,
            message,
            target,
            site,
        } = sim.endpoints();
        let (stop, watcher) = stop_on_signals();
        let told = show_aside(format!(
            "The simulated upstream is on {origin}. Settings for a gateway in front of it:\n\n\
             PROJECT_API_URL={project}\nCONVERSATION_API_URL={conversation}\nMESSAGE_API_URL={message}\n\
             TARGET_API_URL={target}\nSITE_URL={site}\nTOKEN_POOL={tokens}\n\n\
             These model names make it misbehave or speak in other ways:\n  {models}\n\n\
             What it has seen: GET {origin}/sim/state. Ctrl-C ends it.\n",
            origin = sim.origin(),
            models = Sim::model_names().join(" "),
        ));
        tokio::select! {
            told = told => {
                told?;
                stop.soft.cancelled().await;
            }
            () = stop.soft.cancelled() => {}
        }
        watcher.cancel();
        sim.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}
