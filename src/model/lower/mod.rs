//! A validated tree to a plan: names resolved, units read, parameters filled in, defaults spelled out. A value that
//! `shapes` refused is left out in silence here, so that one mistake is one finding.

pub mod action;
mod asset;
mod contact;
mod drill;
mod fit;
mod head;
mod journal;
mod params;
mod read;
mod scenario;
mod secret;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashSet;

use super::each::address;
use super::lists::{elements, entries};
use super::places::{Keys, Places};
use super::scope::{Executables, MANY, Scope, Spot, list};
use super::shapes::Shapes;
use super::vocabulary as words;
use super::{Drill, Plan, Scenario, Site, Tier, Verdict};
use crate::actions::{self, Type};
use crate::diagnostic::{Diagnostic, Level, nearest};
use crate::source::{Sources, Span};
use crate::syntax::Node;

/// A parameter from the command line: its text and where that stands.
pub type Given = BTreeMap<String, (String, Span)>;

/// The site of plans that name none.
pub const HERE: &str = "here";

/// A plan and where its words stand. What is broken in it is left out.
#[derive(Debug, Clone, Default)]
pub struct Lowered {
    /// The plan.
    pub plan: Plan,
    /// What may happen, and the way back; in the order in which they are written.
    pub scenarios: Vec<Scenario>,
    /// Its places.
    pub places: Places,
    /// True if something outside the scenarios was refused.
    pub broken: bool,
    /// For each scenario, whether something in it was refused.
    pub broken_scenarios: Vec<bool>,
    /// Rehearsals.
    pub drills: Vec<Drill>,
}

/// Reads a plan from its tree.
pub fn lower(root: &Node<'_>, sources: &Sources, given: &Given, executables: &Executables, findings: &mut Vec<Diagnostic>) -> Lowered {
    if let Some(found) = head::problem(root) {
        findings.push(found);
        return Lowered { broken: true, ..Lowered::default() };
    }
    let mut scope = Scope {
        sources: Some(sources),
        declared: root.get("params"),
        sites: root.get("sites"),
        assets: root.get("assets"),
        scenarios: root.get("scenarios"),
        executables: executables.clone(),
        ..Scope::default()
    };
    scope.params = params::params(root.get("params"), given, sources, findings);
    scope.secrets = names(root.get("secrets"));
    scope.listed = entries(root.get("lists")).iter().flat_map(|e| elements(&e.value)).map(|e| e.id).collect();
    let mut lower =
        Lower { names: Names::of_plan(root), scope, findings, plan: Plan::default(), scenarios: Vec::new(), places: Places::default() };
    lower.top(root);
    let drills = lower.all_drills(root);
    let broken = lower.findings.iter().any(|f| f.level == Level::Deny);
    let broken_scenarios = lower.all_scenarios(root);
    // In a plan with holes, what seems unused may stand in one.
    if !lower.findings.iter().any(|f| f.level == Level::Deny) {
        super::unused::unused(root, &lower.scope, lower.findings);
    }
    Lowered { plan: lower.plan, scenarios: lower.scenarios, places: lower.places, broken, broken_scenarios, drills }
}

/// Sections whose names are used elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// `sites`.
    Site,
    /// `tiers`.
    Tier,
    /// `contacts`.
    Contact,
    /// `assets`.
    Asset,
    /// `scenarios`.
    Scenario,
}

const NAMED: [Named; 5] = [Named::Site, Named::Tier, Named::Contact, Named::Asset, Named::Scenario];

fn with_article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}

impl Named {
    fn word(self) -> &'static str {
        ["site", "tier", "contact", "asset", "scenario"][self as usize]
    }
}

/// Names of the plan's parts, also of those that are broken.
struct Names<'t>([HashSet<&'t str>; 5]);

