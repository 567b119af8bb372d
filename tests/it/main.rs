//! The gateway's behaviour, seen from outside: over real loopback sockets, in front of the simulated upstream, through
//! both doors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test a panic is a verdict"
)]

mod admin;
mod admission;
mod answers;
mod binary;
mod crowd;
mod cuts;
mod deadlines;
mod drain;
mod failover;
mod forms;
mod grpc_input;
mod health;
mod house;
mod http_input;
mod http_limits;
mod http_paths;
mod http_stream;
mod keys;
mod leaving;
mod metrics;
mod models;
mod reflection;
mod refusals;
mod retries;
mod support;
