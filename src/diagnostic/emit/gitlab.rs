//! Findings as a code quality report of GitLab, which shows in a merge request what is new by its fingerprints.

use serde_json::{Value, json};

use super::{Judged, hex, once, place, words};
use crate::diagnostic::Level;

/// One array, one object a finding.
pub fn gitlab(all: &[Judged<'_>]) -> Value {
    let unread = all.iter().filter_map(|judged| {
        let why = judged.unread?;
        Some(json!({
            "type": "issue",
            "description": format!("cannot read the plan: {why}"),
            "check_name": "unread",
            "fingerprint": hex(&format!("unread\0{}", judged.plan)),
            "severity": "blocker",
            "location": { "path": judged.plan, "lines": { "begin": 1, "end": 1 } },
        }))
    });
    // What a plan allows is nobody's task.
    let open = once(all).into_iter().filter(|(_, found, _)| found.level != Level::Allow);
    let found = open.map(|(judged, found, name)| {
        let at = place(found.span(), judged.sources);
        json!({
            "type": "issue",
            "description": found.headline,
            "content": { "body": words(found, judged.sources) },
            "check_name": found.rule,
            "fingerprint": name,
            "severity": severity(found.level),
            "location": { "path": at.file, "lines": { "begin": at.start.0, "end": at.end.0 } },
        })
    });
    unread.chain(found).collect()
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Deny => "critical",
        Level::Warn => "minor",
        Level::Allow => "info",
    }
}
