//! `uses: plan`: what a plan becomes whose steps stand for scenarios, beside `tests/broken`, which says what is wrong with
//! one. `DRPLAN_ORDERS=N` tries more random orders, `DRPLAN_SEED=N` others.

use std::collections::{BTreeMap, BTreeSet};

use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::emit::{Look, human};
use drplan::model::Node;
use drplan::render::{mermaid, runbook};

fn seen(files: &[(&str, &str)], input: &Input) -> Compilation {
    let files: BTreeMap<String, String> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    compile(&files, files.keys().find(|name| *name == "plan.yaml").unwrap(), input).unwrap()
}

fn compiled(files: &[(&str, &str)], input: &Input) -> Compilation {
    let found = seen(files, input);
    assert!(found.passed(), "{}", human(&found.findings, &found.sources, Look::default()));
    found
}

fn bytes(files: &[(&str, &str)]) -> String {
    compiled(files, &Input::default()).checked[0].to_json()
}

fn ids(plan: &Compilation) -> Vec<&str> {
    plan.checked[0].compiled().scenario.steps.iter().map(|s| s.id.as_str()).collect()
}

/// For each step all steps that come before it, by name.
fn before(plan: &Compilation) -> BTreeMap<String, BTreeSet<String>> {
    let compiled = plan.checked[0].compiled();
    let name = |i: usize| compiled.scenario.steps[i].id.clone();
    let all = |i: usize| {
        let mut open = compiled.waits[i].clone();
        let (mut seen, mut names) = (Vec::new(), BTreeSet::new());
        while let Some(wait) = open.pop() {
            if seen.contains(&wait.on) {
                continue;
            }
            seen.push(wait.on);
            open.extend(match wait.on {
                Node::Step(s) => {
                    names.insert(name(s as usize));
                    compiled.waits[s as usize].clone()
                }
                Node::Join(j) => compiled.joins[j as usize].waits.clone(),
            });
        }
        names
    };
    (0..compiled.waits.len()).map(|i| (name(i), all(i))).collect()
}

const COMMON: &str = "drplan: v1
contacts: { sre: { title: On call, reach: '#sre' } }
";

/// A plan by itself, with all that it keeps to itself.
const DB: &str = "drplan: v1
name: db
title: The database
owner: sre
include: [common.yaml]
journal: { url: 'postgres://x@y/z' }
policy: { approval_by_starter: deny }
lists: { shards: [s0, s1] }
params: { port: { type: int, default: 5432 } }
scenarios:
  move:
    title: The database moves
    cause: planned
    steps:
      - { id: look, phase: assess, uses: command, effect: read, with: { argv: [look, --, '${params.port}'] }, takes: 5s, outputs: { lsn: { pattern: '(.*)' } } }
      - { id: ask, uses: approval, with: { ask: 'At ${steps.look.lsn}, and not $${steps.look.lsn} or steps.look.lsn?', from: [sre] }, takes: 1m }
      - { id: stop, for_each: shards, phase: contain, uses: command, with: { argv: ['stop-${each.id}'] }, takes: 5s, undo: { uses: command, with: { argv: ['start-${each.id}'] } } }
      - { id: copy, for_each: shards, uses: command, with: { argv: [copy, --, '${ steps.look.lsn }', 'x${steps.look.lsn}${steps.ask}y$$${params.port}'] }, takes: 5s, undo: { none: it stays }, outputs: { lsn: { pattern: '(.*)' } } }
      - { id: check, for_each: shards, phase: verify, uses: command, effect: read, with: { argv: [check] }, takes: 5s, when: { steps.copy.lsn: { present: true } } }
      - { id: beside, needs: [], uses: command, effect: read, with: { argv: [beside] }, takes: 5s }
      - { id: log, phase: close, uses: command, effect: read, with: { argv: [log] }, takes: 5s }
  elsewhere:
    cause: planned
    steps: [{ id: x, uses: plan, with: { file: none.yaml, scenario: y } }]
drills:
  often: { scenario: elsewhere, every: 1d }
";

