//! A step of a called scenario under its name here, with every reference to another one. Everything else stays, byte for byte.

use foldhash::HashSet;

use super::{BYTES, Join, Scene};
use crate::actions::template::marked;
use crate::model::each::address;
use crate::model::lists::text;
use crate::syntax::{Entry, Node, Scalar, Value};

impl<'a> Join<'a, '_> {
    /// A step of a called scenario under its name, with every reference to another one.
    pub(super) fn renamed_step(&mut self, step: &'a Node<'a>, scene: &Scene<'a>) -> Node<'a> {
        let (Some(all), false) = (step.map(), scene.prefix.is_empty()) else { return *step };
        let asks = step.get("uses").and_then(text) == Some("approval");
        let made: Vec<Entry<'a>> = all
            .iter()
            .map(|e| {
                let value = match e.key {
                    "id" => self.one_name(&e.value, scene),
                    "needs" => e.value,
                    "when" => self.conditions(&e.value, scene),
                    "with" if asks => self.asked(&e.value, scene),
                    _ => self.renamed(&e.value, scene).unwrap_or(e.value),
                };
                Entry { value, ..*e }
            })
            .collect();
        self.arena.map(step.span, made)
    }

    /// A name of a step of the scenario under its name here.
    pub(super) fn one_name(&self, node: &Node<'a>, scene: &Scene<'a>) -> Node<'a> {
        match text(node).filter(|name| scene.names.contains(address(name).0)) {
            Some(name) => Node { span: node.span, value: Value::Scalar(Scalar { text: self.full_name(scene.prefix, name), plain: false }) },
            None => *node,
        }
    }

    pub(super) fn asked(&mut self, with: &Node<'a>, scene: &Scene<'a>) -> Node<'a> {
        let made = self.values(Some(with), |this, e| match (e.key, e.value.list()) {
            ("accepts", Some(all)) => {
                let made: Vec<Node<'a>> = all.iter().map(|name| this.one_name(name, scene)).collect();
                this.arena.list(e.value.span, made)
            }
            _ => this.renamed(&e.value, scene).unwrap_or(e.value),
        });
        made.unwrap_or(*with)
    }

    /// `steps.X.K: matcher`.
    pub(super) fn conditions(&mut self, node: &Node<'a>, scene: &Scene<'a>) -> Node<'a> {
        let Some(all) = node.map() else { return *node };
        let made: Vec<Entry<'a>> = all
            .iter()
            .map(|e| {
                let own = owner(e.key).filter(|name| scene.names.contains(name));
                let key = own.map_or(e.key, |_| self.arena.text(&["steps.", scene.prefix, &e.key["steps.".len()..]].concat()));
                Entry { key, value: self.renamed(&e.value, scene).unwrap_or(e.value), ..*e }
            })
            .collect();
        self.arena.map(node.span, made)
    }

    /// A value in which references are renamed; none if there are none.
    pub(super) fn renamed(&mut self, node: &Node<'a>, scene: &Scene<'a>) -> Option<Node<'a>> {
        self.count(1, node.span);
        if self.full {
            return None;
        }
        let value = match node.value() {
            Value::Scalar(scalar) if marked(scalar.text) => {
                self.count(scalar.text.len() / BYTES, node.span);
                let text = renamed_text(scalar.text, &scene.names, scene.prefix)?;
                Value::Scalar(Scalar { text: self.arena.text(&text), plain: scalar.plain })
            }
            Value::List(all) => {
                let made: Vec<Option<Node<'a>>> = all.iter().map(|item| self.renamed(item, scene)).collect();
                made.iter().any(Option::is_some).then_some(())?;
                return Some(
                    self.arena.list(node.span, made.into_iter().zip(*all).map(|(new, old)| new.unwrap_or(*old)).collect::<Vec<_>>()),
                );
            }
            Value::Map(all) => {
                let made: Vec<Option<Node<'a>>> = all.iter().map(|e| self.renamed(&e.value, scene)).collect();
                made.iter().any(Option::is_some).then_some(())?;
                let made = made.into_iter().zip(*all).map(|(new, old)| Entry { value: new.unwrap_or(old.value), ..*old });
                return Some(self.arena.map(node.span, made.collect::<Vec<_>>()));
            }
            _ => return None,
        };
        Some(Node { span: node.span, value })
    }
}

/// The step of `steps.X.K`, without brackets.
fn owner(path: &str) -> Option<&str> {
    Some(address(path.strip_prefix("steps.")?.split('.').next()?).0)
}

/// A text with another name in each reference to one of these steps; none if there is none. Everything else stays, byte
/// for byte.
fn renamed_text(text: &str, names: &HashSet<&str>, prefix: &str) -> Option<String> {
    let mut out = String::new();
    let (mut kept, mut from) = (0, 0);
    while let Some(start) = text[from..].find("${").map(|i| i + from) {
        if text[..start].ends_with('$') {
            from = start + 2;
            continue;
        }
        let Some(len) = text[start..].find('}') else { break };
        let inside = &text[start + 2..start + len];
        from = start + len + 1;
        if owner(inside.trim()).is_some_and(|name| names.contains(name)) {
            let at = start + 2 + (inside.len() - inside.trim_start().len()) + "steps.".len();
            out.push_str(&text[kept..at]);
            out.push_str(prefix);
            kept = at;
        }
    }
    (kept > 0).then(|| out + &text[kept..])
}
