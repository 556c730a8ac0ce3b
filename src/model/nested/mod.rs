//! `uses: plan`: the steps of another scenario in the place of one step, as if somebody had written them there. It works on
//! the tree, before lists are written out and names are looked up; which files there are, it is told.

mod call;
mod names;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use self::order::{Above, Ends, Made, Need};
use super::Id;
use super::each::address;
use super::lists::{entries, items, text};
use crate::actions::template::marked;
use crate::actions::{self, Phase};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Sources, Span};
use crate::syntax::{Arena, Entry, Node, Scalar, Value, room};

/// The action.
pub const ACTION: &str = "plan";
/// Scenarios that call each other in one another.
pub const DEPTH: usize = 16;
/// Longest name of a step.
const ID_LENGTH: usize = 64;
/// What such a step may have: everything else is said in the steps that take its place.
const KEYS: &[&str] = &["id", "uses", "with", "needs"];
/// So many bytes of a text weigh as much as a value.
const BYTES: usize = 64;

/// The files that steps call.
#[derive(Debug, Clone, Default)]
pub struct Called {
    /// By the file in which a call stands, and as it names the other one: the other one.
    pub files: BTreeMap<(SourceId, String), SourceId>,
    /// Each of these with all that it includes, itself first.
    pub groups: BTreeMap<SourceId, Vec<SourceId>>,
    /// Files of plans that are run by themselves too, in another directory: a relative path means another file there.
    pub elsewhere: BTreeSet<SourceId>,
}

/// A call as a text has it.
#[derive(Debug, Clone)]
pub struct Named {
    /// The scenario in which it stands.
    pub within: Id,
    /// The scenario that it calls.
    pub scenario: Id,
    /// The file that it names, and where.
    pub file: Option<(String, Span)>,
}

/// By scenario, what became of each step that called another one: the names of all that took its place, without brackets.
pub type Callers = BTreeMap<Id, BTreeMap<Id, BTreeSet<Id>>>;

/// A plan in which no step calls a scenario.
pub struct Nested<'a> {
    /// The plan. What could not be joined is left as it was, and said.
    pub root: Node<'a>,
    /// What took whose place.
    pub callers: Callers,
    /// Every step that was joined in, by place: a mistake in one of them is said once.
    pub joined: Vec<Span>,
}

/// Whether a text may call anything: `plan` stands in it as the value of a key, or of an anchor.
pub fn mentioned(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    text.match_indices(ACTION).any(|(at, _)| {
        let before = text[..at].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        let last = before.rsplit(char::is_whitespace).next().unwrap_or("");
        !text[..at].ends_with(inside)
            && !text[at + ACTION.len()..].starts_with(inside)
            && (before.ends_with(':') || last.starts_with(['&', '!', '|', '>']))
    })
}

/// The calls of a text.
pub fn named(root: &Node<'_>) -> Vec<Named> {
    let mut all = Vec::new();
    for scenario in entries(root.get("scenarios")) {
        let steps = items(scenario.value.get("steps")).iter().filter(|step| calls(step));
        all.extend(steps.filter_map(|step| {
            let with = step.get("with")?;
            let file = with.get("file").and_then(|file| Some((text(file).filter(|text| !marked(text))?.to_owned(), file.span)));
            Some(Named { within: scenario.key.to_owned(), scenario: text(with.get("scenario")?)?.to_owned(), file })
        }));
    }
    all
}

/// Whether a step calls a scenario.
fn calls(step: &Node<'_>) -> bool {
    step.get("uses").and_then(text) == Some(ACTION)
}

/// The finding for a call where no step can take its place.
pub fn misplaced(at: Span) -> Diagnostic {
    let found = Diagnostic::deny("not-joined", "`plan` stands where only one action can", at, "a scenario has many steps");
    found.help("call it in a step of a scenario; here, write the one action that is meant")
}

/// Joins in what is called. `scenarios`: those of each called file, with what it includes.
pub fn join<'a>(
    arena: &'a Arena<'a>,
    sources: &Sources,
    root: &Node<'a>,
    called: &Called,
    scenarios: &BTreeMap<SourceId, Node<'a>>,
    findings: &mut Vec<Diagnostic>,
) -> Nested<'a> {
    let own = root.span.source;
    if !entries(root.get("scenarios")).iter().any(|e| items(e.value.get("steps")).iter().any(calls)) {
        return Nested { root: *root, callers: Callers::new(), joined: Vec::new() };
    }
    let plans = scenarios.iter().map(|(id, all)| (*id, *all)).chain(root.get("scenarios").map(|all| (own, *all))).collect();
    let mut join = Join {
        arena,
        findings,
        called,
        plans,
        open: Vec::new(),
        walked: BTreeSet::new(),
        assess: HashSet::new(),
        callers: BTreeMap::new(),
        joined: Vec::new(),
        said: BTreeSet::new(),
        long: None,
        free: false,
        room: room(sources.ids().map(|id| sources.get(id).text.len()).sum()),
        made: 0,
        full: false,
    };
    let (root, callers) = join.plan(root, own);
    let mut joined = join.joined;
    joined.sort_unstable();
    joined.dedup();
    Nested { root, callers, joined }
}

