//! What waits for what, why, how long it takes, and how much is lost: plans as text, answers as words.

use std::collections::BTreeMap;

use drplan::actions::units::duration_text;
use drplan::analysis::Checked;
use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::emit::short;
use drplan::graph::schedule::{durations, schedule};
use drplan::model::{Compiled, Node};

fn read(text: &str, input: &Input) -> Compilation {
    let files = BTreeMap::from([("plan.yaml".to_owned(), text.to_owned())]);
    compile(&files, "plan.yaml", input).unwrap()
}

fn checked(text: &str) -> Checked {
    let plan = read(text, &Input::default());
    assert!(plan.passed(), "{}", short(&plan.findings, &plan.sources));
    plan.checked[0].clone()
}

fn steps(plan: &str, lines: &[&str]) -> Checked {
    let steps: String = lines.iter().map(|l| format!("      - {{ {l} }}\n")).collect();
    checked(&format!("drplan: v1\nname: p\n{plan}scenarios:\n  s:\n    cause: planned\n    steps:\n{steps}"))
}

/// `step: on because why; …`, joins by what they say.
fn waits(plan: &Compiled) -> Vec<String> {
    let name = |node: Node| match node {
        Node::Step(i) => plan.scenario.steps[i as usize].id.clone(),
        Node::Join(j) => format!("({})", plan.joins[j as usize].what),
    };
    let line = |who: String, waits: &[drplan::model::Wait]| {
        let all: Vec<String> = waits.iter().map(|w| format!("{} because {}", name(w.on), w.why)).collect();
        format!("{who}: {}", all.join("; "))
    };
    let own = plan.waits.iter().enumerate().map(|(i, w)| line(plan.scenario.steps[i].id.clone(), w));
    own.chain(plan.joins.iter().map(|j| line(format!("({})", j.what), &j.waits))).collect()
}

const WAIT: &str = "uses: wait, with: { for: 1s }, takes: 1s";

#[test]
fn steps_wait_for_the_one_above_and_for_what_they_need() {
    let plan = steps(
        "",
        &[
            &format!("id: a, {WAIT}"),
            &format!("id: b, {WAIT}"),
            &format!("id: c, needs: [a], {WAIT}"),
            &format!("id: d, needs: [], {WAIT}"),
            &format!("id: z, phase: close, {WAIT}"),
            &format!("id: y, phase: close, needs: [c], {WAIT}"),
            &format!("id: e, {WAIT}"),
        ],
    );
    assert_eq!(
        waits(plan.compiled()),
        [
            "a: ",
            "b: a because `a` stands above it",
            "c: a because it needs `a`",
            "d: ",
            "z: (all steps that are not `close`) because a `close` step comes after all others",
            "y: c because it needs `c`",
            "e: d because `d` stands above it",
            "(all steps that are not `close`): a because it is not a `close` step; b because it is not a `close` step; c because it is not a `close` step; d because it is not a `close` step; e because it is not a `close` step",
        ]
    );
}

#[test]
fn nothing_starts_before_all_assess_steps() {
    let plan = steps(
        "",
        &[
            &format!("id: a, phase: assess, {WAIT}"),
            &format!("id: b, phase: assess, needs: [], {WAIT}"),
            &format!("id: c, needs: [], {WAIT}"),
            &format!("id: d, {WAIT}"),
        ],
    );
    assert_eq!(
        waits(plan.compiled()),
        [
            "a: ",
            "b: ",
            "c: (all `assess` steps) because all `assess` steps come first",
            "d: c because `c` stands above it",
            "(all `assess` steps): a because it is an `assess` step; b because it is an `assess` step",
        ]
    );
}

const ASSETS: &str = "assets:\n  api: { kind: http, tier: none, depends_on: [cache] }\n  cache: { kind: other, tier: none, depends_on: [db] }\n  db: { kind: other, tier: none }\n";

#[test]
fn assets_come_back_from_the_ground_up_and_stop_from_the_top_down() {
    let undo = "effect: idempotent, undo: { none: test }";
    let command = format!("uses: command, with: {{ argv: [x] }}, takes: 1s, {undo}");
    let plan = steps(
        ASSETS,
        &[
            &format!("id: db-stop, asset: db, phase: contain, needs: [], {command}"),
            &format!("id: api-stop, asset: api, phase: contain, needs: [], {command}"),
            &format!("id: api-up, asset: api, needs: [], {command}"),
            &format!("id: db-up, asset: db, needs: [], {command}"),
            &format!("id: both, asset: [db, api], phase: verify, needs: [db-up], {command}"),
        ],
    );
    let got = waits(plan.compiled());
    assert_eq!(got[0], "db-stop: api-stop because `api` stands on `db`, and is stopped before it");
    assert_eq!(got[2], "api-up: api-stop because `api` must be stopped first; (`db` is back) because `api` stands on `db`");
    assert_eq!(
        got[3],
        "db-up: db-stop because `db` must be stopped first; api-stop because `api` stands on `db`, and is stopped before it"
    );
    assert_eq!(got[4], "both: db-up because it needs `db-up`", "a step of both assets waits for neither by itself");
}

