//! `uses` and `with`: an action by its name, and its fields against the action's own record.

use serde_json::{Map, Value};

use crate::actions::{self, Action, Effect, Field, Type, described, template};
use crate::diagnostic::{Diagnostic, nearest};
use crate::model::scope::{Scope, Spot, list};
use crate::model::shapes::Shapes;
use crate::model::{ActionUse, injection, unfit};
use crate::syntax::Node;

/// Checks `uses` and `with` of a map; `reading`: the action must change nothing. The action if it is known.
pub fn fields_of(shapes: &mut Shapes<'_, '_>, node: &Node<'_>, reading: bool) -> Option<&'static Action> {
    let uses = node.get("uses")?;
    let name = uses.scalar()?.text;
    if let Some(Err(why)) = shapes.scope.executables.get(name) {
        let found = Diagnostic::deny("undescribed", format!("`{name}` has no description that can be used"), uses.span, why);
        shapes.findings.push(found.help(format!("drplan action describe {name} > {name}.action.yaml, and read what it wrote")));
        return None;
    }
    let Some(action) = shapes.scope.action(name) else {
        unknown(shapes, name, uses);
        return None;
    };
    let vouched = action.effect_by_plan && node.get("effect").and_then(Node::scalar).is_some_and(|s| s.text == "read");
    if reading && action.effect != Effect::Read && !vouched {
        let found = Diagnostic::deny(
            "reading-only",
            format!("`{name}` may change something"),
            uses.span,
            "only an action that reads may stand here",
        );
        shapes.findings.push(match action.effect_by_plan {
            true => found.help("if it changes nothing, say so: `effect: read`"),
            false => found.help(format!("use a reading action: {}", list(&readers()))),
        });
    }
    match node.get("with") {
        Some(with) => {
            shapes.record(name, with, action.fields, &[]);
            injection::look(shapes, action, with);
            unfit::look(shapes, action, with);
        }
        None => {
            let missing: Vec<&str> = action.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
            // One that stands beside `uses` was found there.
            if let Some(first) = missing.first().filter(|_| !missing.iter().any(|key| node.get(key).is_some())) {
                let found =
                    Diagnostic::deny("missing-key", format!("`{name}` needs `with`"), uses.span, format!("needs {}", list(&missing)));
                shapes.findings.push(found.help(format!("add `with: {{ {first}: … }}`")));
            }
        }
    }
    Some(action)
}

/// The call of a map that was checked.
pub fn call(scope: &Scope<'_>, node: &Node<'_>, spot: Spot<'_>) -> Option<ActionUse> {
    let uses = node.get("uses")?.scalar()?.text.to_string();
    let fields = scope.action(&uses).map_or(&[][..], |a| a.fields);
    let mut with = node.get("with").map_or_else(Map::new, |w| record(scope, w, fields, spot));
    if let Some(Ok((described, _))) = scope.executables.get(&uses) {
        with.insert(described::KEY.to_owned(), serde_json::to_value(described).unwrap_or_default());
    }
    Some(ActionUse { uses, with })
}

/// A map as JSON, each value as its field wants it.
pub fn record(scope: &Scope<'_>, node: &Node<'_>, fields: &[Field], spot: Spot<'_>) -> Map<String, Value> {
    let kind = |key: &str| fields.iter().find(|f| f.name == key).map_or(Type::Any, |f| f.kind);
    let entries = node.map().unwrap_or(&[]).iter();
    entries.map(|e| (e.key.to_string(), typed(scope, &e.value, &kind(e.key), spot))).collect()
}

fn typed(scope: &Scope<'_>, node: &Node<'_>, kind: &Type, spot: Spot<'_>) -> Value {
    match kind {
        Type::Record(fields) if node.map().is_some() => Value::Object(record(scope, node, fields, spot)),
        Type::Call => call(scope, node, spot).map_or(Value::Null, |c| serde_json::to_value(c).unwrap_or_default()),
        Type::List(item) if node.list().is_some() => {
            Value::Array(node.list().unwrap_or(&[]).iter().map(|n| typed(scope, n, item, spot)).collect())
        }
        Type::Map(item) | Type::ById(item) | Type::ByName(item) if node.map().is_some() => {
            let entries = node.map().unwrap_or(&[]).iter();
            Value::Object(entries.map(|e| (e.key.to_string(), typed(scope, &e.value, item, spot))).collect())
        }
        Type::Either(kinds) => {
            let textual = kinds.iter().find(|k| {
                matches!(k, Type::List(_)) == node.list().is_some() && matches!(k, Type::Record(_) | Type::Map(_)) == node.map().is_some()
            });
            textual.map_or_else(|| scope.json(node, spot), |k| typed(scope, node, k, spot))
        }
        // A parameter's number goes into a text as it is typed.
        Type::Text | Type::Secret | Type::Url | Type::Duration | Type::Size | Type::Time | Type::Moment | Type::Word(_) => {
            match scope.json(node, spot) {
                value @ (Value::Number(_) | Value::Bool(_)) => Value::String(template::plain(&value)),
                value => value,
            }
        }
        _ => scope.json(node, spot),
    }
}

fn unknown(shapes: &mut Shapes<'_, '_>, name: &str, uses: &Node<'_>) {
    let names: Vec<&str> = actions::all().iter().map(|a| a.name).collect();
    let found = Diagnostic::deny("unknown-action", format!("no action `{name}`"), uses.span, "not an action");
    shapes.findings.push(match nearest(name, names.iter().copied()) {
        Some(near) => found.write(near),
        None => found.help(format!("the actions are {}", list(&names))),
    });
}

fn readers() -> Vec<&'static str> {
    actions::all().iter().filter(|a| a.effect == Effect::Read).map(|a| a.name).collect()
}
