//! The command line, as a person and as a script meet it: exit codes, words, signals, two terminals. What a run does
//! is tried elsewhere.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
}

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::desk::{Desk, Said, said};

/// A step that says that it has begun and waits to be let on, and one after it.
const GATE: &str = r#"
      - id: first
        uses: command
        with: { argv: [sh, -c, "echo > begun; cat go > /dev/null; echo first >> names"] }
        takes: 1m
        undo: { none: written }
      - { id: second, uses: command, with: { argv: [sh, -c, "echo second >> names"] }, takes: 1s, undo: { none: written } }
"#;

/// Two of two people must say yes between two commands.
const APPROVAL: &str = r#"
      - id: before
        uses: command
        with: { argv: [sh, -c, "echo before >> names"] }
        takes: 1s
        undo: { uses: command, with: { argv: [sh, -c, "echo undone >> names"] } }
      - { id: gate, phase: recover, uses: approval, with: { ask: "Go on?", from: [ops, cto], count: 2 }, takes: 1m }
      - { id: after, uses: command, with: { argv: [sh, -c, "echo after >> names"] }, takes: 1s, undo: { none: written } }
"#;

/// A command that fails, in a plan that says what follows from it, and one after it.
const FAILING: &str = r#"
      - { id: bad, uses: command, with: { argv: [sh, -c, "echo no luck >&2; exit 3"] }, takes: 1s, EXTRA undo: { none: nothing } }
      - { id: after, uses: command, with: { argv: [sh, -c, "echo after >> names"] }, takes: 1s, undo: { none: written } }
"#;

fn plan(steps: &str) -> String {
    format!(
        "drplan: v1\nname: cli\ncontacts:\n  ops: {{ title: Operations, reach: \"#ops\" }}\n  cto: {{ title: CTO, reach: \"#cto\" }}\n\
         sites: {{ here: {{ title: Here }} }}\nassets:\n  app: {{ kind: other, title: The app, tier: none, site: here }}\n\
         scenarios:\n  move:\n    cause: planned\n    steps:{steps}"
    )
}

/// A desk whose plan waits at its gates.
fn gated() -> Desk {
    let desk = Desk::new(&plan(GATE));
    let made = said(Command::new("mkfifo").arg(desk.path("begun")).arg(desk.path("go")));
    assert_eq!(made.code, Some(0), "{made:?}");
    desk
}

/// Waits until the first step is in flight.
fn begun(desk: &Desk) {
    std::fs::read(desk.path("begun")).unwrap();
}

/// Lets the first step on.
fn go(desk: &Desk) {
    std::fs::write(desk.path("go"), "").unwrap();
}

