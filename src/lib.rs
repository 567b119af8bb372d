//! duogate: a chat gateway with two doors, the OpenAI API and gRPC, over one engine.

pub mod app;
pub mod auth;
pub mod backend;
pub mod cli;
pub mod config;
pub mod engine;
pub mod grpc;
pub mod lifecycle;
pub mod net;
pub mod openai;
pub mod ops;
pub mod sim;
pub mod telemetry;
