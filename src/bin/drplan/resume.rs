//! `drplan resume`, `rollback`, `abort`: commands that drive a run which exists.

use clap::Args as ClapArgs;
use drplan::execute::driver::Known;
use drplan::execute::words::Saying;
use drplan::journal::{Error, Word};

use crate::adopt;
use crate::desk::{self, Desk};
use crate::drive::{self, Driving};
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;
use crate::spoken::{self, Spoken};
use crate::words::Why;

/// Go on with a run: on any machine that reaches its journal; no plan file is needed
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,

    /// Why; goes into the journal where the run was paused.
    #[arg(long, default_value = "resumed")]
    reason: String,

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

    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    driving: Driving,
}

/// End a run as it is: nothing more starts, nothing is taken back
#[derive(Debug, ClapArgs)]
pub struct Abort {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,

    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    driving: Driving,
}

/// Goes on.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let (desk, read) = find(args.run.as_deref(), settings).await?;
        let resume = Spoken { reason: args.reason.clone(), ..spoken(Word::Resume, None) };
        if read.state.paused.is_some() {
            output::say(&spoken::text(&resume.meaning(&read.state)));
        }
        drive::confirm(&args.driving, &format!("Go on with run {}?", read.state.run))?;
        if read.state.paused.is_some() {
            desk.speak(&read.state.run, |state| resume.event(state, &desk.operator)).await?;
            if let Some(holder) = desk.run(Some(&read.state.run)).await?.holder {
                output::say(&resume.said(&read.state, Some(&holder)));
                return Ok(Exit::Good);
            }
        }
        drive::drive(&desk, read, &args.driving, settings).await
    })
}

/// Takes back.
pub fn rollback(args: &Rollback, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(turn(args.run.as_deref(), &args.spoken(), args.why.show, &args.driving, settings, "Roll back run"))
}

/// Ends.
pub fn abort(args: &Abort, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(turn(args.run.as_deref(), &args.spoken(), args.why.show, &args.driving, settings, "End run"))
}

fn spoken(word: Word, why: Option<&Why>) -> Spoken {
    match why {
        Some(why) => Spoken::word(word, None, why, false),
        None => Spoken { saying: Saying::Word(word), step: None, contact: None, reason: String::new(), break_glass: false },
    }
}

impl Rollback {
    /// What is said by it.
    pub fn spoken(&self) -> Spoken {
        spoken(Word::Rollback { to: self.to.clone() }, Some(&self.why))
    }
}

impl Abort {
    /// What is said by it.
    pub fn spoken(&self) -> Spoken {
        spoken(Word::Abort, Some(&self.why))
    }
}

async fn find(named: Option<&str>, settings: &Settings) -> Result<(Desk, Known), Stop> {
    let desk = Desk::open(settings).await?;
    let row = desk.run(named).await?;
    if let Some(end) = row.finished {
        let how = drplan::report::lines::end_word(end);
        let help = adopt::adopted_help(end, &desk.read(&row.id).await?.entries);
        let help = help.unwrap_or_else(|| format!("`drplan log {}` tells it", row.id));
        return Err(Stop::usage(format!("run {} has ended ({how})", row.id)).help(help));
    }
    if let Some(how) = row.closed {
        return Err(Error::Closed { run: row.id, how }.into());
    }
    let read = desk.read(&row.id).await?;
    Ok((desk, read))
}

/// Says a word that turns a run round, and drives it if nobody does.
async fn turn(named: Option<&str>, word: &Spoken, show: bool, driving: &Driving, settings: &Settings, verb: &str) -> Ended {
    let (desk, read) = find(named, settings).await?;
    word.event(&read.state, &desk.operator)?;
    output::say(&spoken::text(&word.meaning(&read.state)));
    if show {
        return Ok(Exit::Good);
    }
    drive::confirm(driving, &format!("{verb} {}?", read.state.run))?;
    desk.speak(&read.state.run, |state| word.event(state, &desk.operator)).await?;
    match desk.run(Some(&read.state.run)).await?.holder {
        Some(holder) => {
            output::say(&format!("said to {holder}, who drives the run; `drplan status {}` shows what it does\n", read.state.run));
            Ok(Exit::Good)
        }
        None => drive::drive(&desk, read, driving, settings).await,
    }
}
