//! Findings as JSON, for other programs: one object a finding, places as lines and columns from 1 and as bytes. `version`
//! grows when something that a reader may count on changes; new keys may come at any time.

use serde_json::{Value, json};

use super::Judged;
use crate::diagnostic::{Diagnostic, Fix, Level};
use crate::source::{Sources, Span};

/// The version of both shapes.
pub const VERSION: u32 = 1;

/// One document: every plan with its findings, and how much was found.
pub fn json(all: &[Judged<'_>]) -> Value {
    let plans: Vec<Value> = all
        .iter()
        .map(|judged| {
            let mut value = plan(judged);
            value["findings"] = judged.findings.iter().map(|f| finding(f, judged.sources)).collect();
            value
        })
        .collect();
    json!({ "version": VERSION, "plans": plans, "summary": summary(all) })
}

/// One object a line: each finding, each plan after its findings, and at the end how much was found.
pub fn jsonl(all: &[Judged<'_>]) -> Vec<Value> {
    let typed = |kind: &str, mut value: Value| {
        value["type"] = json!(kind);
        value
    };
    let mut lines = Vec::new();
    for judged in all {
        for found in judged.findings {
            let mut line = typed("finding", finding(found, judged.sources));
            line["plan"] = json!(judged.plan);
            lines.push(line);
        }
        lines.push(typed("plan", plan(judged)));
    }
    let mut last = typed("summary", summary(all));
    last["version"] = json!(VERSION);
    lines.push(last);
    lines
}

fn plan(judged: &Judged<'_>) -> Value {
    let mut value = json!({ "plan": judged.plan, "passed": judged.passed(), "scenarios": judged.scenarios });
    if let Some(why) = judged.unread {
        value["unread"] = json!(why);
    }
    value
}

fn summary(all: &[Judged<'_>]) -> Value {
    let findings = || all.iter().flat_map(|j| j.findings);
    let of = |level| findings().filter(|f| f.level == level).count();
    json!({
        "plans": all.len(),
        "passed": all.iter().filter(|j| j.passed()).count(),
        "deny": of(Level::Deny),
        "warn": of(Level::Warn),
        "allow": of(Level::Allow),
        "fixes": findings().filter(|f| f.fix.is_some() && f.level != Level::Allow).count(),
    })
}

fn finding(found: &Diagnostic, sources: &Sources) -> Value {
    let label = |label: &crate::diagnostic::Label| {
        let mut value = place(label.span, sources);
        value["text"] = json!(label.text);
        value
    };
    let mut value = json!({
        "rule": found.rule,
        "level": found.level.word(),
        "headline": found.headline,
        "labels": found.labels.iter().map(label).collect::<Vec<_>>(),
    });
    if let Some(help) = &found.help {
        value["help"] = json!(help);
    }
    if let Some(why) = &found.allowed {
        value["allowed"] = json!(why);
    }
    if let Some(repair) = &found.fix {
        value["fix"] = fix(repair, sources);
    }
    value
}

fn fix(fix: &Fix, sources: &Sources) -> Value {
    let edit = |edit: &crate::diagnostic::Edit| {
        let mut value = place(edit.span, sources);
        value["replacement"] = json!(edit.replacement);
        value
    };
    json!({ "what": fix.what, "edits": fix.edits.iter().map(edit).collect::<Vec<_>>() })
}

fn place(span: Span, sources: &Sources) -> Value {
    let at = super::place(span, sources);
    let point = |(line, column): (usize, usize), byte: u32| json!({ "line": line, "column": column, "byte": byte });
    json!({ "file": at.file, "start": point(at.start, span.start), "end": point(at.end, span.end) })
}
