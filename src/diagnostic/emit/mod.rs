//! Findings as text, one file a format. It does not know where a text goes, nor how a plan was read.

mod excerpt;
pub mod github;
pub mod gitlab;
pub mod human;
pub mod json;
pub mod junit;
pub mod sarif;
pub mod short;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

pub use github::github;
pub use gitlab::gitlab;
pub use human::{Look, human, summary};
pub use json::{json, jsonl};
pub use junit::junit;
pub use sarif::sarif;
pub use short::short;

use super::{Diagnostic, Level};
use crate::source::{Sources, Span};

/// One plan with all that was found in it, as the formats for programs see it.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The plan's path, relative to the current directory where it lies below it.
    pub plan: &'a str,
    /// How many scenarios it has.
    pub scenarios: usize,
    /// The texts that findings point into.
    pub sources: &'a Sources,
    /// What was found, by place.
    pub findings: &'a [Diagnostic],
    /// A warning refuses it, too.
    pub strict: bool,
    /// Why it could not be read at all.
    pub unread: Option<&'a str>,
}

impl Judged<'_> {
    /// True if nothing refuses it.
    pub fn passed(&self) -> bool {
        self.unread.is_none() && !self.findings.iter().any(|f| self.refuses(f))
    }

    /// Whether one finding refuses it.
    pub fn refuses(&self, found: &Diagnostic) -> bool {
        found.level == Level::Deny || self.strict && found.level == Level::Warn
    }
}

/// What a format says about a rule: its name everywhere, its weight, its manual page.
#[derive(Debug, Clone, Copy)]
pub struct Manual<'a> {
    /// The name.
    pub name: &'a str,
    /// How much its findings weigh.
    pub level: Level,
    /// The page, in Markdown.
    pub page: &'a str,
}

/// A place as people and their tools count: lines and columns from 1, the end is the first column behind it.
struct Place<'a> {
    file: &'a str,
    start: (usize, usize),
    end: (usize, usize),
}

fn place(span: Span, sources: &Sources) -> Place<'_> {
    let source = sources.get(span.source);
    Place { file: &source.name, start: source.line_col(span.start), end: source.line_col(span.end.max(span.start)) }
}

/// All that is to be said about a finding in one text: for formats with one place for it.
fn words(found: &Diagnostic, sources: &Sources) -> String {
    let mut out = format!("{}: {}", found.headline, found.labels[0].text);
    for label in &found.labels[1..] {
        let at = place(label.span, sources);
        out.push_str(&format!("\n{}:{}:{}: {}", at.file, at.start.0, at.start.1, label.text));
    }
    if let Some(help) = &found.help {
        out.push_str(&format!("\nhelp: {help}"));
    }
    if found.fix.is_some() {
        out.push_str("\n`drplan check --fix` does this");
    }
    out
}

/// Every finding once, with a name that stays the same when lines move: a file that two plans include is not said twice.
fn once<'a>(all: &[Judged<'a>]) -> Vec<(Judged<'a>, &'a Diagnostic, String)> {
    let mut places = BTreeSet::new();
    let mut said = BTreeMap::new();
    let mut out = Vec::new();
    for judged in all {
        for found in judged.findings {
            let at = place(found.span(), judged.sources);
            if !places.insert((at.file, at.start, at.end, found.rule, &found.headline)) {
                continue;
            }
            // What is said of several places in the same words is counted.
            let n: &mut usize = said.entry((found.rule, at.file, &found.headline)).or_default();
            out.push((*judged, found, hex(&[found.rule, at.file, &found.headline, &n.to_string()].join("\0"))));
            *n += 1;
        }
    }
    out
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}
