//! The state of a run: a fold of its events, and nothing else. It does not decide and does not act.
//!
//! A step has one life, changed by events through one door, [`State::fold`]. What leads where:
//!
//! ```text
//! waiting ──intent──▶ running ──done──▶ done ──undo intent──▶ running (undo) ──done──▶ undone
//!    │                 │   │                                   │       │
//!    │                 │   └─unknown─▶ unknown ─done/failed─▶  │       └─failed─▶ stuck ──retry──▶ done
//!    │                 └─failed─▶ failed ──intent (again)──▶ running   └─unknown─▶ unknown (undo)
//!    └─skipped / done (a person, an approval) / failed (before an attempt)
//!
//! done, failed, skipped ──retry --downstream──▶ waiting (again)      an approval, done ──lapsed──▶ waiting
//! ```
//!
//! What waits again takes its pass back: nothing that stands on it begins before it is done once more. An approval
//! lapses when the run stood still for longer than its `valid` after it was given.
//!
//! A run that adopted another one begins with steps where that one left them. What stands from there and does not count by
//! itself is `left` until a person says whether it does.
//!
//! An event that has no place in this table is an error: it means that two programs disagree about a run, and
//! nothing is driven on a disagreement. An operator's word that has no place (it raced with the step) does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::lists::{Index, Lists};
use super::machine::retryable;
use super::planted::planted;
use super::{measure, rollback, waiting};
use crate::analysis::Checked;
use crate::graph::schedule::urgency;
use crate::journal::{About, Answer, Carried, Doing, End, Entry, Event, Stands, Word};
use crate::model::{Compiled, Node, Step};

/// Where a step stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Life {
    /// Not begun, or to be begun again.
    Waiting,
    /// An attempt is under way.
    Running {
        /// Doing or undoing.
        doing: Doing,
        /// Since when.
        since: Timestamp,
    },
    /// Nobody knows what became of an attempt.
    Unknown {
        /// Doing or undoing.
        doing: Doing,
        /// Why.
        why: String,
        /// From then on nothing of it can land; none: closed.
        open_until: Option<Timestamp>,
        /// Its driver ended while it ran.
        died: bool,
        /// What the last look found.
        answer: Option<Answer>,
    },
    /// The last attempt surely ended without success.
    Failed {
        /// Why.
        reason: String,
        /// The target could not be reached.
        unreachable: bool,
        /// When.
        at: Timestamp,
    },
    /// Done.
    Done,
    /// It does not run.
    Skipped {
        /// Why.
        reason: String,
        /// The run cannot end well without it.
        flaw: bool,
    },
    /// Taken back.
    Undone,
    /// Its undo failed.
    Stuck {
        /// Why.
        reason: String,
    },
    /// Its effect, or half of it, stands from an earlier run; a person says what becomes of it.
    Left {
        /// Why it does not count by itself.
        why: String,
    },
}

/// What a step brings along from an earlier run.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// As the earlier run left it: the names of its attempts, what its references meant, where its paths stand.
    pub left: Carried,
    /// Where it stands should it turn out to be done; none: then its result counts.
    pub then: Option<Box<Stands>>,
}

/// What is known of a step.
#[derive(Debug, Clone)]
pub struct StepState {
    /// Where it stands.
    pub life: Life,
    /// Attempts to do it.
    pub attempts: u32,
    /// Of these, how many count against `retry`.
    pub tries: u32,
    /// Attempts to take it back.
    pub undo_attempts: u32,
    /// The state before, once it was read.
    pub before: Option<Value>,
    /// What it found out.
    pub outputs: Map<String, Value>,
    /// Who approved, and when.
    pub approvals: Vec<(String, Timestamp)>,
    /// The question that stands.
    pub asked: Option<(About, String)>,
    /// Since when it stands where it stands, or is asked what it is asked.
    pub since: Option<Timestamp>,
    /// Number of the event of the first intent, and its place among those of one event: the order of effects.
    pub effect_seq: Option<(u64, u32)>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it was done.
    pub done_at: Option<Timestamp>,
    /// A person said that it is done.
    pub by_person: bool,
    /// A person said that its condition does not matter.
    pub forced: bool,
    /// It was done, and a person wants it done again.
    pub again: bool,
    /// Approvals were given, and a pause of so many milliseconds outlived them.
    pub lapsed: Option<u64>,
    /// When it became ready.
    pub ready_at: Option<Timestamp>,
    /// A rollback looked at a failed attempt: what it found.
    pub surveyed: Option<Answer>,
    /// The driver of the last attempt: `user@host pid N`.
    pub begun_by: String,
    /// What it brings along from a run that was adopted.
    pub past: Option<Box<Past>>,
    /// After this nothing of the last attempt can land any more, as its intent says.
    pub lands_by: Option<Timestamp>,
}

