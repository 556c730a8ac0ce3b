//! One step, every default spelled out.

use super::scenario::Around;
use super::{Lower, Named, action, entries, read};
use crate::actions::{Action, Call, Effect, Phase, Type, UndoKind};
use crate::diagnostic::{Diagnostic, Level, Near};
use crate::model::places::{Keys, StepPlaces};
use crate::model::scope::Spot;
use crate::model::shapes::Shapes;
use crate::model::{ActionUse, Id, Mode, OnFailure, OutputDecl, ParamKind, Step, Undo, When, nested, vocabulary as words};
use crate::source::Span;
use crate::syntax::Node;

/// The shortest default limit of an attempt.
const SHORTEST_TIMEOUT_MS: u64 = 30_000;

impl<'t> Lower<'_, 't> {
    /// Reads a step; none without an id, or if it is no map at all.
    pub(super) fn step(&mut self, node: &Node<'_>, around: &Around<'_>) -> Option<(Step, StepPlaces)> {
        let own = node.get("id").and_then(read::raw).unwrap_or_default();
        let before = self.findings.len();
        let spot = Spot::Step { own: &own, steps: around.steps };
        let mut shapes = Shapes::new(&self.scope, Spot::Plan, self.findings);
        let name = if own.is_empty() { "a step" } else { &own };
        shapes.record(name, node, words::STEP, &["when", "check", "undo", "takes"]);
        node.map()?;
        if let Some(takes) = node.get("takes") {
            shapes.value("takes", takes, &field("takes"));
        }
        shapes.spot = spot;
        let action = action::fields_of(&mut shapes, node, false);
        if let Some(check) = node.get("check") {
            shapes.value("check", check, &Type::Call);
        }
        undo_shape(&mut shapes, node);
        let when = when(&mut shapes, node);
        let (refs, recovered) = (std::mem::take(&mut shapes.refs), std::mem::take(&mut shapes.recovered));
        let at = node.get("id").map_or(node.head(), |n| n.span);
        let keys = Keys::of(at, node, words::STEP);
        if own.is_empty() {
            return None;
        }
        let assets = self.names_in(node, "asset", Named::Asset);
        let contact = self.name_in(node, "contact", Named::Contact);
        if action.is_some_and(|a| a.name == "approval")
            && let Some(with) = node.get("with")
        {
            self.names_in(with, "from", Named::Contact);
        }
        let site = self.name_in(node, "at", Named::Site);
        let (needs, needs_at) = self.needs(node, &own, around);
        let call = action::call(&self.scope, node, spot).unwrap_or_else(|| ActionUse { uses: String::new(), with: serde_json::Map::new() });
        let phase = read::word(node, "phase").or(action.map(|a| a.phase)).unwrap_or(Phase::Recover);
        let check = node.get("check").and_then(|c| action::call(&self.scope, c, spot));
        let effect = self.effect(node, action, &call.call(&own, None), check.is_some());
        let mut step = Step {
            each: self.each_of(node, &own, at),
            id: own.clone(),
            title: self.text(node, "title"),
            share: node.get("share").and_then(read::raw),
            at: None,
            phase,
            effect,
            needs,
            takes_ms: 0,
            timeout_ms: self.duration(node, "timeout").or(action.and_then(|a| a.timeout_ms)),
            retry: self.retry(node, action.map(|_| effect)),
            undo: Undo::Unneeded,
            from: None,
            check,
            modes: modes(node),
            when,
            on_failure: read::word(node, "on_failure").unwrap_or(OnFailure::of(action)),
            when_unreachable: read::word(node, "when_unreachable").unwrap_or_default(),
            outputs: self.outputs(node, action),
            locks: node.get("lock").map_or_else(Vec::new, |l| read::one_or_many(l).into_iter().filter_map(read::raw).collect()),
            contact: contact.or_else(|| self.plan.owner.clone()),
            call,
            assets,
        };
        step.takes_ms = self.takes(node, action, &step, &keys).unwrap_or(0);
        let waits_for_people = step.effect == Effect::Manual || step.call.uses == "approval";
        if step.timeout_ms.is_none() && !waits_for_people {
            step.timeout_ms = Some(step.takes_ms.saturating_mul(4).max(SHORTEST_TIMEOUT_MS));
        }
        step.undo = self.undo(node, action, &step, &keys, spot, around);
        step.at = self.site(site, node, &step, &keys, around);
        step.from = self.from(node, action, &step, &keys);
        self.approval(node, &step, around);
        if let Some(action) = action {
            self.fits(node, action, &step, &keys, before);
        }
        // What is still a call could not be joined in, which was said; nothing is left to a run.
        if step.call.uses == nested::ACTION && (around.cleanup || !self.findings.iter().any(|f| f.level == Level::Deny)) {
            self.findings.push(nested::misplaced(keys.value("uses")));
        }
        Some((step, StepPlaces { keys, needs: needs_at, refs, recovered }))
    }

    fn needs(&mut self, node: &Node<'_>, own: &str, around: &Around<'_>) -> (Option<Vec<Id>>, Vec<Span>) {
        let Some(items) = node.get("needs").and_then(Node::list) else { return (None, Vec::new()) };
        let mut ids: Vec<Id> = Vec::new();
        let mut places = Vec::new();
        for item in items {
            let Some(name) = read::raw(item) else { continue };
            if name == own {
                let found = Diagnostic::deny("cycle", format!("`{own}` waits for itself"), item.span, "a step cannot need itself");
                self.findings.push(found.help("leave it out"));
            } else if !around.steps.contains_key(name.as_str()) {
                self.unknown("step", &name, item.span, &around.names);
            } else if !ids.contains(&name) {
                ids.push(name);
                places.push(item.span);
            }
        }
        (Some(ids), places)
    }

    fn effect(&mut self, node: &Node<'_>, action: Option<&Action>, call: &Call<'_>, has_check: bool) -> Effect {
        let own = action.map_or(Effect::Once, |a| (a.effect_of)(call).unwrap_or(a.effect));
        let by_plan = action.is_none_or(|a| a.effect_by_plan);
        match (node.get("effect"), read::word::<Effect>(node, "effect")) {
            (Some(at), Some(_)) if !by_plan => {
                let name = action.map_or("", |a| a.name);
                let found =
                    Diagnostic::deny("known-effect", format!("the effect of `{name}` is known"), at.span, "nobody has to vouch for it");
                self.findings.push(found.help("leave `effect` out"));
                own
            }
            (Some(at), Some(Effect::Verifiable)) if !has_check => {
                let label = "nothing tells whether the effect is there";
                let found = Diagnostic::deny("verifiable-unchecked", "`verifiable` needs a `check`", at.span, label);
                self.findings.push(found.help("add `check: { uses: …, with: … }`, or say `effect: once`"));
                own
            }
            (_, Some(said)) => said,
            _ if by_plan && has_check && own == Effect::Once => Effect::Verifiable,
            _ => own,
        }
    }

    fn outputs(&mut self, node: &Node<'_>, action: Option<&Action>) -> std::collections::BTreeMap<String, OutputDecl> {
        let Some(outputs) = node.get("outputs") else { return Default::default() };
        if let Some(action) = action.filter(|a| !a.outputs_by_plan) {
            let at = node.entry("outputs").map_or(outputs.span, |e| e.at);
            let found = Diagnostic::deny(
                "known-outputs",
                format!("the outputs of `{}` are known", action.name),
                at,
                "only a `command` or a `script` declares outputs",
            );
            self.findings.push(found.help("leave `outputs` out"));
            return Default::default();
        }
        let mut all = std::collections::BTreeMap::new();
        for entry in entries(Some(outputs)) {
            let (json, pattern) = (entry.value.get("json").and_then(read::raw), entry.value.get("pattern").and_then(read::raw));
            if json.is_some() == pattern.is_some() && entry.value.map().is_some() {
                let found = Diagnostic::deny(
                    "output-nowhere",
                    format!("output `{}` says not where it is found", entry.key),
                    entry.at,
                    "exactly one of `json` and `pattern` must stand here",
                );
                self.findings.push(found.help("add `json: path.to.value` or `pattern: \"id=(\\\\w+)\"`"));
            }
            let kind = read::word(&entry.value, "type").unwrap_or(ParamKind::String);
            all.insert(entry.key.to_string(), OutputDecl { kind, json, pattern });
        }
        all
    }

    fn takes(&mut self, node: &Node<'_>, action: Option<&Action>, step: &Step, keys: &Keys) -> Option<u64> {
        let Some(takes) = node.get("takes") else {
            let call = Call { step: &step.id, with: &step.call.with, target: None };
            let default = action.and_then(|a| a.takes_ms.or_else(|| (a.takes_by)(&call)));
            if default.is_none() && action.is_some() {
                let id = &step.id;
                let found = Diagnostic::deny(
                    "takes-unsaid",
                    format!("`takes` is missing in `{id}`"),
                    keys.at,
                    "nobody can say how long the recovery takes",
                );
                self.findings.push(found.help("add `takes: …`, the time it is expected to take, like `takes: 30s`"));
            }
            return default;
        };
        if takes.map().is_none() {
            return self.duration(node, "takes");
        }
        let sizes: Vec<u64> = step.assets.iter().filter_map(|a| self.plan.assets.get(a)?.size_bytes).collect();
        if sizes.is_empty() {
            let at = takes.entry("per_gib").map_or(takes.head(), |e| e.at);
            let found = Diagnostic::deny(
                "size-unsaid",
                format!("`per_gib` in `{}` has no size to go by", step.id),
                at,
                "no asset of this step has a `size`",
            );
            self.findings.push(found.help(match step.assets.first() {
                Some(id) => format!("add `size: …` to `{id}`, like `size: 400GiB`; or write a plain duration"),
                None => "add `asset: …`, whose `size` it goes by; or write a plain duration".to_owned(),
            }));
            return None;
        }
        let gib = sizes.iter().sum::<u64>() as f64 / (1u64 << 30) as f64;
        let per_gib = self.duration(takes, "per_gib")? as f64;
        Some(self.duration(takes, "base").unwrap_or(0) + (gib * per_gib).round() as u64)
    }

    fn undo(&mut self, node: &Node<'_>, action: Option<&Action>, step: &Step, keys: &Keys, spot: Spot<'_>, around: &Around<'_>) -> Undo {
        let Some(action) = action else { return Undo::None(String::new()) };
        let looks = matches!(step.phase, Phase::Assess | Phase::Verify);
        let changes = match step.effect {
            Effect::Read => false,
            Effect::Manual => !looks && action.undo != UndoKind::Unneeded,
            _ => action.undo != UndoKind::Unneeded,
        };
        let Some(undo) = node.get("undo") else {
            if changes && !around.cleanup {
                self.missing_undo(action, step, keys);
            }
            return Undo::Unneeded;
        };
        if undo.map().is_none() {
            if action.undo != UndoKind::Auto && changes {
                let found = Diagnostic::deny(
                    "undo-impossible",
                    format!("`{}` cannot undo itself", action.name),
                    undo.span,
                    "it does not know what was there before",
                );
                self.findings.push(found.help(undo_help(action)));
            }
            return if changes { Undo::Auto } else { Undo::Unneeded };
        }
        // Said beside the step, and nothing that rollback could use or would stop at.
        if !changes {
            return Undo::Unneeded;
        }
        if let Some(reason) = undo.get("none") {
            self.reason(reason, step);
            return Undo::None(self.text_of(reason).unwrap_or_default());
        }
        action::call(&self.scope, undo, spot).map_or(Undo::Unneeded, Undo::Use)
    }

    /// A reason that says nothing.
    fn reason(&mut self, reason: &Node<'_>, step: &Step) {
        let Some(text) = reason.scalar().map(|s| s.text.trim().to_lowercase()) else { return };
        let word = text.trim_matches(|c: char| !c.is_alphanumeric());
        if !matches!(word, "" | "todo" | "tbd" | "fixme" | "xxx" | "na" | "n/a") {
            return;
        }
        let headline = format!("nobody says why `{}` cannot be undone", step.id);
        let label = "whoever wants to go back reads this, and it says nothing";
        let found = Diagnostic::deny("empty-reason", headline, reason.span, label);
        self.findings.push(
            found.help("write why, and what a person does instead: `none: \"a cache fills again\"`; or the action that takes it back"),
        );
    }

    fn missing_undo(&mut self, action: &Action, step: &Step, keys: &Keys) {
        let found =
            Diagnostic::deny("missing-undo", format!("step `{}` does not say how it is undone", step.id), keys.at, "it changes something");
        self.findings.push(found.help(undo_help(action)));
    }

    fn site(&mut self, said: Option<Id>, node: &Node<'_>, step: &Step, keys: &Keys, around: &Around<'_>) -> Option<Id> {
        if said.is_some() || step.assets.is_empty() || node.get("at").is_some() {
            return said;
        }
        let mut surviving: Vec<&Id> = Vec::new();
        for asset in step.assets.iter().filter_map(|id| self.plan.assets.get(id)) {
            let all = asset.sites.iter().chain(asset.replicas.iter().map(|r| &r.site));
            surviving.extend(all.filter(|s| !around.lost.contains(*s)));
        }
        surviving.sort_unstable();
        surviving.dedup();
        let found = |label: String| {
            Diagnostic::deny("site-unsaid", format!("step `{}` says not at which site it acts", step.id), keys.at, label)
                .help(surviving.first().map_or("add `at: SITE`".to_owned(), |s| format!("add `at: {s}`")))
        };
        if around.undoes {
            self.findings.push(found("in a scenario with `undoes`, `at` must stand".to_owned()));
            return None;
        }
        if let [only] = surviving.as_slice() {
            return Some((*only).clone());
        }
        // A broken asset has no sites; that was reported there.
        let known = step.assets.iter().all(|a| self.plan.assets.get(a).is_some_and(|a| !a.sites.is_empty()));
        if known && step.undo != Undo::Unneeded {
            let label = if surviving.is_empty() {
                "no site of its asset survives".to_owned()
            } else {
                format!("its asset survives at {} sites", surviving.len())
            };
            self.findings.push(found(label));
        }
        None
    }

    fn from(&mut self, node: &Node<'_>, action: Option<&Action>, step: &Step, keys: &Keys) -> Option<String> {
        let uses = action?.name;
        let Some(from) = node.get("from") else {
            if uses.ends_with(".restore") {
                let found = Diagnostic::deny(
                    "from-unsaid",
                    format!("`from` is missing in `{}`", step.id),
                    keys.at,
                    "nobody can say what it restores",
                );
                let backups = step.assets.iter().filter_map(|a| self.plan.assets.get(a)).flat_map(|a| &a.backups);
                let ids: Vec<String> = backups.map(|b| format!("`from: {}`", b.id)).collect();
                self.findings.push(match (ids.as_slice(), step.assets.first()) {
                    ([], Some(id)) => found.help(format!("add a backup to `{id}`, and name it here: `from: ITS-ID`")),
                    ([], None) => found.help("add `asset: …` and `from: …`, the id of a backup of that asset"),
                    _ => found.help(format!("add {}", ids.join(" or "))),
                });
            }
            return uses.ends_with(".promote").then(|| "replica".to_owned());
        };
        let name = read::raw(from)?;
        let assets: Vec<_> = step.assets.iter().filter_map(|a| self.plan.assets.get(a)).collect();
        let backups: Vec<&str> = assets.iter().flat_map(|a| a.backups.iter().map(|b| b.id.as_str())).collect();
        let known = match name.as_str() {
            "replica" => assets.iter().any(|a| !a.replicas.is_empty()),
            "rebuild" => assets.iter().any(|a| a.rebuild.is_some()),
            other => backups.contains(&other),
        };
        if !known && !assets.is_empty() {
            let known: Vec<String> = backups.iter().map(|b| (*b).to_owned()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            self.unknown("backup", &name, from.span, &known);
        }
        Some(name)
    }
}

