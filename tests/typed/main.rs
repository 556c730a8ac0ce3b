//! The runbooks of `plans/platform` are typed, block after block, into fresh labs, by a person who has no `drplan`. What
//! then stands there must be what `drplan run` leaves behind; and with any one changing block left out it must not be.
//!
//! By default one left-out block of each scenario is tried, another one each day; DRPLAN_TYPED=all tries all of them.
#![cfg(all(feature = "aws", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "../support/lab.rs"]
mod lab;
mod page;
mod picture;
mod shell;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use lab::Lab;
use page::{Kind, Step};
use picture::{Picture, differences, order, ran, sql, take};
use serde_json::{Value, json};
use shell::Shell;

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/platform");

/// A scenario, and what the world does to it.
struct Case {
    scenario: &'static str,
    /// Parameters beside those of the lab.
    params: fn(&Lab) -> Vec<String>,
    /// What has happened when the page is opened.
    before: fn(&Lab),
    /// Steps whose condition does not hold then: who types reads so, and passes them over.
    passed_over: &'static [&'static str],
    /// What happens when a step is reached: people do what it tells them, or the world does what nobody expects.
    at: fn(&Lab, &str),
}

/// The region is dead and stays so, and Argo CD with it: the manifests are applied by hand.
const DEAD: Case = Case {
    scenario: "region-loss",
    params: |_| Vec::new(),
    before: |lab| {
        die(lab);
        lab.lab("kill-argocd", &[]);
    },
    passed_over: &["sync-apps", "apps-synced"],
    at: |_, _| {},
};

/// The region is dead, and while people decide its database comes back and takes writes: what a fence is for.
const RISEN: Case = Case {
    before: die,
    passed_over: &["apply-apps"],
    at: |lab, step| {
        if step == "approve" {
            lab.lab("start-primary", &[]);
        }
    },
    ..DEAD
};

/// Somebody mistyped a statement. While the copy is restored, customers try to order: what was not stopped takes it.
const WRONG: Case = Case {
    scenario: "bad-data",
    params: |lab| vec!["-p".to_owned(), format!("clean_at={}", std::fs::read_to_string(clean_at(lab)).unwrap())],
    before: |lab| {
        let now = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        std::fs::write(clean_at(lab), sql(lab, "LAB_PRIMARY_PORT", "platform", now).unwrap()).unwrap();
        sql(lab, "LAB_PRIMARY_PORT", "platform", "update orders set note = 'wrong'").unwrap();
    },
    at: |lab, step| {
        if step == "point-api" {
            order(lab, "meanwhile");
        }
    },
    passed_over: &[],
};

/// Oregon has everything, and Virginia follows it.
const AWAY: Case = Case {
    scenario: "region-return",
    params: |_| Vec::new(),
    before: |lab| {
        // Virginia came back as it died; in Oregon is what was backed up, and what was written there since.
        die(lab);
        sql(lab, "LAB_STANDBY_PORT", "postgres", "select pg_promote()").unwrap();
        lab.lab("start-region", &[]);
        lab.lab("rejoin", &["primary"]);
        lab.lab("stores-away", &[]);
        for (context, name, pods) in [("primary", "platform-api", "0"), ("dr", "platform-api", "6")] {
            ran(lab, "kubectl", &["--context", context, "scale", &format!("deployment/{name}"), "--replicas", pods]).unwrap();
        }
        let record = json!({ "Name": lab["LAB_RECORD"], "Type": "CNAME", "TTL": 1, "ResourceRecords": [{ "Value": lab["LAB_LB_WEST"] }] });
        let batch = json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": record }] }).to_string();
        let change = ["route53", "change-resource-record-sets", "--hosted-zone-id", &lab["LAB_ZONE_ID"], "--change-batch", &batch];
        ran(lab, "aws", &change).unwrap();
        ran(lab, "curl", &["-sS", "-d", r#"{"settle": true}"#, &lab["LAB_CONTROL_URL"]]).unwrap();
    },
    passed_over: &[],
    at: |_, _| {},
};

fn clean_at(lab: &Lab) -> String {
    format!("{}/clean_at", lab["DRPLAN_LAB_DIR"])
}

/// Two labs at a time, whatever the number of tests.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_region_that_is_lost() {
    held(&RISEN);
}

#[test]
fn data_that_are_wrong() {
    held(&WRONG);
}

#[test]
fn the_way_back() {
    held(&AWAY);
}

#[test]
fn a_server_that_stays_dead() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (run, typed) = both(|| run(&DEAD), || typed(&DEAD, None).unwrap());
    same(&run, &typed);
    assert_eq!(run["primary: role"], "no answer");
    assert_eq!(run["deployments of primary"], "no answer");
}

