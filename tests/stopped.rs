//! A driver that is stopped (SIGSTOP) at a system call, loses its lease, and wakes up when another has the run: it appends
//! nothing and begins nothing. On a file and on a server.
//!
//! Thirty seconds of silence are made by setting its last sign of life back, as if they had passed; the judge is the same
//! comparison. How many stops each store sees: DRPLAN_STOPS.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    #[expect(dead_code, reason = "other tests need the rest of it")]
    pub mod desk;
    pub mod fact;
    #[cfg(feature = "postgres")]
    pub mod lab;
    pub mod scene;
    #[expect(dead_code, reason = "other tests need the rest of it")]
    pub mod sixty;
    #[expect(dead_code, reason = "other tests need the rest of it")]
    pub mod strace;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use support::fact::until;
use support::scene::{Scene, Store};
use support::sixty;
use support::strace::{Call, trace};

/// System calls of a driver on its way from an intent to an effect.
const CALLS: &str = "write,writev,sendto,sendmsg,recvfrom,recvmsg,read,epoll_wait,futex,fdatasync,pwrite64,openat,flock,clone3";

/// A driver that is stopped at this call of one of its threads, and strace, which writes down that it is.
fn stopped(scene: &Scene, (call, nth): &Stop) -> (Child, PathBuf) {
    let trace = scene.desk.path("trace");
    let run = scene.program(&["run", "plan.yaml", "--yes"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "--detach-on=execve", "-qq", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=STOP:when={nth}"), "-o"]).arg(&trace);
    strace.arg("--").arg(run.get_program()).args(run.get_args()).current_dir(scene.desk.path(""));
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace is installed");
    (child, trace)
}

fn ended(child: &mut Child) -> Option<std::process::ExitStatus> {
    child.try_wait().unwrap()
}

/// The process that strace runs.
fn traced(strace: &Child) -> Option<Pid> {
    let id = strace.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().and_then(Pid::from_raw)
}

fn stops(trace: &Path) -> usize {
    std::fs::read_to_string(trace).unwrap_or_default().matches("--- stopped by SIGSTOP").count()
}

/// Lets it go on, however often it is stopped again, until it ends.
fn wake(child: &mut Child, pid: Pid) -> std::process::ExitStatus {
    until("a driver that woke up ends", || {
        let _ = kill_process(pid, Signal::CONT);
        ended(child)
    })
}

#[derive(Debug, Default)]
struct Count {
    stops: usize,
    before: usize,
    ended: usize,
    blocked: usize,
    late: usize,
}

/// A system call by its name, and the how manieth of one thread.
type Stop = (String, usize);

/// Every call of a whole run between its first intent and its last, of the threads that decide and that write.
fn calls_between_intents(store: &Store) -> Vec<Stop> {
    let scene = Scene::new(store, 0, &sixty::plan());
    let whole = trace(CALLS, &scene.program(&["run", "plan.yaml", "--yes"]));
    assert!(whole.output.status.success(), "{:?}", whole.output);
    let intent = |call: &&Call| call.data().windows(16).any(|w| w == b"\"event\":\"intent\"");
    let first = whole.calls.iter().position(|c| intent(&c)).expect("an intent is written");
    let last = whole.calls.iter().rposition(|c| intent(&c)).expect("an intent is written");
    let threads = [whole.calls[0].pid, whole.calls[first].pid];
    let mut counts: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    let mut out = Vec::new();
    for (i, call) in whole.calls.iter().enumerate() {
        let count = counts.entry((call.pid, &call.name)).or_default();
        *count += 1;
        if threads.contains(&call.pid) && (first..=last + 20).contains(&i) {
            out.push((call.name.clone(), *count));
        }
    }
    out
}

/// One stop; false if the driver had ended before its call.
fn once(store: &Store, n: usize, nth: &Stop, count: &mut Count) -> bool {
    let scene = Scene::new(store, n, &sixty::plan());
    let (mut old, trace) = stopped(&scene, nth);
    let went = until("it stops or ends", || match stops(&trace) {
        0 => ended(&mut old).map(|_| false),
        _ => Some(true),
    });
    if !went {
        return false;
    }
    let pid = traced(&old).expect("a stopped driver is there");
    let silent = scene.silence();
    let lease: serde_json::Value = serde_json::from_str(&scene.say(&["lease", "show", "--json"]).out).unwrap_or_default();
    if !lease["lease"]["name"].as_str().is_some_and(|name| name.ends_with(&format!("pid {}", pid.as_raw_nonzero()))) {
        // It has not begun a run, or not taken its lease, or its call is after its end.
        wake(&mut old, pid);
        count.before += 1;
        return true;
    }
    if !silent {
        // Within a write to a file, whose lock it keeps: nobody gets in, and nobody acts.
        assert!(matches!(store, Store::File), "call {nth:?}");
        wake(&mut old, pid);
        count.blocked += 1;
        return true;
    }
    sixty::finish(&scene);
    count.stops += 1;
    let (log, names) = (scene.say(&["log", &scene.run(), "--json"]).out, scene.desk.text("names"));
    let status = wake(&mut old, pid);
    let err = std::io::read_to_string(old.stderr.take().unwrap()).unwrap();
    assert_eq!(scene.say(&["log", &scene.run(), "--json"]).out, log, "call {nth:?}: it appended:\n{err}");
    assert!(matches!(status.code(), Some(14)) || log.contains("finished") && status.code().is_some(), "call {nth:?}: {status}: {err}");
    // What it had handed to its supervisor lands by itself: wait for whatever may still come.
    std::thread::sleep(Duration::from_millis(100));
    let after = scene.desk.text("names");
    if after != names {
        count.late += 1;
        let new: Vec<&str> = after.lines().skip(names.lines().count()).collect();
        let events: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let treated = |step: &&str| events.iter().any(|e| e["event"]["event"] == "unknown" && e["event"]["step"] == **step);
        assert!(new.iter().all(treated), "call {nth:?}: {new:?} landed and nobody expected it:\n{log}");
    }
    sixty::judge(&scene, &format!("call {nth:?}: {err}"));
    true
}

fn stopped_everywhere(store: &Store) {
    let wanted: usize = std::env::var("DRPLAN_STOPS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let calls = calls_between_intents(store);
    let mut count = Count::default();
    let mut n = 0;
    // Through all of them in strides, until there were enough; some stops fall outside of the run, or into a write.
    for stride in (0..wanted * 12).map(|k| k * calls.len() / wanted + k / wanted) {
        if count.stops >= wanted {
            break;
        }
        n += 1;
        if n % 20 == 0 {
            println!("{n} tried: {count:?}");
        }
        if !once(store, n, &calls[stride % calls.len()], &mut count) {
            count.ended += 1;
        }
    }
    println!("{} calls between intents, {n} tried: {count:?}", calls.len());
    assert!(count.stops >= wanted, "{count:?}");
}

#[test]
fn a_driver_that_was_stopped_and_lost_its_run_does_nothing_on_a_file() {
    stopped_everywhere(&Store::File);
}

#[cfg(feature = "postgres")]
#[test]
fn a_driver_that_was_stopped_and_lost_its_run_does_nothing_on_a_server() {
    stopped_everywhere(&Store::Server(support::lab::Lab::up(&["--servers"])));
}

/// A step that lands when it is let, and one after it.
const LATE: &str = r#"
drplan: v1
name: late
scenarios:
  move:
    cause: planned
    steps:
      - id: slow
        uses: command
        with: { argv: [sh, -c, "echo > begun; while ! test -e go; do sleep 0.02; done; echo slow >> names"] }
        takes: 1s
        timeout: 1m
        undo: { none: written }
      - { id: next, uses: command, with: { argv: [sh, -c, "echo next >> names"] }, takes: 1s, undo: { none: written } }
"#;

/// The program on another host: its name is another one, and it sees no process of this one's run.
fn elsewhere(scene: &Scene, words: &[&str]) -> Command {
    let there = scene.program(words);
    let mut command = Command::new("unshare");
    command.args(["--uts", "sh", "-c", "echo elsewhere >/proc/sys/kernel/hostname && exec \"$@\"", "sh"]);
    command.arg(there.get_program()).args(there.get_args()).current_dir(scene.desk.path(""));
    command.envs(there.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("XDG_STATE_HOME", scene.desk.path("elsewhere"));
    command
}

/// A stopped driver whose command has begun and lands when another has the run: on this host, or on another one.
fn lands_late(store: &Store, here: bool) {
    let scene = Scene::new(store, 9000 + usize::from(here), LATE);
    let mut run = scene.program(&["run", "plan.yaml", "--yes"]);
    let mut old = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the step begins", || scene.desk.path("begun").exists().then_some(()));
    let pid = i32::try_from(old.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    until("thirty seconds pass", || scene.silence().then_some(()));
    let resume = || if here { scene.program(&["resume", "--yes", "--wait"]) } else { elsewhere(&scene, &["resume", "--yes", "--wait"]) };
    let mut new = resume().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let unknown = || sixty::events(&scene).into_iter().find(|e| e["event"] == "unknown" && e["step"] == "slow");
    let unknown = until("the new driver treats it as unknown", unknown);
    let open_until: Timestamp = unknown["open_until"].as_str().expect("it is open").parse().unwrap();
    // Nobody hurries it, and nothing that stands on it begins.
    let hurried = scene.say(&["resolve", "slow", "--as", "not-done", "--reason", "nothing is there"]);
    assert!(hurried.code != Some(0) && hurried.err.contains("--accept-late-effect"), "{hurried:?}");
    let status = scene.say(&["status"]).out;
    let offered = format!("drplan resolve {} slow --as not-done --accept-late-effect", scene.run());
    assert!(status.contains("`slow` may still take effect until") && status.contains(&offered), "{status}");
    assert_eq!(scene.desk.text("names"), "");
    std::fs::write(scene.desk.path("go"), "").unwrap();
    until("it lands", || (scene.desk.text("names") == "slow\n").then_some(()));
    assert!(Timestamp::now() < open_until, "it was open when it landed");
    if !here {
        let told = scene.say(&["resolve", "slow", "--as", "done", "--reason", "looked"]);
        assert_eq!(told.code, Some(0), "{told:?}");
    }
    let status = until("the new driver ends the run", || ended(&mut new));
    assert_eq!((status.code(), scene.desk.text("names").as_str()), (Some(0), "slow\nnext\n"));
    let log = scene.say(&["log", &scene.run(), "--json"]).out;
    let status = wake(&mut old, pid);
    assert!(status.code() == Some(14) || status.success(), "{status}");
    assert_eq!((scene.say(&["log", &scene.run(), "--json"]).out, scene.desk.text("names").as_str()), (log, "slow\nnext\n"));
    assert_eq!(scene.say(&["journal", "verify"]).code, Some(0));
}

#[test]
fn what_a_stopped_driver_had_begun_lands_late_and_was_expected() {
    lands_late(&Store::File, true);
}

#[cfg(feature = "postgres")]
#[test]
fn what_a_stopped_driver_had_begun_lands_late_and_was_expected_by_another_host() {
    let store = Store::Server(support::lab::Lab::up(&["--servers"]));
    lands_late(&store, true);
    lands_late(&store, false);
}
