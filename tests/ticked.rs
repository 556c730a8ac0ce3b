//! The ticked runbook of a run: what stands on it, that it follows the run through crashes, and that no run stops for it.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
}

use std::collections::BTreeMap;
use std::process::Command;

use drplan::compile::{Input, compile};
use drplan::journal::{About, Answer, Doing, Entry, Event, Word};
use drplan::report::ticks::ticked;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use support::desk::{Desk, said};

/// One step for each thing that can become of one.
const PLAN: &str = r#"
drplan: v1
name: notes
title: Notes
owner: ops
contacts:
  ops: { title: Operations, reach: the tower }
  cto: { title: CTO, phone: "1" }
assets:
  db: { kind: other, title: The notes, tier: none }
scenarios:
  move:
    cause: planned
    steps:
      - { id: gate, uses: approval, with: { ask: "Move now?", from: [ops, cto], count: 2 }, takes: 1m }
      - { id: newest, phase: prepare, title: Find the newest copy, uses: command, with: { argv: [newest] }, outputs: { key: { pattern: ".*" } }, effect: read, takes: 1s }
      - { id: copy, asset: db, title: Bring it here, uses: command, with: { argv: [copy, "${steps.newest.key}", "${run.id}"] }, takes: 1m, undo: { none: copies stay } }
      - { id: warm, title: Warm it, needs: [], uses: command, with: { argv: [warm] }, takes: 1s, undo: { none: nothing stays } }
      - { id: look, asset: db, phase: verify, needs: [copy, warm], title: See that it is whole, uses: command, effect: read, with: { argv: [look] }, takes: 1s }
      - { id: doors, title: Open the doors, uses: manual, with: { do: Open them }, takes: 1m, undo: { uses: manual, with: { do: Close them } } }
      - { id: tell, phase: close, title: Tell them, uses: command, with: { argv: [tell] }, takes: 1s, undo: { none: told }, on_failure: continue }
"#;

fn done(step: &str, outputs: Value) -> Event {
    let outputs = outputs.as_object().cloned().unwrap_or_default();
    Event::Done { step: step.to_owned(), doing: Doing::Apply, attempt: 1, outputs, found: false }
}

fn intent(step: &str, attempt: u32) -> Event {
    let (key, inputs) = (String::new(), String::new());
    Event::Intent { step: step.to_owned(), doing: Doing::Apply, attempt, key, inputs, timeout_ms: None, settles_ms: 0, before: Value::Null }
}

fn approved(who: &str, digest: &str) -> Event {
    Event::Approved {
        step: "gate".to_owned(),
        who: who.to_owned(),
        comment: "go".to_owned(),
        digest: digest.to_owned(),
        break_glass: false,
    }
}

#[test]
fn each_step_shows_what_became_of_it() {
    let texts = BTreeMap::from([("plan.yaml".to_owned(), PLAN.to_owned())]);
    let compiled = compile(&texts, "plan.yaml", &Input::default()).unwrap();
    let checked = compiled.checked.into_iter().next().unwrap_or_else(|| panic!("{:#?}", compiled.findings));
    let at = |second: i64| jiff::Timestamp::from_second(1_800_000_000 + second).unwrap();
    let started = drplan::execute::Start {
        dir: "/srv/plans".to_owned(),
        operator: "ada@desk".to_owned(),
        host: "desk".to_owned(),
        incident_start: at(0),
        ..Default::default()
    };
    let step = |name: &str| name.to_owned();
    let events = vec![
        started.of(&checked),
        Event::LeaseTaken { fence: 1, holder: "ada@desk pid 7".to_owned(), from: None },
        Event::Ready { step: step("gate") },
        Event::Asked { step: step("gate"), about: About::Approval, question: "Move now?".to_owned() },
        approved("ops (ada@desk)", checked.digest()),
        approved("cto (eve@home)", checked.digest()),
        done("gate", Value::Null),
        intent("newest", 1),
        Event::Failed {
            step: step("newest"),
            doing: Doing::Apply,
            attempt: 1,
            reason: "no route to `store` **now**".to_owned(),
            unreachable: true,
        },
        Event::Word { word: Word::Retry, step: Some(step("newest")), who: "eve@home".to_owned(), reason: "the cable was out".to_owned() },
        intent("newest", 2),
        done("newest", json!({ "key": "it's \"$HOME\" `x`\n# no heading", "exit": 0 })),
        intent("warm", 1),
        intent("copy", 1),
        Event::LeaseTaken { fence: 2, holder: "eve@home pid 9".to_owned(), from: Some("ada@desk pid 7".to_owned()) },
        Event::Unknown {
            step: step("copy"),
            doing: Doing::Apply,
            attempt: 1,
            why: "the program ended while it ran".to_owned(),
            open_until: Some(at(90)),
            died: true,
        },
        Event::Probed {
            step: step("copy"),
            doing: Doing::Apply,
            attempt: 1,
            answer: Answer::CannotTell,
            detail: "it was started by ada@desk pid 7, on another host".to_owned(),
            closed: false,
        },
        Event::Asked { step: step("copy"), about: About::Unknown, question: "Nobody can tell whether `copy` happened.".to_owned() },
        Event::Word {
            word: Word::Resolve { done: true, record: Map::new(), accept_late_effect: false },
            step: Some(step("copy")),
            who: "eve@home".to_owned(),
            reason: "the file is there".to_owned(),
        },
        intent("look", 1),
        Event::Failed {
            step: step("look"),
            doing: Doing::Apply,
            attempt: 1,
            reason: "wanted: whole; found 2 torn pages".to_owned(),
            unreachable: false,
        },
        Event::Skipped { step: step("tell"), reason: "failed, and the plan goes on: nobody listens".to_owned(), flaw: true },
    ];
    let stamped = events.into_iter().zip(1..);
    let entries: Vec<Entry> = stamped.map(|(event, seq)| Entry { seq, at: at(i64::try_from(seq).unwrap() * 3), event }).collect();
    let page = ticked("notes-1", std::sync::Arc::new(checked), &entries);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("runbook-ticked", page));
}

