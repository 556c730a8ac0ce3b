//! `drplan run`: begins a run of a plan, or of a compiled plan, and drives it.

use std::path::Path;

use clap::Args as ClapArgs;
use drplan::actions;
use drplan::analysis::Checked;
use drplan::execute::Start;
use drplan::journal;
use drplan::model::{Cause, Mode, Step, Undo};
use drplan::report::lines::time;
use drplan::report::story::lines_to_one;
use drplan::world::real;
use jiff::Timestamp;

use crate::adopt::{self, Found};
use crate::changed;
use crate::desk::{self, Desk};
use crate::drive::{self, Driving};
use crate::exit::{Ended, Stop};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::settings::Settings;
use crate::spoken;

/// Run a scenario: the real thing, step by step, into the journal
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// Refuse to run anything but this: a digest (`drplan compile` prints it), or the file of a compiled plan.
    #[arg(long, value_name = "DIGEST|FILE")]
    expect: Option<String>,

    /// When the incident began (RFC 3339); else it is computed from the scenario's `detect` and `decide`.
    #[arg(long, value_name = "TIME")]
    incident_start: Option<Timestamp>,

    #[command(flatten)]
    adopting: adopt::Adopting,

    #[command(flatten)]
    driving: Driving,
}

/// Runs.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let path = args.plan.path()?;
    let checked = load::checked(&args.plan, settings)?;
    let dir = directory(&path)?;
    let compiled = path.extension().is_some_and(|e| e == "json");
    if compiled {
        changed::since_compiled(&path, &dir, &checked, args.expect.is_some())?;
    }
    if let Some(expected) = &args.expect {
        changed::unless_expected(expected, &checked, &path, settings)?;
    }
    runnable(&checked).map_err(|stop| complete(stop, &path, &checked))?;
    // Before a journal is made.
    drive::answerable(&args.driving)?;
    desk::runtime()?.block_on(begin(args, settings, checked, &dir))
}

/// What is missing, as the whole command.
fn complete(stop: Stop, path: &Path, checked: &Checked) -> Stop {
    match &stop.help {
        Some(help) if help.starts_with("-p ") => {
            let help = format!("drplan run {} -s {} {help}{}", path.display(), checked.compiled().scenario.id, spoken::driving());
            Stop { help: Some(help), ..stop }
        }
        _ => stop,
    }
}

/// What must be there before the first step.
pub fn runnable(checked: &Checked) -> Result<(), Stop> {
    let plan = checked.compiled();
    let missing = checked.missing_params();
    if !missing.is_empty() {
        let flags = missing.iter().map(|m| format!("-p {m}=…")).collect::<Vec<_>>().join(" ");
        return Err(Stop::usage(format!("these parameters have no value: {}", missing.join(", "))).help(flags));
    }
    if plan.mode == Mode::Drill {
        return Err(Stop::usage("a drill is run by `drplan drill`, which this version does not have"));
    }
    for uses in plan.scenario.steps.iter().flat_map(used) {
        let Some(feature) = actions::find(uses).and_then(|a| a.feature) else { continue };
        if real::features().iter().any(|(name, built)| *name == feature && !built) {
            return Err(Stop::usage(format!("this build cannot run `{uses}`: the feature `{feature}` is not built in"))
                .help(format!("build drplan with `--features {feature}` (it is on by default)")));
        }
    }
    Ok(())
}

/// Every action that a step may call: its own, its check, its undo, and what a `wait` looks at.
pub fn used(step: &Step) -> impl Iterator<Item = &str> {
    let undo = match &step.undo {
        Undo::Use(call) => Some(call),
        _ => None,
    };
    let calls = std::iter::once(&step.call).chain(&step.check).chain(undo);
    let until = step.call.with.get("until").and_then(|until| until.get("uses")?.as_str());
    calls.map(|call| call.uses.as_str()).chain(until)
}

async fn begin(args: &Args, settings: &Settings, checked: Checked, dir: &str) -> Ended {
    let plan = checked.compiled();
    let desk = Desk::open_for(settings, plan.plan.journal.as_ref()).await?;
    let old = match &args.adopting.adopt {
        None => None,
        Some(named) => match adopt::find(&desk, &args.adopting, named, &checked).await? {
            Found::Run(read) => Some(read.state),
            Found::Adopted(run) => {
                output::say(&format!("run {named} was adopted for this plan already: run {run} goes on\n"));
                drive::confirm(&args.driving, &format!("Go on with run {run}?"))?;
                return drive::drive(&desk, desk.read(&run).await?, &args.driving, settings).await;
            }
        },
    };
    output::say(&opening(&checked, &desk));
    if let Some(old) = &old {
        output::say(&adopt::opening(old, &checked, dir)?);
    }
    drive::confirm(&args.driving, &format!("Run scenario `{}` of plan `{}` now?", plan.scenario.id, plan.plan.name))?;
    let now = real::now();
    let ahead = std::time::Duration::from_millis(plan.scenario.detect_ms + plan.scenario.decide_ms);
    let planned = plan.scenario.cause == Cause::Planned;
    let assumed = if planned { now } else { now - ahead };
    // The incident is the one that the adopted run has.
    let before = old.as_ref().map(|old| (old.incident_start, old.incident_assumed));
    let (incident_start, incident_assumed) = match args.incident_start {
        Some(start) => (start, false),
        None => before.unwrap_or((assumed, !planned)),
    };
    if incident_start > now {
        return Err(Stop::usage(format!("--incident-start {incident_start} is in the future")));
    }
    let run = journal::new_run_id(&plan.plan.name, now, &real::salt());
    let start = Start {
        dir: dir.to_owned(),
        operator: desk.operator.clone(),
        host: real::host_name(),
        commit: real::git_commit(Path::new(dir)),
        incident_start,
        incident_assumed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    desk.begin(&run)?;
    match old {
        Some(old) => adopt::adopt(&desk, &args.adopting, &old.run, &run, &checked, start).await?,
        None => drop(desk.store.create(&run, (now, start.of(&checked))).await?),
    }
    output::say(&format!("run {run}\n  runbook {} (ticked as it goes on)\n\n", desk.runbook(&run).display()));
    drive::drive(&desk, desk.read(&run).await?, &args.driving, settings).await
}

/// The directory of a plan, absolute: relative paths of the plan stand in it.
pub fn directory(plan: &Path) -> Result<String, Stop> {
    let path = std::path::absolute(plan).map_err(|e| Stop::no_input(format!("{}: {e}", plan.display())))?;
    Ok(path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned())
}

/// What is about to happen, before anything does.
fn opening(checked: &Checked, desk: &Desk) -> String {
    let plan = checked.compiled();
    let mut out = format!(
        "{} · {} · {} · {} steps, about {}\n",
        lines_to_one(plan.plan.title.as_deref().unwrap_or(&plan.plan.name), 200),
        lines_to_one(plan.scenario.title.as_deref().unwrap_or(&plan.scenario.id), 200),
        plan.mode,
        plan.scenario.steps.len(),
        time(plan.predicted_ms)
    );
    out.push_str(&format!("  digest  {}\n", checked.digest()));
    let caution = desk.store.caution().map(|caution| format!(" ({caution})")).unwrap_or_default();
    out.push_str(&format!("  journal {}{caution}\n", desk.store.place()));
    match &plan.point_of_no_return {
        Some(step) => out.push_str(&format!("  way back: until `{step}`; after it, rollback cannot restore what was\n")),
        None => out.push_str("  way back: everything can be taken back\n"),
    }
    out
}
