//! The actions on PostgreSQL, Route 53 and S3 against the real servers and the stub of one lab. The test that starts the
//! lab runs this file again inside it: credentials come from the environment, and a process cannot change its own.
#![cfg(all(feature = "aws", feature = "postgres"))]

#[path = "../support/lab.rs"]
mod lab;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drplan::actions::{AssetKind, Call, Probe, Target};
use drplan::world::Landed;
use lab::Lab;
use serde_json::{Value, json};

use super::room::{Room, refusal};
use super::stands::target;

/// Says to the test inside which lab it is.
const INSIDE: &str = "DRPLAN_TEST_INSIDE_ACTIONS";

#[test]
fn in_a_lab() {
    let lab = Lab::up(&["--servers"]);
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "servers::inside_a_lab", "--nocapture"]).envs(&*lab).env(INSIDE, "1");
    assert!(again.status().unwrap().success(), "see above");
}

/// What a person types, in a lab of its own, ends as the tool ends.
#[test]
fn typed_in_a_lab() {
    let lab = Lab::up(&["--servers"]);
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "servers::typed_inside_a_lab", "--nocapture"]).envs(&*lab).env(INSIDE, "1");
    assert!(again.status().unwrap().success(), "see above");
}

/// Not a test by itself: see `in_a_lab`.
#[tokio::test]
async fn inside_a_lab() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    checks_find_what_is_there().await;
    a_record_is_changed_put_back_and_never_taken_from_somebody().await;
    a_record_that_was_not_there_is_made_and_removed().await;
    a_lost_reply_is_found_by_the_probe().await;
    the_lag_is_told_also_when_replay_is_paused().await;
    a_fence_holds_against_everybody_and_a_restart().await;
    a_promotion_lifts_the_fence_and_tells_what_it_knows().await;
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("the lab has no variable {name}"))
}

fn lab(args: &[&str]) -> String {
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
    let done = Command::new(lab).arg(args[0]).arg(env("DRPLAN_LAB_DIR")).args(&args[1..]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "lab {args:?}: {said}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// Puts an object of so many bytes into the bucket of the backups.
fn object(key: &str, bytes: usize) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; bytes]).unwrap();
    let put = ["s3api", "put-object", "--bucket", &env("LAB_BACKUP_BUCKET"), "--key", key, "--body", file.path().to_str().unwrap()];
    let done = Command::new("aws").args(put).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn sql(server: &str, statement: &str) -> String {
    lab(&["sql", server, "-d", "postgres", "-qAtc", statement])
}

fn postgres(server: &str) -> Target {
    let port = env(if server == "primary" { "LAB_PRIMARY_PORT" } else { "LAB_STANDBY_PORT" });
    let connect = json!({ "host": env("LAB_PG_HOST"), "port": port.parse::<u16>().unwrap(), "database": env("LAB_PG_DATABASE"), "user": "dr", "password": env("LAB_DR_PASSWORD") });
    target(AssetKind::Postgres, connect)
}

fn record(name: &str) -> Target {
    target(
        AssetKind::Route53,
        json!({ "zone": env("LAB_ZONE_ID"), "record": name, "type": "CNAME", "ttl": "1s", "endpoint": env("AWS_ENDPOINT_URL") }),
    )
}

fn room(name: &str, with: Value, target: Target) -> Room {
    Room::new(name, with, Some(target), "/nonexistent")
}

fn upsert(name: &str, value: &str) -> Room {
    room("route53.upsert", json!({ "value": value }), record(name))
}

async fn value_of(name: &str) -> Value {
    let found = room("route53.check", json!({}), record(name)).read().await.unwrap();
    found.get("value").cloned().unwrap_or(Value::Null)
}

