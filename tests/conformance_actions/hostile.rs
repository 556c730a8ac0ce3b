//! What a person types executes no value of a plan: every block of every action is run with tools that only write down
//! how they were called, and with every value of the plan trying to break out.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use drplan::actions::{self, Action, AssetKind, Call, Field, Manual, Source, Target, Type};
use serde_json::{Map, Value, json};

use super::laws::many;
use super::values::VALUES;

const HOSTILE: &[&str] = &[
    "plain",
    "it's",
    "; touch pwned",
    "two\nlines\ntouch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "```\ntouch pwned\n```",
    "' ; touch pwned ; '",
    "\"; touch pwned; \"",
    "\\'; touch pwned",
    "\\! touch pwned",
    ".shell touch pwned",
    "-c",
    "--help",
    "a=b",
    "~root",
    "*",
    "",
    "\u{0}touch pwned",
    "SQL\ntouch pwned\nSQL",
    "$PATH ${HOME}",
    "$${HOME} $$ $!",
    "x'\n\\! touch pwned\n",
    "#",
    "a && touch pwned",
    "host=evil dbname=evil",
    "é\u{202e}\u{1b}[2J",
];

/// With DRPLAN_CONFORMANCE=many, those too that are tried everywhere else.
fn texts() -> impl Iterator<Item = &'static str> {
    HOSTILE.iter().copied().chain(VALUES.iter().filter(|_| many()).map(|(_, value)| *value))
}

/// A value of a type with a hostile text wherever a text may stand.
fn value(kind: &Type, text: &str) -> Value {
    match kind {
        Type::Int | Type::Number => json!(7),
        Type::Bool => json!(true),
        Type::Duration => json!("30s"),
        Type::Size => json!("1MiB"),
        Type::Word(words) => json!(words[0]),
        Type::List(inner) => json!([value(inner, text), value(inner, text)]),
        Type::Map(inner) => json!({ "NAME": value(inner, text) }),
        Type::Matchers | Type::AnySecret => json!({ text: text }),
        Type::Record(fields) => Value::Object(all(fields, text)),
        Type::Call => json!({ "uses": "http.check", "with": { "url": text } }),
        _ => json!(text),
    }
}

fn all(fields: &[Field], text: &str) -> Map<String, Value> {
    fields.iter().map(|f| (f.name.to_owned(), value(&f.kind, text))).collect()
}

fn target(kind: AssetKind, text: &str) -> Target {
    let source = Source { id: "nightly".to_owned(), method: "full".to_owned(), places: vec![format!("file:{text}/")], ..Source::default() };
    Target { asset: "asset".to_owned(), kind, site: None, connect: all(actions::connect_fields(kind), text), source: Some(source) }
}

/// All fields at once, and without each that another one hides.
fn variants(action: &Action, text: &str) -> Vec<Map<String, Value>> {
    const HIDING: &[&str] = &["for", "value", "backup", "expect", "params", "status", "method", "until", "stop"];
    let whole = all(action.fields, text);
    let without = |name: &str| whole.iter().filter(|(k, _)| *k != name).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut out = vec![whole.clone()];
    out.extend(action.fields.iter().filter(|f| HIDING.contains(&f.name)).map(|f| without(f.name)));
    if action.name == "sqlite.restore" {
        out.push([("backup".to_owned(), json!("latest"))].into_iter().collect());
    }
    out
}

fn blocks(action: &Action, text: &str) -> Vec<Manual> {
    let kinds = if action.kinds.is_empty() { &[AssetKind::S3, AssetKind::Http][..] } else { action.kinds };
    let mut out = Vec::new();
    for kind in kinds {
        let target = target(*kind, text);
        for with in variants(action, text) {
            let call = Call { step: "step-one", with: &with, target: Some(&target) };
            out.extend((action.commands)(&call));
            out.extend((action.undo_commands)(&call));
            for words in [(action.sentence)(&call), (action.seen)(&call)] {
                assert!(!words.is_empty() && !words.contains('\n'), "{}: {words:?}", action.name);
            }
        }
    }
    out
}

