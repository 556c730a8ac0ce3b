//! Operator's words: which are allowed when, and which help next. It appends nothing; whoever speaks does. What a word
//! would mean is told by [`super::meaning`].

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::meaning;
use super::rollback;
use super::state::{Back, Life, State, StepState, contact_of};
use super::waiting::approvers;
use crate::actions::Effect;
use crate::journal::{About, Doing, Event, Word};
use crate::model::{Permission, Phase, Undo, fences};

/// A word that was refused, with what to do instead.
pub type Refused = String;

/// Whether a word is allowed now. The error says why not and what to type instead.
pub fn allowed(state: &State, now: Timestamp, word: &Word, step: Option<&str>, break_glass: bool) -> Result<(), Refused> {
    ended(state)?;
    let i = match step {
        None => None,
        Some(id) => Some(state.find(id).ok_or_else(|| no_step(state, id))?),
    };
    let known = !i.is_some_and(|i| matches!(state.steps[i].life, Life::Unknown { .. }));
    if state.aborting && (known || !matches!(word, Word::Resolve { .. })) {
        return Err(format!("run {} is being ended: nothing more starts, and what is in flight ends first", state.run));
    }
    match (word, i) {
        (Word::Pause, _) => pause(state),
        (Word::Resume, _) => resume(state),
        (Word::Abort, _) => abort(state),
        (Word::Rollback { to }, _) => back(state, to.as_deref()),
        (Word::Retry, Some(i)) => retry(state, i),
        (Word::RetryDownstream { .. }, Some(i)) => again(state, i).map(drop),
        (Word::Skip, Some(i)) => skip(state, i, break_glass),
        (Word::Resolve { done, record, accept_late_effect }, Some(i)) => {
            resolve(state, now, i, *done, record, *accept_late_effect, break_glass)
        }
        (Word::Retry | Word::RetryDownstream { .. } | Word::Skip | Word::Resolve { .. }, None) => {
            Err("it needs the name of a step".to_owned())
        }
    }
}

/// A word as it goes into the journal: with everything that it means for the state on which it lands.
pub fn complete(state: &State, word: &Word, step: Option<&str>) -> Word {
    match (word, step.and_then(|id| state.find(id))) {
        (Word::RetryDownstream { .. }, Some(i)) => {
            let all = again(state, i).unwrap_or_default();
            Word::RetryDownstream { again: all.into_iter().map(|i| state.step(i).id.clone()).collect() }
        }
        _ => word.clone(),
    }
}

fn ended(state: &State) -> Result<(), Refused> {
    match state.finished {
        Some(_) => Err(format!("run {} has ended; nothing can be said to it any more", state.run)),
        None => Ok(()),
    }
}

/// That there is no such step, with the nearest name.
pub fn no_step(state: &State, id: &str) -> String {
    let names = state.plan().scenario.steps.iter().map(|s| s.id.as_str());
    let near = crate::diagnostic::nearest(id, names).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    format!("there is no step `{id}` in scenario `{}`{near}", state.plan().scenario.id)
}

fn life_word(life: &Life) -> &'static str {
    match life {
        Life::Waiting => "has not begun",
        Life::Running { doing: Doing::Apply, .. } => "is running",
        Life::Running { .. } => "is being taken back",
        Life::Unknown { .. } => "is unknown",
        Life::Failed { .. } => "failed",
        Life::Done => "is done",
        Life::Skipped { .. } => "was skipped",
        Life::Undone => "was taken back",
        Life::Stuck { .. } => "could not be taken back",
        Life::Left { .. } => "stands from the run that was adopted",
    }
}

/// Nothing is done, or left out, in a run that is being taken back.
fn forward(state: &State) -> Result<(), Refused> {
    match state.back {
        Some(_) => Err("the run is being taken back: no step begins any more".to_owned()),
        None => Ok(()),
    }
}

fn pause(state: &State) -> Result<(), Refused> {
    match &state.paused {
        Some(who) => Err(format!("it is paused already by {who}; `drplan resume {}` goes on", state.run)),
        None => Ok(()),
    }
}

fn resume(state: &State) -> Result<(), Refused> {
    match &state.paused {
        Some(_) => Ok(()),
        None => Err(format!("it is not paused; `drplan status {}` says what it waits for", state.run)),
    }
}