/// A secret that is used, found out about and complained about; a gate; one after it.
const GATED: &str = r#"
drplan: v1
name: gated
secrets: { key: { env: CANARY } }
scenarios:
  move:
    cause: planned
    steps:
      - { id: first, uses: command, with: { argv: [sh, -c, "echo $K; echo > begun; cat go"], env: { K: "${secrets.key}" } }, outputs: { said: { pattern: ".*" } }, takes: 1m, undo: { none: no } }
      - { id: second, uses: command, with: { argv: [sh, -c, "echo $K >&2; exit 3"], env: { K: "${secrets.key}" } }, takes: 1s, undo: { none: no } }
      - { id: third, uses: command, with: { argv: [sh, -c, "echo third >> out"] }, takes: 1s, undo: { none: no } }
"#;

const CANARY: &str = "c4nary-s3cret-value";

fn page(desk: &Desk) -> String {
    let dir = desk.path("journal/j.db.d");
    let pages = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md"));
    let pages: Vec<_> = pages.collect();
    assert_eq!(pages.len(), 1, "{pages:?}");
    std::fs::read_to_string(&pages[0]).unwrap()
}

#[test]
fn it_follows_a_run_through_the_death_of_its_driver() {
    let desk = Desk::new(GATED);
    assert_eq!(said(Command::new("mkfifo").arg(desk.path("begun")).arg(desk.path("go"))).code, Some(0));
    let mut first = desk.program(&["run", "--yes"]).env("CANARY", CANARY).spawn().unwrap();
    std::fs::read(desk.path("begun")).unwrap();
    // The intent is in the journal before the command says that it has begun; the page follows within moments.
    while !page(&desk).contains("- [ ] `first`") || !page(&desk).contains("**begun**") {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&first), Signal::KILL).unwrap();
    first.wait().unwrap();
    std::fs::write(desk.path("go"), "").unwrap();
    let resumed = said(desk.program(&["resume", "--yes"]).env("CANARY", CANARY));
    assert_eq!(resumed.code, Some(11), "{resumed:?}");
    let after = page(&desk);
    assert!(after.contains("- [x] `first`") && after.contains("**unknown**") && after.contains("it was found to be so"), "{after}");
    assert!(after.contains("- [ ] `second`") && after.contains("**failed**"), "{after}");
    let run: Value = serde_json::from_str(&desk.say(&["status", "--json"]).out).unwrap();
    let path = run["runbook"].as_str().unwrap();
    assert!(resumed.out.contains(path) && std::path::Path::new(path).is_file(), "{resumed:?}");
    assert!(desk.say(&["status"]).out.contains(path));
    assert!(!after.contains(CANARY) && after.contains("said:"), "{after}");
}

#[test]
fn a_page_that_cannot_be_written_is_said_once_and_stops_nothing() {
    let plan = GATED.replace("echo > begun; cat go", "true").replace("exit 3", "test -e mended");
    let desk = Desk::new(&plan);
    let with_secret = |words: &[&str]| said(desk.program(words).env("CANARY", CANARY));
    assert_eq!(with_secret(&["run", "--yes"]).code, Some(11));
    let status: Value = serde_json::from_str(&desk.say(&["status", "--json"]).out).unwrap();
    let path = std::path::Path::new(status["runbook"].as_str().unwrap()).to_owned();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(desk.path("mended"), "").unwrap();
    assert_eq!(desk.say(&["retry", "second", "--reason", "mended"]).code, Some(0));
    let resumed = with_secret(&["resume", "--yes"]);
    assert_eq!((resumed.code, desk.text("out").as_str()), (Some(0), "third\n"), "{resumed:?}");
    assert_eq!(resumed.err.matches("could not be written").count(), 1, "{resumed:?}");
    assert!(resumed.err.contains("directory") && !resumed.out.contains("  runbook:"), "{resumed:?}");
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the ends, and what stands in the way; nothing half written: {left:?}");
}
