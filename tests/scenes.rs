//! Incidents, each from its trouble to its good end: the real program on a small plan with real commands. A scene is a page
//! in tests/scenes; it ends with at most two commands, and each of them is taken from what the screen had just said.
//! `SCENE=name` runs those whose file name holds that.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[expect(dead_code, reason = "the program is run by a shell")]
#[path = "support/desk.rs"]
mod desk;
#[cfg(feature = "postgres")]
#[path = "support/lab.rs"]
mod lab;
#[path = "scenes/offers.rs"]
mod offers;
#[path = "scenes/page.rs"]
mod page;

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use desk::{Desk, said};
use page::{Line, Page};

/// How long anything is waited for, in seconds.
const LIMIT: &str = "45";

/// How many commands an end may take.
const MOST: usize = 2;

#[test]
fn every_incident_ends_well_with_what_the_screen_offers() {
    let wanted = std::env::var("SCENE").unwrap_or_default();
    let all = Page::all().into_iter().filter(|page| page.name.contains(&wanted)).collect::<Vec<_>>();
    assert!(!wanted.is_empty() || all.len() >= 30, "{} scenes", all.len());
    // The longest first, so that no thread ends with it.
    let queue = Mutex::new(all.iter().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(page) = { queue.lock().unwrap().pop() } {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| Stage::play(page))) {
                        let why = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                        failed.lock().unwrap().push(format!("── {} ──\n{}", page.name, why.unwrap_or_default()));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} scenes fail\n\n{}", failed.len(), all.len(), failed.join("\n\n"));
}

/// Where a scene is played.
struct Stage {
    desk: Desk,
    env: BTreeMap<String, String>,
    /// What the last command said, and its code.
    screen: String,
    code: Option<i32>,
    behind: Option<(Child, PathBuf)>,
    /// How much of the screen behind stood there before the last command.
    old: usize,
    typed: usize,
    story: String,
}

impl Stage {
    fn play(page: &Page) {
        let desk = Desk::new("");
        for (name, text) in &page.files {
            std::fs::write(desk.path(name), text).unwrap();
        }
        std::fs::create_dir(desk.path("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_drplan"), desk.path("bin/drplan")).unwrap();
        let path = format!("{}:{}", desk.path("bin").display(), std::env::var("PATH").unwrap());
        #[cfg_attr(not(feature = "postgres"), expect(unused_mut, reason = "only a shared journal is added"))]
        let mut env = BTreeMap::from([("PATH".to_owned(), path)]);
        if page.shared {
            #[cfg(feature = "postgres")]
            env.insert("DRPLAN_JOURNAL".to_owned(), shared_journal());
            #[cfg(not(feature = "postgres"))]
            panic!("this scene needs the feature `postgres`");
        }
        let mut stage = Stage { desk, env, screen: String::new(), code: None, behind: None, old: 0, typed: 0, story: String::new() };
        for line in &page.lines {
            stage.story.push_str(&format!("{line}\n"));
            stage.line(line);
        }
        assert!(stage.typed <= MOST, "{} commands are too many", stage.typed);
        assert!(matches!(stage.code, Some(0 | 4 | 10 | 15)), "it does not end well: {:?}\n{}", stage.code, stage.told());
    }

    fn line(&mut self, line: &Line) {
        match line {
            Line::Shell(text) => match text.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
                Some((name, value)) => drop(self.env.insert(name.to_owned(), value.to_owned())),
                None => self.run(text),
            },
            Line::Behind(text) => self.behind(text),
            Line::Offered(wanted) => {
                self.typed += 1;
                // What runs behind says within a second what it waits for.
                let start = Instant::now();
                let command = loop {
                    let offered = offers::of(&self.seen());
                    match offers::filled(wanted, &offered) {
                        Some(command) => break command,
                        None if self.behind.is_some() && start.elapsed() < Duration::from_secs(5) => {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        None => panic!("the screen does not offer: {wanted}\nit offers:\n  {}\n{}", offered.join("\n  "), self.told()),
                    }
                };
                self.story.push_str(&format!("  (offered) {command}\n"));
                self.run(&command);
            }
            Line::Says(text) => assert!(self.flat().contains(text.as_str()), "the screen does not say: {text}\n{}", self.told()),
            Line::Until(text) => {
                let (start, limit) = (Instant::now(), Duration::from_secs(LIMIT.parse().unwrap()));
                while !self.fresh().contains(text.as_str()) {
                    assert!(start.elapsed() < limit, "it never says: {text}\n{}", self.told());
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            Line::Ends(code) => assert_eq!(self.code, Some(*code), "\n{}", self.told()),
            Line::BehindEnds(code) => {
                let ended = self.behind.as_mut().unwrap().0.wait().unwrap().code();
                self.screen.clear();
                self.code = ended;
                assert_eq!(ended, Some(*code), "\n{}", self.told());
            }
        }
    }

    /// The shell, for as long as anything is waited for.
    fn shell(&self, text: &str) -> Command {
        let like = self.desk.program(&[]);
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=1", LIMIT, "sh", "-c", text]).current_dir(self.desk.path(".")).stdin(Stdio::null());
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.envs(&self.env);
        command
    }

    fn run(&mut self, text: &str) {
        self.old = self.behind_says().len();
        let said = said(&mut self.shell(text));
        // What says nothing leaves on the screen what stood there.
        let text = format!("{}{}", said.err, said.out);
        self.screen = if text.is_empty() { std::mem::take(&mut self.screen) } else { text };
        self.code = said.code;
    }

    fn behind(&mut self, text: &str) {
        let log = self.desk.path("screen");
        let out = File::create(&log).unwrap();
        let own = format!("echo $$ > behind; exec {text}");
        let child = self.shell(&own).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        self.behind = Some((child, log));
        self.old = 0;
        self.screen.clear();
    }

    /// Everything that stands on the screens.
    fn seen(&self) -> String {
        format!("{}{}", self.behind_says(), self.screen)
    }

    fn behind_says(&self) -> String {
        self.behind.as_ref().map(|(_, log)| String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned()).unwrap_or_default()
    }

    /// The same without its line breaks.
    fn flat(&self) -> String {
        self.seen().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What came since the last command, without its line breaks.
    fn fresh(&self) -> String {
        let behind = self.behind_says();
        let new = behind.get(self.old..).unwrap_or_default();
        format!("{new} {}", self.screen).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn told(&self) -> String {
        format!("── so far ──\n{}── the screen ──\n{}", self.story, self.seen())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What goes on behind is ended by its own limit's process, which is asked to.
        if let Some((child, _)) = &mut self.behind
            && child.try_wait().is_ok_and(|ended| ended.is_none())
        {
            let _ = said(&mut self.shell("kill -KILL $(cat behind)"));
            let _ = self.behind.as_mut().map(|(child, _)| child.wait());
        }
    }
}

/// A schema of its own on the server of this test's lab.
#[cfg(feature = "postgres")]
fn shared_journal() -> String {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static LAB: OnceLock<lab::Lab> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let lab = LAB.get_or_init(|| lab::Lab::up(&["--servers"]));
    let server = format!("postgres://dr:{}@127.0.0.1:{}/platform", lab["LAB_DR_PASSWORD"], lab["LAB_PRIMARY_PORT"]);
    let schema = format!("scene{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let made = said(Command::new("psql").args([&server, "-qc", &format!("CREATE SCHEMA {schema}")]).envs(&**lab));
    assert_eq!(made.code, Some(0), "{made:?}");
    format!("{server}?options=-c%20search_path%3D{schema}")
}
