//! Orders, two servers and a second provider; how long the recovery takes over several drills, and what auditors take away.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::desk::Desk;
use super::house::House;
use super::{Story, hold, judged};

const PEOPLE: &[&str] = &["trading-oncall", "head-of-trading"];

fn story(scenario: &'static str, lose: &'static str, dies_in: &'static str) -> Story {
    Story { plan: "trading", scenario, people: PEOPLE, dies_in, back: None, lose, passed_over: &[] }
}

#[test]
fn servers_and_sites() {
    hold(&[
        Story { back: Some("primary-return"), ..story("primary-loss", "primary-loss", "promote") },
        story("standby-loss", "standby-loss", "alone"),
        story("provider-loss", "provider-loss", "restore-db"),
    ]);
}

#[test]
fn what_they_hold() {
    hold(&[
        story("data-corruption", "data-corruption", "bring-back"),
        story("cache-loss", "cache-loss", "restore"),
        story("cache-loss", "cache-and-log", "restore"),
        story("observability-loss", "observability-loss", "restore-rules"),
        story("restore-test", "restore-test", "restore"),
    ]);
}

/// The first server is lost and comes back, again and again in one lab and one journal (once unless DRPLAN_SYSTEMS is `all` or
/// `history`); what the journal then says of the recovery time, and whether what is packed for auditors is noticed when it is changed.
#[test]
fn times_and_evidence() {
    let wanted = std::env::var("DRPLAN_SYSTEMS").unwrap_or_default();
    if !["", "all", "history"].contains(&wanted.as_str()) {
        println!("trading history: not wanted, DRPLAN_SYSTEMS is {wanted}");
        return;
    }
    let rounds = if wanted.is_empty() { 1 } else { 5 };
    let house = House::up("trading");
    let story = story("primary-loss", "primary-loss", "");
    let desk = Desk::new(&house, &story, &[]);
    for _ in 0..rounds {
        house.verb(&["lose-primary-loss"]).unwrap();
        for scenario in ["primary-loss", "primary-return"] {
            desk.run(scenario, None);
            judged(&house, scenario);
        }
    }
    let journal = desk.home().join("journal.db").display().to_string();
    let tool = |words: &[&str]| tool(&house, &desk, words);

    // Of one round nothing is measured yet, and it says so; what it says then comes from the plan.
    let times = text(&tool(&["recovery-times", &journal]));
    println!("{times}");
    // A fence of a server that is gone is passed over, and so never measured.
    let measured = if rounds < 5 { ": 0 steps as measured" } else { "steps as measured, at least 5 times each; as planned: fence-first\n" };
    assert!(times.contains(measured), "{times}");
    assert!(times.contains("orders-name: P95 "), "{times}");

    let (run, head) = run_of(&house, &desk, "primary-loss");
    let packed = desk.home().join("evidence");
    let place = packed.display().to_string();
    let out = tool(&["evidence", &journal, &run, &place]);
    assert!(out.status.success(), "{}", text(&out));
    println!("{}", text(&out));
    assert!(tool(&["evidence", "--verify", &place, &head]).status.success());
    assert!(!tool(&["evidence", "--verify", &place, &head.replace(['0', '1', '2'], "f")]).status.success());
    // One word in the journal is another one; and then the checksums are made anew by whoever did that.
    let jsonl = packed.join("run.jsonl");
    let changed = std::fs::read_to_string(&jsonl).unwrap().replacen("as the page says", "as the page said", 1);
    std::fs::write(&jsonl, changed).unwrap();
    assert!(!tool(&["evidence", "--verify", &place]).status.success());
    assert!(Command::new("sh").args(["-c", "sha256sum $(ls | grep -v SHA) > SHA256SUMS"]).current_dir(&packed).status().unwrap().success());
    let out = tool(&["evidence", "--verify", &place]);
    assert!(!out.status.success(), "{}", text(&out));
    assert!(!text(&out).contains("FAILED"), "the checksums are those of the changed files: {}", text(&out));
}

/// A tool of the plan's `bin/`, which finds the program on its way.
fn tool(house: &House, desk: &Desk<'_>, words: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_drplan")).parent().unwrap().display();
    let path = format!("{program}:{}", house.env["PATH"]);
    let mut command = Command::new(desk.plan_dir().join("bin").join(words[0]));
    command.args(&words[1..]).envs(&house.env).env("PATH", path).env("PARAMS", house.params()).env("NO_COLOR", "1");
    command.output().unwrap()
}

/// The newest run of a scenario, and the head of its journal.
fn run_of(house: &House, desk: &Desk<'_>, scenario: &str) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
    let out = command.args(["runs", "--json", "--journal"]).arg(desk.home().join("journal.db")).envs(&house.env).output().unwrap();
    let runs: Value = serde_json::from_slice(&out.stdout).unwrap();
    let run = runs.as_array().unwrap().iter().find(|r| r["scenario"] == scenario).unwrap();
    (run["id"].as_str().unwrap().to_owned(), run["head"]["digest"].as_str().unwrap().to_owned())
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
