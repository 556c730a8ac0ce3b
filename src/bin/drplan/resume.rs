//! `drplan resume`, `rollback`, `abort`: commands that drive a run which exists.

use clap::Args as ClapArgs;
use drplan::execute::words;
use drplan::journal::{Error, Word};
use drplan::world::real;

use crate::desk::{self, Desk, Read};
use crate::drive::{self, Driving};
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;

/// Go on with a run: on any machine that reaches its journal; no plan file is needed
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,

    #[command(flatten)]
    driving: Driving,
}

/// Take back what a run did, in the journal's order, backwards
#[derive(Debug, ClapArgs)]
pub struct Rollback {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,

    /// Undo only what stands on this step.
    #[arg(long, value_name = "STEP")]
    to: Option<String>,

    /// Why; goes into the journal.
    #[arg(long)]
    reason: String,

    #[command(flatten)]
    driving: Driving,
}

/// End a run as it is: nothing more starts, nothing is taken back
#[derive(Debug, ClapArgs)]
pub struct Abort {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,

    /// Why; goes into the journal.
    #[arg(long)]
    reason: String,

    #[command(flatten)]
    driving: Driving,
}

/// Goes on.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let (desk, read) = find(args.run.as_deref(), settings).await?;
        drive::confirm(&args.driving, &format!("Go on with run {}?", read.run))?;
        if read.state.paused.is_some() {
            say(&desk, &read.run, Word::Resume, "resumed").await?;
        }
        drive::drive(&desk, &read.run, &read.state.dir, &args.driving, settings).await
    })
}

/// Takes back.
pub fn rollback(args: &Rollback, settings: &Settings) -> Ended {
    let word = Word::Rollback { to: args.to.clone() };
    desk::runtime()?.block_on(turn(args.run.as_deref(), word, &args.reason, &args.driving, settings, "Roll back run"))
}

/// Ends.
pub fn abort(args: &Abort, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(turn(args.run.as_deref(), Word::Abort, &args.reason, &args.driving, settings, "End run"))
}

async fn find(named: Option<&str>, settings: &Settings) -> Result<(Desk, Read), Stop> {
    let desk = Desk::open(settings).await?;
    let row = desk.run(named).await?;
    if let Some(end) = row.finished {
        let how = drplan::report::lines::end_word(end);
        return Err(Stop::usage(format!("run {} has ended ({how})", row.id)).help(format!("`drplan log {}` tells it", row.id)));
    }
    if let Some(how) = row.closed {
        return Err(Error::Closed { run: row.id, how }.into());
    }
    let read = desk.read(&row.id).await?;
    Ok((desk, read))
}

async fn say(desk: &Desk, run: &str, word: Word, reason: &str) -> Result<(), Stop> {
    desk.speak(run, |state| desk::word(state, word.clone(), None, &desk.operator, reason, false)).await
}

/// Says a word that turns a run round, and drives it if nobody does.
async fn turn(named: Option<&str>, word: Word, reason: &str, driving: &Driving, settings: &Settings, verb: &str) -> Ended {
    let (desk, read) = find(named, settings).await?;
    words::allowed(&read.state, real::now(), &word, None, false).map_err(Stop::usage)?;
    for line in words::meaning(&read.state, &word, None) {
        output::say(&format!("{line}\n"));
    }
    drive::confirm(driving, &format!("{verb} {}?", read.run))?;
    say(&desk, &read.run, word, reason).await?;
    match desk.run(Some(&read.run)).await?.holder {
        Some(holder) => {
            output::say(&format!("said to {holder}, who drives the run; `drplan status {}` shows what it does\n", read.run));
            Ok(Exit::Good)
        }
        None => drive::drive(&desk, &read.run, &read.state.dir, driving, settings).await,
    }
}
