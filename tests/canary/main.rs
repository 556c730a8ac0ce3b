//! Canaries: secrets from every provider, in every place that takes one, said by commands and servers in every way that
//! programs do. Afterwards everything that the program wrote, printed, sent or started is searched for every form of them.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "../support/desk.rs"]
#[expect(dead_code, reason = "secrets are given to every call of the program here")]
mod desk;
mod forms;
mod servers;
#[path = "../support/sinks.rs"]
#[expect(dead_code, reason = "nobody waits for what arrives here")]
mod sinks;

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use desk::{Desk, Said, said};
use forms::{Needle, found, needles};
use sinks::Sink;

const ENV: &str = "c4n@ry/env+va\"l\\ü&x=%<1>";
const FILE: &str = "c4nary-file/s3cret+va\"l\\&x=%<2>";
const COMMAND: &str = "c4nary-command s3cret va'lue#3";
const POSTGRES: &str = "c4nary-postgres/s3cret+4";
const HOOK: &str = "c4nary-hook-token-5";
const BOX: &str = "c4nary-box-6@example.com";
const SMTP: &str = "c4nary-smtp-s3cret-7";
const AWS: &str = "c4nary-aws-s3cret/key+8";
/// Of this test alone: what others plant is seen on the whole machine.
const PLANTED: &str = "planted-s3cret/key+9";
const KEY: &str = "-----BEGIN CANARY KEY-----\nc4naryMIIEvQIBADANBgkq\nc4naryhkiG9w0BAQEFAASC\n-----END CANARY KEY-----\n";

