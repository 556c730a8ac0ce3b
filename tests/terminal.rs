//! The program at a real terminal: what it shows while a run goes on, and that a run outlives the terminal, its reader and
//! a second driver.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
    pub mod fact;
    pub mod seat;
}

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::desk::{Desk, Said, said};
use support::fact::until;
use support::seat::Seat;

/// A step that waits to be let on, and one after it.
const GATED: &str = r#"
drplan: v1
name: gated
owner: ops
contacts: { ops: { title: Operations } }
tiers: { slow: { rto: 4h } }
assets: { app: { kind: other, tier: slow } }
scenarios:
  gone:
    cause: outage
    loses: { assets: [app] }
    detect: 1m
    steps:
      - { id: first, asset: app, uses: command, with: { argv: [sh, -c, "echo > begun; cat go > /dev/null; echo first >> out"] }, takes: 1m, undo: { none: no } }
      - { id: second, asset: app, uses: command, with: { argv: [sh, -c, "echo second >> out"] }, takes: 30s, undo: { none: no } }
"#;

const ASKING: &str = r#"
drplan: v1
name: asking
contacts: { ops: { title: Operations } }
scenarios:
  move:
    cause: planned
    steps:
      - { id: gate, uses: approval, with: { ask: "Go on?", from: [ops] }, takes: 1m }
      - { id: first, uses: command, with: { argv: [sh, -c, "echo > begun; cat go > /dev/null; echo first >> out"] }, takes: 1m, undo: { none: no } }
"#;

fn gated(plan: &str) -> Desk {
    let desk = Desk::new(plan);
    assert_eq!(said(Command::new("mkfifo").arg(desk.path("begun")).arg(desk.path("go"))).code, Some(0));
    desk
}

/// Waits until the first step is in flight, or lets it on.
fn begun(desk: &Desk) {
    std::fs::read(desk.path("begun")).unwrap();
}

fn go(desk: &Desk) {
    std::fs::write(desk.path("go"), "").unwrap();
}

fn status(desk: &Desk, run: &str) -> Value {
    serde_json::from_str(&desk.say(&["status", run, "--json"]).out).unwrap()
}

fn run_of(desk: &Desk) -> String {
    let runs: Value = serde_json::from_str(&desk.say(&["runs", "--json"]).out).unwrap();
    runs[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_lost_terminal_stops_nothing_even_while_it_asks() {
    let desk = gated(ASKING);
    let mut seat = Seat::at(&desk, &["run", "--yes"]);
    seat.sees("gate  waits");
    seat.is_lost();
    let run = run_of(&desk);
    let approved = desk.say(&["approve", "gate", "--as", "ops"]);
    assert_eq!(approved.code, Some(0), "{approved:?}");
    begun(&desk);
    assert!(status(&desk, &run)["say"].as_str().unwrap().contains("drives it"), "it goes on without anybody who sees it");
    go(&desk);
    assert_eq!(seat.ends(), Some(0));
    assert_eq!(desk.text("out"), "first\n");
    assert_eq!(desk.say(&["journal", "verify"]).code, Some(0));
}

/// Waits until both steps did what they do.
fn both_done(desk: &Desk) {
    until("both steps are done", || desk.text("out") == "first\nsecond\n");
}

#[test]
fn a_terminal_that_was_stopped_holds_up_nothing() {
    let desk = gated(GATED);
    let mut seat = Seat::at(&desk, &["run", "--yes"]);
    seat.sees("first");
    begun(&desk);
    // Ctrl-S, and nobody notices for a while.
    seat.presses("\x13");
    std::thread::sleep(Duration::from_secs(2));
    go(&desk);
    both_done(&desk);
    seat.presses("\x11");
    seat.sees("second");
    assert_eq!(seat.ends(), Some(0));
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_nothing() {
    for words in [&["run", "--yes"][..], &["run", "--yes", "--json"]] {
        let desk = gated(GATED);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut filling = OpenOptions::new();
        filling.write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let mut filling = filling.open(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap();
        let mut driver = desk.program(words).stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        begun(&desk);
        while filling.write(b".").is_ok() {}
        drop(filling);
        go(&desk);
        both_done(&desk);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(driver.wait().unwrap().code(), Some(0), "{said}");
        assert!(said.contains("second"), "{said}");
    }
}

#[test]
fn a_reader_who_wants_one_line_stops_nothing() {
    let desk = gated(GATED);
    let program = env!("CARGO_BIN_EXE_drplan");
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("set -o pipefail; {program} run --yes 2>&1 | head -1")]).current_dir(desk.path("."));
    shell.envs(desk.program(&[]).get_envs().filter_map(|(k, v)| Some((k, v?)))).stdout(Stdio::piped());
    let shell = shell.spawn().unwrap();
    begun(&desk);
    go(&desk);
    let out = shell.wait_with_output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stdout).lines().count()), (Some(0), 1));
    assert_eq!(desk.text("out"), "first\nsecond\n");
}

