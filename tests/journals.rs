//! Journals from the command line: the one of a plan, handed from one to another, and leases that are shown and broken.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
    pub mod fact;
}

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;
use support::desk::{Desk, Said, said};
use support::fact::until;

/// A step that waits until it is let on, and one after it.
const PLAN: &str = r#"
drplan: v1
name: gate
scenarios:
  move:
    cause: planned
    steps:
      - id: first
        uses: command
        with: { argv: [sh, -c, "echo begun > begun; while ! test -e go; do sleep 0.05; done; echo first >> names"] }
        takes: 1s
        timeout: 20s
        undo: { none: written }
      - { id: second, uses: command, with: { argv: [sh, -c, "echo second >> names"] }, takes: 1s, undo: { none: written } }
"#;

/// A desk whose driver waits in its first step.
fn driven() -> (Desk, Child, String) {
    let desk = Desk::new(PLAN);
    let mut run = desk.program(&["run", "--yes"]);
    let child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the first step begins", || desk.path("begun").exists());
    let run = desk.say(&["runs"]).out.split_whitespace().next().unwrap().to_owned();
    (desk, child, run)
}

fn at(desk: &Desk, journal: &Path, words: &[&str]) -> Said {
    said(desk.program(words).env("DRPLAN_JOURNAL", journal))
}

#[track_caller]
fn refused(said: &Said, code: i32, words: &str) {
    assert!(said.code == Some(code) && said.err.contains(words), "{said:?}");
}