/// Steps that are given secrets and say them, well and badly; targets that give them back; one that was given none.
fn plan(http: &str, postgres: &str) -> String {
    let port = postgres.rsplit(':').next().unwrap();
    let say = |id: &str, how: &str, given: &str, rest: &str| {
        format!(
            "      - {{ id: {id}, uses: command, with: {{ argv: [/usr/bin/python3, say.py, {how}], {given} }}, takes: 5s, undo: {{ none: said }}, {rest} }}\n"
        )
    };
    let go_on = "on_failure: continue, effect: read";
    let steps = [
        say("whole", "whole", "env: { S: \"${secrets.e}\" }", "outputs: { all: { pattern: \"(?s).*\" }, some: { pattern: \"<(.*)>\" } }"),
        say("pieces", "pieces", "env: { S: \"${secrets.f}\" }", "outputs: { all: { pattern: \"x([^x]{1,200})x\" } }"),
        say("by-stdin", "both", "stdin: \"${secrets.c}\"", "outputs: { all: { pattern: \"(?s).{0,3000}\" } }"),
        say("fails", "whole", "env: { S: \"${secrets.e}\", E: \"3\" }", go_on),
        say("hangs", "both, hang", "env: { S: \"${secrets.f}\" }", &format!("timeout: 2s, {go_on}")),
        say(
            "no-number",
            "whole",
            "env: { S: \"${secrets.e}\" }",
            &format!("outputs: {{ n: {{ type: int, pattern: \"<.*>\" }} }}, {go_on}"),
        ),
        say("no-json", "whole", "env: { S: \"${secrets.c}\" }", &format!("outputs: {{ n: {{ json: a.b }} }}, {go_on}")),
        say("many-lines", "whole", "env: { S: \"${secrets.k}\" }", "outputs: { all: { pattern: \"(?s).*\" } }"),
        say("prefixed", "whole", "env: { S: \"Bearer ${secrets.e}\" }", "outputs: { all: { pattern: \"(?s).*\" } }"),
    ];
    let checked = |id: &str, expect: &str| {
        format!(
            "      - {{ id: {id}, phase: verify, asset: web, uses: http.check, with: {{ headers: {{ x-key: \"${{secrets.f}}\", authorization: \"Bearer ${{secrets.f}}\" }}{expect} }}, takes: 1s, on_failure: continue }}\n"
        )
    };
    format!(
        r##"
drplan: v1
name: canary
owner: ops
secrets:
  e: {{ env: CANARY_E }}
  f: {{ file: f.secret }}
  c: {{ command: [cat, c.secret] }}
  k: {{ file: k.secret }}
  p: {{ env: CANARY_P }}
  hook: {{ env: CANARY_HOOK }}
  box: {{ env: CANARY_BOX }}
contacts:
  ops: {{ webhook: "${{secrets.hook}}", email: "${{secrets.box}}" }}
assets:
  web: {{ kind: http, tier: none, connect: {{ url: "http://{http}/page" }} }}
  db: {{ kind: postgres, tier: none, connect: {{ host: 127.0.0.1, port: {port}, database: d, user: u, password: "${{secrets.p}}", sslmode: disable }} }}
  store: {{ kind: s3, tier: none, connect: {{ bucket: b, region: eu-west-1, endpoint: "http://{http}" }} }}
scenarios:
  all:
    cause: planned
    steps:
      - {{ id: taken-back, uses: command, with: {{ argv: ["true"] }}, takes: 1s, undo: {{ uses: command, with: {{ argv: [/usr/bin/python3, say.py, whole], env: {{ S: "${{secrets.e}}", E: "4" }} }} }} }}
{}{}{}{}      - {{ id: asked, phase: verify, asset: db, uses: postgres.check, with: {{ query: "select 1", expect: 1 }}, takes: 1s, on_failure: continue }}
      - {{ id: objects, phase: verify, asset: store, uses: s3.check, with: {{}}, takes: 1s, on_failure: continue }}
      - {{ id: checked, uses: command, with: {{ argv: ["true"] }}, check: {{ uses: command, effect: read, with: {{ argv: [/usr/bin/python3, say.py, whole], env: {{ S: "${{secrets.c}}", E: "5" }} }} }}, takes: 1s, on_failure: continue, undo: {{ none: no }} }}
      - {{ id: not-given, uses: command, with: {{ argv: [sh, -c, "tr '\\0' '\\n' < /proc/self/environ > own-environ.txt; env; env >&2; cat f.secret c.secret k.secret"] }}, takes: 1s, outputs: {{ all: {{ pattern: "(?s).*" }} }}, undo: {{ none: no }} }}
      - {{ id: fails-ungiven, uses: command, effect: read, with: {{ argv: [sh, -c, "cat f.secret c.secret >&2; env; exit 6"] }}, takes: 1s, on_failure: continue }}
      - {{ id: used, uses: command, with: {{ argv: [sh, -c, "cat", "${{steps.whole.some}}", "${{steps.not-given.all}}"], stdin: "${{steps.whole.all}}" }}, takes: 1s, undo: {{ none: no }} }}
      - {{ id: gate, uses: approval, phase: recover, with: {{ ask: "Go on?", from: [ops] }}, takes: 1m }}
"##,
        steps.concat(),
        checked("echoed", ", expect: { status: 200, body: none, headers: { x-echo: none } }"),
        checked("echoed-json", ", expect: { json: { at-the-cut: none } }"),
        checked("passes", ""),
    )
}

/// A desk with its secrets beside it.
fn laid(plan: &str) -> Desk {
    let desk = Desk::new(plan);
    std::fs::write(desk.path("say.py"), include_str!("say.py")).unwrap();
    for (name, secret) in [("f.secret", FILE), ("c.secret", COMMAND), ("k.secret", KEY)] {
        std::fs::write(desk.path(name), secret).unwrap();
    }
    desk
}

/// The program with everything that it needs to know.
fn program(desk: &Desk, hook: &str, smtp: &str, words: &[&str]) -> Command {
    let mut program = desk.program(words);
    program.envs([("CANARY_E", ENV), ("CANARY_P", POSTGRES), ("CANARY_HOOK", hook), ("CANARY_BOX", BOX)]);
    program.envs([("DRPLAN_SMTP", smtp), ("DRPLAN_SMTP_PASSWORD", SMTP), ("DRPLAN_SMTP_FROM", "drplan@example.com")]);
    program.envs([("AWS_ACCESS_KEY_ID", "AKIACANARY"), ("AWS_SECRET_ACCESS_KEY", AWS), ("AWS_EC2_METADATA_DISABLED", "true")]);
    program.envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]);
    program
}

