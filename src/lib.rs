//! duogate: a chat gateway with two doors, the OpenAI API and gRPC, over one engine.
//!
//! The map of the house, from the outside in:
//!
//! | room | its purpose | rooms that it may import |
//! | --- | --- | --- |
//! | [`cli`] | the commands: serve, demo, init, check, sim, completions | [`config`], [`app`], [`sim`] |
//! | [`app`] | the composition root: bind, run, drain | every room |
//! | [`openai`] | the HTTP door: OpenAI's API | [`engine`], [`auth`], [`lifecycle`], [`telemetry`] |
//! | [`grpc`] | the gRPC door: `duogate.v1`, health, reflection | [`engine`], [`auth`], [`lifecycle`], [`telemetry`], [`admin`] |
//! | [`ops`] | health, readiness, metrics, the OpenAPI document and its page, the admin API over HTTP | [`engine`], [`auth`], [`lifecycle`], [`telemetry`], [`admin`], [`openai::error`], `openai::coding` |
//! | [`admin`] | the admin operations, which both doors render | [`engine`], [`auth`], [`telemetry`] |
//! | [`engine`] | the core: routes, pools, attempts, streams | [`telemetry`] |
//! | [`providers`] | the upstreams, one room for each kind | [`engine`], [`state`], [`telemetry`] |
//! | [`state`] | the state that outlives the process, in a directory | [`engine`] |
//! | [`auth`] | the key check of both doors | [`engine::caller`], [`engine::error`] |
//! | [`net`] | sockets: bind, accept, serve, close | [`telemetry`] |
//! | [`lifecycle`] | starting, ready, draining | [`telemetry`] |
//! | [`telemetry`] | logs, metrics, the record of each request | no room |
//! | [`config`] | the settings, their layers and limits | no room |
//! | [`sim`] | the simulated upstream | no room |
//!
//! This table is the import rule: a test reads it and the sources, and fails on any other import.

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
