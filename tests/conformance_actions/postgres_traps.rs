//! What PostgreSQL says that is not so, and what it does not stop: each trap is set first, so that the test is one.

use std::time::Duration;

use drplan::actions::Probe;
use serde_json::{Value, json};

use super::cluster::wait;
use super::postgres::{PASSWORD, psql};
use super::postgres_follow::Pair;
use super::room::{Room, refusal};

/// A step on the replica of a pair, or with `old` on its primary.
fn step(pair: &Pair, action: &str, with: Value, old: bool) -> Room {
    let at = if old { pair.old.at() } else { format!("127.0.0.1:{}", pair.port) };
    let mut room = pair.old.room(action, &at, PASSWORD);
    room.with = with.as_object().unwrap().clone();
    room.timeout = Duration::from_secs(5);
    room
}

fn replica(pair: &Pair, sql: &str) -> String {
    psql(pair.port, "shop", sql).unwrap_or_else(|| panic!("{sql}"))
}

#[tokio::test]
async fn a_lag_that_the_primary_takes_for_none_is_seen() {
    let pair = Pair::replicated("");
    replica(&pair, "select pg_wal_replay_pause()");
    wait("replay is paused", || replica(&pair, "select pg_get_wal_replay_pause_state()") == "paused");
    pair.old.sql("create table more as select repeat('x', 1000) as x from generate_series(1, 2000)");
    let behind = "select pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint from pg_stat_replication";
    wait("it was received", || pair.old.sql("select flush_lsn >= pg_current_wal_lsn() from pg_stat_replication") == "t");
    assert!(pair.old.sql(behind).parse::<i64>().unwrap() > 1_000_000);
    let said = pair.old.sql("select coalesce(extract(epoch from replay_lag), 0) < 1 from pg_stat_replication");
    assert_eq!(said, "t", "the trap is not set: the primary knows of the lag");
    let fault = refusal(step(&pair, "postgres.lag", json!({ "max_bytes": "1KB" }), false).read().await);
    assert!(fault.cause.contains("bytes behind") && fault.cause.contains("replay is paused"), "{fault}");
    let promote = step(&pair, "postgres.promote", json!({}), false);
    let before = promote.before().await.unwrap();
    assert!(refusal(promote.apply(&before).await).cause.contains("replay is paused"));
    replica(&pair, "select pg_wal_replay_resume()");
    wait("it has replayed", || pair.old.sql(behind) == "0");
    let found = step(&pair, "postgres.lag", json!({ "max_bytes": "1KB" }), false).read().await.unwrap();
    assert_eq!(found["bytes"], json!(0));
}

#[tokio::test]
async fn the_timeline_right_after_a_promotion_is_the_new_one() {
    let pair = Pair::replicated("checkpoint_timeout = 1h\ncheckpoint_completion_target = 0.9\nbgwriter_lru_maxpages = 0\n");
    pair.old.sql("insert into orders select n, repeat(md5(n::text), 30) from generate_series(2000, 4000) n");
    let end = pair.old.sql("select pg_current_wal_lsn()");
    wait("it has everything", || replica(&pair, &format!("select pg_last_wal_replay_lsn() >= '{end}'")) == "t");
    let promote = step(&pair, "postgres.promote", json!({}), false);
    let before = promote.before().await.unwrap();
    let outputs = promote.apply(&before).await.unwrap();
    assert_eq!(replica(&pair, "select timeline_id from pg_control_checkpoint()"), "1", "the trap is not set: its checkpoint has ended");
    assert_eq!(outputs["timeline"], json!(2));
}

#[tokio::test]
async fn both_take_writes_until_the_old_one_is_fenced() {
    let pair = Pair::replicated("");
    let promote = step(&pair, "postgres.promote", json!({}), false);
    let before = promote.before().await.unwrap();
    promote.apply(&before).await.unwrap();
    pair.old.sql("insert into orders values (1002, 'old')");
    replica(&pair, "insert into orders values (1003, 'new')");
    let fence = step(&pair, "postgres.fence", json!({}), true);
    let before = fence.before().await.unwrap();
    fence.apply(&before).await.unwrap();
    assert!(matches!(fence.probe(&before).await.unwrap(), Probe::There(_)));
    assert!(psql(pair.old.port, "shop", "insert into orders values (1004, 'late')").is_none());
    replica(&pair, "insert into orders values (1005, 'new')");
}

/// What is done to let sessions in or out ends, also where a synchronous standby is configured that is gone.
#[tokio::test]
async fn no_standby_that_is_gone_is_waited_for() {
    let pair = Pair::replicated("");
    let new = |sql: &str| psql(pair.port, "postgres", sql).unwrap_or_else(|| panic!("{sql}"));
    let fence = step(&pair, "postgres.fence", json!({}), true);
    let before = fence.before().await.unwrap();
    fence.apply(&before).await.unwrap();
    wait("the fence has come", || new("select datallowconn from pg_database where datname = 'shop'") == "f");
    pair.old.halt("immediate");
    new("alter system set synchronous_standby_names = 'gone'");
    new("select pg_reload_conf()");
    let promote = step(&pair, "postgres.promote", json!({}), false);
    let before = promote.before().await.unwrap();
    promote.apply(&before).await.unwrap();
    assert_eq!(replica(&pair, "select current_setting('synchronous_standby_names')"), "gone", "the trap is not set");
    let fence = step(&pair, "postgres.fence", json!({}), false);
    let before = fence.before().await.unwrap();
    fence.apply(&before).await.unwrap();
    assert_eq!(new("select datallowconn from pg_database where datname = 'shop'"), "f");
}
