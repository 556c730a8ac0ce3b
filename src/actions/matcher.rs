//! Matchers: a plain value (equals), `{not: v}`, `{at_least: v}`, `{at_most: v}`, `{matches: re}`, `{contains: s}`,
//! `{one_of: [..]}`, `{present: true}`. Each says itself in words.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::units;

/// The words that a matcher may be made of.
pub const WORDS: &[&str] = &["not", "at_least", "at_most", "matches", "contains", "one_of", "present"];

/// Whether a value fits; `found` is none if there is no value. An unreadable matcher fits nothing.
pub fn fits(matcher: &Value, found: Option<&Value>) -> bool {
    let Some((word, arg)) = single(matcher) else {
        return found.is_some_and(|v| same(matcher, v));
    };
    match (word, found) {
        ("present", found) => arg.as_bool() == Some(found.is_some_and(|v| !v.is_null())),
        (_, None) => false,
        ("not", Some(v)) => !same(arg, v),
        ("at_least", Some(v)) => order(v, arg).is_some_and(|o| o.is_ge()),
        ("at_most", Some(v)) => order(v, arg).is_some_and(|o| o.is_le()),
        ("matches", Some(v)) => {
            arg.as_str().and_then(|re| regex::Regex::new(re).ok()).is_some_and(|re| re.is_match(&super::template::plain(v)))
        }
        ("contains", Some(Value::Array(items))) => items.iter().any(|i| same(arg, i)),
        ("contains", Some(v)) => super::template::plain(v).contains(&super::template::plain(arg)),
        ("one_of", Some(v)) => arg.as_array().is_some_and(|items| items.iter().any(|i| same(i, v))),
        _ => false,
    }
}

/// A matcher in words that follow the name of a value: `is 200`, `is at least 5`.
pub fn words(matcher: &Value) -> String {
    let Some((word, arg)) = single(matcher) else {
        return format!("is {matcher}");
    };
    match word {
        "not" => format!("is not {arg}"),
        "at_least" => format!("is at least {arg}"),
        "at_most" => format!("is at most {arg}"),
        "matches" => format!("matches {arg}"),
        "contains" => format!("contains {arg}"),
        "one_of" => format!("is one of {arg}"),
        _ if arg == &Value::Bool(false) => "is absent".to_owned(),
        _ => "is present".to_owned(),
    }
}

/// What is wrong with a matcher, if anything.
pub fn problem(matcher: &Value) -> Option<String> {
    let Some((word, arg)) = single(matcher) else {
        return matcher.is_object().then(|| format!("a matcher is a value or one of {}", WORDS.join(", ")));
    };
    match word {
        "matches" => match arg.as_str() {
            Some(re) => regex::Regex::new(re).err().map(|_| format!("`{re}` is not a regular expression")),
            None => Some("`matches` takes a regular expression".to_owned()),
        },
        "one_of" if !arg.is_array() => Some("`one_of` takes a list".to_owned()),
        "present" if !arg.is_boolean() => Some("`present` takes true or false".to_owned()),
        _ => None,
    }
}

/// A value by its dotted path: keys of maps, numbers in lists. A key that holds dots itself is found first.
pub fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    path.split('.').try_fold(value, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    })
}

/// A value against what is wanted of it. The error says both in words.
pub fn judge(name: &str, matcher: &Value, found: Option<&Value>) -> Result<(), String> {
    if fits(matcher, found) {
        return Ok(());
    }
    let found = found.map_or_else(|| "found none".to_owned(), |v| format!("found {}", shortened(v)));
    Err(format!("wanted: {name} {}; {found}", words(matcher)))
}

/// [`judge`] for dotted paths into a value; the error names all that do not hold.
pub fn judge_all(prefix: &str, matchers: &Map<String, Value>, within: &Value) -> Result<(), String> {
    let failed: Vec<String> = matchers
        .iter()
        .filter_map(|(path, matcher)| judge(&format!("{prefix}{}", super::words::code(path)), matcher, at(within, path)).err())
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn single(matcher: &Value) -> Option<(&str, &Value)> {
    let map = matcher.as_object()?;
    let (word, arg) = map.iter().next()?;
    (map.len() == 1 && WORDS.contains(&word.as_str())).then_some((word.as_str(), arg))
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(x), Some(y)) if x == y)
}

/// Times, durations and sizes are compared as what they mean; a size as typed also with a number of bytes.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    let (Value::String(x), Value::String(y)) = (a, b) else {
        return number(a)?.partial_cmp(&number(b)?);
    };
    if let (Ok(x), Ok(y)) = (x.parse::<jiff::Timestamp>(), y.parse::<jiff::Timestamp>()) {
        return Some(x.cmp(&y));
    }
    if let (Ok(x), Ok(y)) = (units::duration_ms(x), units::duration_ms(y)) {
        return Some(x.cmp(&y));
    }
    if let (Ok(x), Ok(y)) = (units::size_bytes(x), units::size_bytes(y)) {
        return Some(x.cmp(&y));
    }
    // A typed unit against a text without one has no order: not even that of letters.
    let unit = |t: &str| units::duration_ms(t).is_ok() || units::size_bytes(t).is_ok() || t.parse::<jiff::Timestamp>().is_ok();
    (!unit(x) && !unit(y)).then(|| x.cmp(y))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => units::size_bytes(text).ok().map(|bytes| bytes as f64),
        other => other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn units_are_compared_as_what_they_mean() {
        assert!(fits(&json!({"at_most": "10s"}), Some(&json!("9s"))));
        assert!(!fits(&json!({"at_most": "9s"}), Some(&json!("10s"))));
        assert!(fits(&json!({"at_least": "1GiB"}), Some(&json!(1u64 << 30))));
        assert!(!fits(&json!({"at_least": "1GiB"}), Some(&json!(1_000_000))));
        assert!(!fits(&json!({"at_most": "10s"}), Some(&json!("soon"))));
        assert!(fits(&json!({"at_least": "2026-11-21T03:00:00Z"}), Some(&json!("2026-11-21T04:00:00+00:30"))));
        assert!(!fits(&json!({"at_most": 5}), None));
    }

    #[test]
    fn paths_reach_into_maps_and_lists() {
        let value = json!({"db": {"hosts": [{"up": true}]}, "a.b": 1});
        assert_eq!(at(&value, "db.hosts.0.up"), Some(&json!(true)));
        assert_eq!(at(&value, "a.b"), Some(&json!(1)));
        assert_eq!(at(&value, "db.none"), None);
    }

    #[test]
    fn a_failure_says_what_was_wanted_and_what_was_found() {
        assert_eq!(judge("status", &json!(200), Some(&json!(503))), Err("wanted: status is 200; found 503".to_owned()));
        assert_eq!(judge("rows", &json!({"at_least": 5}), None), Err("wanted: rows is at least 5; found none".to_owned()));
        let wanted = json!({"up": true, "db.writable": true});
        let wanted = wanted.as_object().expect("a map");
        assert!(judge_all("", wanted, &json!({"up": true})).unwrap_err().contains("`db.writable` is true; found none"));
    }
}
