//! `drplan check [PATH…]`: what is wrong with plans.

use std::path::PathBuf;

use drplan::compile::{Compilation, Input};
use drplan::diagnostic::emit::{self, Judged};
use drplan::diagnostic::{Diagnostic, Level};
use drplan::source::Sources;

use crate::exit::{Ended, Exit};
use crate::findings::{self, Format};
use crate::fix;
use crate::follow::{self, Seen};
use crate::load::{self, Disk};
use crate::output;
use crate::plans;
use crate::proved;
use crate::settings::Settings;

/// Compile and analyse plans: no network, no secret, no command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Plans, or directories that hold some; without any, the current directory.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// How findings are printed: for people on standard error, for programs on standard output.
    #[arg(long, env = "DRPLAN_FORMAT", default_value = "human", value_name = "FORMAT")]
    format: Format,

    /// A warning refuses the plan, too.
    #[arg(long)]
    deny_warnings: bool,

    /// First make the repairs that findings carry: only where one thing can be meant. Says what it changed.
    #[arg(long)]
    fix: bool,

    /// Of a scenario with more than 100 000 states: look at all of them, however long that takes, instead of drawing some.
    #[arg(long, value_name = "HOW")]
    explore: Option<Explore>,

    /// Check again whenever a plan, or a file that it uses, changes; Ctrl-C ends it (130).
    #[arg(long, conflicts_with = "fix")]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Explore {
    /// Every state, to the last one.
    All,
}

/// Checks every plan and says what it found.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    match args.watch {
        true => follow::follow(&args.paths, |seen| once(args, settings, seen)),
        false => once(args, settings, &Seen::default()),
    }
}

fn once(args: &Args, settings: &Settings, seen: &Seen) -> Ended {
    let format = if settings.json { Format::Json } else { args.format };
    let mut all = Vec::new();
    let mut exits = Vec::new();
    let states = args.explore.map(|Explore::All| u64::MAX);
    let input = Input { states, ..load::today_s_input() };
    for path in plans::of(&args.paths)? {
        let plan = load::shown(&path);
        if args.fix
            && let Err(stop) = fix::fix(&path)
        {
            output::say(&format!("drplan: {stop}\n"));
            exits.push(stop.exit);
        }
        let judged = match load::compiled_from(&Disk { seen: Some(seen), ..Disk::default() }, &path, &input) {
            Ok(compilation) => {
                findings_of(&compilation, settings, format);
                let proved = proved::lines(&compilation);
                Found {
                    plan,
                    scenarios: compilation.scenarios,
                    findings: compilation.findings,
                    sources: compilation.sources,
                    proved,
                    unread: None,
                }
            }
            Err(stop) => {
                // The others are looked at all the same.
                if !args.fix {
                    output::say(&format!("drplan: {stop}\n"));
                }
                exits.push(stop.exit);
                Found { plan, unread: Some(stop.message), ..Found::default() }
            }
        };
        if judged.unread.is_none() {
            let passed = judged.judged(args.deny_warnings).passed();
            exits.push(if passed { Exit::Good } else { Exit::Findings });
            if format.for_people() {
                output::say(&format!("{}: {}\n", judged.plan, verdict(&judged)));
                judged.proved.iter().for_each(|line| output::say(&format!("{line}\n")));
            }
        }
        all.push(judged);
    }
    let judged: Vec<Judged<'_>> = all.iter().map(|found| found.judged(args.deny_warnings)).collect();
    findings::document(&judged, format)?;
    Ok(Exit::worst(exits))
}

/// What is kept of a plan until all were looked at.
#[derive(Default)]
struct Found {
    plan: String,
    scenarios: usize,
    sources: Sources,
    findings: Vec<Diagnostic>,
    /// What was proved of each scenario.
    proved: Vec<String>,
    unread: Option<String>,
}

impl Found {
    fn judged(&self, strict: bool) -> Judged<'_> {
        Judged {
            plan: &self.plan,
            scenarios: self.scenarios,
            sources: &self.sources,
            findings: &self.findings,
            strict,
            unread: self.unread.as_deref(),
        }
    }
}

fn findings_of(compilation: &Compilation, settings: &Settings, format: Format) {
    if format.for_people() {
        findings::print(compilation, settings, format);
    }
}

fn verdict(found: &Found) -> String {
    let n = found.scenarios;
    // What the plan allows stays as it is.
    let said: Vec<_> = found.findings.iter().filter(|f| f.level != Level::Allow).collect();
    let repairs = match (said.iter().filter(|f| f.fix.is_some()).count(), said.len()) {
        (0, _) => String::new(),
        (1, 1) => "; `drplan check --fix` repairs it".to_owned(),
        (some, all) if some < all => format!("; `drplan check --fix` repairs {some} of them"),
        _ => "; `drplan check --fix` repairs them".to_owned(),
    };
    format!("{n} scenario{}, {}{repairs}", if n == 1 { "" } else { "s" }, emit::summary(&found.findings))
}
