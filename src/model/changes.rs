//! What changed between two compiled plans, fact by fact, most important first; and what of a step decides what it does.
//! It does not judge, and it does not know which of both is right.
//!
//! Every byte of a compiled plan belongs to one fact, so two plans of different digests differ in at least one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{ActionUse, Compiled, Node, Step, Undo, target_of};
use crate::actions::template::marked;
use crate::actions::units;
use crate::source::obeyed;

/// How much a fact weighs: what decides what happens comes before what decides when, and that before texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Which scenario of which plan it is, and in which mode.
    Whole,
    /// A step that only one of both has.
    Step,
    /// What a step does, to what, and how it is taken back.
    Acts,
    /// A file that a step uses.
    File,
    /// What waits for what.
    Order,
    /// A parameter's value.
    Param,
    /// What an asset is and where it stands; where a secret is found.
    Things,
    /// Limits, repeats, conditions, what a failure means.
    Manner,
    /// Objectives and predictions.
    Promise,
    /// Texts for people, and who they are.
    Words,
}

/// One fact that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How much it weighs.
    pub weight: Weight,
    /// What it is about: "step `promote`".
    pub of: String,
    /// Which of its facts: "timeout"; empty for the thing as a whole.
    pub what: String,
    /// As it was; none: it is new.
    pub old: Option<String>,
    /// As it is; none: it is gone.
    pub new: Option<String>,
}

impl Change {
    /// In words, without values that are long.
    pub fn headline(&self) -> String {
        let name = if self.what.is_empty() { self.of.clone() } else { format!("{}: {}", self.of, self.what) };
        match (&self.old, &self.new) {
            (None, Some(_)) => format!("{name} is new"),
            (Some(_), None) => format!("{name} is gone"),
            _ => format!("{name} changed"),
        }
    }

    /// In lines of at most so many characters, each longer value on its own and cut: old first, new second.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let name = if self.what.is_empty() { self.of.clone() } else { format!("{}: {}", self.of, self.what) };
        let whole = match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!("{name} {old} → {new}"),
            (None, Some(new)) => format!("{name} {new} (new)"),
            (Some(old), None) => format!("{name} {old} (gone)"),
            (None, None) => name.clone(),
        };
        if whole.chars().count() <= width && !whole.contains(char::is_control) {
            return vec![whole];
        }
        let mut out = vec![cut(&self.headline(), width)];
        out.extend(self.old.iter().map(|old| cut(&format!("  - {old}"), width)));
        out.extend(self.new.iter().map(|new| cut(&format!("  + {new}"), width)));
        // What differs stands behind the cut: then its end is shown.
        if let (Some(old), Some(new), [.., a, b]) = (&self.old, &self.new, out.as_slice())
            && a[3..] == b[3..]
        {
            let from = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count().saturating_sub(8);
            let rest = |text: &str| text.chars().skip(from).collect::<String>();
            let (old, new) = (cut(&format!("  - …{}", rest(old)), width), cut(&format!("  + …{}", rest(new)), width));
            out.truncate(1);
            out.extend([old, new]);
        }
        out
    }
}

/// On one line, without control characters, and cut.
fn cut(text: &str, width: usize) -> String {
    let flat: String = text.chars().map(|c| if obeyed(c) { ' ' } else { c }).collect();
    match flat.char_indices().nth(width) {
        Some(_) => format!("{}…", flat.chars().take(width.saturating_sub(1)).collect::<String>()),
        None => flat,
    }
}

/// Every fact that differs, most important first; none only if both are the same.
pub fn changes(old: &Compiled, new: &Compiled) -> Vec<Change> {
    let (old, new) = (facts(old), facts(new));
    let names: BTreeSet<&Fact> = old.keys().chain(new.keys()).collect();
    let mut out: Vec<Change> = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Change {
            weight: name.0,
            of: name.1.clone(),
            what: name.2.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
        })
        .collect();
    // Of what is gone or new as a whole the single facts say nothing more, nor does the order in which steps are written.
    let half = |c: &&Change| c.what.is_empty() && (c.old.is_none() || c.new.is_none());
    let whole: BTreeSet<String> = out.iter().filter(half).map(|c| c.of.clone()).collect();
    let moved = out.iter().all(|c| c.weight != Weight::Step);
    out.retain(|c| c.what.is_empty() || (!whole.contains(&c.of) && (moved || c.of != "steps")));
    out
}

