//! What must hold of every run, whatever happened: told from the journal and from what was done to the world, not from
//! the executor's own state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::actions::{Effect, matcher};
use crate::analysis::Checked;
use crate::execute::attempt::NEVER_BEGUN;
use crate::execute::state::State;
use crate::graph::schedule::collide;
use crate::journal::{About, Answer, Doing, End, Entry, Event, Word};
use crate::model::{Compiled, Node, Phase, Step, Undo, When};
use crate::world::sim::Deed;

/// What a command may take longer than its limit: it is started late and ended with patience.
const ENDED_MS: u64 = 7_000;

/// What does not hold, each in a sentence; empty if all does.
pub fn broken(checked: &Checked, run: &str, entries: &[Entry], deeds: &[Deed]) -> Vec<String> {
    let mut laws = Laws::new(checked);
    entries.iter().for_each(|entry| laws.event(entry));
    laws.deeds(run, entries, deeds);
    laws.out
}

/// The name of an attempt, as its effects carry it.
pub fn ticket(run: &str, step: &str, doing: Doing, attempt: u32) -> String {
    let word = if doing == Doing::Apply { "apply" } else { "undo" };
    format!("{run}/{step}/{word}/{attempt}")
}

struct Laws<'a> {
    checked: &'a Checked,
    steps: &'a [Step],
    index: BTreeMap<&'a str, usize>,
    out: Vec<String>,
    done: BTreeSet<usize>,
    passed: BTreeSet<usize>,
    undone: BTreeSet<usize>,
    flying: BTreeSet<usize>,
    /// Of those in flight, the ones of which nobody knows what became: they hold no slot.
    unknown: BTreeSet<usize>,
    /// Left out by a person or by the plan.
    flaws: BTreeSet<usize>,
    back: bool,
    paused: bool,
    ended: bool,
    /// May be begun again: a person said so, or it was seen that they never were.
    again: BTreeSet<usize>,
    /// An attempt was cut off by a death.
    cut: BTreeSet<usize>,
    /// From when on nothing of the last attempt can land, as its intent says.
    deadline: BTreeMap<usize, Timestamp>,
    /// When the process of the last attempt is ended at the latest.
    process: BTreeMap<usize, Timestamp>,
    /// Until when an unknown attempt may still land.
    open: BTreeMap<usize, Timestamp>,
    /// The state before, as the first intent has it.
    before: BTreeMap<usize, &'a Value>,
    outputs: BTreeMap<usize, &'a Map<String, Value>>,
    /// When the pause after the last failure is over.
    rested: BTreeMap<usize, Timestamp>,
    approvals: BTreeMap<usize, BTreeSet<String>>,
    /// Steps that a person is at.
    by_hand: BTreeSet<usize>,
    /// How often a person said that a step is to be done again.
    said: BTreeMap<usize, u32>,
}

