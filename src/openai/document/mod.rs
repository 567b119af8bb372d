//! The door's part of the OpenAPI document: the bodies of requests from the tables that read them, and what operations
//! may fail with from the catalogue. What answers look like is derived where they are.

mod failures;
mod layers;
mod requests;
mod shape;
mod streams;

pub(super) use failures::{
    ChatFailures, DeletedFailures, KeptFailures, ModelFailures, PageFailures, ResponseFailures,
};
pub use layers::add_headers;
pub(super) use requests::{ChatBody, CompletionBody, ResponseBody};
pub(super) use streams::{ChatEvent, CompletionEvent, ResponseEvent};

#[cfg(test)]
mod tests;