impl StepState {
    fn new() -> Self {
        StepState {
            life: Life::Waiting,
            attempts: 0,
            tries: 0,
            undo_attempts: 0,
            before: None,
            outputs: Map::new(),
            approvals: Vec::new(),
            asked: None,
            since: None,
            effect_seq: None,
            started_at: None,
            done_at: None,
            by_person: false,
            forced: false,
            again: false,
            lapsed: None,
            ready_at: None,
            surveyed: None,
            begun_by: String::new(),
            past: None,
            lands_by: None,
        }
    }

    /// The number of the last attempt to do it, or to take it back.
    pub fn attempt(&self, doing: Doing) -> u32 {
        match doing {
            Doing::Apply => self.attempts,
            Doing::Undo => self.undo_attempts,
        }
    }

    /// As an earlier run left it.
    fn carried(left: &Carried, seq: u64, nth: u32, at: Timestamp) -> Self {
        let mut then = None;
        let life = match left.stands.clone() {
            Stands::Done => Life::Done,
            Stands::Again => Life::Waiting,
            Stands::Left { why } => Life::Left { why },
            Stands::Failed { reason, unreachable } => Life::Failed { reason, unreachable, at },
            Stands::Stuck { reason } => Life::Stuck { reason },
            Stands::Unknown { doing, why, open_until, then: after } => {
                then = after;
                Life::Unknown { doing, why, open_until, died: true, answer: None }
            }
        };
        StepState {
            life,
            attempts: left.attempts,
            tries: u32::from(left.attempts > 0),
            again: left.stands == Stands::Again,
            undo_attempts: left.undo_attempts,
            before: left.before.clone(),
            outputs: left.outputs.clone(),
            since: Some(at),
            effect_seq: Some((seq, nth)),
            started_at: left.started_at,
            done_at: left.done_at,
            by_person: left.by_person,
            begun_by: left.begun_by.clone(),
            past: Some(Box::new(Past { left: left.clone(), then })),
            ..StepState::new()
        }
    }

    /// True for a step of an earlier run that has no place in this plan.
    pub fn beside(&self) -> bool {
        self.past.as_ref().is_some_and(|past| past.left.beside)
    }

    /// True while nothing that changes anything may begin, because of what an earlier run left here.
    pub fn holds_back(&self) -> bool {
        matches!(self.life, Life::Left { .. }) || (self.beside() && !self.settled())
    }

    /// True while an attempt is under way or may still land: the step keeps its locks.
    pub fn in_flight(&self) -> bool {
        matches!(self.life, Life::Running { .. } | Life::Unknown { .. })
    }

    /// True if something of it may have had an effect, whoever did it.
    pub fn touched(&self) -> bool {
        self.attempts > 0 || self.again
    }

    /// True if nothing more of the step can happen by itself.
    pub fn settled(&self) -> bool {
        matches!(self.life, Life::Done | Life::Skipped { .. } | Life::Undone)
    }
}

/// A rollback that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Undo only what stands on this step.
    pub to: Option<usize>,
}

/// An asset that is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// When.
    pub at: Timestamp,
    /// From the incident's start, in milliseconds.
    pub recovery_ms: u64,
}

/// A run, as its events tell it.
#[derive(Debug, Clone)]
pub struct State {
    /// Its name.
    pub run: String,
    /// The plan that it is bound to.
    pub checked: Arc<Checked>,
    /// The plan's directory.
    pub dir: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When the incident began.
    pub incident_start: Timestamp,
    /// Nobody said so: computed from `detect` and `decide`.
    pub incident_assumed: bool,
    /// Who drives, or did last: `user@host pid N`.
    pub driver: String,
    /// Who started it: `user@host`.
    pub starter: String,
    /// Number of the last event folded.
    pub seq: u64,
    /// When a driver last wrote, by its time.
    pub written_at: Timestamp,
    /// Steps, by index.
    pub steps: Vec<StepState>,
    /// A person wants nothing more to start, and why.
    pub paused: Option<String>,
    /// What was done is being taken back.
    pub back: Option<Back>,
    /// A person ended the run.
    pub aborting: bool,
    /// How it ended.
    pub finished: Option<End>,
    /// Assets that are back.
    pub recovered: BTreeMap<String, Recovered>,
    /// Steps by what can happen to them next.
    pub lists: Lists,
    /// Steps and assets by each other.
    pub index: Arc<Index>,
    names: HashMap<String, usize>,
    missing: Vec<u32>,
    passed: Vec<bool>,
    driven: bool,
    /// Since when nothing new may start; none: it goes on.
    stood_since: Option<Timestamp>,
    /// For each asset, how many of the steps that bring it back are not settled.
    open: BTreeMap<String, usize>,
}

