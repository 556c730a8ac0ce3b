//! `drplan action`: the samples keep every law, an executable that breaks one is told which, and a plan that uses one runs,
//! dies, goes on and takes back as any other.

mod support {
    #[expect(dead_code, reason = "each test asks for a part of it")]
    pub mod desk;
}

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::desk::Desk;

fn drplan(words: &[&str], bad: &str) -> (Option<i32>, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_drplan")).args(words).env("BAD", bad).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_samples_keep_every_law_and_are_described_beside_them() {
    for name in ["flag.py", "mark.sh"] {
        let path = place("examples/22-executables").join(name);
        let beside = format!("{}.action.yaml", path.display());
        let (code, said, err) = drplan(&["action", "describe", path.to_str().unwrap()], "");
        assert_eq!(code, Some(0), "{err}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&beside, &said).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), said, "{name}: UPDATE_DOCS=1 writes it");
        let (code, said, err) = drplan(&["action", "test", path.to_str().unwrap()], "");
        assert!(code == Some(0) && !said.contains('✗') && said.contains("keeps every law"), "{name}\n{said}{err}");
    }
}

#[test]
fn an_executable_that_breaks_a_law_is_told_which() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.py");
    std::fs::copy(place("tests/lab/executables/bad.py"), &bad).unwrap();
    let bad = bad.to_str().unwrap();
    let beside = format!("{bad}.action.yaml");
    std::fs::write(&beside, drplan(&["action", "describe", bad], "").1).unwrap();
    let laws = |breaks: &str| {
        let (code, said, err) = drplan(&["action", "test", bad, "--json"], breaks);
        let found: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}{err}"));
        let all = found["laws"].as_array().unwrap().clone();
        let broken = all.iter().filter(|l| l["said"] == "broken").map(|l| l["law"].as_str().unwrap().to_owned());
        (code, broken.collect::<Vec<_>>())
    };
    assert_eq!(laws(""), (Some(0), vec![]), "{:?}", drplan(&["action", "test", bad], ""));
    for law in ["garbage", "looks", "applies", "there", "twice", "undo", "undo twice", "secret", "ends"] {
        let (code, broken) = laws(law);
        assert!(code == Some(1) && broken.iter().any(|b| b == law), "{law}: {broken:?}");
    }
    assert_eq!(laws("describes").1.len(), 11, "of what does not describe itself nothing is known");
    std::fs::remove_file(&beside).unwrap();
    assert_eq!(laws(""), (Some(1), vec!["beside".to_owned()]));
    assert_eq!(drplan(&["action", "test", "/no/such/file"], "").0, Some(3));
    assert_eq!(drplan(&["action", "test", bad, "-f", "x"], "").0, Some(2));
}

fn desk() -> Desk {
    let plan = "drplan: v1\nname: own\nsecrets: { token: { env: TOKEN } }\nassets: { shop: { kind: other, tier: none } }\nscenarios:\n  s:\n    \
                cause: planned\n    steps:\n      - { id: close, asset: shop, uses: ./flag.py, with: { file: notice, word: closed, token: \"${secrets.token}\" }, takes: 1s, undo: auto }\n      \
                - { id: size, asset: shop, uses: command, with: { argv: [test, \"${steps.close.bytes}\", \"=\", \"7\"] }, effect: read, phase: verify, takes: 1s }\n";
    let desk = Desk::new(plan);
    for name in ["flag.py", "flag.py.action.yaml"] {
        std::fs::copy(place("examples/22-executables").join(name), desk.path(name)).unwrap();
    }
    desk
}

#[test]
fn a_plan_runs_it_and_takes_it_back() {
    let desk = desk();
    let say = |words: &[&str]| support::desk::said(desk.program(words).env("TOKEN", "s3cret-token-of-ours"));
    let dry = say(&["dry-run"]);
    assert!(dry.code == Some(0) && dry.out.contains("would run ./flag.py: Write `closed` into `notice` (sha256"), "{dry:?}");
    let trusting = say(&["dry-run", "--trust-declared"]);
    assert!(trusting.code == Some(0) && !desk.path("notice").exists(), "{trusting:?}");
    let page = say(&["render"]);
    assert!(page.out.contains("FILE=notice WORD=closed sh -c 'printf %s \"$WORD\" > \"$FILE\"'"), "{page:?}");
    std::fs::write(desk.path("notice"), "open").unwrap();
    let ran = say(&["run", "--yes"]);
    assert_eq!((ran.code, desk.text("notice").as_str()), (Some(11), "closed"), "six bytes are not seven: {ran:?}");
    let run = say(&["runs", "--json"]).out;
    let id = run.split("own-").nth(1).and_then(|t| t.split('"').next()).map(|t| format!("own-{t}")).unwrap();
    assert!(!say(&["log", &id, "--json"]).out.contains("s3cret"), "no secret is kept");
    let back = say(&["rollback", &id, "--yes", "--reason", "tried"]);
    assert_eq!((back.code, desk.text("notice").as_str()), (Some(10), "open"), "{back:?}");
}

#[test]
fn what_changed_since_it_was_compiled_is_not_started() {
    let desk = desk();
    let say = |words: &[&str]| support::desk::said(desk.program(words).env("TOKEN", "s3cret-token-of-ours"));
    let whole = desk.path("whole.json");
    assert_eq!(say(&["compile", desk.path("plan.yaml").to_str().unwrap(), "-o", whole.to_str().unwrap()]).code, Some(0));
    std::fs::OpenOptions::new()
        .append(true)
        .open(desk.path("flag.py"))
        .and_then(|mut f| std::io::Write::write_all(&mut f, b"# more\n"))
        .unwrap();
    let ran = say(&["run", whole.to_str().unwrap(), "--yes"]);
    assert!(ran.code == Some(13) && !desk.path("notice").exists(), "{ran:?}");
}
