//! The laws of every action: it describes itself, its page is whole, what a person types executes no value of a plan,
//! looking writes nothing, undo restores.
#![expect(clippy::unwrap_used, reason = "a test that panics says where")]

#[path = "conformance_actions/fakes.rs"]
mod fakes;
#[path = "conformance_actions/hostile.rs"]
mod hostile;
#[path = "conformance_actions/pages.rs"]
mod pages;
#[path = "conformance_actions/room.rs"]
mod room;
#[path = "conformance_actions/sqlite.rs"]
mod sqlite;
#[path = "conformance_actions/servers.rs"]
mod servers;
#[path = "conformance_actions/plans.rs"]
mod plans;
#[path = "support/values.rs"]
#[expect(dead_code, reason = "what a person types is not printed here")]
mod values;
