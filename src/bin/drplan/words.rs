//! `drplan pause|retry|skip|resolve|approve|decline`: a word to a run, from any terminal. They do not drive: who drives
//! the run acts within a second, or `drplan resume` does.

use clap::{Args, ValueEnum};
use drplan::execute::words;
use drplan::journal::Word;
use serde_json::{Map, Value};

use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;

/// Start nothing more; what is in flight ends
#[derive(Debug, Args)]
pub struct Pause {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
    /// Why; goes into the journal.
    #[arg(long)]
    reason: String,
}

/// A step and why.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Step {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
    /// The step.
    step: String,
    /// Why; goes into the journal.
    #[arg(long)]
    reason: String,
    /// Do it although a rule of the plan forbids it; loud, and in the record.
    #[arg(long)]
    break_glass: bool,
}

/// Try a failed step again
#[derive(Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    step: Step,
}

/// Go on without a step
#[derive(Debug, Args)]
pub struct Skip {
    #[command(flatten)]
    step: Step,
}

/// Say what became of a step that nobody else can tell
#[derive(Debug, Args)]
pub struct Resolve {
    #[command(flatten)]
    step: Step,
    /// What became of it.
    #[arg(long = "as", value_name = "WHAT")]
    what: What,
    /// What a manual step records.
    #[arg(long, value_name = "NAME=VALUE")]
    record: Vec<String>,
    /// Do not wait until nothing of the attempt can land any more.
    #[arg(long)]
    accept_late_effect: bool,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// It happened, or was done by hand.
    Done,
    /// It did not happen.
    NotDone,
}

/// Give an approval
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Approve {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
    /// The step.
    step: String,
    /// As whom: a contact of the plan. Recorded, not proved.
    #[arg(long = "as", value_name = "CONTACT")]
    contact: Option<String>,
    /// A word for the record.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Refuse an approval: the run pauses
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Decline {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
    /// The step.
    step: String,
    /// As whom: a contact of the plan. Recorded, not proved.
    #[arg(long = "as", value_name = "CONTACT")]
    contact: Option<String>,
    /// Why; goes into the journal.
    #[arg(long)]
    reason: String,
}

/// Pauses.
pub fn pause(args: &Pause, settings: &Settings) -> Ended {
    said(args.run.as_deref(), None, Word::Pause, &args.reason, false, settings)
}

/// Tries again.
pub fn retry(args: &Retry, settings: &Settings) -> Ended {
    step(&args.step, Word::Retry, settings)
}

/// Goes on without.
pub fn skip(args: &Skip, settings: &Settings) -> Ended {
    step(&args.step, Word::Skip, settings)
}

/// Says what became of it.
pub fn resolve(args: &Resolve, settings: &Settings) -> Ended {
    let mut record = Map::new();
    for pair in &args.record {
        let (name, value) = pair.split_once('=').ok_or_else(|| Stop::usage(format!("`--record {pair}` is not NAME=VALUE")))?;
        record.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned())));
    }
    let word = Word::Resolve { done: args.what == What::Done, record, accept_late_effect: args.accept_late_effect };
    step(&args.step, word, settings)
}

/// Approves.
pub fn approve(args: &Approve, settings: &Settings) -> Ended {
    answer(args.run.as_deref(), &args.step, args.contact.as_deref(), &args.reason, true, settings)
}

/// Refuses.
pub fn decline(args: &Decline, settings: &Settings) -> Ended {
    answer(args.run.as_deref(), &args.step, args.contact.as_deref(), &args.reason, false, settings)
}

fn step(args: &Step, word: Word, settings: &Settings) -> Ended {
    said(args.run.as_deref(), Some(&args.step), word, &args.reason, args.break_glass, settings)
}

fn said(run: Option<&str>, step: Option<&str>, word: Word, reason: &str, break_glass: bool, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let run = desk.run(run).await?.id;
        let read = desk.read(&run).await?;
        desk.speak(&run, |state| desk::word(state, word.clone(), step, &desk.operator, reason, break_glass)).await?;
        for line in words::meaning(&read.state, &word, step) {
            output::say(&format!("{line}\n"));
        }
        next(&desk, &run).await
    })
}

fn answer(run: Option<&str>, step: &str, contact: Option<&str>, comment: &str, yes: bool, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let run = desk.run(run).await?.id;
        desk.speak(&run, |state| desk::approval(state, step, contact, &desk.operator, comment, yes)).await?;
        let word = if yes { "approved" } else { "declined" };
        output::say(&format!("{word} `{step}`; who you are is recorded, not proved\n"));
        next(&desk, &run).await
    })
}

/// Who acts on it.
async fn next(desk: &Desk, run: &str) -> Ended {
    match desk.run(Some(run)).await?.holder {
        Some(holder) => output::say(&format!("{holder} drives the run and goes on within a second\n")),
        None => output::say(&format!("nobody drives the run now; `drplan resume {run}` goes on\n")),
    }
    Ok(Exit::Good)
}
