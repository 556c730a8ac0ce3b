//! One finding a line: `path:line:column: level[name]: headline`, and its repair if it carries one.

use super::place;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;

/// All findings, in the order given.
pub fn short(findings: &[Diagnostic], sources: &Sources) -> String {
    findings.iter().map(|f| line(f, sources) + "\n").collect()
}

fn line(found: &Diagnostic, sources: &Sources) -> String {
    let at = place(found.span(), sources);
    let fix = found.fix.as_ref().map_or_else(String::new, |fix| format!(" (fix: {})", fix.what));
    let text = format!("{}:{}:{}: {}[{}]: {}{fix}", at.file, at.start.0, at.start.1, found.level.word(), found.rule, found.headline);
    text.replace(['\n', '\r'], " ")
}