fn abort(state: &State) -> Result<(), Refused> {
    let open: Vec<&str> = (0..state.steps.len())
        .filter(|&i| matches!(state.steps[i].life, Life::Unknown { .. }))
        .map(|i| state.step(i).id.as_str())
        .collect();
    match open.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "what became of `{}` is unknown: look, then say `drplan resolve {} {first} --as done|not-done --reason …`, and abort after that",
            open.join("`, `"),
            state.run
        )),
    }
}

fn back(state: &State, to: Option<&str>) -> Result<(), Refused> {
    let to = match to {
        None => None,
        Some(id) => Some(state.find(id).ok_or_else(|| no_step(state, id))?),
    };
    if state.back == Some(Back { to }) {
        return Err(format!("it is being taken back already; `drplan resume {}` goes on with it", state.run));
    }
    let plan = rollback::plan_to(state, to);
    if !plan.refused() {
        return Ok(());
    }
    let mut text = String::from("nothing was undone. ");
    for &h in &plan.holders {
        let step = state.step(h);
        let Undo::None(why) = &step.undo else { continue };
        text.push_str(&format!("`{}` is in effect and cannot be undone ({why}); ", step.id));
    }
    text.push_str("what it stands on stays as it is.");
    let mut holders = plan.holders.clone();
    holders.sort_by_key(|&h| state.steps[h].effect_seq);
    for &h in &holders {
        let id = &state.step(h).id;
        let above = rollback::plan_to(state, Some(h)).undo;
        let names = above.iter().map(|&i| format!("`{}`", state.step(i).id)).collect::<Vec<_>>().join(", ");
        let what = if names.is_empty() { "nothing: nothing in effect stands on it".to_owned() } else { names };
        text.push_str(&format!("\n  `drplan rollback {} --to {id} --reason …` undoes {what}.", state.run));
    }
    for line in meaning::after_rollback(state, holders.first().copied()) {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    Err(text)
}

fn retry(state: &State, i: usize) -> Result<(), Refused> {
    let life = &state.steps[i];
    let (run, id) = (&state.run, &state.step(i).id);
    match &life.life {
        Life::Stuck { .. } => Ok(()),
        Life::Unknown { .. } => {
            Err(format!("what became of `{id}` is unknown; first say `drplan resolve {run} {id} --as not-done --reason …`"))
        }
        _ if state.back.is_some() => forward(state),
        Life::Failed { .. } => Ok(()),
        Life::Left { .. } if !life.beside() => Ok(()),
        Life::Left { .. } => Err(format!("`{id}` is not a step of this plan: say with `drplan resolve` whether it stays")),
        Life::Waiting if matches!(life.asked, Some((About::When, _))) => Ok(()),
        Life::Done if again(state, i).is_ok() => {
            Err(format!("`{id}` is done; `drplan retry {run} {id} --downstream --reason …` does it again, with all that stands on it"))
        }
        Life::Skipped { .. } if again(state, i).is_ok() => Err(format!(
            "`{id}` was skipped; `drplan retry {run} {id} --downstream --reason …` does it after all, and what stands on it again"
        )),
        other => Err(format!("`{id}` {}; only a step that failed can be tried again", life_word(other))),
    }
}

/// What `retry --downstream` does again: the step, and of what stands on it all that was done.
///
/// What may not happen twice refuses it; of `verifiable` steps only what is gone is begun anew, which is for the machine.
pub fn again(state: &State, i: usize) -> Result<Vec<usize>, Refused> {
    forward(state)?;
    let id = &state.step(i).id;
    if !matches!(state.steps[i].life, Life::Done | Life::Failed { .. } | Life::Skipped { .. }) {
        return Err(format!("`{id}` {}; only what is done, failed or was skipped can be done again", life_word(&state.steps[i].life)));
    }
    let all = std::iter::once(i).chain(state.downstream(i));
    let names = |steps: &[usize]| steps.iter().map(|&j| format!("`{}`", state.step(j).id)).collect::<Vec<_>>().join(", ");
    let is = |want: fn(&Life) -> bool| all.clone().filter(|&j| want(&state.steps[j].life)).collect::<Vec<_>>();
    let running = is(|life| matches!(life, Life::Running { .. }));
    if !running.is_empty() {
        return Err(format!("{} is running: `drplan pause {}`, and when it has ended say it again", names(&running), state.run));
    }
    let unknown = is(|life| matches!(life, Life::Unknown { .. }));
    if let Some(&first) = unknown.first() {
        return Err(format!(
            "what became of {} is unknown: look, then say `drplan resolve {} {} --as done|not-done --reason …`",
            names(&unknown),
            state.run,
            state.step(first).id
        ));
    }
    let done = is(|life| *life == Life::Done);
    let once: Vec<usize> = done.iter().copied().filter(|&j| state.step(j).effect == Effect::Once).collect();
    if !once.is_empty() {
        return Err(format!(
            "{} is done and must not happen twice (its effect is `once`), so nothing is done again. Begin with a step after it, \
             or take it back and run the plan anew: `drplan rollback {} --reason …`",
            names(&once),
            state.run
        ));
    }
    let wanted = |j: &usize| match &state.steps[*j].life {
        _ if *j == i => true,
        Life::Done => true,
        // Tried again by name: what failed halfway is not for a word about something else.
        Life::Failed { .. } => state.step(*j).effect != Effect::Once,
        Life::Skipped { flaw, .. } => !flaw,
        _ => false,
    };
    Ok(all.filter(wanted).collect())
}

fn skip(state: &State, i: usize, break_glass: bool) -> Result<(), Refused> {
    let (step, life) = (state.step(i), &state.steps[i]);
    forward(state)?;
    if !matches!(life.life, Life::Waiting | Life::Failed { .. }) {
        return Err(format!("`{}` {}; only a step that failed or has not begun can be skipped", step.id, life_word(&life.life)));
    }
    if !break_glass && step.call.uses == "approval" && matches!(life.life, Life::Failed { .. }) {
        return Err(asks_again(state, &step.id));
    }
    if !break_glass && step.call.uses == "approval" {
        return Err(format!(
            "`{}` is an approval: only `drplan approve {} {}` passes it (or --break-glass, which is recorded)",
            step.id, state.run, step.id
        ));
    }
    if !break_glass && fences(&state.plan().plan, step) {
        return Err(format!(
            "`{}` is a fence: without it two sites may take writes. Make sure that the old one takes none, then \
             `drplan resolve {} {} --as done --reason 'how you know'`",
            step.id, state.run, step.id
        ));
    }
    Ok(())
}

/// What is said of an approval that was declined, or that nobody gave in time.
fn asks_again(state: &State, id: &str) -> Refused {
    let run = &state.run;
    format!("`{id}` failed and is an approval: `drplan retry {run} {id} --reason …` asks again (or --break-glass, which is recorded)")
}

fn resolve(
    state: &State,
    now: Timestamp,
    i: usize,
    done: bool,
    record: &Map<String, Value>,
    late: bool,
    break_glass: bool,
) -> Result<(), Refused> {
    let (step, life) = (state.step(i), &state.steps[i]);
    let (run, id) = (&state.run, &step.id);
    let by_hand = step.call.uses == "manual" || matches!(life.asked, Some((About::Manual, _)));
    if step.call.uses == "approval" {
        return match life.life {
            Life::Waiting | Life::Failed { .. } if break_glass && state.back.is_none() => Ok(()),
            Life::Failed { .. } if state.back.is_none() => Err(asks_again(state, id)),
            _ => Err(format!("`{id}` is an approval: `drplan approve {run} {id}` passes it (or --break-glass, which is recorded)")),
        };
    }
    match &life.life {
        Life::Unknown { open_until: Some(t), .. } if !done && !late && *t > now => Err(format!(
            "the attempt may still take effect until {}; say it then, or add --accept-late-effect if you know better",
            t.strftime("%H:%M:%SZ")
        )),
        Life::Unknown { .. } | Life::Stuck { .. } => Ok(()),
        Life::Done | Life::Failed { .. } | Life::Waiting | Life::Skipped { .. }
            if state.back.is_some() && matches!(life.asked, Some((About::Manual, _))) =>
        {
            Ok(())
        }
        _ if state.back.is_some() => Err(format!("`{id}` {}; there is nothing to resolve", life_word(&life.life))),
        Life::Left { .. } => Ok(()),
        Life::Failed { .. } if done && (fences(&state.plan().plan, step) || break_glass || by_hand) => {
            recorded(step.call.with.get("record"), record, done)
        }
        Life::Failed { .. } if done => Err(format!(
            "`{id}` failed, which is known; repair it and `drplan retry {run} {id} --reason …`, or go on without it: `drplan skip {run} {id} --reason …`"
        )),
        Life::Waiting if by_hand && life.asked.is_some() => recorded(step.call.with.get("record"), record, done),
        Life::Waiting if done && fences(&state.plan().plan, step) && life.asked.is_some() => Ok(()),
        other => Err(format!("`{id}` {}; there is nothing to resolve", life_word(other))),
    }
}

/// What a manual step records must be given, and fit.
fn recorded(wanted: Option<&Value>, given: &Map<String, Value>, done: bool) -> Result<(), Refused> {
    let Some(wanted) = wanted.and_then(Value::as_object).filter(|_| done) else { return Ok(()) };
    for (name, shape) in wanted {
        let Some(value) = given.get(name) else {
            return Err(format!("this step records `{name}`: add --record {name}=VALUE"));
        };
        let choices = shape.get("enum").and_then(Value::as_array);
        if let Some(choices) = choices.filter(|c| !c.contains(value)) {
            let words: Vec<String> = choices.iter().map(crate::actions::template::plain).collect();
            return Err(format!("`{name}` is one of {}", words.join(", ")));
        }
    }
    Ok(())
}

/// Somebody's yes or no to an approval.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The step.
    pub step: &'a str,
    /// As which contact, if they say.
    pub contact: Option<&'a str>,
    /// Who types it: `user@host`.
    pub operator: &'a str,
    /// Their words.
    pub comment: &'a str,
    /// Approved, or declined.
    pub yes: bool,
    /// It counts although a rule forbids it.
    pub break_glass: bool,
}

