//! Forty hostile values as parameters, as what commands, servers and databases give, and as what people say: through a
//! whole run, the terminal, the journal's commands, findings and the ticked runbook. None is executed, none breaks a page,
//! and no terminal obeys one.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "../support/desk.rs"]
mod desk;
#[path = "../support/typed.rs"]
mod typed;
#[path = "../support/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use desk::{Desk, Said, said};
use drplan::journal::{self, Event, Place, Word};
use serde_json::{Map, Value, json};
use typed::{blocks, found};
use values::{VALUES, obeyed};

/// Says a value, and keeps what it was given.
const SAY: &str = "import json, os, sys
value = json.load(open('values.json'))[int(sys.argv[1])]
if sys.argv[2] == 'keep':
    json.dump({'argv': sys.argv[3:], 'env': os.environ.get('A'), 'stdin': sys.stdin.buffer.read().decode()}, open(f'kept-{sys.argv[1]}.json', 'w'))
else:
    (sys.stderr if sys.argv[2] == 'fail' else sys.stdout).buffer.write(value.encode())
    sys.exit(3 if sys.argv[2] == 'fail' else 0)
";

/// Every value by every way in.
fn plan(server: &str, ways: &[&str]) -> String {
    let mut params = String::new();
    let mut steps = String::new();
    for i in 0..VALUES.len() {
        params.push_str(&format!("  p{i}: {{ type: string }}\n"));
        let step = |id: &str, rest: &str| {
            if !ways.contains(&id) {
                return String::new();
            }
            format!(
                "      - {{ id: {id}-{i}, needs: [{}], takes: 1s, {rest} }}\n",
                if id == "use" { format!("say-{i}") } else { String::new() }
            )
        };
        let say = |how: &str| format!("uses: command, with: {{ argv: [/usr/bin/python3, say.py, \"{i}\", {how}] }}");
        steps.push_str(&step("say", &format!("{}, effect: read, outputs: {{ said: {{ pattern: \"(?s).*\" }} }}", say("say"))));
        steps.push_str(&step(
            "use",
            &format!(
                "uses: command, with: {{ argv: [/usr/bin/python3, say.py, \"{i}\", keep, \"${{params.p{i}}}\", \"${{steps.say-{i}.said}}\"], env: {{ A: \"${{params.p{i}}}\" }}, stdin: \"${{steps.say-{i}.said}}\" }}, effect: read, on_failure: continue"
            ),
        ));
        steps.push_str(&step("fail", &format!("{}, effect: read, on_failure: continue", say("fail"))));
        steps.push_str(&step(
            "page",
            &format!("uses: http.check, with: {{ url: \"http://{server}/{i}\", expect: {{ json: {{ v: no-such-value }} }} }}, on_failure: continue"),
        ));
        steps.push_str(&step(
            "row",
            &format!("phase: verify, asset: db, uses: sqlite.check, with: {{ query: \"select v from t where i = {i}\", expect: no-such-value }}, on_failure: continue"),
        ));
    }
    let all: String = (0..VALUES.len()).map(|i| format!("<${{params.p{i}}}> ")).collect();
    format!(
        "drplan: v1\nname: hostile\ncontacts: {{ ops: {{ title: Operations }} }}\nparams:\n{params}assets: {{ db: {{ kind: sqlite, tier: none, connect: {{ path: t.db }} }} }}\n\
         scenarios:\n  all:\n    cause: planned\n    steps:\n{steps}      - {{ id: gate, phase: close, uses: approval, with: {{ ask: \"{all}\", from: [ops] }}, takes: 1m }}\n"
    )
}

/// A page for each value, which holds it.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            lines.read_line(&mut first).unwrap();
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let i: usize = first.split(['/', ' ']).find_map(|word| word.parse().ok()).unwrap();
            let body = json!({ "v": VALUES[i].1 }).to_string();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    at
}