/// Runs it and types it; then types it with blocks left out.
fn held(case: &Case) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (run, typed) = both(|| run(case), || typed(case, None).unwrap());
    same(&run, &typed);
    let changing = changing(case);
    assert!(changing.len() >= 3, "{changing:?}");
    let all = std::env::var("DRPLAN_TYPED").is_ok_and(|v| v == "all");
    let days = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let sample = if all { changing } else { vec![changing[days as usize % changing.len()].clone()] };
    let left = Mutex::new(sample.into_iter());
    let unnoticed = Mutex::new(Vec::new());
    let work = || {
        while let Some(block) = { left.lock().unwrap().next() } {
            let what = match crate::typed(case, Some(&block)) {
                Err(why) => format!("a later block fails: {}", why.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default()),
                Ok(picture) => match differences(&run, &picture) {
                    none if none.is_empty() => return unnoticed.lock().unwrap().push(block),
                    some => some.join("; "),
                },
            };
            eprintln!("{} without {} {}: {what}", case.scenario, block.0, block.1);
        }
    };
    both(work, work);
    assert_eq!(unnoticed.into_inner().unwrap(), [], "{}: these blocks change nothing that could be seen", case.scenario);
}

fn same(run: &Picture, typed: &Picture) {
    assert_eq!(differences(run, typed), [""; 0], "drplan's end ≠ the end of one who typed");
}

fn both<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|s| {
        let a = s.spawn(a);
        let b = b();
        (a.join().unwrap_or_else(|why| std::panic::resume_unwind(why)), b)
    })
}

// ---- the two ways