/// An event that has no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Illegal(pub String);

impl std::fmt::Display for Illegal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an event that has no place: {}", self.0)
    }
}

impl State {
    /// Folds a whole run.
    pub fn of(run: &str, entries: &[Entry]) -> Result<State, Illegal> {
        let Some(Entry { event: Event::RunStarted { compiled, .. }, .. }) = entries.first() else {
            return Err(Illegal("the run does not begin with its start".to_owned()));
        };
        let checked = Checked::from_json(compiled).map_err(Illegal)?;
        State::begun(run, entries, Arc::new(checked))
    }

    /// Folds a whole run of a plan that is known already.
    pub fn bound(run: &str, entries: &[Entry], known: &Arc<Checked>) -> Result<State, Illegal> {
        State::begun(run, entries, Arc::clone(known))
    }

    fn begun(run: &str, entries: &[Entry], checked: Arc<Checked>) -> Result<State, Illegal> {
        let Some(Entry { at, event: Event::RunStarted { dir, digest, incident_start, incident_assumed, .. }, .. }) = entries.first() else {
            return Err(Illegal("the run does not begin with its start".to_owned()));
        };
        if checked.digest() != digest {
            return Err(Illegal(format!("the plan in the journal has the digest {}, and the run is bound to {digest}", checked.digest())));
        }
        let checked = match entries.get(1).map(|e| &e.event) {
            Some(Event::Adopted { beside, .. }) if !beside.is_null() => Arc::new(super::adopt::widened(&checked, beside).map_err(Illegal)?),
            _ => checked,
        };
        let mut state = State::new(run, checked, dir, *at, *incident_start, *incident_assumed);
        entries.iter().try_for_each(|entry| state.fold(entry))?;
        Ok(state)
    }

    /// The same run, folded anew.
    pub fn again(&self, entries: &[Entry]) -> Result<State, Illegal> {
        let checked = Arc::clone(&self.checked);
        let mut state = State::new(&self.run, checked, &self.dir, self.started_at, self.incident_start, self.incident_assumed);
        entries.iter().try_for_each(|entry| state.fold(entry))?;
        Ok(state)
    }

    /// A run that has no events, and will have none: for a dry run.
    pub fn unstarted(checked: Arc<Checked>, dir: &str, at: Timestamp) -> State {
        State::new("dry-run", checked, dir, at, at, true)
    }

    fn new(run: &str, checked: Arc<Checked>, dir: &str, started_at: Timestamp, incident_start: Timestamp, incident_assumed: bool) -> State {
        let graph = checked.graph();
        let missing: Vec<u32> = graph.before.iter().map(|b| b.len() as u32).collect();
        let total = missing.len();
        let steps = &checked.compiled().scenario.steps;
        let mut state = State {
            run: run.to_owned(),
            dir: dir.to_owned(),
            started_at,
            incident_start,
            incident_assumed,
            driver: String::new(),
            starter: String::new(),
            driven: false,
            stood_since: None,
            seq: 0,
            written_at: started_at,
            steps: vec![StepState::new(); steps.len()],
            paused: None,
            back: None,
            aborting: false,
            finished: None,
            recovered: BTreeMap::new(),
            lists: Lists { unsettled: steps.len(), ..Lists::default() },
            index: Arc::default(),
            names: steps.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect(),
            missing,
            passed: vec![false; total],
            open: BTreeMap::new(),
            checked,
        };
        state.index = Arc::new(measure::index(&state));
        state.open = measure::open(&state);
        for node in 0..total {
            state.pass(node);
        }
        (0..state.steps.len()).for_each(|i| state.sort(i, false));
        state
    }

    /// The plan.
    pub fn plan(&self) -> &Compiled {
        self.checked.compiled()
    }

    /// The step at an index.
    pub fn step(&self, i: usize) -> &Step {
        &self.plan().scenario.steps[i]
    }

