//! One value against what its key holds: what is wrong with it, and what to write instead. It does not know where it stands.

use super::scope::list;
use crate::actions::units::{self, Why};
use crate::actions::{Type, matcher};
use crate::diagnostic::{Diagnostic, Edit, Near, nearest};
use crate::source::Span;

/// A scalar without its places.
pub enum Lit<'v> {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// Any other number.
    Float,
    /// A text.
    Text(&'v str),
    /// What a parameter may give besides.
    Other,
}

/// A value as it was typed.
pub struct Typed<'v> {
    /// What it is.
    pub lit: Lit<'v>,
    /// Its text.
    pub text: &'v str,
    /// It stands without quotes.
    pub plain: bool,
    /// It stands where it is used, as it is: it may be written anew there.
    pub here: bool,
}

/// A value that is not what was wanted.
pub struct Wrong {
    /// The rule.
    pub rule: &'static str,
    /// Headline.
    pub headline: String,
    /// What is wrong here.
    pub label: String,
    /// What to type.
    pub help: Option<String>,
    /// What to write instead of the whole value, where only that can be meant.
    pub instead: Option<String>,
}

impl Wrong {
    /// What to write instead of the whole value.
    pub fn or_write(self, text: impl Into<String>) -> Wrong {
        Wrong { instead: Some(text.into()), ..self }
    }

    /// The finding; `here`: the value may be written anew at this place.
    pub fn at(self, at: Span, here: bool) -> Diagnostic {
        let mut found = Diagnostic::deny(self.rule, self.headline, at, self.label);
        if let (Some(help), Some(instead), true) = (&self.help, self.instead, here) {
            found = found.fix(help, [Edit::new(at, instead)]);
        }
        match self.help {
            Some(help) => found.help(help),
            None => found,
        }
    }
}

/// Words of other tools for what a matcher says.
const MATCHERS: &[(&str, &[&str])] = &[
    ("at_least", &["gte", "ge", "min", "minimum", "least", "greater_or_equal"]),
    ("at_most", &["lte", "le", "max", "maximum", "most", "less_or_equal"]),
    ("not", &["ne", "neq", "not_equal", "isnt"]),
    ("matches", &["regex", "regexp", "match", "like", "pattern"]),
    ("one_of", &["in", "any_of", "enum", "oneof"]),
    ("present", &["exists", "defined", "set"]),
    ("contains", &["includes", "has", "contain"]),
];

/// The word of a matcher that another one may mean.
pub fn matcher_word(wrong: &str) -> Option<Near<'static>> {
    let said = MATCHERS.iter().find(|(_, others)| others.contains(&wrong));
    said.map(|(word, _)| Near { word, sure: true }).or_else(|| nearest(wrong, matcher::WORDS.iter().copied()))
}

/// A matcher as it is written.
pub fn sample_of(word: &str) -> &'static str {
    match word {
        "matches" => "{ matches: '^v[0-9]+$' }",
        "one_of" => "{ one_of: [primary, standby] }",
        "present" => "{ present: true }",
        _ => "{ at_least: 1 }",
    }
}

/// What a key holds, in words, and a sample.
pub fn wanted(kind: &Type) -> (String, Option<String>) {
    let (words, sample) = match kind {
        Type::Text | Type::Secret => ("a text", None),
        Type::Url => ("a URL", Some("https://example.com/")),
        Type::Int => ("a whole number", Some("3")),
        Type::Number => ("a number", Some("1.5")),
        Type::Bool => ("`true` or `false`", None),
        Type::Duration => ("a duration", Some("30s")),
        Type::Size => ("a size", Some("10GiB")),
        Type::Time => ("a time", Some("2026-11-21T03:00:00Z")),
        Type::Moment => ("a time or `latest`", Some("2026-11-21T03:00:00Z")),
        Type::Day => ("a day", Some("2027-03-01")),
        Type::Keep => ("a duration or a rule of keeping", Some("30d")),
        Type::Kept => ("a duration", Some("30d")),
        Type::Id | Type::Name => ("a name", None),
        Type::Pattern => ("a regular expression", None),
        Type::Matcher => ("a value or a matcher", Some("{ at_least: 1 }")),
        Type::Matchers => ("paths with what is expected of them", Some("{ status.ok: true }")),
        Type::Call => ("an action", Some("{ uses: ACTION, with: { … } }")),
        Type::Map(_) | Type::ById(_) | Type::ByName(_) | Type::Record(_) | Type::With | Type::Connect => ("a map", Some("{ key: value }")),
        Type::One => ("one value", Some("7")),
        Type::Any | Type::AnySecret => ("a value", None),
        Type::Word(words) => return (format!("one of {}", list(words)), None),
        Type::List(item) => {
            let (_, sample) = wanted(item);
            return ("a list".to_owned(), Some(format!("[{}]", sample.as_deref().unwrap_or("…"))));
        }
        Type::Either(kinds) => {
            let all: Vec<String> = kinds.iter().map(|k| wanted(k).0).collect();
            return (all.join(" or "), kinds.first().and_then(|k| wanted(k).1));
        }
    };
    (words.to_owned(), sample.map(str::to_owned))
}

