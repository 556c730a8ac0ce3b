//! Values as words of POSIX sh, for what a person would type. No value can end its quotes.

use super::template::{Part, parts, plain};
use serde_json::Value;

/// A value as one word: its literal parts in single quotes where needed, each `${…}` as a quoted variable.
pub fn word(value: &Value) -> String {
    let text = plain(value);
    let mut out = String::new();
    for (_, part) in parts(&text) {
        match part {
            Part::Text(t) => out.push_str(&literal(&t)),
            Part::Unclosed(t) => out.push_str(&literal(t)),
            Part::Ref(path) => out.push_str(&format!("\"${}\"", variable(path))),
        }
    }
    if out.is_empty() { "''".to_owned() } else { out }
}

/// A text as one word.
pub fn literal(text: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&b);
    if !text.is_empty() && text.bytes().all(safe) && !text.starts_with(['-', '~', '=']) || text.starts_with('-') && text.bytes().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The name of the variable that stands for a reference: `secrets.pg_admin` is `SECRET_PG_ADMIN`, `params.zone`
/// `PARAM_ZONE`, `steps.newest.key` `NEWEST_KEY`.
pub fn variable(path: &str) -> String {
    let (prefix, rest) = match path.split_once('.') {
        Some(("secrets", rest)) => ("SECRET_", rest),
        Some(("params", rest)) => ("PARAM_", rest),
        Some(("steps", rest)) => ("", rest),
        _ => ("", path),
    };
    let name: String = rest.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let name = format!("{prefix}{name}");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}