/// An answer as an event, if it is allowed. Who speaks is recorded, not proved.
pub fn answer(state: &State, answer: Answer<'_>) -> Result<Event, Refused> {
    ended(state)?;
    let run = &state.run;
    let i = state.find(answer.step).ok_or_else(|| no_step(state, answer.step))?;
    let (step, life) = (state.step(i), &state.steps[i]);
    let id = &step.id;
    if step.call.uses != "approval" {
        return Err(format!("`{id}` is not an approval; `drplan status {run}` says what can be said to it"));
    }
    if state.aborting || state.back.is_some() {
        return Err(format!("`{id}` asks nothing any more: the run is being {}", if state.aborting { "ended" } else { "taken back" }));
    }
    match life.life {
        // What is asked next may be answered before whoever drives has asked it.
        Life::Waiting if life.asked.is_some() || state.ready(i) => {}
        Life::Waiting => return Err(format!("`{id}` asks nothing now; `drplan status {run}` shows what it waits for")),
        Life::Failed { .. } => return Err(format!("`{id}` failed; `drplan retry {run} {id} --reason …` asks again")),
        ref other => return Err(format!("`{id}` {}; nothing is asked any more", life_word(other))),
    }
    let who = speaker(state, i, answer)?;
    if answer.yes && !answer.break_glass {
        counts(state, i, &who, answer.operator)?;
    }
    let glass = if answer.break_glass { "BREAK GLASS: " } else { "" };
    let own = answer.yes && state.plan().plan.policy.approval_by_starter != Permission::Allow && is_starter(state, &who);
    let own = if own { " (by whoever started the run)" } else { "" };
    let (step, digest) = (id.clone(), state.checked.digest().to_owned());
    let said = format!("{glass}{}{own}", answer.comment).trim().to_owned();
    Ok(match answer.yes {
        true => Event::Approved { step, who, comment: said, digest, break_glass: answer.break_glass },
        false => Event::Declined { step, who, reason: said, digest },
    })
}