fn field(name: &str) -> Type {
    words::STEP.iter().find(|f| f.name == name).map_or(Type::Any, |f| f.kind)
}

fn undo_shape(shapes: &mut Shapes<'_, '_>, node: &Node<'_>) {
    let Some(undo) = node.get("undo") else { return };
    let spot = shapes.spot;
    if undo.get("none").is_some() {
        shapes.spot = Spot::Plan;
    }
    shapes.value("undo", undo, &field("undo"));
    shapes.spot = spot;
    let Some(entries) = undo.map() else { return };
    match (undo.get("none"), undo.get("uses")) {
        (Some(_), Some(_)) | (None, None) => {
            let at = entries.first().map_or(undo.span, |e| e.at);
            let found =
                Diagnostic::deny("undo-unclear", "`undo` is an action or a reason", at, "exactly one of `uses` and `none` must stand here");
            shapes.findings.push(found.help("write `{ uses: …, with: … }` or `{ none: \"why it cannot be undone\" }`"));
        }
        (None, Some(uses)) if uses.scalar().is_some_and(|s| s.text == nested::ACTION) => {
            shapes.findings.push(nested::misplaced(uses.span));
        }
        (None, Some(_)) => {
            action::fields_of(shapes, undo, false);
        }
        _ => {}
    }
}