/// What of a step decides what it does and how that is taken back, by name: its action and fields, what it acts on, the
/// files that it starts. Two steps that agree in all of it are the same.
pub fn acts(compiled: &Compiled, step: &Step) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = step_facts(step).into_iter().filter(|(what, _)| weight(what) == Weight::Acts).collect();
    for (name, call) in calls(step) {
        if let Some(target) = target_of(&compiled.plan, step, call) {
            let source = target.source.as_ref().map(|s| {
                let with = s.base.as_deref().into_iter().chain(&s.logs).map(|s| json!({ "id": s.id, "places": s.places }));
                json!({ "id": s.id, "places": s.places, "with": with.collect::<Vec<_>>() })
            });
            let stands = json!({ "asset": target.asset, "site": target.site, "connect": target.connect, "source": source });
            out.insert(format!("{name} acts on"), shown(&stands));
        }
        for file in files_of(call).into_iter().filter_map(|path| compiled.files.iter().find(|f| f.path == path)) {
            out.insert(format!("file `{}`", file.path), file.sha256.clone());
        }
    }
    out
}

/// The files of the plan's directory that a call uses: the program of a `command`, by `./`, a script, manifests.
pub fn files_of(call: &ActionUse) -> Vec<&str> {
    let beside = |path: &&str| !path.starts_with('/') && !path.split('/').any(|part| part == "..") && !marked(path);
    let found: Vec<&Value> = match call.uses.as_str() {
        "command" => {
            call.with.get("argv").and_then(|a| a.get(0)).filter(|p| p.as_str().is_some_and(|p| p.starts_with("./"))).into_iter().collect()
        }
        "kubernetes.apply" => call.with.get("files").and_then(Value::as_array).into_iter().flatten().collect(),
        "script" | "kubernetes.job" => call.with.get("file").into_iter().collect(),
        uses => return uses.strip_prefix("./").into_iter().filter(beside).collect(),
    };
    found.into_iter().filter_map(Value::as_str).map(|path| path.strip_prefix("./").unwrap_or(path)).filter(beside).collect()
}

/// Every action that a step may call, each by a name.
pub fn calls(step: &Step) -> impl Iterator<Item = (&'static str, &ActionUse)> {
    let undo = match &step.undo {
        Undo::Use(call) => Some(call),
        _ => None,
    };
    std::iter::once(("it", &step.call)).chain(step.check.iter().map(|c| ("its check", c))).chain(undo.map(|u| ("its undo", u)))
}

/// Weight, subject and name of a fact.
type Fact = (Weight, String, String);

