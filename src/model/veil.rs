//! No secret that stands in a plan is shown by a finding: not in its words, not in the lines drawn around it, and not in what
//! it would write. It does not look for secrets: that is `leaks` and `raw`.

use std::collections::BTreeSet;

use super::leaks;
use crate::diagnostic::{Diagnostic, Fix};
use crate::source::{Sources, Span};

/// Shorter texts are words, too.
const SHORTEST: usize = 4;
/// So many different secrets are struck out of words; of more the lines alone are veiled.
const MOST: usize = 200;

/// Veils every secret in what the findings show, and leaves out what else is wrong with a value that is one.
pub fn secrets(sources: &mut Sources, findings: &mut Vec<Diagnostic>) {
    if findings.is_empty() {
        return;
    }
    let ours = |f: &Diagnostic| matches!(f.rule, "plain-secret" | "password-in-url");
    let found: BTreeSet<Span> = findings.iter().filter(|f| ours(f)).map(Diagnostic::span).collect();
    findings.retain(|f| ours(f) || !found.contains(&f.span()));
    let mut places: Vec<Span> = found.into_iter().collect();
    for source in sources.ids() {
        let hidden = leaks::to_hide(&sources.get(source).text);
        places.extend(hidden.into_iter().map(|at| Span { source, start: at.start as u32, end: at.end as u32 }));
    }
    let texts: BTreeSet<&str> = places.iter().map(|place| sources.slice(*place).trim_matches(['"', '\''])).collect();
    let mut texts: Vec<String> = texts.into_iter().filter(|t| t.len() >= SHORTEST).take(MOST).map(str::to_owned).collect();
    // A secret that begins another one would leave its end.
    texts.sort_by_key(|t| std::cmp::Reverse(t.len()));
    if !texts.is_empty() {
        findings.iter_mut().for_each(|f| strike(f, &texts));
    }
    sources.veil(places);
}

fn strike(found: &mut Diagnostic, secrets: &[String]) {
    let words = found.labels.iter_mut().map(|l| &mut l.text).chain([&mut found.headline]).chain(&mut found.help);
    for text in words {
        for secret in secrets.iter().filter(|s| text.contains(s.as_str())).collect::<Vec<_>>() {
            *text = text.replace(secret.as_str(), "…");
        }
    }
    let holds = |fix: &Fix| secrets.iter().any(|s| fix.what.contains(s) || fix.edits.iter().any(|e| e.replacement.contains(s)));
    if found.fix.as_ref().is_some_and(holds) {
        found.fix = None;
    }
}
