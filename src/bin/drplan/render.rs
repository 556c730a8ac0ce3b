//! `drplan render PLAN`: the page from which a person recovers by hand.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use drplan::analysis::Checked;
use drplan::render::{runbook, yaml};
use serde_json::json;

use crate::exit::{Ended, Exit, Stop};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::settings::Settings;

/// Print the runbook: the page from which a person recovers when the tool is gone.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// Write it there instead of printing it; into a directory under its usual name, and then for every scenario unless
    /// one is named.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    /// What is printed.
    #[arg(long, default_value = "md", value_name = "FORMAT")]
    format: Format,

    /// Fail if the committed runbook (beside the plan, or at --out) is not what would be written.
    #[arg(long)]
    check: bool,
}

/// What a plan is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The runbook, as Markdown.
    Md,
    /// The plan itself, with everything that it leaves to defaults, lists, parameters and other files written out.
    Yaml,
}

/// Prints, writes or compares runbooks.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    if args.format == Format::Yaml {
        return whole(args, settings);
    }
    let path = args.plan.path()?;
    let one_file = args.out.as_ref().is_some_and(|out| !out.is_dir() && !out.to_string_lossy().ends_with('/'));
    if one_file || (args.out.is_none() && !args.check) {
        let page = runbook::render(&load::checked(&args.plan, settings)?);
        return match &args.out {
            Some(out) => each(args, settings, &[(out.clone(), page)]),
            None if settings.json => output::json(&json!({ "plan": path, "runbook": page })).map(|()| Exit::Good),
            None => output::data(&page).map(|()| Exit::Good),
        };
    }
    let dir = args.out.clone().unwrap_or_else(|| path.parent().map(Path::to_owned).unwrap_or_default());
    let plans = load::every_scenario(&args.plan, settings)?;
    let alone = plans.len() == 1 && args.plan.scenario.is_none();
    let pages: Vec<(PathBuf, String)> = plans.iter().map(|p| (dir.join(name(p, alone)), runbook::render(p))).collect();
    each(args, settings, &pages)
}

/// Prints or writes the plan itself.
fn whole(args: &Args, settings: &Settings) -> Ended {
    if args.check {
        return Err(Stop::usage("--check is about runbooks").help("leave it out, or leave out --format yaml"));
    }
    let found = load::judged(&args.plan, settings)?;
    let Some(plan) = &found.plan else { return Err(Stop::new(Exit::Findings, "there is no plan")) };
    let text = yaml::render(plan, found.checked.iter().map(|c| &c.compiled().scenario), &found.drills);
    match &args.out {
        Some(out) => output::file(out, &text)?,
        None if settings.json => output::json(&json!({ "plan": args.plan.path()?, "yaml": text }))?,
        None => output::data(&text)?,
    }
    Ok(Exit::Good)
}

/// The usual name of a runbook: `RUNBOOK.md`, or `RUNBOOK-SCENARIO.md` where a plan has several.
fn name(checked: &Checked, alone: bool) -> String {
    if alone { "RUNBOOK.md".to_owned() } else { format!("RUNBOOK-{}.md", checked.compiled().scenario.id) }
}

fn each(args: &Args, settings: &Settings, pages: &[(PathBuf, String)]) -> Ended {
    let mut stale = Vec::new();
    for (path, page) in pages {
        if !args.check {
            output::file(path, page)?;
        } else if std::fs::read_to_string(path).ok().as_ref() != Some(page) {
            stale.push(path.display().to_string());
        }
    }
    if settings.json {
        let all: Vec<_> = pages.iter().map(|(p, _)| p.display().to_string()).collect();
        output::json(&json!({ "runbooks": all, "stale": stale }))?;
    }
    match stale.as_slice() {
        [] => Ok(Exit::Good),
        stale => {
            let verb = if stale.len() == 1 { "is" } else { "are" };
            let dir = args.out.clone().unwrap_or_else(|| pages[0].0.parent().map(Path::to_owned).unwrap_or_default());
            let dir = if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir };
            let plan = args.plan.path()?;
            Err(Stop::new(Exit::Findings, format!("{} {verb} not what the plan says now", stale.join(", "))).help(format!(
                "drplan render {} --out {}",
                plan.display(),
                dir.display()
            )))
        }
    }
}