/// Under which name an answer goes into the record.
fn speaker(state: &State, i: usize, answer: Answer<'_>) -> Result<String, Refused> {
    let (step, operator) = (state.step(i), answer.operator);
    let from: Vec<&str> = approvers(step).collect();
    match answer.contact {
        Some(contact) if from.is_empty() || from.contains(&contact) => Ok(format!("{contact} ({operator})")),
        Some(contact) => Err(format!("`{contact}` is not among those who may approve: {}", from.join(", "))),
        None if from.is_empty() || from.contains(&user(operator)) => Ok(operator.to_owned()),
        None => Err(format!("`{}` is approved by {}: say who you are, --as {}", step.id, from.join(" or "), from[0])),
    }
}

/// N approvals are N people, and nobody's own where the plan says so.
fn counts(state: &State, i: usize, who: &str, operator: &str) -> Result<(), Refused> {
    let life = &state.steps[i];
    let name = contact_of(who);
    if has_approved(life, name) {
        return Err(format!("{name} has approved already; another person is needed"));
    }
    if let Some((other, _)) = life.approvals.iter().find(|(other, _)| user(typist(other)) == user(operator)) {
        return Err(format!(
            "{operator} has approved already, as {}: two approvals are two people. The other one types it, or their name stands in \
             DRPLAN_OPERATOR (--break-glass counts it all the same, and is recorded)",
            contact_of(other)
        ));
    }
    let own = state.plan().plan.policy.approval_by_starter == Permission::Deny && is_starter(state, who);
    if own {
        return Err(format!(
            "{} started this run, and the plan lets nobody approve their own (`policy: {{ approval_by_starter: deny }}`): somebody else \
             types `drplan approve {} {}{}` (--break-glass counts it all the same, and is recorded)",
            state.starter,
            state.run,
            state.step(i).id,
            approvers(state.step(i)).find(|id| !has_approved(life, id)).map(|id| format!(" --as {id}")).unwrap_or_default()
        ));
    }
    Ok(())
}

