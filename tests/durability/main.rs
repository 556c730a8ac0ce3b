//! Intents are on disk before their effects begin, as the kernel saw it. First the instrument is tried on a small program
//! whose journal is known to be good, or known to be bad.

#[path = "../support/desk.rs"]
mod desk;
#[path = "../support/disk.rs"]
mod disk;
#[path = "../support/fact.rs"]
mod fact;
#[cfg(feature = "postgres")]
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/scene.rs"]
mod scene;
#[path = "../support/sixty.rs"]
mod sixty;
#[path = "../support/strace.rs"]
mod strace;
#[cfg(feature = "postgres")]
#[expect(dead_code, reason = "other tests need the rest of it")]
#[path = "../support/way.rs"]
mod way;

mod deaths;
mod power;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use desk::{Desk, said_of};
use drplan::analysis::Checked;
use drplan::execute::driver::{Observer, Options, POLL};
use drplan::execute::{Driver, Outcome, State};
use drplan::journal::schema::NEWEST;
use drplan::journal::sqlite;
use drplan::journal::{End, Entry, Event, Store};
use drplan::world::real::{self, RealSettings};
use jiff::Timestamp;
use scene::Scene;
use sqlx::sqlite::SqliteSynchronous;
use strace::{Call, inject, synced_between, trace, trace_faulty};

/// A program with a journal: before each of five effects it writes an intent, then it starts a process.
const PROGRAM: &str = r#"
import sqlite3, subprocess, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma journal_mode = wal")
db.execute("pragma synchronous = " + sys.argv[2])
db.execute("create table if not exists event (body text)")
for n in range(5):
    effect = lambda: subprocess.run(["/bin/echo", f"effect-{n}"], check=True)
    if sys.argv[3] == "act-first": effect()
    db.execute("insert into event values (?)", ['{"event":"intent","step":"s%d"}' % n])
    print("appended", n, flush=True)
    if sys.argv[3] == "append-first": effect()
"#;

fn program(db: &Path, synchronous: &str, order: &str) -> Command {
    // Debian's own, and not one that a version manager puts before it by way of a shell script.
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", PROGRAM]).arg(db).args([synchronous, order]);
    command
}

fn intent(n: u32) -> String {
    format!("{{\"event\":\"intent\",\"step\":\"s{n}\"}}")
}

/// The first call by which the effect of a step can be seen.
fn effect(n: u32) -> impl Fn(&Call) -> bool {
    move |call| call.name == "execve" && call.args.contains(&format!("\"effect-{n}\""))
}

const SEEN: &str = "pwrite64,fsync,fdatasync,connect,sendto,execve";

fn judged(synchronous: &str, order: &str) -> Vec<Result<(), String>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = dir.path().join("j.db");
    let traced = trace(SEEN, &program(&db, synchronous, order));
    assert!(traced.output.status.success(), "{:?}", traced.output);
    (0..5).map(|n| synced_between(&traced.calls, &wal(&db), intent(n).as_bytes(), effect(n))).collect()
}

#[test]
fn a_journal_that_syncs_is_told_from_one_that_does_not() {
    assert_eq!(judged("full", "append-first"), vec![Ok(()); 5]);
    for seen in judged("off", "append-first") {
        assert!(seen.clone().is_err_and(|e| e.contains("before it was synced")), "{seen:?}");
    }
    for seen in judged("full", "act-first") {
        assert!(seen.clone().is_err_and(|e| e.contains("before {\"event\":\"intent\"")), "{seen:?}");
    }
    let none = synced_between(&[], Path::new("/j"), b"x", |_| true);
    assert_eq!(none, Err("no write to /j holds x".to_owned()));
}

#[test]
fn a_program_dies_before_each_of_its_writes_and_loses_nothing_that_it_acknowledged() {
    let mut deaths = 0;
    let mut rows_seen = Vec::new();
    for nth in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("j.db");
        let output = inject(&format!("pwrite64:signal=KILL:when={nth}"), Some(&wal(&db)), &program(&db, "full", "append-first"));
        let acknowledged = String::from_utf8_lossy(&output.stdout).lines().filter(|l| l.starts_with("appended")).count();
        let rows = rows(&db);
        assert!(rows >= acknowledged, "death {nth}: {acknowledged} appends were acknowledged, {rows} are there");
        rows_seen.push(rows);
        if output.status.success() {
            break;
        }
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(9), "{output:?}");
        deaths += 1;
    }
    // Each append writes a frame's head and its page; the table itself was made before.
    assert!(deaths >= 10, "only {deaths} deaths");
    assert_eq!((rows_seen[0], rows_seen[deaths]), (0, 5), "{rows_seen:?}");
    assert!(rows_seen.is_sorted(), "{rows_seen:?}");
}

#[test]
fn a_sync_can_be_refused() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("j.db");
    let output = inject("fdatasync:error=EIO", Some(&wal(&db)), &program(&db, "full", "append-first"));
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("disk I/O error"), "{output:?}");
}

