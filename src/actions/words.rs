//! Values within sentences: as Markdown code that nothing in them can end. It does not know what the sentence says.

use serde_json::Value;

use super::template::plain;
use crate::source::obeyed;

/// A text as Markdown code on one line: its fence is longer than any run of backticks inside.
pub fn code(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            ' '
        } else if obeyed(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    let line: String = text.chars().map(shown).collect();
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 || line.is_empty() { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// A value as Markdown code.
pub fn value(value: &Value) -> String {
    code(&plain(value))
}

/// A matcher in words that follow the name of a value, its argument as Markdown code.
pub fn matcher(matcher: &Value) -> String {
    let words = super::matcher::words(matcher);
    // The argument is the only part that a plan can choose; `is present` and `is absent` have none.
    let arg = ["is not ", "is at least ", "is at most ", "matches ", "contains ", "is one of ", "is "];
    match arg.iter().find_map(|verb| words.strip_prefix(verb).map(|rest| (verb, rest))) {
        Some((_, "present" | "absent")) | None => words,
        Some((verb, rest)) => format!("{verb}{}", code(rest)),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_code() {
        assert_eq!(code("plain"), "`plain`");
        assert_eq!(code("a```b"), "```` a```b ````");
        assert_eq!(code("two\nlines"), "`two lines`");
        assert_eq!(code(""), "`  `");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
