//! The world's PostgreSQL, Route 53 and S3 against the real servers and the stub of one lab. The test that starts the
//! lab runs this file again inside it: credentials come from the environment, and a process cannot change its own.
#![cfg(all(feature = "aws", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "support/lab.rs"]
mod lab;

use std::process::Command;
use std::time::{Duration, Instant};

use drplan::world::real::{RealSettings, world};
use drplan::world::{AwsSettings, DnsChange, Fault, Landed, PgTarget, RecordSet, Rows, World};
use lab::Lab;
use serde_json::{Value, json};

/// Says to the test inside which lab it is.
const INSIDE: &str = "DRPLAN_TEST_INSIDE";

/// What a time-out is when nobody waits for it.
const LONG: u64 = 20_000;

#[tokio::test]
async fn in_a_lab() {
    let lab = Lab::up(&["--servers"]);
    let inside = |name: &str| {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", name, "--nocapture"]).envs(&*lab).env(INSIDE, "1");
        again
    };
    let done = inside("inside_a_lab").status().unwrap();
    assert!(done.success(), "see above");
    let home = tempfile::tempdir().unwrap();
    let mut without = inside("without_credentials");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "AWS_PROFILE"] {
        without.env_remove(name);
    }
    assert!(without.env("HOME", home.path()).status().unwrap().success(), "see above");
    the_primary_dies(&lab).await;
}

/// Not a test by itself: see `in_a_lab`.
#[tokio::test]
async fn inside_a_lab() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    values_of_every_type_come_as_json().await;
    parameters_take_the_type_of_their_place().await;
    a_read_only_session_stays_so().await;
    mistakes_are_refused_before_anything_is_executed().await;
    a_server_that_is_not_there_is_unreachable_and_one_that_says_no_is_not().await;
    what_was_broken_off_is_lost_unless_it_only_read().await;
    a_record_is_read_changed_and_in_sync().await;
    a_change_that_does_not_fit_is_refused_whole().await;
    of_a_change_without_an_answer_nobody_knows().await;
    objects_are_listed_with_all_their_facts().await;
}

/// Not a test by itself: see `in_a_lab`.
#[tokio::test]
async fn without_credentials() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let begun = Instant::now();
    let fault = outside().objects.list(&AwsSettings::default(), "backups", "").await.unwrap_err();
    assert!(
        fault.landed == Landed::No && fault.cause.contains("profile `default` of ~/.aws") && fault.cause.contains("aws configure"),
        "{fault}"
    );
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// An outside that runs no commands.
fn outside() -> World {
    world(RealSettings::new("/nonexistent", "/"))
}

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("the lab has no variable {name}"))
}

fn server(port: &str) -> PgTarget {
    PgTarget {
        host: "127.0.0.1".to_owned(),
        port: Some(port.parse().unwrap()),
        database: "platform".to_owned(),
        user: Some("dr".to_owned()),
        ..PgTarget::default()
    }
}

fn primary() -> PgTarget {
    PgTarget { password: Some(var("LAB_DR_PASSWORD")), ..server(&var("LAB_PRIMARY_PORT")) }
}

fn standby() -> PgTarget {
    PgTarget { password: Some(var("LAB_DR_PASSWORD")), ..server(&var("LAB_STANDBY_PORT")) }
}