fn facts(compiled: &Compiled) -> BTreeMap<Fact, String> {
    let mut out = BTreeMap::new();
    let mut put = |weight: Weight, of: &str, what: String, value: String| match out.entry((weight, of.to_owned(), what)) {
        Entry::Vacant(free) => drop(free.insert(value)),
        // The same edge for two reasons.
        Entry::Occupied(mut both) => *both.get_mut() += &format!("; {value}"),
    };
    let whole = object(compiled);
    for (key, value) in &whole {
        match key.as_str() {
            "plan" | "scenario" | "waits" | "joins" | "files" | "predictions" => {}
            "mode" | "format" => put(Weight::Whole, "plan", key.clone(), shown(value)),
            "left_out" => put(Weight::Whole, "steps left out", String::new(), shown(value)),
            "parallel" => put(Weight::Manner, "steps at once", String::new(), shown(value)),
            _ => spread("the run", key, value, &mut |of, what, value| put(Weight::Promise, of, what, value)),
        }
    }
    let plan = object(&*compiled.plan);
    for (section, value) in &plan {
        let (weight, one) = match section.as_str() {
            "name" => (Weight::Whole, ""),
            "params" => (Weight::Param, "parameter"),
            "assets" => (Weight::Things, "asset"),
            "secrets" => (Weight::Things, "secret"),
            "sites" => (Weight::Things, "site"),
            "tiers" => (Weight::Promise, "tier"),
            "contacts" => (Weight::Words, "contact"),
            "journal" => (Weight::Manner, ""),
            _ => (Weight::Words, ""),
        };
        match (one, value) {
            ("", value) => spread("plan", section, value, &mut |of, what, value| put(weight, of, what, value)),
            (one, Value::Object(all)) => {
                for (id, value) in all {
                    let of = format!("{one} `{id}`");
                    put(weight, &of, String::new(), String::new());
                    for (key, value) in value.as_object().into_iter().flatten() {
                        let weight = if key == "title" { Weight::Words } else { weight };
                        spread(&of, key, value, &mut |of, what, value| put(weight, of, what, value));
                    }
                }
            }
            (_, value) => put(weight, "plan", section.clone(), shown(value)),
        }
    }
    for (key, value) in object(&compiled.scenario).iter().filter(|(key, _)| *key != "steps") {
        let weight = match key.as_str() {
            "id" | "cause" | "undoes" => Weight::Whole,
            "title" | "symptoms" => Weight::Words,
            "loses" | "leaves" => Weight::Things,
            _ => Weight::Promise,
        };
        spread("scenario", key, value, &mut |of, what, value| put(weight, of, what, value));
    }
    let steps = &compiled.scenario.steps;
    put(Weight::Manner, "steps", "as written".to_owned(), steps.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", "));
    for (i, step) in steps.iter().enumerate() {
        let of = format!("step `{}`", step.id);
        put(Weight::Step, &of, String::new(), format!("uses {}", step.call.uses));
        for (what, value) in step_facts(step) {
            put(weight(&what), &of, what, value);
        }
        for wait in compiled.waits.get(i).into_iter().flatten() {
            put(Weight::Order, &of, format!("waits for {}", named(compiled, wait.on)), wait.why.clone());
        }
    }
    for join in &compiled.joins {
        let of = format!("\"{}\"", join.what);
        for wait in &join.waits {
            put(Weight::Order, &of, format!("waits for {}", named(compiled, wait.on)), wait.why.clone());
        }
    }
    for file in &compiled.files {
        put(Weight::File, &format!("file `{}`", file.path), String::new(), file.sha256.clone());
    }
    for (asset, prediction) in &compiled.predictions {
        let value = Value::Object(object(prediction));
        spread(&format!("asset `{asset}`"), "predicted", &value, &mut |of, what, value| put(Weight::Promise, of, what, value));
    }
    out
}

fn named(compiled: &Compiled, node: Node) -> String {
    match node {
        Node::Step(i) => compiled.scenario.steps.get(i as usize).map_or_else(String::new, |s| format!("`{}`", s.id)),
        Node::Join(j) => compiled.joins.get(j as usize).map_or_else(String::new, |j| j.what.clone()),
    }
}

fn step_facts(step: &Step) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (key, value) in object(step).iter().filter(|(key, _)| *key != "id") {
        spread("", key, value, &mut |_, what, value| drop(out.insert(what, value)));
    }
    out
}

/// How much a step's fact weighs, by its name.
fn weight(what: &str) -> Weight {
    match what.split('.').next().unwrap_or_default() {
        "uses" | "with" | "assets" | "at" | "effect" | "undo" | "check" | "from" | "outputs" => Weight::Acts,
        "title" | "contact" => Weight::Words,
        "needs" => Weight::Order,
        "takes" => Weight::Promise,
        _ => Weight::Manner,
    }
}

/// The fields of a record, each a fact of its own; lists stay whole.
fn spread(of: &str, key: &str, value: &Value, put: &mut dyn FnMut(&str, String, String)) {
    let name = key.strip_suffix("_ms").unwrap_or(key).to_owned();
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (inner, value) in map {
                spread(of, &format!("{key}.{inner}"), value, put);
            }
        }
        Value::Number(n) if key.ends_with("_ms") => {
            put(of, name, n.as_u64().filter(|ms| *ms < u64::MAX).map_or_else(|| n.to_string(), units::duration_text));
        }
        value => put(of, name, shown(value)),
    }
}

/// Exactly: two values that are not the same never look the same.
fn shown(value: &Value) -> String {
    value.to_string()
}

fn object(of: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}
