//! `drplan run NEW --adopt RUN`: ends a run and begins another one where it stood. It does not know how a step is judged.

use drplan::analysis::Checked;
use drplan::execute::adopt::{self, By, Taking, taking};
use drplan::execute::driver::Known;
use drplan::execute::{Start, State};
use drplan::journal::{End, Entry, Error, Event, Stands};
use drplan::model::Mode;
use drplan::model::changes::changes;
use drplan::report::lines::end_word;
use drplan::report::story::lines_to_one;
use drplan::world::real;

use crate::changed;
use crate::desk::Desk;
use crate::exit::{Exit, Stop};
use crate::output;

/// Which run is adopted, and why.
#[derive(Debug, clap::Args)]
pub struct Adopting {
    /// Go on where this run stands: it ends there, and what it did counts here where the plan is the same.
    #[arg(long, value_name = "RUN", requires = "reason")]
    pub adopt: Option<String>,

    /// Why the run is adopted; goes into both journals.
    #[arg(long, value_name = "WHY", requires = "adopt")]
    reason: Option<String>,

    /// The name of the adopted run's plan, where it is another one.
    #[arg(long, value_name = "NAME", requires = "adopt")]
    from_plan: Option<String>,
}

/// What a run is adopted for.
pub enum Found {
    /// It can be.
    Run(Box<Known>),
    /// It was, for the same plan, by this run, which goes on.
    Adopted(String),
}

/// The run that is meant, if this plan may adopt it.
pub async fn find(desk: &Desk, args: &Adopting, named: &str, new: &Checked) -> Result<Found, Stop> {
    let row = desk.run(Some(named)).await?;
    let run = &row.id;
    let read = desk.read(run).await?;
    if let Some(end) = row.finished {
        if let Some(by) = adopter(&read.entries) {
            let other = desk.read(by).await?;
            if other.state.finished.is_none() && other.state.checked.digest() == new.digest() {
                return Ok(Found::Adopted(by.to_owned()));
            }
            let help =
                if other.state.finished.is_none() { format!("drplan resume {by}, or adopt that one") } else { format!("drplan log {by}") };
            return Err(Stop::usage(format!("run {run} was adopted by run {by} already; nothing was done")).help(help));
        }
        return Err(
            Stop::usage(format!("run {run} has ended ({}); there is nothing to adopt", end_word(end))).help("run the plan without --adopt")
        );
    }
    if let Some(how) = row.closed {
        return Err(Error::Closed { run: row.id, how }.into());
    }
    if let Some(holder) = row.holder {
        return Err(held(run, &holder));
    }
    let plan = read.state.plan();
    if plan.mode == Mode::Drill {
        return Err(Stop::usage(format!("run {run} is a drill: what it did, it did to other targets; nothing was done")));
    }
    let (name, own) = (&plan.plan.name, &new.compiled().plan.name);
    if args.from_plan.as_ref().unwrap_or(own) != name {
        return Err(Stop::usage(format!("run {run} is of plan `{name}`, and this is plan `{own}`; nothing was done"))
            .help(format!("if that is meant: add --from-plan {name}")));
    }
    Ok(Found::Run(Box::new(read)))
}

/// The run that adopted this one.
pub fn adopter(entries: &[Entry]) -> Option<&str> {
    entries.iter().rev().find_map(|entry| match &entry.event {
        Event::AdoptedBy { run, .. } => Some(run.as_str()),
        _ => None,
    })
}

fn held(run: &str, holder: &str) -> Stop {
    Stop::new(Exit::Held, format!("run {run} is driven by {holder}; nothing was done"))
        .help(format!("stop it with Ctrl-C where it runs; or, if it does not answer: drplan lease break {run} --reason WHY"))
}

/// What would be taken over, for a person to say yes to.
pub fn opening(old: &State, new: &Checked, dir: &str) -> Result<String, Stop> {
    let still = adopt::still(old, real::now());
    let (old, _) = still.map_err(|e| Stop::new(Exit::JournalFailed, format!("run {}: {e}", old.run)))?;
    let plan = old.plan();
    let mut out = format!("  adopts  run {} (scenario `{}`, {}): it ends there, and goes on here\n", old.run, plan.scenario.id, plan.mode);
    let taken = taking(&old, new, dir, &|until| until);
    for (word, of) in groups(&taken) {
        out.push_str(&format!("    {word} ({}):", of.len()));
        match of.iter().all(|(_, why)| why.is_empty()) {
            true => out.push_str(&format!(" {}\n", of.iter().map(|(id, _)| *id).collect::<Vec<_>>().join(", "))),
            false => {
                out.push('\n');
                of.iter().for_each(|(id, why)| out.push_str(&format!("      {id}: {}\n", lines_to_one(why, 160))));
            }
        }
    }
    if !taken.approvals.is_empty() {
        out.push_str(&format!("    approvals, asked again: {}\n", taken.approvals.join(", ")));
    }
    out.push_str(&format!("    to be done: {} of {} steps\n", taken.fresh, new.compiled().scenario.steps.len()));
    let other = changes(plan, new.compiled());
    if !other.is_empty() {
        out.push_str("  what is not as it was in the plan of that run:\n");
        out.push_str(&changed::listed(&other, 12));
    }
    Ok(out)
}

/// Steps by what becomes of them, each with the reason.
fn groups(taken: &Taking) -> Vec<(&'static str, Vec<(&str, &str)>)> {
    let words = ["taken over", "looked at first", "done again", "failed there", "asked about", "in no step of this plan, asked about"];
    let mut out: Vec<(&'static str, Vec<(&str, &str)>)> = words.into_iter().map(|word| (word, Vec::new())).collect();
    for left in &taken.carried {
        let (at, why) = match &left.stands {
            _ if left.beside => (5, why(&left.stands)),
            Stands::Done => (0, ""),
            Stands::Unknown { .. } => (1, why(&left.stands)),
            Stands::Again => (2, ""),
            Stands::Failed { .. } => (3, why(&left.stands)),
            Stands::Left { .. } | Stands::Stuck { .. } => (4, why(&left.stands)),
        };
        out[at].1.push((&left.step, why));
    }
    out.retain(|(_, of)| !of.is_empty());
    out
}

fn why(stands: &Stands) -> &str {
    match stands {
        Stands::Left { why } | Stands::Unknown { why, .. } => why,
        Stands::Failed { reason, .. } | Stands::Stuck { reason } => reason,
        Stands::Done | Stands::Again => "",
    }
}

/// Ends the one run and begins the other.
pub async fn adopt(desk: &Desk, args: &Adopting, old: &str, run: &str, checked: &Checked, start: Start) -> Result<(), Stop> {
    let holder = format!("{} pid {}, who adopts it", desk.operator, std::process::id());
    let by = By { who: &desk.operator, holder: &holder, reason: args.reason.as_deref().unwrap_or_default() };
    let done = adopt::adopt(&*desk.store, &real::now, by, old, run, checked, start).await;
    done.map_err(|error| match error {
        Error::Held { holder } => held(old, &holder),
        other => other.into(),
    })?;
    output::say(&format!("run {old} has ended: run {run} goes on where it stood\n"));
    Ok(())
}

/// How a run that was adopted is called where it is asked for.
pub fn adopted_help(end: End, entries: &[Entry]) -> Option<String> {
    adopter(entries).filter(|_| end == End::Adopted).map(|by| format!("it goes on as run {by}: `drplan status {by}`"))
}
