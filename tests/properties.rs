//! What must hold of every plan: printed from the model and read again it is the same; how it is written changes no
//! digest; what would change a run changes both, and what an approver is shown changes the first.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/plans.rs"]
mod plans;

use std::collections::BTreeMap;
use std::path::Path;

use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::emit::{Look, human};
use drplan::model::{Plan, Scenario};
use drplan::render::yaml;
use folder::Folder;
use plans::plans;
use serde_json::{Value, json};

fn compiled(path: &Path, text: Option<String>) -> Compilation {
    let found =
        compile(&Folder { instead: text.clone().map(|t| (path.to_owned(), t)) }, path.to_str().unwrap(), &Input::default()).unwrap();
    let seen = human(&found.findings, &found.sources, Look::default());
    assert!(found.passed(), "{}\n{seen}\n{}", path.display(), text.unwrap_or_default());
    found
}

/// All that a plan is, in the order in which its scenarios stand.
fn whole(plan: &Compilation) -> (Plan, Vec<Scenario>) {
    (Plan::clone(plan.plan.as_ref().unwrap()), plan.checked.iter().map(|c| c.compiled().scenario.clone()).collect())
}

fn digests(plan: &Compilation) -> Vec<(String, String)> {
    plan.checked.iter().map(|c| (c.digest().to_owned(), c.evidence_digest().to_owned())).collect()
}

#[test]
fn printed_and_read_again_it_is_the_same_plan() {
    for path in plans(&["examples", "plans"]) {
        let plan = compiled(&path, None);
        let (model, scenarios) = whole(&plan);
        let text = yaml::render(&model, &scenarios, &plan.drills);
        let again = compiled(&path, Some(text.clone()));
        assert_eq!(whole(&again), (model, scenarios), "{}\n{text}", path.display());
        let lasting: Vec<_> = plan.drills.iter().filter(|d| d.with.is_empty()).cloned().collect();
        assert_eq!(again.drills, lasting, "{}", path.display());
        assert_eq!(digests(&again), digests(&plan), "{}", path.display());
        // And once more: what was printed is printed the same.
        let (model, scenarios) = whole(&again);
        let bare = text.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>();
        assert_eq!(yaml::render(&model, &scenarios, &again.drills).lines().collect::<Vec<_>>(), bare);
    }
}

#[test]
fn how_it_is_written_changes_no_digest() {
    for path in plans(&["examples", "plans"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        if text.lines().any(|l| l.starts_with("include:")) {
            continue;
        }
        let usual = digests(&compiled(&path, None));
        // The order of keys means something: of the ids of a list.
        let value: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let flow = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let block = serde_yaml::to_string(&value).unwrap();
        let commented: String = block.lines().map(|line| format!("# a comment\n{line}\n")).collect();
        let windows = format!("\u{feff}{}", text.replace("\r\n", "\n").replace('\n', "\r\n"));
        for (what, other) in [("flow", flow), ("pretty", pretty), ("block", block), ("comments", commented), ("windows", windows)] {
            let seen = digests(&compiled(&path, Some(other)));
            assert_eq!(seen, usual, "{}: {what}", path.display());
        }
    }
}

const PLAN: &str = r##"{
  "drplan": "v1", "name": "shop", "title": "Shop", "owner": "sre",
  "params": { "lb": { "default": "lb.west", "title": "The load balancer" } },
  "sites": { "east": { "title": "East" }, "west": {} },
  "tiers": { "gold": { "rto": "1h", "rpo": "1m" } },
  "contacts": { "sre": { "title": "On call", "reach": "#sre" }, "cto": { "title": "CTO", "phone": "1" } },
  "assets": {
    "db": { "kind": "postgres", "title": "Orders", "tier": "gold", "site": "east", "connect": { "host": "a", "database": "o" },
      "replicas": [{ "site": "west", "mode": "streaming", "max_lag": "5s", "connect": { "host": "b" } }] },
    "web": { "kind": "http", "tier": "gold", "site": "east", "depends_on": ["db"], "connect": { "url": "https://shop/" },
      "replicas": [{ "site": "west", "mode": "standby" }] }
  },
  "scenarios": { "lost": { "title": "East is lost", "symptoms": ["Pages"], "cause": "outage", "loses": { "sites": ["east"] }, "detect": "1m", "decide": "2m",
    "steps": [
      { "id": "go", "uses": "approval", "with": { "ask": "Go?", "from": ["sre", "cto"], "count": 2 }, "takes": "2m" },
      { "id": "fence", "title": "Fence the old one", "asset": "db", "uses": "postgres.fence", "at": "east", "when_unreachable": "ask", "takes": "20s", "undo": "auto" },
      { "id": "promote", "asset": "db", "uses": "postgres.promote", "takes": "30s", "timeout": "2m", "undo": { "none": "a new timeline" } },
      { "id": "rows", "asset": "db", "phase": "verify", "uses": "postgres.check", "with": { "query": "select 1" }, "takes": "5s", "retry": { "attempts": 3, "delay": "1s" } },
      { "id": "up", "asset": "web", "uses": "command", "with": { "argv": ["up", "${params.lb}"] }, "takes": "10s", "undo": { "uses": "command", "with": { "argv": ["down"] } } },
      { "id": "page", "asset": "web", "phase": "verify", "uses": "http.check", "with": { "url": "https://shop/" }, "takes": "5s" },
      { "id": "tell", "phase": "close", "uses": "manual", "with": { "do": "Tell them" }, "takes": "1m", "undo": { "uses": "manual", "with": { "do": "Tell them no" } } }
    ] } }
}"##;

