//! `script` and the programs that a plan brings along: real files, started by a real supervisor.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use drplan::actions::described::{KEY, read};
use drplan::actions::{Change, Earlier, Probe};
use drplan::world::Landed;
use drplan::world::readonly::behind_glass;
use drplan::world::real::{RealSettings, world};
use serde_json::{Map, Value, json};

use super::laws::{Law, Stand, hold};
use super::room::{Room, refusal};
use super::stands::{WIRE, because};

/// An action in a directory of its own, on a world whose supervisor is the program itself.
pub fn room(action: &str, dir: &Path, with: Value) -> Room {
    let text = dir.to_str().unwrap();
    let mut room = Room::new(action, with, None, text);
    // A ticket is taken once: each room is a run of its own.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let state = dir.join(format!(".state-{}", RUNS.fetch_add(1, Ordering::Relaxed))).to_str().unwrap().to_owned();
    room.world = world(RealSettings { program: env!("CARGO_BIN_EXE_drplan").into(), ..RealSettings::new(state, text) });
    room
}

pub fn file(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn script(dir: &Path, with: Value) -> Room {
    room("script", dir, with)
}

#[tokio::test]
async fn a_script_is_given_values_by_its_environment_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "s/x.sh", "#!/bin/sh\nprintf '%s|%s|%s|' \"$#\" \"$VALUE\" \"$(pwd)\"\ncat\n");
    let mut room = script(dir.path(), json!({ "file": "./s/x.sh", "env": { "VALUE": "it's; $(touch pwned)" }, "stdin": "in" }));
    let outputs: Map<String, Value> = json!({ "all": { "pattern": "(?s).*", "type": "string" } }).as_object().unwrap().clone();
    let before = room.before().await.unwrap();
    assert_eq!(before["sha256"].as_str().map(str::len), Some(64), "{before}");
    let ctx = room.ctx(&outputs);
    let found = (room.action.apply)(&ctx, &before).await.unwrap();
    let here = dir.path().canonicalize().unwrap();
    assert_eq!(found["all"], format!("0|it's; $(touch pwned)|{}|in", here.display()));
    assert!(matches!((room.action.earlier.unwrap())(&ctx, &before).await.unwrap(), Earlier::Ended(Ok(_))), "a later driver finds its end");
    assert!(matches!(room.probe(&before).await.unwrap(), Probe::There(_)));
    // An interpreter needs no mark on the file.
    std::fs::write(dir.path().join("plain"), "echo \"$0\"; exit 3").unwrap();
    room = script(dir.path(), json!({ "file": "plain", "interpreter": ["sh", "-eu"], "exit": 3 }));
    assert_eq!(room.apply(&Value::Null).await.unwrap()["exit"], 3);
    room = script(dir.path(), json!({ "file": "plain", "interpreter": ["sh"] }));
    assert!(refusal(room.apply(&Value::Null).await).cause.contains("wanted: exit code is 0; found 3"));
}

#[tokio::test]
async fn a_script_that_changed_or_lies_elsewhere_is_not_started() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = dir.path();
    file(at, "x.sh", "#!/bin/sh\ntouch ran\n");
    let room = script(at, json!({ "file": "x.sh" }));
    let before = room.before().await.unwrap();
    file(at, "x.sh", "#!/bin/sh\ntouch ran # and more\n");
    let fault = refusal(room.apply(&before).await);
    assert!(fault.landed == Landed::No && fault.cause.contains("not as it was when the step began"), "{fault}");
    // What takes it back is another file, and is not held against the first.
    file(at, "back.sh", "#!/bin/sh\nexit 0\n");
    script(at, json!({ "file": "back.sh" })).apply(&before).await.unwrap();
    file(other.path(), "evil.sh", "#!/bin/sh\ntouch ran\n");
    symlink(other.path().join("evil.sh"), at.join("away")).unwrap();
    symlink("../../../../../../bin/sh", at.join("up")).unwrap();
    symlink(other.path(), at.join("dir")).unwrap();
    symlink("round", at.join("round")).unwrap();
    std::fs::create_dir(at.join("folder")).unwrap();
    for (path, words) in [
        ("away", "leads out of"),
        ("up", "leads out of"),
        ("dir/evil.sh", "leads out of"),
        ("round", "leads out of"),
        ("folder", "is not a file"),
        ("x.sh/x", "is not a file"),
        ("none", "is not in the plan's directory"),
        ("../x.sh", "without `..`"),
        ("/bin/true", "begins at the root"),
    ] {
        let room = script(at, json!({ "file": path }));
        for answer in [room.before().await.map(drop), room.apply(&Value::Null).await.map(drop), room.preview(&Value::Null).await.map(drop)]
        {
            let fault = refusal(answer);
            assert!(fault.landed == Landed::No && fault.cause.contains(words), "{path}: {fault}");
        }
    }
    assert!(!at.join("ran").exists());
    // A link within the directory is a way like any other.
    file(at, "real/y.sh", "#!/bin/sh\nexit 0\n");
    symlink("real/../real/y.sh", at.join("link")).unwrap();
    script(at, json!({ "file": "link" })).apply(&Value::Null).await.unwrap_or_else(|f| panic!("{f}"));
}