#[test]
fn calls_are_joined_and_ordered_as_the_kernel_saw_them() {
    let calls = strace::read(concat!(
        "7     1.5 pwrite64(5</j-wal>, \"a\\\"\\0\\377\\n\", 5, 0) = 5\n",
        "7 1.6 fdatasync(5</j-wal> <unfinished ...>\n",
        "8 1.7 connect(6<socket:[1]>, {sa_family=AF_INET, sin_port=htons(80)}, 16) = -1 EINPROGRESS (Operation now in progress)\n",
        "7 1.8 <... fdatasync resumed>)           = 0\n",
        "8 1.9 sendto(6<socket:[1]>, \"x) = 3\", 6, 0, NULL, 0 <unfinished ...>\n",
        "7 2.0 +++ killed by SIGKILL +++\n",
    ));
    let short: Vec<_> = calls.iter().map(|c| (c.pid, c.name.as_str(), c.begin, c.end, c.result)).collect();
    assert_eq!(
        short,
        [(7, "pwrite64", 0, 0, Some(5)), (7, "fdatasync", 1, 3, Some(0)), (8, "connect", 2, 2, Some(-1)), (8, "sendto", 4, 6, None)]
    );
    assert_eq!(calls[0].data(), b"a\"\0\xff\n");
    assert!(calls[0].on(Path::new("/j-wal")) && calls[1].on(Path::new("/j-wal")) && !calls[2].on(Path::new("/j-wal")));
    assert_eq!(calls[1].at, 1.6);
    let first_connect = |c: &Call| c.name == "connect";
    let early = synced_between(&calls, Path::new("/j-wal"), b"a\"", first_connect).unwrap_err();
    assert!(early.contains("before it was synced"), "the sync had begun, and had not ended: {early}");
    assert_eq!(synced_between(&calls, Path::new("/j-wal"), b"a\"", |c| c.name == "sendto"), Ok(()));
}

