//! duogate: a chat gateway with two doors, the OpenAI API and gRPC, over one engine.
//!
//! The map of the house, from the outside in:
//!
//! | room | what lives there | what it may import of the house |
//! | --- | --- | --- |
//! | [`cli`] | the commands: serve, demo, init, check, sim, completions | [`config`], [`app`], [`sim`] |
//! | [`app`] | the composition root: bind, run, drain | everything |
//! | [`openai`] | the HTTP door: OpenAI's API | [`engine`], [`auth`], [`lifecycle`], [`telemetry`] |
//! | [`grpc`] | the gRPC door: `duogate.v1`, health, reflection | the same, and [`admin`] |
//! | [`ops`] | health, readiness, metrics, the OpenAPI document and its page, operating over HTTP | the same, and [`openai::error`], `openai::coding` |
//! | [`admin`] | operating the pool: what both doors offer to the admin key | [`engine`], [`auth`], [`telemetry`] |
//! | [`engine`] | the core: routes, pools, attempts, streams | [`telemetry`] |
//! | [`providers`] | the upstreams, one room for each kind | [`engine`], [`state`], [`telemetry`] |
//! | [`state`] | the state that outlives the process, in a directory | [`engine`] |
//! | [`auth`] | the key check of both doors | [`engine::caller`], [`engine::error`] |
//! | [`net`] | sockets: bind, accept, serve, close | [`telemetry`] |
//! | [`lifecycle`] | starting, ready, draining | [`telemetry`] |
//! | [`telemetry`] | logs, metrics, the record of each request | nothing |
//! | [`config`] | the settings, their layers and limits | nothing |
//! | [`sim`] | the simulated upstream | nothing |
//!
//! A test reads the sources and fails on an import that this table does not allow.

pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod engine;
pub mod grpc;
pub mod lifecycle;
pub mod net;
pub mod openai;
pub mod ops;
pub mod providers;
#[cfg(feature = "sim")]
pub mod sim;
pub mod state;
pub mod telemetry;

/// The generated messages and clients of the gRPC door, for Rust programs that call it.
pub use grpc::proto as client;