/// Whether a value is what its key holds.
pub fn fits(key: &str, typed: &Typed<'_>, kind: &Type) -> Result<(), Wrong> {
    let Typed { lit, text, .. } = typed;
    let this = match lit {
        Lit::Null => "nothing",
        Lit::Bool => "`true` or `false`",
        Lit::Int | Lit::Float => "a number",
        Lit::Text(_) => "a text",
        Lit::Other => "something else",
    };
    let wrong = |rule: &'static str, help: String| Wrong {
        rule,
        headline: format!("`{key}` wants {}", wanted(kind).0),
        label: format!("this is {this}"),
        help: Some(help),
        instead: None,
    };
    let unit = |problem: units::Problem| Wrong {
        rule: match problem.why {
            Why::NoUnit => "missing-unit",
            Why::Calendar => "calendar-unit",
            Why::Clock => "clock-duration",
            Why::Other => "bad-unit",
        },
        headline: format!("`{key}`: {}", problem.what),
        label: format!("`{key}` wants {}", wanted(kind).0),
        help: Some(problem.help),
        instead: problem.instead,
    };
    match (kind, lit) {
        (Type::One, Lit::Int | Lit::Float | Lit::Bool | Lit::Text(_)) => Ok(()),
        (Type::Text | Type::Secret | Type::Url | Type::Pattern, Lit::Int | Lit::Float | Lit::Bool) => {
            let quoted = format!("\"{text}\"");
            Err(wrong("unquoted-value", format!("put it into quotes: `{quoted}`")).or_write(quoted))
        }
        (Type::Text | Type::Secret, Lit::Text(_)) => Ok(()),
        (Type::Day, Lit::Text(t)) if t.len() == 10 && t.parse::<jiff::civil::Date>().is_ok() => Ok(()),
        (Type::Url, Lit::Text(t)) if t.contains("://") => Ok(()),
        (Type::Url, Lit::Text(t)) => {
            let local = t.starts_with("localhost") || t.starts_with(|c: char| c.is_ascii_digit()) || t.starts_with('[');
            let scheme = if local { "http" } else { "https" };
            let help = format!("begin it with its scheme: `{scheme}://{}`", t.trim_start_matches('/'));
            Err(Wrong { label: "no `https://` stands before it".to_owned(), ..wrong("missing-scheme", help) })
        }
        (Type::Pattern, Lit::Text(t)) => pattern(key, t),
        (Type::Int | Type::Number, Lit::Int) if zeros(text).is_some() => {
            let number = zeros(text).unwrap_or(text);
            let octal = i64::from_str_radix(number, 8).map_or_else(|_| String::new(), |n| format!(", or {n} to readers of older YAML"));
            let help = format!("leave the zeros out: `{number}`");
            let wrong = wrong("leading-zero", help).or_write(number);
            Err(Wrong { headline: format!("`{key}`: `{text}` begins with a zero"), label: format!("this is {number}{octal}"), ..wrong })
        }
        (Type::Int, Lit::Int) | (Type::Number, Lit::Int | Lit::Float) | (Type::Bool, Lit::Bool) => Ok(()),
        (Type::Int | Type::Number, Lit::Text(t)) if number(t, kind) => {
            Err(wrong("quoted-value", format!("leave the quotes out: `{t}`")).or_write(*t))
        }
        (Type::Int | Type::Number, _) => Err(wrong("wrong-type", format!("write it like `{}`", wanted(kind).1.unwrap_or_default()))),
        (Type::Bool, Lit::Text(t)) => Err(match t.to_lowercase().as_str() {
            word @ ("true" | "false") => wrong("quoted-value", format!("leave the quotes out: `{word}`")).or_write(word),
            "yes" | "on" | "y" => old_boolean(wrong("old-boolean", "write `true`".to_owned()).or_write("true"), t),
            "no" | "off" | "n" => old_boolean(wrong("old-boolean", "write `false`".to_owned()).or_write("false"), t),
            _ => wrong("wrong-type", "write `true` or `false`".to_owned()),
        }),
        (Type::Duration, Lit::Text(_) | Lit::Int | Lit::Float) => units::duration_ms(text).map(drop).map_err(unit),
        (Type::Keep | Type::Kept, Lit::Text(_) | Lit::Int | Lit::Float) => units::kept_ms(text).map(drop).map_err(unit),
        (Type::Size, Lit::Text(_) | Lit::Int | Lit::Float) => units::size_bytes(text).map(drop).map_err(unit),
        (Type::Moment, Lit::Text(t)) if *t == "latest" => Ok(()),
        (Type::Time | Type::Moment, Lit::Text(_) | Lit::Int | Lit::Float) => {
            units::time(text).map(drop).map_err(|p| Wrong { rule: "bad-time", ..unit(p) })
        }
        (Type::Word(words), Lit::Text(t)) if words.contains(t) => Ok(()),
        (Type::Word(words), Lit::Text(t)) => {
            let near = nearest(t, words.iter().copied());
            Err(Wrong {
                rule: "unknown-word",
                headline: format!("`{key}` cannot be `{t}`"),
                label: "not a word of the language here".to_owned(),
                help: Some(near.map_or_else(|| format!("write one of {}", list(words)), |near| format!("write `{near}`"))),
                instead: near.filter(|near| near.sure).map(|near| near.word.to_owned()),
            })
        }
        _ => {
            Err(wrong("wrong-type", wanted(kind).1.map_or_else(|| format!("write {}", wanted(kind).0), |s| format!("write it like `{s}`"))))
        }
    }
}

