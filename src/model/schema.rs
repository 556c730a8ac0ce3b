//! The JSON Schema of exactly the vocabulary: what editors complete and underline is what the compiler takes.

use serde_json::{Map, Value, json};

use super::vocabulary::{KEEP, KINDS, PLAN};
use crate::actions::units::duration_text;
use crate::actions::{self, AssetKind, Effect, Field, Type, described};

/// The schema of a plan (draft 2020-12).
pub fn schema() -> Value {
    let mut top = record(PLAN, Place::Plan);
    top["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    top["title"] = json!("drplan plan, version 1");
    let with = actions::all()
        .iter()
        .filter(|a| !a.name.starts_with(described::KEY))
        .map(|a| (format!("with-{}", a.name), titled(record(a.fields, Place::With), &format!("Fields of `{}`", a.name))));
    let mut defs: Map<String, Value> = with.collect();
    for kind in KINDS {
        if let Some(connect) = connect(kind) {
            let mut partial = titled(connect.clone(), &format!("Keys of `{kind}` that differ"));
            partial.as_object_mut().expect("a record is an object").remove("required");
            defs.insert(format!("connect-{kind}"), titled(connect, &format!("How `{kind}` is reached")));
            defs.insert(format!("connect-{kind}-partly"), partial);
        }
    }
    defs.insert("duration".to_owned(), json!({ "type": "string", "pattern": format!("^(?=[0-9]){LENGTHS}$|{REFERENCE}") }));
    defs.insert(
        "kept".to_owned(),
        json!({ "type": "string", "pattern": format!("^(?=[0-9])([0-9]+y)?([0-9]+mo)?{LENGTHS}$|{REFERENCE}") }),
    );
    defs.insert("size".to_owned(), json!({ "type": "string", "pattern": format!("^[0-9]+([KMGTP]i?B|kB|B)$|{REFERENCE}") }));
    defs.insert("id".to_owned(), json!({ "type": "string", "pattern": r"^[a-z][a-z0-9-]{0,63}(\[[a-z][a-z0-9_-]*\])?$" }));
    defs.insert("name".to_owned(), json!({ "type": "string", "pattern": r"^[a-z][a-z0-9_-]{0,63}$" }));
    defs.insert("reading".to_owned(), reading());
    top["$defs"] = Value::Object(defs);
    top
}

/// A text that a parameter, or a run, fills in.
const REFERENCE: &str = r"\$\{";

/// The parts of a duration, the longest first.
const LENGTHS: &str = "([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?";

/// Where a value stands: whether a reference may stand for a word there.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Keys of the plan itself, which decide what it is.
    Plan,
    /// Fields of an action, keys of a connection.
    With,
}

fn titled(mut schema: Value, title: &str) -> Value {
    schema["title"] = json!(title);
    schema
}

fn record(fields: &[Field], place: Place) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|f| (f.name.to_owned(), property(f, place))).collect();
    let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    let mut out = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    let has = |kind: &Type| fields.iter().any(|f| f.kind == *kind);
    if has(&Type::With) {
        let names: Vec<&str> = actions::all().iter().map(|a| a.name).collect();
        out["properties"]["uses"]["anyOf"] = uses(&names);
        let own = |a: &actions::Action| {
            let mut then = json!({ "with": { "$ref": format!("#/$defs/with-{}", a.name) } });
            if fields.iter().any(|f| f.name == "on_failure") {
                a.goes_on.then(|| then["on_failure"] = json!({ "default": "continue" }));
                a.timeout_ms.into_iter().for_each(|ms| then["timeout"] = json!({ "default": duration_text(ms) }));
            }
            when("uses", a.name, then)
        };
        out["allOf"] = actions::all().iter().filter(|a| !a.name.starts_with(described::KEY)).map(|a| own(a)).collect();
    }
    if has(&Type::Connect) && fields.iter().any(|f| f.name == "kind") {
        let of = |kind: &&str| {
            let partly = json!({ "properties": { "connect": { "$ref": format!("#/$defs/connect-{kind}-partly") } } });
            when("kind", kind, json!({ "connect": { "$ref": format!("#/$defs/connect-{kind}") }, "replicas": { "items": partly } }))
        };
        out["allOf"] = KINDS.iter().filter(|k| connect(k).is_some()).map(of).collect();
    }
    if fields.iter().any(|f| f.name == "default") && fields.iter().any(|f| f.name == "enum") {
        out["allOf"] = param_types();
    }
    out
}

/// A parameter's default is of its type; without one it is a text.
fn param_types() -> Value {
    let types = [
        ("string", Type::Text),
        ("int", Type::Int),
        ("bool", Type::Bool),
        ("duration", Type::Duration),
        ("size", Type::Size),
        ("time", Type::Time),
        ("url", Type::Url),
    ];
    let mut all: Vec<Value> =
        types.iter().map(|(name, kind)| when("type", name, json!({ "default": of(kind, Place::With, "default") }))).collect();
    all.push(json!({ "if": { "not": { "required": ["type"] } }, "then": { "properties": { "default": of(&Type::Text, Place::With, "default") } } }));
    Value::Array(all)
}

