//! What is wrong with a plan, on standard error. The drawing is the library's; this file only chooses and counts.

use drplan::compile::Compilation;
use drplan::diagnostic::{Level, emit};

use crate::output;
use crate::settings::Settings;

/// Prints findings for people, if there are any.
pub fn print(compilation: &Compilation, settings: &Settings) {
    if compilation.findings.is_empty() {
        return;
    }
    let _ = settings;
    output::say(&emit::short(&compilation.findings, &compilation.sources));
    output::say(&format!("{}\n", count(compilation)));
}

/// `2 errors, 1 warning`: findings by weight, in words.
pub fn count(compilation: &Compilation) -> String {
    let of = |level: Level| compilation.findings.iter().filter(|f| f.level == level).count();
    let words =
        [(of(Level::Deny), "finding that refuses the plan", "findings that refuse the plan"), (of(Level::Warn), "warning", "warnings")];
    let parts: Vec<String> =
        words.iter().filter(|(n, ..)| *n > 0).map(|(n, one, many)| format!("{n} {}", if *n == 1 { one } else { many })).collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}