fn pattern(key: &str, text: &str) -> Result<(), Wrong> {
    let Err(error) = regex::Regex::new(text) else { return Ok(()) };
    let said = error.to_string();
    let why = said.rsplit("error: ").next().filter(|why| !why.contains('\n') && why.len() < 80).unwrap_or("too large, or not closed");
    let help = match why {
        "unclosed character class" => "close it with `]`",
        "unclosed group" => "close it with `)`",
        "unopened group" => "open it with `(`, or write `\\)` for the sign itself",
        w if w.starts_with("repetition operator missing") => "write `\\*`, `\\+` or `\\?` for the sign itself, or `.*` for any text",
        w if w.starts_with("look-around") => "leave the look-around out: it is not known here",
        w if w.starts_with("backreferences") => "leave the back-reference out: it is not known here",
        _ => "close every bracket, and write `\\` before a sign that stands for itself",
    };
    Err(Wrong {
        rule: "bad-pattern",
        headline: format!("`{key}`: `{text}` is not a regular expression"),
        label: why.to_owned(),
        help: Some(help.to_owned()),
        instead: None,
    })
}

fn old_boolean(wrong: Wrong, text: &str) -> Wrong {
    Wrong { label: format!("`{text}` is a text: only older YAML reads a truth value"), ..wrong }
}

/// A number without the zeros before it, if it has some.
fn zeros(text: &str) -> Option<&str> {
    let digits = text.starts_with('0') && text.len() > 1 && text.bytes().all(|b| b.is_ascii_digit());
    let bare = text.trim_start_matches('0');
    digits.then_some(if bare.is_empty() { "0" } else { bare })
}

fn number(text: &str, kind: &Type) -> bool {
    text.parse::<i64>().is_ok() || matches!(kind, Type::Number) && text.parse::<f64>().is_ok_and(f64::is_finite)
}
