//! What a word would mean before it is said: for the recovery time, the data and the way back. Pure: the word is folded into a
//! copy of the state, and the machine goes on from there with nothing but time passing. It promises nothing: every step
//! takes what the plan expects and ends well, and whoever is asked later answers as fast as the plan expects.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::offline::{self, Rehearsed};
use super::state::{Life, State};
use super::words::{self, Choice, Saying};
use super::{rollback, waiting};
use crate::actions::template;
use crate::actions::units::duration_text;
use crate::journal::{Doing, Entry, Event, Word};
use crate::model::{AssetKind, Effect, Id, Prediction, Undo, fences};

/// How many assets are told of, most urgent first.
const MOST: usize = 4;

/// Who speaks in what is only imagined.
const SPEAKER: &str = "a person";

/// What a word would mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// What happens, in sentences.
    pub what: Vec<String>,
    /// When the assets would be back, without the word and with it.
    pub recovery: Vec<Change>,
    /// What it settles about data.
    pub data: Vec<String>,
    /// What can be taken back afterwards, and until when.
    pub way_back: Vec<String>,
    /// The last two in a few words.
    #[serde(skip)]
    short: Vec<String>,
}

/// An asset's recovery without the word and with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The asset.
    pub asset: Id,
    /// As things stand.
    pub before: Back,
    /// With the word.
    pub after: Back,
    /// The objective, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
}

/// When an asset is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Back {
    /// So many milliseconds after the damage.
    After(u64),
    /// So many milliseconds after the damage, but not shown to be whole.
    NotShown(u64, String),
    /// Not by itself: why.
    Not(String),
}

/// What a saying would mean now.
pub fn of(state: &State, saying: &Saying, step: Option<usize>, now: Timestamp) -> Meaning {
    let said = said(state, saying, step, now);
    let (before, after) = (offline::go_on(state, now), offline::go_on(&said, now));
    let mut out = Meaning { what: what(state, saying, step), ..Meaning::default() };
    // A simulation that gives up says nothing about times; what happens is told all the same.
    let (Ok(before), Ok(after)) = (before, after) else { return out };
    out.recovery = recovery(state, &before, &after);
    if *saying == Saying::Word(Word::Resume) && state.paused.is_none() {
        let open = out.recovery.iter_mut().filter(|change| !state.recovered.contains_key(&change.asset));
        open.for_each(|change| change.before = Back::Not("nobody drives it".to_owned()));
    }
    data(state, saying, step, &before, &after, now, &mut out);
    way_back(state, saying, &after, &mut out);
    out
}

/// A copy of the state in which it was said.
fn said(state: &State, saying: &Saying, step: Option<usize>, now: Timestamp) -> State {
    let mut copy = state.clone();
    let id = step.map(|i| state.step(i).id.clone());
    let (who, reason) = (SPEAKER.to_owned(), String::new());
    let digest = state.checked.digest().to_owned();
    let event = match (saying, id) {
        (Saying::Word(word), id) => Event::Word { word: words::complete(state, word, id.as_deref()), step: id, who, reason },
        (Saying::Approve, Some(step)) => {
            Event::Approved { step, who: "somebody-new".to_owned(), comment: reason, digest, break_glass: false }
        }
        (Saying::Decline, Some(step)) => Event::Declined { step, who, reason, digest },
        (_, None) => return copy,
    };
    // A word has a place everywhere: one that raced with its step does nothing.
    let _ = copy.fold(&Entry { seq: state.seq + 1, at: now, event });
    copy
}

fn recovery(state: &State, before: &Rehearsed, after: &Rehearsed) -> Vec<Change> {
    let assets =
        state.plan().predictions.iter().filter(|(id, _)| state.index.steps(id).iter().any(|&i| state.step(i).phase.ends_recovery()));
    let mut all: Vec<Change> = assets
        .map(|(id, p)| Change { asset: id.clone(), before: when(id, before), after: when(id, after), rto_ms: p.rto_ms })
        .filter(|change| change.before != change.after || !state.recovered.contains_key(&change.asset))
        .collect();
    all.sort_by_key(|change| (change.before == change.after, change.rto_ms.unwrap_or(u64::MAX)));
    all
}

