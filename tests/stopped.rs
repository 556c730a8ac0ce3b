//! A driver that is stopped (SIGSTOP) at a system call, loses its lease, and wakes up when another has the run: it appends
//! nothing and begins nothing. On a file and on a server.
//!
//! Thirty seconds of silence are made by setting its last sign of life back, as if they had passed; the judge is the same
//! comparison. How many stops each store sees: DRPLAN_STOPS.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    #[expect(dead_code, reason = "other tests need the rest of it")]
    pub mod desk;
    #[cfg(feature = "postgres")]
    pub mod lab;
    #[expect(dead_code, reason = "other tests need the rest of it")]
    pub mod strace;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, ConnectOptions};
use support::desk::{Desk, Said, said};
use support::strace::{Call, trace};

/// Commands of both kinds, each of which writes its name down.
const NAMES: &str = r#"
drplan: v1
name: names
scenarios:
  move:
    cause: planned
    steps:
      - { id: a, uses: command, with: { argv: [sh, -c, "echo a >> names"] }, takes: 1s, timeout: 3s, undo: { none: written } }
      - { id: b, uses: command, with: { argv: [sh, -c, "echo b >> names"] }, takes: 1s, timeout: 3s, undo: { none: written } }
      - id: c
        uses: command
        with: { argv: [sh, -c, "grep -qx c names || echo c >> names"] }
        effect: idempotent
        takes: 1s
        timeout: 3s
        undo: { none: written }
      - { id: d, uses: command, with: { argv: [sh, -c, "echo d >> names"] }, takes: 1s, timeout: 3s, undo: { none: written } }
"#;

/// System calls of a driver on its way from an intent to an effect.
const CALLS: &str = "write,writev,sendto,sendmsg,recvfrom,recvmsg,read,epoll_wait,futex,fdatasync,pwrite64,openat,flock,clone3";

/// How long anything may take.
const LONG: Duration = Duration::from_secs(60);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "{what}: not in {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where a run is remembered.
enum Store {
    File,
    #[cfg(feature = "postgres")]
    Server(support::lab::Lab),
}

/// One run on one journal.
struct Scene {
    desk: Desk,
    journal: String,
}

impl Scene {
    /// The `n`th one, with tables of its own.
    fn new(store: &Store, n: usize) -> Scene {
        let (desk, schema) = (Desk::new(NAMES), format!("s{n}"));
        let journal = match store {
            Store::File => desk.path(&format!("{schema}.db")).display().to_string(),
            #[cfg(feature = "postgres")]
            Store::Server(lab) => {
                let server = format!("postgres://dr:{}@127.0.0.1:{}/platform", lab["LAB_DR_PASSWORD"], lab["LAB_PRIMARY_PORT"]);
                let scene = Scene { desk: Desk::new(NAMES), journal: server };
                assert!(scene.change(&format!("CREATE SCHEMA {schema}")));
                format!("{}?options=-c%20search_path%3D{schema}", scene.journal)
            }
        };
        Scene { desk, journal }
    }

    fn program(&self, words: &[&str]) -> Command {
        let mut command = self.desk.program(words);
        command.env("DRPLAN_JOURNAL", &self.journal).env("XDG_STATE_HOME", self.desk.path("state"));
        command
    }

    fn say(&self, words: &[&str]) -> Said {
        said(&mut self.program(words))
    }

    /// Behind the back of every driver; false if that cannot be: there is no journal yet, or a driver was stopped in the
    /// middle of a write to a file, and keeps everybody out of it.
    fn change(&self, sql: &str) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sql = AssertSqlSafe(sql.to_owned());
        runtime.block_on(async {
            if !self.journal.starts_with("postgres://") {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.journal).busy_timeout(Duration::from_millis(200));
                let Ok(mut connection) = options.connect().await else { return false };
                return sqlx::raw_sql(sql).execute(&mut connection).await.is_ok();
            }
            #[cfg(feature = "postgres")]
            {
                let options: sqlx::postgres::PgConnectOptions = self.journal.parse().unwrap();
                sqlx::raw_sql(sql).execute(&mut options.connect().await.unwrap()).await.is_ok()
            }
            #[cfg(not(feature = "postgres"))]
            panic!("no server is in this build")
        })
    }

    /// A driver that is stopped at this call of one of its threads, and strace, which writes down that it is.
    fn stopped(&self, (call, nth): &Stop) -> (Child, PathBuf) {
        let trace = self.desk.path("trace");
        let run = self.program(&["run", "plan.yaml", "--yes"]);
        let mut strace = Command::new("strace");
        strace.args(["-f", "--detach-on=execve", "-qq", "-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:signal=STOP:when={nth}"), "-o"]).arg(&trace);
        strace.arg("--").arg(run.get_program()).args(run.get_args()).current_dir(self.desk.path(""));
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        let child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace is installed");
        (child, trace)
    }

    /// Goes on until the run has ended; a person who is asked looks into the file and tells the truth, when nothing of the
    /// attempt can land any more.
    fn finish(&self) {
        for _ in 0..40 {
            let ran = self.say(&["resume", "--yes"]);
            let Said { code, out, err } = &ran;
            let named = |end: &str| ["a", "b", "c", "d"].into_iter().find(|s| out.contains(&format!(" {s} {end}")));
            match code {
                Some(0) => return,
                Some(3) if err.contains("no run is unfinished") => return,
                Some(12) => {
                    let step = named("--as done").unwrap_or_else(|| panic!("nothing says what to type: {ran:?}"));
                    let there = self.desk.text("names").lines().any(|l| l == step);
                    self.say(&["resolve", step, "--as", if there { "done" } else { "not-done" }, "--reason", "looked"]);
                    std::thread::sleep(Duration::from_millis(200));
                }
                Some(11) => {
                    let step = named("--reason").unwrap_or_else(|| panic!("nothing says what to type: {ran:?}"));
                    assert_eq!(self.say(&["retry", step, "--reason", "it did not happen"]).code, Some(0));
                }
                _ => panic!("{ran:?}"),
            }
        }
        panic!("it never ends");
    }
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
    let scene = Scene::new(store, 0);
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
    let scene = Scene::new(store, n);
    let (mut old, trace) = scene.stopped(nth);
    let went = until("it stops or ends", || match stops(&trace) {
        0 => ended(&mut old).map(|_| false),
        _ => Some(true),
    });
    if !went {
        return false;
    }
    let pid = traced(&old).expect("a stopped driver is there");
    let silent = scene.change("UPDATE run SET beat_ms = beat_ms - 31000");
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
    scene.finish();
    count.stops += 1;
    let (log, names) = (scene.say(&["log", &run_of(&scene), "--json"]).out, scene.desk.text("names"));
    let status = wake(&mut old, pid);
    let err = std::io::read_to_string(old.stderr.take().unwrap()).unwrap();
    assert_eq!(scene.say(&["log", &run_of(&scene), "--json"]).out, log, "call {nth:?}: it appended:\n{err}");
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
    let mut each: Vec<&str> = after.lines().collect();
    each.sort_unstable();
    assert_eq!(each, ["a", "b", "c", "d"], "call {nth:?}: each command ran once: {after:?}\n{log}\n{err}");
    assert_eq!(scene.say(&["journal", "verify"]).code, Some(0), "call {nth:?}");
    true
}

fn run_of(scene: &Scene) -> String {
    scene.say(&["runs"]).out.split_whitespace().next().unwrap_or_default().to_owned()
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
    stopped_everywhere(&Store::Server(support::lab::Lab::up()));
}
