//! `drplan lease show|break`: who drives a run, and the way to take it from somebody who does not answer. They do not
//! drive.

use clap::Subcommand;
use drplan::execute::{Life, State};
use drplan::journal::{Error, Event, Holder, LEASE_MS};
use drplan::report::lines::time;
use drplan::world::real;
use serde_json::json;

use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;
use crate::spoken;

/// Who drives a run: show it, or take the run from somebody who does not answer
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The holder, its last sign of life, and what it has in flight
    Show {
        /// The run; may be left out where exactly one is unfinished.
        run: Option<String>,
    },
    /// Take the lease from its holder: from then on it appends nothing, and starts nothing
    Break {
        /// The run; may be left out where exactly one is unfinished.
        run: Option<String>,
        /// Why; goes into the journal.
        #[arg(long)]
        reason: String,
    },
}

/// Shows it or breaks it.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        match &args.verb {
            Verb::Show { run } => show(&desk, run.as_deref(), settings).await,
            Verb::Break { run, reason } => take_away(&desk, run.as_deref(), reason, settings).await,
        }
    })
}

async fn show(desk: &Desk, run: Option<&str>, settings: &Settings) -> Ended {
    let row = desk.run(run).await?;
    let holder = desk.store.holder(&row.id).await?;
    let state = desk.read(&row.id).await?.state;
    let flying = in_flight(&state);
    if settings.json {
        let steps: Vec<_> = flying.iter().map(|(step, since)| json!({ "step": step, "since": since.to_string() })).collect();
        output::json(&json!({ "run": row.id, "lease": holder, "holds": holder.holds(), "closed": row.closed, "in_flight": steps }))?;
        return Ok(Exit::Good);
    }
    output::data(&format!("{}\n  {}\n", row.id, said(&holder, &row.id, row.finished.is_some() || row.closed.is_some())))?;
    for (step, since) in &flying {
        let ran = real::now().duration_since(*since).as_millis().max(0);
        output::data(&format!("  in flight: {step}, for {}\n", time(u64::try_from(ran).unwrap_or(0))))?;
    }
    if flying.is_empty() {
        output::data("  in flight: nothing\n")?;
    }
    Ok(Exit::Good)
}

/// One sentence on the lease.
fn said(holder: &Holder, run: &str, over: bool) -> String {
    let fence = holder.fence;
    let Some(name) = &holder.name else {
        let next = if over { String::new() } else { format!("; `{}` takes it", spoken::resume(run)) };
        return format!("nobody holds the lease (fence {fence}){next}");
    };
    let silence = match holder.silent_ms {
        Some(ms) if ms < 0 => "its last sign of life is in the future: the clock was turned back".to_owned(),
        Some(ms) => format!("last sign of life {} ago", time(ms.unsigned_abs())),
        None => "its machine was started again since its last sign of life".to_owned(),
    };
    if holder.holds() {
        let lasts = format!("the lease lasts {} without one", time(LEASE_MS));
        return format!("{name} holds the lease (fence {fence}); {silence}; {lasts}");
    }
    let why = if holder.alive { "its lease ran out" } else { "its process is gone" };
    format!("{name} had the lease (fence {fence}); {silence}; {why}, and `{}` takes it over", spoken::resume(run))
}

/// Steps whose attempt has begun and has no result, and since when.
fn in_flight(state: &State) -> Vec<(&str, jiff::Timestamp)> {
    let running = |i: usize| match state.steps[i].life {
        Life::Running { since, .. } => Some((state.step(i).id.as_str(), since)),
        _ => None,
    };
    (0..state.steps.len()).filter_map(running).collect()
}

async fn take_away(desk: &Desk, run: Option<&str>, reason: &str, settings: &Settings) -> Ended {
    let row = desk.run(run).await?;
    if row.finished.is_some() {
        return Err(Stop::usage(format!("run {} has ended; there is no lease to break", row.id)));
    }
    let run = row.id;
    let who = desk.operator.clone();
    let lease = desk.store.seize(&run, &format!("{who} pid {}, who breaks the lease", std::process::id())).await?;
    let event = Event::LeaseBroken { fence: lease.fence, from: lease.from.clone(), who, reason: reason.to_owned() };
    let (fence, from, events) = (lease.fence, lease.from.clone(), [(real::now(), event)]);
    let noted = loop {
        let head = desk.store.head(&run).await?;
        match desk.store.append(&run, &head, Some(fence), &events).await {
            Err(Error::Moved) => {}
            other => break other,
        }
    };
    desk.store.give(lease).await?;
    noted?;
    let read = desk.read(&run).await?;
    let flying: Vec<&str> = in_flight(&read.state).into_iter().map(|(step, _)| step).collect();
    if settings.json {
        output::json(&json!({ "run": run, "fence": fence, "from": from, "in_flight": flying }))?;
        return Ok(Exit::Good);
    }
    match from {
        Some(from) => output::say(&format!("{from} appends nothing to run {run} any more, and starts nothing\n")),
        None => output::say(&format!("nobody held the lease of run {run}\n")),
    }
    if !flying.is_empty() {
        output::say(&format!(
            "what it had begun may go on: {}; `{}` finds out what became of it\n",
            flying.join(", "),
            spoken::resume(&run)
        ));
    } else {
        output::say(&format!("`{}` goes on\n", spoken::resume(&run)));
    }
    Ok(Exit::Good)
}