const SHOP: &str = "drplan: v1
name: shop
include: [common.yaml]
scenarios:
  move:
    cause: planned
    steps:
      - { id: down, phase: contain, uses: command, with: { argv: [down] }, takes: 5s, undo: { uses: command, with: { argv: [up] } } }
      - { id: database, uses: plan, with: { file: db.yaml, scenario: move } }
      - { id: tell, phase: close, uses: command, effect: read, with: { argv: [tell] }, takes: 5s }
      - { id: up, uses: command, with: { argv: [up, --, '${steps.database-look.lsn}'] }, takes: 5s, undo: { uses: command, with: { argv: [down] } } }
      - { id: late, phase: close, needs: [database], uses: command, effect: read, with: { argv: [late] }, takes: 5s }
";

/// The same, as somebody writes it who has one file.
const BY_HAND: &str = "drplan: v1
name: shop
include: [common.yaml]
lists: { shards: [s0, s1] }
params: { port: { type: int, default: 5432 } }
scenarios:
  move:
    cause: planned
    steps:
      - { id: down, phase: contain, uses: command, with: { argv: [down] }, takes: 5s, undo: { uses: command, with: { argv: [up] } } }
      - { id: database-look, needs: [], phase: assess, uses: command, effect: read, with: { argv: [look, --, '${params.port}'] }, takes: 5s, outputs: { lsn: { pattern: '(.*)' } } }
      - { id: database-ask, uses: approval, with: { ask: 'At ${steps.database-look.lsn}, and not $${steps.look.lsn} or steps.look.lsn?', from: [sre] }, takes: 1m }
      - { id: database-stop, needs: [database-ask, down], for_each: shards, phase: contain, uses: command, with: { argv: ['stop-${each.id}'] }, takes: 5s, undo: { uses: command, with: { argv: ['start-${each.id}'] } } }
      - { id: database-copy, for_each: shards, uses: command, with: { argv: [copy, --, '${ steps.database-look.lsn }', 'x${steps.database-look.lsn}${steps.ask}y$$${params.port}'] }, takes: 5s, undo: { none: it stays }, outputs: { lsn: { pattern: '(.*)' } } }
      - { id: database-check, for_each: shards, phase: verify, uses: command, effect: read, with: { argv: [check] }, takes: 5s, when: { steps.database-copy.lsn: { present: true } } }
      - { id: database-beside, needs: [down], uses: command, effect: read, with: { argv: [beside] }, takes: 5s }
      - { id: database-log, phase: close, uses: command, effect: read, with: { argv: [log] }, takes: 5s }
      - { id: tell, phase: close, uses: command, effect: read, with: { argv: [tell] }, takes: 5s }
      - { id: up, needs: [database-check, database-beside], uses: command, with: { argv: [up, --, '${steps.database-look.lsn}'] }, takes: 5s, undo: { uses: command, with: { argv: [down] } } }
      - { id: late, phase: close, needs: [database-check, database-beside], uses: command, effect: read, with: { argv: [late] }, takes: 5s }
";

#[test]
fn what_is_joined_in_is_what_somebody_writes_there() {
    // `${steps.ask}` is no reference, and refused: it stays as it is, so that it is refused as it stands.
    let fixed = |text: &str| text.replace("${steps.ask}", "");
    let by_hand = bytes(&[("plan.yaml", &fixed(BY_HAND)), ("common.yaml", COMMON)]);
    assert_eq!(bytes(&[("plan.yaml", SHOP), ("common.yaml", COMMON), ("db.yaml", &fixed(DB))]), by_hand);
    // Of this file, or by another name of the same one.
    let elsewhere = "  elsewhere:\n    cause: planned\n    steps: [{ id: x, uses: plan, with: { file: none.yaml, scenario: y } }]\n";
    let own = SHOP.replace("file: db.yaml, scenario: move", "scenario: db") + "  db:\n";
    let steps = fixed(DB).replace(elsewhere, "");
    let steps = &steps[steps.find("    title: The database moves").unwrap()..steps.find("drills:").unwrap()];
    let own =
        own.replace("scenarios:\n", "lists: { shards: [s0, s1] }\nparams: { port: { type: int, default: 5432 } }\nscenarios:\n") + steps;
    assert_eq!(bytes(&[("plan.yaml", &own), ("common.yaml", COMMON)]), by_hand);
}

