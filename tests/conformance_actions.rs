//! The laws of every action: it describes itself, its page is whole, what a person types executes no value of a plan,
//! looking writes nothing, undo restores.
#![expect(clippy::unwrap_used, reason = "a test that panics says where")]

#[path = "conformance_actions/between.rs"]
mod between;
#[path = "conformance_actions/clickhouse.rs"]
mod clickhouse;
#[cfg(feature = "aws")]
#[path = "conformance_actions/cloud.rs"]
mod cloud;
#[cfg(feature = "aws")]
#[path = "conformance_actions/buckets.rs"]
mod buckets;
#[path = "conformance_actions/dns.rs"]
mod dns;
#[path = "conformance_actions/fakes.rs"]
mod fakes;
#[path = "conformance_actions/hostile.rs"]
mod hostile;
#[path = "conformance_actions/laws.rs"]
mod laws;
#[path = "conformance_actions/http.rs"]
mod http;
#[path = "conformance_actions/notify.rs"]
mod notify;
#[path = "conformance_actions/kubernetes.rs"]
mod kubernetes;
#[path = "conformance_actions/pages.rs"]
mod pages;
#[path = "support/owned.rs"]
mod owned;
#[path = "conformance_actions/redis.rs"]
mod redis;
#[path = "conformance_actions/room.rs"]
mod room;
#[path = "conformance_actions/sqlite.rs"]
mod sqlite;
#[path = "conformance_actions/servers.rs"]
mod servers;
#[path = "conformance_actions/stands.rs"]
mod stands;
#[path = "conformance_actions/table.rs"]
mod table;
#[cfg(feature = "postgres")]
#[path = "conformance_actions/cluster.rs"]
mod cluster;
#[cfg(feature = "postgres")]
#[path = "conformance_actions/postgres_follow.rs"]
mod postgres_follow;
#[cfg(feature = "postgres")]
#[path = "conformance_actions/postgres_pitr.rs"]
mod postgres_pitr;
#[cfg(feature = "postgres")]
#[path = "conformance_actions/postgres.rs"]
mod postgres;
#[cfg(feature = "postgres")]
#[path = "conformance_actions/postgres_restore.rs"]
mod postgres_restore;
#[cfg(feature = "postgres")]
#[path = "conformance_actions/postgres_stands.rs"]
mod postgres_stands;
#[cfg(feature = "postgres")]
#[path = "conformance_actions/postgres_traps.rs"]
mod postgres_traps;
#[path = "conformance_actions/plans.rs"]
mod plans;
#[path = "conformance_actions/programs.rs"]
mod programs;
#[path = "support/sink.rs"]
mod sink;
#[path = "conformance_actions/web.rs"]
mod web;
#[path = "support/values.rs"]
#[expect(dead_code, reason = "what a person types is not printed here")]
mod values;
#[cfg(feature = "aws")]
#[path = "conformance_actions/two_zones.rs"]
mod two_zones;
#[cfg(feature = "aws")]
#[path = "conformance_actions/zones.rs"]
mod zones;
