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
        // No argument can hold a NUL; in a script it would cut what follows.
        format!("'{}'", text.replace('\0', "\u{fffd}").replace('\'', "'\\''"))
    }
}

/// The first word of a command: never a keyword, a builtin or an assignment.
pub fn program(value: &Value) -> String {
    const BUILTINS: &[&str] = &[
        ".", ":", "alias", "bg", "break", "cd", "command", "continue", "eval", "exec", "exit", "export", "fc", "fg", "getopts", "hash",
        "jobs", "local", "read", "readonly", "return", "set", "shift", "source", "times", "trap", "type", "ulimit", "umask", "unalias",
        "unset", "wait",
    ];
    const KEYWORDS: &[&str] =
        &["case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then", "time", "until", "while"];
    let (text, word) = (plain(value), word(value));
    if BUILTINS.contains(&text.as_str()) {
        format!("env {word}")
    } else if KEYWORDS.contains(&text.as_str()) || text.contains('=') {
        // A word that begins with quotes is neither a keyword nor an assignment.
        format!("''{word}")
    } else {
        word
    }
}

/// A test of sh that a variable holds what a matcher wants; none if sh cannot judge it. Of truth values what `psql`
/// and `sqlite3` print counts too.
pub fn test(variable: &str, matcher: &Value) -> Option<String> {
    let bound = |word: &str, op: &str| matcher.get(word).and_then(Value::as_i64).map(|n| format!("[ \"${variable}\" {op} {n} ]"));
    match matcher {
        Value::Bool(true) => Some(format!("case \"${variable}\" in t|true|1) ;; *) false ;; esac")),
        Value::Bool(false) => Some(format!("case \"${variable}\" in f|false|0) ;; *) false ;; esac")),
        Value::String(_) | Value::Number(_) => Some(format!("[ \"${variable}\" = {} ]", word(matcher))),
        Value::Object(_) => bound("at_least", "-ge").or_else(|| bound("at_most", "-le")),
        _ => None,
    }
}

/// A text as a word of sh that is the inside of a JSON string, whatever it or its variables hold.
pub fn inside_json(text: &str) -> String {
    let mut pieces = Vec::new();
    json_text(text, &mut pieces);
    joined(pieces)
}

/// A value as one word of sh that is its JSON; what a variable holds becomes a text in it.
pub fn json(value: &Value) -> String {
    let mut pieces = Vec::new();
    json_pieces(value, &mut pieces);
    joined(pieces)
}

/// A piece of a word: as it stands, or already sh.
enum Piece {
    Literal(String),
    Sh(String),
}

/// What stands side by side shares its quotes.
fn joined(pieces: Vec<Piece>) -> String {
    let (mut out, mut open) = (String::new(), String::new());
    let close = |open: &mut String, out: &mut String| {
        if !open.is_empty() {
            out.push_str(&literal(&std::mem::take(open)));
        }
    };
    for piece in pieces {
        match piece {
            Piece::Literal(text) => open.push_str(&text),
            Piece::Sh(text) => {
                close(&mut open, &mut out);
                out.push_str(&text);
            }
        }
    }
    close(&mut open, &mut out);
    out
}

fn json_text(text: &str, out: &mut Vec<Piece>) {
    let escaped = |t: &str| {
        let quoted = Value::String(t.to_owned()).to_string();
        Piece::Literal(quoted[1..quoted.len() - 1].to_owned())
    };
    out.extend(parts(text).into_iter().map(|(_, part)| match part {
        Part::Text(t) => escaped(&t),
        Part::Unclosed(t) => escaped(t),
        Part::Ref(path) => Piece::Sh(format!("\"$(printf '%s' \"${}\" | sed 's/[\\\\\"]/\\\\&/g')\"", variable(path))),
    }));
}

fn json_pieces(value: &Value, out: &mut Vec<Piece>) {
    let plain = |text: &str| Piece::Literal(text.to_owned());
    match value {
        Value::String(text) => {
            out.push(plain("\""));
            json_text(text, out);
            out.push(plain("\""));
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                out.push(plain(if i == 0 { "[" } else { "," }));
                json_pieces(item, out);
            }
            out.push(plain(if items.is_empty() { "[]" } else { "]" }));
        }
        Value::Object(map) => {
            for (i, (key, item)) in map.iter().enumerate() {
                out.push(plain(if i == 0 { "{" } else { "," }));
                out.push(Piece::Literal(format!("{}:", Value::String(key.clone()))));
                json_pieces(item, out);
            }
            out.push(plain(if map.is_empty() { "{}" } else { "}" }));
        }
        other => out.push(Piece::Literal(other.to_string())),
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