fn started(desk: &Desk, words: &[&str]) -> Child {
    desk.program(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Reads up to the line that holds a word.
fn heard(stream: &mut impl BufRead, word: &str) -> String {
    let mut all = String::new();
    loop {
        let from = all.len();
        assert!(stream.read_line(&mut all).unwrap() > 0, "it ended before it said {word}:\n{all}");
        if all[from..].contains(word) {
            return all[from..].to_owned();
        }
    }
}

fn run_of(desk: &Desk) -> String {
    let runs: Value = serde_json::from_str(&desk.say(&["runs", "--json"]).out).unwrap();
    runs[0]["id"].as_str().unwrap().to_owned()
}

/// What somebody else says.
fn by(desk: &Desk, who: &str, words: &[&str]) -> Said {
    said(desk.program(words).env("DRPLAN_OPERATOR", format!("{who}@there")))
}

/// A run that waits for its approvals.
fn waiting() -> (Desk, String) {
    let desk = Desk::new(&plan(APPROVAL));
    let ran = desk.say(&["run", "--yes"]);
    assert_eq!(ran.code, Some(11), "{ran:?}");
    let run = run_of(&desk);
    assert!(ran.out.contains(&format!("drplan approve {run} gate --as ops\n")), "{}", ran.out);
    assert!(ran.out.contains(&format!("Then:\n    drplan resume {run} --yes\n")), "{}", ran.out);
    (desk, run)
}

#[track_caller]
fn refused(said: Said, code: i32, word: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.contains(word), "`{word}` is not said: {}", said.err);
}

#[test]
fn without_a_yes_and_without_a_terminal_nothing_is_done() {
    let desk = Desk::new(&plan(APPROVAL));
    refused(desk.say(&["run"]), 2, "add --yes if you mean it");
    let left: Vec<_> = std::fs::read_dir(desk.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["plan.yaml"], "nothing is made");
    let (desk, run) = waiting();
    let before = desk.say(&["log", "--json"]).out;
    for words in [&["resume"][..], &["rollback", "--reason", "x"], &["abort", "--reason", "x"]] {
        refused(desk.say(words), 2, "nothing was done");
    }
    assert_eq!(desk.say(&["log", &run, "--json"]).out, before, "nothing is said to the run");
}

#[test]
fn a_run_that_is_not_there_gets_the_nearest_name() {
    let (desk, run) = waiting();
    let wrong = format!("{}x", &run[..run.len() - 1]);
    for words in [&["status", &wrong][..], &["log", &wrong], &["resume", &wrong, "--yes"], &["journal", "verify", &wrong]] {
        refused(desk.say(words), 3, &format!("did you mean `{run}`?"));
    }
    refused(desk.say(&["approve", "nothing-like-it", "gate"]), 3, "`drplan runs` lists all");
    let empty = Desk::new(&plan(APPROVAL));
    refused(empty.say(&["status"]), 3, "no run is unfinished");
}

#[test]
fn a_word_that_is_not_allowed_is_refused_and_says_which_one_is() {
    let (desk, run) = waiting();
    let because = ["--reason", "because"];
    let say = |words: &[&str]| desk.say(&[words, &because].concat());
    let head = || desk.say(&["journal", "verify"]).out;
    let before = head();
    refused(say(&["skip", "gate"]), 2, "is an approval: only `drplan approve ");
    refused(say(&["resolve", "gate", "--as", "done"]), 2, &format!("`drplan approve {run} gate` passes it"));
    refused(say(&["retry", "gate"]), 2, "only a step that failed can be tried again");
    refused(say(&["retry", "before"]), 2, "`before` is done");
    refused(say(&["skip", "before"]), 2, "`before` is done");
    refused(say(&["resolve", "before", "--as", "not-done"]), 2, "there is nothing to resolve");
    refused(say(&["skip", "gat"]), 2, "did you mean `gate`?");
    refused(desk.say(&["approve", "before"]), 2, "`before` is not an approval");
    refused(desk.say(&["approve", "gate"]), 2, "say who you are, --as ops");
    refused(desk.say(&["approve", "gate", "--as", "boss"]), 2, "`boss` is not among those who may approve: ops, cto");
    refused(say(&["decline", "gate", "--as", "boss"]), 2, "`boss` is not among");
    assert_eq!(head(), before, "no refused word is in the journal");

    let given = desk.say(&["approve", "gate", "--as", "ops"]);
    assert_eq!(given.code, Some(0), "{given:?}");
    assert!(given.err.contains("recorded, not proved") && given.err.contains("you started this run yourself"), "{given:?}");
    assert!(
        given.err.contains(&format!("`gate` still waits: drplan approve {run} gate --as cto\n  then drplan resume {run} --yes")),
        "{given:?}"
    );
    refused(desk.say(&["approve", "gate", "--as", "cto"]), 2, "me@here has approved already, as ops: two approvals are two people");
    refused(desk.say(&["approve", "gate", "--as", "ops"]), 2, "ops has approved already; another person is needed");
    assert_eq!(desk.say(&["resume", "--yes"]).code, Some(11), "one of two is not enough");
    assert_eq!(desk.text("names"), "before\n");
    assert_eq!(by(&desk, "cto", &["approve", &run, "gate", "--as", "cto"]).code, Some(0));
    assert_eq!(desk.say(&["resume", "--yes"]).code, Some(0));
    assert_eq!(desk.text("names"), "before\nafter\n");
    refused(desk.say(&["resume", &run, "--yes"]), 2, "has ended (recovered)");
    refused(say(&["skip", &run, "after"]), 2, "has ended");
    refused(desk.say(&["approve", &run, "gate", "--as", "cto"]), 2, "has ended");
}

#[test]
fn a_declined_approval_pauses_and_is_not_passed_by() {
    let (desk, _) = waiting();
    assert_eq!(desk.say(&["decline", "gate", "--as", "cto", "--reason", "not today"]).code, Some(0));
    let resumed = desk.say(&["resume", "--yes"]);
    assert_eq!(resumed.code, Some(11), "{resumed:?}");
    assert!(desk.say(&["log"]).out.contains("declined by cto (me@here): not today"));
    refused(desk.say(&["skip", "gate", "--reason", "x"]), 2, "is an approval: `drplan retry ");
    assert_eq!(desk.text("names"), "before\n");
}

#[test]
fn a_fence_is_not_skipped() {
    let fence = r#"
      - id: fence
        phase: contain
        asset: app
        uses: command
        with: { argv: ["false"] }
        check: { uses: command, effect: read, with: { argv: [test, -e, fenced] } }
        takes: 1s
        undo: { none: stays }
"#;
    let desk = Desk::new(&plan(fence));
    assert_eq!(desk.say(&["run", "--yes"]).code, Some(11));
    refused(desk.say(&["skip", "fence", "--reason", "x"]), 2, "is a fence: without it two sites may take writes");
    assert_eq!(desk.say(&["resolve", "fence", "--as", "done", "--reason", "it is unplugged"]).code, Some(0));
    assert_eq!(desk.say(&["resume", "--yes"]).code, Some(0));
}

#[test]
fn people_approve_from_another_terminal_while_a_driver_waits() {
    let desk = Desk::new(&plan(APPROVAL));
    let mut driver = started(&desk, &["run", "--yes", "--wait", "--json"]);
    let mut out = BufReader::new(driver.stdout.take().unwrap());
    heard(&mut out, "\"asked\"");
    // Meanwhile it holds the run.
    let run = run_of(&desk);
    refused(desk.say(&["resume", "--yes"]), 14, &format!("the run is driven by me@{}", drplan::world::real::host_name()));
    assert!(desk.say(&["status"]).out.contains(&format!("driven by me@{} pid {}", drplan::world::real::host_name(), driver.id())));
    for who in ["ops", "cto"] {
        let given = by(&desk, who, &["approve", &run, "gate", "--as", who]);
        assert_eq!(given.code, Some(0), "{given:?}");
        assert!(given.err.contains("drives the run and goes on within a second"), "{given:?}");
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(driver.wait().unwrap().code(), Some(0), "{rest}");
    assert_eq!(desk.text("names"), "before\nafter\n");
    let last: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!((&last["exit"], &last["next"]), (&Value::from(0), &serde_json::json!([])));
}

#[test]
fn what_one_run_changes_no_other_may() {
    let steps = APPROVAL.replace(
        "      - { id: gate",
        "      - { id: copy, asset: db, uses: sqlite.backup, with: { to: copy.db }, takes: 1s, undo: auto }\n      - { id: gate",
    );
    let desk = Desk::new(&plan(&steps).replace("assets:\n", "assets:\n  db: { kind: sqlite, tier: none, connect: { path: notes.db } }\n"));
    let made = "import sqlite3\nwith sqlite3.connect('notes.db') as db: db.execute('create table note (text)')";
    assert_eq!(said(Command::new("/usr/bin/python3").args(["-c", made]).current_dir(desk.path(""))).code, Some(0));
    let ran = desk.say(&["run", "--yes"]);
    assert_eq!(ran.code, Some(11), "{ran:?}");
    let first = run_of(&desk);
    let second = desk.say(&["run", "--yes"]);
    refused(second, 14, &format!("is held by run {first}"));
    assert_eq!(desk.say(&["abort", &first, "--yes", "--reason", "enough"]).code, Some(15));
    std::fs::remove_file(desk.path("copy.db")).unwrap();
    let second = desk.say(&["resume", "--yes"]);
    assert_eq!(second.code, Some(11), "it is free now: {second:?}");
}

#[test]
fn another_plan_than_was_reviewed_does_not_run() {
    let desk = Desk::new(&plan(GATE));
    let wrong = desk.say(&["run", "--yes", "--expect", &"0".repeat(64)]);
    assert_eq!(wrong.code, Some(13), "{wrong:?}");
    let digest = wrong.err.split("digest ").nth(1).unwrap()[..64].to_owned();
    assert!(!desk.journal().exists(), "nothing is made");
    refused(desk.say(&["run", "--expect", &digest]), 2, "add --yes");
    std::fs::write(desk.path("plan.yaml"), plan(GATE).replace("echo second", "echo other")).unwrap();
    refused(desk.say(&["run", "--yes", "--expect", &digest]), 13, "was expected");
}

#[test]
fn ctrl_c_lets_what_is_in_flight_end_and_starts_nothing_more() {
    for stop in [Signal::INT, Signal::TERM] {
        let desk = gated();
        let mut driver = started(&desk, &["run", "--yes"]);
        let mut err = BufReader::new(driver.stderr.take().unwrap());
        begun(&desk);
        signal(&driver, stop);
        heard(&mut err, "Stopping: nothing more is started");
        go(&desk);
        assert_eq!(driver.wait().unwrap().code(), Some(130));
        assert_eq!(desk.text("names"), "first\n");
        assert!(desk.say(&["status"]).out.contains("nobody drives it"));
        assert_eq!(desk.say(&["resume", "--yes"]).code, Some(0));
        assert_eq!(desk.text("names"), "first\nsecond\n");
    }
}

#[test]
fn a_second_ctrl_c_leaves_at_once_and_resume_awaits_what_was_in_flight() {
    let desk = gated();
    let mut driver = started(&desk, &["run", "--yes"]);
    let mut err = BufReader::new(driver.stderr.take().unwrap());
    begun(&desk);
    signal(&driver, Signal::INT);
    heard(&mut err, "Stopping");
    signal(&driver, Signal::INT);
    heard(&mut err, "Leaving at once");
    assert_eq!(driver.wait().unwrap().code(), Some(130));
    assert_eq!(desk.text("names"), "");
    let mut driver = started(&desk, &["resume", "--yes", "--json"]);
    let mut out = BufReader::new(driver.stdout.take().unwrap());
    heard(&mut out, "\"running\"");
    go(&desk);
    out.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(driver.wait().unwrap().code(), Some(0));
    assert_eq!(desk.text("names"), "first\nsecond\n", "it was awaited, not begun again");
}

#[test]
fn a_terminal_or_a_reader_that_goes_away_stops_nothing() {
    let desk = gated();
    let mut driver = started(&desk, &["run", "--yes"]);
    begun(&desk);
    signal(&driver, Signal::HUP);
    drop((driver.stdout.take(), driver.stderr.take()));
    go(&desk);
    assert_eq!(driver.wait().unwrap().code(), Some(0));
    assert_eq!(desk.text("names"), "first\nsecond\n");
    // As `drplan run | head -1` does.
    let desk = gated();
    let mut driver = started(&desk, &["run", "--yes", "--json"]);
    let mut out = BufReader::new(driver.stdout.take().unwrap());
    begun(&desk);
    heard(&mut out, "lease_taken");
    drop(out);
    go(&desk);
    assert_eq!(driver.wait().unwrap().code(), Some(0));
    assert_eq!(desk.text("names"), "first\nsecond\n");
}

#[test]
fn a_paused_run_goes_on_by_resume() {
    let desk = gated();
    let mut driver = started(&desk, &["run", "--yes"]);
    begun(&desk);
    let paused = desk.say(&["pause", "--reason", "wait for the others"]);
    assert_eq!(paused.code, Some(0), "{paused:?}");
    assert!(paused.err.contains("what is in flight ends"), "{paused:?}");
    go(&desk);
    assert_eq!(driver.wait().unwrap().code(), Some(11));
    assert_eq!(desk.text("names"), "first\n");
    assert_eq!(desk.say(&["resume", "--yes"]).code, Some(0));
    assert_eq!(desk.text("names"), "first\nsecond\n");
}

#[test]
fn each_end_has_its_exit_code() {
    let (desk, run) = waiting();
    let ended = desk.say(&["abort", "--yes", "--reason", "enough"]);
    assert_eq!(ended.code, Some(15), "{ended:?}");
    assert_eq!(desk.text("names"), "before\n", "what was done stands");
    assert!(desk.say(&["runs"]).out.contains(&format!("{run}  ")) && desk.say(&["runs"]).out.contains("aborted"));

    let (desk, _) = waiting();
    let ended = desk.say(&["rollback", "--yes", "--reason", "not today"]);
    assert_eq!(ended.code, Some(10), "{ended:?}");
    assert_eq!(desk.text("names"), "before\nundone\n");

    let desk = Desk::new(&plan(&FAILING.replace("EXTRA", "on_failure: continue,")));
    let ended = desk.say(&["run", "--yes"]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert_eq!(desk.text("names"), "after\n");

    let desk = Desk::new(&plan(&FAILING.replace("EXTRA", "")));
    let paused = desk.say(&["run", "--yes"]);
    assert_eq!(paused.code, Some(11), "{paused:?}");
    assert!(paused.out.contains("no luck") && paused.out.contains("bad --reason …"), "{}", paused.out);
    refused(desk.say(&["resolve", "bad", "--as", "done", "--reason", "x"]), 2, "`bad` failed, which is known");
    assert_eq!(desk.say(&["retry", "bad", "--reason", "again"]).code, Some(0));
    assert_eq!(desk.say(&["resume", "--yes"]).code, Some(11), "it fails again");
    let skipped = desk.say(&["skip", "bad", "--reason", "by hand"]);
    assert!(skipped.code == Some(0) && skipped.err.contains("cannot end with 0"), "{skipped:?}");
    assert_eq!(desk.say(&["resume", "--yes"]).code, Some(4));
    assert_eq!(desk.text("names"), "after\n");
}

#[test]
fn a_check_that_cannot_be_started_says_neither_yes_nor_no() {
    let step = |argv: &str| {
        format!(
            "\n      - {{ id: bad, uses: command, with: {{ argv: [\"true\"] }}, takes: 1s, undo: {{ none: nothing }}, \
             check: {{ uses: command, effect: read, with: {{ argv: [{argv}] }} }} }}\n"
        )
    };
    let says = ("\"false\"", 11, "its check says: wanted: exit code is 0; found 1");
    let cannot_tell = ("no-such-program", 12, "its check cannot tell");
    for (argv, code, word) in [says, cannot_tell] {
        let desk = Desk::new(&plan(&step(argv)));
        let ran = desk.say(&["run", "--yes"]);
        assert!(ran.code == Some(code) && ran.err.contains(word), "{ran:?}");
    }
}

#[test]
fn a_journal_that_cannot_be_written_starts_nothing() {
    let desk = Desk::new(&plan(APPROVAL));
    let nowhere = said(desk.program(&["run", "--yes"]).env("DRPLAN_JOURNAL", "/proc/self/j.db"));
    refused(nowhere, 16, "/proc/self/j.db");
    assert_eq!(desk.text("names"), "");
}

#[test]
fn a_changed_journal_is_seen() {
    let (desk, run) = waiting();
    let whole = desk.say(&["journal", "verify"]);
    assert!(whole.code == Some(0) && whole.out.contains(&run) && whole.out.contains("every digest fits"), "{whole:?}");
    let changed = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as db: db.execute(\"update event set body = replace(body, 'before', 'BEFORE') where seq = 3\")";
    assert_eq!(said(Command::new("/usr/bin/python3").args(["-c", changed]).arg(desk.journal())).code, Some(0));
    for words in [&["journal", "verify"][..], &["status"], &["resume", "--yes"], &["log"]] {
        refused(desk.say(words), 16, "event 3: its digest does not fit its bytes");
    }
}

#[test]
fn a_machine_reads_all_of_it() {
    let desk = Desk::new(&plan(APPROVAL));
    let ran = desk.say(&["run", "--yes", "--json"]);
    assert_eq!(ran.code, Some(11));
    let lines: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let run = run_of(&desk);
    let last = lines.last().unwrap();
    assert_eq!(last["exit"], 11);
    assert!(last["next"].as_array().unwrap().contains(&Value::from(format!("drplan approve {run} gate --as ops"))), "{last}");
    let told: Vec<Value> = desk.say(&["log", "--json"]).out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(told.iter().map(|l| l["seq"].as_u64().unwrap()).collect::<Vec<_>>(), (1..=told.len() as u64).collect::<Vec<_>>());
    // All that the driver saw is what the log has, but for the run's start, which was written before it.
    assert_eq!(lines[..lines.len() - 1], told[1..]);
    let status: Value = serde_json::from_str(&desk.say(&["status", "--json"]).out).unwrap();
    assert_eq!(
        (&status["run"]["id"], &status["run"]["holder"], &status["run"]["finished"]),
        (&Value::from(run.as_str()), &Value::Null, &Value::Null)
    );
    assert_eq!(status["next"], last["next"]);
    let verified: Value = serde_json::from_str(&desk.say(&["journal", "verify", "--json"]).out).unwrap();
    assert_eq!((&verified[0]["run"], verified[0]["events"].as_u64()), (&Value::from(run), Some(told.len() as u64)));
    let people = desk.say(&["log"]).out;
    assert!(people.contains("cli move started by me@here") && people.contains("? gate  Go on?"), "{people}");
}
