//! `drplan check [PATH…]`: what is wrong with plans.

use std::path::PathBuf;

use drplan::compile::{Compilation, Input};
use serde_json::{Value, json};

use crate::exit::{Ended, Exit};
use crate::findings;
use crate::load;
use crate::output;
use crate::plans;
use crate::settings::Settings;

/// Compile and analyse plans: no network, no secret, no command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Plans, or directories that hold some; without any, the current directory.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// A warning refuses the plan, too.
    #[arg(long)]
    deny_warnings: bool,
}

/// Checks every plan and says what it found.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let mut all = Vec::new();
    let mut refused = false;
    for path in plans::of(&args.paths)? {
        let compilation = load::compilation(&path, &Input::default())?;
        refused |= !compilation.passed() || (args.deny_warnings && !compilation.findings.is_empty());
        findings::print(&compilation, settings);
        if settings.json {
            all.push(json!({ "plan": path, "passed": compilation.passed(), "findings": as_json(&compilation) }));
        } else if compilation.passed() {
            output::data(&format!("{}: {}\n", path.display(), verdict(&compilation)))?;
        }
    }
    if settings.json {
        output::json(&Value::Array(all))?;
    }
    Ok(if refused { Exit::Findings } else { Exit::Good })
}

fn verdict(compilation: &Compilation) -> String {
    let n = compilation.checked.len();
    format!("{n} scenario{}, {}", if n == 1 { "" } else { "s" }, findings::count(compilation))
}

fn as_json(compilation: &Compilation) -> Vec<Value> {
    let place = |span: drplan::source::Span| {
        let source = compilation.sources.get(span.source);
        let (line, column) = source.line_col(span.start);
        json!({ "path": source.name, "line": line, "column": column, "start": span.start, "end": span.end })
    };
    compilation
        .findings
        .iter()
        .map(|f| {
            let labels: Vec<Value> = f.labels.iter().map(|l| json!({ "place": place(l.span), "text": l.text })).collect();
            json!({ "rule": f.rule, "level": f.level.word(), "headline": f.headline, "labels": labels, "help": f.help })
        })
        .collect()
}