#[tokio::test]
async fn a_dry_run_says_which_script_and_starts_none() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "x.sh", "#!/bin/sh\ntouch ran\n");
    let mut room = script(dir.path(), json!({ "file": "x.sh" }));
    room.world = behind_glass(&room.world, false);
    let before = room.before().await.unwrap();
    let sum = Command::new("sha256sum").arg(dir.path().join("x.sh")).output().unwrap();
    let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_owned();
    let wanted = Change { what: "script".to_owned(), old: "not run".to_owned(), new: format!("./x.sh (sha256 {sum})") };
    assert_eq!(room.preview(&before).await.unwrap(), [wanted]);
    assert!(refusal(room.apply(&before).await).cause.contains("a dry run does not start"));
    room.with = json!({ "file": "x.sh", "interpreter": ["no-such-interpreter"] }).as_object().unwrap().clone();
    assert!(refusal(room.preview(&before).await).cause.contains("`no-such-interpreter` is not found"));
    assert!(!dir.path().join("ran").exists());
}

/// The compiled plan holds the script, and refuses what no script may be.
#[test]
fn a_plan_holds_the_digest_of_its_script() {
    use drplan::compile::{Input, compile};
    let plan = |with: &str| {
        format!(
            "drplan: v1\nname: p\nscenarios:\n  s:\n    cause: planned\n    steps:\n      - {{ id: a, uses: script, with: {with}, takes: 1s, outputs: {{ n: {{ type: int, json: n }} }}, undo: {{ none: \"it only adds\" }} }}\n"
        )
    };
    let compiled = |with: &str, script: &str| {
        let texts = std::collections::BTreeMap::from([("p.yaml".to_owned(), plan(with)), ("s/x.sh".to_owned(), script.to_owned())]);
        compile(&texts, "p.yaml", &Input::default()).unwrap()
    };
    let one = compiled("{ file: ./s/x.sh }", "#!/bin/sh\n");
    assert_eq!(one.checked[0].compiled().files[0].path, "s/x.sh", "{:?}", one.findings);
    assert_ne!(one.checked[0].digest(), compiled("{ file: ./s/x.sh }", "#!/bin/sh\n#\n").checked[0].digest());
    let found = |with: &str| compiled(with, "").findings.into_iter().map(|f| f.headline).collect::<Vec<_>>().join("\n");
    assert!(found("{ file: gone.sh }").contains("`./gone.sh` is not beside the plan"));
    assert!(found("{ file: ../x.sh }").contains("without `..`"));
    assert!(found("{ file: \"s/${run.id}.sh\" }").contains("must be known when the plan is compiled"));
    assert!(found("{ file: s/x.sh, interpreter: [sh, \"${run.id}\"] }").contains("no value of a plan is given to an interpreter"));
}

const NO_SERVER: &str = "a program is started on this machine: there is no server, no way to it and no password of its own";

/// A program that writes a file, as a step of its own kind.
struct Programs {
    action: &'static str,
    dir: tempfile::TempDir,
}

impl Programs {
    fn of(action: &'static str) -> Programs {
        Programs { action, dir: tempfile::tempdir().unwrap() }
    }

    fn with(&self, name: &str, key: &str) -> Room {
        let env = json!({ "KEY": key, "TO": "on" });
        let with = match self.action {
            "command" => json!({ "argv": [format!("./{name}")], "env": env }),
            "./PATH" => {
                let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/22-executables/flag.py.action.yaml");
                let says = read(&std::fs::read(sample).unwrap()).unwrap();
                json!({ "file": "switch", "word": "on\n", "token": key, KEY: { "path": name.replace("switch.sh", "flag.py"), "says": says } })
            }
            _ => json!({ "file": name, "env": env }),
        };
        room(self.action, self.dir.path(), with)
    }
}

#[async_trait]
impl Stand for Programs {
    fn action(&self) -> &'static str {
        self.action
    }

    fn cannot(&self) -> Vec<(Law, &'static str)> {
        let mut out = because(&WIRE, NO_SERVER);
        out.extend(because(&[Law::Twice], "an attempt is started once: the supervisor refuses it a second time"));
        if self.action == "./PATH" {
            out.extend(because(&[Law::Undo], "`drplan action test` asks it of each executable, and another test of a plan that uses one"));
            return out;
        }
        out.extend(because(&[Law::Newer], "its probe knows how it ended, and not what it did: a `check` of the step tells"));
        out.extend(because(&[Law::Undo], "what takes it back the plan names"));
        out
    }

    fn room(&self, _: &str) -> Room {
        self.with("switch.sh", "s3cret-key-of-ours")
    }

    fn server(&self) -> String {
        String::new()
    }

    fn state(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("switch")).unwrap_or_default()
    }

    fn reset(&self) {
        file(self.dir.path(), "switch.sh", "#!/bin/sh\necho \"it has $KEY\"; echo \"$TO\" > switch\n");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/22-executables/flag.py"), self.dir.path().join("flag.py")).unwrap();
        std::fs::write(self.dir.path().join("switch"), "off\n").unwrap();
    }

    fn meddle(&self) {
        std::fs::write(self.dir.path().join("switch"), "somebody's\n").unwrap();
    }

    fn absent(&self) -> Room {
        self.with("none.sh", "")
    }

    fn secret(&self) -> String {
        "s3cret-key-of-ours".to_owned()
    }

    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.with("switch.sh", "${secrets.key}"), vec![("SECRET_KEY".to_owned(), self.secret())])
    }
}

#[tokio::test]
async fn commands_run() {
    hold(&Programs::of("command")).await;
}

#[tokio::test]
async fn scripts_run() {
    hold(&Programs::of("script")).await;
}

#[tokio::test]
async fn executables_run() {
    hold(&Programs::of("./PATH")).await;
}
