//! Matchers: a plain value (equals), `{not: v}`, `{at_least: v}`, `{at_most: v}`, `{matches: re}`, `{contains: s}`,
//! `{one_of: [..]}`, `{present: true}`. Each says itself in words.

use serde_json::Value;

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

fn single(matcher: &Value) -> Option<(&str, &Value)> {
    let map = matcher.as_object()?;
    let (word, arg) = map.iter().next()?;
    (map.len() == 1 && WORDS.contains(&word.as_str())).then_some((word.as_str(), arg))
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(x), Some(y)) if x == y)
}

fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::String(x), Value::String(y)) => match (x.parse::<jiff::Timestamp>(), y.parse::<jiff::Timestamp>()) {
            (Ok(x), Ok(y)) => Some(x.cmp(&y)),
            _ => Some(x.cmp(y)),
        },
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}