fn laid(ways: &[&str]) -> Desk {
    let desk = Desk::new(&plan(&server(), ways));
    let all: Vec<&str> = VALUES.iter().map(|(_, value)| *value).collect();
    std::fs::write(desk.path("values.json"), json!(all).to_string()).unwrap();
    std::fs::write(desk.path("say.py"), SAY).unwrap();
    // A NUL is no parameter; see below.
    let params: Map<String, Value> = all.iter().enumerate().map(|(i, v)| (format!("p{i}"), json!(v.replace('\0', "")))).collect();
    let coded = |c: char| if obeyed(c) && (c as u32) < 0x1_0000 { format!("\\u{:04x}", c as u32) } else { c.to_string() };
    std::fs::write(desk.path("params.yaml"), Value::Object(params).to_string().chars().map(coded).collect::<String>()).unwrap();
    let made = "import json, sqlite3\nwith sqlite3.connect('t.db') as db:\n    db.execute('create table t (i integer, v text)')\n    db.executemany('insert into t values (?, ?)', enumerate(json.load(open('values.json'))))";
    assert_eq!(said(Command::new("/usr/bin/python3").args(["-c", made]).current_dir(desk.path(""))).code, Some(0));
    desk
}

#[track_caller]
fn harmless(what: &str, text: &str) {
    let bad = text.char_indices().find(|(_, c)| obeyed(*c) && *c != '\n' && *c != '\t');
    if let Some((at, c)) = bad {
        let around: String = text[at.saturating_sub(200).min(at)..].chars().take(120).collect();
        panic!("{what} holds {c:?}: {around:?}");
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"))).collect()
}

const RUN: [&str; 6] = ["run", "--yes", "--params-file", "params.yaml", "--parallel", "4"];

#[test]
fn a_run_carries_them_and_obeys_none() {
    let desk = laid(&["say", "use", "fail", "page", "row"]);
    let ran = desk.say(&RUN);
    assert_eq!(ran.code, Some(11), "{ran:?}");
    // They arrived as they are, whole, as one argument each.
    for (i, (what, value)) in VALUES.iter().enumerate().filter(|(_, (_, value))| !value.contains('\0')) {
        let kept: Value = serde_json::from_str(&desk.text(&format!("kept-{i}.json"))).unwrap_or_else(|e| panic!("{what}: {e}: {ran:?}"));
        assert_eq!(kept, json!({ "argv": [value, value], "env": value, "stdin": value }), "{what}");
    }
    assert!(!found(&desk.path("")), "something was executed");
    let run: Value = lines(&desk.say(&["log", "--json"]).out).remove(0)["run"].clone();
    let run = run.as_str().unwrap();
    let mut outputs = BTreeMap::new();
    for words in [&["status"][..], &["log"], &["runs"], &["lease", "show"], &["status", "--json"], &["runs", "--json"], &["log", "--json"]]
    {
        let Said { code, out, err } = desk.say(words);
        assert_eq!(code, Some(0), "{words:?}: {err}");
        harmless(&format!("{words:?}"), &out);
        harmless(&format!("{words:?}"), &err);
        match words {
            ["log", "--json"] => {
                for line in lines(&out) {
                    let event = &line["event"];
                    if let (Some("done"), Some(step)) = (event["event"].as_str(), event["step"].as_str()) {
                        outputs.insert(step.to_owned(), event["outputs"]["said"].clone());
                    }
                }
            }
            [_, "--json"] => drop(serde_json::from_str::<Value>(&out).unwrap()),
            ["log"] => {
                let clocked = |line: &&str| line.len() > 8 && line.as_bytes()[2] == b':' && line.as_bytes()[5] == b':';
                assert_eq!(out.lines().filter(clocked).count(), out.lines().count(), "an event is one line: {out}");
                assert!(!out.lines().any(|line| line[9..].starts_with("✓ promote")), "{out}");
            }
            _ => {}
        }
    }
    for (i, (what, value)) in VALUES.iter().enumerate() {
        assert_eq!(outputs[&format!("say-{i}")], json!(value), "{what}");
    }
    harmless("what it printed", &ran.out);
    harmless("what it said", &ran.err);
    // The ticked runbook: all blocks in one window.
    let status: Value = serde_json::from_str(&desk.say(&["status", run, "--json"]).out).unwrap();
    let page = std::fs::read_to_string(status["runbook"].as_str().unwrap()).unwrap();
    harmless("the runbook", &page);
    let blocks = blocks(&page);
    assert!(blocks.len() > VALUES.len(), "{}", blocks.len());
    assert!(!typed::typed(&blocks) && !typed::typed(&[blocks.join("\n")]), "a block of the runbook executed a value");
    let boxes = page.lines().filter(|line| line.starts_with("- [x] ") || line.starts_with("- [ ] ")).count();
    assert_eq!(boxes, VALUES.len() * 5 + 1, "no value is a box");
    let export = desk.path("export.jsonl").display().to_string();
    assert_eq!(desk.say(&["journal", "export", run, "--out", &export]).code, Some(0));
    assert_eq!(desk.say(&["journal", "verify", &export]).code, Some(0));
}

#[test]
fn a_terminal_obeys_none() {
    let desk = laid(&["fail", "row"]);
    let words: Vec<String> = RUN.iter().map(|w| (*w).to_owned()).collect();
    let mut script = Command::new("script");
    script.args(["-qefc", &format!("{} {}", env!("CARGO_BIN_EXE_drplan"), words.join(" ")), "/dev/null"]).current_dir(desk.path(""));
    script.envs(desk.program(&[]).get_envs().filter_map(|(k, v)| Some((k, v?)))).env("TERM", "xterm");
    // Into a file: who does not read what a terminal prints stops who writes to it.
    let screen = |name: &str| std::fs::File::create(desk.path(name)).unwrap();
    let mut seat = script.stdin(Stdio::piped()).stdout(screen("seat")).spawn().unwrap();
    let mut watch = Command::new("script");
    let begun = std::time::Instant::now();
    while !desk.say(&["status", "--json"]).out.contains("\"asks\"") {
        std::thread::sleep(std::time::Duration::from_millis(200));
        if begun.elapsed().as_secs() > 60 || seat.try_wait().unwrap().is_some() {
            panic!("it never asks: {:?}", desk.text("seat"));
        }
    }
    watch.args(["-qefc", &format!("{} watch", env!("CARGO_BIN_EXE_drplan")), "/dev/null"]).current_dir(desk.path(""));
    watch.envs(desk.program(&[]).get_envs().filter_map(|(k, v)| Some((k, v?)))).env("TERM", "xterm");
    let watch = watch.stdin(Stdio::piped()).stdout(screen("watch")).spawn().unwrap();
    seat.stdin.as_mut().unwrap().write_all("pause \u{9b}31m`touch pwned`$(touch pwned)\nnonsense \u{9b}2J\n".as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(desk.say(&["abort", "--yes", "--reason", "seen"]).code, Some(0));
    for (who, mut child) in [("seat", seat), ("watch", watch)] {
        child.wait().unwrap();
        let screen = String::from_utf8_lossy(&std::fs::read(desk.path(who)).unwrap()).into_owned();
        assert!(screen.contains("gate") && screen.contains("steps done"), "{who}: {screen:?}");
        // What the terminal echoes of what was typed is not the program's.
        let own = screen.replace("^\u{9b}", "").replace("pause \u{9b}31m", "").replace("nonsense \u{9b}2J", "");
        harmless(who, &drawn(&own).replace('\r', ""));
        for sign in ["\u{1b}[31m", "\u{1b}[8m", "\u{1b}[2J", "\u{1b}[H", "\u{1b}]"] {
            assert!(!own.contains(sign), "{who} was told {sign:?}");
        }
    }
    assert!(!found(&desk.path("")), "something was executed");
}

/// Without the moves by which the table is drawn: up, down, to a column, clear a line, hide and show the cursor.
fn drawn(screen: &str) -> String {
    let mut out = String::new();
    let mut rest = screen;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let end = rest[at + 2..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |end| at + 3 + end);
        let known = rest[..end].ends_with(['A', 'B', 'C', 'D', 'G', 'K', 'J', 'l', 'h']);
        if !known {
            out.push_str(&rest[at..end]);
        }
        rest = &rest[end..];
    }
    out + rest
}

#[test]
fn what_people_say_makes_no_line_of_its_own() {
    let desk = Desk::new(
        "drplan: v1\nname: said\ncontacts: { ops: { title: Operations } }\nscenarios:\n  s:\n    cause: planned\n    steps:\n      - { id: gate, uses: approval, with: { ask: \"Go on?\", from: [ops] }, takes: 1m }\n",
    );
    assert_eq!(desk.say(&["run", "--yes"]).code, Some(11));
    let all: Vec<&str> = VALUES.iter().map(|(_, value)| *value).filter(|value| !value.contains('\0') && !value.trim().is_empty()).collect();
    let run = lines(&desk.say(&["log", "--json"]).out)[0]["run"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = journal::open(&Place::File(desk.journal())).await.unwrap();
        for value in &all {
            let (who, reason) = ((*value).to_owned(), (*value).to_owned());
            let event = Event::Word { word: Word::Pause, step: None, who, reason };
            let head = store.head(&run).await.unwrap();
            store.append(&run, &head, None, &[(jiff::Timestamp::now(), event)]).await.unwrap();
        }
    });
    let value = all[12];
    let answered = said(desk.program(&["resume", "--yes"]).env("DRPLAN_OPERATOR", value));
    harmless("what is answered", &format!("{}{}", answered.out, answered.err));
    let log = desk.say(&["log"]).out;
    harmless("the log", &log);
    assert_eq!(log.lines().filter(|line| line.get(9..).is_some_and(|rest| rest.starts_with("» pause by "))).count(), all.len(), "{log}");
    assert!(!log.lines().any(|line| line.get(9..).is_some_and(|rest| rest.starts_with("✓ promote"))), "{log}");
    harmless("status", &desk.say(&["status"]).out);
    let told = lines(&desk.say(&["log", "--json"]).out);
    let pauses = told.iter().filter(|line| line["event"]["event"] == "word" && line["event"]["word"] == "pause");
    assert_eq!(pauses.map(|line| line["event"]["reason"].as_str().unwrap()).collect::<Vec<_>>(), all);
    assert!(!found(&desk.path("")), "something was executed");
}

