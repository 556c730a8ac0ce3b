//! Findings as SARIF 2.1.0, which code hosts and editors read: the rules with their manual pages, each finding with its
//! other places, its repair, and a fingerprint that stays when lines move.

use serde_json::{Value, json};

use super::{Judged, Manual, once};
use crate::diagnostic::{Diagnostic, Edit, Fix, Level};
use crate::source::{Sources, Span};

/// One log of one run. `version` is the program's.
pub fn sarif(all: &[Judged<'_>], rules: &[Manual<'_>], version: &str) -> Value {
    let unread: Vec<Value> = all.iter().filter_map(unread).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "drplan", "version": version, "rules": rules.iter().map(rule).collect::<Vec<_>>() } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": unread.is_empty(), "toolExecutionNotifications": unread }],
            "results": once(all).into_iter().map(|(judged, found, name)| result(&judged, found, name, rules)).collect::<Vec<_>>(),
        }],
    })
}

fn rule(rule: &Manual<'_>) -> Value {
    json!({
        "id": rule.name,
        "shortDescription": { "text": first_sentence(rule.page) },
        "help": { "text": rule.page, "markdown": rule.page },
        "defaultConfiguration": { "level": level(rule.level) },
    })
}

fn result(judged: &Judged<'_>, found: &Diagnostic, name: String, rules: &[Manual<'_>]) -> Value {
    let sources = judged.sources;
    let help = found.help.as_ref().map_or_else(String::new, |help| format!("\nhelp: {help}"));
    let mut value = json!({
        "ruleId": found.rule,
        "level": level(found.level),
        "message": { "text": format!("{}: {}{help}", found.headline, found.labels[0].text) },
        "locations": [{ "physicalLocation": physical(found.span(), sources) }],
        "partialFingerprints": { "drplanFinding/v1": name },
    });
    if let Some(index) = rules.iter().position(|r| r.name == found.rule) {
        value["ruleIndex"] = json!(index);
    }
    if found.labels.len() > 1 {
        let related = found.labels[1..]
            .iter()
            .enumerate()
            .map(|(i, label)| json!({ "id": i + 1, "physicalLocation": physical(label.span, sources), "message": { "text": label.text } }));
        value["relatedLocations"] = related.collect();
    }
    if let Some(repair) = &found.fix {
        value["fixes"] = json!([fix(repair, sources)]);
    }
    if found.level == Level::Allow {
        let why = found.allowed.as_deref().unwrap_or("the plan allows it");
        value["suppressions"] = json!([{ "kind": "inSource", "justification": why }]);
    }
    value
}

fn fix(fix: &Fix, sources: &Sources) -> Value {
    let mut files: Vec<_> = fix.edits.iter().map(|e| e.span.source).collect();
    files.sort_unstable();
    files.dedup();
    let replacement = |edit: &Edit| json!({ "deletedRegion": region(edit.span, sources), "insertedContent": { "text": edit.replacement } });
    let changes = files.iter().map(|id| {
        let own = fix.edits.iter().filter(|e| e.span.source == *id).map(replacement).collect::<Vec<_>>();
        json!({ "artifactLocation": location(&sources.get(*id).name), "replacements": own })
    });
    json!({ "description": { "text": fix.what }, "artifactChanges": changes.collect::<Vec<_>>() })
}

fn unread(judged: &Judged<'_>) -> Option<Value> {
    Some(json!({
        "level": "error",
        "message": { "text": format!("cannot read the plan: {}", judged.unread?) },
        "locations": [{ "physicalLocation": { "artifactLocation": location(judged.plan) } }],
    }))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Deny => "error",
        Level::Warn => "warning",
        Level::Allow => "note",
    }
}

fn physical(span: Span, sources: &Sources) -> Value {
    json!({ "artifactLocation": location(&sources.get(span.source).name), "region": region(span, sources) })
}

fn region(span: Span, sources: &Sources) -> Value {
    let at = super::place(span, sources);
    json!({ "startLine": at.start.0, "startColumn": at.start.1, "endLine": at.end.0, "endColumn": at.end.1 })
}

/// A path as a URI; one below the current directory is relative to the root of the sources.
fn location(path: &str) -> Value {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    if path.starts_with('/') { json!({ "uri": format!("file://{uri}") }) } else { json!({ "uri": uri, "uriBaseId": "%SRCROOT%" }) }
}

/// What a page says first, below its heading.
fn first_sentence(page: &str) -> String {
    let text = page.lines().skip_while(|l| l.starts_with('#') || l.trim().is_empty()).take_while(|l| !l.trim().is_empty());
    let paragraph = text.collect::<Vec<_>>().join(" ");
    let end = paragraph.find(". ").map_or(paragraph.len(), |i| i + 1);
    paragraph[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_uris() {
        assert_eq!(location("a b/ü%.yaml"), json!({ "uri": "a%20b/%C3%BC%25.yaml", "uriBaseId": "%SRCROOT%" }));
        assert_eq!(location("/tmp/x:y"), json!({ "uri": "file:///tmp/x%3Ay" }));
    }

    #[test]
    fn a_page_begins_with_a_sentence() {
        assert_eq!(first_sentence("# `x`\n\nA step that\nhurts. And more.\n\nMore."), "A step that hurts.");
    }
}
