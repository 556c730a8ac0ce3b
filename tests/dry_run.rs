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
    let lab = Lab::up();
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
