//! Stands that need no server of their own, and what stands have in common.

use std::process::Command;

use async_trait::async_trait;
use drplan::actions::{AssetKind, Source, Target};
use serde_json::{Value, json};

use super::laws::{Law, Stand, hold};
use super::room::Room;
use super::table;

/// Laws about the way to a server.
pub const WIRE: [Law; 8] = [Law::Lost, Law::TimeOut, Law::Unreachable, Law::Wrong, Law::Garbage, Law::Huge, Law::Busy, Law::Credentials];

/// Laws about an effect.
pub const EFFECT: [Law; 3] = [Law::There, Law::Newer, Law::Undo];

/// The same reason for many laws.
pub fn because(laws: &[Law], why: &'static str) -> Vec<(Law, &'static str)> {
    laws.iter().map(|law| (*law, why)).collect()
}

/// A target of a kind.
pub fn target(kind: AssetKind, connect: Value) -> Target {
    Target { asset: "asset".to_owned(), kind, site: None, connect: connect.as_object().unwrap().clone(), source: None }
}

const FILES: &str = "it works on files of its machine: there is no server, no way to it and no password";
pub const READS: &str = "it changes nothing";

/// An action of which no law can be asked, all for one reason.
fn none(action: &str, why: &'static str) {
    table::row(action, &super::laws::LAWS.map(|_| Err(why)));
}

#[test]
fn people() {
    none("approval", "a person answers: nothing is sent, and nothing is judged but who answered");
    none("manual", "a person does it: nothing is sent, and nothing is judged");
}

#[test]
fn joining() {
    none("plan", "the compiler puts another scenario's steps in its place: the laws are those of their actions");
}

#[test]
fn waiting() {
    none("wait", "it only waits, or asks another action until that passes: the laws are that one's");
}

/// A database, its backups, and an action on them.
struct Files {
    action: &'static str,
    with: Value,
    dir: tempfile::TempDir,
}

impl Files {
    fn new(action: &'static str, with: Value) -> Files {
        Files { action, with, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn sql(&self, name: &str, sql: &str) -> String {
        let done = Command::new("sqlite3").args(["-batch", &self.path(name), sql]).output().expect("sqlite3 is installed");
        format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
    }

    fn place(&self, path: &str) -> Room {
        let mut target = target(AssetKind::Sqlite, json!({ "path": path }));
        target.source = Some(Source {
            id: "nightly".to_owned(),
            method: "full".to_owned(),
            places: vec!["file:backups/".to_owned()],
            ..Source::default()
        });
        Room::new(self.action, self.with.clone(), Some(target), self.dir.path().to_str().unwrap())
    }
}

#[async_trait]
impl Stand for Files {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        let mut out = because(&WIRE, FILES);
        out.extend(because(&[Law::Secret], "it is given no secret"));
        if self.action == "sqlite.check" {
            out.extend(because(&EFFECT, READS));
        }
        if self.action == "sqlite.backup" {
            out.extend(because(&[Law::There], "each step makes a backup of its own: another step's is not its effect"));
            let own = "the file's name is the step's own, and no digest of it can be kept before it is made";
            out.extend(because(&[Law::Newer], own));
        }
        out
    }

    fn room(&self, _: &str) -> Room {
        self.place("live.db")
    }

    fn server(&self) -> String {
        String::new()
    }

    fn state(&self) -> String {
        let mut names: Vec<_> = std::fs::read_dir(self.path("backups")).unwrap().map(|e| e.unwrap().file_name()).collect();
        // What a copy that was given up leaves is none: nobody takes it for a backup by its name.
        names.retain(|n| n.to_str().unwrap().ends_with(".db"));
        names.sort();
        let counted = names.iter().map(|n| self.sql(&format!("backups/{}", n.to_str().unwrap()), "select count(*) from t"));
        // A look at a file that is not there must not make one.
        let live = if std::fs::exists(self.path("live.db")).unwrap() {
            self.sql("live.db", "select count(*), sum(i) from t")
        } else {
            String::new()
        };
        format!("{live}backups {}", counted.collect::<String>())
    }

    fn reset(&self) {
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        std::fs::create_dir(self.path("backups")).unwrap();
        for (name, rows) in [("backups/a.db", 2), ("live.db", 3)] {
            let values: Vec<String> = (0..rows).map(|i| format!("({i})")).collect();
            assert_eq!(self.sql(name, &format!("create table t(i); insert into t values {}", values.join(","))), "");
        }
    }

    fn meddle(&self) {
        assert_eq!(self.sql("live.db", "insert into t values (100)"), "");
    }

    fn absent(&self) -> Room {
        std::fs::remove_file(self.path("backups/a.db")).unwrap();
        std::fs::remove_file(self.path("live.db")).unwrap();
        self.place("live.db")
    }
}

#[tokio::test]
async fn files_checked() {
    hold(&Files::new("sqlite.check", json!({ "query": "select count(*) from t", "expect": 3 }))).await;
}

#[tokio::test]
async fn files_backed_up() {
    hold(&Files::new("sqlite.backup", json!({ "to": "backups/" }))).await;
}

#[tokio::test]
async fn files_restored() {
    hold(&Files::new("sqlite.restore", json!({ "backup": "latest" }))).await;
}
