//! One finding a line: `path:line:column: level[name]: headline`.

use crate::diagnostic::Diagnostic;
use crate::source::Sources;

/// All findings, in the order given.
pub fn short(findings: &[Diagnostic], sources: &Sources) -> String {
    findings.iter().map(|f| line(f, sources) + "\n").collect()
}

fn line(found: &Diagnostic, sources: &Sources) -> String {
    let span = found.span();
    let source = sources.get(span.source);
    let (line, column) = source.line_col(span.start);
    format!("{}:{line}:{column}: {}[{}]: {}", source.name, found.level.word(), found.rule, found.headline.replace(['\n', '\r'], " "))
}