fn when(asset: &str, run: &Rehearsed) -> Back {
    match (run.back.get(asset), run.state.recovered.get(asset)) {
        (Some((ms, shown)), Some(_)) if shown != "shown" => {
            let why = shown.strip_prefix("not shown: ").unwrap_or(shown);
            Back::NotShown(*ms, why.trim_end_matches(&format!(": {SPEAKER}: ")).to_owned())
        }
        (_, Some(back)) => Back::After(back.recovery_ms),
        (_, None) => Back::Not(why_not(asset, run)),
    }
}

/// Why an asset would not come back.
fn why_not(asset: &str, run: &Rehearsed) -> String {
    let state = &run.state;
    if state.back.is_some() {
        return "it is taken back".to_owned();
    }
    if state.aborting {
        return "the run has ended".to_owned();
    }
    let unknown = state.lists.unknown.iter().next().map(|&i| format!("it must be known what became of `{}`", state.step(i).id));
    if state.paused.is_some() {
        return "the run is paused".to_owned();
    }
    let own: BTreeSet<usize> = state.index.steps(asset).iter().copied().collect();
    let waits = waiting::people(state);
    let near = waits.iter().find(|w| own.contains(&w.step)).or(waits.first());
    match (near, unknown) {
        (Some(w), _) if matches!(state.steps[w.step].life, Life::Failed { .. }) => format!("`{}` failed", state.step(w.step).id),
        (Some(w), _) => format!("`{}` waits for an answer", state.step(w.step).id),
        (None, Some(unknown)) => unknown,
        (None, None) => "nothing brings it back".to_owned(),
    }
}

/// What happens, in sentences.
fn what(state: &State, saying: &Saying, step: Option<usize>) -> Vec<String> {
    let id = step.map(|i| format!("`{}`", state.step(i).id)).unwrap_or_default();
    match (saying, step) {
        (Saying::Word(word), step) => what_of(state, word, step, &id),
        (Saying::Approve, Some(i)) => {
            let (step, life) = (state.step(i), &state.steps[i]);
            let missing = waiting::count(step).saturating_sub(life.approvals.len() + 1);
            match missing {
                0 => vec![format!("{id} is approved: what waits for it begins.")],
                1 => vec![format!("{id} has one approval more; one other person is still asked.")],
                n => vec![format!("{id} has one approval more; {n} other people are still asked.")],
            }
        }
        (Saying::Decline, _) => vec![format!("{id} fails and the run pauses: what waits for it does not begin.")],
        (Saying::Approve, None) => Vec::new(),
    }
}

fn what_of(state: &State, word: &Word, step: Option<usize>, id: &str) -> Vec<String> {
    let life = step.map(|i| &state.steps[i].life);
    let undoing = matches!(life, Some(Life::Stuck { .. } | Life::Unknown { doing: Doing::Undo, .. })) || state.back.is_some();
    match (word, step) {
        (Word::Pause, _) => vec![format!("Nothing new starts; what is in flight ends. `drplan resume {}` goes on.", state.run)],
        (Word::Resume, _) => vec!["The run goes on where it stands.".to_owned()],
        (Word::Abort, _) => vec!["The run ends as it is: nothing more starts and nothing is taken back.".to_owned()],
        (Word::Rollback { to }, _) => rollback_lines(state, to.as_deref().and_then(|t| state.find(t))),
        (Word::Skip, Some(i)) => {
            let mut lines = vec![format!("{id} is left out: the run goes on without it and cannot end with 0.")];
            if fences(&state.plan().plan, state.step(i)) {
                lines.push("It is a fence: without it two sites may take writes.".to_owned());
            }
            lines
        }
        (Word::Retry, Some(_)) if undoing => vec![format!("Taking {id} back is tried again.")],
        (Word::Retry, Some(i)) => {
            let takes = duration_text(state.step(i).takes_ms);
            let mut lines = vec![match life {
                Some(Life::Waiting) => format!("{id} runs, whatever its condition; it is expected to take {takes}."),
                _ => format!("{id} is tried again; it is expected to take {takes}."),
            }];
            if state.step(i).effect == Effect::Once && state.steps[i].attempts > 0 {
                lines.push(
                    "It is not safe to repeat (its effect is `once`): what failed may have had half of its effect. Look first.".to_owned(),
                );
            }
            lines
        }
        (Word::RetryDownstream { .. }, Some(i)) => downstream_lines(state, i),
        (Word::Resolve { done: true, .. }, Some(_)) if undoing => vec![format!("{id} counts as taken back.")],
        (Word::Resolve { done: false, .. }, Some(_)) if undoing => {
            vec![format!("{id} counts as not taken back; it stays in effect until it is tried again.")]
        }
        (Word::Resolve { done: true, .. }, Some(i)) => {
            let mut lines = vec![format!("{id} counts as done: what waits for it begins, on your word.")];
            if fences(&state.plan().plan, state.step(i)) {
                lines.push("It is a fence: if the old one still takes writes, they are lost or collide with the new ones.".to_owned());
            }
            lines
        }
        (Word::Resolve { done: false, .. }, Some(_)) => vec![format!("{id} counts as failed: the run pauses, and it can be tried again.")],
        _ => Vec::new(),
    }
}

