//! What is wrong with plans: for people on standard error, for programs on standard output. The drawing is the library's;
//! this file only chooses how.

use clap::ValueEnum;
use drplan::analysis::rules;
use drplan::compile::Compilation;
use drplan::diagnostic::Level;
use drplan::diagnostic::emit::{self, Judged, Look, Manual};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use crate::exit::Stop;
use crate::output;
use crate::settings::Settings;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Drawn under the lines that they are about.
    Human,
    /// One a line: `path:line:column: level[name]: headline`.
    Short,
    /// One document for other programs.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// SARIF 2.1.0: code hosts and editors.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
    /// A code quality report of GitLab.
    Gitlab,
    /// JUnit XML: test reports of CI servers.
    Junit,
}

impl Format {
    /// Whether people read it as it comes; everything else is one document on standard output.
    pub fn for_people(self) -> bool {
        matches!(self, Format::Human | Format::Short)
    }
}

/// Prints findings for people, if there are any.
pub fn print(compilation: &Compilation, settings: &Settings, format: Format) {
    // What the plan allows is for machines, which keep the books.
    let findings: Vec<_> = compilation.findings.iter().filter(|f| f.level != Level::Allow).cloned().collect();
    match format {
        _ if findings.is_empty() => {}
        Format::Human => output::painted(&emit::human(&findings, &compilation.sources, look(settings))),
        _ => output::say(&emit::short(&findings, &compilation.sources)),
    }
}

/// Prints what was found in all plans, as one document on standard output.
pub fn document(all: &[Judged<'_>], format: Format) -> Result<(), Stop> {
    match format {
        Format::Human | Format::Short => Ok(()),
        Format::Json => output::json(&emit::json(all)),
        Format::Jsonl => emit::jsonl(all).iter().try_for_each(output::json_line),
        Format::Sarif => output::json(&sarif(all)),
        Format::Github => output::data(&emit::github(all)),
        Format::Gitlab => output::json(&emit::gitlab(all)),
        Format::Junit => output::data(&emit::junit(all)),
    }
}

fn sarif(all: &[Judged<'_>]) -> Value {
    let manuals: Vec<Manual<'_>> = rules::TABLE.iter().map(|r| Manual { name: r.name, level: r.level, page: r.page }).collect();
    emit::sarif(all, &manuals, env!("CARGO_PKG_VERSION"))
}

fn look(settings: &Settings) -> Look {
    let columns = tcgetwinsize(rustix::stdio::stderr()).map(|size| usize::from(size.ws_col)).unwrap_or(0);
    let usual = Look::default();
    Look { colour: output::color_err(settings.color), width: if columns == 0 { usual.width } else { columns.clamp(40, 160) }, ..usual }
}