/// Tools that write down each argument on a line of its own and then answer nothing.
fn tools(dir: &Path) {
    let script = "#!/bin/sh\n{ printf 'TOOL %s\\n' \"${0##*/}\"; for a in \"$@\"; do printf 'ARG %s\\n' \"$a\"; done; } >>\"$LOG\" 2>/dev/null\n\
                  case ${0##*/} in aws) printf 'INSYNC\\n' ;; curl) printf '200\\n' ;; redis-cli) printf 'master_link_status:up\\n' ;; *) cat >/dev/null ;; esac\n";
    for name in [
        "psql",
        "aws",
        "curl",
        "sqlite3",
        "sleep",
        "systemctl",
        "find",
        "redis-cli",
        "pg_dump",
        "pg_restore",
        "pg_ctl",
        "runuser",
        "kubectl",
        "nsupdate",
        "dig",
        "redis-check-rdb",
        "date",
        "cp",
        "mv",
        "rm",
        "env",
        "plain",
        "sendmail",
    ] {
        let path = dir.join(name);
        std::fs::write(&path, if name == "env" { "#!/bin/sh\nexit 0\n" } else { script }).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn no_value_of_a_plan_is_executed() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    tools(&bin);
    let mut scripts: BTreeMap<String, &str> = BTreeMap::new();
    for action in actions::all() {
        // What a `command` runs is the plan's own word; its arguments are judged below.
        for text in texts().filter(|_| !action.outputs_by_plan) {
            blocks(action, text).into_iter().for_each(|block| {
                scripts.insert(block.script, action.name);
            });
        }
    }
    assert!(scripts.len() > 700, "{}", scripts.len());
    // One shell for many blocks; each in a subshell with a limit, none of them reading the others.
    let room = dir.path().join("room");
    std::fs::create_dir(&room).unwrap();
    for (n, script) in scripts.keys().enumerate() {
        std::fs::write(dir.path().join(format!("{n}.sh")), script).unwrap();
    }
    let run = "cd \"$ROOM\" || exit 9\nn=0\nwhile [ $n -lt $COUNT ]; do\n  /bin/sh -n ../$n.sh || { echo \"syntax $n\"; }\n  \
               /usr/bin/timeout 2 /bin/sh ../$n.sh </dev/null >/dev/null 2>&1\n  [ $? -ne 124 ] || echo \"endless $n\"\n  \
               [ -e pwned ] && { echo \"pwned $n\"; /bin/rm -f pwned; }\n  n=$((n+1))\ndone\n";
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let said = Command::new("/bin/sh")
        .args(["-c", run])
        .env("PATH", path)
        .env("ROOM", &room)
        .env("LOG", dir.path().join("log"))
        .env("COUNT", scripts.len().to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let all: Vec<(&String, &&str)> = scripts.iter().collect();
    let bad: Vec<String> = text
        .lines()
        .take(5)
        .map(|line| {
            let n: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
            format!("{line}: {}\n{}\n", all[n].1, all[n].0)
        })
        .collect();
    assert!(said.status.success() && bad.is_empty(), "{}\n{}", bad.join("\n"), String::from_utf8_lossy(&said.stderr));
    assert!(!room.join("pwned").exists());
    // The tools were reached at all.
    let log = String::from_utf8_lossy(&std::fs::read(dir.path().join("log")).unwrap()).into_owned();
    for tool in ["psql", "aws", "curl", "sqlite3", "sendmail"] {
        assert!(log.contains(&format!("TOOL {tool}\n")), "{tool} was never called");
    }
}

/// Runs one block and gives the calls of its tools.
fn called(script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    tools(dir.path());
    let log = dir.path().join("log");
    let said = Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(dir.path())
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
        .env("SECRET_PG", "top-secret-value")
        .env("PARAM_ZONE", "Z1\"\\x")
        .env("LOG", &log)
        .output()
        .unwrap();
    assert!(log.exists(), "{script}\n{}", String::from_utf8_lossy(&said.stderr));
    std::fs::read_to_string(log).unwrap()
}

#[test]
fn arguments_arrive_as_they_were_written() {
    for text in texts().filter(|t| !t.contains(['\0', '$', '\r'])) {
        let with: Map<String, Value> = [("argv".to_owned(), json!(["plain", text, "last"]))].into_iter().collect();
        let call = Call { step: "s", with: &with, target: None };
        let command = actions::find("command").unwrap();
        let log = called(&(command.commands)(&call)[0].script);
        assert!(log.starts_with(&format!("TOOL plain\nARG {text}\nARG last\n")), "{text:?}: {log}");
    }
}

#[test]
fn a_secret_stands_in_no_argument() {
    for action in actions::all() {
        let kind = action.kinds.first().copied().unwrap_or(AssetKind::Other);
        let mut target = target(kind, "plain");
        for field in actions::connect_fields(kind).iter().filter(|f| f.kind == Type::Secret) {
            target.connect.insert(field.name.to_owned(), json!("${secrets.pg}"));
        }
        let mut with = Map::new();
        for field in action.fields {
            let secret = value(&field.kind, "${secrets.pg}");
            let plain = if field.name == "argv" {
                json!(["plain", "x"])
            } else if field.name == "cwd" {
                json!(".")
            } else {
                value(&field.kind, "plain")
            };
            let takes = matches!(field.kind, Type::Secret | Type::AnySecret | Type::Map(Type::Secret));
            with.insert(field.name.to_owned(), if takes { secret } else { plain });
        }
        let call = Call { step: "s", with: &with, target: Some(&target) };
        for block in (action.commands)(&call).into_iter().chain((action.undo_commands)(&call)) {
            if !block.script.contains("SECRET_PG") {
                continue;
            }
            let log = called(&block.script);
            let told: Vec<&str> = log.lines().filter(|l| l.starts_with("ARG") && l.contains("top-secret-value")).collect();
            assert!(told.is_empty(), "{}: {told:?}\n{}", action.name, block.script);
        }
    }
}
