//! `drplan doctor` says before the incident what would be in the way, and changes nothing while it looks.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
    #[expect(dead_code, reason = "nothing arrives here")]
    pub mod sinks;
    #[expect(dead_code, reason = "faults and syncs are for other tests")]
    pub mod strace;
}

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::desk::{Desk, said};
use support::sinks::Sink;
use support::strace::trace;

/// What a run would need, all of it at these addresses.
fn plan(http: &str, program: &str) -> String {
    format!(
        r#"
drplan: v1
name: looked-at
owner: ops
secrets:
  hook: {{ env: HOOK }}
  told: {{ command: [sh, -c, "echo asked >> asked; printf a-long-%s secret"] }}
contacts:
  ops: {{ webhook: "${{secrets.hook}}" }}
  cto: {{ email: cto@example.com }}
params: {{ where: {{ type: string }} }}
assets:
  db: {{ kind: sqlite, tier: none, connect: {{ path: db.sqlite }} }}
  web: {{ kind: http, tier: none, connect: {{ url: "http://{http}/web" }} }}
scenarios:
  move:
    cause: planned
    steps:
      - {{ id: see, phase: assess, uses: command, effect: read, with: {{ argv: [sh, -c, "echo ran >> ran"] }}, takes: 1s }}
      - {{ id: page, phase: assess, asset: web, uses: http.check, with: {{ url: "http://{http}/page" }}, takes: 1s }}
      - {{ id: later, phase: assess, uses: http.check, with: {{ url: "http://${{params.where}}/" }}, takes: 1s }}
      - {{ id: look, phase: verify, asset: db, uses: sqlite.check, with: {{ integrity: true }}, takes: 1s }}
      - {{ id: act, uses: command, with: {{ argv: [{program}] }}, takes: 1s, undo: {{ none: done }} }}
"#
    )
}

fn database(desk: &Desk) {
    // A whole database of one page, as SQLite makes it: the program's own journal of another desk is one.
    let other = Desk::new(
        "drplan: v1\nname: other\nscenarios: { s: { cause: planned, steps: [{ id: a, uses: command, effect: read, with: { argv: [\"true\"] }, takes: 1s }] } }",
    );
    assert_eq!(other.say(&["run", "--yes"]).code, Some(0));
    std::fs::copy(other.journal(), desk.path("db.sqlite")).unwrap();
}

/// Every file below a directory, with its bytes.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                out.insert(path.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    out
}

#[test]
fn what_is_good_is_good_and_nothing_is_touched() {
    let (web, mail) = (Sink::http(200), Sink::smtp(false));
    let desk = Desk::new(&plan(&web.at, "ls"));
    database(&desk);
    let before = tree(&desk.path("."));
    let hook = format!("http://{}/hook/s3cret-path", web.at);
    let mut program = desk.program(&["doctor"]);
    program.args(["-p", &format!("where={}", web.at)]).env("HOOK", &hook).env("DRPLAN_SMTP", format!("smtp://{}", mail.at));
    let seen = trace("openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,ftruncate,execve", &program);
    let out = String::from_utf8_lossy(&seen.output.stdout).into_owned();
    assert_eq!(seen.output.status.code(), Some(0), "{out}{}", String::from_utf8_lossy(&seen.output.stderr));
    for line in [
        "ok    secret",
        "ok    program   ls",
        "db.sqlite is a database",
        "page of later",
        "the host of its webhook answers",
        "the mail server answers",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(out.contains("a run could begin from here") && !out.contains("s3cret-path"), "{out}");
    // Neither by what is there afterwards, nor by what it asked of the kernel or of the others.
    assert_eq!(tree(&desk.path(".")).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_eq!(tree(&desk.path(".")), before);
    let writes = |args: &str| ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| args.contains(flag));
    let own = |args: &str| ["\"/dev/", "\"/proc/"].iter().any(|place| args.contains(place));
    let touched: Vec<_> = seen
        .calls
        .iter()
        .filter(|c| match c.name.as_str() {
            "openat" | "open" => writes(&c.args) && !own(&c.args),
            "execve" => false,
            _ => true,
        })
        .collect();
    assert_eq!(touched.len(), 0, "{touched:#?}");
    assert_eq!(seen.calls.iter().filter(|c| c.name == "execve").count(), 1, "nothing but itself is started");
    assert_eq!((web.all().len(), mail.all().len()), (0, 0), "nobody was told anything");
}

#[test]
fn what_is_in_the_way_is_named_with_what_to_do() {
    let desk = Desk::new(&plan("127.0.0.1:1", "no-such-program"));
    let doctor = desk.say(&["doctor"]);
    assert_eq!((doctor.code, doctor.err.contains("panicked")), (Some(1), false), "{doctor:?}");
    for line in [
        "FAIL  secret    hook",
        "export HOOK=…",
        "FAIL  program   no-such-program",
        "`act` needs it",
        "127.0.0.1:1 cannot be reached",
        "there is no file",
        "no mail server is set",
        "warn  param     where",
        "only `params.where` says",
        "warn  secret    told",
        "--trust-declared lets doctor start it",
        "on this machine alone",
        "there is none yet",
        "a run would fail from here",
    ] {
        assert!(doctor.out.contains(line), "{line}:\n{}", doctor.out);
    }
    let json: Value = serde_json::from_str(&desk.say(&["doctor", "--json"]).out).unwrap();
    assert_eq!(json["level"], "fail");
    assert!(json["lines"].as_array().unwrap().iter().any(|l| l["area"] == "program" && l["level"] == "fail"), "{json:#}");
    assert_eq!((desk.text("asked"), desk.text("ran")), (String::new(), String::new()));
    // Only what gives a secret is started, only when that was allowed, and what it gives is not shown.
    let trusted = said(desk.program(&["doctor", "--trust-declared"]).env("HOOK", "http://127.0.0.1:1/x"));
    assert!(trusted.out.contains("ok    secret    told") && !trusted.out.contains("a-long-secret"), "{trusted:?}");
    assert!(desk.text("asked").contains("asked") && desk.text("ran").is_empty(), "{trusted:?}");
    assert!(!desk.path("journal").exists(), "no journal is made");
}

#[test]
fn what_stands_in_the_journal_is_said() {
    let desk = Desk::new(
        "drplan: v1\nname: open\ncontacts: { ops: { title: Ops } }\nscenarios: { s: { cause: planned, steps: [{ id: ask, uses: approval, with: { ask: \"Go?\", from: [ops] }, takes: 1s }] } }",
    );
    assert_eq!(desk.say(&["run", "--yes"]).code, Some(11));
    let before = desk.say(&["journal", "verify"]).out;
    let doctor = desk.say(&["doctor"]);
    assert!(doctor.code == Some(0) && doctor.out.contains("it is unfinished, and nobody drives it"), "{doctor:?}");
    assert!(doctor.out.contains("it answers; schema"), "{doctor:?}");
    assert_eq!(desk.say(&["journal", "verify"]).out, before);
}
