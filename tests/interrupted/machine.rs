//! A machine whose clock is wrong, or is set while a run goes on: the program itself, under `faketime`, and a journal
//! that was written a day from now.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use drplan::compile::{Input, compile};
use drplan::execute::Start;
use drplan::journal::{self, Doing, Event, Place, Stamped};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::desk::{Desk, Said, said};
use super::fact::until;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// One step that waits to be let on, and one that is tried again.
const PLAN: &str = r#"
drplan: v1
name: moved
tiers: { slow: { rto: 1h } }
assets: { app: { kind: other, tier: slow } }
scenarios:
  move:
    cause: planned
    steps:
      - { id: first, asset: app, uses: command, effect: idempotent, with: { argv: [sh, -c, "echo try >> tries; touch begun; until test -e go; do sleep 0.01; done"] }, takes: 1m, undo: { none: no } }
      - { id: again, asset: app, uses: command, effect: idempotent, with: { argv: [sh, -c, "echo again >> tries; test $(grep -c again tries) -gt 1"] }, retry: { attempts: 2, delay: 1s }, takes: 1s, undo: { none: no } }
      - { id: look, asset: app, phase: verify, uses: command, effect: read, with: { argv: ["true"] }, takes: 1s }
"#;

/// A command on a machine whose clock is as far off as the file says.
fn off(command: &mut Command, file: &Path) {
    assert!(Path::new(LIBRARY).exists(), "faketime is installed: ./dev test does it");
    command.env("LD_PRELOAD", LIBRARY).env("FAKETIME_TIMESTAMP_FILE", file).env("FAKETIME_NO_CACHE", "1");
    // The clocks that nobody sets are left alone.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

#[test]
fn a_clock_that_jumps_both_ways_while_it_runs_changes_nothing() {
    let desk = Desk::new(PLAN);
    let clock = desk.path("clock");
    std::fs::write(&clock, "+0").unwrap();
    let mut program = desk.program(&["run", "--yes"]);
    off(&mut program, &clock);
    let begun = Instant::now();
    let driver = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the step begins", || desk.path("begun").exists());
    for jump in ["+1d", "-1d", "+0"] {
        std::fs::write(&clock, jump).unwrap();
        // Long enough to be seen: a driver looks four times a second.
        std::thread::sleep(Duration::from_millis(600));
        let mut other = desk.program(&["resume", "--yes"]);
        off(&mut other, &clock);
        let other = said(&mut other);
        assert_eq!(other.code, Some(14), "the lease does not care about {jump}: {other:?}");
    }
    std::fs::write(&clock, "-1d").unwrap();
    std::fs::write(desk.path("go"), "").unwrap();
    let out = driver.wait_with_output().unwrap();
    let (text, err) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{text}{err}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{err}");
    assert_eq!(desk.text("tries"), "try\nagain\nagain\n");
    for words in ["set forward by 1d", "set back by 2d", "a clock that nobody sets"] {
        assert!(err.contains(words), "{words}: {err}");
    }
    let runs = json(desk.say(&["runs", "--json"]));
    let run = runs[0]["id"].as_str().unwrap();
    let story = json(desk.say(&["status", run, "--json"]));
    let back = story["story"]["objectives"]["app"]["recovery_ms"].as_u64().unwrap();
    assert!(back < 60_000, "{back}");
    let log = desk.say(&["log", run, "--json"]).out;
    let at: Vec<Timestamp> =
        log.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(at.windows(2).all(|two| two[0] <= two[1] && two[1].duration_since(two[0]).as_mins() < 1), "{at:?}");
}

/// A journal of a run that somebody began with a clock that is this far off; the events after its start are made from the
/// number of seconds since.
fn begun(desk: &Desk, off: SignedDuration, events: impl FnOnce(&dyn Fn(i64) -> Timestamp) -> Vec<Stamped>) -> String {
    let files = std::collections::BTreeMap::from([("plan.yaml".to_owned(), desk.text("plan.yaml"))]);
    let compiled = compile(&files, "plan.yaml", &Input::default()).unwrap();
    let checked = compiled.checked.first().unwrap_or_else(|| panic!("{:#?}", compiled.findings));
    let start = Timestamp::now() + off;
    let at = |seconds: i64| start + SignedDuration::from_secs(seconds);
    let dir = desk.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let first = Start { dir, operator: "ada@desk".to_owned(), host: "desk".to_owned(), incident_start: start, ..Start::default() };
    let run = "moved-1".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = journal::open(&Place::File(desk.journal())).await.unwrap();
        let head = store.create(&run, (start, first.of(checked))).await.unwrap();
        let lease = store.take(&run, "ada@desk pid 7").await.unwrap();
        let mut all: Vec<Stamped> =
            vec![(at(0), Event::LeaseTaken { fence: lease.fence, holder: "ada@desk pid 7".to_owned(), from: None })];
        all.extend(events(&at));
        store.append(&run, &head, Some(lease.fence), &all).await.unwrap();
    });
    run
}