/// Looks at the arguments of every process on this machine until it is told to stop.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn begin() -> Watch {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
        let (ended, keep) = (Arc::clone(&stop), Arc::clone(&seen));
        let look = move || {
            while !ended.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    keep.lock().unwrap().insert(String::from_utf8_lossy(&line).into_owned());
                }
            }
        };
        Watch { stop, seen, thread: Some(std::thread::spawn(look)) }
    }

    fn end(mut self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// Every file below a directory but those that hold the secrets on purpose.
fn files(dir: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let own = path.extension().is_some_and(|x| x == "secret") || path.ends_with("say.py");
        if path.is_dir() {
            files(&path, out);
        } else if !own {
            out.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

/// Everything that was written, printed, sent and started, by name.
fn everything(desk: &Desk, hooks: &Sink, mails: &Sink, say: &dyn Fn(&[&str]) -> Said) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let watch = Watch::begin();
    let mut keep = |words: &[&str]| {
        let said = say(words);
        let all = format!("{}\n{}", said.out, said.err).into_bytes();
        out.push((format!("drplan {} ({:?})", words.join(" "), said.code), all));
        said
    };
    let ran = keep(&["run", "--yes"]);
    assert_eq!(ran.code, Some(11), "{ran:?}");
    let run = ran.err.split("\nrun ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let export = desk.path("export.jsonl").display().to_string();
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["log"],
        &["log", "--json"],
        &["runs", "--json"],
        &["lease", "show"],
        &["journal", "verify"],
        &["journal", "export", &run, "--out", &export],
        &["doctor", "plan.yaml", "--trust-declared"],
        &["dry-run", "plan.yaml", "--trust-declared"],
        &["dry-run", "plan.yaml", "--json"],
        &["render", "plan.yaml"],
        &["check", "plan.yaml", "--format", "json"],
        &["approve", "gate", "--as", "nobody"],
        &["resume", "--yes", "--json"],
        &["rollback", "--yes", "--reason", "enough"],
        &["status"],
        &["log", "--json"],
        &["resume", "--yes"],
    ] {
        keep(words);
    }
    out.extend(watch.end().into_iter().map(|line| ("the arguments of a process".to_owned(), line.into_bytes())));
    out.extend(hooks.all().into_iter().map(|body| ("a webhook".to_owned(), body.into_bytes())));
    // The receiver's own address is what a mail is sent to.
    let letters = mails.all().into_iter().map(|letter| letter.replace(BOX, "to whom it goes"));
    out.extend(letters.map(|letter| ("a mail".to_owned(), letter.into_bytes())));
    files(&desk.path(""), &mut out);
    out
}

/// All processes of the machine are looked at: one hunt at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn hunt(plan: impl Fn(&str, &str) -> String, hidden: &[&str]) -> (Vec<String>, Vec<(String, Vec<u8>)>) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (hooks, mails) = (Sink::http(503), Sink::smtp(true));
    let (echo, database) = (servers::echo(), servers::postgres());
    let desk = laid(&plan(&echo, &database));
    let (hook, smtp) = (format!("http://{}/{HOOK}", hooks.at), format!("smtp://{}", mails.at));
    let say = |words: &[&str]| said(&mut program(&desk, &hook, &smtp, words));
    let all = everything(&desk, &hooks, &mails, &say);
    let needles: Vec<Needle> = hidden.iter().flat_map(|secret| needles(secret)).collect();
    let hits = all.iter().flat_map(|(place, bytes)| found(bytes, &needles).into_iter().map(move |form| format!("{place}: {form}")));
    (hits.collect(), all)
}

#[test]
fn no_canary_is_heard_of_again() {
    let hidden = [ENV, FILE, COMMAND, POSTGRES, HOOK, BOX, SMTP, AWS, "c4naryMIIEvQIBADANBgkq", "c4naryhkiG9w0BAQEFAASC"];
    let (hits, all) = hunt(plan, &hidden);
    let environ = all.iter().find(|(place, _)| place.ends_with("own-environ.txt")).unwrap();
    assert!(String::from_utf8_lossy(&environ.1).contains("DRPLAN_TICKET="), "it wrote down its environment");
    let allowed = |hit: &String| hit.contains("own-environ.txt") && hit.ends_with("of c4nary-aw");
    let hits: Vec<String> = hits.into_iter().filter(|hit| !allowed(hit)).collect();
    assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
    let log = all.iter().rfind(|(place, _)| place.starts_with("drplan log --json")).unwrap();
    let log = String::from_utf8_lossy(&log.1).into_owned();
    // Every one of them came as far as it was meant to: it was used, struck out, and told.
    for step in ["whole", "pieces", "by-stdin", "many-lines", "prefixed", "not-given"] {
        let line = log.lines().find(|l| l.contains("\"event\":\"done\"") && l.contains(&format!("\"step\":\"{step}\"")));
        assert!(line.is_some_and(|l| l.contains("[secret]")), "{step}: {log}");
    }
    for step in ["fails", "hangs", "no-number", "no-json", "echoed", "echoed-json", "asked", "objects", "checked", "fails-ungiven"] {
        assert!(log.lines().any(|l| l.contains("\"event\":\"failed\"") && l.contains(&format!("\"step\":\"{step}\""))), "{step}: {log}");
    }
    for words in ["found \\\"[secret]", "(28P01)", "could not be told", "\"event\":\"lease_taken\""] {
        let told = all.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(words));
        assert!(told, "{words} stands nowhere: {log}");
    }
}