#[test]
fn findings_show_them_and_obey_none() {
    for (what, value) in VALUES {
        let quoted = serde_json::to_string(value).unwrap();
        let desk = Desk::new(&format!(
            "drplan: v1\nname: wrong\n# {}\ntitle: {quoted}\nscenarios:\n  s:\n    cause: planned\n    steps:\n      - {{ id: a, uses: {quoted}, with: {{ x: {quoted} }}, takes: 1s }}\n      - {{ id: {quoted}, uses: command, with: {{ argv: [\"true\"] }}, takes: {quoted}, undo: {{ none: {quoted} }} }}\n",
            value.replace(['\n', '\r', '\0', '\u{2028}'], " ")
        ));
        for words in [
            &["check", "plan.yaml"][..],
            &["check", "plan.yaml", "--format", "short"],
            &["check", "plan.yaml", "--format", "json"],
            &["--color", "always", "check", "plan.yaml"],
        ] {
            let Said { code, out, err } = desk.say(words);
            assert_eq!(code, Some(1), "{what}: {words:?} {out}{err}");
            let plain = |text: &str| if words[0] == "--color" { painted(text) } else { text.to_owned() };
            harmless(&format!("{what}, {words:?}"), &plain(&out));
            harmless(&format!("{what}, {words:?}"), &plain(&err));
            if words.contains(&"json") {
                serde_json::from_str::<Value>(&out).unwrap();
            }
        }
        assert!(!found(&desk.path("")), "{what} was executed");
    }
}

