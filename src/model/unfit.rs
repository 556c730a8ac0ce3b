//! Matchers that no value of their type can ever fit. It knows types, and not what will be found.

use serde_json::Value;

use super::scope::{Spot, StepHead};
use super::shapes::Shapes;
use crate::actions::template::references;
use crate::actions::{Action, Type, matcher};
use crate::diagnostic::Diagnostic;
use crate::syntax::Node;

/// What is known of a value before it is found.
enum Known<'t> {
    Whole,
    Truth,
    Text,
    /// One of these words.
    Word(Vec<&'t str>),
}

/// Looks at the fields of an action that say which number is wanted.
pub fn look(shapes: &mut Shapes<'_, '_>, action: &Action, with: &Node<'_>) {
    for key in ["exit", "rows"] {
        if let Some(node) = with.get(key).filter(|_| action.fields.iter().any(|f| f.name == key && f.kind == Type::Matcher)) {
            judge(shapes, key, node, &Known::Whole, None);
        }
    }
    let status = with.get("expect").and_then(|e| e.get("status")).filter(|_| action.name.starts_with("http."));
    status.into_iter().for_each(|node| judge(shapes, "status", node, &Known::Whole, None));
}

/// Looks at a condition on an output of a step.
pub fn condition(shapes: &mut Shapes<'_, '_>, step: &str, output: &str, node: &Node<'_>) {
    let Spot::Step { steps, .. } = shapes.spot else { return };
    let Some(head) = steps.get(step).copied() else { return };
    let known = known(&head, output);
    let at = said(&head, output);
    known.into_iter().for_each(|known| judge(shapes, output, node, &known, at));
}

/// Where a step declares an output, or lets a person record it.
fn said<'t>(head: &StepHead<'t>, output: &str) -> Option<&'t Node<'t>> {
    let recorded = || head.node.get("with").and_then(|w| w.get("record"));
    head.node.get("outputs").and_then(|all| all.get(output)).or_else(|| recorded()?.get(output))
}

fn known<'t>(head: &StepHead<'t>, output: &str) -> Option<Known<'t>> {
    if let Some(node) = said(head, output) {
        if let Some(words) = node.get("enum").and_then(Node::list) {
            return Some(Known::Word(words.iter().filter_map(|w| Some(w.scalar()?.text)).collect()));
        }
        return match node.get("type").and_then(Node::scalar).map_or("string", |s| s.text) {
            "int" => Some(Known::Whole),
            "bool" => Some(Known::Truth),
            "string" => Some(Known::Text),
            _ => None,
        };
    }
    match head.action?.outputs.iter().find(|o| o.name == output)?.kind {
        Type::Int => Some(Known::Whole),
        Type::Bool => Some(Known::Truth),
        Type::Text => Some(Known::Text),
        _ => None,
    }
}

fn judge(shapes: &mut Shapes<'_, '_>, name: &str, node: &Node<'_>, known: &Known<'_>, declared: Option<&Node<'_>>) {
    let wanted = shapes.scope.json(node, shapes.spot);
    if matcher::problem(&wanted).is_some() || !references(&wanted).is_empty() || may_fit(&wanted, known) {
        return;
    }
    let inner = node.map().and_then(|m| m.first()).map_or(node.span, |e| e.value.span);
    let (is, help) = match known {
        Known::Whole => ("a number", "write it as a number, without quotes: `200`, or `{ at_least: 1 }`".to_owned()),
        Known::Truth => ("`true` or `false`", "write `true` or `false`, without quotes".to_owned()),
        Known::Text => ("a text", "write it as a text, in quotes".to_owned()),
        Known::Word(words) => ("one of the answers", format!("write one of {}", super::scope::list(words))),
    };
    let headline = format!("`{name}` can never be what is wanted here");
    let found = Diagnostic::deny("impossible-match", headline, inner, format!("`{name}` is {is}"));
    let found = match declared {
        Some(node) => found.also(node.head(), "it is declared here"),
        None => found,
    };
    shapes.findings.push(found.help(help));
}

/// Whether some value of the type fits.
fn may_fit(wanted: &Value, known: &Known<'_>) -> bool {
    let one = |value: &Value| match known {
        Known::Whole => value.is_number(),
        Known::Truth => value.is_boolean(),
        Known::Text => value.is_string(),
        Known::Word(words) => value.as_str().is_some_and(|v| words.contains(&v)),
    };
    let Some((word, arg)) = wanted.as_object().and_then(|m| m.iter().next()) else { return one(wanted) };
    match (word.as_str(), arg) {
        ("one_of", Value::Array(items)) => items.iter().any(one),
        ("at_least" | "at_most", _) => !matches!(known, Known::Truth | Known::Word(_)),
        _ => true,
    }
}