async fn checks_find_what_is_there() {
    let found = room("postgres.check", json!({ "query": "select $1::int + 1 as n", "params": [41], "expect": 42 }), postgres("primary"))
        .read()
        .await;
    assert_eq!(found.unwrap()["value"], json!(42));
    let fault = refusal(
        room("postgres.check", json!({ "query": "select pg_is_in_recovery()", "expect": false }), postgres("standby")).read().await,
    );
    assert_eq!(fault.cause, "wanted: the value is false; found true");
    let fault = refusal(room("postgres.check", json!({ "query": "create table pwned()" }), postgres("primary")).read().await);
    assert!(fault.cause.contains("read-only"), "{fault}");
    let mut nobody = postgres("primary");
    nobody.connect.insert("port".to_owned(), json!(1));
    let silent = json!({ "expect": { "reachable": false } });
    assert_eq!(room("postgres.check", silent.clone(), nobody).read().await.unwrap()["reachable"], json!(false));
    assert!(refusal(room("postgres.check", silent, postgres("primary")).read().await).cause.contains("answered"));

    let bucket = json!({ "bucket": env("LAB_BACKUP_BUCKET"), "endpoint": env("AWS_ENDPOINT_URL") });
    let s3 = |with: Value| room("s3.check", with, target(AssetKind::S3, bucket.clone()));
    let found = s3(json!({ "prefix": "postgres/full/", "expect": { "size": { "at_least": "1KiB" } } })).read().await.unwrap();
    assert!(found["key"].as_str().unwrap().starts_with("postgres/full/"), "{found:?}");
    let fault = refusal(s3(json!({ "prefix": "postgres/full/", "expect": { "size": { "at_least": "1GiB" } } })).read().await);
    assert!(fault.cause.contains("`size` is at least \"1GiB\"; found"), "{fault}");
    assert_eq!(s3(json!({ "prefix": "none/" })).read().await.unwrap()["found"], json!(false));
    assert!(refusal(s3(json!({ "prefix": "none/", "expect": { "age": { "at_most": "2h" } } })).read().await).cause.contains("found"));
    // A fifth more or less than the one before it is looked at by a person; the first of all has none before it.
    for (key, bytes) in [("size/1", 1000), ("size/2", 1200), ("size/3", 959)] {
        object(key, bytes);
        let judged = s3(json!({ "prefix": "size/", "expect": { "change": { "at_most": 20 } } })).read().await;
        match key {
            "size/1" => assert!(refusal(judged).cause.contains("`change`")),
            "size/2" => assert_eq!(judged.unwrap()["change"], json!(20)),
            _ => assert!(refusal(judged).cause.contains("`change` is at most 20; found 21")),
        }
    }
    let past = json!({ "prefix": "postgres/full/", "before": "2020-01-01T00:00:00Z" });
    assert_eq!(s3(past).read().await.unwrap()["found"], json!(false));
}

async fn a_record_is_changed_put_back_and_never_taken_from_somebody() {
    let name = env("LAB_RECORD");
    let was = value_of(&name).await;
    let room = upsert(&name, "lb.test.internal");
    let (before, outputs) = room.lawful().await;
    assert_eq!(value_of(&name).await, json!("lb.test.internal"));
    assert!(outputs["old"].as_str().unwrap().contains(was.as_str().unwrap()) && outputs.contains_key("change"), "{outputs:?}");
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(value_of(&name).await, was);
    room.written();
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(room.written().is_empty(), "a second undo");
    // Ours, then somebody's.
    room.apply(&before).await.unwrap();
    let other = upsert(&name, "lb.somebody.internal");
    let others = other.before().await.unwrap();
    other.apply(&others).await.unwrap();
    room.written();
    assert!(matches!(room.undo(&before).await.unwrap(), Probe::Other(_)));
    assert!(matches!(room.probe(&before).await.unwrap(), Probe::Other(_)));
    let fault = refusal(room.apply(&before).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("lb.somebody.internal"), "{fault}");
    assert!(room.written().is_empty());
    assert_eq!(value_of(&name).await, json!("lb.somebody.internal"));
    let back = upsert(&name, was.as_str().unwrap());
    let before = back.before().await.unwrap();
    back.apply(&before).await.unwrap();
}