impl<'a> Laws<'a> {
    fn new(checked: &'a Checked) -> Laws<'a> {
        let steps = &checked.compiled().scenario.steps;
        Laws {
            checked,
            steps,
            index: steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect(),
            out: Vec::new(),
            done: BTreeSet::new(),
            passed: BTreeSet::new(),
            undone: BTreeSet::new(),
            flying: BTreeSet::new(),
            unknown: BTreeSet::new(),
            flaws: BTreeSet::new(),
            back: false,
            paused: false,
            ended: false,
            again: BTreeSet::new(),
            cut: BTreeSet::new(),
            deadline: BTreeMap::new(),
            process: BTreeMap::new(),
            open: BTreeMap::new(),
            before: BTreeMap::new(),
            outputs: BTreeMap::new(),
            rested: BTreeMap::new(),
            approvals: BTreeMap::new(),
            by_hand: BTreeSet::new(),
            said: BTreeMap::new(),
        }
    }

    fn step(&self, id: &str) -> usize {
        self.index.get(id).copied().unwrap_or(usize::MAX)
    }

    fn event(&mut self, entry: &'a Entry) {
        if self.ended {
            self.out.push(format!("event {} stands after the end", entry.seq));
        }
        match &entry.event {
            Event::Intent { step, doing: Doing::Apply, attempt, timeout_ms, settles_ms, before, .. } => {
                let i = self.step(step);
                self.begun(i, entry.at, *attempt);
                if *self.before.entry(i).or_insert(before) != before {
                    self.out.push(format!("the state before `{step}` was read again after an attempt"));
                }
                if self.steps[i].effect != Effect::Read {
                    let limit = entry.at + Duration::from_millis(timeout_ms.unwrap_or(0));
                    // A process may be seen to have ended; of a request nobody knows before its time.
                    if self.steps[i].call.uses == "command" {
                        self.process.insert(i, limit + Duration::from_millis(ENDED_MS));
                    } else {
                        self.deadline.insert(i, limit + Duration::from_millis(*settles_ms));
                    }
                }
            }
            Event::Intent { step, doing: Doing::Undo, .. } => self.taken_back(self.step(step)),
            Event::Done { step, doing, outputs, .. } => {
                let i = self.step(step);
                self.outputs.insert(i, outputs);
                self.ended_well(i, *doing);
            }
            Event::Failed { step, reason, doing, .. } => {
                let i = self.step(step);
                self.unknown.remove(&i);
                if *doing == Doing::Apply {
                    self.rested.insert(i, entry.at + Duration::from_millis(self.steps[i].retry.delay_after_ms(1)));
                }
                // What a process's own exit said is known, however early.
                let judged = reason.ends_with("it did not happen");
                if let Some(until) = self.open.remove(&i).filter(|until| judged && entry.at < *until) {
                    self.out.push(format!("`{step}` was called not there, and could land until {until}"));
                }
                self.flying.remove(&i);
            }
            Event::Unknown { step, doing, open_until, died, .. } => {
                let i = self.step(step);
                self.unknown.insert(i);
                if *doing == Doing::Apply
                    && let Some(limit) = self.process.get(&i).filter(|limit| open_until.is_none_or(|until| until < **limit))
                {
                    self.out.push(format!("`{step}` lost its process, which may go on until {limit}, and was not left open for it"));
                }
                if *died {
                    self.cut.insert(i);
                }
                self.open.extend(open_until.map(|until| (i, until)));
            }
            Event::Probed { step, answer, detail, closed: true, .. } => {
                let i = self.step(step);
                if detail == NEVER_BEGUN {
                    self.cut.remove(&i);
                }
                self.open.remove(&i);
                if *answer == Answer::NotThere {
                    self.again.insert(i);
                }
            }
            Event::Skipped { step, flaw, .. } => {
                let i = self.step(step);
                self.by_hand.remove(&i);
                if *flaw {
                    self.flaws.insert(i);
                }
                if self.flying.contains(&i) {
                    self.out.push(format!("`{step}` was passed by while it was in flight"));
                }
                self.passed.insert(i);
            }
            Event::Asked { step, about: About::Manual, .. } if !self.back => {
                let i = self.step(step);
                for &j in self.flying.iter().filter(|&&j| j != i && collide(&self.steps[i], &self.steps[j])) {
                    self.out.push(format!("a person was asked for `{step}` while `{}` was in flight", self.steps[j].id));
                }
                self.by_hand.insert(i);
            }
            Event::Approved { step, who, .. } => drop(self.approvals.entry(self.step(step)).or_default().insert(who.clone())),
            Event::Word { word, step, .. } => self.word(word, step.as_deref()),
            Event::Objective { asset, shown, .. } if shown == "shown" => {
                let proves = |(i, s): (usize, &Step)| {
                    s.assets.contains(asset) && self.done.contains(&i) && (s.phase == Phase::Verify || s.check.is_some())
                };
                if !self.steps.iter().enumerate().any(proves) {
                    self.out.push(format!("`{asset}` is said to be shown, and nothing verified it"));
                }
            }
            Event::Finished { how, .. } => {
                self.ended = true;
                let flawed = self.flaws.iter().next().filter(|_| *how == End::Good);
                self.out.extend(flawed.map(|&i| format!("the run is called good, and `{}` was left out", self.steps[i].id)));
                for i in &self.flying {
                    self.out.push(format!("the run ended while `{}` was in flight", self.steps[*i].id));
                }
            }
            _ => {}
        }
    }

    fn begun(&mut self, i: usize, at: Timestamp, attempt: u32) {
        let step = &self.steps[i];
        let id = &step.id;
        if self.cut.remove(&i)
            && let Some(until) = self.deadline.get(&i).filter(|t| at < **t)
        {
            self.out.push(format!("`{id}` was begun again before {until}, when its last attempt could still land"));
        }
        if step.effect == Effect::Once && attempt > 1 && !self.again.remove(&i) {
            self.out.push(format!("`{id}` is `once` and was begun again, and nobody said so"));
        }
        if self.done.contains(&i) {
            self.out.push(format!("`{id}` was begun again after it was done"));
        }
        if self.back || self.paused {
            self.out.push(format!("`{id}` was begun while the run was {}", if self.back { "rolled back" } else { "paused" }));
        }
        let compiled = self.checked.compiled();
        if let Some(wait) = compiled.waits[i].iter().find(|w| !met(compiled, w.on, &self.passed)) {
            self.out.push(format!("`{id}` was begun before {:?}", wait.on));
        }
        if let Some(until) = self.rested.remove(&i).filter(|until| at < *until) {
            self.out.push(format!("`{id}` was tried again before {until}"));
        }
        if !self.said.contains_key(&i)
            && let Some(when) = step.when.iter().find(|w| self.refutes(w))
        {
            self.out.push(format!("`{id}` was begun, and `{}` of `{}` says that it is not to be", when.output, when.step));
        }
        self.unknown.remove(&i);
        let slots = self.checked.compiled().parallel.max(1) as usize;
        if self.flying.difference(&self.unknown).filter(|&&j| j != i).count() >= slots {
            self.out.push(format!("`{id}` was begun as more than {slots} at once"));
        }
        for &j in self.flying.iter().filter(|&&j| j != i && collide(step, &self.steps[j])) {
            self.out.push(format!("`{id}` and `{}` were in flight at once", self.steps[j].id));
        }
        for &j in self.by_hand.iter().filter(|&&j| collide(step, &self.steps[j])) {
            self.out.push(format!("`{id}` was begun while a person was at `{}`", self.steps[j].id));
        }
        self.flying.insert(i);
    }

    /// True if what a condition asks for was found, and is something else.
    fn refutes(&self, when: &When) -> bool {
        let found = self.outputs.get(&self.step(&when.step)).and_then(|outputs| outputs.get(&when.output));
        found.is_some_and(|found| !matcher::fits(&when.matcher, Some(found)))
    }

    fn taken_back(&mut self, i: usize) {
        let step = &self.steps[i];
        let above = above(self.checked, i);
        for &j in self.done.iter().filter(|j| !self.undone.contains(*j) && above.contains(*j)) {
            if !matches!(self.steps[j].undo, Undo::Unneeded) {
                self.out.push(format!("`{}` was taken back while `{}` stood on it", step.id, self.steps[j].id));
            }
        }
        if matches!(step.undo, Undo::None(_)) {
            self.out.push(format!("`{}` cannot be undone, and was", step.id));
        }
        self.flying.insert(i);
    }

    fn ended_well(&mut self, i: usize, doing: Doing) {
        self.flying.remove(&i);
        self.unknown.remove(&i);
        self.open.remove(&i);
        self.cut.remove(&i);
        if doing == Doing::Undo {
            self.undone.insert(i);
            return;
        }
        let step = &self.steps[i];
        if step.call.uses == "approval" {
            let wanted = step.call.with.get("count").and_then(Value::as_u64).unwrap_or(1);
            if (self.approvals.get(&i).map_or(0, BTreeSet::len) as u64) < wanted {
                self.out.push(format!("`{}` passed without {wanted} people", step.id));
            }
        }
        self.done.insert(i);
        self.passed.insert(i);
    }

    fn word(&mut self, word: &Word, step: Option<&str>) {
        let i = step.map(|s| self.step(s));
        match (word, i) {
            // From here on nobody begins what was not begun; and what is wanted again may be before what a person is at.
            (Word::Rollback { .. } | Word::Abort | Word::RetryDownstream { .. }, _) => self.by_hand.clear(),
            (_, Some(i)) => {
                self.by_hand.remove(&i);
            }
            _ => {}
        }
        match (word, i) {
            (Word::Rollback { .. }, _) => {
                self.back = true;
                self.paused = false;
            }
            (Word::Retry, Some(i)) => {
                self.again.insert(i);
                *self.said.entry(i).or_default() += 1;
                self.rested.remove(&i);
                self.approvals.remove(&i);
            }
            (Word::RetryDownstream { again }, _) => {
                for i in again.iter().map(|id| self.step(id)).collect::<Vec<_>>() {
                    self.done.remove(&i);
                    self.passed.remove(&i);
                    self.flaws.remove(&i);
                    self.rested.remove(&i);
                    self.approvals.remove(&i);
                    self.again.insert(i);
                    *self.said.entry(i).or_default() += 1;
                }
            }
            (Word::Pause, _) => self.paused = true,
            (Word::Resume, _) => self.paused = false,
            (Word::Skip, Some(i)) => {
                self.flaws.insert(i);
                self.passed.insert(i);
            }
            (Word::Resolve { done, .. }, Some(i)) => {
                self.flying.remove(&i);
                self.unknown.remove(&i);
                self.open.remove(&i);
                match (*done, self.back) {
                    (true, false) => {
                        self.done.insert(i);
                        self.passed.insert(i);
                    }
                    (true, true) => drop(self.undone.insert(i)),
                    (false, _) => {
                        self.again.insert(i);
                        *self.said.entry(i).or_default() += 1;
                    }
                }
            }
            _ => {}
        }
    }

    /// What was done to the world was announced, `once` at most once, and nobody's newer change was overwritten.
    fn deeds(&mut self, run: &str, entries: &[Entry], deeds: &[Deed]) {
        let mut announced: BTreeMap<String, i64> = BTreeMap::new();
        let mut closed: BTreeMap<String, i64> = BTreeMap::new();
        for entry in entries {
            let at = entry.at.as_millisecond();
            match &entry.event {
                Event::Intent { step, doing, attempt, .. } => {
                    announced.insert(ticket(run, step, *doing, *attempt), at);
                    // What is begun again was surely over; what is repeated may be anything else.
                    if self.steps.get(self.step(step)).is_some_and(|s| s.effect != Effect::Idempotent) && *attempt > 1 {
                        closed.entry(ticket(run, step, *doing, attempt - 1)).or_insert(at);
                    }
                }
                Event::Failed { step, doing, attempt, .. } => drop(closed.insert(ticket(run, step, *doing, *attempt), at)),
                _ => {}
            }
        }
        let start = entries.first().map_or(0, |e| e.at.as_millisecond());
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        let mut foreign: BTreeSet<&str> = BTreeSet::new();
        let mut there: BTreeMap<&str, bool> = BTreeMap::new();
        for deed in deeds {
            if deed.by == "somebody" {
                foreign.extend(self.steps.iter().map(|s| s.id.as_str()).filter(|id| deed.what.contains(&format!("{id}.example.com"))));
                continue;
            }
            let by = deed.by.trim_start_matches("drplan ");
            let Some(name) = by.strip_prefix(run).and_then(|rest| rest.strip_prefix('/')) else { continue };
            let at = start + deed.at_ms as i64;
            // A name's change carries the key of all attempts of its step.
            let mine: Vec<&String> = announced.keys().filter(|t| *t == by || t.starts_with(&format!("{by}/"))).collect();
            let last = mine.iter().filter(|t| announced[**t] <= at).max_by_key(|t| announced[**t]);
            match last {
                None => self.out.push(format!("`{by}` acted before its intent was in the journal")),
                Some(t) if closed.get(*t).is_some_and(|c| at > *c) => {
                    self.out.push(format!("`{by}` landed after it was called not there"));
                }
                Some(_) => {}
            }
            let id = name.split('/').next().unwrap_or_default();
            if foreign.contains(id) {
                self.out.push(format!("`{by}` overwrote somebody's newer change"));
            }
            let checked = self.steps.get(self.step(id)).is_some_and(|s| s.check.is_some());
            if name.contains("/undo") && checked && there.insert(id, false) != Some(true) {
                self.out.push(format!("`{by}` took back what was not there"));
            }
            if name.contains("/apply") {
                there.insert(id, true);
                *times.entry(id.to_owned()).or_default() += 1;
            }
        }
        for step in self.steps.iter().filter(|s| s.effect == Effect::Once) {
            // A person may have said that it is to be tried again.
            let allowed = 1 + self.said.get(&self.step(&step.id)).copied().unwrap_or(0);
            if let Some(n) = times.get(&step.id).filter(|n| **n > allowed) {
                self.out.push(format!("`{}` is `once` and happened {n} times", step.id));
            }
        }
    }
}

/// After every event the state is in order with itself.
pub fn folded(checked: &Arc<Checked>, run: &str, entries: &[Entry]) -> Option<String> {
    let (first, rest) = entries.split_at_checked(1)?;
    let mut state = match State::bound(run, first, checked) {
        Ok(state) => state,
        Err(why) => return Some(why.to_string()),
    };
    rest.iter().find_map(|entry| match state.fold(entry) {
        Ok(()) => state.disorder().map(|what| format!("after event {}: {what}", entry.seq)),
        Err(why) => Some(why.to_string()),
    })
}

fn met(plan: &Compiled, node: Node, passed: &BTreeSet<usize>) -> bool {
    match node {
        Node::Step(i) => passed.contains(&(i as usize)),
        Node::Join(j) => plan.joins[j as usize].waits.iter().all(|w| met(plan, w.on, passed)),
    }
}

/// All that stands on a step.
fn above(checked: &Checked, i: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut open = vec![i];
    while let Some(n) = open.pop() {
        open.extend(checked.graph().after[n].iter().map(|&x| x as usize).filter(|&x| seen.insert(x)));
    }
    seen
}