#[test]
fn who_uses_an_output_waits_for_it() {
    let plan = steps(
        "",
        &[
            "id: ask, needs: [], uses: http.check, with: { url: \"https://example.com/\" }, takes: 1s",
            &format!("id: other, needs: [], {WAIT}"),
            "id: show, needs: [other], uses: command, with: { argv: [echo, \"${steps.ask.status}\"] }, effect: read, takes: 1s",
        ],
    );
    assert_eq!(waits(plan.compiled())[2], "show: other because it needs `other`; ask because it uses `status` of `ask`");
    let argv = &plan.compiled().scenario.steps[2].call.with["argv"];
    assert_eq!(argv[1], "${steps.ask.status}", "only a run knows it");
}

#[test]
fn edges_grow_with_the_steps_and_not_with_their_square() {
    let many: Vec<String> = (0..2_000)
        .map(|i| if i < 100 { format!("id: s{i}, phase: assess, needs: [], {WAIT}") } else { format!("id: s{i}, needs: [], {WAIT}") })
        .collect();
    let plan = steps("", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let compiled = plan.compiled();
    let edges: usize = compiled.waits.iter().chain(compiled.joins.iter().map(|j| &j.waits)).map(Vec::len).sum();
    assert!(edges <= 2_000, "{edges} edges");
}

fn length(plan: &Checked, parallel: u32) -> u64 {
    let compiled = Compiled { parallel, ..plan.compiled().clone() };
    schedule(&compiled, plan.graph(), &durations(&compiled)).total_ms
}

#[test]
fn the_schedule_respects_slots_and_locks() {
    let free = |n: usize| format!("id: s{n}, needs: [], uses: wait, with: {{ for: 10s }}, takes: 10s");
    let locked = |n: usize| format!("id: s{n}, needs: [], lock: door, uses: wait, with: {{ for: 10s }}, takes: 10s");
    let four: Vec<String> = (0..4).map(free).collect();
    let plan = steps("", &four.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((length(&plan, 16), length(&plan, 2), length(&plan, 1)), (10_000, 20_000, 40_000));
    let four: Vec<String> = (0..4).map(locked).collect();
    let plan = steps("", &four.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(length(&plan, 16), 40_000);
}

#[test]
fn readers_share_an_asset_and_writers_do_not() {
    let read = "uses: command, with: { argv: [x] }, effect: read, takes: 10s";
    let write = "uses: command, with: { argv: [x] }, effect: idempotent, takes: 10s, undo: { none: test }";
    let db = "assets: { db: { kind: other, tier: none } }\n";
    let line = |n: usize, what: &str, more: &str| format!("id: s{n}, asset: db, phase: prepare, needs: [], {more}{what}");
    let of = |what: &str, more: &str| {
        let lines: Vec<String> = (0..3).map(|n| line(n, what, more)).collect();
        length(&steps(db, &lines.iter().map(String::as_str).collect::<Vec<_>>()), 16)
    };
    assert_eq!((of(read, ""), of(write, ""), of(write, "share: part, ")), (10_000, 30_000, 10_000));
}

#[test]
fn the_longest_way_starts_first() {
    let plan = steps(
        "",
        &[
            "id: short, needs: [], uses: wait, with: { for: 10s }, takes: 10s",
            "id: long, needs: [], uses: wait, with: { for: 10s }, takes: 10s",
            "id: after, needs: [long], uses: wait, with: { for: 10s }, takes: 10s",
        ],
    );
    assert_eq!(length(&plan, 1), 30_000);
    let compiled = Compiled { parallel: 1, ..plan.compiled().clone() };
    let times = schedule(&compiled, plan.graph(), &durations(&compiled));
    assert_eq!(times.start_ms[1], 0, "`long` has the longest way to the end");
    assert_eq!(plan.graph().critical_path(&durations(&compiled)), [1, 2]);
    assert_eq!(plan.graph().slack_ms(&durations(&compiled)), [10_000, 0, 0]);
    assert_eq!(plan.graph().waves(), [0, 0, 1]);
}

#[test]
fn of_alternatives_the_longer_one_counts() {
    let plan = steps(
        "",
        &[
            "id: ask, uses: http.check, with: { url: \"https://example.com/\" }, takes: 1s",
            "id: slow, when: { steps.ask.reachable: true }, uses: wait, with: { for: 60s }, takes: 60s",
            "id: quick, when: { steps.ask.reachable: false }, uses: wait, with: { for: 5s }, takes: 5s",
        ],
    );
    assert_eq!(length(&plan, 16), 61_000);
}

/// `loss, source` of asset `db` in a scenario.
fn loss(asset: &str, scenario: &str, step: &str) -> String {
    let text = format!(
        "drplan: v1\nname: p\nsites: {{ east: {{}}, west: {{}}, safe: {{ kind: offline }} }}\nassets:\n  db: {{ kind: other, tier: none, site: east, {asset} }}\n\
         scenarios:\n  s:\n    {scenario}\n    detect: 5m\n    steps:\n      - {{ id: stop, asset: db, at: east, phase: contain, uses: command, with: {{ argv: [y] }}, \
         check: {{ uses: command, effect: read, with: {{ argv: [z] }} }}, when_unreachable: ask, takes: 1s, undo: {{ none: test }} }}\n      - {{ id: back, asset: db, {step} at: west, uses: command, with: {{ argv: [x] }}, takes: 1m, undo: {{ none: test }} }}\n"
    );
    let plan = read(&text, &Input::default());
    let found = plan.checked.first().unwrap_or_else(|| panic!("{}", short(&plan.findings, &plan.sources)));
    let db = &found.compiled().predictions["db"];
    format!("{}, {}", db.loss_ms.map_or("unbounded".to_owned(), duration_text), db.loss_source)
}

const GONE: &str = "cause: outage\n    loses: { sites: [east] }";
const DAMAGED: &str = "cause: corruption\n    loses: { assets: [db] }";
const RANSOM: &str = "cause: ransomware\n    loses: { assets: [db] }";

#[test]
fn loss_is_that_of_the_source() {
    let replica = "replicas: [{ site: west, mode: streaming, max_lag: 10s }]";
    assert_eq!(loss(replica, GONE, "from: replica,"), "10s, replica at west, at most 10s behind");
    assert_eq!(loss(replica, DAMAGED, "from: replica,"), "unbounded, the replica at west holds the same damage");
    let hourly = "backups: [{ id: full, method: full, schedule: \"0 * * * *\", takes: 10m, to: x, site: east, copies: [{ to: y, site: west, after: 15m }] }]";
    assert_eq!(
        loss(hourly, GONE, "from: full,"),
        "1h25m, copy of backup `full` at west: at most 1h between two, 10m to take it, 15m to copy it"
    );
    assert_eq!(
        loss(hourly, DAMAGED, "from: full,"),
        "1h15m, backup `full` at east: at most 1h between two, 10m to take it, 5m until the damage is noticed"
    );
    assert_eq!(loss(hourly, RANSOM, "from: full,"), "unbounded, no copy of backup `full` survives whole");
    let tape = hourly.replace("site: west", "site: safe");
    assert!(loss(&tape, RANSOM, "from: full,").starts_with("1h30m, copy of backup `full` at safe"));
    let log = "backups: [{ id: full, method: full, schedule: \"0 0 * * 0\", to: x, site: east }, { id: log, method: log, base: full, continuous: 1m, to: y, site: west }]";
    assert_eq!(loss(log, GONE, "from: log,"), "unbounded, no copy of backup `log` survives whole", "its base is lost");
    assert!(loss(&log.replace("to: x, site: east", "to: x, site: west"), GONE, "from: log,").starts_with("1m, backup `log` at west"));
    let short_kept = "backups: [{ id: full, method: full, schedule: \"0 * * * *\", keep: 1m, to: x }]";
    assert!(loss(short_kept, DAMAGED, "from: full,").starts_with("unbounded"), "kept for less than the damage goes unnoticed");
    let sealed = "backups: [{ id: full, method: full, schedule: \"0 * * * *\", to: x, site: west, encryption: { key: k, site: east } }]";
    assert!(loss(sealed, GONE, "from: full,").starts_with("unbounded"), "its key is lost");
}

#[test]
fn missing_parameters_stay_and_are_listed() {
    let text = "drplan: v1\nname: p\nparams: { host: { pattern: \"^[a-z]\" }, port: { type: int, default: 80 } }\nscenarios:\n  s:\n    cause: planned\n    steps:\n      - { id: a, uses: command, with: { argv: [curl, \"${params.host}:${params.port}\", \"$${x}\"] }, effect: read, takes: 1s }\n";
    let plan = checked(text);
    assert_eq!(plan.missing_params(), ["host"]);
    assert_eq!(plan.compiled().scenario.steps[0].call.with["argv"], serde_json::json!(["curl", "${params.host}:80", "$${x}"]));
    let given = Input {
        params: BTreeMap::from([("host".to_owned(), "a${b}".to_owned()), ("port".to_owned(), "81".to_owned())]),
        ..Input::default()
    };
    let plan = read(text, &given);
    assert_eq!(plan.checked[0].compiled().scenario.steps[0].call.with["argv"], serde_json::json!(["curl", "a$${b}:81", "$${x}"]));
    let given = Input { params: BTreeMap::from([("prot".to_owned(), "1".to_owned())]), scenario: Some("t".to_owned()), ..Input::default() };
    let plan = read(text, &given);
    assert_eq!(
        short(&plan.findings, &plan.sources),
        "command line:1:1: deny[bad-param]: the plan has no parameter `prot`\ncommand line:1:11: deny[unknown-name]: no scenario `t`\n"
    );
}
