//! Findings as JSON, for other programs: one object a finding, places as lines and columns from 1 and as bytes.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Label};
use crate::source::Sources;

/// All findings, in the order given.
pub fn json(findings: &[Diagnostic], sources: &Sources) -> Value {
    findings.iter().map(|f| one(f, sources)).collect()
}

fn one(found: &Diagnostic, sources: &Sources) -> Value {
    let mut value = json!({
        "rule": found.rule,
        "level": found.level.word(),
        "headline": found.headline,
        "labels": found.labels.iter().map(|l| label(l, sources)).collect::<Vec<_>>(),
    });
    if let Some(help) = &found.help {
        value["help"] = json!(help);
    }
    value
}

fn label(label: &Label, sources: &Sources) -> Value {
    let source = sources.get(label.span.source);
    let place = |offset: u32| {
        let (line, column) = source.line_col(offset);
        json!({ "line": line, "column": column, "byte": offset })
    };
    json!({ "file": source.name, "start": place(label.span.start), "end": place(label.span.end), "text": label.text })
}
