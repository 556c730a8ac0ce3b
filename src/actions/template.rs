//! Texts with `${…}` in them. A reference is a path and nothing else.

use serde_json::{Map, Value};

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it stands (`$${` already read as `${`).
    Text(String),
    /// What stands between `${` and `}`.
    Ref(&'a str),
    /// `${` without `}`: the rest of the text.
    Unclosed(&'a str),
}

/// Whether a text may hold a reference; most hold none, and are asked no more than this.
pub fn marked(text: &str) -> bool {
    text.as_bytes().contains(&b'$') && text.contains("${")
}

/// Cuts a text into its pieces, with the byte offset of each.
pub fn parts(text: &str) -> Vec<(usize, Part<'_>)> {
    if !marked(text) && !text.is_empty() {
        return vec![(0, Part::Text(text.to_owned()))];
    }
    let mut out: Vec<(usize, Part<'_>)> = Vec::new();
    let mut at = 0;
    let mut literal = String::new();
    let mut literal_at = 0;
    while let Some(found) = text[at..].find("${").map(|i| i + at) {
        if text[..found].ends_with('$') {
            literal.push_str(&text[at..found - 1]);
            literal.push_str("${");
            at = found + 2;
            continue;
        }
        literal.push_str(&text[at..found]);
        if !literal.is_empty() {
            out.push((literal_at, Part::Text(std::mem::take(&mut literal))));
        }
        match text[found + 2..].find('}') {
            Some(len) => {
                out.push((found, Part::Ref(text[found + 2..found + 2 + len].trim())));
                at = found + 3 + len;
                literal_at = at;
            }
            None => {
                out.push((found, Part::Unclosed(&text[found..])));
                return out;
            }
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        out.push((literal_at, Part::Text(literal)));
    }
    out
}

/// All references in a value, in order.
pub fn references(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    walk(value, &mut |text| {
        for (_, part) in Some(text).filter(|text| marked(text)).into_iter().flat_map(parts) {
            if let Part::Ref(path) = part {
                out.push(path.to_owned());
            }
        }
    });
    out
}

fn walk(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(s) => each(s),
        Value::Array(items) => items.iter().for_each(|v| walk(v, each)),
        Value::Object(map) => map.values().for_each(|v| walk(v, each)),
        _ => {}
    }
}

/// Replaces every reference for which `lookup` has a value. A text that is one reference and nothing else takes the
/// value with its type; otherwise the value is written into the text. What `lookup` does not know stays as it is.
pub fn fill(value: &Value, lookup: &dyn Fn(&str) -> Option<Value>) -> Value {
    match value {
        Value::String(text) => fill_text(text, lookup),
        Value::Array(items) => Value::Array(items.iter().map(|v| fill(v, lookup)).collect()),
        Value::Object(map) => Value::Object(fill_map(map, lookup)),
        other => other.clone(),
    }
}

/// [`fill`] for every value of a map.
pub fn fill_map(map: &Map<String, Value>, lookup: &dyn Fn(&str) -> Option<Value>) -> Map<String, Value> {
    map.iter().map(|(k, v)| (k.clone(), fill(v, lookup))).collect()
}

fn fill_text(text: &str, lookup: &dyn Fn(&str) -> Option<Value>) -> Value {
    let pieces = parts(text);
    if let [(_, Part::Ref(path))] = pieces.as_slice() {
        return lookup(path).unwrap_or_else(|| Value::String(text.to_owned()));
    }
    let open = pieces.iter().any(|(_, p)| matches!(p, Part::Ref(path) if lookup(path).is_none()));
    let mut out = String::new();
    for (_, piece) in pieces {
        match piece {
            // A text that still holds a reference keeps its escapes, so that it can be filled again.
            Part::Text(t) if open => out.push_str(&t.replace("${", "$${")),
            Part::Text(t) => out.push_str(&t),
            Part::Unclosed(t) => out.push_str(t),
            Part::Ref(path) => match lookup(path) {
                Some(value) => out.push_str(&if open { plain(&value).replace("${", "$${") } else { plain(&value) }),
                None => out.push_str(&format!("${{{path}}}")),
            },
        }
    }
    Value::String(out)
}

/// A value as text: strings without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
