//! Plans of several files, lists, drills, and what a plan allows: what these become, beside `tests/broken`, which says
//! what is wrong with them.

use std::collections::BTreeMap;

use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::Level;
use drplan::diagnostic::emit::{Look, human};
use drplan::model::{Mode, Node};

type Files = BTreeMap<String, String>;

fn files(all: &[(&str, &str)]) -> Files {
    all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn compiled(files: &Files, input: &Input) -> Compilation {
    let found = compile(files, "plan.yaml", input).unwrap();
    assert!(found.passed(), "{}", human(&found.findings, &found.sources, Look::default()));
    found
}

/// For each step all steps that come before it, by name.
fn before(plan: &Compilation) -> BTreeMap<String, Vec<String>> {
    let compiled = plan.checked[0].compiled();
    let name = |i: u32| compiled.scenario.steps[i as usize].id.clone();
    let all = |i: usize| {
        let mut open = compiled.waits[i].clone();
        let mut seen: Vec<Node> = Vec::new();
        while let Some(wait) = open.pop() {
            if seen.contains(&wait.on) {
                continue;
            }
            seen.push(wait.on);
            open.extend(match wait.on {
                Node::Step(s) => compiled.waits[s as usize].clone(),
                Node::Join(j) => compiled.joins[j as usize].waits.clone(),
            });
        }
        let mut names: Vec<String> = seen.into_iter().filter_map(|n| if let Node::Step(s) = n { Some(name(s)) } else { None }).collect();
        names.sort();
        names
    };
    (0..compiled.waits.len()).map(|i| (name(i as u32), all(i))).collect()
}

const EDGE: &str = "drplan: v1
assets:
  edge: { kind: http, tier: gold, site: east, depends_on: [shop], connect: { url: 'https://shop/' }, replicas: [{ site: west, mode: standby }] }
scenarios:
  east-lost:
    steps:
      - { id: drain, asset: edge, phase: contain, uses: command, with: { argv: [drain] }, takes: 5s, undo: { none: nothing to drain } }
      - { id: open, asset: edge, uses: command, with: { argv: [open] }, takes: 5s, undo: { none: it was open } }
      - { id: page, asset: edge, phase: verify, uses: http.check, with: { url: 'https://shop/' }, takes: 5s }
";
const SHOP: &str = "drplan: v1
assets:
  shop: { kind: http, tier: gold, site: east, depends_on: [orders], connect: { url: 'https://api/' }, replicas: [{ site: west, mode: standby }] }
scenarios:
  east-lost:
    steps:
      - { id: stop, asset: shop, phase: contain, uses: command, with: { argv: [stop] }, takes: 5s, undo: { none: it was lost } }
      - { id: start, asset: shop, uses: command, with: { argv: [start] }, takes: 5s, undo: { none: it was lost } }
      - { id: api, asset: shop, phase: verify, uses: http.check, with: { url: 'https://api/' }, takes: 5s }
";
const ORDERS: &str = "drplan: v1
assets:
  orders: { kind: postgres, tier: gold, site: east, connect: { host: a, database: o }, replicas: [{ site: west, mode: streaming, max_lag: 5s, connect: { host: b } }] }
scenarios:
  east-lost:
    steps:
      - { id: fence, asset: orders, uses: postgres.fence, at: east, when_unreachable: ask, takes: 5s, undo: auto }
      - { id: promote, asset: orders, uses: postgres.promote, takes: 5s, undo: { none: a new timeline } }
      - { id: rows, asset: orders, phase: verify, uses: postgres.check, with: { query: select 1 }, takes: 5s }
";
const REGION: &str = "drplan: v1
sites: { east: , west: }
tiers: { gold: { rto: 1h, rpo: 1m } }
contacts: { sre: { title: On call, reach: '#sre' } }
scenarios:
  east-lost:
    cause: outage
    loses: { sites: [east] }
    detect: 1m
    steps:
      - { id: go, uses: approval, with: { ask: Go?, from: [sre] }, takes: 1m }
";

fn teams(order: &str) -> Files {
    let root = format!("drplan: v1\nname: shop\ninclude: [{order}]\nscenarios: {{}}\n");
    files(&[("plan.yaml", &root), ("edge.yaml", EDGE), ("shop.yaml", SHOP), ("db/orders.yaml", ORDERS), ("region.yaml", REGION)])
}

#[test]
fn four_teams_give_one_order_without_needs() {
    let plan = compiled(&teams("edge.yaml, shop.yaml, db/orders.yaml, region.yaml"), &Input::default());
    let before = before(&plan);
    // Drain the edge, contain, promote, bring up, open.
    for (first, second) in [
        ("go", "drain"),
        ("drain", "stop"),
        ("stop", "fence"),
        ("fence", "promote"),
        ("promote", "rows"),
        ("rows", "start"),
        ("start", "api"),
        ("api", "open"),
        ("open", "page"),
    ] {
        assert!(before[second].iter().any(|s| s == first), "{second} does not wait for {first}: {:?}", before[second]);
    }
    assert!([EDGE, SHOP, ORDERS, REGION].iter().all(|text| !text.contains("needs")), "nobody wrote `needs`");
}

#[test]
fn the_order_of_includes_means_nothing() {
    let digest = |order: &str| compiled(&teams(order), &Input::default()).checked[0].digest().to_owned();
    let first = digest("edge.yaml, shop.yaml, db/orders.yaml, region.yaml");
    assert_eq!(first, digest("region.yaml, db/orders.yaml, shop.yaml, edge.yaml"));
    assert_eq!(first, digest("shop.yaml, region.yaml, edge.yaml, ./db/../db/orders.yaml"));
    // A file that is included twice is there once, also in a circle.
    let mut all = teams("edge.yaml, region.yaml");
    all.insert("edge.yaml".to_owned(), EDGE.replace("drplan: v1\n", "drplan: v1\ninclude: [shop.yaml, plan.yaml]\n"));
    all.insert("shop.yaml".to_owned(), SHOP.replace("drplan: v1\n", "drplan: v1\ninclude: [db/orders.yaml, edge.yaml]\n"));
    all.insert("db/orders.yaml".to_owned(), ORDERS.replace("drplan: v1\n", "drplan: v1\ninclude: [../region.yaml]\n"));
    assert_eq!(first, compiled(&all, &Input::default()).checked[0].digest());
}

#[test]
fn a_step_waits_for_the_step_above_it_in_its_own_file() {
    let root = "drplan: v1
name: two
include: [b.yaml]
scenarios:
  move:
    cause: planned
    steps:
      - { id: a1, phase: verify, uses: http.check, with: { url: 'https://a/' }, takes: 1s }
      - { id: a2, phase: verify, uses: http.check, with: { url: 'https://a/' }, takes: 1s }
";
    let other = "drplan: v1
scenarios:
  move:
    steps:
      - { id: b1, phase: verify, uses: http.check, with: { url: 'https://b/' }, takes: 1s }
      - { id: b2, phase: verify, uses: http.check, with: { url: 'https://b/' }, takes: 1s }
";
    let before = before(&compiled(&files(&[("plan.yaml", root), ("b.yaml", other)]), &Input::default()));
    assert_eq!(before["a2"], ["a1"]);
    assert_eq!(before["b1"], Vec::<String>::new());
    assert_eq!(before["b2"], ["b1"]);
}

fn shards(ids: &str) -> Files {
    let plan = format!(
        "drplan: v1
name: shards
lists: {{ shards: {ids}, colours: [red, blue] }}
assets:
  orders: {{ for_each: shards, kind: sqlite, tier: none, connect: {{ path: '${{each.id}}.db' }} }}
scenarios:
  move:
    cause: planned
    steps:
      - {{ id: stop, for_each: shards, asset: orders, phase: contain, uses: command, with: {{ argv: [stop, '${{each.id}}'] }}, takes: 1s, undo: {{ none: stays }} }}
      - {{ id: copy, for_each: shards, asset: orders, uses: command, with: {{ argv: [copy, '${{each.id}}'] }}, takes: 1s, undo: {{ none: stays }}, outputs: {{ n: {{ pattern: '(.)' }} }} }}
      - {{ id: look, for_each: shards, asset: orders, phase: verify, uses: http.check, with: {{ url: 'https://x/${{steps.copy.n}}' }}, takes: 1s }}
      - {{ id: paint, for_each: colours, phase: verify, uses: http.check, with: {{ url: 'https://x/${{each.id}}' }}, takes: 1s }}
      - {{ id: last, phase: verify, uses: http.check, with: {{ url: 'https://x/' }}, takes: 1s }}
"
    );
    files(&[("plan.yaml", &plan)])
}

#[test]
fn each_id_of_a_list_goes_its_own_way() {
    let plan = compiled(&shards("[s0, s1]"), &Input::default());
    let before = before(&plan);
    assert_eq!(before["copy[s1]"], ["stop[s1]"]);
    assert_eq!(before["look[s1]"], ["copy[s1]", "stop[s1]"]);
    let all = ["copy[s0]", "copy[s1]", "look[s0]", "look[s1]", "stop[s0]", "stop[s1]"];
    assert_eq!(before["paint[red]"], all);
    assert_eq!(before["last"].len(), all.len() + 2);
    let look = &plan.checked[0].compiled().scenario.steps[5];
    assert_eq!((look.id.as_str(), look.assets.as_slice()), ("look[s1]", ["orders[s1]".to_owned()].as_slice()));
    assert_eq!(look.call.with["url"], "https://x/${steps.copy[s1].n}");
    // A name without brackets means all of them.
    let input = Input { scenario: Some("move".to_owned()), skip: vec!["paint".to_owned(), "look[s0]".to_owned()], ..Input::default() };
    assert_eq!(compiled(&shards("[s0, s1]"), &input).checked[0].compiled().left_out, ["look[s0]", "paint[red]", "paint[blue]"]);
}

#[test]
fn a_new_id_changes_no_other_address() {
    let step = |ids: &str, id: &str| {
        let plan = compiled(&shards(ids), &Input::default());
        let compiled = plan.checked[0].compiled();
        let found = compiled.scenario.steps.iter().find(|s| s.id == id).cloned();
        (found, before(&plan)[id].clone())
    };
    for id in ["stop[s1]", "copy[s1]", "look[s1]"] {
        assert_eq!(step("[s0, s1]", id), step("[a, s0, s1, z]", id));
    }
}

const DRILL: &str = "
drills:
  quarterly:
    scenario: east-lost
    every: 90d
    skip: [drain, open, stop, start]
    connect: { orders: { east: { host: drill-a }, west: { host: drill-b } } }
    cleanup: [{ id: wipe, uses: command, with: { argv: [wipe] }, takes: 5s }]
";

#[test]
fn a_drill_is_the_plan_with_what_differs() {
    let mut all = teams("edge.yaml, shop.yaml, db/orders.yaml, region.yaml");
    all.get_mut("plan.yaml").unwrap().push_str(DRILL);
    let usual = compiled(&all, &Input::default());
    assert_eq!(usual.findings, []);
    let drill = compiled(&all, &Input { drill: Some("quarterly".to_owned()), ..Input::default() });
    let (usual, drill) = (usual.checked[0].compiled(), drill.checked[0].compiled());
    assert_eq!((usual.mode, drill.mode), (Mode::Unplanned, Mode::Drill));
    let orders = |c: &drplan::model::Compiled| {
        let asset = &c.plan.assets["orders"];
        (asset.connect["host"].clone(), asset.replicas[0].connect["host"].clone(), asset.replicas[0].connect["database"].clone())
    };
    assert_eq!(orders(usual), ("a".into(), "b".into(), "o".into()));
    assert_eq!(orders(drill), ("drill-a".into(), "drill-b".into(), "o".into()));
    // With what it skips goes what would look at it.
    assert_eq!(drill.left_out, ["drain", "open", "page", "stop", "start", "api"]);
}

const SILENT: &str = "drplan: v1
name: notes
assets:
  db: { kind: sqlite, tier: none, connect: { path: notes.db } }
scenarios:
  damaged:
    cause: corruption
    loses: { assets: [db] }
    detect: 5m
    steps:
      - { id: look, asset: db, phase: verify, uses: sqlite.check, with: { integrity: true }, takes: 5s }
";

#[test]
fn what_a_plan_allows_is_allowed_until_its_day_is_over() {
    let on = |day: i16, text: &str| {
        let input = Input { today: Some(jiff::civil::date(day, 6, 1)), ..Input::default() };
        compile(&files(&[("plan.yaml", text)]), "plan.yaml", &input).unwrap()
    };
    let seen = |plan: &Compilation| plan.findings.iter().map(|f| (f.rule, f.level)).collect::<Vec<_>>();
    let plain = on(2026, SILENT);
    assert_eq!(seen(&plain), [("no-source", Level::Warn)]);
    let allow = "# drplan: allow(no-source) until 2026-06-01: copied by hand";
    let above = SILENT.replace("  db:", &format!("  {allow}\n  # the notes\n  db:"));
    let beside = SILENT.replace("notes.db } }", &format!("notes.db }} }} {allow}"));
    for text in [&above, &beside] {
        let plan = on(2026, text);
        assert_eq!(seen(&plan), [("no-source", Level::Allow)]);
        assert_eq!(plan.findings[0].allowed.as_deref(), Some("copied by hand"));
        // A comment is no part of a plan.
        assert_eq!(plan.checked[0].digest(), plain.checked[0].digest());
        assert_eq!(seen(&on(2027, text)).iter().filter(|f| f.1 == Level::Warn).count(), 2);
    }
    let policy = |what: &str| SILENT.replacen("assets:", &format!("policy: {{ rules: {{ no-source: {what} }} }}\nassets:"), 1);
    assert_eq!(seen(&on(2026, &policy("{ allow: by hand, until: 2026-06-01 }"))), [("no-source", Level::Allow)]);
    let denied = on(2026, &policy("deny"));
    assert_eq!(seen(&denied), [("no-source", Level::Deny)]);
    assert!(!denied.passed() && denied.checked.is_empty());
}

#[test]
fn a_long_list_is_written_out_and_an_endless_one_is_refused() {
    let ids = |n: usize| format!("[{}]", (0..n).map(|i| format!("s{i}")).collect::<Vec<_>>().join(", "));
    assert_eq!(compiled(&shards(&ids(500)), &Input::default()).checked[0].compiled().scenario.steps.len(), 3 * 500 + 3);
    let found = compile(&shards(&ids(100_000)), "plan.yaml", &Input::default()).unwrap();
    assert!(found.findings.iter().any(|f| f.headline == "lists grow out of bounds"), "{:?}", found.findings.first());
    assert!(found.findings.len() < 5, "{}", found.findings.len());
}
