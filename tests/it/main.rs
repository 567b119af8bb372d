//! End-to-end tests of the gateway over real loopback sockets, in front of the simulated upstream, through both doors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test a panic is a verdict"
)]

mod abuse;
mod admin;
mod admission;
mod answer_limits;
mod answers;
mod bad_requests;
mod binary;
mod breaker;
#[cfg(target_os = "linux")]
mod broken_log;
mod check;
mod choices;
mod completions;
mod connections;
mod converse;
mod crowd;
mod cuts;
mod deadlines;
mod demo;
mod drain;
mod early_answers;
mod early_answers_http2;
mod empty;
mod failover;
mod fields;
mod forms;
mod grpc_chats;
mod grpc_fields;
mod grpc_frames;
mod grpc_health;
mod grpc_input;
mod grpc_off;
mod grpc_rules;
mod grpc_web;
mod health;
mod house;
mod http_codings;
mod http_headers;
mod http_input;
mod http_limits;
mod http_long_work;
mod http_paths;
mod http_spellings;
mod http_stream;
mod json_details;
mod keep_alive;
mod keys;
mod leaving;
mod metrics;
mod models;
mod nulls;
mod one_port;
mod openapi;
mod own_fields;
mod parity;
mod probes;
mod reflection;
mod refusals;
#[cfg(unix)]
mod reload;
mod responses;
mod responses_input;
mod responses_kept;
mod retries;
mod schema;
mod scrape;
mod shortage;
mod slow;
mod stalled;
mod state;
mod stock;
mod storm;
mod supervised;
mod support;
mod surroundings;
mod tls;
mod verdicts;
mod wire_shapes;
