//! The section `drills`: which scenario is rehearsed, how often, and what differs then. What differs is put into the
//! plan by `drilled`; here it is only read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::scenario::Around;
use super::{Lower, Named, entries, read};
use crate::actions::Type;
use crate::diagnostic::{Diagnostic, nearest};
use crate::model::places::{DrillPlaces, Keys};
use crate::model::scope::{Spot, list};
use crate::model::shapes::Shapes;
use crate::model::{Drill, Id, vocabulary as words};
use crate::syntax::{Entry, Node};

impl<'t> Lower<'_, 't> {
    /// Reads every drill; what is broken in one is left out.
    pub(super) fn all_drills(&mut self, root: &'t Node<'t>) -> Vec<Drill> {
        let Some(section) = root.get("drills") else { return Vec::new() };
        if section.map().is_none() {
            self.shape("drills", section, &Type::ById(&Type::Record(words::DRILL)), Spot::Plan);
            return Vec::new();
        }
        entries(Some(section)).iter().filter_map(|entry| self.drill(root, entry)).collect()
    }

    fn drill(&mut self, root: &'t Node<'t>, entry: &'t Entry<'t>) -> Option<Drill> {
        let node = &entry.value;
        let mut shapes = Shapes::new(&self.scope, Spot::Plan, self.findings);
        shapes.name(entry);
        // Steps and connections are checked one by one.
        shapes.record(entry.key, node, words::DRILL, &["cleanup", "connect"]);
        for (key, kind) in [("cleanup", Type::List(&Type::Any)), ("connect", Type::Map(&Type::Any))] {
            let whole = |n: &Node<'_>| if key == "cleanup" { n.list().is_some() } else { n.map().is_some() };
            if let Some(wrong) = node.get(key).filter(|n| !whole(n)) {
                shapes.value(key, wrong, &kind);
            }
        }
        node.map()?;
        let scenario = self.name_in(node, "scenario", Named::Scenario);
        let steps = scenario.as_ref().and_then(|s| root.get("scenarios")?.get(s)?.get("steps")?.list()).unwrap_or(&[]);
        let skip = self.skipped(node, steps, scenario.as_deref());
        let with = self.with(node);
        let connect = self.replaced(node);
        let cleanup = self.cleanup(node, steps);
        let items = |key| node.get(key).and_then(Node::list).unwrap_or(&[]);
        let places = DrillPlaces {
            keys: Keys::of(entry.at, node, words::DRILL),
            skip: items("skip").iter().map(|n| n.span).collect(),
            with: entries(node.get("with")).iter().map(|e| (e.key.to_owned(), e.value.head())).collect(),
        };
        self.places.drills.insert(entry.key.to_owned(), places);
        Some(Drill {
            id: entry.key.to_owned(),
            title: self.text(node, "title"),
            scenario: scenario?,
            every_ms: self.duration(node, "every")?,
            production: node.get("on").and_then(read::raw).is_some_and(|on| on == "production"),
            skip,
            with,
            connect,
            cleanup,
        })
    }

    fn skipped(&mut self, node: &Node<'_>, steps: &[Node<'_>], scenario: Option<&str>) -> Vec<Id> {
        let known: Vec<&str> = steps.iter().filter_map(|s| Some(s.get("id")?.scalar()?.text)).collect();
        let mut all = Vec::new();
        for item in node.get("skip").and_then(Node::list).unwrap_or(&[]) {
            let Some(name) = read::raw(item) else { continue };
            match scenario {
                Some(scenario) if !known.contains(&name.as_str()) => {
                    let label = format!("not a step of `{scenario}`");
                    let found = Diagnostic::deny("unknown-name", format!("no step `{name}`"), item.span, label);
                    self.findings.push(match nearest(&name, known.iter().copied()) {
                        Some(near) => found.write(near),
                        None => found.help(format!("the steps are {}", list(&known))),
                    });
                }
                _ => all.push(name),
            }
        }
        all
    }

    /// Values of parameters, as typed; whether they fit is asked where the drill is compiled.
    fn with(&mut self, node: &Node<'_>) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for entry in entries(node.get("with")) {
            if !self.scope.params.contains_key(entry.key) {
                let known: Vec<&str> = self.scope.params.keys().map(String::as_str).collect();
                let found = Diagnostic::deny("unknown-name", format!("no parameter `{}`", entry.key), entry.at, "not one of `params`");
                self.findings.push(match nearest(entry.key, known.iter().copied()) {
                    Some(near) => found.write(near),
                    None if known.is_empty() => found.help("declare it under `params`"),
                    None => found.help(format!("the plan's parameters: {}", list(&known))),
                });
            } else if let Some(scalar) = entry.value.scalar() {
                all.insert(entry.key.to_owned(), scalar.text.to_owned());
            }
        }
        all
    }

    fn replaced(&mut self, node: &'t Node<'t>) -> BTreeMap<Id, BTreeMap<Id, BTreeMap<String, Value>>> {
        let mut all: BTreeMap<Id, BTreeMap<Id, BTreeMap<String, Value>>> = BTreeMap::new();
        for entry in entries(node.get("connect")) {
            if !self.names.has(Named::Asset, entry.key) {
                let known = self.names.all(Named::Asset);
                self.unknown("asset", entry.key, entry.at, &known);
                continue;
            }
            // A broken asset was said to be one.
            let Some(asset) = self.plan.assets.get(entry.key) else { continue };
            let kind = asset.kind;
            let sites: Vec<String> = asset.sites.iter().chain(asset.replicas.iter().map(|r| &r.site)).cloned().collect();
            let own: Vec<String> = asset.sites.clone();
            let mut first_own = None;
            if entry.value.map().is_none() {
                self.shape(entry.key, &entry.value, &Type::Map(&Type::Any), Spot::Plan);
            }
            for site in entries(Some(&entry.value)) {
                if !sites.iter().any(|s| s == site.key) {
                    let label = format!("`{}` does not stand there", entry.key);
                    let found = Diagnostic::deny("unknown-name", format!("`{}` has no site `{}`", entry.key, site.key), site.at, label);
                    let known: Vec<&str> = sites.iter().map(String::as_str).collect();
                    self.findings.push(match nearest(site.key, known.iter().copied()) {
                        Some(near) => found.write(near),
                        None => found.help(format!("it stands at {}", list(&known))),
                    });
                    continue;
                }
                if own.iter().any(|s| s == site.key)
                    && let Some(first) = first_own.replace(site.at)
                {
                    let headline = format!("`{}` is reached in one way at all its own sites", entry.key);
                    let found = Diagnostic::deny("duplicate-key", headline, site.at, "replaced again here").also(first, "replaced here");
                    self.findings.push(found.help("keep one of the two"));
                }
                let keys = self.connect(&site.value, Some(kind), true);
                all.entry(entry.key.to_owned()).or_default().insert(site.key.to_owned(), keys.into_iter().collect());
            }
        }
        all
    }

    fn cleanup(&mut self, node: &'t Node<'t>, steps: &'t [Node<'t>]) -> Vec<crate::model::Step> {
        let own = node.get("cleanup").and_then(Node::list).unwrap_or(&[]);
        let heads = self.heads(steps.iter().chain(own));
        let names = own.iter().chain(steps).filter_map(|s| Some(s.get("id")?.scalar()?.text)).collect();
        let around = Around { steps: &heads, names, lost: Default::default(), undoes: false, cleanup: true };
        own.iter().filter_map(|step| self.step(step, &around)).map(|(step, _)| step).collect()
    }
}
