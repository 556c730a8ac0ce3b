//! Journals that fail while a run goes on: a disk that fills, one that breaks, a server that goes away for a moment, for
//! longer than the lease, for ever; and servers that are not who they should be. Each says what it knows, starts nothing
//! meanwhile, and loses nothing.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[expect(dead_code, reason = "other tests need the rest of it")]
#[path = "../support/desk.rs"]
mod desk;
#[path = "../support/fact.rs"]
mod fact;
#[path = "../support/mounts.rs"]
mod mounts;

#[cfg(feature = "postgres")]
#[path = "../support/lab.rs"]
mod lab;
#[cfg(feature = "postgres")]
mod secure;
#[cfg(feature = "postgres")]
mod server;
#[cfg(feature = "postgres")]
#[expect(dead_code, reason = "other tests need the rest of it")]
#[path = "../support/way.rs"]
mod way;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use desk::{Desk, Said, said, said_of};
use fact::until;
use mounts::Mount;
use serde_json::Value;

/// Two steps that begin at once and end when they are let, and one that waits for the first of them.
const PLAN: &str = r#"
drplan: v1
name: outage
scenarios:
  move:
    cause: planned
    steps:
      - id: first
        uses: command
        with: { argv: [sh, -c, "echo begun > begun; while ! test -e go; do sleep 0.02; done; echo first >> names"] }
        takes: 1s
        timeout: 2m
        undo: { none: written }
      - id: beside
        uses: command
        needs: []
        with: { argv: [sh, -c, "while ! test -e end; do sleep 0.02; done; echo beside >> names"] }
        takes: 1s
        timeout: 2m
        undo: { none: written }
      - { id: second, needs: [first], uses: command, with: { argv: [sh, -c, "echo second >> names"] }, takes: 1s, undo: { none: written } }
"#;

/// A run on a journal, at the moment at which both of its first steps are in flight.
struct Scene {
    desk: Desk,
    journal: PathBuf,
    child: Child,
}

impl Scene {
    fn on(journal: &Path) -> Scene {
        Scene::of(PLAN, journal)
    }

    fn of(plan: &str, journal: &Path) -> Scene {
        let desk = Desk::new(plan);
        let journal = journal.to_owned();
        let mut run = desk.program(&["run", "--yes"]);
        run.env("DRPLAN_JOURNAL", &journal).env("XDG_STATE_HOME", desk.path("state"));
        let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let scene = Scene { desk, journal, child };
        until("the first step begins", || scene.desk.path("begun").exists());
        let in_flight =
            |lease: &Said| serde_json::from_str::<Value>(&lease.out).is_ok_and(|l| l["in_flight"].as_array().map(Vec::len) == Some(2));
        until("both are in flight", || in_flight(&scene.say(&["lease", "show", "--json"])));
        scene
    }

    fn at(&self, journal: &Path, words: &[&str]) -> Said {
        said(self.desk.program(words).env("DRPLAN_JOURNAL", journal).env("XDG_STATE_HOME", self.desk.path("state")))
    }

    fn say(&self, words: &[&str]) -> Said {
        self.at(&self.journal, words)
    }

    fn let_on(&self, what: &str) {
        std::fs::write(self.desk.path(what), "").unwrap();
    }

    fn names(&self) -> String {
        self.desk.text("names")
    }