/// What a call became.
struct Inner<'a> {
    made: Vec<Made<'a>>,
    ends: Ends<'a>,
    /// It has nothing but `close` steps.
    close: bool,
}

/// The list that is read: its names, and what they become.
struct Scene<'a> {
    prefix: &'a str,
    names: HashSet<&'a str>,
    /// What calls became.
    ends: HashMap<&'a str, Ends<'a>>,
}

struct Join<'a, 's> {
    arena: &'a Arena<'a>,
    findings: &'s mut Vec<Diagnostic>,
    called: &'s Called,
    /// The scenarios of each plan.
    plans: BTreeMap<SourceId, Node<'a>>,
    /// Scenarios that are being joined in, the outermost first, and where each was called.
    open: Vec<(SourceId, &'a str, Span)>,
    /// Lists of steps that were joined in once: only more than that is growth.
    walked: BTreeSet<Span>,
    /// Names of steps that are `assess`.
    assess: HashSet<&'a str>,
    /// Of the scenario of the plan that is read.
    callers: BTreeMap<Id, BTreeSet<Id>>,
    joined: Vec<Span>,
    /// A call that is reached in several ways is wrong once.
    said: BTreeSet<Span>,
    /// A name that became too long, and the step's own.
    long: Option<(&'a str, Span)>,
    /// What is read now was not read before.
    free: bool,
    room: usize,
    made: usize,
    full: bool,
}

impl<'a> Join<'a, '_> {
    fn plan(&mut self, root: &Node<'a>, own: SourceId) -> (Node<'a>, Callers) {
        let mut callers = Callers::new();
        for entry in entries(root.get("assets")).iter().filter(|e| self.called.elsewhere.contains(&e.at.source)) {
            self.paths("", &entry.value);
        }
        let scenarios = self.values(root.get("scenarios"), |this, entry| {
            let node = this.scenario(own, entry);
            callers.insert(entry.key.to_owned(), std::mem::take(&mut this.callers));
            node
        });
        let drills = self.values(root.get("drills"), |this, entry| this.drill(&entry.value, &callers));
        let sections = entries(Some(root)).iter().map(|e| match e.key {
            "scenarios" => Entry { value: scenarios.unwrap_or(e.value), ..*e },
            "drills" => Entry { value: drills.unwrap_or(e.value), ..*e },
            _ => *e,
        });
        let sections: Vec<Entry<'a>> = sections.collect();
        (self.arena.map(root.span, sections), callers)
    }

    /// A map with other values.
    fn values(&mut self, node: Option<&Node<'a>>, mut one: impl FnMut(&mut Self, &Entry<'a>) -> Node<'a>) -> Option<Node<'a>> {
        let node = node?;
        let made: Vec<Entry<'a>> = node.map()?.iter().map(|e| Entry { value: one(self, e), ..*e }).collect();
        Some(self.arena.map(node.span, made))
    }

    fn scenario(&mut self, own: SourceId, entry: &Entry<'a>) -> Node<'a> {
        let Some(steps) = entry.value.get("steps").filter(|steps| items(Some(steps)).iter().any(calls)) else { return entry.value };
        self.assess.clear();
        self.open.push((own, entry.key, entry.at));
        let mut made = self.list(items(Some(steps)), own, "");
        self.open.pop();
        self.twice(&mut made);
        let nodes: Vec<Node<'a>> = made.into_iter().map(|made| self.written(made)).collect();
        let steps = self.arena.list(steps.span, nodes);
        self.values(Some(&entry.value), |_, e| if e.key == "steps" { steps } else { e.value }).unwrap_or(entry.value)
    }

    /// `skip` of a drill: a call is all that it became.
    fn drill(&mut self, node: &Node<'a>, callers: &Callers) -> Node<'a> {
        let callers = node.get("scenario").and_then(text).and_then(|scenario| callers.get(scenario));
        let Some(callers) = callers.filter(|callers| !callers.is_empty()) else { return *node };
        let arena = self.arena;
        self.values(Some(node), |_, e| {
            let Some(all) = e.value.list().filter(|_| e.key == "skip") else { return e.value };
            let names = |item: &Node<'a>| text(item).and_then(|name| callers.get(name));
            let made = all.iter().flat_map(|item| match names(item) {
                Some(names) => names.iter().map(|name| plain(item.span, arena.text(name))).collect(),
                None => vec![*item],
            });
            let made: Vec<Node<'a>> = made.collect();
            arena.list(e.value.span, made)
        })
        .unwrap_or(*node)
    }

    /// The steps of one scenario, with all that they call.
    fn list(&mut self, steps: &'a [Node<'a>], group: SourceId, prefix: &'a str) -> Vec<Made<'a>> {
        let id = |step: &'a Node<'a>| step.get("id").and_then(text);
        let mut scene = Scene { prefix, names: steps.iter().filter_map(id).map(|id| address(id).0).collect(), ends: HashMap::new() };
        self.names(steps, &scene);
        let mut inner: Vec<Option<Inner<'a>>> = Vec::with_capacity(steps.len());
        for step in steps {
            let made = if calls(step) { self.call(step, group, prefix) } else { None };
            if let (Some(made), Some(id)) = (&made, id(step)) {
                scene.ends.insert(id, made.ends.clone());
            }
            inner.push(made);
        }
        let mut made = Vec::with_capacity(steps.len());
        let mut above = Above::default();
        for (step, inner) in steps.iter().zip(inner) {
            match inner {
                Some(inner) => self.place(step, inner, &scene, &mut above, &mut made),
                None => made.push(self.step(step, &scene, &mut above)),
            }
        }
        made
    }

    /// Notes which steps are `assess`, and calls that have the name of another step.
    fn names(&mut self, steps: &'a [Node<'a>], scene: &Scene<'a>) {
        let mut known: HashMap<&str, (Span, bool)> = HashMap::with_capacity(steps.len());
        for step in steps {
            let Some((id, name)) = step.get("id").and_then(|id| Some((id.span, text(id)?))) else { continue };
            let call = calls(step);
            if !call && phase(step) == Phase::Assess {
                let name = self.full_name(scene.prefix, name);
                self.assess.insert(name);
                self.assess.insert(address(name).0);
            }
            if let Some((first, other)) = known.insert(name, (id, call))
                && (call || other)
                && self.said.insert(id)
            {
                let found = Diagnostic::deny("duplicate-id", format!("two steps are called `{name}`"), id, "again here");
                self.findings.push(found.also(first, "first here").help("give one of them another id"));
            }
        }
    }

    fn full_name(&self, prefix: &str, name: &'a str) -> &'a str {
        if prefix.is_empty() { name } else { self.arena.text(&[prefix, name].concat()) }
    }

    /// A step that calls nothing, under its name here.
    fn step(&mut self, step: &'a Node<'a>, scene: &Scene<'a>, above: &mut Above<'a>) -> Made<'a> {
        let phase = phase(step);
        let id = step.get("id").filter(|id| text(id).is_some());
        let at = id.map_or(step.head(), |id| id.span);
        let own = id.and_then(text).unwrap_or("");
        let name = self.full_name(scene.prefix, own);
        if !scene.prefix.is_empty() {
            self.joined.push(step.span);
            if self.free && self.called.elsewhere.contains(&step.span.source) {
                let parts = entries(Some(step)).iter().filter(|e| matches!(e.key, "with" | "check" | "undo"));
                parts.for_each(|e| self.paths("", &e.value));
            }
            if address(name).0.len() > ID_LENGTH && address(own).0.len() <= ID_LENGTH {
                self.long.get_or_insert((name, at));
            }
        }
        let node = self.renamed_step(step, scene);
        let list = step.get("for_each").and_then(text);
        let template = list.map(|list| (list, address(name).0));
        if phase != Phase::Close {
            above.next(at.source, template);
        }
        let mut made = Made { node, name, at, by: at, phase, needs: None, above: None, changed: false, key: at };
        match step.get("needs") {
            Some(needs) if needs.list().is_some() => {
                (made.needs, made.changed) = self.needs(needs, scene, Some(phase));
                made.key = step.entry("needs").map_or(at, |e| e.at);
            }
            // What is no list is said by whoever reads the step.
            Some(_) => {}
            None if phase == Phase::Close => {}
            None if !above.above.is_empty() && above.above_written => made.above = above.above.first().copied(),
            None if above.above.is_empty() && scene.prefix.is_empty() => {}
            None => {
                let early = phase == Phase::Assess && above.above.iter().any(|need| self.assess.contains(need.name));
                let counts = |need: &&Need<'a>| if early { self.assess.contains(need.name) } else { !need.early };
                made.needs = Some(above.above.iter().filter(counts).copied().collect());
                made.changed = true;
            }
        }
        if phase != Phase::Close && !own.is_empty() {
            above.here = vec![Need { name: template.map_or(name, |t| t.1), at, early: false }];
            above.here_written = true;
        }
        made
    }

    /// What took the place of a step: its first steps wait for what that waited for.
    fn place(&mut self, step: &'a Node<'a>, inner: Inner<'a>, scene: &Scene<'a>, above: &mut Above<'a>, out: &mut Vec<Made<'a>>) {
        let at = step.get("id").map_or(step.head(), |id| id.span);
        let before = match step.get("needs") {
            Some(needs) => self.needs(needs, scene, None).0.unwrap_or_default(),
            None if inner.close => above.here.clone(),
            None => {
                above.next(at.source, None);
                above.above.clone()
            }
        };
        if step.get("needs").is_some() && !inner.close {
            above.next(at.source, None);
        }
        if !inner.close {
            above.here = inner.ends.all(at).collect();
            above.here_written = false;
        }
        for mut made in inner.made {
            made.by = at;
            if made.is_first(&self.assess) {
                made.wait(&before, &self.assess);
            }
            out.push(made);
        }
    }

    /// What stands in the `needs` of a step of a phase, or of a call, under the names of here; and whether that differs from
    /// what stands there.
    fn needs(&self, needs: &Node<'a>, scene: &Scene<'a>, of: Option<Phase>) -> (Option<Vec<Need<'a>>>, bool) {
        let Some(all) = needs.list() else { return (None, false) };
        let mut made: Vec<Need<'a>> = Vec::with_capacity(all.len());
        let mut known: HashSet<&str> = HashSet::new();
        let mut changed = false;
        for item in all {
            let Some(name) = text(item) else { return (None, false) };
            match scene.ends.get(name) {
                Some(ends) => {
                    changed = true;
                    let of = of.map(|phase| ends.of(phase));
                    let wanted = |need: &Need<'a>| of.is_none_or(|of| of.contains(&need.name));
                    let all = ends.all(item.span).filter(wanted).map(|need| Need { early: need.early && of.is_none(), ..need });
                    made.extend(all.filter(|need| known.insert(need.name)));
                }
                None => {
                    let own = !scene.prefix.is_empty() && scene.names.contains(address(name).0);
                    changed |= own;
                    let name = if own { self.full_name(scene.prefix, name) } else { name };
                    known.insert(name);
                    made.push(Need { name, at: item.span, early: false });
                }
            }
        }
        (Some(made), changed)
    }

    /// A step as it stands in the plan.
    fn written(&mut self, made: Made<'a>) -> Node<'a> {
        let Some(needs) = made.needs.filter(|_| made.changed) else { return made.node };
        let span = needs.first().map_or(made.key, |need| need.at);
        let nodes: Vec<Node<'a>> = needs.into_iter().map(|need| plain(need.at, need.name)).collect();
        let needs = Entry { key: "needs", at: made.key, value: self.arena.list(span, nodes) };
        let rest = entries(Some(&made.node)).iter().filter(|e| e.key != "needs").copied();
        let all: Vec<Entry<'a>> = rest.chain([needs]).collect();
        self.arena.map(made.node.span, all)
    }

    /// Two calls whose names and steps together are the same: `a` with `b-c`, and `a-b` with `c`.
    fn twice(&mut self, made: &mut Vec<Made<'a>>) {
        let mut known: HashMap<&str, (Span, Span)> = HashMap::with_capacity(made.len());
        made.retain(|step| {
            // Two places are seen by whoever reads the steps.
            let first = known.insert(step.name, (step.at, step.by)).filter(|(at, _)| *at == step.at && !step.name.is_empty());
            let Some((_, first)) = first else { return true };
            if self.said.insert(step.by) {
                let headline = format!("two steps are called `{}`", step.name);
                let found = Diagnostic::deny("not-joined", headline, step.by, "joined in by this one");
                self.findings.push(found.also(first, "and by this one").help("give one of the two another id"));
            }
            false
        });
    }
}

fn plain<'a>(span: Span, text: &'a str) -> Node<'a> {
    Node { span, value: Value::Scalar(Scalar { text, plain: false }) }
}

/// The phase of a step that calls nothing.
fn phase(step: &Node<'_>) -> Phase {
    let said = step.get("phase").and_then(text).and_then(|word| serde_json::from_value(serde_json::Value::String(word.to_owned())).ok());
    said.or_else(|| step.get("uses").and_then(text).and_then(actions::find).map(|a| a.phase)).unwrap_or(Phase::Recover)
}
