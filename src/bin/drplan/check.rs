//! `drplan check [PATH…]`: what is wrong with plans.

use std::path::PathBuf;

use drplan::compile::{Compilation, Input};
use drplan::diagnostic::emit;
use serde_json::{Value, json};

use crate::exit::{Ended, Exit};
use crate::findings::{self, Format};
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

    /// How findings are printed.
    #[arg(long, env = "DRPLAN_FORMAT", default_value = "human", value_name = "FORMAT")]
    format: Format,

    /// A warning refuses the plan, too.
    #[arg(long)]
    deny_warnings: bool,
}

/// Checks every plan and says what it found.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let format = if settings.json { Format::Json } else { args.format };
    let mut all = Vec::new();
    let mut exits = Vec::new();
    for path in plans::of(&args.paths)? {
        let compilation = match load::compilation(&path, &Input::default()) {
            Ok(compilation) => compilation,
            Err(stop) => {
                // The others are looked at all the same.
                output::say(&format!("drplan: {stop}\n"));
                exits.push(stop.exit);
                continue;
            }
        };
        let refused = !compilation.passed() || (args.deny_warnings && !compilation.findings.is_empty());
        exits.push(if refused { Exit::Findings } else { Exit::Good });
        findings::print(&compilation, settings, format);
        if format == Format::Json {
            let findings = emit::json(&compilation.findings, &compilation.sources);
            all.push(json!({ "plan": path, "passed": compilation.passed(), "findings": findings }));
        } else {
            output::say(&format!("{}: {}\n", path.display(), verdict(&compilation)));
        }
    }
    if format == Format::Json {
        output::json(&Value::Array(all))?;
    }
    Ok(Exit::worst(exits))
}

fn verdict(compilation: &Compilation) -> String {
    let n = compilation.scenarios;
    format!("{n} scenario{}, {}", if n == 1 { "" } else { "s" }, emit::summary(&compilation.findings))
}
