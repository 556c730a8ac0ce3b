//! Names that are declared and that nothing uses. It looks at words, not at what they mean: a name that stands anywhere
//! else in the texts is used.

use foldhash::{HashMap, HashMapExt};

use super::scope::Scope;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::syntax::{Entry, Node};

/// Sections whose names must be used, what one of them is called, and what makes it used. A site is a place whether or not
/// something stands there.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("tiers", "tier", "leave it out, or give it to an asset: `tier: NAME`"),
    ("contacts", "contact", "leave it out, or name it: `owner`, `contact`, `from` of an approval, `escalate`"),
    ("lists", "list", "leave it out, or make something of it: `for_each: NAME`"),
];

/// Looks for names that nothing uses in the texts of a plan that is whole.
pub fn unused(root: &Node<'_>, scope: &Scope<'_>, findings: &mut Vec<Diagnostic>) {
    let Some(sources) = scope.sources else { return };
    let section = |key: &str| root.get(key).and_then(Node::map).unwrap_or(&[]);
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut paths: HashMap<(&str, &str), usize> = HashMap::new();
    names.extend(SECTIONS.iter().flat_map(|(key, ..)| section(key)).map(|e| (e.key, 0)));
    for root in ["params", "secrets"] {
        paths.extend(section(root).iter().map(|e| ((root, e.key), 0)));
    }
    if names.is_empty() && paths.is_empty() {
        return;
    }
    for text in sources.ids().map(|id| sources.get(id).text.as_str()) {
        let mut before = ("", 0);
        for (at, word) in words(text) {
            if let Some(count) = names.get_mut(word) {
                *count += 1;
            }
            // `params.X` is two words with a dot between.
            if before.1 + 1 == at && matches!(before.0, "params" | "secrets") && text.as_bytes()[before.1] == b'.' {
                *paths.entry((before.0, word)).or_default() += 1;
            }
            before = (word, at + word.len());
        }
    }
    let mut say = |rule, what: &str, entry: &Entry<'_>, help: String| {
        let at: Span = entry.at;
        let found = Diagnostic::warn(rule, format!("nothing uses {what} `{}`", entry.key), at, "nothing names it");
        findings.push(found.help(help));
    };
    for (key, what, help) in SECTIONS {
        for entry in section(key).iter().filter(|e| names.get(e.key).is_some_and(|count| *count < 2)) {
            say("unused-name", what, entry, help.replace("NAME", entry.key));
        }
    }
    for (root, rule, what) in [("params", "unused-param", "parameter"), ("secrets", "unused-secret", "secret")] {
        for entry in section(root).iter().filter(|e| paths.get(&(root, e.key)) == Some(&0)) {
            say(rule, what, entry, format!("leave it out, or write `${{{root}.{}}}` where it is needed", entry.key));
        }
    }
}

/// Words of names, each with its first byte.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !inside(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && inside(bytes[at]) {
            at += 1;
        }
        (at > start).then(|| (start, &text[start..at]))
    })
}
