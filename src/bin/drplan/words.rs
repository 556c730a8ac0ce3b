//! `drplan pause|retry|skip|resolve|approve|decline`: a word to a run, from any terminal, shown before it is said. They do
//! not drive: who drives the run acts within a second, or `drplan resume` does.

use clap::{Args, ValueEnum};
use drplan::execute::words::Saying;
use drplan::journal::Word;
use serde_json::{Map, Value, json};

use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;
use crate::spoken::{self, Spoken};

/// Why, or only what it would mean.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; goes into the journal.
    #[arg(long, required_unless_present = "show")]
    pub reason: Option<String>,
    /// Only show what it would mean; nothing is said.
    #[arg(long)]
    pub show: bool,
}

/// Start nothing more; what is in flight ends
#[derive(Debug, Args)]
pub struct Pause {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
    #[command(flatten)]
    why: Why,
}

/// A step and why.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Step {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
    /// The step.
    step: String,
    #[command(flatten)]
    why: Why,
    /// Do it although a rule of the plan forbids it; loud, and in the record.
    #[arg(long)]
    break_glass: bool,
}

/// Try a failed step again
#[derive(Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    step: Step,
    /// And do everything again that stands on it and was done; the step itself may be done too, or skipped.
    #[arg(long)]
    downstream: bool,
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

/// Who answers an approval.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Answering {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
    /// The step.
    step: String,
    /// As whom: a contact of the plan. Recorded, not proved.
    #[arg(long = "as", value_name = "CONTACT")]
    contact: Option<String>,
}

/// Give an approval
#[derive(Debug, Args)]
pub struct Approve {
    #[command(flatten)]
    who: Answering,
    /// A word for the record.
    #[arg(long)]
    reason: Option<String>,
    /// Only show what it would mean; nothing is said.
    #[arg(long)]
    show: bool,
    /// Count it although a rule forbids it; loud, and in the record.
    #[arg(long, requires = "reason")]
    break_glass: bool,
}

/// Refuse an approval: the run pauses
#[derive(Debug, Args)]
pub struct Decline {
    #[command(flatten)]
    who: Answering,
    #[command(flatten)]
    why: Why,
}

/// Pauses.
pub fn pause(args: &Pause, settings: &Settings) -> Ended {
    say(args.run.as_deref(), &args.spoken(), args.why.show, settings)
}

/// Tries again.
pub fn retry(args: &Retry, settings: &Settings) -> Ended {
    say(args.step.run.as_deref(), &args.spoken(), args.step.why.show, settings)
}

/// Goes on without.
pub fn skip(args: &Skip, settings: &Settings) -> Ended {
    say(args.step.run.as_deref(), &args.spoken(), args.step.why.show, settings)
}

/// Says what became of it.
pub fn resolve(args: &Resolve, settings: &Settings) -> Ended {
    say(args.step.run.as_deref(), &args.spoken()?, args.step.why.show, settings)
}

/// Approves.
pub fn approve(args: &Approve, settings: &Settings) -> Ended {
    say(args.who.run.as_deref(), &args.spoken(), args.show, settings)
}

/// Refuses.
pub fn decline(args: &Decline, settings: &Settings) -> Ended {
    say(args.who.run.as_deref(), &args.spoken(), args.why.show, settings)
}

impl Pause {
    /// What is said by it.
    pub fn spoken(&self) -> Spoken {
        Spoken::word(Word::Pause, None, &self.why, false)
    }
}

impl Retry {
    /// What is said by it.
    pub fn spoken(&self) -> Spoken {
        let word = if self.downstream { Word::RetryDownstream { again: Vec::new() } } else { Word::Retry };
        self.step.spoken(word)
    }
}

impl Skip {
    /// What is said by it.
    pub fn spoken(&self) -> Spoken {
        self.step.spoken(Word::Skip)
    }
}

impl Resolve {
    /// What is said by it.
    pub fn spoken(&self) -> Result<Spoken, Stop> {
        let mut record = Map::new();
        for pair in &self.record {
            let (name, value) = pair.split_once('=').ok_or_else(|| Stop::usage(format!("`--record {pair}` is not NAME=VALUE")))?;
            record.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned())));
        }
        Ok(self.step.spoken(Word::Resolve { done: self.what == What::Done, record, accept_late_effect: self.accept_late_effect }))
    }
}

impl Step {
    fn spoken(&self, word: Word) -> Spoken {
        Spoken::word(word, Some(&self.step), &self.why, self.break_glass)
    }
}

impl Approve {
    /// What is said by it.
    pub fn spoken(&self) -> Spoken {
        let reason = self.reason.clone().unwrap_or_default();
        self.who.spoken(Saying::Approve, reason, self.break_glass)
    }
}

impl Decline {
    /// What is said by it.
    pub fn spoken(&self) -> Spoken {
        self.who.spoken(Saying::Decline, self.why.reason.clone().unwrap_or_default(), false)
    }
}

impl Answering {
    fn spoken(&self, saying: Saying, reason: String, break_glass: bool) -> Spoken {
        Spoken { saying, step: Some(self.step.clone()), contact: self.contact.clone(), reason, break_glass }
    }
}

/// Shows what it means, then says it, and says who acts on it.
fn say(run: Option<&str>, spoken: &Spoken, show: bool, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let run = desk.run(run).await?.id;
        let read = desk.read(&run).await?;
        spoken.event(&read.state, &desk.operator)?;
        let meaning = spoken.meaning(&read.state);
        if settings.json {
            output::json(&json!({ "run": run, "said": !show, "meaning": meaning }))?;
        } else {
            output::say(&spoken::text(&meaning));
        }
        if show {
            return Ok(Exit::Good);
        }
        desk.speak(&run, |state| spoken.event(state, &desk.operator)).await?;
        let holder = desk.run(Some(&run)).await?.holder;
        output::say(&spoken.said(&desk.read(&run).await?.state, holder.as_deref()));
        Ok(Exit::Good)
    })
}