    /// The index of a step's name.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.names.get(id).copied()
    }

    /// Attempts that may still land: step, which attempt of what, until when.
    pub fn open_until(&self) -> impl Iterator<Item = (usize, Doing, u32, Timestamp)> + '_ {
        self.lists.unknown.iter().filter_map(|&i| match self.steps[i].life {
            Life::Unknown { doing, open_until: Some(until), .. } => Some((i, doing, self.steps[i].attempt(doing), until)),
            _ => None,
        })
    }

    /// True if somebody has the run, as far as its events tell.
    pub fn driven(&self) -> bool {
        self.driven
    }

    /// True if everything that a step waits for is done or passed over.
    pub fn ready(&self, i: usize) -> bool {
        self.missing[i] == 0
    }

    /// Why a step does not run in this run at all, if so.
    pub fn left_out(&self, i: usize) -> Option<String> {
        let step = self.step(i);
        let mode = self.plan().mode;
        if self.plan().left_out.contains(&step.id) {
            return Some("left out when the run was started".to_owned());
        }
        (!step.modes.contains(&mode)).then(|| format!("it does not run in mode {mode}"))
    }

    /// What a step waits for that is not done, as the plan says it.
    pub fn open_waits(&self, i: usize) -> Vec<&crate::model::Wait> {
        self.plan().waits[i].iter().filter(|w| !self.passed[self.node(w.on)]).collect()
    }

    fn node(&self, node: Node) -> usize {
        match node {
            Node::Step(i) => i as usize,
            Node::Join(j) => self.steps.len() + j as usize,
        }
    }

    /// Lets a node that is done and whose own waits are done count for those that wait for it.
    fn pass(&mut self, node: usize) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let done = match self.steps.get(node) {
                Some(step) => matches!(step.life, Life::Done | Life::Skipped { .. }),
                None => true,
            };
            if self.passed[node] || !done || self.missing[node] > 0 {
                continue;
            }
            self.passed[node] = true;
            let checked = Arc::clone(&self.checked);
            for &next in &checked.graph().after[node] {
                let next = next as usize;
                self.missing[next] = self.missing[next].saturating_sub(1);
                if self.missing[next] == 0 && next < self.steps.len() {
                    self.sort(next, self.steps[next].settled());
                }
                open.push(next);
            }
        }
    }

    /// Takes back that a node counts: what waits for it waits again, and so does what waits for that.
    fn unpass(&mut self, node: usize) {
        let checked = Arc::clone(&self.checked);
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut self.passed[node], false) {
                continue;
            }
            for &next in &checked.graph().after[node] {
                let next = next as usize;
                self.missing[next] += 1;
                if next < self.steps.len() {
                    self.sort(next, self.steps[next].settled());
                }
                open.push(next);
            }
        }
    }

    /// Steps that wait for a step, directly or through others.
    pub fn downstream(&self, i: usize) -> Vec<usize> {
        let reached = rollback::reach(&self.checked.graph().after, i);
        reached.into_iter().filter(|&j| j != i && j < self.steps.len()).collect()
    }

    /// What is kept beside the steps and says something else than they do, if anything: a mistake of this program.
    pub fn disorder(&self) -> Option<String> {
        let graph = self.checked.graph();
        for (node, before) in graph.before.iter().enumerate() {
            let open = before.iter().filter(|&&b| !self.passed[b as usize]).count();
            let done = self.steps.get(node).is_none_or(|s| matches!(s.life, Life::Done | Life::Skipped { .. }));
            // A run that goes back waits for nothing more, and what was passed stays so.
            let passed = if self.back.is_some() { self.passed[node] } else { done && open == 0 };
            if self.missing[node] as usize != open || self.passed[node] != passed {
                return Some(format!("node {node} waits for {open}, {} are counted, passed: {}", self.missing[node], self.passed[node]));
            }
        }
        let mut lists = Lists { unsettled: self.steps.len(), due: self.lists.due.clone(), ..Lists::default() };
        for (i, step) in self.steps.iter().enumerate() {
            lists.sort(urgency(graph, i), self.step(i), step, self.missing[i] == 0, false);
        }
        (lists != self.lists).then(|| format!("the lists are\n{:?}\nand should be\n{lists:?}", self.lists))
    }

    /// Puts a step into the lists where it belongs now, and its assets where they are due.
    fn sort(&mut self, i: usize, was_settled: bool) {
        let checked = Arc::clone(&self.checked);
        let step = &checked.compiled().scenario.steps[i];
        let place = urgency(checked.graph(), i);
        let settled = self.steps[i].settled();
        self.lists.sort(place, step, &self.steps[i], self.missing[i] == 0, was_settled);
        if was_settled == settled || !measure::brings_back(step) {
            return;
        }
        for asset in &step.assets {
            if let Some(open) = self.open.get_mut(asset) {
                *open = if settled { open.saturating_sub(1) } else { *open + 1 };
            }
            self.due(asset);
        }
    }

    /// Whether an asset is back now.
    fn due(&mut self, asset: &str) {
        let whole = self.open.get(asset) == Some(&0) && !self.recovered.contains_key(asset);
        if whole && measure::objective(self, asset).is_some() {
            self.lists.due.insert(asset.to_owned());
        } else {
            self.lists.due.remove(asset);
        }
    }

    /// The one door: an event changes the state, or is refused.
    pub fn fold(&mut self, entry: &Entry) -> Result<(), Illegal> {
        if entry.seq != self.seq + 1 {
            return Err(Illegal(format!("event {} after event {}", entry.seq, self.seq)));
        }
        self.seq = entry.seq;
        // A person speaks by the clock of their own machine: what they say follows what had happened by then.
        let was = self.written_at;
        let at = entry.at.max(was);
        if !spoken(&entry.event) {
            self.written_at = at;
        }
        self.happen(entry, at)?;
        self.stand(entry, at, was);
        Ok(())
    }

    fn happen(&mut self, entry: &Entry, at: Timestamp) -> Result<(), Illegal> {
        match &entry.event {
            Event::RunStarted { operator, .. } => {
                self.starter.clone_from(operator);
                Ok(())
            }
            Event::LeaseGiven { .. } => Ok(()),
            Event::LeaseBroken { .. } | Event::HandedOver { .. } | Event::Imported { .. } => Ok(()),
            Event::Adopted { carried, .. } => self.adopt(carried, at),
            Event::AdoptedBy { .. } => {
                self.finished = Some(End::Adopted);
                Ok(())
            }
            Event::LeaseTaken { holder, .. } => {
                self.driver.clone_from(holder);
                Ok(())
            }
            Event::Ready { step } => self.change(step, at, "ready", |s| {
                s.ready_at = Some(at);
                matches!(s.life, Life::Waiting)
            }),
            Event::Intent { step, doing, attempt, before, timeout_ms, settles_ms, .. } => {
                let lands_by = at + Duration::from_millis(timeout_ms.unwrap_or(0) + settles_ms);
                let (seq, driver) = (entry.seq, self.driver.clone());
                self.change(step, at, "an intent", |s| {
                    s.begun_by = driver;
                    s.lands_by = Some(lands_by);
                    s.begin(*doing, *attempt, before, at, seq)
                })
            }
            Event::Done { step, doing, attempt, outputs, .. } => {
                let seq = entry.seq;
                self.change(step, at, "a result", |s| {
                    // What a person did has no intent: its place among the effects is where it was said.
                    s.effect_seq.get_or_insert((seq, 0));
                    s.end_well(*doing, *attempt, outputs, at)
                })?;
                self.passed_by(step)
            }
            Event::Failed { step, doing, attempt, reason, unreachable } => {
                self.change(step, at, "a failure", |s| s.end_badly(*doing, *attempt, reason, *unreachable, at))
            }
            Event::Unknown { step, doing, why, open_until, died, .. } => self.change(step, at, "an unknown", |s| {
                let legal = matches!(&s.life, Life::Running { doing: d, .. } if d == doing);
                s.life = Life::Unknown { doing: *doing, why: why.clone(), open_until: *open_until, died: *died, answer: None };
                legal
            }),
            Event::Probed { step, answer, closed, .. } => self.change(step, at, "a probe", |s| s.probed(*answer, *closed)),
            Event::Skipped { step, reason, flaw } => {
                self.change(step, at, "a skip", |s| {
                    let legal = matches!(s.life, Life::Waiting | Life::Failed { .. });
                    s.life = Life::Skipped { reason: reason.clone(), flaw: *flaw };
                    s.asked = None;
                    legal
                })?;
                self.passed_by(step)
            }
            Event::Asked { step, about, question } => self.change(step, at, "a question", |s| {
                s.asked = Some((*about, question.clone()));
                true
            }),
            Event::Approved { step, who, digest, .. } => {
                let fits = digest == self.checked.digest();
                self.change(step, at, "an approval", |s| {
                    if fits && matches!(s.life, Life::Waiting) && s.approvals.iter().all(|(w, _)| contact_of(w) != contact_of(who)) {
                        s.approvals.push((who.clone(), at));
                    }
                    true
                })
            }
            Event::Declined { step, who, reason, .. } => self.change(step, at, "a refusal", |s| {
                if matches!(s.life, Life::Waiting) {
                    s.life = Life::Failed { reason: format!("declined by {who}: {reason}"), unreachable: false, at };
                    s.asked = None;
                }
                true
            }),
            Event::Word { word, step, who, reason } => self.hear(word, step.as_deref(), who, reason, at),
            Event::Objective { asset, at, recovery_ms, .. } => {
                self.recovered.insert(asset.clone(), Recovered { at: *at, recovery_ms: *recovery_ms });
                self.due(asset);
                let index = Arc::clone(&self.index);
                index.above.get(asset).into_iter().flatten().for_each(|above| self.due(above));
                Ok(())
            }
            Event::Finished { how, .. } => {
                self.finished = Some(*how);
                Ok(())
            }
        }
    }

    /// Whether the run goes on, and what a pause that ends here has outlived. It stands while a person paused it, a
    /// failure waits for a person, or nobody drives it; whoever went away without a word was last there when they last wrote.
    fn stand(&mut self, entry: &Entry, at: Timestamp, was: Timestamp) {
        match &entry.event {
            Event::LeaseTaken { .. } => {
                if self.driven {
                    self.stood_since.get_or_insert(was);
                }
                self.driven = true;
            }
            Event::LeaseGiven { .. } | Event::LeaseBroken { .. } | Event::HandedOver { .. } => self.driven = false,
            _ => {}
        }
        let failed = |&i: &usize| !retryable(self.step(i), &self.steps[i]);
        if !self.driven || self.paused.is_some() || self.lists.failed.iter().any(failed) {
            self.stood_since.get_or_insert(at);
        } else if let Some(since) = self.stood_since.take() {
            self.lapse(since, at);
        }
    }

    /// Approvals that a pause has outlived are wanted again, where something still stands on them.
    fn lapse(&mut self, since: Timestamp, until: Timestamp) {
        if self.back.is_some() || self.aborting || self.finished.is_some() {
            return;
        }
        for i in 0..self.steps.len() {
            if self.steps[i].approvals.is_empty() {
                continue;
            }
            let valid = waiting::valid_ms(self.step(i));
            let lasted = |given: Timestamp| u64::try_from(until.duration_since(given.max(since)).as_millis()).unwrap_or(0);
            let longest = self.steps[i].approvals.iter().map(|(_, given)| lasted(*given)).max().unwrap_or(0);
            if longest <= valid {
                continue;
            }
            let open = |j: &usize| matches!(self.steps[*j].life, Life::Waiting | Life::Failed { .. });
            match self.steps[i].life {
                Life::Waiting => {}
                Life::Done if self.downstream(i).iter().any(open) => {}
                _ => continue,
            }
            let settled = self.steps[i].settled();
            let step = &mut self.steps[i];
            step.approvals.retain(|(_, given)| lasted(*given) <= valid);
            step.lapsed = Some(longest);
            step.since = Some(until);
            step.wait_again();
            self.sort(i, settled);
            self.unpass(i);
        }
    }

    /// Steps that are to be done again, with all that stands on them.
    fn redo(&mut self, again: &[String], at: Timestamp) {
        let all: Vec<usize> = again.iter().filter_map(|id| self.find(id)).collect();
        for &i in &all {
            let settled = self.steps[i].settled();
            let step = &mut self.steps[i];
            match step.life {
                Life::Done => step.again = true,
                Life::Failed { .. } | Life::Skipped { .. } => {}
                _ => continue,
            }
            step.wait_again();
            step.approvals.clear();
            step.lapsed = None;
            step.surveyed = None;
            step.by_person = false;
            step.tries = 0;
            step.since = Some(at);
            for asset in self.step(i).assets.clone() {
                self.gone(&asset);
            }
            self.sort(i, settled);
            self.unpass(i);
        }
    }

    /// An asset is not back any more, nor is what stands on it.
    fn gone(&mut self, asset: &str) {
        let index = Arc::clone(&self.index);
        let mut open = vec![asset];
        while let Some(asset) = open.pop() {
            if self.recovered.remove(asset).is_some() {
                open.extend(index.above.get(asset).into_iter().flatten().map(String::as_str));
            }
            self.due(asset);
        }
    }

    /// Takes in what an earlier run left, before anything else happened.
    fn adopt(&mut self, carried: &[Carried], at: Timestamp) -> Result<(), Illegal> {
        if self.seq != 2 {
            return Err(Illegal(format!("event {}: a run adopts another one before anything else", self.seq)));
        }
        for (left, nth) in carried.iter().zip(0..) {
            let i = self.find(&left.step).ok_or_else(|| Illegal(format!("event {}: there is no step `{}`", self.seq, left.step)))?;
            let settled = self.steps[i].settled();
            self.steps[i] = StepState::carried(left, self.seq, nth, at);
            self.sort(i, settled);
        }
        (0..self.steps.len()).for_each(|i| self.pass(i));
        Ok(())
    }

    fn change(&mut self, step: &str, at: Timestamp, what: &str, door: impl FnOnce(&mut StepState) -> bool) -> Result<(), Illegal> {
        let i = self.find(step).ok_or_else(|| Illegal(format!("event {}: there is no step `{step}`", self.seq)))?;
        let was = self.steps[i].life.clone();
        let settled = self.steps[i].settled();
        let about = self.steps[i].asked.as_ref().map(|(about, _)| *about);
        let legal = door(&mut self.steps[i]);
        if self.steps[i].life != was || self.steps[i].asked.as_ref().map(|(about, _)| *about) != about {
            self.steps[i].since = Some(at);
        }
        self.sort(i, settled);
        if legal { Ok(()) } else { Err(Illegal(format!("event {}: {what} for step `{step}`, which was {was:?}", self.seq))) }
    }

    fn passed_by(&mut self, step: &str) -> Result<(), Illegal> {
        if let Some(i) = self.find(step) {
            self.pass(i);
        }
        Ok(())
    }

    /// An operator's word. What has no place any more (the step went on meanwhile) does nothing.
    fn hear(&mut self, word: &Word, step: Option<&str>, who: &str, reason: &str, at: Timestamp) -> Result<(), Illegal> {
        if let Word::RetryDownstream { again } = word {
            self.redo(again, at);
            return Ok(());
        }
        let target = step.and_then(|s| self.find(s));
        let settled = target.is_some_and(|i| self.steps[i].settled());
        match (word, target) {
            (Word::Pause, _) => self.paused = Some(format!("{who}: {reason}")),
            (Word::Resume, _) => self.paused = None,
            (Word::Abort, _) => self.aborting = true,
            (Word::Rollback { to }, _) => {
                self.paused = None;
                self.back = Some(Back { to: to.as_deref().and_then(|t| self.find(t)) });
                // What was asked in order to go on is asked no more.
                self.steps.iter_mut().filter(|s| s.life == Life::Waiting).for_each(|s| s.asked = None);
            }
            (Word::Retry, Some(i)) => self.steps[i].again(),
            (Word::Skip, Some(i)) => {
                let step = &mut self.steps[i];
                if matches!(step.life, Life::Waiting | Life::Failed { .. }) {
                    step.life = Life::Skipped { reason: format!("{who}: {reason}"), flaw: true };
                    step.asked = None;
                }
            }
            (Word::Resolve { done, record, .. }, Some(i)) => {
                let seq = self.seq;
                self.steps[i].effect_seq.get_or_insert((seq, 0));
                let back = self.back.is_some();
                self.steps[i].resolved(*done, back, record, &format!("{who}: {reason}"), at);
            }
            (Word::Retry | Word::Skip | Word::Resolve { .. }, None) | (Word::RetryDownstream { .. }, _) => {}
        }
        if let Some(i) = target {
            self.steps[i].since = Some(at);
            self.sort(i, settled);
            self.pass(i);
        }
        Ok(())
    }
}

