//! The JSON Schema that editors are given is as strict as the compiler about the shape of a plan, and never stricter: on
//! every plan of the repository, and on a thousand of them with one thing changed at random. `DRPLAN_MUTANTS=N` tries
//! more, `DRPLAN_SEED=N` others.

#[path = "support/plans.rs"]
mod plans;

use std::collections::BTreeMap;
use std::path::PathBuf;

use drplan::compile::{Input, compile};
use drplan::diagnostic::Level;
use drplan::diagnostic::emit::short;
use plans::plans;
use serde_json::{Map, Value, json};

/// Rules about the shape of a plan: its keys, types, units and words.
const SHAPE: &[&str] = &[
    "bad-id",
    "bad-unit",
    "calendar-unit",
    "clock-duration",
    "empty-value",
    "missing-unit",
    "not-a-list",
    "not-one-value",
    "old-boolean",
    "quoted-value",
    "unknown-action",
    "unknown-key",
    "unknown-version",
    "unknown-word",
    "unquoted-value",
    "wrong-type",
];

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Every plan that stands by itself: its name and what it holds.
fn alone() -> Vec<(String, Value)> {
    let read = |at: PathBuf| -> (String, Value) {
        (at.display().to_string(), serde_yaml::from_str(&std::fs::read_to_string(&at).unwrap()).unwrap())
    };
    let beside = |plan: &Value| plan.get("include").is_some() || plan.to_string().contains("\"uses\":\"./");
    plans(&["examples", "plans"]).into_iter().map(read).filter(|(_, plan)| !beside(plan)).collect()
}

/// What the compiler finds wrong, as lines, and the rules about shape among it. A plan as JSON is a plan as YAML.
fn refused(plan: &Value) -> (String, Vec<&'static str>) {
    let text = serde_json::to_string_pretty(plan).unwrap();
    let files = BTreeMap::from([("plan.yaml".to_owned(), text)]);
    let found = compile(&files, "plan.yaml", &Input::default()).unwrap();
    let denied: Vec<_> = found.findings.iter().filter(|f| f.level == Level::Deny).cloned().collect();
    let shape = denied.iter().map(|f| f.rule).filter(|rule| SHAPE.contains(rule)).collect();
    (short(&denied, &found.sources), shape)
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

/// Every place in a value, as a path.
fn places(value: &Value, path: &str, out: &mut Vec<String>) {
    out.push(path.to_owned());
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| places(v, &format!("{path}/{i}"), out)),
        Value::Object(map) => {
            map.iter().for_each(|(k, v)| places(v, &format!("{path}/{}", k.replace('~', "~0").replace('/', "~1")), out));
        }
        _ => {}
    }
}

/// One thing changed; what, in words.
fn mutate(plan: &mut Value, dice: &mut Dice) -> String {
    let mut all = Vec::new();
    places(plan, "", &mut all);
    let path = all[dice.below(all.len())].clone();
    let other = plan.pointer(&all[dice.below(all.len())]).unwrap().clone();
    let here = plan.pointer_mut(&path).unwrap();
    let what = match (dice.below(4), &mut *here) {
        (0 | 1, Value::Object(map)) if !map.is_empty() => in_map(map, dice),
        (0, Value::Array(items)) if !items.is_empty() => {
            let one = items[dice.below(items.len())].clone();
            *here = one;
            "one item instead of the list".to_owned()
        }
        // What a parameter makes of it no schema can tell.
        (1, Value::String(text)) if !text.contains("${") => in_text(text, dice),
        (2, _) => {
            *here = other;
            "a value from elsewhere in the plan".to_owned()
        }
        _ => {
            let new = [
                json!(null),
                json!(true),
                json!(7),
                json!(-1),
                json!(2.5),
                json!("x"),
                json!("30s"),
                json!("10GiB"),
                json!("12mo"),
                json!("${params.none}"),
                json!([]),
                json!(["x"]),
                json!({}),
                json!({ "x": 1 }),
            ];
            let new = new[dice.below(new.len())].clone();
            let words = format!("{new}");
            *here = if dice.below(5) == 0 { json!([here.clone()]) } else { new };
            words
        }
    };
    format!("{path}: {what}")
}

fn in_map(map: &mut Map<String, Value>, dice: &mut Dice) -> String {
    let key = map.keys().nth(dice.below(map.len())).unwrap().clone();
    match dice.below(3) {
        0 => {
            map.remove(&key);
            format!("without `{key}`")
        }
        1 => {
            let value = map.remove(&key).unwrap();
            let mut wrong = key.clone();
            wrong.insert(dice.below(wrong.len() + 1), 'x');
            map.insert(wrong.clone(), value);
            format!("`{wrong}` for `{key}`")
        }
        _ => {
            let words = ["title", "site", "kind", "takes", "undo", "needs", "tier", "rto", "every", "url", "Wrong Name", "a_b", "nothing"];
            let word = words[dice.below(words.len())];
            map.insert(word.to_owned(), json!("x"));
            format!("`{word}` added")
        }
    }
}

fn in_text(text: &mut String, dice: &mut Dice) -> String {
    let old = text.clone();
    match dice.below(6) {
        0 => text.push('x'),
        1 => drop(text.pop()),
        2 => *text = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).to_owned(),
        3 => *text = text.to_uppercase(),
        4 => text.insert(0, ' '),
        _ => *text = format!("{text} {text}"),
    }
    format!("{text:?} for {old:?}")
}

#[test]
fn the_schema_refuses_what_the_compiler_refuses_for_its_shape() {
    let schema = drplan::model::schema::schema();
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let plans = alone();
    let why = |plan: &Value| validator.iter_errors(plan).map(|e| format!("{}: {e}", e.instance_path())).collect::<Vec<_>>();
    for (name, plan) in &plans {
        assert_eq!(why(plan), Vec::<String>::new(), "{name}");
        assert_eq!(refused(plan).0, "", "{name}");
    }
    let (mutants, seed) = (number("DRPLAN_MUTANTS", 1000), number("DRPLAN_SEED", 1));
    let (mut wrong, mut counts) = (Vec::new(), [0; 4]);
    for n in 0..mutants {
        let mut dice = Dice((seed << 32) ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.below(2);
        let (name, plan) = &plans[dice.below(plans.len())];
        let references = serde_json::to_string(plan).unwrap().matches("${").count();
        let mut plan = plan.clone();
        let what = mutate(&mut plan, &mut dice);
        let (by_schema, (by_compiler, mut shape)) = (why(&plan), refused(&plan));
        // Which keys reach an asset stands with the asset: a drill does not say it.
        // And what a parameter is used for, with what uses it.
        if what.starts_with("/drills/") && what.contains("/connect")
            || what.starts_with("/params")
            || serde_json::to_string(&plan).is_ok_and(|text| text.matches("${").count() > references)
        {
            shape.clear();
        }
        counts[usize::from(!by_schema.is_empty()) * 2 + usize::from(!shape.is_empty())] += 1;
        if !by_schema.is_empty() && by_compiler.is_empty() {
            wrong.push(format!("{n} {name}: {what}\n  only the schema refuses: {}", by_schema.join("\n    ")));
        }
        if by_schema.is_empty() && !shape.is_empty() {
            wrong.push(format!("{n} {name}: {what}\n  only the compiler refuses: {}", by_compiler.trim_end().replace('\n', "\n    ")));
        }
    }
    println!("{mutants} mutants: {} good for both, {} refused by both for their shape", counts[0], counts[3]);
    let shown = wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {mutants}:\n{shown}", wrong.len());
    assert!(counts[0] > mutants as usize / 20 && counts[3] > mutants as usize / 4, "{counts:?}");
}