/// Without the colours of findings, where there are some.
fn painted(text: &str) -> String {
    assert!(!text.contains("\u{1b}[8m") && !text.contains("\u{1b}[2J"), "{text:?}");
    let mut out = String::new();
    for (n, part) in text.split("\u{1b}[").enumerate() {
        let code = if n == 0 { 0 } else { part.find('m').map_or(0, |at| at + 1) };
        out.push_str(&part[code..]);
    }
    out
}

#[test]
fn a_nul_and_ten_mebibytes_are_refused_or_bounded_with_words() {
    let big = "x".repeat(10 << 20);
    let desk = Desk::new(
        r#"
drplan: v1
name: big
params: { p: { type: string, default: small } }
assets: { db: { kind: sqlite, tier: none, connect: { path: t.db } } }
scenarios:
  s:
    cause: planned
    steps:
      - { id: says, uses: command, effect: read, with: { argv: [sh, -c, "head -c 10485760 /dev/zero | tr '\\0' x"] }, outputs: { all: { pattern: ".*" } }, takes: 1s, on_failure: continue }
      - { id: fails, uses: command, effect: read, with: { argv: [sh, -c, "head -c 10485760 /dev/zero | tr '\\0' x >&2; exit 3"] }, takes: 1s, on_failure: continue }
      - { id: row, phase: verify, asset: db, uses: sqlite.check, with: { query: "select hex(zeroblob(5242880))" }, takes: 1s }
      - { id: wrong, phase: verify, asset: db, uses: sqlite.check, with: { query: "select hex(zeroblob(5242880))", expect: small }, takes: 1s, on_failure: continue }
      - { id: uses, uses: command, with: { argv: [sh, -c, "echo $0 > out", "${params.p}"] }, takes: 1s, undo: { none: no } }
"#,
    );
    let made = "import sqlite3\nwith sqlite3.connect('t.db') as db: db.execute('create table t (v text)')";
    assert_eq!(said(Command::new("/usr/bin/python3").args(["-c", made]).current_dir(desk.path(""))).code, Some(0));
    for (value, words) in [(big.as_str(), "has 10485760 bytes, a value has at most 65536"), ("a\0b", "holds a NUL")] {
        std::fs::write(desk.path("params.yaml"), json!({ "p": value }).to_string()).unwrap();
        let refused = desk.say(&["run", "--yes", "--params-file", "params.yaml"]);
        assert!(
            refused.code == Some(2) && refused.err.contains(words),
            "{:?} {}",
            refused.code,
            &refused.err[..refused.err.len().min(2000)]
        );
        assert!(refused.err.len() < 4_000, "{}", refused.err.len());
        harmless("the finding", &refused.err);
    }
    std::fs::write(desk.path("nul.yaml"), desk.text("plan.yaml").replace("default: small", "default: \"a\\0b\"")).unwrap();
    let refused = desk.say(&["check", "nul.yaml"]);
    assert!(refused.code == Some(1) && refused.err.contains("a text holds a NUL"), "{refused:?}");
    let ran = desk.say(&["run", "plan.yaml", "--yes"]);
    assert_eq!((ran.code, desk.text("out").as_str()), (Some(4), "small\n"), "{:?}", ran.code);
    let run = lines(&desk.say(&["runs", "--json"]).out.replace('\n', " ")).remove(0)[0]["id"].as_str().unwrap().to_owned();
    for words in [&["log", &run, "--json"][..], &["log", &run], &["status", &run], &["status", &run, "--json"]] {
        let out = desk.say(words).out;
        assert!(out.len() < 200_000, "{words:?}: {}", out.len());
    }
    let page: Value = serde_json::from_str(&desk.say(&["status", &run, "--json"]).out).unwrap();
    assert!(std::fs::metadata(page["runbook"].as_str().unwrap()).unwrap().len() < 100_000);
    assert!(std::fs::metadata(desk.journal()).unwrap().len() < 1 << 20);
}
