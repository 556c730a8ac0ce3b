//! Findings drawn under the lines that they are about, for a person at a terminal.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, Severity, SourceCode, SourceSpan, SpanContents,
};

use crate::diagnostic::{Diagnostic, Label, Level};
use crate::source::{Source, SourceId, Sources, harmless, obeyed};

/// How findings are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// With colours.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// At most so many are drawn; the rest is counted.
    pub limit: usize,
}

impl Default for Look {
    fn default() -> Self {
        Look { colour: false, width: 100, limit: 50 }
    }
}

/// The findings as text, in the order given.
pub fn human(findings: &[Diagnostic], sources: &Sources, look: Look) -> String {
    // Where a text would be obeyed by the terminal, what is drawn is not told from it: then without colours of ours.
    let hostile = findings.iter().any(|found| obeys(found, sources));
    let theme = if look.colour && !hostile { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(look.width).with_context_lines(1).without_cause_chain();
    let mut out = String::new();
    for found in findings.iter().take(look.limit) {
        let drawn = Drawn { found, code: Lined(sources.get(found.span().source)), sources };
        if handler.render_report(&mut out, &drawn).is_err() {
            // A place outside its text is our mistake; the words still help.
            out.push_str(&super::short(std::slice::from_ref(found), sources));
        }
        out.push('\n');
    }
    if findings.len() > look.limit {
        out.push_str(&format!("… and {} more; `--format short` lists all of them\n", findings.len() - look.limit));
    }
    if hostile { harmless(&out) } else { out }
}

fn obeys(found: &Diagnostic, sources: &Sources) -> bool {
    let any = |text: &str| text.chars().any(|c| obeyed(c) && !matches!(c, '\n' | '\t'));
    let words = found.labels.iter().any(|label| any(&label.text)) || any(&found.headline) || found.help.as_deref().is_some_and(any);
    let drawn = |label: &Label| {
        let source = sources.get(label.span.source);
        let (first, last) = (source.line_col(label.span.start).0, source.line_col(label.span.end).0);
        let from = source.line_range(first.saturating_sub(1).max(1)).0;
        let lines = &source.text[from..source.line_range((last + 1).min(source.line_count())).1.max(from)];
        // As Windows ends its lines.
        any(&lines.replace("\r\n", "\n")) || any(&source.name)
    };
    words || found.labels.iter().any(drawn)
}

/// `2 findings refuse this plan, 1 warns` — for the last line.
pub fn summary(findings: &[Diagnostic]) -> String {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let plural = |n: usize, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
    match (count(Level::Deny), count(Level::Warn)) {
        (0, 0) => "no findings".to_owned(),
        (0, warns) => plural(warns, "warning", "warnings"),
        (denies, 0) => plural(denies, "mistake", "mistakes"),
        (denies, warns) => format!("{}, {}", plural(denies, "mistake", "mistakes"), plural(warns, "warning", "warnings")),
    }
}

struct Drawn<'a> {
    found: &'a Diagnostic,
    code: Lined<'a>,
    sources: &'a Sources,
}

impl Drawn<'_> {
    fn source(&self) -> SourceId {
        self.found.span().source
    }
}

impl fmt::Debug for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.found, f)
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found.headline)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{}[{}]", self.found.level.word(), self.found.rule)))
    }

    fn severity(&self) -> Option<Severity> {
        Some(match self.found.level {
            Level::Deny => Severity::Error,
            Level::Warn => Severity::Warning,
            Level::Allow => Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let mut text = self.found.help.clone().unwrap_or_default();
        // A label in another text cannot be drawn here; it is said.
        for label in self.found.labels.iter().filter(|l| l.span.source != self.source()) {
            let other = self.sources.get(label.span.source);
            let (line, column) = other.line_col(label.span.start);
            let separator = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{separator}{}:{line}:{column}: {}", other.name, label.text));
        }
        (!text.is_empty()).then(|| Box::new(text) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let own = self.found.labels.iter().enumerate().filter(|(_, l)| l.span.source == self.source());
        Some(Box::new(own.map(|(i, label)| {
            let span = (label.span.start as usize, (label.span.end.saturating_sub(label.span.start)) as usize);
            let text = Some(label.text.clone());
            if i == 0 { LabeledSpan::new_primary_with_span(text, span) } else { LabeledSpan::new_with_span(text, span) }
        })))
    }
}

/// A text whose lines are found by its table: the library's own would scan the whole text for each finding.
struct Lined<'a>(&'a Source);

impl SourceCode for Lined<'_> {
    fn read_span<'a>(&'a self, span: &SourceSpan, before: usize, after: usize) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = &self.0.text;
        let (start, end) = (span.offset(), span.offset() + span.len());
        if end > text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let (first, column) = self.0.line_col(start as u32);
        let (last, _) = self.0.line_col(end as u32);
        let from = first.saturating_sub(before).max(1);
        let to = (last + after).min(self.0.line_count());
        // Without lines around it the span itself is asked for, to learn its line and column.
        let (begin, column) = if before == 0 { (start, column - 1) } else { (self.0.line_range(from).0, 0) };
        let finish = if after == 0 { end } else { self.0.line_range(to).1 };
        let data = &text.as_bytes()[begin..finish.max(begin)];
        let span = (begin, data.len()).into();
        let name = self.0.name.clone();
        // Two labels are drawn apart if the second begins after so many lines.
        Ok(Box::new(MietteSpanContents::new_named(name, data, span, from - 1, column, to - from + 1)))
    }
}
