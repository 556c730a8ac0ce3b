//! Small readers of values that were validated before: what is not there, or was refused, is none.

use std::borrow::Cow;

use serde::de::value::StrDeserializer;

use super::{Lower, Named};
use crate::actions::template::{marked, plain, references};
use crate::actions::units;
use crate::model::Id;
use crate::model::scope::{MANY, Spot};
use crate::syntax::{Core, Node};

/// A scalar's text as it stands.
pub fn raw(node: &Node<'_>) -> Option<String> {
    node.scalar().map(|s| s.text.to_string())
}

/// A word of the language as its type.
pub fn word<T: serde::de::DeserializeOwned>(node: &Node<'_>, key: &str) -> Option<T> {
    word_of(node.get(key)?)
}

/// A word of the language as its type.
pub fn word_of<T: serde::de::DeserializeOwned>(node: &Node<'_>) -> Option<T> {
    let text: &str = node.scalar()?.text;
    T::deserialize(StrDeserializer::<serde::de::value::Error>::new(text)).ok()
}

/// One name or a list of them, with their nodes.
pub fn one_or_many<'n, 't>(node: &'n Node<'t>) -> Vec<&'n Node<'t>> {
    node.list().map_or_else(|| vec![node], |items| items.iter().collect())
}

impl<'t> Lower<'_, 't> {
    /// A text for people.
    pub fn text(&self, node: &Node<'_>, key: &str) -> Option<String> {
        self.text_of(node.get(key)?)
    }

    /// A text for people.
    pub fn text_of(&self, node: &Node<'_>) -> Option<String> {
        let scalar = node.scalar().filter(|s| !matches!(s.core(), Core::Null))?;
        Some(if marked(scalar.text) { self.scope.words(scalar.text) } else { scalar.text.to_string() })
    }

    /// Texts for people.
    pub fn texts(&self, node: &Node<'_>, key: &str) -> Vec<String> {
        node.get(key).and_then(Node::list).unwrap_or(&[]).iter().filter_map(|n| self.text_of(n)).collect()
    }

    /// A typed text, parameters filled in; none if one is missing.
    pub fn typed<'n>(&self, node: &'n Node<'_>) -> Option<Cow<'n, str>> {
        let text = node.scalar()?.text;
        if !marked(text) {
            return Some(Cow::Borrowed(text));
        }
        let value = self.scope.fill(text, Spot::Plan);
        references(&value).is_empty().then(|| Cow::Owned(plain(&value)))
    }

    /// A duration in milliseconds.
    pub fn duration(&self, node: &Node<'_>, key: &str) -> Option<u64> {
        units::duration_ms(&self.typed(node.get(key)?)?).ok()
    }

    /// How long something is kept, in milliseconds; of a rule with several parts none.
    pub fn kept(&self, node: &Node<'_>, key: &str) -> Option<u64> {
        units::kept_ms(&self.typed(node.get(key)?)?).ok()
    }

    /// A size in bytes.
    pub fn size(&self, node: &Node<'_>, key: &str) -> Option<u64> {
        units::size_bytes(&self.typed(node.get(key)?)?).ok()
    }

    /// A name of the plan; reported if there is no such.
    pub fn name_in(&mut self, node: &Node<'_>, key: &str, what: Named) -> Option<Id> {
        self.known(node.get(key)?, what)
    }

    /// One name of the plan or a list of them; reported where there is no such.
    pub fn names_in(&mut self, node: &Node<'_>, key: &str, what: Named) -> Vec<Id> {
        let Some(value) = node.get(key) else { return Vec::new() };
        one_or_many(value).into_iter().filter_map(|n| self.known(n, what)).collect()
    }

    /// The name if the plan has it.
    pub fn known(&mut self, node: &Node<'_>, what: Named) -> Option<Id> {
        let name = raw(node)?;
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if begins && self.names.has(what, name.as_str()) {
            return Some(name);
        }
        // A text that is no name at all was refused before.
        let sane = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '[' | ']');
        if !begins || name.len() > 200 || !name.chars().all(sane) {
            return None;
        }
        let all: Vec<&str> = if self.findings.len() < MANY { self.names.all(what) } else { Vec::new() };
        self.unknown(what.word(), &name, node.span, &all);
        None
    }
}