/// True if a person may have written the event, by the clock of any machine.
fn spoken(event: &Event) -> bool {
    use Event::{Approved, Declined, HandedOver, Imported, LeaseBroken, Word};
    matches!(event, Word { .. } | Approved { .. } | Declined { .. } | LeaseBroken { .. } | HandedOver { .. } | Imported { .. })
}

impl StepState {
    fn begin(&mut self, doing: Doing, attempt: u32, before: &Value, at: Timestamp, seq: u64) -> bool {
        let legal = match doing {
            Doing::Apply => {
                let from = match &self.life {
                    Life::Waiting | Life::Failed { .. } => true,
                    Life::Unknown { doing, .. } => *doing == Doing::Apply,
                    _ => false,
                };
                from && attempt == self.attempts + 1
            }
            Doing::Undo => {
                let from = match &self.life {
                    Life::Done | Life::Failed { .. } | Life::Stuck { .. } | Life::Left { .. } => true,
                    // It failed, and the plan or a person went on without it, or was about to try again.
                    Life::Skipped { .. } | Life::Waiting => self.touched(),
                    Life::Unknown { doing, .. } => *doing == Doing::Undo,
                    _ => false,
                };
                from && attempt == self.undo_attempts + 1
            }
        };
        match doing {
            Doing::Apply => {
                // An attempt whose driver died is not one that the plan's `retry` allows for.
                let again = matches!(self.life, Life::Unknown { died: true, .. });
                self.attempts = attempt;
                self.tries += u32::from(!again || self.tries == 0);
                // The state before is read once: what stands there after an attempt may be the attempt's own work.
                self.before.get_or_insert_with(|| before.clone());
                self.effect_seq.get_or_insert((seq, 0));
                self.started_at.get_or_insert(at);
                self.surveyed = None;
                // What it refers to is what it means in this run, from here on.
                if let Some(past) = &mut self.past {
                    past.then = None;
                    past.left.values.clear();
                    past.left.dir.clear();
                }
            }
            Doing::Undo => self.undo_attempts = attempt,
        }
        self.life = Life::Running { doing, since: at };
        self.asked = None;
        legal
    }

