//! Where a key belongs that stands at the wrong place. It does not know what its value is.

use super::scope::list;
use super::vocabulary as words;
use crate::actions::{self, AssetKind, Field, Type, connect_fields};
use crate::syntax::{Entry, Node};

/// Where a key belongs.
pub struct Home {
    /// In words: `a step`, `` `connect` ``.
    pub place: String,
    /// What to type.
    pub help: String,
}

/// What each kind of map in a plan is called.
const MAPS: &[(&str, &[Field])] = &[
    ("a step", words::STEP),
    ("a scenario", words::SCENARIO),
    ("an asset", words::ASSET),
    ("a backup", words::BACKUP),
    ("a replica", words::REPLICA),
    ("a tier", words::TIER),
    ("a site", words::SITE),
    ("a contact", words::CONTACT),
    ("a parameter", words::PARAM),
    ("the plan itself", words::PLAN),
    ("`retry`", words::RETRY),
    ("`loses`", words::LOSES),
];

/// The map above or below in which a key belongs; `section` is the name of the map in which it stands.
pub fn near(section: &str, key: &str, entries: &[Entry<'_>], fields: &[Field]) -> Option<Home> {
    let known = |fields: &[Field]| fields.iter().any(|f| f.name == key);
    let text = |name: &str| entries.iter().find(|e| e.key == name).and_then(|e| Node::scalar(&e.value)).map(|s| s.text);
    let has = |name: &str| fields.iter().any(|f| f.name == name);
    if has("uses") && has("with") && text("uses").and_then(actions::find).is_some_and(|action| known(action.fields)) {
        return Some(Home { place: "`with`".to_owned(), help: format!("move it into `with`: `with: {{ {key}: … }}`") });
    }
    if has("connect") && kind_of(text("kind")).is_some_and(|kind| known(connect_fields(kind))) {
        return Some(Home { place: "`connect`".to_owned(), help: format!("move it into `connect`: `connect: {{ {key}: … }}`") });
    }
    if let Some(inner) = fields.iter().find(|f| inside(&f.kind).is_some_and(known)) {
        let help = format!("move it into `{0}`: `{0}: {{ {key}: … }}`", inner.name);
        return Some(Home { place: format!("`{}`", inner.name), help });
    }
    let above = match section {
        "connect" => words::ASSET,
        _ if actions::find(section).is_some() => words::STEP,
        _ => return None,
    };
    let (inner, beside) = if section == "connect" { ("connect", "kind") } else { ("with", "uses") };
    known(above).then(|| Home {
        place: if section == "connect" { "an asset".to_owned() } else { "a step".to_owned() },
        help: format!("move it out of `{inner}`, beside `{beside}`"),
    })
}

/// The maps in which a key belongs, wherever they stand.
pub fn anywhere(key: &str) -> Option<Home> {
    let homes: Vec<&str> = MAPS.iter().filter(|(_, fields)| fields.iter().any(|f| f.name == key)).map(|(name, _)| *name).collect();
    match homes.as_slice() {
        [] => None,
        [one] => Some(Home { place: (*one).to_owned(), help: format!("move it into {one}") }),
        [first, ..] if homes.len() < 4 => Some(Home { place: (*first).to_owned(), help: format!("move it into {}", homes.join(" or ")) }),
        // A key of many maps says nothing about where it was meant.
        _ => None,
    }
}

/// Keys that may stand in a map, as a help.
pub fn known(fields: &[Field]) -> String {
    let built: Vec<&str> = fields.iter().map(|f| f.name).collect();
    if built.is_empty() { "leave it out: no key is known here".to_owned() } else { format!("known here: {}", list(&built)) }
}

fn inside(kind: &Type) -> Option<&'static [Field]> {
    match kind {
        Type::Record(fields) | Type::List(Type::Record(fields)) => Some(fields),
        Type::Either(kinds) => kinds.iter().find_map(inside),
        _ => None,
    }
}

fn kind_of(word: Option<&str>) -> Option<AssetKind> {
    serde_json::from_value(serde_json::Value::String(word?.to_owned())).ok()
}
