//! A plan's shadow: the same order, effects, locks, retries, conditions, approvals and ways back, on a world in which
//! each step has one thing of its own to change. It does not know what the real actions do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::actions::Effect;
use crate::analysis::Checked;
use crate::model::{ActionUse, OutputDecl, ParamKind, Step, Undo};
use crate::world::RecordSet;
use crate::world::sim::Sim;

/// The shadow of a plan. The error says why a compiled plan has none; that is a mistake of this program.
pub fn of(checked: &Checked) -> Result<Checked, String> {
    let mut compiled = checked.compiled().clone();
    let asked = asked(&compiled.scenario.steps);
    for step in &mut compiled.scenario.steps {
        shade(step, asked.get(&step.id));
        if step.call.uses == "route53.upsert" {
            // A record of its own, so that somebody else can change it.
            let name = format!("{}-name", step.id);
            let connect = json!({ "zone": "Z1", "record": record(&step.id, "").name, "type": "CNAME", "ttl": "1m" });
            let asset = json!({ "kind": "route53", "sites": [], "connect": connect });
            let asset = serde_json::from_value(asset).map_err(|e| e.to_string())?;
            Arc::make_mut(&mut compiled.plan).assets.insert(name.clone(), asset);
            step.assets.insert(0, name);
        }
    }
    let text = serde_json::to_string(&compiled).map_err(|e| e.to_string())?;
    Checked::from_json(&text)
}

/// The world as it is before a run of the shadow; what reading steps find follows from `chance`.
pub fn furnish(sim: &Sim, shadow: &Checked, mut chance: impl FnMut(u64) -> u64) {
    let steps = &shadow.compiled().scenario.steps;
    for step in steps.iter().filter(|s| s.undo == Undo::Auto && s.call.uses == "route53.upsert") {
        sim.set_record(record(&step.id, "old.example.com"));
    }
    for (step, outputs) in asked(steps) {
        let found: Map<String, Value> = outputs
            .into_iter()
            .map(|(output, wanted)| {
                // As often as not something that no condition names.
                let n = chance(wanted.len() as u64 + 1) as usize;
                let other = other(wanted.first());
                (output, wanted.into_iter().nth(n).unwrap_or(other))
            })
            .collect();
        sim.set(&format!("out-{step}"), &Value::Object(found).to_string());
    }
}

/// The record of a step in the shadow's world.
pub fn record(step: &str, value: &str) -> RecordSet {
    RecordSet { name: format!("{step}.example.com"), kind: "CNAME".to_owned(), ttl_s: 60, values: vec![value.to_owned()] }
}

/// Outputs that conditions ask for, by step, with the plain values that they name.
fn asked(steps: &[Step]) -> BTreeMap<String, BTreeMap<String, Vec<Value>>> {
    let mut out: BTreeMap<String, BTreeMap<String, Vec<Value>>> = BTreeMap::new();
    for when in steps.iter().flat_map(|s| &s.when) {
        let values = out.entry(when.step.clone()).or_default().entry(when.output.clone()).or_default();
        values.extend(plain(&when.matcher).into_iter().filter(|v| !values.contains(v)).collect::<Vec<_>>());
    }
    out
}

/// Plain values in a matcher: what could be found.
fn plain(matcher: &Value) -> Vec<Value> {
    match matcher {
        Value::Object(map) => map.values().flat_map(plain).collect(),
        Value::Array(all) => all.iter().flat_map(plain).collect(),
        value => vec![value.clone()],
    }
}

fn shade(step: &mut Step, asked: Option<&BTreeMap<String, Vec<Value>>>) {
    let id = step.id.clone();
    match step.effect {
        Effect::Manual => {}
        Effect::Read if step.call.uses == "approval" => {}
        Effect::Read => {
            let found = format!("out-{id}");
            step.call = command(step.takes_ms, &if asked.is_some() { ["get", &found, ""] } else { ["nop", "", ""] });
            step.outputs = asked.map(declared).unwrap_or_default();
        }
        _ if step.undo == Undo::Auto => {
            let with = Map::from_iter([("value".to_owned(), json!("new.example.com"))]);
            step.call = ActionUse { uses: "route53.upsert".to_owned(), with };
            step.outputs.clear();
        }
        effect => {
            let words = if effect == Effect::Once { ["add", &id, ""] } else { ["set", &id, "1"] };
            step.call = command(step.takes_ms, &words);
            step.outputs.clear();
            let back = if effect == Effect::Once { format!("{id}-back") } else { id.clone() };
            let words = if effect == Effect::Once { ["add", &back, ""] } else { ["del", &back, ""] };
            if let Undo::Use(call) = &mut step.undo
                && call.uses != "manual"
            {
                *call = command(step.takes_ms, &words);
            }
        }
    }
    if let Some(check) = &mut step.check {
        *check = match step.call.uses.as_str() {
            "route53.upsert" => {
                let with = Map::from_iter([("expect".to_owned(), json!("new.example.com"))]);
                ActionUse { uses: "route53.check".to_owned(), with }
            }
            _ => command(1_000, &["is", &id, "1"]),
        };
    } else if step.effect == Effect::Verifiable && step.call.uses == "command" {
        step.check = Some(command(1_000, &["is", &id, "1"]));
    }
}

/// A command of the simulated world that takes about so long.
fn command(takes_ms: u64, words: &[&str; 3]) -> ActionUse {
    let takes = takes_ms.max(1).to_string();
    let argv: Vec<&str> = ["take", &takes].into_iter().chain(words.iter().copied().filter(|w| !w.is_empty())).collect();
    ActionUse { uses: "command".to_owned(), with: Map::from_iter([("argv".to_owned(), json!(argv))]) }
}

fn declared(outputs: &BTreeMap<String, Vec<Value>>) -> BTreeMap<String, OutputDecl> {
    let kind = |wanted: &Vec<Value>| match wanted.first() {
        Some(Value::Bool(_)) => ParamKind::Bool,
        Some(Value::Number(_)) => ParamKind::Int,
        _ => ParamKind::String,
    };
    let decl =
        |(name, wanted): (&String, &Vec<Value>)| (name.clone(), OutputDecl { kind: kind(wanted), json: Some(name.clone()), pattern: None });
    outputs.iter().map(decl).collect()
}

/// A value of the same kind that no condition names.
fn other(like: Option<&Value>) -> Value {
    match like {
        Some(Value::Bool(b)) => json!(!b),
        Some(Value::Number(_)) => json!(424_242),
        _ => json!("something else"),
    }
}