async fn read(sql: &str) -> Rows {
    outside().postgres.query(&primary(), sql, &[], true, LONG).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

async fn write(sql: &str, params: &[Value]) -> Rows {
    outside().postgres.query(&primary(), sql, params, false, LONG).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn refused(fault: &Fault, why: &str) {
    assert!(fault.landed == Landed::No && !fault.unreachable && fault.cause.contains(why), "{fault:?}");
}

async fn values_of_every_type_come_as_json() {
    let rows = read(
        "select true as b, 1::int2 as i2, 9007199254740993 as i8, 0.1::float4 as f4, 12.50::numeric as n, 'ü' as t, null as z,
            '2026-11-21 01:02:03.5+01'::timestamptz as at, interval '1 day 90 ms' as d, pg_current_wal_lsn() as lsn,
            '{\"a\": [1]}'::jsonb as j, array[1, null] as a, array['a,b', '\"'] as s, '\\x00ff'::bytea as y, 'CONNECT'::name as o,
            current_setting('application_name') as app, row(1, 'x') as r, txid_current_snapshot()::text is not null as snap",
    )
    .await;
    let lsn = rows[0]["lsn"].as_str().unwrap();
    assert!(lsn.contains('/'), "{lsn}");
    let wanted = json!({
        "b": true, "i2": 1, "i8": 9_007_199_254_740_993_i64, "f4": 0.1, "n": 12.5, "t": "ü", "z": null,
        "at": "2026-11-21T00:02:03.5Z", "d": 86400.09, "lsn": lsn, "j": {"a": [1]}, "a": [1, null], "s": ["a,b", "\""], "y": "00ff",
        "o": "CONNECT", "app": "drplan", "r": "(1,x)", "snap": true
    });
    assert_eq!(Value::from(rows[0].clone()), wanted);
    assert_eq!(Value::from(read("show wal_level").await[0].clone()), json!({"wal_level": "replica"}));
    assert_eq!(read("select g from generate_series(1, 3) g order by g desc").await.len(), 3);
    let there = outside().postgres.query(&standby(), "select pg_is_in_recovery() as r", &[], true, LONG).await.unwrap();
    assert_eq!(there[0]["r"], json!(true));
}

async fn parameters_take_the_type_of_their_place() {
    write("create type mood as enum ('up', 'down')", &[]).await;
    write("create table typed(id int primary key, at timestamptz, d interval, j jsonb, t text, m mood, b bool, n numeric)", &[]).await;
    let given = [
        json!(1),
        json!("2026-11-21T00:00:00Z"),
        json!("90 ms"),
        json!({"a": "o'clock"}),
        json!("'; drop table typed; --\\"),
        json!("down"),
        json!(true),
        json!(0.5),
    ];
    let rows = write("insert into typed values ($1, $2, $3, $4, $5, $6, $7, $8) returning *; -- all of it", &given).await;
    let wanted = json!({
        "id": 1, "at": "2026-11-21T00:00:00Z", "d": 0.09, "j": {"a": "o'clock"}, "t": "'; drop table typed; --\\", "m": "down", "b": true, "n": 0.5
    });
    assert_eq!(Value::from(rows[0].clone()), wanted);
    let (to, given) = (primary(), [json!("down"), json!("1")]);
    let found = outside().postgres.query(&to, "select id from typed where m = $1 and id = $2", &given, true, LONG).await.unwrap();
    assert_eq!(found[0]["id"], json!(1));
    assert!(write("update typed set t = $1", &[json!(null)]).await.is_empty());
    assert_eq!(read("select count(*) as n from typed where t is null").await[0]["n"], json!(1));
}

async fn a_read_only_session_stays_so() {
    let postgres = outside().postgres;
    for (sql, why) in [
        ("insert into orders(note) values ('x')", "25006"),
        ("create table sneaked(a int)", "25006"),
        ("select set_config('transaction_read_only', 'off', false)", "25001"),
        ("commit; begin read write; insert into orders(note) values ('x'); commit", "42601"),
        ("select 1; set session characteristics as transaction read write", "42601"),
        ("with x as (insert into orders(note) values ('x') returning 1) select * from x", "25006"),
    ] {
        let fault = postgres.query(&primary(), sql, &[], true, LONG).await.expect_err(sql);
        refused(&fault, why);
    }
    assert_eq!(read("select count(*) as n from orders where note = 'x'").await[0]["n"], json!(0));
}

async fn mistakes_are_refused_before_anything_is_executed() {
    let postgres = outside().postgres;
    for (sql, params, why) in [
        ("selec 1", vec![], "syntax error"),
        ("select * from no_such_table", vec![], "42P01"),
        ("insert into typed(id) values (1)", vec![], "23505"),
        ("select $1::int", vec![], "the statement has 1 parameters, 0 are given"),
        ("select 1", vec![json!(1)], "the statement has 0 parameters, 1 are given"),
        ("select $1::int as x", vec![json!("hunter2hunter2")], "(a parameter)"),
    ] {
        let fault = postgres.query(&primary(), sql, &params, false, LONG).await.expect_err(sql);
        refused(&fault, why);
        assert!(!fault.cause.contains("hunter2"), "{fault}");
    }
}

async fn a_server_that_is_not_there_is_unreachable_and_one_that_says_no_is_not() {
    let postgres = outside().postgres;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let begun = Instant::now();
    let fault = postgres.query(&PgTarget { port: Some(port), ..primary() }, "select 1", &[], false, 300).await.unwrap_err();
    assert!(fault.unreachable && begun.elapsed() < Duration::from_secs(3), "{fault:?}");
    drop(silent);
    let fault = postgres.query(&PgTarget { port: Some(port), ..primary() }, "select 1", &[], false, LONG).await.unwrap_err();
    assert!(fault.unreachable && fault.cause.contains("refused"), "{fault:?}");
    let fault =
        postgres.query(&PgTarget { host: "no-such-host.invalid".to_owned(), ..primary() }, "select 1", &[], false, LONG).await.unwrap_err();
    assert!(fault.unreachable, "{fault:?}");

    let wrong = PgTarget { password: Some("wrong password".to_owned()), ..primary() };
    refused(&postgres.query(&wrong, "select 1", &[], false, LONG).await.unwrap_err(), "28P01");
    let secure = PgTarget { sslmode: Some("require".to_owned()), ..primary() };
    refused(&postgres.query(&secure, "select 1", &[], false, LONG).await.unwrap_err(), "no secure connection");
    write("create database closed allow_connections false", &[]).await;
    let closed = PgTarget { database: "closed".to_owned(), ..primary() };
    refused(&postgres.query(&closed, "select 1", &[], false, LONG).await.unwrap_err(), "55000");
}

async fn what_was_broken_off_is_lost_unless_it_only_read() {
    let postgres = outside().postgres;
    for (read_only, landed) in [(true, Landed::No), (false, Landed::Maybe)] {
        let fault = postgres.query(&primary(), "select pg_sleep(30)", &[], read_only, 300).await.unwrap_err();
        assert!(fault.landed == landed && fault.cause.contains("57014"), "{fault:?}");
    }
    // An administrator ends the session in the middle.
    let kill = "select count(pg_terminate_backend(pid)) as n from pg_stat_activity where query = 'select pg_sleep(31)'";
    let to = primary();
    let slow = postgres.query(&to, "select pg_sleep(31)", &[], false, LONG);
    let (fault, ()) = tokio::join!(slow, async { while read(kill).await[0]["n"] != json!(1) {} });
    let fault = fault.unwrap_err();
    assert!(fault.landed == Landed::Maybe && fault.cause.contains("57P01"), "{fault:?}");
    let fault = postgres.query(&primary(), "select generate_series(1, 100001)", &[], true, LONG).await.unwrap_err();
    refused(&fault, "more than 100000 rows");
}

/// Out of the lab: its primary is killed while a statement runs on it.
async fn the_primary_dies(lab: &Lab) {
    let postgres = outside().postgres;
    let to = PgTarget { password: Some(lab["LAB_DR_PASSWORD"].clone()), ..server(&lab["LAB_PRIMARY_PORT"]) };
    let runs = "select count(*) as n from pg_stat_activity where query = 'select pg_sleep(32)'";
    let slow = postgres.query(&to, "select pg_sleep(32)", &[], false, LONG);
    let (fault, ()) = tokio::join!(slow, async {
        while postgres.query(&to, runs, &[], true, LONG).await.unwrap()[0]["n"] != json!(1) {}
        lab.lab("kill-primary", &[]);
    });
    let fault = fault.unwrap_err();
    assert_eq!(fault.landed, Landed::Maybe, "{fault:?}");
    let fault = postgres.query(&to, "select 1", &[], true, LONG).await.unwrap_err();
    assert!(fault.unreachable, "{fault:?}");
}

/// Speaks to the stub; gives its counters.
async fn control(word: Value) -> Value {
    let request = drplan::world::Request {
        method: "POST".to_owned(),
        url: var("LAB_CONTROL_URL"),
        body: Some(word.to_string()),
        timeout_ms: LONG,
        ..Default::default()
    };
    let response = outside().http.send(&request).await.unwrap();
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

async fn record() -> RecordSet {
    let aws = AwsSettings::default();
    outside().dns.record(&aws, &var("LAB_ZONE_ID"), &var("LAB_RECORD"), "CNAME").await.unwrap().unwrap()
}

/// As actions change a record: the one that was read is deleted, the new one created, in one batch.
async fn change(from: RecordSet, value: &str) -> Result<String, Fault> {
    let to = RecordSet { values: vec![value.to_owned()], ..from.clone() };
    let batch = [DnsChange::Delete(from), DnsChange::Create(to)];
    outside().dns.change(&AwsSettings::default(), &var("LAB_ZONE_ID"), &batch, "a test").await
}

async fn a_record_is_read_changed_and_in_sync() {
    let (aws, dns, zone) = (AwsSettings::default(), outside().dns, var("LAB_ZONE_ID"));
    let before = record().await;
    let wanted = RecordSet { name: var("LAB_RECORD"), kind: "CNAME".to_owned(), ttl_s: 1, values: vec![var("LAB_LB_EAST")] };
    assert_eq!(before, wanted);
    // One that would stand between others, and one that would stand behind all.
    for name in ["a.platform.example.com", "zzz.platform.example.com"] {
        assert_eq!(dns.record(&aws, &zone, name, "CNAME").await.unwrap(), None);
    }
    assert_eq!(dns.record(&aws, &zone, &var("LAB_RECORD"), "A").await.unwrap(), None);
    let star = RecordSet {
        name: "*.platform.example.com".to_owned(),
        kind: "TXT".to_owned(),
        ttl_s: 60,
        values: vec!["\"b\"".to_owned(), "\"a\"".to_owned()],
    };
    dns.change(&aws, &zone, &[DnsChange::Create(star.clone())], "").await.unwrap();
    assert_eq!(dns.record(&aws, &zone, "*.PLATFORM.example.com.", "TXT").await.unwrap(), Some(star));

    let id = change(before.clone(), &var("LAB_LB_WEST")).await.unwrap();
    assert!(!id.contains('/'), "{id}");
    assert!(!dns.in_sync(&aws, &id).await.unwrap());
    control(json!({"settle": true})).await;
    assert!(dns.in_sync(&aws, &id).await.unwrap());
    refused(&dns.in_sync(&aws, "C0NOSUCHCHANGE").await.unwrap_err(), "NoSuchChange");
    let after = record().await;
    assert_eq!(after.values, [var("LAB_LB_WEST")]);
    change(after, &var("LAB_LB_EAST")).await.unwrap();
    // A throttled read is tried again; nobody needs to know.
    control(json!({"throttle": {"n": 1, "op": "ListResourceRecordSets"}})).await;
    assert_eq!(record().await, before);
}

async fn a_change_that_does_not_fit_is_refused_whole() {
    let stale = RecordSet { values: vec!["somebody-elses.example.com".to_owned()], ..record().await };
    refused(&change(stale, "new.example.com").await.unwrap_err(), "InvalidChangeBatch");
    assert_eq!(record().await.values, [var("LAB_LB_EAST")]);
    for (fault, why) in [("throttle", "Throttling"), ("refuse", "InvalidChangeBatch"), ("busy", "PriorRequestNotComplete")] {
        let now = record().await;
        control(json!({"reset": true})).await;
        control(json!({fault: {"n": 1, "op": "ChangeResourceRecordSets"}})).await;
        refused(&change(now, "new.example.com").await.unwrap_err(), why);
        let counted = control(json!({})).await;
        assert_eq!((&counted["changes"], &counted["applied"]), (&json!(1), &json!(0)), "sent once, and not again: {counted}");
    }
    let fault = outside().dns.record(&AwsSettings::default(), "Z0NOSUCHZONE", "a.example.com", "A").await.unwrap_err();
    refused(&fault, "NoSuchHostedZone");
}

async fn of_a_change_without_an_answer_nobody_knows() {
    for (fault, applied) in [("lose_request", 0), ("lose_reply", 1), ("break", 1)] {
        let now = record().await;
        control(json!({"reset": true})).await;
        control(json!({fault: 1})).await;
        let found = change(now, &format!("{}.example.com", fault.replace('_', "-"))).await.unwrap_err();
        assert!(found.landed == Landed::Maybe && !found.unreachable, "{fault}: {found:?}");
        let counted = control(json!({})).await;
        assert_eq!((&counted["changes"], &counted["applied"]), (&json!(1), &json!(applied)), "{fault}: {counted}");
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = AwsSettings { endpoint: Some(format!("http://{}", listener.local_addr().unwrap())), ..AwsSettings::default() };
    drop(listener);
    let fault = outside().dns.change(&nobody, "Z", &[DnsChange::Delete(record().await)], "").await.unwrap_err();
    assert!(fault.unreachable && fault.landed == Landed::No, "{fault:?}");
    // The program's own setting counts where the plan names no endpoint.
    let settings = RealSettings { aws_endpoint: nobody.endpoint, ..RealSettings::new("/nonexistent", "/") };
    assert!(world(settings).dns.in_sync(&AwsSettings::default(), "C").await.unwrap_err().unreachable);
}

async fn objects_are_listed_with_all_their_facts() {
    let (aws, objects, bucket) = (AwsSettings::default(), outside().objects, var("LAB_BACKUP_BUCKET"));
    let found = objects.list(&aws, &bucket, "postgres/full/").await.unwrap();
    assert_eq!(found.len(), 8);
    let base = found.iter().find(|o| o.key.ends_with("base.tar.gz")).unwrap();
    assert_eq!((base.size, base.etag.len()), (4096, 32));
    assert!((jiff::Timestamp::now() - base.modified).get_hours() < 1);
    assert_eq!(objects.facts(&aws, &bucket, &base.key).await.unwrap().unwrap().encryption.as_deref(), Some("aws:kms"));
    assert_eq!(objects.facts(&aws, &bucket, "no/such/key").await.unwrap(), None);
    assert_eq!(objects.list(&aws, &bucket, "no/such/prefix").await.unwrap(), []);
    refused(&objects.list(&aws, "no-such-bucket", "").await.unwrap_err(), "NoSuchBucket");

    // More than a page, and one that is locked and has a checksum; keys with everything that URLs dislike.
    let script = "import boto3, datetime, concurrent.futures as f
s3 = boto3.client('s3')
s3.create_bucket(Bucket='many', ObjectLockEnabledForBucket=True)
with f.ThreadPoolExecutor(8) as p: list(p.map(lambda n: s3.put_object(Bucket='many', Key='p/%04d' % n, Body=b'x'), range(1001)))
s3.put_object(Bucket='many', Key='locked +&?ü %41', Body=b'x', ChecksumAlgorithm='SHA256', ObjectLockMode='COMPLIANCE',
    ObjectLockRetainUntilDate=datetime.datetime(2099, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc))
";
    assert!(Command::new(var("LAB_PYTHON")).args(["-c", script]).status().unwrap().success());
    let many = objects.list(&aws, "many", "p/").await.unwrap();
    assert_eq!((many.len(), many[1000].key.as_str()), (1001, "p/1000"));
    let facts = objects.facts(&aws, "many", "locked +&?ü %41").await.unwrap().unwrap();
    assert_eq!(facts.retention, Some(("COMPLIANCE".to_owned(), "2099-01-02T03:04:05Z".parse().unwrap())));
    assert_eq!(facts.checksum.as_deref(), Some("sha256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="));
}
