//! One core, one shard, one loop.
//!
//! A [`Worker`] owns a link, a policy, and the connections of its share of the traffic. Its
//! [`Worker::poll`] is the only loop: it takes a batch of frames through numbered stages (parse, hand
//! over, load, track, ask the rules, send, expire) and then proves that every frame has a fate
//! ([`Counters::balance`]). Workers share nothing; a frame that arrived at the wrong one moves to the
//! right one through a [`mesh()`] of single-producer rings, its bytes untouched.
//!
//! Everything is bounded by [`Config`], and time is an argument: the same frames at the same times
//! give the same output, byte for byte.
#![forbid(unsafe_code)]

mod below;
mod budget;
mod buffer;
mod config;
mod counters;
mod edit_counters;
mod farewell;
mod flow;
mod flow_table;
mod fragments;
mod half_open;
mod held;
mod identity;
mod mesh;
mod metrics;
mod neighbours;
mod ports;
mod rate;
mod remedy;
mod retained;
mod rules;
mod sack;
mod shunt_counters;
mod slab;
mod store;
mod transit;
mod unanswered;
mod unseen;
mod wheel;
mod worker;
mod zombie;

pub use config::{Config, FastOpen, Follow, Midstream, OtherTraffic, Sharding, Shunt};
pub use counters::{Cause, Counters, PortCounters, Reason};
pub use edit_counters::EditCounters;
pub use flow_table::{FlowTable, Foreseen, Keyed, Refused};
pub use mesh::{Mesh, mesh};
pub use metrics::Metric;
pub use remedy::{Remedies, Remedy, Trouble};
pub use shunt_counters::{ShuntCounters, Unshunted};
pub use tollgate_tcp::{Limits, Timeouts};
pub use wheel::Wheel;
pub use worker::{Gauges, Turn, Worker};