#[test]
fn what_is_no_secret_is_found_in_every_one_of_these_places() {
    // The same plan with values that nobody called secrets: then it must be seen everywhere.
    let open = |http: &str, postgres: &str| {
        let text = plan(http, postgres).replace("${secrets.e}", "${params.e}").replace("  e: { env: CANARY_E }\n", "");
        let value = serde_json::to_string(ENV).unwrap();
        text.replace("name: canary\n", &format!("name: canary\nparams: {{ e: {{ type: string, default: {value} }} }}\n"))
    };
    let (hits, _) = hunt(open, &[ENV]);
    for place in
        ["drplan status", "drplan log (", "drplan log --json", "journal/j.db", "export.jsonl", ".md", "drplan run", "commands.jsonl"]
    {
        assert!(hits.iter().any(|hit| hit.contains(place)), "nothing is found in {place}: {hits:#?}");
    }
    for form in ["plain", "JSON", "URL", "base64", "hexadecimal"] {
        assert!(hits.iter().any(|hit| hit.contains(&format!(": {form}"))), "not found as {form}: {hits:#?}");
    }
}

#[test]
fn each_form_is_found_where_it_is_planted() {
    let written = Command::new("/usr/bin/python3")
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/canary/say.py"), "whole"])
        .env("S", ENV)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let all = found(&written.stdout, &needles(ENV));
    for needle in needles(ENV) {
        // What `say.py` says holds every form but those of other tools.
        let said = all.contains(&needle.name.to_owned()) || needle.rare;
        assert!(said, "{} is not found", needle.name);
    }
    let watch = Watch::begin();
    let mut planted = Command::new("sleep").arg("1000").arg0(PLANTED).spawn().unwrap();
    while !watch.seen.lock().unwrap().iter().any(|line| line.contains(PLANTED)) {
        std::thread::yield_now();
    }
    planted.kill().unwrap();
    planted.wait().unwrap();
    assert!(watch.end().iter().any(|line| !found(line.as_bytes(), &needles(PLANTED)).is_empty()));
}

#[test]
fn what_a_panic_prints_of_a_call_holds_no_secret() {
    let command = drplan::world::Command {
        ticket: "r/s/1".to_owned(),
        argv: vec!["psql".to_owned()],
        env: [("PGPASSWORD".to_owned(), ENV.to_owned())].into(),
        cwd: None,
        stdin: Some(FILE.to_owned()),
        timeout_ms: None,
        begin_by: None,
        keep_bytes: 1,
        secrets: vec![ENV.to_owned(), FILE.to_owned()],
    };
    let request = drplan::world::Request {
        url: format!("http://h/{HOOK}"),
        headers: vec![("x".to_owned(), FILE.to_owned())],
        body: Some(ENV.to_owned()),
        ..Default::default()
    };
    let target = drplan::world::PgTarget { host: "h".to_owned(), password: Some(POSTGRES.to_owned()), ..Default::default() };
    let smtp = drplan::world::real::Smtp { url: "smtp://h".to_owned(), password: Some(SMTP.to_owned()), from: None };
    let text = format!("{command:?}{request:?}{target:?}{smtp:?}");
    let needles: Vec<Needle> = [ENV, FILE, POSTGRES, HOOK, SMTP].iter().flat_map(|s| needles(s)).collect();
    assert!(text.contains("psql") && found(text.as_bytes(), &needles).is_empty(), "{text}");
}
