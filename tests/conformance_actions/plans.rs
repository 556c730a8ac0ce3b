//! The example of every manual page is a step that compiles, and what it says of itself can be read.

use std::collections::BTreeMap;

use drplan::actions::{self, Action, AssetKind, Deed};
use drplan::compile::{Input, compile};
use drplan::diagnostic::Level;

/// A plan around one step.
fn plan(action: &Action) -> String {
    let example = action.page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a page has an example");
    let steps: String = example.lines().map(|line| format!("      {line}\n")).collect();
    let (cause, db) = match action.kinds.first() {
        Some(AssetKind::Sqlite) => (
            "cause: corruption\n    detect: 5m\n    loses: { assets: [db] }",
            "kind: sqlite\n    site: ireland\n    connect: { path: notes.db }\n    backups: [{ id: nightly, method: full, schedule: \"0 2 * * *\", takes: 1m, to: \"file:backups/\", site: ireland }]",
        ),
        _ => (
            "cause: planned",
            "kind: postgres\n    site: ireland\n    connect: { host: db1, database: orders }\n    replicas: [{ site: frankfurt, mode: streaming, max_lag: 10s, connect: { host: db2 } }]",
        ),
    };
    // What an example begins with is not its own matter.
    let before = match action.deed {
        Deed::TakesWrites => "      - { id: fence, asset: db, at: ireland, uses: postgres.fence, takes: 20s, undo: auto }\n",
        _ => "",
    };
    format!(
        "drplan: v1\nname: example\nowner: on-call\nsites: {{ ireland: {{}}, frankfurt: {{}} }}\ncontacts: {{ on-call: {{}}, cto: {{}} }}\nassets:\n  \
         db:\n    tier: none\n    {db}\n  name:\n    kind: route53\n    tier: none\n    site: frankfurt\n    connect: {{ zone: Z1, record: shop.example.com }}\n\
         scenarios:\n  one:\n    {cause}\n    steps:\n{before}{steps}"
    )
}

#[test]
fn every_example_compiles() {
    let mut wrong = Vec::new();
    for action in actions::all() {
        let text = plan(action);
        let loader: BTreeMap<String, String> = [("plan.yaml".to_owned(), text.clone())].into_iter().collect();
        let compiled = compile(&loader, "plan.yaml", &Input::default()).unwrap();
        for finding in compiled.findings.iter().filter(|f| f.level == Level::Deny) {
            wrong.push(format!("{}: {}", action.name, finding.headline));
        }
        let uses = compiled.scenario("one").map(|c| c.compiled().scenario.steps.last().unwrap().call.uses.clone());
        if uses.as_deref() != Some(action.name) {
            wrong.push(format!("{}: the example is a step of {uses:?}", action.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