fn rows(db: &Path) -> usize {
    let sql = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\nassert db.execute('pragma integrity_check').fetchone()[0] == 'ok'\n\
        print(db.execute('select count(*) from event').fetchone()[0] if db.execute(\"select 1 from sqlite_master\").fetchone() else 0)";
    let output = Command::new("/usr/bin/python3").args(["-c", sql]).arg(db).output().expect("python3 is there");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a count")
}

/// Commands and checks, one after the other; PORT is a web server of the test's own.
const STEPS: &str = r#"
drplan: v1
name: traced
scenarios:
  move:
    cause: planned
    steps:
      - { id: one, uses: command, with: { argv: [/bin/echo, effect-one] }, takes: 1s, undo: { none: said } }
      - { id: seen, uses: http.check, with: { url: "http://127.0.0.1:PORT/", expect: { status: 200 } }, takes: 1s }
      - { id: two, uses: command, effect: idempotent, with: { argv: [/bin/echo, effect-two] }, takes: 1s, undo: { none: said } }
      - { id: three, uses: command, with: { argv: [/bin/echo, effect-three] }, takes: 1s, undo: { none: said } }
"#;

/// Answers every request with 200 until the test's process ends.
fn web() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    port
}

/// Whether the intent of each step of [`STEPS`] was on disk before its first effect.
fn judged_run(journal: &Path, port: u16, command: &Command) -> Vec<Result<(), String>> {
    let traced = trace(SEEN, command);
    assert!(traced.output.status.success(), "{:?}", traced.output);
    let http = format!("sin_port=htons({port})");
    let judge = |step: &str| {
        let argument = format!("\"effect-{step}\"");
        let intent = format!("{{\"event\":\"intent\",\"step\":\"{step}\"");
        synced_between(&traced.calls, &wal(journal), intent.as_bytes(), |call| match step {
            "seen" => call.name == "connect" && call.args.contains(&http),
            _ => call.name == "execve" && call.args.contains(&argument),
        })
    };
    ["one", "seen", "two", "three"].map(judge).to_vec()
}

#[test]
fn each_intent_of_a_run_is_on_disk_before_its_effect_begins() {
    let port = web();
    let desk = Desk::new(&STEPS.replace("PORT", &port.to_string()));
    let seen = judged_run(&desk.journal(), port, &desk.program(&["run", "plan.yaml", "--yes"]));
    assert_eq!(seen, vec![Ok(()); 4]);
    // The same driver by the library, on a journal that syncs, and on one that does not.
    for synchronous in ["full", "off"] {
        let desk = Desk::new(&STEPS.replace("PORT", &port.to_string()));
        assert_eq!(desk.say(&["compile", "plan.yaml", "-o", "compiled.json"]).code, Some(0));
        let mut child = Command::new(std::env::current_exe().expect("this test has a path"));
        child.args(["--exact", "child_driver", "--nocapture"]);
        child.env("DRIVEN_PLAN", desk.path("compiled.json")).env("DRIVEN_SYNCHRONOUS", synchronous);
        std::fs::create_dir(desk.path("journal")).expect("it is not there");
        for seen in judged_run(&desk.journal(), port, child.env("DRIVEN_JOURNAL", desk.journal())) {
            match synchronous {
                "full" => assert_eq!(seen, Ok(())),
                _ => assert!(seen.clone().is_err_and(|e| e.contains("before it was synced")), "{seen:?}"),
            }
        }
    }
}

struct Nobody;

impl Observer for Nobody {
    fn entry(&mut self, _: &Entry, _: &State) {}
    fn tick(&mut self, _: &State, _: Timestamp) {}
}

/// Run by the test above in a process of its own: drives a compiled plan on a journal of a chosen durability.
#[tokio::test]
async fn child_driver() {
    let given = |name: &str| std::env::var(name).ok();
    let (Some(plan), Some(journal)) = (given("DRIVEN_PLAN"), given("DRIVEN_JOURNAL")) else { return };
    let synchronous = if given("DRIVEN_SYNCHRONOUS").as_deref() == Some("off") { SqliteSynchronous::Off } else { SqliteSynchronous::Full };
    let checked = Checked::from_json(&std::fs::read_to_string(&plan).expect("it was compiled")).expect("it is whole");
    let store = sqlite::open_with(Path::new(&journal), synchronous, &NEWEST).await.expect("it can be opened");
    let dir = Path::new(&plan).parent().expect("it stands in one").to_string_lossy().into_owned();
    let first = Event::RunStarted {
        plan: checked.compiled().plan.name.clone(),
        scenario: checked.compiled().scenario.id.clone(),
        mode: "planned".to_owned(),
        digest: checked.digest().to_owned(),
        compiled: checked.to_json(),
        dir: dir.clone(),
        operator: "me@here".to_owned(),
        host: "here".to_owned(),
        commit: None,
        incident_start: Timestamp::now(),
        incident_assumed: false,
        version: "0".to_owned(),
    };
    let mut settings = RealSettings::new(format!("{journal}.d/run"), dir);
    settings.program = env!("CARGO_BIN_EXE_drplan").into();
    real::begin(&settings.state).expect("the place of ends can be made");
    store.create("run", (Timestamp::now(), first)).await.expect("a new run");
    let options = Options {
        holder: "me".to_owned(),
        wait_for_people: false,
        remind: std::time::Duration::from_secs(300),
        poll: POLL,
        stop: Arc::new(AtomicU8::new(0)),
        known: None,
    };
    let (_, outcome) = Driver::drive(real::world(settings), Arc::new(store), "run", options, &mut Nobody).await;
    assert_eq!(outcome, Outcome::Ended(End::Good));
}

/// One sync fails and the next would not: a kernel says it once, and forgets what it could not write.
#[test]
fn a_disk_that_refuses_to_sync_stops_a_run_at_once_and_nothing_is_lost() {
    let run = ["run", "plan.yaml", "--yes"];
    let scene = Scene::new(&scene::Store::File, 0, &sixty::plan());
    let log = wal(Path::new(&scene.journal));
    let whole = trace("fsync", &scene.program(&run));
    assert!(whole.output.status.success(), "{:?}", whole.output);
    let syncs = whole.calls.iter().filter(|c| c.on(&log)).count();
    let (mut failed, mut begun) = (0, 0);
    // What ends together is synced together, so that another run may need fewer.
    let sure = syncs * 3 / 4;
    for nth in (1..=sure).step_by(sure / 7) {
        let scene = Scene::new(&scene::Store::File, nth, &sixty::plan());
        let log = wal(Path::new(&scene.journal));
        let traced =
            trace_faulty("pwrite64,fsync", &format!("fsync:error=EIO:when={nth}"), std::slice::from_ref(&log), &scene.program(&run));
        let said = said_of(&traced.output);
        assert_eq!(said.code, Some(16), "sync {nth}: {said:?}");
        assert!(["disk I/O error", "Input/output error"].iter().any(|words| said.err.contains(words)), "sync {nth}: {said:?}");
        failed += 1;
        // Neither is the log written again, nor is it synced as if nothing had been.
        let refused = traced.calls.iter().position(|c| c.name == "fsync" && c.result != Some(0)).expect("it was refused");
        assert_eq!(
            traced.calls.len(),
            refused + 1,
            "sync {nth}: {:?}",
            traced.calls[refused + 1..].iter().map(|c| &c.name).collect::<Vec<_>>()
        );
        deaths::until_alone(&scene);
        for ticket in scene.desk.text("tries").lines() {
            let step = ticket.split('/').nth(1).expect("a ticket names its step");
            assert!(said.err.contains(&format!("▸ {step} ")), "sync {nth}: {ticket} began, and its intent was not safe: {}", said.err);
        }
        if !scene.run().is_empty() {
            begun += 1;
            sixty::finish(&scene);
            sixty::judge(&scene, &format!("sync {nth} failed"));
        }
    }
    println!("{failed} times the disk refused one of {syncs} syncs, {begun} of them in a run");
    assert!(begun >= 6, "only {begun} of {failed}");
}

/// SQLite's write-ahead log of a journal.
fn wal(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}