/// True if an answer comes from whoever started the run, as far as names tell.
pub fn is_starter(state: &State, who: &str) -> bool {
    let starter = user(&state.starter);
    !starter.is_empty() && (user(typist(who)) == starter || contact_of(who) == starter)
}

/// Who typed an approval: `contact (user@host)`, or `user@host`.
fn typist(who: &str) -> &str {
    who.split_once(" (").map_or(who, |(_, rest)| rest.trim_end_matches(')'))
}

/// The person of `user@host`.
fn user(operator: &str) -> &str {
    operator.split('@').next().unwrap_or(operator)
}

/// Whether a contact has approved.
pub fn has_approved(life: &StepState, contact: &str) -> bool {
    life.approvals.iter().any(|(who, _)| contact_of(who) == contact)
}

/// Something a person may say.
#[derive(Debug, Clone, PartialEq)]
pub enum Saying {
    /// An operator's word.
    Word(Word),
    /// Yes to an approval.
    Approve,
    /// No to it.
    Decline,
}

/// Something that can be typed next.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What is typed; `…` stands for a reason.
    pub command: String,
    /// What is said by it.
    pub saying: Saying,
    /// About which step.
    pub step: Option<usize>,
}

impl Choice {
    fn word(state: &State, word: Word, step: Option<usize>, tail: &str) -> Choice {
        let verb = match &word {
            Word::Pause => "pause",
            Word::Resume => "resume",
            Word::Retry | Word::RetryDownstream { .. } => "retry",
            Word::Skip => "skip",
            Word::Resolve { .. } => "resolve",
            Word::Rollback { .. } => "rollback",
            Word::Abort => "abort",
        };
        let mut command = format!("drplan {verb} {}", state.run);
        if let Some(i) = step {
            command.push_str(&format!(" {}", state.step(i).id));
        }
        match &word {
            Word::RetryDownstream { .. } => command.push_str(" --downstream"),
            Word::Resolve { done, .. } => command.push_str(if *done { " --as done" } else { " --as not-done" }),
            Word::Rollback { to: Some(to) } => command.push_str(&format!(" --to {to}")),
            _ => {}
        }
        if let Word::Resolve { accept_late_effect: true, .. } = word {
            command.push_str(" --accept-late-effect");
        }
        if word != Word::Resume {
            command.push_str(tail);
        }
        Choice { command, saying: Saying::Word(word), step }
    }
}

/// What a person can type next about a step, most likely first.
pub fn choices(state: &State, i: usize) -> Vec<Choice> {
    choices_of(state, i, None)
}