async fn a_record_that_was_not_there_is_made_and_removed() {
    let room = upsert("new.platform.example.com", "lb.test.internal");
    let (before, _) = room.lawful().await;
    assert_eq!(before, json!({ "record": null }));
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
    assert_eq!(value_of("new.platform.example.com").await, Value::Null);
}

async fn a_lost_reply_is_found_by_the_probe() {
    let room = upsert("lost.platform.example.com", "lb.test.internal");
    let before = room.before().await.unwrap();
    control(r#"{"lose_reply": 1}"#);
    let fault = refusal(room.apply(&before).await);
    assert_eq!(fault.landed, Landed::Maybe, "{fault}");
    assert!(matches!(room.probe(&before).await.unwrap(), Probe::There(_)));
    assert_eq!(room.undo(&before).await.unwrap(), Probe::NotThere);
}

fn control(order: &str) {
    let done = Command::new("curl").args(["-fsS", "--data", order, &env("LAB_CONTROL_URL")]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn the_lag_is_told_also_when_replay_is_paused() {
    let lag = |with: Value| {
        let mut room = room("postgres.lag", with, postgres("standby"));
        room.timeout = Duration::from_secs(5);
        room
    };
    // A primary that is idle is silent for half a minute, and then nobody knows better.
    sql("primary", "select pg_logical_emit_message(true, 'a', 'b')");
    let found = lag(json!({ "max_lag": "10s" })).read().await.unwrap();
    assert_eq!((&found["streaming"], &found["bytes"]), (&json!(true), &json!(0)), "{found:?}");
    sql("standby", "select pg_wal_replay_pause()");
    sql("primary", "create table if not exists lag_test as select repeat('x', 1000) from generate_series(1, 1000)");
    let fault = refusal(lag(json!({ "max_bytes": "1KB" })).read().await);
    assert!(fault.cause.contains("bytes behind") && fault.cause.contains("replay is paused"), "{fault}");
    let promote = room("postgres.promote", json!({}), postgres("standby"));
    let before = promote.before().await.unwrap();
    assert!(refusal(promote.apply(&before).await).cause.contains("replay is paused"));
    sql("standby", "select pg_wal_replay_resume()");
    assert!(refusal(room("postgres.lag", json!({}), postgres("primary")).read().await).cause.contains("is not a replica"));
}

/// A session of the application that stays open, as a person would have it.
struct Session(Child);

impl Session {
    fn open() -> Session {
        let mut child = Command::new("psql")
            .args(["-X", "-qAt", "-h", &env("LAB_PG_HOST"), "-p", &env("LAB_PRIMARY_PORT"), "-U", "app", "-d", &env("LAB_PG_DATABASE")])
            .env("PGPASSWORD", env("LAB_APP_PASSWORD"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b"select 'in';\n").unwrap();
        let mut said = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(&said, b"in\n");
        Session(child)
    }

    /// Sets itself to read-write, tries to write, and says what it heard.
    fn write(mut self) -> String {
        let _ = self
            .0
            .stdin
            .take()
            .unwrap()
            .write_all(b"set session characteristics as transaction read write;\ncreate temp table t(i int);\nselect 'wrote';\n");
        let done = self.0.wait_with_output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
    }
}

async fn a_fence_holds_against_everybody_and_a_restart() {
    assert!(Session::open().write().contains("wrote"));
    let session = Session::open();
    let fence = room("postgres.fence", json!({}), postgres("primary"));
    let (before, outputs) = fence.lawful().await;
    assert!(outputs["ended"].as_i64().unwrap() >= 1, "{outputs:?}");
    let said = session.write();
    assert!(!said.contains("wrote"), "{said}");
    let refused = |user: &str, password: &str| {
        let url = format!(
            "host={} port={} user={user} dbname={} password={password}",
            env("LAB_PG_HOST"),
            env("LAB_PRIMARY_PORT"),
            env("LAB_PG_DATABASE")
        );
        let done = Command::new("psql").args(["-X", "-qAtc", "select 1", &url]).output().unwrap();
        assert!(String::from_utf8_lossy(&done.stderr).contains("not currently accepting connections"), "{user}: {done:?}");
    };
    refused("app", &env("LAB_APP_PASSWORD"));
    refused("dr", &env("LAB_DR_PASSWORD"));
    lab(&["kill-primary"]);
    let fault = refusal(room("postgres.fence", json!({}), postgres("primary")).before().await);
    assert!(fault.unreachable, "{fault}");
    lab(&["start-primary"]);
    refused("app", &env("LAB_APP_PASSWORD"));
    assert!(matches!(fence.probe(&before).await.unwrap(), Probe::There(_)));
    assert_eq!(fence.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(Session::open().write().contains("wrote"));
    fence.written();
    assert_eq!(fence.undo(&before).await.unwrap(), Probe::NotThere);
    assert!(fence.written().is_empty(), "a second undo");
    assert_eq!(fence.probe(&before).await.unwrap(), Probe::NotThere);
    let replica = room("postgres.fence", json!({}), postgres("standby"));
    let before = replica.before().await.unwrap();
    assert!(refusal(replica.apply(&before).await).cause.contains("is a replica"));
}

async fn a_promotion_lifts_the_fence_and_tells_what_it_knows() {
    let fence = room("postgres.fence", json!({}), postgres("primary"));
    let before = fence.before().await.unwrap();
    fence.apply(&before).await.unwrap();
    caught_up();
    lab(&["kill-primary"]);
    // An incident that began an hour after the last commit: either an idle database, or an hour is missing.
    let mut late = room("postgres.promote", json!({ "max_lag": "10s" }), postgres("standby"));
    late.incident_start = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    late.timeout = Duration::from_secs(5);
    let before = late.before().await.unwrap();
    let fault = refusal(late.apply(&before).await);
    assert!(
        fault.landed == Landed::No && fault.cause.contains("not promoted: up to") && fault.cause.contains("before the incident began"),
        "{fault}"
    );
    assert!(late.written().is_empty());

    let promote = room("postgres.promote", json!({ "max_lag": "1m" }), postgres("standby"));
    let (before, outputs) = promote.lawful().await;
    assert_eq!((&outputs["timeline"], sql("standby", "select pg_is_in_recovery()").as_str()), (&json!(2), "f"), "{outputs:?}");
    let loss = drplan::actions::units::duration_ms(outputs["loss"].as_str().unwrap()).unwrap();
    assert!(loss < 120_000, "{outputs:?}");
    for with in [
        json!({ "query": "create table promoted(t text)" }),
        json!({ "query": "insert into promoted values ($1) returning t", "params": ["it's"], "expect": "it's", "rows": 1 }),
    ] {
        room("postgres.query", with, postgres("standby")).apply(&Value::Null).await.unwrap();
    }
    assert!(matches!(promote.undo(&before).await.unwrap(), Probe::CannotTell(_)), "it has none, and does not claim one");
    let primary = room("postgres.promote", json!({}), postgres("standby"));
    let before = primary.before().await.unwrap();
    assert!(refusal(primary.apply(&before).await).cause.contains("is not a replica"));
    assert!(matches!(primary.probe(&before).await.unwrap(), Probe::Other(_)));
}

/// The fence has come by replication.
fn caught_up() {
    let fenced = "select not datallowconn from pg_database where datname = 'platform'";
    assert!((0..200).any(|_| sql("standby", fenced) == "t"), "the fence does not come by replication");
}

/// Not a test by itself: see `typed_in_a_lab`.
#[test]
fn typed_inside_a_lab() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut dr = postgres("primary");
    dr.connect.insert("password".to_owned(), json!("${secrets.dr}"));
    let mut standby = postgres("standby");
    standby.connect.insert("password".to_owned(), json!("${secrets.dr}"));
    let mut name = record(&env("LAB_RECORD"));
    name.connect.insert("zone".to_owned(), json!("${params.zone}"));
    let bucket = target(AssetKind::S3, json!({ "bucket": env("LAB_BACKUP_BUCKET"), "prefix": "postgres/full/" }));
    let typed = |step: &str, action: &str, with: Value, target: &Target, undo: bool| {
        let with = with.as_object().unwrap().clone();
        let call = Call { step, with: &with, target: Some(target) };
        let action = drplan::actions::find(action).unwrap();
        let blocks = if undo { (action.undo_commands)(&call) } else { (action.commands)(&call) };
        assert!(!blocks.is_empty());
        let script: Vec<String> = blocks.into_iter().map(|b| b.script).collect();
        let done = Command::new("sh")
            .args(["-ec", &script.join("\n\n")])
            .current_dir(dir.path())
            .env("SECRET_DR", env("LAB_DR_PASSWORD"))
            .env("PARAM_ZONE", env("LAB_ZONE_ID"))
            .env("PARAM_LB", "lb.typed.internal")
            .output()
            .unwrap();
        (done.status.success(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
    };
    let good = |step: &str, action: &str, with: Value, target: &Target, undo: bool| {
        let (good, said) = typed(step, action, with, target, undo);
        assert!(good, "{step}: {said}");
        said
    };
    good(
        "one",
        "postgres.check",
        json!({ "query": "select $1::text || $2::text", "params": ["it's", "\\! touch pwned"], "expect": "it's\\! touch pwned" }),
        &dr,
        false,
    );
    assert!(!typed("two", "postgres.check", json!({ "query": "select 1", "expect": 2 }), &dr, false).0);
    assert!(!typed("three", "postgres.check", json!({ "query": "create table pwned()" }), &dr, false).0);
    good("four", "postgres.query", json!({ "query": "create table typed(t text)" }), &dr, false);
    good("five", "postgres.query", json!({ "query": "insert into typed values ($1)", "params": ["'); drop table typed; --"] }), &dr, false);
    assert!(good("six", "postgres.check", json!({ "query": "select t from typed" }), &dr, false).contains("'); drop table typed; --"));
    assert!(good("lag", "postgres.lag", json!({ "max_lag": "10s" }), &standby, false).contains("primary_end"));
    good("newest", "s3.check", json!({ "expect": { "size": { "at_least": "1KiB" }, "checksum": { "present": false } } }), &bucket, false);

    for (key, bytes, wanted) in [("size/1", 1000, false), ("size/2", 1200, true), ("size/3", 959, false)] {
        object(key, bytes);
        let (is, said) =
            typed("grown", "s3.check", json!({ "prefix": "size/", "expect": { "change": { "at_most": 20 } } }), &bucket, false);
        assert_eq!(is, wanted, "{key}: {said}");
    }

    // The switch, its way back, and a way back that somebody else's change forbids.
    let value = json!({ "value": "${params.lb}" });
    let read = json!({ "expect": "lb.typed.internal" });
    good("switch", "route53.upsert", value.clone(), &name, false);
    good("look", "route53.check", read.clone(), &name, false);
    assert!(good("switch", "route53.upsert", value.clone(), &name, false).contains("so already"));
    good("switch", "route53.upsert", value.clone(), &name, true);
    assert!(!typed("look", "route53.check", read, &name, false).0);
    assert!(!typed("switch", "route53.upsert", value, &name, true).0);

    // The fence, its way back, and a promotion that lifts it.
    let session = Session::open();
    good("fence", "postgres.fence", json!({}), &dr, false);
    assert!(!session.write().contains("wrote"));
    assert!(!typed("in", "postgres.check", json!({}), &dr, false).0);
    good("fence", "postgres.fence", json!({}), &dr, true);
    good("in", "postgres.check", json!({}), &dr, false);
    good("fence", "postgres.fence", json!({}), &dr, false);
    caught_up();
    good("promote", "postgres.promote", json!({ "max_lag": "10s" }), &standby, false);
    good("writes", "postgres.check", json!({ "query": "select pg_is_in_recovery()", "expect": false }), &standby, false);
    good("silent", "postgres.check", json!({ "expect": { "reachable": false } }), &dr, false);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only what keeps the record for the way back");
}
