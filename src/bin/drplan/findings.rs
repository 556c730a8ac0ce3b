//! What is wrong with a plan, on standard error. The drawing is the library's; this file only chooses how.

use clap::ValueEnum;
use drplan::compile::Compilation;
use drplan::diagnostic::emit::{self, Look};
use rustix::termios::tcgetwinsize;

use crate::output;
use crate::settings::Settings;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Drawn under the lines that they are about.
    Human,
    /// One a line: `path:line:column: level[name]: headline`.
    Short,
    /// For other programs, on standard output.
    Json,
}

/// Prints findings for people, if there are any.
pub fn print(compilation: &Compilation, settings: &Settings, format: Format) {
    if compilation.findings.is_empty() || format == Format::Json {
        return;
    }
    let text = match format {
        Format::Human => emit::human(&compilation.findings, &compilation.sources, look(settings)),
        Format::Short | Format::Json => emit::short(&compilation.findings, &compilation.sources),
    };
    match format {
        Format::Human => output::painted(&text),
        Format::Short | Format::Json => output::say(&text),
    }
}

fn look(settings: &Settings) -> Look {
    let columns = tcgetwinsize(rustix::stdio::stderr()).map(|size| usize::from(size.ws_col)).unwrap_or(0);
    let usual = Look::default();
    Look { colour: output::color_err(settings.color), width: if columns == 0 { usual.width } else { columns.clamp(60, 160) }, ..usual }
}