#[test]
fn a_called_plan_keeps_what_is_its_own() {
    let plan = compiled(&[("plan.yaml", SHOP), ("common.yaml", COMMON), ("db.yaml", &DB.replace("${steps.ask}", ""))], &Input::default());
    let all = plan.plan.as_ref().unwrap();
    assert_eq!((all.name.as_str(), &all.title, &all.owner, &all.journal), ("shop", &None, &None, &None));
    assert_eq!((plan.scenarios, plan.drills.len()), (1, 0));
    assert_eq!(all.lists.len() + all.params.len() + all.contacts.len(), 3);
    // A broken scenario that nobody calls, and the file that it names, are that plan's own matter.
    assert_eq!(plan.sources.ids().count(), 4);
    // The same mistake of two calls is one.
    let twice = SHOP
        .replace("      - { id: tell", "      - { id: again, uses: plan, with: { file: db.yaml, scenario: move } }\n      - { id: tell");
    let broken = seen(&[("plan.yaml", &twice), ("common.yaml", COMMON), ("db.yaml", DB)], &Input::default());
    let found: Vec<_> = broken.findings.iter().map(|f| (f.rule, broken.sources.slice(f.span()))).collect();
    assert_eq!(found, [("bad-reference", "${steps.ask}")]);
}

#[test]
fn a_called_scenario_is_named_by_the_step_that_calls_it() {
    let db = DB.replace("${steps.ask}", "");
    let drill = "drills:\n  q: { scenario: move, every: 90d, skip: [database, down, up] }\n";
    // What is left out gives nothing.
    let shop = SHOP.replace("${steps.database-look.lsn}", "x") + drill;
    let files = [("plan.yaml", shop.as_str()), ("common.yaml", COMMON), ("db.yaml", db.as_str())];
    let left = |input: Input| compiled(&files, &input).checked[0].compiled().left_out.clone();
    let joined: Vec<String> =
        ids(&compiled(&files, &Input::default())).iter().filter(|id| id.starts_with("database-")).map(|id| (*id).to_owned()).collect();
    assert_eq!(joined.len(), 4 + 2 * 3);
    let input = || Input { scenario: Some("move".to_owned()), ..Input::default() };
    assert_eq!(left(Input { skip: vec!["database".to_owned()], ..input() }), joined);
    assert_eq!(left(Input { only: vec!["database".to_owned()], ..input() }), ["down", "tell", "up", "late"]);
    let drilled: BTreeSet<String> = left(Input { drill: Some("q".to_owned()), ..Input::default() }).into_iter().collect();
    assert!(joined.iter().all(|id| drilled.contains(id)) && drilled.contains("up"), "{drilled:?}");
    assert!(!drilled.contains("tell"), "{drilled:?}");
}

const LOOK: &str = "uses: command, effect: read, with: { argv: [look] }, takes: 5s";

/// Scenarios of which each calls the next.
fn chain(calls: usize) -> String {
    let mut text = "drplan: v1\nname: shop\nscenarios:\n".to_owned();
    for i in 0..calls {
        text += &format!("  s{i}: {{ cause: planned, steps: [{{ id: a, uses: plan, with: {{ scenario: s{} }} }}] }}\n", i + 1);
    }
    text + &format!("  s{calls}: {{ cause: planned, steps: [{{ id: last, {LOOK} }}] }}\n")
}

#[test]
fn scenarios_call_scenarios() {
    let plan = compiled(&[("plan.yaml", &chain(16))], &Input { scenario: Some("s0".to_owned()), ..Input::default() });
    assert_eq!(ids(&plan), ["a-".repeat(16) + "last"]);
    let skipped = Input { scenario: Some("s0".to_owned()), skip: vec!["a-a-a".to_owned()], ..Input::default() };
    assert_eq!(compiled(&[("plan.yaml", &chain(16))], &skipped).checked[0].compiled().left_out.len(), 1);
    let deeper = seen(&[("plan.yaml", &chain(17))], &Input::default());
    assert_eq!(deeper.findings.iter().map(|f| f.rule).collect::<Vec<_>>(), ["not-joined"]);
}

