//! The JSON Schema of exactly the vocabulary: what editors complete and underline is what the compiler takes.

use serde_json::{Map, Value, json};

use super::shapes::keep_fields;
use super::vocabulary::{KINDS, PLAN};
use crate::actions::{self, AssetKind, Field, Type};

/// The schema of a plan (draft 2020-12).
pub fn schema() -> Value {
    let mut top = record(PLAN);
    top["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    top["title"] = json!("drplan plan, version 1");
    let with = actions::all().iter().map(|a| (format!("with-{}", a.name), record(a.fields)));
    let connect = KINDS.iter().filter_map(|k| Some((format!("connect-{k}"), connect(k)?)));
    let mut defs: Map<String, Value> = with.chain(connect).collect();
    defs.insert("duration".to_owned(), json!({ "type": "string", "pattern": format!("^([0-9]+(ms|s|m|h|d|w))+$|{REFERENCE}") }));
    defs.insert("kept".to_owned(), json!({ "type": "string", "pattern": format!("^([0-9]+(ms|s|m|h|d|w|mo|y))+$|{REFERENCE}") }));
    defs.insert("size".to_owned(), json!({ "type": "string", "pattern": format!("^[0-9]+([KMGTP]i?B|kB|B)$|{REFERENCE}") }));
    defs.insert("id".to_owned(), json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 64 }));
    defs.insert("name".to_owned(), json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]*$", "maxLength": 64 }));
    top["$defs"] = Value::Object(defs);
    top
}

/// A text that a parameter, or a run, fills in.
const REFERENCE: &str = r"\$\{";

fn record(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|f| (f.name.to_owned(), property(f))).collect();
    let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    let mut out = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    let has = |kind: &Type| fields.iter().any(|f| f.kind == *kind);
    if has(&Type::With) {
        let names: Vec<&str> = actions::all().iter().map(|a| a.name).collect();
        out["properties"]["uses"]["enum"] = json!(names);
        out["allOf"] = actions::all().iter().map(|a| when("uses", a.name, "with", &format!("with-{}", a.name))).collect();
    }
    if has(&Type::Connect) && fields.iter().any(|f| f.name == "kind") {
        let kinds = KINDS.iter().filter(|k| connect(k).is_some());
        out["allOf"] = kinds.map(|k| when("kind", k, "connect", &format!("connect-{k}"))).collect();
    }
    out
}

fn when(key: &str, value: &str, other: &str, def: &str) -> Value {
    json!({
        "if": { "properties": { key: { "const": value } }, "required": [key] },
        "then": { "properties": { other: { "$ref": format!("#/$defs/{def}") } } },
    })
}

fn connect(kind: &str) -> Option<Value> {
    let kind: AssetKind = serde_json::from_value(json!(kind)).ok()?;
    let fields = actions::connect_fields(kind);
    (!fields.is_empty()).then(|| record(fields))
}

fn property(field: &Field) -> Value {
    let mut out = of(&field.kind);
    out["description"] = json!(field.doc);
    if let Some(default) = field.default {
        out["default"] = json!(default);
    }
    out
}

fn of(kind: &Type) -> Value {
    let reference = json!({ "type": "string", "pattern": REFERENCE });
    match kind {
        Type::Text | Type::Secret | Type::Url | Type::Time | Type::Pattern => json!({ "type": "string" }),
        Type::Int => json!({ "anyOf": [{ "type": "integer" }, reference] }),
        Type::Number => json!({ "anyOf": [{ "type": "number" }, reference] }),
        Type::Bool => json!({ "anyOf": [{ "type": "boolean" }, reference] }),
        Type::Day => json!({ "type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
        Type::Duration => json!({ "$ref": "#/$defs/duration" }),
        Type::Size => json!({ "$ref": "#/$defs/size" }),
        Type::Id => json!({ "$ref": "#/$defs/id" }),
        Type::Name => json!({ "$ref": "#/$defs/name" }),
        Type::Keep => json!({ "anyOf": [{ "$ref": "#/$defs/kept" }, keep()] }),
        Type::Word(words) => json!({ "enum": words }),
        Type::List(item) => json!({ "type": "array", "items": of(item) }),
        Type::Map(item) => json!({ "type": "object", "additionalProperties": nullable(item) }),
        Type::ById(item) => json!({ "type": "object", "propertyNames": { "$ref": "#/$defs/id" }, "additionalProperties": nullable(item) }),
        Type::ByName(item) => {
            json!({ "type": "object", "propertyNames": { "$ref": "#/$defs/name" }, "additionalProperties": nullable(item) })
        }
        Type::Record(fields) => record(fields),
        Type::Either(kinds) => json!({ "anyOf": kinds.iter().map(of).collect::<Vec<_>>() }),
        Type::Matchers | Type::With | Type::Connect => json!({ "type": "object" }),
        Type::Call => {
            json!({ "type": "object", "required": ["uses"], "properties": { "uses": { "type": "string" }, "with": { "type": "object" }, "effect": { "const": "read" } }, "additionalProperties": false })
        }
        Type::Matcher | Type::Any => json!({}),
    }
}

/// `eu-west-1:` alone is a site without keys.
fn nullable(item: &Type) -> Value {
    match item {
        Type::Record(fields) if fields.iter().all(|f| !f.required) => json!({ "anyOf": [of(item), { "type": "null" }] }),
        _ => of(item),
    }
}

fn keep() -> Value {
    let properties: Map<String, Value> = keep_fields()
        .iter()
        .map(|f| {
            let kind = if matches!(f.kind, Type::Keep) { json!({ "$ref": "#/$defs/kept" }) } else { of(&f.kind) };
            (f.name.to_owned(), kind)
        })
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
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
