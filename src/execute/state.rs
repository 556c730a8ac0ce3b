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

mod fold;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::lists::{Index, Lists};
use super::{measure, rollback};
use crate::analysis::Checked;
use crate::graph::schedule::urgency;
use crate::journal::{About, Answer, Carried, Doing, End, Entry, Event, Stands};
use crate::model::{Compiled, Mode, Node, Step};

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
        let Some(Entry { event: Event::RunStarted { compiled, digest, .. }, .. }) = entries.first() else {
            return Err(Illegal("the run does not begin with its start".to_owned()));
        };
        let checked = Checked::read_back(compiled, digest).map_err(Illegal)?;
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
            let by = if mode == Mode::Drill { "left out of the drill" } else { "left out when the run was started" };
            return Some(by.to_owned());
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
        let reached = rollback::reach(&self.checked.graph().after, [i]);
        (0..self.steps.len()).filter(|&j| j != i && reached[j]).collect()
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
        if was_settled == settled || !step.phase.ends_recovery() {
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
}

/// Whose name an approval bears: the contact, or whoever typed it.
pub fn contact_of(who: &str) -> &str {
    who.split(' ').next().unwrap_or(who)
}
