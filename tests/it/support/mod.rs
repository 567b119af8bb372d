//! The base of every scenario: a gateway in front of a simulated upstream, and clients of both doors that check the
//! wire protocol in everything they read.

mod ask;
mod catalogue;
mod certificates;
mod desk;
mod door;
mod gateway;
mod grpc;
mod http;
pub(crate) mod http2;
mod parity;
mod paths;
mod posted;
mod program;
mod raw;
mod talk;
mod wait;
mod wire;

pub(crate) use ask::{Ask, Change};
pub(crate) use certificates::{Authority, Pair};
pub(crate) use desk::{ADMIN_KEY, Desk, assert_not_found, keyed};
pub(crate) use door::{Choice, Door, Failure, Opened, Outcome, Usage, Way};
pub(crate) use gateway::{Gateway, KEY, OTHER_KEY, Setup, TOKENS};
pub(crate) use grpc::failure_of;
pub(crate) use http::error_of;
pub(crate) use parity::{ONCE, Seen, Ways, each_crowd, each_door, each_way};
pub(crate) use paths::paths_from_the_root;
pub(crate) use posted::{alike, events_of, post, text_of};
pub(crate) use program::{Running, Serving, duogate, run};
pub(crate) use raw::{RawAnswer, frame, raw_call, unfinished};
pub(crate) use talk::{End, Talk};
pub(crate) use wait::{PATIENCE, crossed, eventually, for_each, for_some, within};
pub(crate) use wire::Wire;
