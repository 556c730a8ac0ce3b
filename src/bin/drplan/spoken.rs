//! A word that somebody typed, on the command line or at a run's own terminal: what it would mean, and its event. It
//! does not append it.

use clap::Parser;
use drplan::execute::meaning::{self, Meaning};
use drplan::execute::words::{self, Answer, Choice, Saying};
use drplan::execute::{State, waiting};
use drplan::journal::{Event, Word};
use drplan::model::Permission;
use drplan::world::real;

use crate::exit::Stop;
use crate::output;
use crate::{Cli, Command};

/// What somebody says.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// A word or an answer.
    pub saying: Saying,
    /// About which step.
    pub step: Option<String>,
    /// As which contact, for an answer.
    pub contact: Option<String>,
    /// Why.
    pub reason: String,
    /// Although a rule forbids it.
    pub break_glass: bool,
}

impl Spoken {
    /// An operator's word.
    pub fn word(word: Word, step: Option<&str>, why: &crate::words::Why, break_glass: bool) -> Spoken {
        let reason = why.reason.clone().unwrap_or_default();
        Spoken { saying: Saying::Word(word), step: step.map(str::to_owned), contact: None, reason, break_glass }
    }

    /// Its event, if it is allowed on this state.
    pub fn event(&self, state: &State, operator: &str) -> Result<Event, Stop> {
        if self.reason.trim() == "…" {
            return Err(Stop::usage("`…` stands for your reason: say why, in a few words"));
        }
        let (step, comment) = (self.step.as_deref(), self.reason.as_str());
        let word = match &self.saying {
            Saying::Word(word) => word,
            answer => {
                let answer = Answer {
                    step: step.unwrap_or_default(),
                    contact: self.contact.as_deref(),
                    operator,
                    comment,
                    yes: *answer == Saying::Approve,
                    break_glass: self.break_glass,
                };
                return words::answer(state, answer).map_err(Stop::usage);
            }
        };
        words::allowed(state, real::now(), word, step, self.break_glass).map_err(Stop::usage)?;
        let reason = if self.break_glass { format!("BREAK GLASS: {comment}") } else { comment.to_owned() };
        let word = words::complete(state, word, step);
        Ok(Event::Word { word, step: step.map(str::to_owned), who: operator.to_owned(), reason })
    }

    /// What it would mean.
    pub fn meaning(&self, state: &State) -> Meaning {
        let step = self.step.as_deref().and_then(|id| state.find(id));
        let mut meaning = meaning::of(state, &self.saying, step, real::now());
        if self.break_glass {
            meaning.what.insert(0, "BREAK GLASS: a rule that forbids this is set aside; the record says so, with your reason.".to_owned());
        }
        meaning
    }

    /// That it was said, and who acts on it. `state`: with it.
    pub fn said(&self, state: &State, holder: Option<&str>) -> String {
        let mut out = String::new();
        if let (Saying::Approve | Saying::Decline, Some(step)) = (&self.saying, &self.step) {
            let word = if self.saying == Saying::Approve { "approved" } else { "declined" };
            out.push_str(&format!("{word} `{step}`; who you are is recorded, not proved\n"));
            let life = state.find(step).map(|i| &state.steps[i]);
            let own = life.and_then(|life| life.approvals.last()).is_some_and(|(who, _)| words::is_starter(state, who));
            if self.saying == Saying::Approve && own && state.plan().plan.policy.approval_by_starter == Permission::Warn {
                out.push_str("  you started this run yourself; the record says so\n");
            }
        }
        match holder {
            Some(holder) => out.push_str(&format!("{holder} drives the run and goes on within a second\n")),
            None => {
                let open = waiting::people(state);
                let first = open.first().filter(|_| self.saying == Saying::Decline || state.paused.is_none());
                match first.and_then(|w| words::choices(state, w.step).into_iter().next().map(|c| (w, c))) {
                    Some((waits, choice)) if !matches!(self.saying, Saying::Word(Word::Pause)) => out.push_str(&format!(
                        "nobody drives the run now; `{}` still waits: {}\n  then {}\n",
                        state.step(waits.step).id,
                        choice.command,
                        resume(&state.run)
                    )),
                    _ => out.push_str(&format!("nobody drives the run now; it goes on with:\n  {}\n", resume(&state.run))),
                }
            }
        }
        out
    }
}

/// The command that drives a run on, as it works from where it is read.
pub fn resume(run: &str) -> String {
    format!("drplan resume {run}{}", driving())
}

/// What a command that drives needs besides, where nobody can be asked.
pub fn driving() -> &'static str {
    if output::asks() { "" } else { " --yes" }
}

/// A choice as it works from where it is read.
pub fn command(choice: &Choice) -> String {
    let drives = matches!(choice.saying, Saying::Word(Word::Resume | Word::Rollback { .. } | Word::Abort));
    format!("{}{}", choice.command, if drives { driving() } else { "" })
}

