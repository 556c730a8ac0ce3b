//! Intents are on disk before their effects begin, as the kernel saw it. First the instrument is tried on a small program
//! whose journal is known to be good, or known to be bad.

mod support {
    pub mod strace;
}

use std::path::{Path, PathBuf};
use std::process::Command;

use support::strace::{self, Call, inject, synced_between, trace};

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

fn wal(db: &Path) -> PathBuf {
    db.with_extension("db-wal")
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
        let output = inject(&format!("pwrite64:signal=KILL:when={nth}"), &wal(&db), &program(&db, "full", "append-first"));
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
    let output = inject("fdatasync:error=EIO", &wal(&db), &program(&db, "full", "append-first"));
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("disk I/O error"), "{output:?}");
}

#[test]
fn calls_are_joined_and_ordered_as_the_kernel_saw_them() {
    let calls = strace::read(concat!(
        "7 1.5 pwrite64(5</j-wal>, \"a\\\"\\0\\377\\n\", 5, 0) = 5\n",
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