#[test]
fn what_grows_without_bounds_is_refused() {
    let mut text = "drplan: v1\nname: shop\nscenarios:\n".to_owned();
    for i in 0..16 {
        let call = |id: &str| format!("{{ id: {id}, uses: plan, with: {{ scenario: s{} }} }}", i + 1);
        text += &format!("  s{i}: {{ cause: planned, steps: [{}, {}, {}] }}\n", call("a"), call("b"), call("c"));
    }
    text += &format!("  s16: {{ cause: planned, steps: [{{ id: last, {LOOK} }}] }}\n");
    let found = seen(&[("plan.yaml", &text)], &Input::default());
    assert!(found.findings.iter().any(|f| f.headline == "scenarios that are joined in grow out of bounds"), "{:?}", found.findings.first());
    // So is what copies one long text.
    let long = "x".repeat(1 << 20);
    let mut text = "drplan: v1\nname: shop\nscenarios:\n  s: { cause: planned, steps: [".to_owned();
    text += &(0..200).map(|i| format!("{{ id: c{i}, uses: plan, with: {{ scenario: t }} }},")).collect::<String>();
    text += &format!("] }}\n  t: {{ cause: planned, steps: [{{ id: a, {LOOK}, outputs: {{ x: {{ pattern: '(.*)' }} }} }}, ");
    text += &format!("{{ id: b, uses: command, effect: read, with: {{ argv: [b, '{long}${{steps.a.x}}'] }}, takes: 5s }}] }}\n");
    let found = seen(&[("plan.yaml", &text)], &Input::default());
    assert!(found.findings.iter().any(|f| f.rule == "too-large"), "{:?}", found.findings.first());
}