/// Conditions; each key is `steps.X.K`.
fn when(shapes: &mut Shapes<'_, '_>, node: &Node<'_>) -> Vec<When> {
    let Some(when) = node.get("when") else { return Vec::new() };
    if when.map().is_none() {
        shapes.value("when", when, &field("when"));
    }
    let mut all = Vec::new();
    for entry in entries(Some(when)) {
        shapes.value(entry.key, &entry.value, &Type::Matcher);
        match shapes.scope.meaning(entry.key, shapes.spot) {
            Ok(crate::model::scope::Meaning::Output(step, output)) => {
                crate::model::unfit::condition(shapes, &step, &output, &entry.value);
                shapes.refs.push(crate::model::places::StepRef { step: step.clone(), output: output.clone(), at: entry.at });
                all.push(When { step, output, matcher: shapes.scope.json(&entry.value, shapes.spot) });
            }
            Ok(_) => {
                let found = Diagnostic::deny(
                    "bad-reference",
                    format!("`{}` is not an output of a step", entry.key),
                    entry.at,
                    "`when` looks at outputs",
                );
                shapes.findings.push(found.help("write `steps.STEP.OUTPUT: …`"));
            }
            Err(unknown) => {
                let found = unknown.at(entry.at);
                shapes.findings.push(match unknown.instead {
                    Some(path) => found.write(Near { word: &path, sure: true }),
                    None => found,
                });
            }
        }
    }
    all
}

fn modes(node: &Node<'_>) -> Vec<Mode> {
    let all = vec![Mode::Planned, Mode::Unplanned, Mode::Drill];
    let Some(items) = node.get("modes").and_then(Node::list) else { return all };
    items.iter().filter_map(read::word_of).collect()
}

fn undo_help(action: &Action) -> &'static str {
    match action.undo {
        UndoKind::Auto => "add `undo: auto`, which puts back what was there",
        UndoKind::Impossible => "add `undo: { none: \"why it cannot be undone\" }`",
        _ => "add `undo: { uses: …, with: … }`, or `undo: { none: \"why it cannot be undone\" }`",
    }
}