fn downstream_lines(state: &State, i: usize) -> Vec<String> {
    let all = words::again(state, i).unwrap_or_default();
    let names = |want: &dyn Fn(usize) -> bool| {
        let some: Vec<String> = all.iter().filter(|&&j| want(j)).map(|&j| format!("`{}`", state.step(j).id)).collect();
        some.join(", ")
    };
    let approval = |j: usize| state.step(j).call.uses == "approval";
    let looked = |j: usize| state.step(j).effect == Effect::Verifiable && state.steps[j].life == Life::Done;
    let by_hand = |j: usize| state.step(j).effect == Effect::Manual && !approval(j);
    let mut lines = vec![format!("Done again, in the plan's order: {}.", names(&|_| true))];
    let mut also = |some: String, text: &str| {
        if !some.is_empty() {
            lines.push(format!("{some}: {text}"));
        }
    };
    also(names(&looked), "looked at first, and begun again only if what it did is gone.");
    also(names(&by_hand), "a person is asked to do it again.");
    also(names(&approval), "asked again.");
    lines
}

fn rollback_lines(state: &State, to: Option<usize>) -> Vec<String> {
    let plan = rollback::plan_to(state, to);
    let name = |i: &usize| format!("`{}`", state.step(*i).id);
    let mut lines = Vec::new();
    if plan.undo.is_empty() {
        lines.push("Nothing is in effect that would be undone.".to_owned());
    } else {
        lines.push(format!("Undone, in this order: {}.", plan.undo.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    if !plan.kept.is_empty() {
        lines.push(format!("Stays in effect: {}.", plan.kept.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    lines.extend(after_rollback(state, to));
    lines
}

/// Where traffic and writes would be after a rollback that leaves something in effect.
pub fn after_rollback(state: &State, to: Option<usize>) -> Vec<String> {
    let plan = rollback::plan_to(state, to);
    let assets = &state.plan().plan.assets;
    let moved: Vec<(&str, &str)> = plan
        .holders
        .iter()
        .flat_map(|&h| {
            let step = state.step(h);
            let holds_data = |a: &&String| assets.get(*a).is_some_and(|a| takes_writes(a.kind));
            step.assets.iter().filter(holds_data).filter_map(move |a| Some((a.as_str(), step.at.as_deref()?)))
        })
        .collect();
    let mut lines = Vec::new();
    for &i in &plan.undo {
        for asset in &state.step(i).assets {
            let Some(kind) = assets.get(asset).map(|a| a.kind) else { continue };
            if !matches!(kind, AssetKind::Route53 | AssetKind::Dns) || moved.is_empty() {
                continue;
            }
            let old = state.steps[i].outputs.get("old").map(template::plain).unwrap_or_else(|| "where it went before".to_owned());
            let stays: Vec<String> = moved.iter().map(|(a, site)| format!("`{a}` stays promoted at {site}")).collect();
            lines.push(format!("Traffic of `{asset}` then goes back to {old}, where nothing takes writes: {}.", stays.join(", ")));
        }
    }
    lines
}

/// True if data of this kind live in one place, which a step may have moved.
fn takes_writes(kind: AssetKind) -> bool {
    use AssetKind::{Clickhouse, Kafka, Other, Postgres, Redis, S3, Sqlite};
    matches!(kind, Postgres | Clickhouse | Redis | Sqlite | S3 | Kafka | Other)
}

/// Steps that bring data back from somewhere, of assets that hold some.
fn sources(state: &State) -> impl Iterator<Item = (usize, &Id, &Prediction)> {
    let predictions = &state.plan().predictions;
    (0..state.steps.len()).filter(|&i| state.step(i).from.is_some()).flat_map(move |i| {
        let known = state.step(i).assets.iter().filter_map(|asset| predictions.get_key_value(asset));
        known.filter(|(_, p)| p.holds_data).map(move |(asset, p)| (i, asset, p))
    })
}

fn data(state: &State, saying: &Saying, step: Option<usize>, before: &Rehearsed, after: &Rehearsed, now: Timestamp, out: &mut Meaning) {
    let redone = |i: usize| {
        matches!(saying, Saying::Word(Word::RetryDownstream { .. })) && step.is_some_and(|s| s == i || state.downstream(s).contains(&i))
    };
    for (i, asset, p) in sources(state) {
        let id = &state.step(i).id;
        let done = |run: &Rehearsed| run.state.steps[i].life == Life::Done;
        let is_done = state.steps[i].life == Life::Done;
        let again = redone(i);
        if is_done && (again || after.state.steps[i].life == Life::Undone) {
            let since = time(state.steps[i].done_at.map_or(0, |at| ms_between(at, now)));
            let how = if again { "is done again" } else { "is taken back" };
            out.data.push(format!("`{id}` {how}: what was written to `{asset}` in the {since} since it was done is lost."));
            out.short.push(format!("loses {since} of writes to {asset}"));
        } else if !is_done && done(after) && !done(before) {
            let (lost, against) = loss(p);
            out.data.push(format!("`{id}` then settles the loss of `{asset}`: {lost} ({}){against}.", p.loss_source));
            out.short.push(format!("{asset} loses {lost}{against}"));
        } else if !is_done && !done(after) && (done(before) || step == Some(i)) {
            out.data.push(format!("`{asset}` gets nothing back from `{id}`: nothing bounds its loss."));
            out.short.push(format!("{asset} gets nothing back from {id}"));
        }
    }
    if out.data.is_empty() {
        out.data.push("It settles nothing about data.".to_owned());
    }
}

/// What is lost, and against the objective.
fn loss(p: &Prediction) -> (String, String) {
    let lost = p.loss_ms.map_or_else(|| "nobody knows how much".to_owned(), |ms| format!("at most {}", time(ms)));
    let against = match (p.loss_ms, p.rpo_ms) {
        (Some(ms), Some(rpo)) if ms <= rpo => format!(", RPO {} kept", time(rpo)),
        (_, Some(rpo)) => format!(", RPO {} missed", time(rpo)),
        (_, None) => String::new(),
    };
    (lost, against)
}

fn way_back(state: &State, saying: &Saying, after: &Rehearsed, out: &mut Meaning) {
    let mut tell = |line: String, short: String| {
        out.way_back.push(line);
        out.short.push(short);
    };
    let in_effect = (0..state.steps.len()).filter(|&i| rollback::in_effect(state, i)).count();
    match saying {
        Saying::Word(Word::Rollback { to }) => {
            let kept = rollback::plan_to(state, to.as_deref().and_then(|to| state.find(to))).kept.len();
            let (all, short) = match kept {
                0 => ("Afterwards all is as it was", "all as it was"),
                _ => ("What stays in effect stays for good", "a part stays for good"),
            };
            return tell(format!("{all}; the run has ended, and going forward is a new run."), short.to_owned());
        }
        Saying::Word(Word::Abort) => {
            let line = match in_effect {
                0 => "Nothing is in effect, so nothing would have to be taken back.".to_owned(),
                1 => "drplan takes nothing back afterwards: 1 step stays in effect.".to_owned(),
                n => format!("drplan takes nothing back afterwards: {n} steps stay in effect."),
            };
            return tell(line, "no way back afterwards".to_owned());
        }
        _ => {}
    }
    let mut holders = rollback::holders(state);
    holders.sort_by_key(|&h| state.steps[h].effect_seq);
    if !holders.is_empty() {
        let names: Vec<String> = holders.iter().map(|&h| format!("`{}`", state.step(h).id)).collect();
        tell(
            format!("The point of no return is passed: {} cannot be undone.", names.join(", ")),
            format!("{} cannot be undone", names.join(", ")),
        );
    }
    let no_return =
        |i: &usize| matches!(state.step(*i).undo, Undo::None(_)) && !holders.contains(i) && rollback::in_effect(&after.state, *i);
    let next = (0..state.steps.len()).filter(no_return).filter_map(|i| Some((after.spans.get(&i)?.0, i))).min();
    match next {
        Some((ms, i)) => {
            let id = &state.step(i).id;
            let when = if ms < 1000 { "at once".to_owned() } else { format!("in {}", time(ms)) };
            tell(format!("`{id}` begins {when}; after it a rollback cannot restore what was."), format!("no way back past {id}, {when}"));
        }
        None if holders.is_empty() => tell("Everything can still be taken back.".to_owned(), "all can be taken back".to_owned()),
        None => {}
    }
}

fn ms_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// What a choice would mean, in one line.
pub fn brief(state: &State, choice: &Choice, now: Timestamp) -> String {
    of(state, &choice.saying, choice.step, now).brief()
}

/// A time as people say it, without fractions of what is longer than a second.
fn time(ms: u64) -> String {
    duration_text(if ms >= 1000 { ms / 1000 * 1000 } else { ms })
}

impl Back {
    fn told(&self) -> String {
        match self {
            Back::After(ms) => format!("back after {}", time(*ms)),
            Back::NotShown(ms, why) => format!("after {} but not shown ({why})", time(*ms)),
            Back::Not(why) => format!("not back: {why}"),
        }
    }
}

impl Change {
    /// `db: not back: `restore` failed → back after 7m (RTO 30m: kept)`.
    pub fn told(&self) -> String {
        let rto = match (self.rto_ms, &self.after) {
            (Some(rto), Back::After(ms) | Back::NotShown(ms, _)) if *ms <= rto => format!(" (RTO {}: kept)", time(rto)),
            (Some(rto), Back::After(ms) | Back::NotShown(ms, _)) => format!(" (RTO {}: missed by {})", time(rto), time(ms - rto)),
            (Some(rto), Back::Not(_)) => format!(" (RTO {})", time(rto)),
            (None, _) => String::new(),
        };
        if self.before == self.after {
            return format!("{}: {}, as without it{rto}", self.asset, self.after.told());
        }
        format!("{}: {} → {}{rto}", self.asset, self.before.told(), self.after.told())
    }
}

impl Meaning {
    /// As it is shown before the word is said.
    pub fn lines(&self) -> Vec<String> {
        let mut out = self.what.clone();
        let label = |label: &str, lines: Vec<String>, out: &mut Vec<String>| {
            for (n, line) in lines.into_iter().enumerate() {
                out.push(format!("{:9} {line}", if n == 0 { label } else { "" }));
            }
        };
        let mut recovery: Vec<String> = self.recovery.iter().take(MOST).map(Change::told).collect();
        if self.recovery.len() > MOST {
            recovery.push(format!("and {} more", self.recovery.len() - MOST));
        }
        label("recovery", recovery, &mut out);
        label("data", self.data.clone(), &mut out);
        label("way back", self.way_back.clone(), &mut out);
        out
    }

    /// In one line, where several words are compared.
    pub fn brief(&self) -> String {
        let recovery = self.recovery.first().map(|change| {
            let more = if self.recovery.len() > 1 { format!(" (+{} more)", self.recovery.len() - 1) } else { String::new() };
            let rto = match (change.rto_ms, &change.after) {
                (Some(rto), Back::After(ms) | Back::NotShown(ms, _)) if *ms <= rto => ", RTO kept".to_owned(),
                (Some(rto), Back::After(ms) | Back::NotShown(ms, _)) => format!(", RTO missed by {}", time(ms - rto)),
                _ => String::new(),
            };
            format!("{} {}{rto}{more}", change.asset, change.after.told())
        });
        let first = recovery.or_else(|| self.what.first().map(|line| line.trim_end_matches('.').to_owned()));
        first.into_iter().chain(self.short.iter().cloned()).collect::<Vec<_>>().join(" · ")
    }
}