#[test]
fn ten_thousand_steps_are_joined_in() {
    let steps: String = (0..10_000).map(|i| format!("      - {{ id: s{i}, {LOOK}, needs: [] }}\n")).collect();
    let db = format!("drplan: v1\nname: db\nscenarios:\n  move:\n    cause: planned\n    steps:\n{steps}");
    let shop = format!(
        "drplan: v1\nname: shop\nscenarios:\n  move:\n    cause: planned\n    steps:\n      - {{ id: go, {LOOK} }}\n      \
         - {{ id: db, uses: plan, with: {{ file: db.yaml, scenario: move }} }}\n      - {{ id: end, {LOOK} }}\n"
    );
    let plan = compiled(&[("plan.yaml", &shop), ("db.yaml", &db)], &Input { states: Some(100), ..Input::default() });
    let compiled = plan.checked[0].compiled();
    assert_eq!(compiled.scenario.steps.len(), 10_002);
    // Two edges a step: the number of edges does not grow with its square.
    let edges = compiled.waits.iter().map(Vec::len).sum::<usize>() + compiled.joins.iter().map(|j| j.waits.len()).sum::<usize>();
    assert!(edges <= 2 * 10_002, "{edges}");
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

/// A step of a random scenario: its name, its phase, what it needs if it says so; and the scenario that it calls.
struct Random {
    id: String,
    phase: &'static str,
    needs: Option<Vec<String>>,
    calls: bool,
}

fn random(dice: &mut Dice, name: &str, calls: bool) -> Vec<Random> {
    let mut all: Vec<Random> = Vec::new();
    for i in 0..2 + dice.below(6) {
        let calls = calls && dice.below(3) == 0;
        // In the calling scenario an `assess` step below another one is the author's own circle.
        let early = all.iter().all(|s| s.phase == "assess" && !s.calls);
        let phases = if early { &["assess", "recover", "recover", "close"][..] } else { &["recover", "verify", "recover", "close"] };
        let phase = phases[dice.below(phases.len())];
        // Steps that are not `close` do not wait for those that are.
        let known: Vec<&Random> = all.iter().filter(|s| s.phase != "close" && (phase != "assess" || s.phase == "assess")).collect();
        let needs = (dice.below(2) == 0).then(|| known.iter().filter(|_| dice.below(3) == 0).map(|s| s.id.clone()).collect());
        let phase = if calls { "recover" } else { phase };
        all.push(Random { id: format!("{name}{i}"), phase, needs, calls });
    }
    all
}

fn written(steps: &[Random]) -> String {
    let mut out = String::new();
    for step in steps {
        let needs = step.needs.as_ref().map_or(String::new(), |n| format!(", needs: [{}]", n.join(", ")));
        match step.calls {
            true => out += &format!("      - {{ id: {}, uses: plan, with: {{ scenario: inner }}{needs} }}\n", step.id),
            false => out += &format!("      - {{ id: {}, phase: {}, {LOOK}{needs} }}\n", step.id, step.phase),
        }
    }
    out
}

#[test]
fn the_order_is_that_of_its_parts() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    let (orders, seed) = (number("DRPLAN_ORDERS", 300), number("DRPLAN_SEED", 1));
    let (mut asked, mut calls) = (0, 0);
    for n in 0..orders {
        let mut dice = Dice((seed << 32) ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.below(2);
        let (outer, inner) = (random(&mut dice, "o", true), random(&mut dice, "i", false));
        // Who waits for what comes after everything waits for itself, called or not.
        if inner.iter().all(|s| s.phase == "close") {
            continue;
        }
        let text = format!(
            "drplan: v1\nname: shop\nscenarios:\n  outer:\n    cause: planned\n    steps:\n{}  inner:\n    cause: planned\n    steps:\n{}",
            written(&outer),
            written(&inner)
        );
        let scenario = |name: &str| {
            let plan = compiled(&[("plan.yaml", &text)], &Input { scenario: Some(name.to_owned()), ..Input::default() });
            before(&plan)
        };
        let (order, alone) = (scenario("outer"), scenario("inner"));
        let phase_of = |id: &str| inner.iter().find(|s| s.id == id).map(|s| s.phase).unwrap();
        // What a name of the calling scenario stands for.
        let stands_for = |id: &str| -> Vec<String> {
            let step = outer.iter().find(|s| s.id == id).unwrap();
            let all = inner.iter().filter(|s| s.phase != "close").map(|s| format!("{id}-{}", s.id));
            if step.calls { all.collect() } else { vec![id.to_owned()] }
        };
        let mut check = |later: &str, earlier: &str| {
            asked += 1;
            assert!(order[later].contains(earlier), "{n}: `{later}` does not wait for `{earlier}`:\n{text}");
        };
        let mut above: Option<&Random> = None;
        for step in &outer {
            let closes = !step.calls && step.phase == "close";
            let waits: Vec<String> = match &step.needs {
                Some(needs) => needs.iter().flat_map(|id| stands_for(id)).collect(),
                None if closes => Vec::new(),
                None => above.map_or(Vec::new(), |above| stands_for(&above.id)),
            };
            if step.calls {
                calls += 1;
                for inner in &inner {
                    let own = format!("{}-{}", step.id, inner.id);
                    alone[&inner.id].iter().for_each(|earlier| check(&own, &format!("{}-{earlier}", step.id)));
                    let assess = |id: &&String| {
                        outer.iter().any(|s| s.id == **id && s.phase == "assess")
                            || id.split_once('-').is_some_and(|(_, id)| phase_of(id) == "assess")
                    };
                    match inner.phase {
                        "assess" => waits.iter().filter(assess).for_each(|earlier| check(&own, earlier)),
                        // By itself it waits for what its `needs` wait for.
                        "close" if inner.needs.is_none() => {}
                        _ => waits.iter().for_each(|earlier| check(&own, earlier)),
                    }
                }
            } else {
                waits.iter().for_each(|earlier| check(&step.id, earlier));
            }
            if !closes {
                above = Some(step);
            }
        }
    }
    println!("{orders} plans, {calls} calls, {asked} waits");
    assert!(calls > orders && asked > 20 * orders, "{calls} {asked}");
}

#[test]
fn joined_steps_are_read_as_any_others() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/");
    let read = |name: &str| std::fs::read_to_string(format!("{path}{name}")).unwrap();
    let names = ["21-another-plan.yaml", "21-another-plan/database.yaml", "21-another-plan/sites.yaml"];
    let texts: Vec<String> = names.iter().map(|name| read(name)).collect();
    let files = [("plan.yaml", texts[0].as_str()), (names[1], &texts[1]), (names[2], &texts[2])];
    let plan = compiled(&files, &Input::default());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!("joined-runbook", runbook::render(&plan.checked[0]));
        insta::assert_snapshot!("joined-graph", mermaid::render(&plan.checked[0], false));
    });
}