    /// Waits for the driver's end, and gives what it said.
    fn ended(&mut self) -> Said {
        until("the driver ends", || self.child.try_wait().unwrap().is_some());
        let mut output = std::process::Output { status: self.child.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
        std::io::copy(self.child.stdout.as_mut().unwrap(), &mut output.stdout).unwrap();
        std::io::copy(self.child.stderr.as_mut().unwrap(), &mut output.stderr).unwrap();
        said_of(&output)
    }

    /// Everything goes on, and ends well: each command ran once.
    fn goes_on(&self, journal: &Path, asked: &[&str]) {
        self.let_on("end");
        until("what was in flight ends", || self.names().contains("beside"));
        let mut resumed = self.at(journal, &["resume", "--yes"]);
        for step in asked {
            until("nothing of it can land any more", || {
                let open = resumed.code == Some(12) && !resumed.out.contains(&format!(" {step} --as done"));
                if open {
                    resumed = self.at(journal, &["resume", "--yes"]);
                }
                !open
            });
            // A full disk may still have had room for the end of a command: then nobody is asked.
            if resumed.code == Some(0) {
                break;
            }
            assert!(resumed.code == Some(12) && resumed.out.contains(&format!(" {step} --as done")), "{resumed:?}");
            let told = self.at(journal, &["resolve", step, "--as", "done", "--reason", "the screen said so"]);
            assert_eq!(told.code, Some(0), "{told:?}");
            resumed = self.at(journal, &["resume", "--yes"]);
        }
        assert_eq!(resumed.code, Some(0), "{resumed:?}");
        let names = self.names();
        let mut each: Vec<&str> = names.lines().collect();
        each.sort_unstable();
        assert_eq!(each, ["beside", "first", "second"]);
        let verified = self.at(journal, &["journal", "verify"]);
        assert_eq!(verified.code, Some(0), "{verified:?}");
    }
}

/// What the screen said since the run began, without what differs from one time to the next.
fn shown(scene: &Scene, said: &Said) -> String {
    let mut text = said.err[said.err.find("\n\n").map_or(0, |at| at + 2)..].to_owned();
    let same = |text: String, pattern: &str, word: &str| regex::Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
    text = text.replace(&scene.desk.path("").display().to_string(), "DESK/");
    for (pattern, word) in [
        (r"postgres://dr@127.0.0.1:\d+/platform", "JOURNAL"),
        (r"/\S+/j\.db", "JOURNAL"),
        (r"outage-\d+-\d+-\w{4}", "RUN"),
        (r"(?m)^\d\d:\d\d:\d\d ", ""),
        (r"\S+ pid \d+", "SOMEBODY"),
        (r"for \d+ s;", "for N s;"),
        (r"done in [\d.]+s", "done in N s"),
        // Who closed a connection first is a matter of luck.
        (r"it closed the connection|Connection reset by peer \(os error 104\)|Broken pipe \(os error 32\)", "CUT OFF"),
        // It may have been written just before.
        (r"(?m)^! the ticked runbook could not be written.*\n", ""),
    ] {
        text = same(text, pattern, word);
    }
    text
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_disk_that_fills_stops_a_run_and_nothing_is_lost() {
    let disk = Mount::memory("2m");
    let mut scene = Scene::on(&disk.path("j.db"));
    disk.fill();
    scene.let_on("go");
    let said = scene.ended();
    assert_eq!(said.code, Some(16), "{said:?}");
    assert_eq!(scene.names(), "first\n", "nothing was started");
    snapshot("journal-disk-full", &shown(&scene, &said));
    // While it is full, it says the same; and what it knows can be read.
    let again = scene.say(&["resume", "--yes"]);
    assert!(again.code == Some(16) && again.err.contains("full"), "{again:?}");
    assert_eq!(scene.names(), "first\n");
    let status = scene.say(&["status"]);
    assert!(status.code == Some(0) && status.out.contains("first"), "{status:?}");
    disk.free();
    // Of the first its supervisor could not write down the end either.
    scene.goes_on(&scene.journal, &["first"]);
}

#[test]
fn a_disk_that_breaks_stops_a_run_and_nothing_is_lost() {
    let images = tempfile::tempdir().unwrap();
    let image = images.path().join("disk");
    let disk = Mount::ext4(&image);
    // As which process a command runs is not synced, so that nobody can tell, before its time is up, that it is gone.
    let mut scene = Scene::of(&PLAN.replace("2m", "15s"), &disk.path("j.db"));
    disk.breaks();
    scene.let_on("go");
    let said = scene.ended();
    assert_eq!(said.code, Some(16), "{said:?}");
    assert_eq!(scene.names(), "first\n", "nothing was started");
    snapshot("journal-disk-broken", &shown(&scene, &said));
    let again = scene.say(&["resume", "--yes"]);
    assert!(again.code == Some(16) && again.err.contains("j.db"), "{again:?}");
    let new = scene.say(&["run", "--yes"]);
    assert!(new.code == Some(16) && !scene.names().contains("second"), "{new:?}");
    scene.let_on("end");
    until("what was in flight ends", || scene.names().contains("beside"));
    disk.mend(&image);
    scene.goes_on(&scene.journal, &["first", "beside"]);
}

/// As the kernel would answer of one: the type that statfs(2) gives is that of NFS.
#[test]
fn a_network_file_system_is_refused_before_anything_begins() {
    let desk = Desk::new(PLAN);
    let run = desk.program(&["run", "--yes"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=statfs", "-e", "inject=statfs:poke_exit=@arg2=6969000000000000", "--"]);
    strace.arg(run.get_program()).args(run.get_args()).current_dir(desk.path("")).env("DRPLAN_JOURNAL", desk.journal());
    let said = said(&mut strace);
    assert!(said.code == Some(16) && said.err.contains("is on a network file system"), "{said:?}");
    assert!(!desk.path("begun").exists() && !desk.journal().exists(), "nothing was begun");
}
