//! A plan and a journal in a directory of their own, and the program beside them. It does not know what a plan says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The directory.
pub struct Desk {
    dir: tempfile::TempDir,
}

/// What the program said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Desk {
    /// With this plan.
    pub fn new(plan: &str) -> Desk {
        Desk::within(&std::env::temp_dir(), plan)
    }

    /// With this plan, on a chosen file system.
    pub fn within(place: &Path, plan: &str) -> Desk {
        let desk = Desk { dir: tempfile::tempdir_in(place).expect("a temporary directory") };
        std::fs::write(desk.path("plan.yaml"), plan).expect("the plan can be written");
        desk
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its journal.
    pub fn journal(&self) -> PathBuf {
        self.path("journal/j.db")
    }

    /// The program, in the directory, without a terminal and without settings of whoever runs the test.
    pub fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DRPLAN_")) {
            command.env_remove(name);
        }
        command.args(words).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("DRPLAN_JOURNAL", self.journal()).env("DRPLAN_OPERATOR", "me@here").env("NO_COLOR", "1");
        command
    }

    /// Runs the program to its end.
    pub fn say(&self, words: &[&str]) -> Said {
        said(&mut self.program(words))
    }

    /// The text of a file in it; empty if it is not there.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    said_of(&command.output().expect("it can be started"))
}

/// What a command said that has ended.
pub fn said_of(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}
