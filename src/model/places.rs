//! Where the words of a plan stand, beside the plan and not in it, so that a plan stays plain data. It does not know
//! what they mean.

use std::collections::BTreeMap;

use super::Id;
use crate::actions::Field;
use crate::source::Span;
use crate::syntax::Node;

/// Places of a whole plan.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The top of the plan.
    pub plan: Keys,
    /// Each site.
    pub sites: BTreeMap<Id, Keys>,
    /// Each tier.
    pub tiers: BTreeMap<Id, Keys>,
    /// Each asset.
    pub assets: BTreeMap<Id, Keys>,
    /// Each scenario, by its index in the plan.
    pub scenarios: Vec<ScenarioPlaces>,
}

/// Places of one scenario.
#[derive(Debug, Clone, Default)]
pub struct ScenarioPlaces {
    /// Its own keys.
    pub keys: Keys,
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

/// A named part of the plan and the keys that stand in it.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Its name.
    pub at: Span,
    keys: Vec<(&'static str, Span, Span)>,
}

impl Keys {
    /// The keys of a map that are known words.
    pub fn of(at: Span, node: &Node<'_>, words: &'static [Field]) -> Keys {
        let known = |key: &str| words.iter().find(|f| f.name == key).map(|f| f.name);
        let entries = node.map().unwrap_or(&[]);
        let mut keys = Vec::with_capacity(entries.len());
        keys.extend(entries.iter().filter_map(|e| Some((known(&e.key)?, e.at, short(&e.value)))));
        Keys { at, keys }
    }

    /// Where a key's value stands; the part's name if the key is not given.
    pub fn value(&self, key: &str) -> Span {
        self.keys.iter().find(|k| k.0 == key).map_or(self.at, |k| k.2)
    }

    /// Where a key stands; the part's name if the key is not given.
    pub fn key(&self, key: &str) -> Span {
        self.keys.iter().find(|k| k.0 == key).map_or(self.at, |k| k.1)
    }

    /// Whether the key is given.
    pub fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|k| k.0 == key)
    }
}

/// A scalar as it stands, a collection by its first word.
fn short(node: &Node<'_>) -> Span {
    if node.scalar().is_some() { node.span } else { node.head() }
}
