//! One call: what it names, whether that can be joined in, and what is said if not.

use super::order::ends;
use super::{DEPTH, ID_LENGTH, Inner, Join, KEYS};
use crate::actions::template::marked;
use crate::diagnostic::{Diagnostic, nearest};
use crate::model::lists::{entries, items, text};
use crate::model::scope::list;
use crate::model::vocabulary as words;
use crate::source::{SourceId, Span};
use crate::syntax::{Core, Entry, Node, Value};

impl<'a> Join<'a, '_> {
    /// What a call stands for; none if it cannot be joined in, which is said, or else is seen where the step is read.
    pub(super) fn call(&mut self, step: &'a Node<'a>, group: SourceId, prefix: &'a str) -> Option<Inner<'a>> {
        let (id, with) = (step.get("id")?, step.get("with")?);
        // One that was found wrong is wrong once.
        if self.full || self.said.contains(&id.span) || !self.is_clear(step) {
            return None;
        }
        let (name, scenario) = (text(id)?, with.get("scenario")?);
        let target = match with.get("file") {
            None => group,
            Some(file) => self.file(file)?,
        };
        let (key, steps) = self.found(target, scenario, with.get("file"))?;
        if self.turns(target, key, scenario.span) {
            return None;
        }
        let prefix = self.arena.text(&[prefix, name, "-"].concat());
        self.open.push((target, key, scenario.span));
        let outer = std::mem::replace(&mut self.free, self.walked.insert(steps.span));
        self.count(items(Some(steps)).len(), scenario.span);
        let made = if self.full { Vec::new() } else { self.list(items(Some(steps)), target, prefix) };
        self.free = outer;
        self.open.pop();
        if let Some((long, own)) = self.long.take() {
            let headline = format!("`{long}` is longer than {ID_LENGTH} characters");
            let found = Diagnostic::deny("not-joined", headline, id.span, "every step that is joined in has this before its name");
            self.say(id.span, found.also(own, "this step").help("give the one or the other a shorter id"));
            return None;
        }
        let all = made.iter().map(|made| made.name.to_owned()).collect();
        self.callers.insert(prefix[..prefix.len() - 1].to_owned(), all);
        let (ends, close) = ends(&made);
        Some(Inner { made, ends, close })
    }

    /// Whether a call has what it must have, and nothing else that could count.
    pub(super) fn is_clear(&mut self, step: &'a Node<'a>) -> bool {
        let mut clear = true;
        for entry in entries(Some(step)) {
            if KEYS.contains(&entry.key) {
                continue;
            }
            clear = false;
            // What is no word of the language is said where the step is read.
            if words::STEP.iter().any(|field| field.name == entry.key) {
                let label = "it would say nothing of the steps that are joined in";
                let found = Diagnostic::deny("not-joined", format!("a step of `plan` has no `{}`", entry.key), entry.at, label);
                self.say(entry.at, found.help(instead(entry.key)));
            }
        }
        let known = |e: &Entry<'a>| matches!(e.key, "scenario" | "file") && e.value.scalar().is_some_and(|s| !s.text.is_empty());
        let with = step.get("with").and_then(Node::map).is_some_and(|with| with.iter().all(known));
        let needs = step.get("needs").is_none_or(|needs| needs.list().is_some_and(|all| all.iter().all(|n| n.scalar().is_some())));
        let id = step.get("id").and_then(Node::scalar).is_some_and(|id| id.core() == Core::Text && is_id(id.text));
        clear && with && needs && id
    }

    /// The file that a call names.
    pub(super) fn file(&mut self, file: &Node<'a>) -> Option<SourceId> {
        let name = text(file)?;
        if marked(name) {
            let found =
                Diagnostic::deny("not-joined", "`file` cannot be made of `${…}`", file.span, "it is read when the plan is compiled");
            self.say(file.span, found.help("write the path itself, relative to this file"));
            return None;
        }
        let known = self.called.files.get(&(file.span.source, name.to_owned())).copied();
        if known.is_none() {
            let found = Diagnostic::deny("not-joined", format!("`{name}` was not read"), file.span, "nobody could see that it is called");
            self.say(file.span, found.help("write `uses: plan` as it stands here, without anchors, escapes or comments in it"));
        }
        known
    }

    /// The scenario of a name in a plan: its name there, and its steps.
    pub(super) fn found(&mut self, target: SourceId, scenario: &Node<'a>, file: Option<&Node<'a>>) -> Option<(&'a str, &'a Node<'a>)> {
        let name = text(scenario)?;
        let all = entries(self.plans.get(&target));
        let Some(entry) = all.iter().find(|e| e.key == name) else {
            let known: Vec<&str> = all.iter().map(|e| e.key).collect();
            let place = file.and_then(text).map_or("this plan".to_owned(), |file| format!("`{file}`"));
            let label = format!("not one of the scenarios of {place}");
            let found = Diagnostic::deny("unknown-name", format!("no scenario `{name}`"), scenario.span, label);
            self.say(
                scenario.span,
                match nearest(name, known.iter().copied()) {
                    Some(near) => found.write(near),
                    None if known.is_empty() => found.help("name a plan that has scenarios"),
                    None => found.help(format!("known scenarios: {}", list(&known))),
                },
            );
            return None;
        };
        let steps = entry.value.get("steps");
        if items(steps).is_empty() {
            let found =
                Diagnostic::deny("not-joined", format!("scenario `{name}` has no steps"), scenario.span, "there is nothing to join in");
            self.say(scenario.span, found.also(entry.at, "this scenario").help("give it steps, or leave this step out"));
            return None;
        }
        Some((entry.key, steps?))
    }

    /// Whether a call leads back to where it came from, or too deep.
    pub(super) fn turns(&mut self, target: SourceId, name: &'a str, at: Span) -> bool {
        if let Some(first) = self.open.iter().position(|(group, other, _)| (*group, *other) == (target, name)) {
            let round: Vec<(SourceId, &str, Span)> = self.open[first + 1..].to_vec();
            let through = match round.as_slice() {
                [] => String::new(),
                more => format!(" by {}", list(&more.iter().map(|(_, name, _)| *name).collect::<Vec<_>>())),
            };
            // Wherever one comes into a circle, it is the same one.
            let mut places: Vec<Span> = round.iter().map(|(_, _, at)| *at).chain([at]).collect();
            places.sort_unstable();
            let found = Diagnostic::deny("not-joined", format!("scenario `{name}` calls itself{through}"), at, "this leads back to it");
            let found = found.also_all(round.into_iter().map(|(_, name, at)| (at, format!("`{name}` is called here"))));
            self.say(places[0], found.help("leave one of these calls out"));
            return true;
        }
        if self.open.len() > DEPTH {
            let label = format!("more than {DEPTH} scenarios within each other");
            let found = Diagnostic::deny("not-joined", "scenarios are called too deep in one another", at, label);
            self.say(at, found.help("call some of them beside each other"));
            return true;
        }
        false
    }

    pub(super) fn say(&mut self, at: Span, found: Diagnostic) {
        if self.said.insert(at) {
            self.findings.push(found);
        }
    }

    /// Relative paths in what a plan of another directory has: beside this plan they are other files.
    pub(super) fn paths(&mut self, key: &str, node: &Node<'a>) {
        match node.value() {
            Value::Scalar(scalar) => {
                let text = scalar.text;
                let relative = |path: &str| !path.is_empty() && !path.starts_with('/') && !marked(path);
                let path = text.starts_with("./") || text.starts_with("../") || text.strip_prefix("file:").is_some_and(relative);
                if path || key == "path" && relative(text) {
                    let found = Diagnostic::deny(
                        "not-joined",
                        format!("`{text}` would be another file here"),
                        node.span,
                        "it is looked for beside this plan",
                    );
                    self.say(node.span, found.help("write a path that begins with `/`, a name that is found in PATH, or a parameter"));
                }
            }
            Value::List(all) => all.iter().for_each(|item| self.paths("", item)),
            Value::Map(all) => all.iter().for_each(|e| self.paths(e.key, &e.value)),
            Value::Shared(node) => self.paths(key, node),
        }
    }

    /// Notes values that are made; what is joined in for the first time is no more than what was written.
    pub(super) fn count(&mut self, values: usize, at: Span) {
        if self.free || self.full {
            return;
        }
        self.made += values;
        if self.made > self.room {
            self.full = true;
            let label = format!("up to here they make more than {} values", self.room);
            let found = Diagnostic::deny("too-large", "scenarios that are joined in grow out of bounds", at, label);
            self.findings.push(found.help("call each of them once, or cut the plan into several"));
        }
    }
}

/// Whether a text is a name of one thing, without brackets.
fn is_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= ID_LENGTH && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(allowed)
}

/// What to do instead of a key that such a step does not have.
fn instead(key: &str) -> &'static str {
    match key {
        "for_each" => "write one such step for each id",
        "title" => "leave it out: each step has its own; what must be said of all of them is a comment",
        "when" | "modes" => "say it in each of its steps; or make the choice between scenarios, outside of the run",
        _ => "leave it out, and say it in the steps that it concerns",
    }
}
