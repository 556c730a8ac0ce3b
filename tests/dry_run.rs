//! A live dry run against real servers changes nothing: the servers' own logs and the counters of the endpoint say so.
#![cfg(all(feature = "aws", feature = "postgres"))]

#[path = "support/lab.rs"]
mod lab;

use std::process::{Command, Output};

use lab::Lab;
use serde_json::Value;

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/platform/plan.yaml");

/// Words that a statement begins with that only reads.
const READING: [&str; 7] = [
    "select",
    "show",
    "set ",
    "prepare drplan_statement as select",
    "prepare drplan_statement as with",
    "execute drplan_statement",
    "deallocate",
];

#[test]
fn a_dry_run_reads_and_nothing_else() {
    let lab = Lab::up(&[]);
    let params = format!("{}/params.yaml", lab["DRPLAN_LAB_DIR"]);
    let mut dry = Command::new(env!("CARGO_BIN_EXE_drplan"));
    dry.args(["dry-run", PLAN, "-s", "region-loss", "--trust-declared", "--params-file", &params]).envs(&*lab);
    let said = text(dry.output().expect("the program starts"));
    println!("{said}");
    let old_new = format!("{}: {} (ttl 1s) → {}", "CNAME api.platform.example.com", lab["LAB_LB_EAST"], lab["LAB_LB_WEST"]);
    assert!(said.contains(&old_new), "the record's old and new value are not there:\n{said}");
    assert!(said.contains("cannot be known until `promote`"), "{said}");
    let seen = changes(&lab);
    assert!(seen.is_empty(), "{seen:#?}");
    assert!(statements(&lab).len() > 4, "no statement of the program was logged, so nothing was shown");

    // Planted writes are seen: by a server's log, and by the endpoint's counter.
    let port = &lab["LAB_PRIMARY_PORT"];
    let target = format!("host=127.0.0.1 port={port} user=dr dbname=platform application_name=drplan");
    let wrote = Command::new("psql")
        .args([target.as_str(), "-c", "insert into heartbeat (region, at) values ('planted', now()) on conflict do nothing"])
        .envs(&*lab)
        .env("PGPASSWORD", &lab["LAB_DR_PASSWORD"])
        .output()
        .expect("psql starts");
    assert!(wrote.status.success(), "{}", text(wrote));
    assert_eq!(changes(&lab).len(), 1, "a planted statement was not seen");
    let put =
        Command::new("aws").args(["s3api", "put-object", "--bucket", &lab["LAB_BACKUP_BUCKET"], "--key", "planted"]).envs(&*lab).output();
    assert!(put.expect("aws starts").status.success());
    assert_eq!(changes(&lab).len(), 2, "a planted object was not seen");
}

