//! Commands through the real supervisor, as a separate process: parallel, ended in time, without secrets, and found
//! again after the death of their driver or of the supervisor.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use drplan::world::real::{RealSettings, begin, world};
use drplan::world::{Command, Exit, Found, Landed, World};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Run {
    dir: TempDir,
}

impl Run {
    fn new() -> Run {
        let run = Run { dir: tempfile::tempdir().unwrap() };
        begin(&run.state()).unwrap();
        run
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    /// The outside of a driver of this run.
    fn world(&self) -> World {
        driver(&self.state(), self.dir.path())
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    async fn find(&self, ticket: &str) -> Found {
        self.world().process.find(ticket).await.unwrap()
    }

    /// Asks until it no longer runs.
    async fn end(&self, ticket: &str) -> Found {
        until(async || Some(self.find(ticket).await).filter(|f| *f != Found::Running)).await
    }

    fn pid(&self, name: &str) -> Pid {
        Pid::from_raw(fs::read_to_string(self.file(name)).unwrap().trim().parse().unwrap()).unwrap()
    }
}

fn driver(state: &Path, plan_dir: &Path) -> World {
    let mut settings = RealSettings::new(state, plan_dir);
    settings.program = env!("CARGO_BIN_EXE_drplan").into();
    world(settings)
}

fn sh(ticket: &str, script: &str) -> Command {
    command(ticket, &["sh", "-c", script])
}

fn command(ticket: &str, argv: &[&str]) -> Command {
    Command {
        ticket: ticket.to_owned(),
        argv: argv.iter().map(|&w| w.to_owned()).collect(),
        env: BTreeMap::new(),
        cwd: None,
        stdin: None,
        begin_by: None,
        // So that a test that fails leaves nothing running for ever.
        timeout_ms: Some(PATIENCE.as_millis() as u64),
        keep_bytes: 1 << 16,
        secrets: Vec::new(),
    }
}

/// Asks again and again; not a wait for a time but for a fact.
async fn until<T>(mut asked: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(fact) = asked().await {
            return fact;
        }
        assert!(begun.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn appears(path: &str) {
    until(async || fs::read_to_string(path).ok().filter(|t| t.ends_with('\n'))).await;
}

fn gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_err() || stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

fn ok(stdout: &str) -> Exit {
    Exit { code: Some(0), stdout: stdout.to_owned(), ..Exit::default() }
}

#[tokio::test]
async fn a_command_gets_all_it_was_given_and_tells_all_it_did() {
    let run = Run::new();
    let world = run.world();
    fs::create_dir(run.dir.path().join("sub")).unwrap();
    let given = Command {
        env: BTreeMap::from([("A".to_owned(), "a b".to_owned())]),
        cwd: Some("sub".to_owned()),
        stdin: Some("from stdin".to_owned()),
        ..sh("r/s/1", "echo \"$A|$(cat)|$(basename \"$PWD\")|$DRPLAN_TICKET\"; echo wrong >&2; exit 7")
    };
    let exit = world.process.run(&given).await.unwrap();
    let told = Exit { code: Some(7), stdout: "a b|from stdin|sub|r/s/1\n".to_owned(), stderr: "wrong\n".to_owned(), ..Exit::default() };
    assert_eq!(exit, told);
    assert_eq!(run.find("r/s/1").await, Found::Ended(told));
    let exit = world.process.run(&sh("r/s/2", "kill -9 $$")).await.unwrap();
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
    // Nobody reads that much.
    let exit = world.process.run(&Command { stdin: Some("x".repeat(1 << 20)), ..command("r/s/3", &["true"]) }).await.unwrap();
    assert_eq!(exit, ok(""));
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_and_surely_never_was() {
    let run = Run::new();
    let world = run.world();
    fs::write(run.file("not-executable"), "#!/bin/sh\n").unwrap();
    let nowhere = Command { cwd: Some("nowhere".to_owned()), ..command("d", &["true"]) };
    let leaking = Command { secrets: vec!["correct horse".to_owned()], ..command("e", &["echo", "pass=correct horse"]) };
    for (given, why) in [
        (command("a", &["no-such-program"]), "there is no such program"),
        (command("b", &["./not-executable"]), "may not be executed"),
        (command("c", &[]), "is empty"),
        (nowhere, "is not there"),
        (leaking, "a secret stands among the command's arguments"),
    ] {
        let fault = world.process.run(&given).await.unwrap_err();
        assert!(fault.landed == Landed::No && fault.cause.contains(why) && !fault.cause.contains("horse"), "{fault:?}");
        assert_eq!(run.find(&given.ticket).await, Found::NeverStarted);
    }
}

#[tokio::test]
async fn a_program_with_a_slash_stands_in_the_directory_of_the_command() {
    use std::os::unix::fs::PermissionsExt;
    let run = Run::new();
    fs::create_dir(run.dir.path().join("sub")).unwrap();
    let script = run.dir.path().join("sub/hello");
    fs::write(&script, "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let world = run.world();
    let given = Command { cwd: Some("sub".to_owned()), ..command("a", &["./hello"]) };
    assert_eq!(world.process.run(&given).await.unwrap(), ok("hello\n"));
    assert_eq!(world.process.which("sub/hello"), Some(script.to_str().unwrap().to_owned()));
    assert!(world.process.which("sh").is_some_and(|p| p.ends_with("/sh")));
    assert_eq!(world.process.which("no-such-program"), None);
}

#[tokio::test]
async fn commands_run_beside_each_other() {
    let run = Run::new();
    let world = run.world();
    // Each waits for the other: one after the other they would never end.
    let meet = |me: &str, other: &str| {
        let (me, other) = (run.file(me), run.file(other));
        let script = format!("echo > '{me}'; until [ -e '{other}' ]; do sleep 0.01; done; echo met");
        sh(&me, &script)
    };
    let (a, b) = (meet("a", "b"), meet("b", "a"));
    let (a, b) = tokio::join!(world.process.run(&a), world.process.run(&b));
    assert_eq!((a.unwrap(), b.unwrap()), (ok("met\n"), ok("met\n")));
    // One supervisor did both, and the same ticket is not run twice.
    let locks = fs::read_dir(run.state()).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "lock"));
    assert_eq!(locks.count(), 1);
    let again = world.process.run(&sh(&run.file("a"), "echo twice")).await.unwrap_err();
    assert_eq!(again.landed, Landed::No);
}

#[tokio::test]
async fn a_time_out_ends_the_whole_group() {
    let run = Run::new();
    let world = run.world();
    let (child, grandchild) = (run.file("child"), run.file("grandchild"));
    let script = format!("(trap '' TERM; sh -c 'echo $$ > {grandchild}; exec sleep 1000') & echo $$ > {child}; echo begun; wait");
    let begun = Instant::now();
    let exit = world.process.run(&Command { timeout_ms: Some(300), ..sh("r/s/1", &script) }).await.unwrap();
    assert_eq!((exit.code, exit.signal, exit.timed_out, exit.stdout.as_str()), (None, Some(15), true, "begun\n"));
    // What did not hear TERM heard KILL after the grace.
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    let (child, grandchild) = (run.pid("child"), run.pid("grandchild"));
    until(async || (gone(child) && gone(grandchild)).then_some(())).await;
    assert!(matches!(run.find("r/s/1").await, Found::Ended(Exit { timed_out: true, .. })));
}

#[tokio::test]
async fn a_command_that_hears_term_has_time_to_end() {
    let run = Run::new();
    let script = "trap 'echo cleaned up; exit 3' TERM; echo begun; while :; do sleep 0.01; done";
    let exit = run.world().process.run(&Command { timeout_ms: Some(300), ..sh("r/s/1", script) }).await.unwrap();
    assert_eq!((exit.code, exit.timed_out, exit.stdout.as_str()), (Some(3), true, "begun\ncleaned up\n"));
}

#[tokio::test]
async fn ten_mebibytes_are_read_and_both_ends_kept() {
    let run = Run::new();
    let script = "echo first; head -c 10485760 /dev/zero | tr '\\0' x; echo; echo last; echo e >&2";
    let exit = run.world().process.run(&Command { keep_bytes: 1000, ..sh("r/s/1", script) }).await.unwrap();
    assert!(exit.truncated && exit.code == Some(0) && exit.stderr == "e\n");
    assert!(exit.stdout.starts_with("first\nxxx") && exit.stdout.ends_with("xxx\nlast\n"), "{}", exit.stdout);
    assert!(exit.stdout.contains(&format!("[{} bytes left out]", 10_485_760 + 12 - 1000)), "{}", exit.stdout);
}

#[tokio::test]
async fn what_is_left_behind_with_the_pipes_does_not_hold_the_answer_and_does_not_die_of_it() {
    let run = Run::new();
    let pid = run.file("pid");
    let script = format!("sh -c 'echo $$ > {pid}; while :; do echo noise; sleep 0.01; done' & until [ -s {pid} ]; do :; done; echo done");
    let world = run.world();
    let exit = world.process.run(&sh("r/s/1", &script)).await.unwrap();
    assert!(exit.code == Some(0) && exit.truncated && exit.stdout.contains("done\n"), "{exit:?}");
    assert!(!gone(run.pid("pid")));
    kill_process(run.pid("pid"), Signal::KILL).unwrap();
}

#[tokio::test]
async fn no_secret_in_any_form_is_left_in_a_file_or_an_answer() {
    let run = Run::new();
    let secret = "p@ss w/rd+\"ü\"&\\n".to_owned();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&secret);
    let url_safe = base64::engine::general_purpose::URL_SAFE.encode(&secret);
    let encoded = "p%40ss+w%2Frd%2B%22%C3%BC%22%26%5Cn".to_owned();
    let json = serde_json::to_string(&secret).unwrap().trim_matches('"').to_owned();
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    let forms = [secret.clone(), base64, url_safe, encoded, json, hex];
    // Byte by byte, and at every offset against the supervisor's chunks; in standard error too.
    let mut script = String::from(
        "for n in 1 2 3; do printf %s \"$S\" | fold -b -w $n | while IFS= read -r l || [ -n \"$l\" ]; do printf %s \"$l\"; sleep 0.002; done; done\n",
    );
    script.push_str("head -c 65530 /dev/zero | tr '\\0' x; cat >&2\n");
    for i in 0..forms.len() {
        script.push_str(&format!("printf '%s,' \"$F{i}\"; head -c 65529 /dev/zero | tr '\\0' x; printf '%s;' \"$F{i}\" >&2\n"));
    }
    let mut env: BTreeMap<String, String> = forms.iter().enumerate().map(|(i, f)| (format!("F{i}"), f.clone())).collect();
    env.insert("S".to_owned(), secret.clone());
    let given = Command { env, stdin: Some(secret.clone()), secrets: vec![secret], keep_bytes: 1 << 22, ..sh("r/s/1", &script) };
    let exit = run.world().process.run(&given).await.unwrap();
    assert!(exit.code == Some(0) && !exit.truncated);
    assert!(exit.stdout.matches("[secret]").count() > forms.len(), "{}", exit.stdout.replace('x', ""));
    assert_eq!(exit.stderr, format!("[secret]{}", "[secret];".repeat(forms.len())));
    let mut kept = String::new();
    for entry in fs::read_dir(run.state()).unwrap() {
        let mut bytes = Vec::new();
        fs::File::open(entry.unwrap().path()).unwrap().read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned() + &exit.stdout + &exit.stderr;
        for form in &forms {
            assert!(!text.contains(form.as_str()), "{form}");
        }
        kept.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(kept.contains("[secret]"), "what it said is on the disk");
}

#[tokio::test]
async fn dropping_who_waits_does_not_end_the_command() {
    let run = Run::new();
    let world = run.world();
    let (begun, go) = (run.file("begun"), run.file("go"));
    let given = sh("r/s/1", &format!("echo > {begun}; until [ -e {go} ]; do sleep 0.01; done; echo after"));
    tokio::select! {
        _ = world.process.run(&given) => panic!("it cannot end yet"),
        () = appears(&begun) => {}
    }
    assert_eq!(run.find("r/s/1").await, Found::Running);
    // Also when the driver's whole outside is gone: the supervisor waits for what it started.
    drop(world);
    fs::write(go, "").unwrap();
    assert_eq!(run.end("r/s/1").await, Found::Ended(ok("after\n")));
}

/// Not a test by itself: the driver that another test kills. It runs one command and says how it ended.
#[tokio::test]
async fn as_a_driver() {
    let Ok(dir) = std::env::var("DRPLAN_TEST_DRIVER") else {
        return;
    };
    let dir = Path::new(&dir);
    let script = fs::read_to_string(dir.join("script")).unwrap();
    let _ = driver(&dir.join("state"), dir).process.run(&sh("r/s/1", &script)).await;
    fs::write(dir.join("driver-ended"), "").unwrap();
}

/// Starts a driver in a process of its own.
fn driver_process(run: &Run, script: &str) -> Child {
    fs::write(run.file("script"), script).unwrap();
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_driver"])
        .env("DRPLAN_TEST_DRIVER", run.dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_killed_driver_leaves_its_command_running_and_its_end_to_be_found() {
    let run = Run::new();
    let (begun, go) = (run.file("begun"), run.file("go"));
    let script = format!("echo $$ > {begun}; until [ -e {go} ]; do sleep 0.01; done; echo after; exit 5");
    let mut driver = driver_process(&run, &script);
    appears(&begun).await;
    driver.kill().unwrap();
    driver.wait().unwrap();
    assert_eq!(run.find("r/s/1").await, Found::Running);
    fs::write(go, "").unwrap();
    let end = Exit { code: Some(5), stdout: "after\n".to_owned(), ..Exit::default() };
    assert_eq!(run.end("r/s/1").await, Found::Ended(end));
    assert!(!Path::new(&run.file("driver-ended")).exists());
    // With nothing more to do and nobody to serve the supervisor went, and took its lock.
    until(async || lock_of(&run).is_none().then_some(())).await;
}

/// Whether the supervisor wrote down as which process a command runs.
fn noted(run: &Run) -> bool {
    fs::read_to_string(run.state().join("commands.jsonl")).unwrap().contains("{\"runs\":")
}

fn lock_of(run: &Run) -> Option<Pid> {
    fs::read_dir(run.state()).unwrap().find_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let pid = name.strip_prefix("supervisor-")?.split('-').next()?.parse().ok()?;
        Pid::from_raw(pid)
    })
}

#[tokio::test]
async fn a_killed_supervisor_makes_its_commands_unknown_until_they_are_gone() {
    let run = Run::new();
    let world = run.world();
    // Of its own, as a run's id is: the marks of processes are looked for on the whole machine.
    let (begun, ticket) = (run.file("begun"), run.file("ticket"));
    // A child that left the group still belongs to the command.
    let given = sh(&ticket, &format!("setsid sh -c 'echo $$ > {begun}; exec sleep 1000' & echo $$ > {}; wait", run.file("leader")));
    let killed = async {
        appears(&begun).await;
        until(async || noted(&run).then_some(())).await;
        kill_process(lock_of(&run).unwrap(), Signal::KILL).unwrap();
    };
    let (fault, ()) = tokio::join!(world.process.run(&given), killed);
    assert_eq!(fault.unwrap_err().landed, Landed::Maybe);
    let open = |found| matches!(found, Found::Unknown { gone: false, .. });
    assert!(open(run.end(&ticket).await));
    kill_process(run.pid("leader"), Signal::KILL).unwrap();
    until(async || gone(run.pid("leader")).then_some(())).await;
    assert!(open(run.end(&ticket).await));
    kill_process(run.pid("begun"), Signal::KILL).unwrap();
    until(async || gone(run.pid("begun")).then_some(())).await;
    assert!(matches!(run.end(&ticket).await, Found::Unknown { gone: true, .. }));
    // The same driver goes on with another supervisor.
    assert_eq!(world.process.run(&sh("killed/s/2", "echo on")).await.unwrap(), ok("on\n"));
}

#[tokio::test]
async fn what_was_found_never_started_is_never_started() {
    let run = Run::new();
    assert_eq!(run.find("r/s/1").await, Found::NeverStarted);
    // An earlier driver that was only stopped, not dead, comes back with it.
    let fault = run.world().process.run(&sh("r/s/1", &format!("echo > {}", run.file("ran")))).await.unwrap_err();
    assert!(fault.landed == Landed::No && fault.cause.contains("another driver"), "{fault:?}");
    assert!(!Path::new(&run.file("ran")).exists());
}

#[tokio::test]
async fn where_no_run_left_anything_nobody_can_tell() {
    let run = Run::new();
    fs::remove_dir(run.state()).unwrap();
    assert!(matches!(run.find("r/s/1").await, Found::Unknown { gone: false, .. }));
    // Asking leaves no trace that a later one could take for the run's own.
    assert!(matches!(run.find("r/s/1").await, Found::Unknown { gone: false, .. }));
}

#[tokio::test]
async fn a_supervisor_that_was_stopped_too_long_starts_nothing_any_more() {
    let run = Run::new();
    let world = run.world();
    world.process.run(&sh("r/s/1", "true")).await.unwrap();
    let supervisor = lock_of(&run).unwrap();
    kill_process(supervisor, Signal::STOP).unwrap();
    let late = sh("r/s/2", &format!("echo > {}", run.file("ran")));
    let (fault, ()) = tokio::join!(world.process.run(&late), async {
        world.clock.sleep(Duration::from_millis(2_100)).await;
        kill_process(supervisor, Signal::CONT).unwrap();
    });
    assert!(fault.as_ref().is_err_and(|f| f.landed == Landed::No && f.cause.contains("too late")), "{fault:?}");
    assert!(!Path::new(&run.file("ran")).exists());
    assert_eq!(run.find("r/s/2").await, Found::NeverStarted);
}

#[tokio::test]
async fn the_signals_of_a_terminal_pass_the_supervisor_and_do_not_reach_its_commands() {
    let run = Run::new();
    let world = run.world();
    let (begun, go) = (run.file("begun"), run.file("go"));
    let given = sh("r/s/1", &format!("echo $$ > {begun}; until [ -e {go} ]; do sleep 0.01; done; echo whole"));
    let (exit, ()) = tokio::join!(world.process.run(&given), async {
        appears(&begun).await;
        let supervisor = lock_of(&run).unwrap();
        for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
            kill_process(supervisor, signal).unwrap();
        }
        // A session that is not this one: no terminal of ours can signal it.
        let session = |pid: Pid| rustix::process::getsid(Some(pid)).unwrap();
        assert_eq!(session(supervisor), supervisor);
        assert_eq!(session(run.pid("begun")), supervisor);
        assert_ne!(rustix::process::getpgid(Some(run.pid("begun"))).unwrap(), supervisor);
        fs::write(&go, "").unwrap();
    });
    assert_eq!(exit.unwrap(), ok("whole\n"));
}

#[tokio::test]
async fn no_list_of_processes_shows_a_secret() {
    let run = Run::new();
    let world = run.world();
    let secret = "correct-horse-battery".to_owned();
    let env = BTreeMap::from([("PASS".to_owned(), secret.clone())]);
    let (begun, go) = (run.file("begun"), run.file("go"));
    let script = format!("echo $$ > {begun}; until [ -e {go} ]; do sleep 0.01; done; echo \"$PASS\"");
    let given = Command { env, secrets: vec![secret.clone()], ..sh("r/s/1", &script) };
    let (exit, ()) = tokio::join!(world.process.run(&given), async {
        appears(&begun).await;
        for pid in [lock_of(&run).unwrap(), run.pid("begun")] {
            let shown = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap();
            assert!(!String::from_utf8_lossy(&shown).contains(&secret));
        }
        fs::write(&go, "").unwrap();
    });
    assert_eq!(exit.unwrap(), ok("[secret]\n"));
}

#[tokio::test]
async fn a_look_leaves_no_ticket_and_ends_with_whoever_asked() {
    let run = Run::new();
    let world = run.world();
    assert_eq!(world.process.ask(&sh("r/s/1", "echo seen; exit 3")).await.unwrap(), Exit { code: Some(3), ..ok("seen\n") });
    assert_eq!(run.find("r/s/1").await, Found::NeverStarted);
    assert!(lock_of(&run).is_none(), "no supervisor was started for it");
    let late = Command { timeout_ms: Some(100), ..sh("r/s/2", "sleep 600") };
    assert!(world.process.ask(&late).await.unwrap().timed_out);
    let begun = run.file("begun");
    let given_up = sh("r/s/3", &format!("echo $$ > {begun}; sleep 600"));
    tokio::select! {
        exit = world.process.ask(&given_up) => panic!("{exit:?}"),
        () = appears(&begun) => {}
    }
    until(async || test_kill_process(run.pid("begun")).is_err().then_some(())).await;
}
