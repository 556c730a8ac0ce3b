//! Findings drawn under the lines that they are about, for a person at a terminal.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};
use textwrap::{WordSeparator, WordSplitter};

use super::excerpt::{AROUND, Excerpt, plain};
use crate::diagnostic::{Diagnostic, Level};
use crate::source::Sources;

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
    let theme = if look.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(look.width).with_context_lines(AROUND).without_cause_chain();
    let handler = handler.with_break_words(false).with_word_separator(WordSeparator::AsciiSpace);
    let handler = handler.with_word_splitter(WordSplitter::NoHyphenation);
    let mut out = String::new();
    for found in findings.iter().take(look.limit) {
        let drawn = Drawn { found, excerpt: Excerpt::of(found, sources, look.width) };
        if handler.render_report(&mut out, &drawn).is_err() {
            // A place that cannot be drawn is our mistake; the words still help.
            out.push_str(&plain(&super::short(std::slice::from_ref(found), sources)));
        }
        out.push('\n');
    }
    if findings.len() > look.limit {
        out.push_str(&format!("… and {} more; `--format short` lists all of them\n", findings.len() - look.limit));
    }
    out
}

/// `2 findings refuse this plan, 1 warns` — for the last line.
pub fn summary(findings: &[Diagnostic]) -> String {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let plural = |n: usize, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
    let mut said = match (count(Level::Deny), count(Level::Warn)) {
        (0, 0) => "no findings".to_owned(),
        (0, warns) => plural(warns, "warning", "warnings"),
        (denies, 0) => plural(denies, "mistake", "mistakes"),
        (denies, warns) => format!("{}, {}", plural(denies, "mistake", "mistakes"), plural(warns, "warning", "warnings")),
    };
    if count(Level::Allow) > 0 {
        said.push_str(&format!(" ({} allowed)", count(Level::Allow)));
    }
    said
}

struct Drawn<'a> {
    found: &'a Diagnostic,
    excerpt: Excerpt<'a>,
}

impl fmt::Debug for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.found, f)
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&self.found.headline))
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
        self.found.help.as_ref().map(|help| Box::new(plain(help)) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.excerpt.labels.iter().enumerate().map(|(i, label)| {
            let text = Some(label.text.clone());
            if i == 0 { LabeledSpan::new_primary_with_span(text, label.place) } else { LabeledSpan::new_with_span(text, label.place) }
        })))
    }
}