impl<'t> Names<'t> {
    fn of_plan(root: &'t Node<'t>) -> Names<'t> {
        let section = |key| entries(root.get(key)).iter().map(|e| e.key).collect::<HashSet<&str>>();
        let mut all = Names([section("sites"), section("tiers"), section("contacts"), section("assets"), section("scenarios")]);
        if root.get("sites").is_none() {
            all.0[Named::Site as usize].insert(HERE);
        }
        all
    }

    fn has(&self, what: Named, name: &str) -> bool {
        self.0[what as usize].contains(name)
    }

    /// All names of a section, in order.
    fn all(&self, what: Named) -> Vec<&'t str> {
        let mut all: Vec<&str> = self.0[what as usize].iter().copied().collect();
        all.sort_unstable();
        all
    }
}

fn names<'t>(section: Option<&'t Node<'t>>) -> BTreeSet<&'t str> {
    entries(section).iter().map(|e| e.key).collect()
}

fn seen_in_order(ids: &[(&str, Span)]) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(ids.len());
    let mut seen = HashSet::default();
    out.extend(ids.iter().filter(|(id, _)| seen.insert(*id)).map(|(id, _)| (*id).to_owned()));
    out
}

struct Lower<'f, 't> {
    names: Names<'t>,
    scope: Scope<'t>,
    findings: &'f mut Vec<Diagnostic>,
    plan: Plan,
    scenarios: Vec<Scenario>,
    places: Places,
}

