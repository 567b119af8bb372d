//! duogate: a chat gateway with two doors, the OpenAI API and gRPC, over one engine.

pub mod cli;
pub mod config;
pub mod sim;