    fn end_well(&mut self, doing: Doing, attempt: u32, outputs: &Map<String, Value>, at: Timestamp) -> bool {
        let legal = match (doing, &self.life) {
            (_, Life::Running { doing: d, .. } | Life::Unknown { doing: d, .. }) => *d == doing,
            (Doing::Apply, Life::Waiting) => attempt == 0,
            // It was looked for, and is not there.
            (Doing::Undo, Life::Left { .. }) => attempt == 0,
            _ => false,
        };
        match doing {
            Doing::Apply => {
                self.outputs = outputs.clone();
                self.done_at = Some(at);
                self.started_at.get_or_insert(at);
                let then = self.past.as_mut().and_then(|past| past.then.take()).filter(|_| !planted("adopt-unproved"));
                self.again |= matches!(then.as_deref(), Some(Stands::Again));
                self.life = match then.map(|then| *then) {
                    None => Life::Done,
                    Some(Stands::Left { why }) => Life::Left { why },
                    Some(_) => Life::Waiting,
                };
            }
            Doing::Undo => self.life = Life::Undone,
        }
        self.asked = None;
        legal
    }

    fn end_badly(&mut self, doing: Doing, attempt: u32, reason: &str, unreachable: bool, at: Timestamp) -> bool {
        let legal = match (doing, &self.life) {
            (_, Life::Running { doing: d, .. } | Life::Unknown { doing: d, .. }) => *d == doing,
            (Doing::Apply, Life::Waiting | Life::Failed { .. }) => attempt == 0,
            (Doing::Undo, Life::Done | Life::Failed { .. } | Life::Skipped { .. } | Life::Stuck { .. } | Life::Waiting) => attempt == 0,
            _ => false,
        };
        if attempt == 0 {
            self.tries += 1;
        }
        if let Life::Unknown { answer: Some(Answer::NotThere), .. } = self.life {
            self.surveyed = Some(Answer::NotThere);
        }
        self.life = match doing {
            Doing::Apply if self.beside() => Life::Left { why: reason.to_owned() },
            Doing::Apply => Life::Failed { reason: reason.to_owned(), unreachable, at },
            Doing::Undo => Life::Stuck { reason: reason.to_owned() },
        };
        self.asked = None;
        legal
    }

