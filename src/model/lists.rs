//! The section `lists`: ids, or ids with values. It does not know what is made of them.

use std::collections::BTreeMap;

use crate::source::Span;
use crate::syntax::{Entry, Node};

/// A list: its ids in order, each with its values.
pub struct List<'a> {
    /// Where its name stands.
    pub at: Span,
    /// Its ids.
    pub elements: Vec<Element<'a>>,
}

/// One id of a list.
#[derive(Clone, Copy)]
pub struct Element<'a> {
    /// The id.
    pub id: &'a str,
    /// Where it stands.
    pub at: Span,
    /// What it has.
    pub values: &'a [Entry<'a>],
}

/// The entries of a map; none of anything else.
pub fn entries<'a>(node: Option<&Node<'a>>) -> &'a [Entry<'a>] {
    node.and_then(Node::map).unwrap_or(&[])
}

/// The items of a list; none of anything else.
pub fn items<'a>(node: Option<&Node<'a>>) -> &'a [Node<'a>] {
    node.and_then(Node::list).unwrap_or(&[])
}

/// A single value as text.
pub fn text<'a>(node: &Node<'a>) -> Option<&'a str> {
    node.scalar().map(|s| s.text)
}

/// The lists of a plan, by name.
pub fn lists<'a>(root: &Node<'a>) -> BTreeMap<&'a str, List<'a>> {
    entries(root.get("lists")).iter().map(|e| (e.key, List { at: e.at, elements: elements(&e.value) })).collect()
}

/// The ids of a list, in order.
pub fn elements<'a>(list: &Node<'a>) -> Vec<Element<'a>> {
    let plain = items(Some(list)).iter().filter_map(|node| text(node).map(|id| Element { id, at: node.span, values: &[] }));
    let valued = entries(Some(list)).iter().map(|e| Element { id: e.key, at: e.at, values: entries(Some(&e.value)) });
    plain.chain(valued).collect()
}