#[test]
fn a_run_is_handed_over_and_goes_on_in_another_journal_only() {
    let (desk, mut child, run) = driven();
    refused(&desk.say(&["hand-over", "-o", "x.jsonl", "--reason", "moving"]), 14, &format!("drplan lease break {run} --reason WHY"));
    assert!(!desk.path("x.jsonl").exists(), "nothing was done");
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::write(desk.path("taken"), "").unwrap();
    refused(&desk.say(&["hand-over", "-o", "taken", "--reason", "moving"]), 3, "nothing was done");
    let handed = desk.say(&["hand-over", "-o", "x.jsonl", "--reason", "moving"]);
    assert!(handed.code == Some(0) && handed.err.contains("drplan journal import x.jsonl"), "{handed:?}");
    // Here nobody drives it, and nobody says anything to it.
    for words in [&["resume", &run, "--yes"][..], &["pause", &run, "--reason", "x"], &["abort", &run, "--yes", "--reason", "x"]] {
        refused(&desk.say(words), 14, "was handed over");
    }
    refused(&desk.say(&["lease", "break", &run, "--reason", "x"]), 14, "was handed over");
    refused(&desk.say(&["resume", "--yes"]), 3, "no run is unfinished");
    let status = desk.say(&["status", &run]).out;
    assert!(status.contains("handed over: it goes on in the journal") && !status.contains("drplan resume"), "{status}");
    // The export may be lost before it arrives.
    let again = desk.say(&["hand-over", &run, "-o", "y.jsonl", "--reason", "moving"]);
    assert_eq!((again.code, desk.text("x.jsonl")), (Some(0), desk.text("y.jsonl")));
    refused(&desk.say(&["journal", "import", "x.jsonl"]), 2, "from this very journal");
    // What is not whole is not taken in.
    let text = desk.text("x.jsonl");
    std::fs::write(desk.path("cut.jsonl"), text.split_inclusive('\n').take(3).collect::<String>()).unwrap();
    std::fs::write(desk.path("spaced.jsonl"), text.replacen("\"at\":", "\"at\": ", 1)).unwrap();
    let other = desk.path("other.db");
    for file in ["cut.jsonl", "spaced.jsonl"] {
        refused(&desk.say(&["journal", "verify", file]), 16, "bytes were changed");
        refused(&at(&desk, &other, &["journal", "import", file]), 16, "bytes were changed");
    }
    let verified = desk.say(&["journal", "verify", "x.jsonl"]);
    assert!(verified.code == Some(0) && verified.out.contains("every digest fits"), "{verified:?}");
    // There it goes on: of what another machine might have begun a person is asked.
    let imported = at(&desk, &other, &["journal", "import", "x.jsonl"]);
    assert!(imported.code == Some(0) && imported.err.contains(&format!("drplan resume {run}")), "{imported:?}");
    std::fs::write(desk.path("go"), "").unwrap();
    until("the first step ends", || desk.text("names") == "first\n");
    // Nobody is asked before nothing of it can land any more.
    let resumed = at(&desk, &other, &["resume", "--yes"]);
    assert!(resumed.code == Some(12) && resumed.out.contains("--as done"), "{resumed:?}");
    let told = at(&desk, &other, &["resolve", "first", "--as", "done", "--reason", "looked"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let resumed = at(&desk, &other, &["resume", "--yes"]);
    assert_eq!((resumed.code, desk.text("names").as_str()), (Some(0), "first\nsecond\n"), "{resumed:?}");
    // And its end comes back, for reading.
    assert_eq!(at(&desk, &other, &["journal", "export", &run, "-o", "z.jsonl"]).code, Some(0));
    assert_eq!(desk.say(&["journal", "import", "z.jsonl"]).code, Some(0));
    assert!(desk.say(&["runs"]).out.contains("recovered") && desk.say(&["journal", "verify"]).code == Some(0));
}

#[test]
fn an_import_is_for_reading_unless_it_is_taken_over_with_a_reason() {
    let (desk, mut child, run) = driven();
    let other = desk.path("other.db");
    assert_eq!(desk.say(&["journal", "export", &run, "-o", "x.jsonl"]).code, Some(0));
    refused(&desk.say(&["journal", "export", &run, "-o", "x.jsonl"]), 3, "cannot write");
    let out = desk.say(&["journal", "export", &run]).out;
    assert!(out.ends_with("\"}\n") && out.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()), "{out}");
    assert_eq!(at(&desk, &other, &["journal", "import", "x.jsonl"]).code, Some(0));
    refused(&at(&desk, &other, &["resume", &run, "--yes"]), 14, "imported for reading");
    assert!(at(&desk, &other, &["runs"]).out.contains("imported for reading"));
    refused(&at(&desk, &other, &["journal", "import", "x.jsonl", "--take-over"]), 2, "--reason");
    let taken = at(&desk, &other, &["journal", "import", "x.jsonl", "--take-over", "--reason", "the laptop burnt"]);
    assert!(taken.code == Some(0) && taken.err.contains("make sure that nobody does"), "{taken:?}");
    let log = at(&desk, &other, &["log"]).out;
    assert!(log.contains("took it over: the laptop burnt") && log.contains("‽ first  unknown"), "{log}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_lease_is_shown_and_broken_and_its_holder_starts_nothing_more() {
    let (desk, mut child, run) = driven();
    let shown = desk.say(&["lease", "show"]);
    let pid = format!("pid {}", child.id());
    assert!(
        shown.out.contains(&pid) && shown.out.contains("holds the lease (fence 1)") && shown.out.contains("in flight: first"),
        "{shown:?}"
    );
    let lease: Value = serde_json::from_str(&desk.say(&["lease", "show", "--json"]).out).unwrap();
    assert_eq!(
        (lease["holds"].as_bool(), lease["lease"]["fence"].as_u64(), &lease["in_flight"][0]["step"]),
        (Some(true), Some(1), &"first".into())
    );
    refused(&desk.say(&["journal", "migrate"]), 0, "the newest; nothing was changed");
    refused(&desk.say(&["lease", "break", &run]), 2, "--reason");
    let broken = desk.say(&["lease", "break", &run, "--reason", "it does not answer"]);
    assert!(broken.code == Some(0) && broken.err.contains(&pid) && broken.err.contains("may go on: first"), "{broken:?}");
    std::fs::write(desk.path("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(14), "it noticed");
    until("the first step ends", || desk.text("names") == "first\n");
    let log = desk.say(&["log", &run]).out;
    assert!(log.contains("it does not answer") && !log.contains("✓ first"), "{log}");
    assert_eq!(desk.say(&["resume", "--yes"]).code, Some(0));
    assert_eq!(desk.text("names"), "first\nsecond\n");
    let shown = desk.say(&["lease", "show", &run]).out;
    assert!(shown.contains("nobody holds the lease (fence 3)") && shown.contains("in flight: nothing"), "{shown}");
}

#[test]
fn a_plan_may_insist_on_a_shared_journal() {
    let with = |journal: &str| Desk::new(&PLAN.replace("scenarios:", &format!("journal: {journal}\nscenarios:")));
    let desk = with("{ url: \"postgres://dr@127.0.0.1:1/journal\", required: true }");
    refused(&desk.say(&["run", "--yes"]), 2, "DRPLAN_JOURNAL=postgres://dr@127.0.0.1:1/journal");
    assert!(!desk.journal().exists() && !desk.path("begun").exists(), "nothing is made");
    // Where nothing else was typed or set, it is the plan's.
    let server = said(desk.program(&["run", "--yes"]).env_remove("DRPLAN_JOURNAL").env("XDG_STATE_HOME", desk.path("state")));
    if cfg!(feature = "postgres") {
        refused(&server, 16, "postgres://dr@127.0.0.1:1/journal");
    } else {
        refused(&server, 2, "`--features postgres`");
    }
    let desk = with("{ required: true }");
    refused(&desk.say(&["run", "--yes"]), 2, "--journal postgres://USER@HOST/DATABASE");
    for (journal, rule) in [
        ("{ url: \"postgres://dr:s3cret@h/d\" }", "password-in-url"),
        ("{ url: \"postgres://h/d?password=s3cret\" }", "password-in-url"),
        ("{ url: \"mysql://h/d\" }", "bad-value"),
        ("{ site: nowhere }", "unknown-name"),
    ] {
        let said = with(journal).say(&["check"]);
        assert!(said.code == Some(1) && format!("{}{}", said.out, said.err).contains(rule), "{journal}: {said:?}");
        assert!(!format!("{}{}", said.out, said.err).contains("s3cret"), "{journal}: {said:?}");
    }
}

#[test]
fn a_password_in_an_address_is_never_shown() {
    let desk = Desk::new(PLAN);
    let url = "postgres://dr:s3cr3t-word@127.0.0.1:1/journal?sslmode=disable";
    for words in
        [&["runs"][..], &["run", "--yes"], &["status"], &["journal", "verify"], &["lease", "show"], &["run", "--help"], &["--help"]]
    {
        let said = at(&desk, Path::new(url), words);
        assert!(!format!("{said:?}").contains("s3cr3t"), "{words:?}: {said:?}");
    }
    let server = at(&desk, Path::new(url), &["runs"]);
    if cfg!(feature = "postgres") {
        refused(&server, 16, "postgres://dr@127.0.0.1:1/journal");
    } else {
        refused(&server, 2, "the feature `postgres` is not built in");
    }
}

/// A step on an asset, one that a person lets through, and a place where the environment is seen.
const HELD: &str = r#"
drplan: v1
name: held
contacts: { ops: { title: Operations } }
assets: { app: { kind: other, tier: none } }
scenarios:
  move:
    cause: planned
    steps:
      - { id: first, asset: app, uses: command, with: { argv: [sh, -c, "env > seen"] }, takes: 1s, undo: { none: written } }
      - { id: gate, phase: recover, uses: approval, with: { ask: "Go?", from: [ops] }, takes: 1m }
"#;

#[test]
fn what_was_handed_over_goes_on_in_one_place_and_holds_what_it_held() {
    let desk = Desk::new(HELD);
    assert_eq!(desk.say(&["run", "--yes"]).code, Some(11));
    let run = desk.say(&["runs"]).out.split_whitespace().next().unwrap().to_owned();
    assert_eq!(desk.say(&["hand-over", "-o", "x.jsonl", "--reason", "moving"]).code, Some(0));
    // It changes them elsewhere now: nobody else does from here.
    refused(&desk.say(&["run", "--yes"]), 14, &format!("is held by run {run}"));
    let (there, third) = (desk.path("there/j.db"), desk.path("third/j.db"));
    assert_eq!(at(&desk, &there, &["journal", "import", "x.jsonl"]).code, Some(0));
    assert!(desk.text("x.jsonl.imported").contains(&there.display().to_string()), "{}", desk.text("x.jsonl.imported"));
    refused(&at(&desk, &third, &["journal", "import", "x.jsonl"]), 2, "was imported already: run held-");
    refused(&at(&desk, &third, &["status", &run]), 3, "there is no run");
    // It ends there, and its export comes back: what it held is free.
    assert_eq!(at(&desk, &there, &["approve", &run, "gate", "--as", "ops"]).code, Some(0));
    assert_eq!(at(&desk, &there, &["resume", &run, "--yes"]).code, Some(0));
    assert_eq!(at(&desk, &there, &["journal", "export", &run, "-o", "back.jsonl"]).code, Some(0));
    assert_eq!(desk.say(&["journal", "import", "back.jsonl"]).code, Some(0));
    let second = desk.say(&["runs", "--json"]);
    let second: Value = serde_json::from_str(&second.out).unwrap();
    let second = second.as_array().unwrap().iter().find(|r| r["id"] != run.as_str()).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(desk.say(&["resume", &second, "--yes"]).code, Some(11), "it is free now");
}

#[test]
fn commands_do_not_see_where_the_journal_is_nor_its_password() {
    let desk = Desk::new(HELD);
    let ran = said(desk.program(&["run", "--yes"]).env("PGPASSWORD", "s3cr3t-of-the-journal").env("OTHER", "seen"));
    assert_eq!(ran.code, Some(11), "{ran:?}");
    let seen = desk.text("seen");
    assert!(seen.contains("OTHER=seen"), "{seen}");
    assert!(!seen.contains("DRPLAN_JOURNAL") && !seen.contains("PGPASSWORD") && !seen.contains("s3cr3t"), "{seen}");
}
