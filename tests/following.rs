//! `drplan check --watch` over real files, changed as editors change them.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
}

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::desk::Desk;

const GOOD: &str = "drplan: v1\nname: good\nscenarios:\n  a:\n    cause: planned\n    steps:\n      - { id: w, uses: wait, with: { for: 1s }, takes: 1s }\n";

struct Follower {
    child: Arc<Mutex<Child>>,
    said: BufReader<ChildStderr>,
    /// While it is there, and not for ever, the program may run.
    _leave: Sender<()>,
}

/// What says nothing for so long says nothing any more.
const PATIENCE: Duration = Duration::from_secs(60);

impl Follower {
    fn of(desk: &Desk, paths: &[&str]) -> Follower {
        let words = [&["check", "--watch", "--format", "short"], paths].concat();
        let mut child = desk.program(&words).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let child = Arc::new(Mutex::new(child));
        let (leave, left) = channel::<()>();
        let late = Arc::clone(&child);
        std::thread::spawn(move || {
            if left.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                late.lock().unwrap().kill().unwrap();
            }
        });
        Follower { child, said, _leave: leave }
    }

    /// Reads on until a line holds this.
    fn says(&mut self, what: &str) {
        let mut all = String::new();
        loop {
            let from = all.len();
            assert!(self.said.read_line(&mut all).unwrap() > 0, "it ended before it said {what}:\n{all}");
            if all[from..].contains(what) {
                return;
            }
        }
    }

    fn interrupted(self) -> Option<i32> {
        let mut child = self.child.lock().unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        child.wait().unwrap().code()
    }
}

/// As editors write: a new file in the place of the old one.
fn saved(desk: &Desk, name: &str, text: &str) {
    fs::write(desk.path(".new"), text).unwrap();
    fs::rename(desk.path(".new"), desk.path(name)).unwrap();
}

#[test]
fn a_plan_is_checked_again_however_it_changes() {
    let desk = Desk::new(GOOD);
    let mut follower = Follower::of(&desk, &["plan.yaml"]);
    follower.says("plan.yaml: 1 scenario, no findings");
    follower.says("Waiting for changes (1 file); Ctrl-C ends it.");
    saved(&desk, "plan.yaml", &GOOD.replace("planned", "planed"));
    follower.says("Z · plan.yaml changed");
    follower.says("plan.yaml:5:12: deny[unknown-word]");
    fs::write(desk.path("plan.yaml"), GOOD).unwrap();
    follower.says("plan.yaml changed");
    follower.says("plan.yaml: 1 scenario, no findings");
    fs::remove_file(desk.path("plan.yaml")).unwrap();
    follower.says("plan.yaml is gone");
    follower.says("cannot read plan.yaml");
    fs::write(desk.path("plan.yaml"), GOOD).unwrap();
    follower.says("plan.yaml is there now");
    follower.says("plan.yaml: 1 scenario, no findings");
    assert_eq!(follower.interrupted(), Some(130));
}

#[test]
fn what_was_read_for_it_is_waited_for_too_there_or_not() {
    let include = GOOD.replace("scenarios", "include: [parts/part.yaml]\nscenarios");
    let desk = Desk::new(&include);
    let mut follower = Follower::of(&desk, &["plan.yaml"]);
    follower.says("include-missing");
    follower.says("Waiting");
    fs::create_dir(desk.path("parts")).unwrap();
    fs::write(desk.path("parts/part.yaml"), "drplan: v1\n").unwrap();
    follower.says("parts/part.yaml is there now");
    follower.says("no findings");
    saved(&desk, "parts/part.yaml", "drplan: v1\nassts: {}\n");
    follower.says("parts/part.yaml changed");
    follower.says("parts/part.yaml:2:1: deny[unknown-key]");
    assert_eq!(follower.interrupted(), Some(130));
}

#[test]
fn a_plan_that_is_not_there_yet_is_waited_for() {
    let desk = Desk::new(GOOD);
    fs::remove_file(desk.path("plan.yaml")).unwrap();
    let mut named = Follower::of(&desk, &["plan.yaml"]);
    let mut searched = Follower::of(&desk, &[]);
    named.says("cannot read plan.yaml");
    named.says("Waiting");
    searched.says("there is no plan under this directory");
    searched.says("Waiting");
    fs::write(desk.path("plan.yaml"), GOOD).unwrap();
    named.says("plan.yaml is there now");
    named.says("no findings");
    searched.says("plan.yaml is new");
    searched.says("no findings");
    assert_eq!((named.interrupted(), searched.interrupted()), (Some(130), Some(130)));
}

#[test]
fn it_does_not_watch_what_it_writes_itself() {
    let desk = Desk::new(GOOD);
    let said = desk.say(&["check", "--watch", "--fix"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("cannot be used with"), "{}", said.err);
    assert_eq!(desk.text("plan.yaml"), GOOD);
}