/// The end of a run by the program; a person says yes to everything, and does what is asked.
fn run(case: &Case) -> Picture {
    let lab = opened(case);
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = vec!["run".to_owned(), "--yes".to_owned()];
    wanted.extend(chosen(case, &lab));
    // As many rounds as people are asked, and then some.
    for _ in 0..20 {
        let out = drplan(&lab, dir.path(), &wanted);
        if out.status.success() {
            return take(&lab);
        }
        assert_eq!(out.status.code(), Some(11), "it does not wait for a person: {}", text(&out));
        let status = drplan(&lab, dir.path(), &["status".to_owned(), "--json".to_owned()]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let words = answers(&status["next"]);
        assert!(!words.is_empty(), "nothing can be said to it: {}", text(&out));
        for word in words {
            (case.at)(&lab, &word[2]);
            let people: &[&str] = if word[0] == "approve" { &["platform-oncall", "head-of-platform"] } else { &["anybody"] };
            for person in people {
                let mut word = word.clone();
                // Nobody swears that a database is stopped which answers: it is tried again.
                if word[2] == "fence-virginia" && sql(&lab, "LAB_PRIMARY_PORT", "postgres", "select 1").is_ok() {
                    word = vec!["retry".to_owned(), word[1].clone(), word[2].clone()];
                }
                word.extend(["--reason".to_owned(), "as the page says".to_owned()]);
                if word[0] == "approve" {
                    word.extend(["--as".to_owned(), (*person).to_owned()]);
                }
                let said = drplan(&lab, dir.path(), &word);
                let enough = text(&said).contains("not waiting") || text(&said).contains("already");
                assert!(said.status.success() || person != &people[0] && enough, "{word:?}: {}", text(&said));
            }
        }
        wanted = vec!["resume".to_owned(), "--yes".to_owned()];
    }
    panic!("it never ends");
}

/// The good words among those that are offered: `approve RUN STEP`, `resolve RUN STEP --as done`.
fn answers(next: &Value) -> Vec<Vec<String>> {
    let offered = next.as_array().unwrap().iter().filter_map(Value::as_str);
    let words: Vec<Vec<String>> = offered.map(|l| l.split(' ').skip(1).map(str::to_owned).collect()).collect();
    let good = words.iter().filter(|w| w[0] == "approve" || w[0] == "resolve" && w.contains(&"done".to_owned()));
    // Who approves is said by the caller.
    let kept = |w: &&Vec<String>| if w[0] == "approve" { 3 } else { 5 };
    let mut good: Vec<Vec<String>> = good.map(|w| w.iter().take(kept(&w)).cloned().collect()).collect();
    good.dedup();
    good
}

/// The end of one who types the page, without one of its blocks; or where it stopped.
fn typed(case: &Case, without: Option<&(String, usize)>) -> Result<Picture, String> {
    let lab = opened(case);
    let dir = tempfile::tempdir().unwrap();
    let mut steps = page::read(&rendered(case, &lab, dir.path()));
    steps.retain(|step| !case.passed_over.contains(&step.id.as_str()));
    // The page's files stand beside it, and what a person keeps while typing too.
    let beside = dir.path().join("beside");
    assert!(Command::new("cp").arg("-r").arg(PLAN).arg(&beside).status().unwrap().success());
    let mut shell = Shell::open(&beside, &without_drplan(&lab));
    assert!(shell.typed("command -v drplan").is_err(), "the program is still there");
    for step in steps {
        (case.at)(&lab, &step.id);
        for (n, block) in step.blocks.iter().enumerate() {
            if without.is_some_and(|(id, left_out)| *id == step.id && *left_out == n) {
                continue;
            }
            // As often as the page says at the least, but without its patience.
            let tries = if step.again && block.kind == Kind::Look { 8 } else { 1 };
            let mut said = shell.typed(&block.script);
            for _ in 1..tries {
                if said.is_err() {
                    shell.typed("sleep 1")?;
                    said = shell.typed(&block.script);
                }
            }
            match said {
                Err(why) if !silent(&step, &why) => return Err(format!("{}: {why}", step.id)),
                _ => {}
            }
        }
    }
    Ok(take(&lab))
}

/// Whether the page leaves it to people to go on, and the target is one that does not answer.
fn silent(step: &Step, why: &str) -> bool {
    step.may_be_silent
        && ["Connection refused", "connection refused", "was refused", "timeout expired"].iter().any(|words| why.contains(words))
}

/// Every changing block: its step, and its place among that step's blocks.
fn changing(case: &Case) -> Vec<(String, usize)> {
    let args = ["render", &format!("{PLAN}/plan.yaml"), "-s", case.scenario];
    let out = Command::new(env!("CARGO_BIN_EXE_drplan")).args(args).output().unwrap();
    let steps = page::read(std::str::from_utf8(&out.stdout).unwrap());
    let blocks = |s: &Step| {
        let id = s.id.clone();
        let blocks: Vec<_> = s.blocks.iter().map(|b| b.kind).enumerate().collect();
        blocks.into_iter().filter(|(_, kind)| *kind == Kind::Change).map(move |(n, _)| (id.clone(), n))
    };
    steps.iter().filter(|s| !case.passed_over.contains(&s.id.as_str())).flat_map(blocks).collect()
}

// ---- what both need

fn opened(case: &Case) -> Lab {
    let lab = Lab::up(&[]);
    assert_eq!(order(&lab, "the first"), "201");
    let arrived = "select count(*) from orders where note = 'the first'";
    let has_it = || sql(&lab, "LAB_STANDBY_PORT", "platform", arrived).unwrap() == "1";
    assert!((0..200).any(|_| has_it()), "the standby does not get what is written");
    (case.before)(&lab);
    lab
}

fn die(lab: &Lab) {
    lab.lab("kill-region", &[]);
}

fn chosen(case: &Case, lab: &Lab) -> Vec<String> {
    let file = format!("{}/params.yaml", lab["DRPLAN_LAB_DIR"]);
    let mut args = vec![format!("{PLAN}/plan.yaml"), "-s".to_owned(), case.scenario.to_owned(), "--params-file".to_owned(), file];
    args.extend((case.params)(lab));
    args
}

fn rendered(case: &Case, lab: &Lab, dir: &Path) -> String {
    let mut args = vec!["render".to_owned()];
    args.extend(chosen(case, lab));
    let out = drplan(lab, dir, &args);
    assert!(out.status.success(), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap()
}

fn drplan(lab: &Lab, dir: &Path, args: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
    command.args(args).envs(&**lab).env("DRPLAN_JOURNAL", dir.join("journal.db")).env("NO_COLOR", "1").current_dir(dir);
    // Two who approve are two people.
    let person = args.iter().position(|arg| arg == "--as").and_then(|at| args.get(at + 1)).map_or("somebody", String::as_str);
    command.env("DRPLAN_OPERATOR", format!("{person}@here"));
    command.output().unwrap()
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// What a person's shell has: the lab's tools, those of the machine, and the secrets.
fn without_drplan(lab: &Lab) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = (**lab).clone();
    env.insert("PATH".to_owned(), format!("{}:/usr/bin:/bin", lab["LAB_PATH"]));
    env.insert("HOME".to_owned(), std::env::var("HOME").unwrap_or_else(|_| "/".to_owned()));
    env
}
