//! What comes between a run and its end: terminals that are lost, readers that go away, people who pause it, second
//! drivers, clocks that are wrong or jump. The run goes on as it should, and says what it met.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod clocks;
#[path = "../support/desk.rs"]
mod desk;
#[path = "../support/fact.rs"]
mod fact;
mod machine;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use desk::{Desk, said};
use fact::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A step that is tried again after a while, and one after it.
fn retried(delay: &str) -> Desk {
    Desk::new(&format!(
        r#"
drplan: v1
name: retried
scenarios:
  move:
    cause: planned
    steps:
      - id: first
        uses: command
        effect: idempotent
        with: {{ argv: [sh, -c, "echo try >> tries; test -e mended"] }}
        takes: 1s
        retry: {{ attempts: 2, delay: {delay} }}
        undo: {{ none: stays }}
      - {{ id: second, uses: command, with: {{ argv: [sh, -c, "echo second >> out"] }}, takes: 1s, undo: {{ none: stays }} }}
"#
    ))
}

fn started(desk: &Desk, words: &[&str]) -> Child {
    desk.program(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads up to the line that holds a word.
fn heard(stream: &mut impl BufRead, word: &str) {
    let mut all = String::new();
    loop {
        let from = all.len();
        assert!(stream.read_line(&mut all).unwrap() > 0, "it ended before it said {word}:\n{all}");
        if all[from..].contains(word) {
            return;
        }
    }
}

fn status(desk: &Desk) -> Value {
    serde_json::from_str(&desk.say(&["status", "--json"]).out).unwrap()
}

#[test]
fn a_pause_between_two_attempts_leaves_at_once_and_keeps_the_rest_of_the_delay() {
    let desk = retried("1h");
    let mut driver = started(&desk, &["run", "--yes"]);
    let mut err = BufReader::new(driver.stderr.take().unwrap());
    heard(&mut err, "✗ first");
    let paused = desk.say(&["pause", "--reason", "the others are not ready"]);
    assert_eq!(paused.code, Some(0), "{paused:?}");
    // Nothing moves in a pause: it does not wait for the hour to pass.
    let mut out = String::new();
    driver.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(driver.wait().unwrap().code(), Some(11), "{out}");
    let run = status(&desk)["run"]["id"].as_str().unwrap().to_owned();
    assert!(out.contains(&format!("drplan resume {run}")), "{out}");
    assert_eq!(desk.text("tries"), "try\n");
    // The pause over, the delay goes on: it is not tried at once, and it is said until when.
    let mut driver = started(&desk, &["resume", "--yes"]);
    let mut err = BufReader::new(driver.stderr.take().unwrap());
    heard(&mut err, "run driven by");
    let now = status(&desk);
    assert!(now["say"].as_str().unwrap().starts_with("Nothing is asked: "), "{}", now["say"]);
    // Who does not want to wait says so.
    std::fs::write(desk.path("mended"), "").unwrap();
    let said = desk.say(&["retry", "first", "--reason", "mended"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    driver.stdout.take().unwrap().read_to_string(&mut String::new()).unwrap();
    assert_eq!(driver.wait().unwrap().code(), Some(0));
    assert_eq!((desk.text("tries").as_str(), desk.text("out").as_str()), ("try\ntry\n", "second\n"));
}

#[test]
fn a_pause_that_is_over_before_the_delay_costs_no_attempt() {
    let desk = retried("3s");
    let mut driver = started(&desk, &["run", "--yes", "--wait"]);
    let mut err = BufReader::new(driver.stderr.take().unwrap());
    heard(&mut err, "✗ first");
    assert_eq!(desk.say(&["pause", "--reason", "a moment"]).code, Some(0));
    heard(&mut err, "» pause");
    std::fs::write(desk.path("mended"), "").unwrap();
    let resumed = desk.say(&["resume", "--yes"]);
    // Somebody drives it already; that it goes on is said to them.
    assert!(resumed.code == Some(0) || resumed.code == Some(14), "{resumed:?}");
    let paused = status(&desk)["story"]["paused"].clone();
    if !paused.is_null() {
        kill_process(Pid::from_child(&driver), Signal::TERM).unwrap();
        driver.wait().unwrap();
        panic!("it is still paused: {resumed:?}");
    }
    assert_eq!(driver.wait().unwrap().code(), Some(0));
    assert_eq!((desk.text("tries").as_str(), desk.text("out").as_str()), ("try\ntry\n", "second\n"));
}

#[test]
fn a_reader_who_wants_one_line_does_not_change_how_it_ends() {
    let desk = retried("1s");
    let program = env!("CARGO_BIN_EXE_drplan");
    for (words, ended) in [("run --yes", "11"), ("resume --yes --json", "11"), ("status", "0"), ("log --json", "0"), ("runs", "0")] {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("{program} {words} | head -1; echo ${{PIPESTATUS[0]}}")]).current_dir(desk.path("."));
        shell.envs(desk.program(&[]).get_envs().filter_map(|(k, v)| Some((k, v?))));
        let out = said(&mut shell);
        assert_eq!(out.out.lines().last(), Some(ended), "{words}: {out:?}");
    }
    assert_eq!(desk.say(&["journal", "verify"]).code, Some(0));
}

#[test]
fn a_lost_session_in_the_middle_stops_nothing() {
    let desk = Desk::new(&std::fs::read_to_string(retried("1s").path("plan.yaml")).unwrap().replace(
        "echo try >> tries; test -e mended",
        "echo try >> tries; trap 'echo hup >> tries' HUP; echo > begun; until test -e mended; do sleep 0.01; done",
    ));
    // A session of its own, so that the hang-up reaches all of it, as when an ssh breaks off.
    let mut program = desk.program(&["run", "--yes"]);
    let mut setsid = Command::new("setsid");
    setsid.arg("--wait").arg(program.get_program()).args(program.get_args()).current_dir(desk.path("."));
    setsid.envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))));
    program.stdin(Stdio::null());
    let mut driver = setsid.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the step begins", || desk.path("begun").exists());
    let holder = status(&desk)["run"]["holder"].as_str().unwrap().to_owned();
    let pid = Pid::from_raw(holder.rsplit(' ').next().unwrap().parse().unwrap()).unwrap();
    drop((driver.stdout.take(), driver.stderr.take()));
    rustix::process::kill_process_group(pid, Signal::HUP).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    std::fs::write(desk.path("mended"), "").unwrap();
    assert_eq!(driver.wait().unwrap().code(), Some(0));
    assert_eq!((desk.text("tries").as_str(), desk.text("out").as_str()), ("try\n", "second\n"), "no command heard the hang-up");
    assert_eq!(desk.say(&["journal", "verify"]).code, Some(0));
}