/// The same for one of those who may approve.
pub fn choices_of(state: &State, i: usize, contact: Option<&str>) -> Vec<Choice> {
    const WHY: &str = " --reason …";
    let (run, step, life) = (&state.run, state.step(i), &state.steps[i]);
    let id = &step.id;
    let about = |word| Choice::word(state, word, Some(i), WHY);
    let resolve = |done| Word::Resolve { done, record: Map::new(), accept_late_effect: false };
    let resolved = |done| Choice::word(state, resolve(done), Some(i), WHY);
    let safe = || Choice::word(state, resolve(true), Some(i), " --reason 'how you know that it takes no writes'");
    match (&life.life, life.asked.as_ref().map(|(about, _)| *about)) {
        (Life::Waiting, Some(About::Approval)) => {
            // The first of those who may and have not yet; another of them puts their own name there.
            let mut open = approvers(step).filter(|id| !has_approved(life, id));
            let own = contact.filter(|contact| approvers(step).any(|id| id == *contact));
            let who = own.or_else(|| open.next()).map(|contact| format!(" --as {contact}")).unwrap_or_default();
            vec![
                Choice { command: format!("drplan approve {run} {id}{who}"), saying: Saying::Approve, step: Some(i) },
                Choice { command: format!("drplan decline {run} {id}{who}{WHY}"), saying: Saying::Decline, step: Some(i) },
            ]
        }
        (Life::Waiting, Some(About::When)) => {
            let other = if fences(&state.plan().plan, step) { safe() } else { about(Word::Skip) };
            vec![about(Word::Retry), other]
        }
        (Life::Unknown { .. }, Some(_)) => vec![resolved(true), resolved(false)],
        (Life::Stuck { .. }, _) => vec![about(Word::Retry), resolved(true)],
        (Life::Left { .. }, _) => {
            let again = (!life.beside()).then(|| about(Word::Retry));
            [resolved(true), resolved(false)].into_iter().chain(again).collect()
        }
        (_, Some(About::Manual)) => {
            let wanted = step.call.with.get("record").and_then(Value::as_object).filter(|_| matches!(life.life, Life::Waiting));
            let record: String = wanted.into_iter().flatten().map(|(name, shape)| format!(" --record {name}={}", wish(shape))).collect();
            let mut out = vec![Choice::word(state, resolve(true), Some(i), &format!("{record}{WHY}"))];
            if matches!(life.life, Life::Waiting) {
                out.push(resolved(false));
            }
            out
        }
        (Life::Failed { .. }, _) => {
            let mut out = vec![about(Word::Retry)];
            if fences(&state.plan().plan, step) {
                out.push(safe());
            } else if step.call.uses != "approval" {
                out.extend(source(state, i).map(|source| Choice::word(state, Word::RetryDownstream { again: vec![] }, Some(source), WHY)));
                out.push(about(Word::Skip));
            }
            out.push(way_back(state));
            out
        }
        _ => Vec::new(),
    }
}

/// What may stand for a value that a manual step records.
fn wish(shape: &Value) -> String {
    let choices = shape.get("enum").and_then(Value::as_array).into_iter().flatten();
    let choices: Vec<String> = choices.map(crate::actions::template::plain).collect();
    if choices.is_empty() { "…".to_owned() } else { choices.join("|") }
}

/// For a verification that failed: the step that brought the asset back, if it may be done again.
fn source(state: &State, i: usize) -> Option<usize> {
    let step = state.step(i);
    if step.phase != Phase::Verify {
        return None;
    }
    let own = step.assets.iter().flat_map(|asset| state.index.steps(asset)).copied();
    let done = own.filter(|&j| state.step(j).phase == Phase::Recover && state.steps[j].life == Life::Done);
    let last = done.max_by_key(|&j| state.steps[j].effect_seq)?;
    again(state, last).is_ok().then_some(last)
}

/// Nothing more starts.
pub fn stop(state: &State) -> Choice {
    Choice::word(state, Word::Pause, None, " --reason …")
}

/// Attempts of which something may still land, until when, and what somebody says who knows that nothing will.
pub fn open(state: &State, now: Timestamp) -> Vec<(Choice, Timestamp)> {
    let word = || Word::Resolve { done: false, record: Map::new(), accept_late_effect: true };
    let until = |i: usize| if let Life::Unknown { open_until, .. } = state.steps[i].life { open_until.filter(|t| *t > now) } else { None };
    let open = (0..state.steps.len()).filter_map(|i| Some((i, until(i)?)));
    let can = open.filter(|&(i, _)| allowed(state, now, &word(), Some(&state.step(i).id), false).is_ok());
    can.map(|(i, until)| (Choice::word(state, word(), Some(i), " --reason …"), until)).collect()
}

/// What turns a run round, as far as it is allowed now.
pub fn turns(state: &State, now: Timestamp) -> Vec<Choice> {
    let abort = Choice::word(state, Word::Abort, None, " --reason …");
    let can = |choice: &Choice| match &choice.saying {
        Saying::Word(word) => allowed(state, now, word, None, false).is_ok(),
        _ => false,
    };
    [way_back(state), abort].into_iter().filter(can).collect()
}

/// The rollback that would not be refused.
pub fn way_back(state: &State) -> Choice {
    let plan = rollback::plan_to(state, None);
    let first = plan.holders.iter().filter(|_| plan.refused()).min_by_key(|&&h| state.steps[h].effect_seq);
    let to = first.map(|&h| state.step(h).id.clone());
    Choice::word(state, Word::Rollback { to }, None, " --reason …")
}