/// What is known only afterwards, and what a command would have to be started for, is said and is no failure.
#[test]
fn what_cannot_be_known_is_no_failure() {
    let dir = tempfile::tempdir().expect("a directory");
    let plan = r#"
drplan: v1
name: notes
secrets: { hook: { command: [sh, -c, "touch asked; echo http://127.0.0.1:1/never"] } }
assets: { db: { kind: sqlite, tier: none, connect: { path: notes.db }, backups: [{ id: copy, method: full, schedule: "0 2 * * *", takes: 1m, to: "file:backups/" }] } }
scenarios:
  gone:
    cause: outage
    loses: { assets: [db] }
    detect: 5m
    steps:
      - { id: restore, asset: db, from: copy, uses: sqlite.restore, with: { backup: latest }, takes: 1m, undo: auto }
      - { id: look, asset: db, phase: verify, uses: sqlite.check, takes: 5s }
      - { id: write, phase: close, uses: command, with: { argv: [echo, "back since ${assets.db.recovered_at}"] }, takes: 5s, undo: { none: "it is only said" } }
      - { id: tell, phase: close, uses: notify.webhook, with: { url: "${secrets.hook}", text: "It is back." }, takes: 5s }
"#;
    std::fs::write(dir.path().join("plan.yaml"), plan).expect("it is written");
    std::fs::create_dir(dir.path().join("backups")).expect("it is made");
    let made = Command::new("sqlite3").args(["backups/a.db", "create table notes (t text)"]).current_dir(&dir).status();
    assert!(made.expect("sqlite3 starts").success());
    let dry = |more: &[&str]| {
        let mut dry = Command::new(env!("CARGO_BIN_EXE_drplan"));
        dry.args(["dry-run", "plan.yaml"]).args(more).current_dir(&dir).env("DRPLAN_JOURNAL", dir.path().join("journal.db"));
        dry.output().expect("the program starts")
    };
    let out = dry(&[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(out));
    let said = text(out);
    assert!(said.contains("write    cannot be known until `look`"), "{said}");
    assert!(said.contains("tell     not looked at: a command gives secret `hook`"), "{said}");
    assert!(!dir.path().join("asked").exists(), "the command was started");
    let trusted = text(dry(&["--trust-declared"]));
    assert!(trusted.contains("would tell the webhook at 127.0.0.1:1") && dir.path().join("asked").exists(), "{trusted}");
}

/// What a condition says is said: a step that would be passed over is not looked at, and nobody waits for it.
#[test]
fn a_condition_that_does_not_hold_passes_a_step_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let plan = r#"
drplan: v1
name: notes
assets: { db: { kind: sqlite, tier: none, connect: { path: notes.db } } }
scenarios:
  gone:
    cause: planned
    steps:
      - { id: count, asset: db, phase: assess, uses: sqlite.check, with: { query: "select count(*) from notes" }, takes: 5s }
      - { id: few, asset: db, when: { steps.count.value: 0 }, uses: sqlite.backup, with: { to: "copies/${steps.count.value}/" }, takes: 5s, undo: auto }
      - { id: many, asset: db, when: { steps.count.value: { at_least: 1 } }, uses: sqlite.backup, with: { to: other/ }, takes: 5s, undo: auto }
      - { id: look, asset: db, phase: verify, needs: [few], uses: sqlite.check, takes: 5s }
"#;
    std::fs::write(dir.path().join("plan.yaml"), plan).expect("it is written");
    let made = Command::new("sqlite3").args(["notes.db", "create table notes (t text)"]).current_dir(&dir).status();
    assert!(made.expect("sqlite3 starts").success());
    let dry = Command::new(env!("CARGO_BIN_EXE_drplan")).args(["dry-run", "plan.yaml"]).current_dir(&dir).output();
    let said = text(dry.expect("the program starts"));
    assert!(said.contains("few    would change file") || said.contains("few    file"), "{said}");
    assert!(said.contains("many   would not run: `value` of `count` is at least 1 does not hold: it found 0"), "{said}");
    assert!(said.contains("look   cannot be known until `few`"), "{said}");
}

fn text(output: Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Statements that sessions of the program sent, as both servers logged them.
fn statements(lab: &Lab) -> Vec<String> {
    let logs =
        ["primary", "standby"].map(|s| std::fs::read_to_string(format!("{}/log/{s}.log", lab["DRPLAN_LAB_DIR"])).expect("a server logs"));
    // A statement of several lines goes on behind a tab.
    let all = logs.join("\n").replace("\n\t", " ");
    let ours = all.lines().filter_map(|line| line.split_once(" drplan: LOG:  statement: "));
    ours.map(|(_, sql)| sql.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Everything that changed something: statements that do not only read, calls that the endpoint counts as changes.
fn changes(lab: &Lab) -> Vec<String> {
    let mut out: Vec<String> = statements(lab).into_iter().filter(|sql| !READING.iter().any(|word| sql.starts_with(word))).collect();
    let counters = Command::new("curl").args(["-s", &lab["LAB_CONTROL_URL"]]).output().expect("curl starts");
    let counters: Value = serde_json::from_slice(&counters.stdout).expect("the endpoint counts");
    out.extend(
        (0..counters["changes"].as_u64().expect("a count")).map(|n| format!("call {n} that changes something: {}", counters["operations"])),
    );
    out
}
