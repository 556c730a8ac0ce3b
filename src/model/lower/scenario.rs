//! The section `scenarios`: what is lost, why, and the steps.

use foldhash::HashMapExt;

use std::collections::BTreeSet;

use super::{Lower, Named, entries, read};
use crate::actions::Type;
use crate::diagnostic::{Diagnostic, Level};
use crate::model::each::address;
use crate::model::places::{Keys, ScenarioPlaces, StepPlaces};
use crate::model::scope::{Spot, StepHead, Steps};
use crate::model::shapes::Shapes;
use crate::model::{Cause, Id, Losses, Phase, Scenario, Step, vocabulary as words};
use crate::syntax::{Entry, Node};

/// What a step must know of its scenario.
pub(super) struct Around<'s> {
    pub(super) steps: &'s Steps<'s>,
    pub(super) names: Vec<&'s str>,
    pub(super) lost: BTreeSet<Id>,
    pub(super) undoes: bool,
    /// Steps after a drill: nobody takes them back.
    pub(super) cleanup: bool,
}

impl<'t> Lower<'_, 't> {
    /// Reads every scenario; for each, whether something in it was refused.
    pub(super) fn all_scenarios(&mut self, root: &'t Node<'t>) -> Vec<bool> {
        let Some(section) = root.get("scenarios") else { return Vec::new() };
        if section.map().is_none() {
            self.shape("scenarios", section, &Type::ById(&Type::Record(words::SCENARIO)), Spot::Plan);
            return Vec::new();
        }
        if entries(Some(section)).is_empty() {
            let found = Diagnostic::deny("missing-key", "the plan has no scenario", section.head(), "nothing is brought back here");
            self.findings.push(found.help("add a scenario with `cause`, `loses`, `detect` and `steps`"));
        }
        let mut broken = Vec::new();
        for entry in entries(Some(section)) {
            Shapes::new(&self.scope, Spot::Plan, self.findings).name(entry);
            let before = self.findings.len();
            if self.scenario(entry) {
                broken.push(self.findings[before..].iter().any(|f| f.level == Level::Deny));
            }
        }
        broken
    }

    /// True if the scenario stands in the plan, if only in part.
    fn scenario(&mut self, entry: &'t Entry<'t>) -> bool {
        let node = &entry.value;
        let heads = self.heads(node.get("steps").and_then(Node::list).unwrap_or(&[]));
        let mut shapes = Shapes::new(&self.scope, Spot::Plan, self.findings);
        // Steps are checked one by one, each knowing its own name.
        shapes.record(entry.key, node, words::SCENARIO, &["steps"]);
        if let Some(steps) = node.get("steps").filter(|s| s.list().is_none()) {
            shapes.value("steps", steps, &Type::List(&Type::Any));
        }
        if node.map().is_none() {
            return false;
        }
        let cause = read::word::<Cause>(node, "cause");
        self.required_unless_planned(entry, cause);
        let loses = self.loses(node);
        let undoes = self.name_in(node, "undoes", Named::Scenario);
        let leaves = self.names_in(node, "leaves", Named::Asset);
        let mut objectives = std::collections::BTreeMap::new();
        for objective in entries(node.get("objectives")) {
            if !self.names.has(Named::Tier, objective.key) {
                let known: Vec<&str> = self.names.all(Named::Tier);
                self.unknown("tier", objective.key, objective.at, &known);
                continue;
            }
            let tier = self.tier(&objective.value);
            objectives.insert(objective.key.to_string(), tier);
        }
        let mut scenario = Scenario {
            id: entry.key.to_string(),
            title: self.text(node, "title"),
            symptoms: self.texts(node, "symptoms"),
            loses,
            cause: cause.unwrap_or(Cause::Outage),
            detect_ms: self.duration(node, "detect").unwrap_or(0),
            decide_ms: self.duration(node, "decide").unwrap_or(0),
            objectives,
            undoes,
            leaves,
            steps: Vec::new(),
        };
        let mut places = ScenarioPlaces {
            keys: Keys::of(entry.at, node, words::SCENARIO),
            leaves: node.get("leaves").and_then(Node::list).unwrap_or(&[]).iter().map(|n| n.span).collect(),
            objectives: entries(node.get("objectives")).iter().map(|e| (e.key.to_owned(), e.at)).collect(),
            steps: Vec::new(),
        };
        let items = node.get("steps").and_then(Node::list).unwrap_or(&[]);
        scenario.steps.reserve_exact(items.len());
        places.steps.reserve_exact(items.len());
        let names: Vec<&str> = items.iter().filter_map(step_name).collect();
        let lost = crate::model::lost_sites(&self.plan, &scenario);
        let around = Around { steps: &heads, names, lost, undoes: scenario.undoes.is_some(), cleanup: false };
        for item in items {
            if let Some((step, place)) = self.step(item, &around) {
                scenario.steps.push(step);
                places.steps.push(place);
            }
        }
        begin_files(&mut scenario.steps, &places.steps);
        self.scenarios.push(scenario);
        self.places.scenarios.push(places);
        true
    }

    /// What references may ask of each step; reports names that stand twice.
    pub(super) fn heads(&mut self, items: impl IntoIterator<Item = &'t Node<'t>>) -> Steps<'t> {
        let items = items.into_iter();
        let mut heads = Steps::with_capacity(items.size_hint().0);
        for item in items {
            let (Some(name), Some(id)) = (step_name(item), item.get("id")) else { continue };
            let action = item.get("uses").and_then(Node::scalar).and_then(|s| self.scope.action(s.text));
            if let Some(first) = heads.insert(name, StepHead { action, node: item })
                && let Some(first) = first.node.get("id").filter(|first| first.span != id.span)
            {
                let found = Diagnostic::deny("duplicate-id", format!("two steps are called `{name}`"), id.span, "again here");
                self.findings.push(found.also(first.span, "first here").help("give one of them another id"));
            }
        }
        heads
    }

    fn required_unless_planned(&mut self, entry: &Entry<'_>, cause: Option<Cause>) {
        for key in ["loses", "detect"] {
            if cause.is_some_and(|c| c != Cause::Planned) && entry.value.get(key).is_none() {
                let found = Diagnostic::deny(
                    "missing-key",
                    format!("`{key}` is missing in `{}`", entry.key),
                    entry.at,
                    format!("`{key}` must stand here"),
                );
                self.findings.push(found.help(match key {
                    "loses" => "add `loses: { sites: [ … ] }` or `loses: { assets: [ … ] }`",
                    _ => "add `detect: …`, the time from the damage until somebody is called",
                }));
            }
        }
    }

    fn loses(&mut self, node: &Node<'_>) -> Losses {
        let Some(loses) = node.get("loses") else { return Losses::default() };
        let sites = self.names_in(loses, "sites", Named::Site);
        let assets = self.names_in(loses, "assets", Named::Asset);
        let mut backups = Vec::new();
        for item in loses.get("backups").and_then(Node::list).unwrap_or(&[]) {
            let Some(name) = read::raw(item) else { continue };
            let all: Vec<String> =
                self.plan.assets.iter().flat_map(|(id, a)| a.backups.iter().map(move |b| format!("{id}.{}", b.id))).collect();
            if all.contains(&name) {
                backups.push(name);
            } else {
                let known: Vec<&str> = all.iter().map(String::as_str).collect();
                self.unknown("backup", &name, item.span, &known);
            }
        }
        Losses { sites, assets, backups }
    }
}

/// No step stands above the first of a file: of several files that is said, since their steps stand one after the other.
fn begin_files(steps: &mut [Step], places: &[StepPlaces]) {
    let mut last = None;
    let mut first: Option<(Option<String>, String)> = None;
    for (step, place) in steps.iter_mut().zip(places).filter(|(s, _)| s.phase != Phase::Close) {
        let group = (step.each.clone(), address(&step.id).0.to_owned());
        let file = Some(place.keys.at.source);
        if file != last {
            first = last.is_some().then(|| group.clone());
            last = file;
        } else if first.as_ref().is_some_and(|f| f.0.is_none() || *f != group) {
            first = None;
        }
        if first.is_some() {
            step.needs.get_or_insert_default();
        }
    }
}

fn step_name<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    Some(node.get("id")?.scalar()?.text)
}
