//! Where a person sits before a lab: the program with a journal of its own, and a yes to whatever it asks.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde_json::Value;

use super::Story;
use super::house::House;

/// The program in a lab.
pub struct Desk<'a> {
    house: &'a House,
    story: &'a Story,
    /// Parameters that the loss told, as they are typed.
    known: Vec<String>,
    home: tempfile::TempDir,
    plan_dir: String,
    /// Steps of which it was said that an attempt did not happen: these are done again.
    not_done: Mutex<BTreeSet<String>>,
}

impl<'a> Desk<'a> {
    pub fn new(house: &'a House, story: &'a Story, known: &[&str]) -> Desk<'a> {
        let known = known.iter().flat_map(|p| ["-p".to_owned(), (*p).to_owned()]).collect();
        let plan_dir = format!("{}/plans/{}", env!("CARGO_MANIFEST_DIR"), story.plan);
        Desk { house, story, known, home: tempfile::tempdir().unwrap(), plan_dir, not_done: Mutex::default() }
    }

    pub fn plan_dir(&self) -> &Path {
        Path::new(&self.plan_dir)
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn drplan(&self, args: &[String], person: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
        command.args(args).envs(&self.house.env).env("DRPLAN_JOURNAL", self.home.path().join("journal.db")).env("NO_COLOR", "1");
        // Two who approve are two people.
        command.env("DRPLAN_OPERATOR", format!("{person}@here")).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    fn say(&self, args: &[String], person: &str) -> Output {
        self.drplan(args, person).output().unwrap()
    }

    fn of(&self, word: &str, scenario: &str) -> Vec<String> {
        let mut args: Vec<String> = [word, &format!("{}/plan.yaml", self.plan_dir), "-s", scenario, "--params-file", &self.house.params()]
            .map(str::to_owned)
            .into();
        args.extend(self.known.iter().cloned());
        args
    }

    /// The page of a scenario, with the parameters of this lab.
    pub fn rendered(&self, scenario: &str) -> String {
        let out = self.say(&self.of("render", scenario), "somebody");
        assert!(out.status.success(), "{}", text(&out));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Dry-runs a scenario, then runs it to its end; with a step, the program is killed when it has begun that one.
    pub fn run(&self, scenario: &str, dies_in: Option<&str>) {
        let dry = self.say(&self.of("dry-run", scenario), "somebody");
        assert!(matches!(dry.status.code(), Some(0 | 10)), "dry run of {scenario}: {}", text(&dry));
        let mut wanted = self.of("run", scenario);
        wanted.push("--yes".to_owned());
        if let Some(step) = dies_in {
            wanted.push("--wait".to_owned());
            self.killed(&wanted, step);
            wanted = vec!["resume".to_owned(), "--yes".to_owned()];
        }
        self.ended(wanted, scenario);
    }

    /// Says yes until what was typed has ended well, and gives what was said at the end.
    fn ended(&self, mut wanted: Vec<String>, what: &str) -> String {
        // As many rounds as people are asked, and then some.
        for _ in 0..20 {
            let out = self.driven(&wanted);
            if out.status.success() {
                return text(&out);
            }
            assert_eq!(out.status.code(), Some(11), "{what} does not wait for a person: {}{}", text(&out), self.log());
            assert!(self.answered(), "nothing can be said to it: {}", text(&out));
            wanted = vec!["resume".to_owned(), "--yes".to_owned()];
        }
        panic!("{what} never ends: {}", self.log());
    }

    /// Drives it. Where it waits long because an attempt of the one that died may still take effect, somebody looks, and knows better:
    /// who died sends nothing any more.
    fn driven(&self, args: &[String]) -> Output {
        let mut child = self.drplan(args, "somebody").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (over, ended) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while ended.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                    self.known_better();
                }
            });
            let mut err = child.stderr.take().unwrap();
            let said = scope.spawn(move || {
                let mut said = Vec::new();
                err.read_to_end(&mut said).map(|_| said)
            });
            let mut out = child.wait_with_output().unwrap();
            drop(over);
            out.stderr = said.join().unwrap().unwrap();
            out
        })
    }

    /// Says of each attempt that may still take effect that it did not; what `drplan status` offers for that is typed.
    fn known_better(&self) {
        let status = text(&self.say(&["status".to_owned()], "somebody"));
        for line in status.lines().map(str::trim).filter(|l| l.starts_with("drplan resolve ") && l.contains(" --accept-late-effect")) {
            let mut typed: Vec<String> = line.split(' ').skip(1).take_while(|w| *w != "--reason").map(str::to_owned).collect();
            typed.extend(["--reason", "who began it is dead, and the server has nothing of it"].map(str::to_owned));
            // It may have ended meanwhile.
            if self.say(&typed, "somebody").status.success() {
                self.not_done.lock().unwrap().insert(typed[2].clone());
            }
        }
    }

    /// Starts it, says yes until it has begun the step, and kills it.
    fn killed(&self, args: &[String], step: &str) {
        let mut child = self.drplan(args, "somebody").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let begun = format!("▸ {step}");
        let mut found = false;
        for line in lines.map_while(Result::ok) {
            if line.contains(&begun) {
                found = true;
                break;
            }
            // It is said before it stands in the journal.
            if line.contains(" ? ") && !line.starts_with(' ') {
                assert!((0..200).any(|_| self.answered()), "nothing can be said to: {line}");
            }
        }
        // One that has ended already is none the worse for it.
        let _ = child.kill();
        child.wait().unwrap();
        assert!(found, "it ended before it began `{step}`: {}", self.log());
    }

    /// Rehearses the scenario to its end with the values of the lab, counted from the moment of the loss, and gives what is said at
    /// the end. This version runs no drill by its name; that the drill itself compiles is looked at first.
    pub fn rehearsed(&self, drill: &str, incident_start: &str) -> String {
        let plan = format!("{}/plan.yaml", self.plan_dir);
        let dry = self.say(&["dry-run", &plan, "--drill", drill, "--offline"].map(str::to_owned), "somebody");
        assert!(dry.status.success(), "drill {drill}: {}", text(&dry));
        let mut wanted = self.of("run", self.story.scenario);
        wanted.extend(["--incident-start", incident_start, "--yes"].map(str::to_owned));
        self.ended(wanted, drill)
    }

    fn log(&self) -> String {
        let out = self.say(&["log".to_owned()], "somebody");
        text(&out)
    }

    /// Says yes to every question that stands; false if there is none.
    fn answered(&self) -> bool {
        let out = self.say(&["status".to_owned(), "--json".to_owned()], "somebody");
        let status: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&out)));
        let offered = status["next"].as_array().unwrap().iter().filter_map(Value::as_str);
        let words: Vec<Vec<&str>> = offered.map(|l| l.split(' ').skip(1).collect()).collect();
        let mut said = false;
        let mut seen = BTreeSet::new();
        for word in words {
            let people: &[&str] = if word[0] == "approve" { self.story.people } else { &["somebody"] };
            let resolved = word[0] == "resolve" && word.contains(&"done");
            let again = word[0] == "retry" && self.not_done.lock().unwrap().contains(word[2]);
            if word[0] != "approve" && !resolved && !again || !seen.insert(word[2].to_owned()) {
                continue;
            }
            for person in people {
                let kept = if resolved { 5 } else { 3 };
                let mut typed: Vec<String> = word.iter().take(kept).map(|w| (*w).to_owned()).collect();
                typed.extend(["--reason".to_owned(), "as the page says".to_owned()]);
                if word[0] == "approve" {
                    typed.extend(["--as".to_owned(), (*person).to_owned()]);
                }
                let out = self.say(&typed, person);
                said |= out.status.success();
                // One may have been enough.
                assert!(out.status.success() || person != &people[0], "{typed:?}: {}", text(&out));
            }
        }
        said
    }
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