#[test]
fn of_many_terminals_that_resume_one_drives_and_the_others_hear_what_to_type() {
    let desk = retried("1s");
    assert_eq!(desk.say(&["run", "--yes"]).code, Some(11));
    assert_eq!(desk.say(&["retry", "first", "--reason", "again"]).code, Some(0));
    let many: Vec<Child> = (0..4).map(|_| started(&desk, &["resume", "--yes", "--wait"])).collect();
    // One drives and waits for a person; each of the others ends.
    let begun = Instant::now();
    let mut ended = Vec::new();
    let mut left = many;
    while ended.len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of three ended", ended.len());
        let (done, still): (Vec<_>, Vec<_>) = left.into_iter().map(|mut c| (c.try_wait().unwrap().is_some(), c)).partition(|(d, _)| *d);
        ended.extend(done.into_iter().map(|(_, child)| child.wait_with_output().unwrap()));
        left = still.into_iter().map(|(_, child)| child).collect();
        std::thread::yield_now();
    }
    let run = status(&desk)["run"]["id"].as_str().unwrap().to_owned();
    for out in &ended {
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(14), "{err}");
        assert!(err.contains("the run is driven by me@") && err.contains(&format!("`drplan status {run}` shows where it stands")), "{err}");
    }
    until("it waits", || status(&desk)["say"].as_str().unwrap().contains("waits for a person"));
    std::fs::write(desk.path("mended"), "").unwrap();
    assert_eq!(desk.say(&["retry", "first", "--reason", "mended"]).code, Some(0));
    let winner = left.pop().unwrap().wait_with_output().unwrap();
    assert_eq!(winner.status.code(), Some(0), "{winner:?}");
    assert_eq!(desk.text("out"), "second\n", "once");
}