#[test]
fn of_two_terminals_that_resume_one_drives() {
    let desk = gated(ASKING);
    assert_eq!(desk.say(&["run", "--yes"]).code, Some(11));
    let run = run_of(&desk);
    assert_eq!(desk.say(&["approve", "gate", "--as", "ops"]).code, Some(0));
    let start = || desk.program(&["resume", &run, "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both = [start(), start()];
    begun(&desk);
    // The one that lost has ended, or will: it never waits for the other.
    go(&desk);
    let outs: Vec<Said> = both
        .into_iter()
        .map(|child| {
            let out = child.wait_with_output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Said { code: out.status.code(), out: text(&out.stdout), err: text(&out.stderr) }
        })
        .collect();
    let mut codes: Vec<_> = outs.iter().map(|said| said.code).collect();
    codes.sort_unstable();
    // A loser who came when all was over is told that the run has ended.
    assert!(outs.iter().all(|said| said.code == Some(0) || said.err.contains(&run)), "{outs:?}");
    assert!(codes == [Some(0), Some(14)] || codes == [Some(0), Some(2)], "{outs:?}");
    assert_eq!(desk.text("out"), "first\n", "once");
    let page = std::fs::read_to_string(status(&desk, &run)["runbook"].as_str().unwrap()).unwrap();
    assert!(page.contains("2 of 2 steps are done"), "the loser did not write over the winner's runbook: {page}");
}

#[test]
fn the_table_says_what_sets_the_end_and_what_is_slow() {
    let desk = gated(&GATED.replace("echo > begun; cat go > /dev/null; ", "test -e fast || { echo > begun; cat go; }; "));
    std::fs::write(desk.path("fast"), "").unwrap();
    for _ in 0..4 {
        assert_eq!(desk.say(&["run", "--yes"]).code, Some(0));
    }
    std::fs::remove_file(desk.path("fast")).unwrap();
    let mut seat = Seat::at(&desk, &["run", "--yes"]);
    begun(&desk);
    let screen = seat.sees("longer than 4 of 4 earlier runs").to_owned();
    for words in ["first  ", "of about 1m 00s", "sets the end", "next: second after first", "since the incident (assumed)"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    assert!(screen.contains("left of its RTO 4h 00m") && screen.contains("0 of 2 steps done · ends about"), "{screen}");
    seat.types("aprove gate");
    seat.sees("is not one of: approve");
    go(&desk);
    assert_eq!(seat.ends(), Some(0));
}

#[test]
fn who_watches_sees_all_of_it_and_changes_nothing() {
    let desk = gated(GATED);
    let run = desk.program(&["run", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    begun(&desk);
    let mut watch = desk.program(&["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut live = Seat::at(&desk, &["watch"]);
    live.sees("first  ");
    let name = run_of(&desk);
    go(&desk);
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(0));
    let mut seen = String::new();
    watch.stderr.as_mut().unwrap().read_to_string(&mut seen).unwrap();
    let out = watch.wait_with_output().unwrap();
    assert!(seen.contains("▸ first") && seen.contains("✓ first") && seen.contains("✓ second"), "{seen}");
    assert!(out.status.success() && String::from_utf8_lossy(&out.stdout).contains("recovered"), "{out:?}");
    assert_eq!(live.ends(), Some(0));
    let log = desk.say(&["log", &name, "--json"]).out;
    assert_eq!(log.matches("lease_taken").count(), 1, "only one ever drove: {log}");
}

#[test]
fn what_is_tried_again_by_itself_is_nothing_to_type() {
    let plan = GATED.replace(
        r#"argv: [sh, -c, "echo second >> out"] }, takes: 30s, undo: { none: no }"#,
        r#"argv: ["false"] }, effect: read, takes: 1s, phase: verify, retry: { attempts: 2, delay: 1h }"#,
    );
    let desk = gated(&plan);
    let mut run = desk.program(&["run", "--yes"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    begun(&desk);
    go(&desk);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(run.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("✗ second")));
    let now = status(&desk, &run_of(&desk));
    assert!(!now["next"].to_string().contains("second"), "{:#}", now["next"]);
    assert!(now["say"].as_str().unwrap().starts_with("Nothing is asked: "), "{}", now["say"]);
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::INT).unwrap();
    run.wait().unwrap();
}