fn both(plan: &Value) -> Option<(String, String)> {
    let files = BTreeMap::from([("plan.yaml".to_owned(), serde_json::to_string_pretty(plan).unwrap())]);
    let found = compile(&files, "plan.yaml", &Input::default()).unwrap();
    found.passed().then(|| digests(&found).remove(0))
}

/// The plan with another value at a place, or without what stands there.
fn with(path: &str, value: Value) -> Value {
    let mut plan: Value = serde_json::from_str(PLAN).unwrap();
    let (parent, key) = path.rsplit_once('/').unwrap();
    match plan.pointer_mut(parent).unwrap_or_else(|| panic!("{parent} is there")) {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Object(map) if value.is_null() => drop(map.remove(key)),
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        _ => panic!("{path}"),
    }
    plan
}

#[test]
fn what_changes_a_run_changes_both_digests() {
    let usual = both(&serde_json::from_str(PLAN).unwrap()).unwrap();
    let steps = "/scenarios/lost/steps";
    let changes = [
        // Order.
        (format!("{steps}/4/needs"), json!(["go"])),
        (format!("{steps}/5/needs"), json!(["go", "up"])),
        (format!("{steps}/6/needs"), json!(["page"])),
        (format!("{steps}/4/phase"), json!("prepare")),
        ("/assets/web/depends_on".to_owned(), json!([])),
        (format!("{steps}/2/lock"), json!(["network"])),
        // Gates.
        (format!("{steps}/0/with/count"), json!(1)),
        (format!("{steps}/0/with/from"), json!(["cto", "sre"])),
        (format!("{steps}/0/timeout"), json!("1h")),
        (format!("{steps}/3/when_unreachable"), json!("ask")),
        (format!("{steps}/5/when"), json!({ "steps.rows.rows": { "at_least": 1 } })),
        (format!("{steps}/5/modes"), json!(["unplanned"])),
        ("/policy".to_owned(), json!({ "approval_by_starter": "deny" })),
        // Time-outs and repetitions.
        (format!("{steps}/2/timeout"), json!("3m")),
        (format!("{steps}/1/timeout"), json!("5m")),
        (format!("{steps}/3/retry/attempts"), json!(4)),
        (format!("{steps}/3/retry/delay"), json!("2s")),
        (format!("{steps}/3/takes"), json!("6s")),
        (format!("{steps}/5/on_failure"), json!("rollback")),
        // Targets.
        ("/assets/db/connect/host".to_owned(), json!("c")),
        ("/assets/db/replicas/0/connect/host".to_owned(), json!("c")),
        ("/assets/web/connect/url".to_owned(), json!("https://other/")),
        (format!("{steps}/1/at"), json!("west")),
        (format!("{steps}/4/with/argv/0"), json!("upp")),
        (format!("{steps}/5/with/url"), json!("https://other/")),
        ("/params/lb/default".to_owned(), json!("lb.east")),
        // The way back.
        (format!("{steps}/4/undo/with/argv/0"), json!("off")),
        (format!("{steps}/4/undo"), json!({ "none": "it stays up" })),
        // What is promised, and why.
        ("/tiers/gold/rto".to_owned(), json!("2h")),
        ("/scenarios/lost/detect".to_owned(), json!("2m")),
        ("/assets/db/replicas/0/max_lag".to_owned(), json!("6s")),
    ];
    let mut silent = Vec::new();
    for (path, value) in &changes {
        match both(&with(path, value.clone())) {
            Some(new) if new.0 != usual.0 && new.1 != usual.1 => {}
            Some(new) => silent.push(format!("{path} = {value}: first {}, second {}", new.0 != usual.0, new.1 != usual.1)),
            None => silent.push(format!("{path} = {value}: is refused")),
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn what_an_approver_is_shown_changes_the_first_digest() {
    let usual = both(&serde_json::from_str(PLAN).unwrap()).unwrap();
    let steps = "/scenarios/lost/steps";
    let texts = [
        "/title".to_owned(),
        "/sites/east/title".to_owned(),
        "/assets/db/title".to_owned(),
        "/params/lb/title".to_owned(),
        "/contacts/sre/title".to_owned(),
        "/contacts/sre/reach".to_owned(),
        "/contacts/cto/phone".to_owned(),
        "/scenarios/lost/title".to_owned(),
        "/scenarios/lost/symptoms/0".to_owned(),
        format!("{steps}/0/with/ask"),
        format!("{steps}/1/title"),
        format!("{steps}/2/undo/none"),
        format!("{steps}/6/with/do"),
        format!("{steps}/6/undo/with/do"),
    ];
    for path in texts {
        let new = both(&with(&path, json!("Something else"))).unwrap_or_else(|| panic!("{path} is refused"));
        assert_ne!(new.0, usual.0, "{path}");
        // Titles and the like are for people alone; what an action is given is the action's.
        let for_people = !path.contains("/with/") && !path.contains("/undo/");
        assert_eq!(new.1 == usual.1, for_people, "{path}");
    }
}