    fn probed(&mut self, found: Answer, closed: bool) -> bool {
        match &mut self.life {
            Life::Unknown { open_until, answer, .. } => {
                *answer = Some(found);
                if closed {
                    *open_until = None;
                }
                true
            }
            Life::Failed { .. } | Life::Skipped { .. } | Life::Waiting | Life::Left { .. } => {
                self.surveyed = Some(found);
                self.touched()
            }
            _ => false,
        }
    }

    /// Back to where it had not begun; what it did stays known.
    fn wait_again(&mut self) {
        self.life = Life::Waiting;
        self.asked = None;
        self.ready_at = None;
        self.done_at = None;
    }

    fn again(&mut self) {
        match &self.life {
            Life::Failed { .. } => {
                self.life = Life::Waiting;
                self.tries = 0;
                self.approvals.clear();
                // Asked again, an approval has its whole time again.
                self.ready_at = None;
                // Whoever says so after a look that could not tell, knows.
                self.again &= self.attempts == 0;
            }
            Life::Stuck { reason } if self.beside() => self.life = Life::Left { why: reason.clone() },
            Life::Stuck { .. } => self.life = Life::Done,
            Life::Left { .. } if !self.beside() => self.life = Life::Waiting,
            Life::Waiting if matches!(self.asked, Some((About::When, _))) => self.forced = true,
            _ => return,
        }
        self.asked = None;
    }