/// A meaning as it is shown before the word is said.
pub fn text(meaning: &Meaning) -> String {
    let mut out = String::new();
    for line in meaning.lines() {
        out.push_str(&output::folded(&line, 2, 12));
    }
    out
}

/// Every command that can be typed about a step, each with what it would mean.
pub fn offered(state: &State, step: usize) -> String {
    let now = real::now();
    let mut out = String::new();
    for choice in words::choices(state, step) {
        out.push_str(&format!("    {}\n", command(&choice)));
        let brief = meaning::brief(state, &choice, now);
        if !brief.is_empty() {
            out.push_str(&output::folded(&brief, 6, 6));
        }
    }
    out
}

/// What somebody typed at a run's own terminal: a command of the command line, with or without `drplan` and the run, or
/// its short form, `WORD [STEP] REASON`.
pub fn typed(state: &State, line: &str) -> Result<Spoken, Stop> {
    let line = line.trim();
    let line = line.strip_prefix("drplan ").unwrap_or(line).trim();
    let tokens = split(line)?;
    let Some((verb, rest)) = tokens.split_first() else { return Err(unknown("")) };
    let rest = if rest.first().is_some_and(|first| *first == state.run) { &rest[1..] } else { rest };
    if !rest.iter().any(|token| token.starts_with("--") && token != "--as") || !VERBS.contains(&verb.as_str()) {
        return short(verb, rest);
    }
    let all = ["drplan".to_owned(), verb.clone(), state.run.clone()].into_iter().chain(rest.iter().cloned());
    let cli = Cli::try_parse_from(all).map_err(|asked| Stop::usage(asked.to_string().trim().to_owned()))?;
    match cli.command {
        Command::Pause(args) => Ok(args.spoken()),
        Command::Retry(args) => Ok(args.spoken()),
        Command::Skip(args) => Ok(args.spoken()),
        Command::Resolve(args) => args.spoken(),
        Command::Approve(args) => Ok(args.spoken()),
        Command::Decline(args) => Ok(args.spoken()),
        Command::Rollback(args) => Ok(args.spoken()),
        Command::Abort(args) => Ok(args.spoken()),
        _ => short(verb, rest),
    }
}

const VERBS: [&str; 8] = ["pause", "retry", "skip", "resolve", "approve", "decline", "rollback", "abort"];

fn short(verb: &str, rest: &[String]) -> Result<Spoken, Stop> {
    let resolve = |done| Word::Resolve { done, record: Default::default(), accept_late_effect: false };
    let (saying, about_step) = match verb {
        "approve" => (Saying::Approve, true),
        "decline" => (Saying::Decline, true),
        "retry" => (Saying::Word(Word::Retry), true),
        "skip" => (Saying::Word(Word::Skip), true),
        "done" => (Saying::Word(resolve(true)), true),
        "not-done" => (Saying::Word(resolve(false)), true),
        "pause" => (Saying::Word(Word::Pause), false),
        "resume" => (Saying::Word(Word::Resume), false),
        "abort" => (Saying::Word(Word::Abort), false),
        "rollback" => (Saying::Word(Word::Rollback { to: None }), false),
        other => return Err(unknown(other)),
    };
    let (step, mut words) = match (about_step, rest) {
        (true, []) => return Err(Stop::usage(format!("`{verb}` needs the name of a step: {verb} STEP why"))),
        (true, [step, words @ ..]) => (Some(step.clone()), words),
        (false, words) => (None, words),
    };
    let mut contact = None;
    if let [flag, who, more @ ..] = words
        && flag == "--as"
    {
        (contact, words) = (Some(who.clone()), more);
    }
    let (reason, quiet) = (words.join(" "), matches!(saying, Saying::Approve | Saying::Word(Word::Resume)));
    if reason.is_empty() && !quiet {
        return Err(Stop::usage(format!("say why, in a few words: {verb}{} why", step.map(|s| format!(" {s}")).unwrap_or_default())));
    }
    Ok(Spoken { saying, step, contact, reason, break_glass: false })
}

fn unknown(verb: &str) -> Stop {
    Stop::usage(format!(
        "`{verb}` is not one of: approve, decline, retry, skip, done, not-done STEP; pause, resume, rollback, abort; nor a command with \
         `--reason` as `drplan status` shows them"
    ))
}

/// Words as a shell takes them: in quotes a space is no end.
fn split(line: &str) -> Result<Vec<String>, Stop> {
    let (mut out, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = (Vec::new(), None, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            // Within a word it is an apostrophe.
            (None, '\'' | '"') if word.is_none() => {
                quote = Some(c);
                word = Some(String::new());
            }
            (None, c) if c.is_whitespace() => out.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Stop::usage("a quote is open: close it, or leave it out"));
    }
    out.extend(word);
    Ok(out)
}