fn intent(step: &str, timeout_ms: u64) -> Event {
    Event::Intent {
        step: step.to_owned(),
        doing: Doing::Apply,
        attempt: 1,
        key: format!("moved-1/{step}/apply"),
        inputs: String::new(),
        timeout_ms: Some(timeout_ms),
        settles_ms: 0,
        before: Value::Null,
    }
}

#[test]
fn a_journal_that_was_written_a_day_from_now_is_gone_on_with_and_it_is_said() {
    let desk = Desk::new(PLAN);
    let run = begun(&desk, DAY, |at| {
        let failed =
            Event::Failed { step: "again".to_owned(), doing: Doing::Apply, attempt: 1, reason: "no".to_owned(), unreachable: false };
        let done = Event::Done { step: "first".to_owned(), doing: Doing::Apply, attempt: 1, outputs: Default::default(), found: false };
        vec![(at(1), intent("first", 240_000)), (at(2), done), (at(3), intent("again", 30_000)), (at(4), failed)]
    });
    std::fs::write(desk.path("tries"), "again\n").unwrap();
    let shown = desk.say(&["status", &run]);
    assert!(shown.code == Some(0) && shown.out.contains("ahead of this machine's clock"), "{shown:?}");
    let begun = Instant::now();
    let resumed = desk.say(&["resume", "--yes"]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it does not wait for tomorrow");
    assert!(resumed.err.contains("behind the last event of the run: one of the two is wrong"), "{resumed:?}");
    assert_eq!(desk.text("tries"), "again\nagain\n");
    let story = json(desk.say(&["status", &run, "--json"]));
    let back = story["story"]["objectives"]["app"]["recovery_ms"].as_u64().unwrap();
    assert!((4_000..60_000).contains(&back), "{back}");
}

#[test]
fn what_may_still_land_is_not_called_over_because_a_clock_is_ahead() {
    // Begun elsewhere, a moment ago, by a machine whose clock is a day behind: to this one its time has long passed.
    let plan = PLAN.replace(
        "takes: 1m, undo",
        "takes: 1s, timeout: 4s, check: { uses: command, effect: read, with: { argv: [test, -e, there] } }, undo",
    );
    let desk = Desk::new(&plan.replace("touch begun; until test -e go; do sleep 0.01; done", "touch there"));
    let run = begun(&desk, -DAY, |at| vec![(at(1), intent("first", 4_000))]);
    let begun = Instant::now();
    let resumed = desk.say(&["resume", "--yes"]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let log = desk.say(&["log", &run]).out;
    assert!(desk.text("tries").starts_with("try\n"), "{log}");
    assert!(begun.elapsed() >= Duration::from_millis(3_500), "it was repeated while it might have landed:\n{log}");
    assert!(log.contains("it may still take effect until"), "{log}");
}