fn when(key: &str, value: &str, then: Value) -> Value {
    json!({ "if": { "properties": { key: { "const": value } }, "required": [key] }, "then": { "properties": then } })
}

/// An action that may stand where only one that reads may: the others must be vouched for.
fn reading() -> Value {
    let all = || actions::all().iter().filter(|a| a.effect == Effect::Read || a.effect_by_plan || a.name.starts_with(described::KEY));
    let names: Vec<&str> = all().map(|a| a.name).collect();
    let fields: Vec<Value> = all()
        .filter(|a| !a.name.starts_with(described::KEY))
        .map(|a| when("uses", a.name, json!({ "with": { "$ref": format!("#/$defs/with-{}", a.name) } })))
        .collect();
    let effect = json!({ "const": "read", "description": "What its author vouches for." });
    json!({
        "type": "object",
        "title": "An action that only looks",
        "required": ["uses"],
        "additionalProperties": false,
        "properties": { "uses": { "anyOf": uses(&names) }, "with": { "type": "object" }, "effect": effect },
        "allOf": fields,
    })
}

/// The name of an action, or an executable of the plan's repository.
fn uses(names: &[&str]) -> Value {
    let named: Vec<&&str> = names.iter().filter(|n| !n.starts_with(described::KEY)).collect();
    json!([{ "enum": named }, { "type": "string", "pattern": r"^\./" }])
}

fn connect(kind: &str) -> Option<Value> {
    let kind: AssetKind = serde_json::from_value(json!(kind)).ok()?;
    let fields = actions::connect_fields(kind);
    (!fields.is_empty()).then(|| record(fields, Place::With))
}

fn property(field: &Field, place: Place) -> Value {
    let mut out = titled(of(&field.kind, place, field.name), field.name);
    out["description"] = json!(field.doc);
    if let Some(default) = field.default {
        out["default"] = json!(default);
    }
    out
}

/// `name` is what an editor calls a map that stands here.
fn of(kind: &Type, place: Place, name: &str) -> Value {
    let reference = json!({ "type": "string", "pattern": REFERENCE });
    match kind {
        Type::Text | Type::Secret | Type::Url | Type::Time | Type::Moment | Type::Pattern => json!({ "type": "string" }),
        Type::Int => json!({ "anyOf": [{ "type": "integer" }, reference] }),
        Type::Number => json!({ "anyOf": [{ "type": "number" }, reference] }),
        Type::Bool => json!({ "anyOf": [{ "type": "boolean" }, reference] }),
        Type::Day => json!({ "type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
        Type::Duration => json!({ "$ref": "#/$defs/duration" }),
        Type::Size => json!({ "$ref": "#/$defs/size" }),
        Type::Id => json!({ "$ref": "#/$defs/id" }),
        Type::Name => json!({ "$ref": "#/$defs/name" }),
        Type::Kept => json!({ "$ref": "#/$defs/kept" }),
        Type::Keep => json!({ "anyOf": [{ "$ref": "#/$defs/kept" }, keep()] }),
        Type::Word(words) if place == Place::Plan => json!({ "enum": words }),
        Type::Word(words) => json!({ "anyOf": [{ "enum": words }, reference] }),
        Type::List(item) => json!({ "type": "array", "items": of(item, place, name) }),
        Type::Map(item) => json!({ "type": "object", "additionalProperties": nullable(item, place, name) }),
        Type::ById(item) => {
            json!({ "type": "object", "propertyNames": { "$ref": "#/$defs/id" }, "additionalProperties": nullable(item, place, name) })
        }
        Type::ByName(item) => {
            json!({ "type": "object", "propertyNames": { "$ref": "#/$defs/name" }, "additionalProperties": nullable(item, place, name) })
        }
        Type::Record(fields) => titled(record(fields, place), name),
        Type::Either(kinds) => json!({ "anyOf": kinds.iter().map(|k| of(k, place, name)).collect::<Vec<_>>() }),
        Type::Matchers | Type::With | Type::Connect => json!({ "type": "object" }),
        Type::Call => json!({ "$ref": "#/$defs/reading" }),
        Type::One => json!({ "type": ["string", "number", "boolean"] }),
        Type::Matcher | Type::Any | Type::AnySecret => json!({}),
    }
}

/// `eu-west-1:` alone is a site without keys.
fn nullable(item: &Type, place: Place, name: &str) -> Value {
    match item {
        Type::Record(fields) if fields.iter().all(|f| !f.required) => json!({ "anyOf": [of(item, place, name), { "type": "null" }] }),
        _ => of(item, place, name),
    }
}

fn keep() -> Value {
    record(KEEP, Place::Plan)
}

#[cfg(test)]
mod tests {
    /// The file that editors are given says what the code says. `UPDATE_SCHEMA=1 cargo test schema` writes it.
    #[test]
    fn the_file_is_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/plan.schema.json");
        let made = serde_json::to_string_pretty(&super::schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/schema")).unwrap();
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == made, "schema/plan.schema.json is stale: UPDATE_SCHEMA=1 cargo test schema");
    }
}