    fn resolved(&mut self, done: bool, back: bool, record: &Map<String, Value>, words: &str, at: Timestamp) {
        let undoing = matches!(self.life, Life::Unknown { doing: Doing::Undo, .. } | Life::Stuck { .. })
            || (matches!(self.asked, Some((About::Manual, _)))
                && match self.life {
                    Life::Done | Life::Failed { .. } => true,
                    Life::Waiting | Life::Skipped { .. } => back,
                    _ => false,
                });
        match (&self.life, done) {
            (Life::Skipped { .. } | Life::Undone | Life::Running { .. }, _) if !undoing => return,
            (Life::Done, _) if !undoing => return,
            (Life::Left { .. }, true) => {
                self.done_at.get_or_insert(at);
                self.by_person = true;
                self.life = Life::Done;
            }
            (_, false) if self.beside() && !undoing => self.life = Life::Undone,
            (Life::Left { .. }, false) => {
                self.surveyed = Some(Answer::NotThere);
                self.life = Life::Waiting;
            }
            (_, true) if undoing => self.life = Life::Undone,
            (_, true) => {
                self.outputs = record.clone();
                self.done_at = Some(at);
                self.by_person = true;
                self.life = Life::Done;
            }
            (_, false) if undoing => self.life = Life::Stuck { reason: format!("said not to be taken back by {words}") },
            (_, false) => self.life = Life::Failed { reason: format!("said not to be done by {words}"), unreachable: false, at },
        }
        self.asked = None;
    }
}

/// Whose name an approval bears: the contact, or whoever typed it.
pub fn contact_of(who: &str) -> &str {
    who.split(' ').next().unwrap_or(who)
}