impl<'t> Lower<'_, 't> {
    /// Checks one value against the vocabulary.
    fn shape(&mut self, key: &str, node: &Node<'_>, kind: &Type, spot: Spot<'_>) {
        Shapes::new(&self.scope, spot, self.findings).value(key, node, kind);
    }

    fn top(&mut self, root: &'t Node<'t>) {
        let mut shapes = Shapes::new(&self.scope, Spot::Plan, self.findings);
        // Parameters were read before, scenarios are read one by one.
        shapes.record("the plan", root, words::PLAN, &["params", "scenarios", "drills", "policy"]);
        self.places.plan = Keys::of(root.head(), root, words::PLAN);
        self.plan.name = root.get("name").and_then(read::raw).unwrap_or_default();
        self.plan.title = self.text(root, "title");
        self.plan.owner = self.name_in(root, "owner", Named::Contact);
        self.plan.params = self.scope.params.clone();
        for entry in entries(root.get("secrets")) {
            self.places.secrets.insert(entry.key.to_string(), Keys::of(entry.at, &entry.value, words::SECRET));
            if let Some(secret) = self.secret(entry) {
                self.plan.secrets.insert(entry.key.to_string(), secret);
            }
        }
        for entry in entries(root.get("sites")) {
            let site = Site {
                title: self.text(&entry.value, "title"),
                kind: entry.value.get("kind").and_then(read::raw),
                within: self.names_in(&entry.value, "within", Named::Site),
            };
            self.plan.sites.insert(entry.key.to_string(), site);
            self.places.sites.insert(entry.key.to_string(), Keys::of(entry.at, &entry.value, words::SITE));
        }
        self.policy(root);
        self.plan.journal = root.get("journal").and_then(|node| self.journal(node));
        self.places.journal = root.entry("journal").map(|e| Keys::of(e.at, &e.value, words::JOURNAL)).unwrap_or_default();
        self.lists(root);
        if root.get("sites").is_none() {
            self.plan.sites.insert(HERE.to_owned(), Site::default());
        }
        self.circles();
        for entry in entries(root.get("tiers")) {
            let tier = self.tier(&entry.value);
            self.plan.tiers.insert(entry.key.to_string(), tier);
            self.places.tiers.insert(entry.key.to_string(), Keys::of(entry.at, &entry.value, words::TIER));
        }
        for entry in entries(root.get("contacts")) {
            let contact = self.contact(entry);
            self.plan.contacts.insert(entry.key.to_string(), contact);
            self.places.contacts.insert(entry.key.to_string(), Keys::of(entry.at, &entry.value, words::CONTACT));
            if let Some(escalate) = entry.value.get("escalate") {
                self.places.escalations.insert(entry.key.to_string(), Keys::of(entry.at, escalate, words::ESCALATE));
            }
        }
        self.escalations();
        for entry in entries(root.get("assets")) {
            self.asset(entry);
        }
        self.plan.assets.sort_unstable_keys();
    }

    /// The section `policy`. Which rules there are is known where they are.
    fn policy(&mut self, root: &'t Node<'t>) {
        let Some(node) = root.get("policy") else { return };
        Shapes::new(&self.scope, Spot::Plan, self.findings).record("policy", node, words::POLICY, &["rules"]);
        self.plan.policy.approval_by_starter = read::word(node, "approval_by_starter").unwrap_or_default();
        let Some(rules) = node.get("rules") else { return };
        if rules.map().is_none() {
            self.shape("rules", rules, &Type::ById(&words::VERDICT), Spot::Plan);
        }
        for entry in entries(Some(rules)) {
            let name = entry.key;
            if entry.value.scalar().is_some_and(|s| s.text == "allow") {
                let label = "nobody says why, and until when";
                let found = Diagnostic::deny("bad-allow", format!("`{name}` is allowed for ever"), entry.value.span, label);
                self.findings.push(found.help(format!("write `{name}: {{ allow: \"why\", until: 2027-03-01 }}`")));
                continue;
            }
            self.shape(name, &entry.value, &words::VERDICT, Spot::Plan);
            let verdict = match read::raw(&entry.value).as_deref() {
                Some("deny") => Some(Verdict::Deny),
                Some("warn") => Some(Verdict::Warn),
                _ => self.text(&entry.value, "allow").and_then(|reason| {
                    let until = read::raw(entry.value.get("until")?)?.parse().ok()?;
                    Some(Verdict::Allow { reason, until })
                }),
            };
            if let Some(verdict) = verdict {
                self.plan.policy.rules.insert(name.to_owned(), verdict);
                self.places.verdicts.insert(name.to_owned(), entry.at);
            }
        }
    }

    /// The section `lists`: each has ids, none twice.
    fn lists(&mut self, root: &'t Node<'t>) {
        for entry in entries(root.get("lists")) {
            let ids: Vec<(&str, Span)> = elements(&entry.value).into_iter().map(|e| (e.id, e.at)).collect();
            if ids.is_empty() && (entry.value.list().is_some() || entry.value.map().is_some()) {
                let found = Diagnostic::deny("empty-list", format!("list `{}` has no ids", entry.key), entry.at, "nothing is made of it");
                self.findings.push(found.help("give it ids: `[a, b]`, or leave out what is made of it"));
            }
            let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
            for (id, at) in &ids {
                if let Some(first) = seen.insert(id, *at) {
                    let found = Diagnostic::deny("duplicate-id", format!("`{id}` stands twice in list `{}`", entry.key), *at, "again here");
                    self.findings.push(found.also(first, "first here").help("leave one of them out"));
                }
            }
            self.plan.lists.insert(entry.key.to_owned(), seen_in_order(&ids));
        }
    }

    /// The list of which an asset or a step is one; what is made of an unknown one was left out before.
    fn each_of(&mut self, node: &Node<'_>, name: &str, at: Span) -> Option<String> {
        let list = node.get("for_each").and_then(read::raw);
        if list.is_none()
            && let (base, Some(id)) = address(name)
        {
            let found = Diagnostic::deny("bad-id", format!("`{name}` is not one of a list"), at, "brackets stand for an id of a list");
            self.findings.push(found.help(format!("add `for_each: LIST`, or write `{base}-{id}`")));
        }
        list
    }

    fn tier(&mut self, node: &Node<'_>) -> Tier {
        let tell = self.names_in(node, "tell", Named::Contact);
        let number = |key: &str| self.typed(node.get(key)?)?.parse::<u32>().ok();
        let yes = |key: &str| node.get(key).and_then(|n| self.typed(n)).is_some_and(|text| text == "true");
        Tier {
            rto_ms: self.duration(node, "rto"),
            rpo_ms: self.duration(node, "rpo"),
            drill_every_ms: self.duration(node, "drill_every"),
            approvals: number("approvals"),
            immutable_ms: self.kept(node, "immutable"),
            copies: number("copies"),
            keep: node.get("keep").map(|keep| self.scope.json(keep, Spot::Plan)),
            sites: number("sites"),
            offline: yes("offline"),
            encrypted: yes("encrypted"),
            worm: yes("worm"),
            verify: self.verify(node),
            failback: yes("failback"),
            smoke: yes("smoke"),
            tell,
            survives: node.get("survives").and_then(Node::list).unwrap_or(&[]).iter().filter_map(read::word_of).collect(),
        }
    }

    /// A site within itself.
    fn circles(&mut self) {
        for (id, keys) in &self.places.sites {
            let mut seen = BTreeSet::new();
            let mut open: Vec<&str> = self.plan.sites[id].within.iter().map(String::as_str).collect();
            while let Some(outer) = open.pop() {
                if seen.insert(outer) {
                    open.extend(self.plan.sites.get(outer).into_iter().flat_map(|s| s.within.iter().map(String::as_str)));
                }
            }
            if seen.contains(id.as_str()) {
                let found =
                    Diagnostic::deny("cycle", format!("site `{id}` lies within itself"), keys.value("within"), "this leads back to it");
                self.findings.push(found.help("leave one `within` out"));
                return;
            }
        }
    }

    /// Reports a name that is not known.
    fn unknown(&mut self, what: &str, name: &str, at: Span, known: &[&str]) {
        let few = self.findings.len() < MANY;
        let mut known = if few { known.to_vec() } else { Vec::new() };
        known.dedup();
        let section = format!("{what}s");
        if let Some(other) = NAMED.iter().find(|other| other.word() != what && self.names.has(**other, name)) {
            let (a, an) = (with_article(other.word()), with_article(what));
            let found = Diagnostic::deny("wrong-section", format!("`{name}` is {a}, not {an}"), at, format!("{an} is meant here"));
            let place = [self.scope.sites, self.scope.assets].into_iter().flatten().find_map(|section| section.entry(name));
            let found = place.map_or(found.clone(), |entry| found.also(entry.at, format!("this is {a}")));
            return self.findings.push(match known.as_slice() {
                [] => found.help(format!("declare {an} under `{section}`")),
                known => found.help(format!("known {section}: {}", list(known))),
            });
        }
        let found = Diagnostic::deny("unknown-name", format!("no {what} `{name}`"), at, format!("not one of the plan's {section}"));
        if let Some(scenario) = self.scope.scenario_with(name).filter(|_| what == "step") {
            return self
                .findings
                .push(found.help(format!("`{name}` is a step of scenario `{scenario}`: a step waits for steps of its own scenario")));
        }
        self.findings.push(match nearest(name, known.iter().copied()) {
            Some(near) => found.write(near),
            None if known.is_empty() => found.help(format!("declare it under `{section}`")),
            None => found.help(format!("known {section}: {}", list(&known))),
        });
    }
}

/// What the executables that a plan uses say about themselves, each in the file beside it.
pub fn described(file: &dyn Fn(&str) -> Option<Vec<u8>>, root: &Node<'_>) -> Executables {
    let mut names = BTreeSet::new();
    executables(root, &mut names);
    let one = |uses: String| {
        let beside = actions::described::beside(&uses);
        let text = file(beside.trim_start_matches("./")).ok_or_else(|| format!("`{beside}` is not beside the plan"));
        let found = text.and_then(|text| actions::described::described(&uses, &text).map_err(|why| format!("`{beside}`: {why}")));
        (uses, found)
    };
    names.into_iter().map(one).collect()
}

/// Executables that a tree uses, as it names them.
fn executables(node: &Node<'_>, out: &mut BTreeSet<String>) {
    for item in node.list().unwrap_or(&[]) {
        executables(item, out);
    }
    for entry in entries(Some(node)) {
        match entry.value.scalar().filter(|s| entry.key == "uses" && s.text.starts_with(actions::described::KEY)) {
            Some(scalar) => drop(out.insert(scalar.text.to_owned())),
            None => executables(&entry.value, out),
        }
    }
}
