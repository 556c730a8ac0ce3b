//! Where the words of a plan stand, beside the plan and not in it, so that a plan stays plain data. It does not know
//! what they mean.

use std::collections::BTreeMap;

use super::{ById, Id};
use crate::actions::Field;
use crate::actions::template::{Part, parts};
use crate::source::{Sources, Span};
use crate::syntax::Node;

/// Places of a whole plan.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The top of the plan.
    pub plan: Keys,
    /// Each site.
    pub sites: BTreeMap<Id, Keys>,
    /// The shared journal.
    pub journal: Keys,
    /// Each secret.
    pub secrets: BTreeMap<String, Keys>,
    /// Each contact.
    pub contacts: BTreeMap<Id, Keys>,
    /// The `escalate` of each contact that has one.
    pub escalations: BTreeMap<Id, Keys>,
    /// Each tier.
    pub tiers: BTreeMap<Id, Keys>,
    /// Each asset.
    pub assets: ById<Keys>,
    /// The replicas of each asset that has some, in order.
    pub replicas: ById<Vec<Keys>>,
    /// The backups of each asset that has some, in order.
    pub backups: BTreeMap<Id, Vec<BackupPlaces>>,
    /// The `rebuild` of each asset that has one.
    pub rebuilds: BTreeMap<Id, Keys>,
    /// Each scenario, by its index in the plan.
    pub scenarios: Vec<ScenarioPlaces>,
    /// Each drill.
    pub drills: BTreeMap<Id, DrillPlaces>,
    /// Each rule in `policy: { rules }`.
    pub verdicts: BTreeMap<String, Span>,
}

/// Places of one drill.
#[derive(Debug, Clone, Default)]
pub struct DrillPlaces {
    /// Its own keys.
    pub keys: Keys,
    /// Each name in `skip`.
    pub skip: Vec<Span>,
    /// Each value in `with`.
    pub with: BTreeMap<String, Span>,
}

/// Places of one backup.
#[derive(Debug, Clone, Default)]
pub struct BackupPlaces {
    /// Its own keys; `at` is its id.
    pub keys: Keys,
    /// Its `keep`, if that is a map.
    pub keep: Keys,
    /// Its `encryption`.
    pub encryption: Keys,
    /// Its `verify`.
    pub verify: Keys,
    /// Its copies, in order.
    pub copies: Vec<Keys>,
}

impl Places {
    /// Where a tier says what it wants.
    pub fn wanted_at(&self, tier: &str, key: &str) -> Span {
        self.tiers.get(tier).map(|k| k.key(key)).unwrap_or_default()
    }
}

/// Places of one scenario.
#[derive(Debug, Clone, Default)]
pub struct ScenarioPlaces {
    /// Its own keys.
    pub keys: Keys,
    /// Each name in `leaves`.
    pub leaves: Vec<Span>,
    /// Each tier in `objectives`.
    pub objectives: BTreeMap<Id, Span>,
    /// Each step, by index.
    pub steps: Vec<StepPlaces>,
}

/// Places of one step.
#[derive(Debug, Clone, Default)]
pub struct StepPlaces {
    /// Its own keys; `at` is its id.
    pub keys: Keys,
    /// Each name in `needs`.
    pub needs: Vec<Span>,
    /// Each reference to another step's output, in `when` too.
    pub refs: Vec<StepRef>,
    /// Each reference to the time at which an asset was back.
    pub recovered: Vec<(Id, Span)>,
}

/// A reference to another step's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    /// The other step.
    pub step: Id,
    /// Its output.
    pub output: String,
    /// Where the reference stands.
    pub at: Span,
}

/// A key by the number of its word, and where it and its value stand; small, because large plans have a million.
#[derive(Debug, Clone, Copy)]
struct Key {
    word: u16,
    key: (u32, u32),
    value: (u32, u32),
}

/// A named part of the plan and the keys that stand in it.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Its name.
    pub at: Span,
    words: &'static [Field],
    keys: Vec<Key>,
}

impl Keys {
    /// The keys of a map that are known words.
    pub fn of(at: Span, node: &Node<'_>, words: &'static [Field]) -> Keys {
        let entries = node.map().unwrap_or(&[]);
        let mut keys = Vec::with_capacity(entries.len());
        let range = |span: Span| (span.start, span.end);
        // What another file adds to a scenario has its place there.
        keys.extend(entries.iter().filter(|e| e.at.source == at.source).filter_map(|e| {
            let word = words.iter().position(|f| f.name == e.key)? as u16;
            Some(Key { word, key: range(e.at), value: range(short(&e.value)) })
        }));
        Keys { at, words, keys }
    }

    /// Where a key's value stands; the part's name if the key is not given.
    pub fn value(&self, key: &str) -> Span {
        self.find(key).map_or(self.at, |k| self.span(k.value))
    }

    /// Where a key stands; the part's name if the key is not given.
    pub fn key(&self, key: &str) -> Span {
        self.find(key).map_or(self.at, |k| self.span(k.key))
    }

    /// Whether the key is given.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &str) -> Option<&Key> {
        self.keys.iter().find(|k| self.words[k.word as usize].name == key)
    }

    /// Keys stand in the text in which their part stands.
    fn span(&self, (start, end): (u32, u32)) -> Span {
        Span { source: self.at.source, start, end }
    }
}

/// Where a `${…}` stands within its text, searched from `from` on; the whole text if escapes hide it.
pub fn within(sources: Option<&Sources>, span: Span, path: &str, from: &mut usize) -> Span {
    let text = sources.map_or("", |s| s.get(span.source).text.as_str());
    let raw = text.get(*from..span.end as usize).unwrap_or("");
    // What a list made of a name stands as the name.
    let short = path.find('[').map(|i| &path[..i]);
    let same = |rest: &str| rest.starts_with(path) || short.is_some_and(|s| rest.starts_with(s));
    let found = raw.match_indices("${").find(|(i, _)| !raw[..*i].ends_with('$') && same(raw[i + 2..].trim_start()));
    let Some((start, _)) = found else { return span };
    let end = raw[start..].find('}').map_or(raw.len(), |i| start + i + 1);
    let at = Span { source: span.source, start: (*from + start) as u32, end: (*from + end) as u32 };
    *from += end;
    at
}

/// Where each `${…}` of a text stands, one that is not closed too; none if it cannot be told one by one: escapes hide some,
/// or what stood for each id of a list was filled in.
pub fn references(sources: Option<&Sources>, span: Span, text: &str) -> Option<Vec<Span>> {
    let wanted = parts(text).iter().filter(|(_, part)| !matches!(part, Part::Text(_))).count();
    let raw = sources?.slice(span);
    let found: Vec<Span> = parts(raw)
        .into_iter()
        .filter_map(|(at, part)| {
            let len = match part {
                Part::Text(_) => return None,
                Part::Ref(_) => raw[at..].find('}').map_or(2, |i| i + 1),
                Part::Unclosed(_) => 2,
            };
            let start = span.start + at as u32;
            Some(Span { start, end: start + len as u32, ..span })
        })
        .collect();
    (found.len() == wanted).then_some(found)
}

/// A scalar as it stands, a collection by its first word.
fn short(node: &Node<'_>) -> Span {
    if node.scalar().is_some() { node.span } else { node.head() }
}
