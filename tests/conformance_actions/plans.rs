//! The example of every manual page is a step that compiles, and what it says of itself can be read.

use std::collections::BTreeMap;

use drplan::actions::{self, Action, AssetKind, Deed};
use drplan::compile::{Input, compile};
use drplan::diagnostic::Level;

const POSTGRES: &str = "kind: postgres\n    site: ireland\n    connect: { host: db1, database: orders }\n    replicas: [{ site: frankfurt, mode: streaming, max_lag: 10s, connect: { host: db2 } }]";

const DUMPED: &str = "kind: postgres\n    site: ireland\n    connect: { host: db1, database: orders }\n    backups: [{ id: nightly, method: dump, schedule: \"0 2 * * *\", takes: 1m, to: \"file:backups/\", site: ireland }]";

/// A plan around one step.
fn plan(action: &Action) -> String {
    let example = action.page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a page has an example");
    let steps: String = example.lines().map(|line| format!("      {line}\n")).collect();
    let (cause, db) = match action.kinds.first() {
        Some(AssetKind::Sqlite) => (
            "cause: corruption\n    detect: 5m\n    loses: { assets: [db] }",
            "kind: sqlite\n    site: ireland\n    connect: { path: notes.db }\n    backups: [{ id: nightly, method: full, schedule: \"0 2 * * *\", takes: 1m, to: \"file:backups/\", site: ireland }]",
        ),
        Some(AssetKind::Clickhouse) if action.deed == Deed::PutsData => {
            ("cause: corruption\n    detect: 5m\n    loses: { assets: [prices] }", POSTGRES)
        }
        Some(AssetKind::Postgres) if action.deed == Deed::PutsData => {
            ("cause: corruption\n    detect: 5m\n    loses: { assets: [db] }", DUMPED)
        }
        _ => ("cause: planned", POSTGRES),
    };
    // What an example begins with is not its own matter.
    let before = match action.deed {
        Deed::TakesWrites if action.kinds == [AssetKind::Redis] => {
            "      - { id: stop, asset: cache, at: ireland, phase: contain, uses: command, with: { argv: [systemctl, stop, redis] }, takes: 20s, check: { uses: http.check, with: { url: \"http://redis1.internal\", expect: { reachable: false } } }, undo: { uses: command, with: { argv: [systemctl, start, redis] } } }\n"
        }
        Deed::TakesWrites => "      - { id: fence, asset: db, at: ireland, uses: postgres.fence, takes: 20s, undo: auto }\n",
        _ => "",
    };
    // What it calls, and the step that takes its place.
    let behind = match action.name {
        "plan" => "  primary-loss:\n    cause: planned\n    steps: [{ id: wait, uses: wait, with: { for: 1s }, takes: 1s }]\n",
        _ => "",
    };
    format!(
        "drplan: v1\nname: example\nowner: on-call\nsites: {{ ireland: {{}}, frankfurt: {{}} }}\ncontacts: {{ on-call: {{}}, cto: {{}} }}\nassets:\n  \
         db:\n    tier: none\n    {db}\n  name:\n    kind: route53\n    tier: none\n    site: frankfurt\n    connect: {{ zone: Z1, record: shop.example.com }}\n  \
         prices:\n    kind: clickhouse\n    tier: none\n    site: ireland\n    connect: {{ url: \"http://ch1:8123\" }}\n    backups: [{{ id: nightly, method: full, schedule: \"0 2 * * *\", takes: 1m, to: \"file:backups/\", site: ireland }}]\n  \
         cache:\n    kind: redis\n    tier: none\n    site: ireland\n    connect: {{ host: redis1 }}\n    replicas: [{{ site: frankfurt, mode: streaming, max_lag: 10s, connect: {{ host: redis2 }} }}]\n  \
         app:\n    kind: kubernetes\n    tier: none\n    site: frankfurt\n    connect: {{ context: frankfurt, namespace: shop }}\n  \
         zone:\n    kind: dns\n    tier: none\n    site: frankfurt\n    connect: {{ server: ns1.example.com, zone: example.com, record: shop.example.com }}\n  \
         bucket:\n    kind: s3\n    tier: none\n    site: frankfurt\n    connect: {{ bucket: orders }}\n\
         scenarios:\n  one:\n    {cause}\n    steps:\n{before}{steps}{behind}"
    )
}

#[test]
fn every_example_compiles() {
    let mut wrong = Vec::new();
    for action in actions::all() {
        let text = plan(action);
        let loader: BTreeMap<String, String> = [
            ("plan.yaml".to_owned(), text.clone()),
            ("tools/rotate".to_owned(), String::new()),
            (
                "tools/rotate.action.yaml".to_owned(),
                "drplan: 1\nsentence: Rotate {service}\neffect: verifiable\nundo: true\nfields: { service: { type: text, doc: which } }\n\
                 commands: [{ what: Rotate, argv: [rotate] }]\nundo_commands: [{ what: Rotate back, argv: [rotate, back] }]\n"
                    .to_owned(),
            ),
        ]
        .into_iter()
        .collect();
        let compiled = compile(&loader, "plan.yaml", &Input::default()).unwrap();
        for finding in compiled.findings.iter().filter(|f| f.level == Level::Deny) {
            wrong.push(format!("{}: {}", action.name, finding.headline));
        }
        let uses = compiled.scenario("one").map(|c| c.compiled().scenario.steps.last().unwrap().call.uses.clone());
        let expected = if action.name == "plan" { "wait" } else { action.name };
        if uses.as_deref().and_then(actions::find).map(|a| a.name) != Some(expected) {
            wrong.push(format!("{}: the example is a step of {uses:?}", action.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
