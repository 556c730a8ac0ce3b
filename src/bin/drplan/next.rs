//! What can be typed next to a run, and what each would mean: as a list, on a screen, in one sentence. It says nothing to the
//! run.

use std::collections::BTreeMap;

use drplan::execute::{State, rollback, waiting, words};
use drplan::report::story::lines_to_one;
use drplan::world::real;
use jiff::Timestamp;

use crate::{output, spoken};

/// Every command that can be typed next. `driven`: somebody drives it, and need not be told to go on.
pub fn commands(state: &State, driven: bool) -> Vec<String> {
    if state.finished.is_some() {
        return Vec::new();
    }
    let choices = waiting::people(state).into_iter().flat_map(|w| words::choices(state, w.step));
    let last = if driven && state.paused.is_none() { words::stop(state).command } else { spoken::resume(&state.run) };
    choices.map(|choice| spoken::command(&choice)).chain([last]).collect()
}

/// For how many steps it is told what each word would mean.
const TOLD: usize = 3;

/// What a person reads at the end of a driver that did not end its run.
pub fn what(state: &State, driven: bool) -> String {
    let mut out = String::new();
    if state.finished.is_some() {
        return out;
    }
    out.push_str("\nWhat can be done:\n");
    let waits = waiting::people(state);
    for (n, waiting) in waits.iter().enumerate() {
        let id = &state.step(waiting.step).id;
        out.push_str(&output::folded(&format!("{id}: {}", lines_to_one(&waiting.question, 300)), 2, 4));
        if n < TOLD {
            out.push_str(&spoken::offered(state, waiting.step));
        } else {
            words::choices(state, waiting.step).iter().for_each(|choice| out.push_str(&format!("    {}\n", spoken::command(choice))));
        }
    }
    match (&state.paused, &state.back) {
        (Some(who), _) => out.push_str(&format!("  It is paused by {}. It goes on with:\n", lines_to_one(who, 300))),
        (None, Some(back)) if rollback::plan_to(state, back.to).refused() => {
            out.push_str(&format!("  It cannot be taken back as a whole. A part can:\n    {}\n", spoken::command(&words::way_back(state))));
            out.push_str("  Then:\n");
        }
        _ if driven && waits.is_empty() => out.push_str("  Nothing is asked. To stop it before its next step:\n"),
        _ if driven => out.push_str("  Whoever drives it goes on by themselves. To stop it before its next step:\n"),
        _ if waits.is_empty() => out.push_str("  Nothing is asked; it goes on with:\n"),
        _ => out.push_str("  Then:\n"),
    }
    match driven && state.paused.is_none() {
        true => out.push_str(&format!("    {}\n", words::stop(state).command)),
        false => out.push_str(&format!("    {}\n", spoken::resume(&state.run))),
    }
    for (choice, until) in words::open(state, real::now()) {
        let id = choice.step.map(|i| state.step(i).id.as_str()).unwrap_or_default();
        let until = until.strftime("%H:%M:%SZ");
        let text = format!(
            "`{id}` may still take effect until {until}, and is not begun again before. If you see that it did not, and know that it cannot any more:"
        );
        out.push_str(&output::folded(&text, 2, 4));
        out.push_str(&format!("    {}\n", spoken::command(&choice)));
    }
    let offered = |command: &str| out.contains(command);
    let turns: Vec<String> = words::turns(state, real::now()).iter().map(spoken::command).filter(|c| !offered(c)).collect();
    if !turns.is_empty() {
        out.push_str("  Or, to turn round:\n");
        turns.iter().for_each(|command| out.push_str(&format!("    {command}\n")));
    }
    out
}

/// What to do next, in one sentence.
pub fn sentence(state: &State, holder: Option<&str>) -> String {
    let run = &state.run;
    let people = waiting::people(state);
    let first = people.iter().find_map(|w| Some((w, words::choices(state, w.step).into_iter().next()?)));
    match (first, holder) {
        _ if state.finished.is_some() => format!("Nothing is left to do: the run has ended; `drplan log {run}` tells it."),
        (Some((waiting, choice)), _) => {
            let more = if people.len() > 1 { format!(" ({} more wait)", people.len() - 1) } else { String::new() };
            let choice = spoken::command(&choice);
            format!("`{}` waits for a person{more}: type `{choice}`, or one of the others below.", state.step(waiting.step).id)
        }
        (None, Some(holder)) if state.paused.is_some() => {
            format!("It is paused, and {holder} drives it: type `{}`.", spoken::resume(&state.run))
        }
        (None, Some(holder)) => format!("Nothing is asked: {holder} drives it; `drplan watch {run}` shows how it goes on."),
        (None, None) if state.paused.is_some() => {
            format!("It is paused, and nobody drives it: type `{}`.", spoken::resume(&state.run))
        }
        (None, None) => format!("Nobody drives it: type `{}`.", spoken::resume(&state.run)),
    }
}

/// Which questions were put on a screen.
#[derive(Default)]
pub struct Asking {
    asked: BTreeMap<usize, Timestamp>,
}

impl Asking {
    /// Questions that were not put yet, each with what can be typed and what that would mean.
    pub fn fresh(&mut self, state: &State, place: &str) -> Vec<String> {
        let waits = waiting::people(state);
        self.asked.retain(|step, since| waits.iter().any(|w| w.step == *step && w.since == *since));
        let new = waits.into_iter().filter(|w| self.asked.insert(w.step, w.since) != Some(w.since));
        let block = |w: waiting::Waiting| {
            let asks = output::folded(&format!("? {}: {}", state.step(w.step).id, lines_to_one(&w.question, 500)), 2, 4);
            format!("\n{asks}    Type {place}:\n{}\n", spoken::offered(state, w.step))
        };
        new.map(block).collect()
    }
}
