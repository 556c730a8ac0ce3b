//! What a run takes over from one that it adopts: of each step whether its result counts here, and why not; and the one
//! append that ends the one and begins the other. It asks nobody.
//!
//! A result counts where the step is the same (action, inputs, target, effect, way back) and stands on the same: the same
//! changes came before it, and each of them counts too. Approvals are passed through, they are asked again; so are
//! steps that only read, unless the step uses what they found. What is in effect and does not count is never forgotten:
//! it is done again where that is harmless, else a person says what becomes of it. What this plan has no step for stands
//! *beside* it, under a name of its own, with all that is needed to look at it and to take it back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::driver::orphans;
use super::errand::{Errand, value_of};
use super::planted::planted;
use super::rollback::in_effect;
use super::start::Start;
use super::state::{Illegal, Life, State, StepState};
use super::steady;
use crate::actions::{Effect, template};
use crate::analysis::Checked;
use crate::journal::{self, Adoption, Carried, Doing, Entry, Error, Event, Head, Lease, Stamped, Stands, Store};
use crate::model::changes::{acts, calls};
use crate::model::{Asset, Compiled, Id, Mode, Node, OnFailure, Phase, Retry, Secret, Step, WhenUnreachable, target_of};

/// Who adopts a run, by which name, and why.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who says so; not proved.
    pub who: &'a str,
    /// Who holds the lease meanwhile.
    pub holder: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Ends a run, whose lease must be free, and begins another one of a plan where it stood. `clock` gives the wall clock's
/// time. What is not done when this fails can be asked for again, by another name too.
pub async fn adopt(
    store: &dyn Store,
    clock: &(dyn Fn() -> Timestamp + Sync),
    by: By<'_>,
    old: &str,
    new: &str,
    checked: &Checked,
    start: Start,
) -> Result<Head, Error> {
    let lease = store.take(old, by.holder).await?;
    let done = append(store, clock, by, &lease, new, checked, start).await;
    let given = store.give(lease).await;
    done.and_then(|head| given.map(|()| head))
}

async fn append(
    store: &dyn Store,
    clock: &(dyn Fn() -> Timestamp + Sync),
    by: By<'_>,
    lease: &Lease,
    new: &str,
    checked: &Checked,
    start: Start,
) -> Result<Head, Error> {
    let old = lease.run.as_str();
    let quiet = lease.quiet_ms.map(Duration::from_millis);
    let dir = start.dir.clone();
    let start = start.of(checked);
    loop {
        let head = store.head(old).await?;
        let entries = store.read(old, 0).await?;
        if entries.last().is_none_or(|last| last.seq != head.seq) {
            continue;
        }
        let state = State::of(old, &entries).map_err(|e| Error::Damaged(format!("run {old}: {e}")))?;
        if state.finished.is_some() {
            return Err(Error::Ended(old.to_owned()));
        }
        // The new run's time goes on where the old one's left off.
        let written = state.written_at;
        let now = clock().max(written);
        let until = |until: Timestamp| steady::carried(until, written, quiet, now);
        let (state, unknown) = still(&state, now).map_err(|e| Error::Damaged(format!("run {old}: {e}")))?;
        let (who, reason) = (by.who.to_owned(), by.reason.to_owned());
        let taken = Event::LeaseTaken { fence: lease.fence, holder: by.holder.to_owned(), from: lease.from.clone() };
        let ended = Event::AdoptedBy { run: new.to_owned(), who: who.clone(), reason: reason.clone() };
        let last: Vec<Stamped> = std::iter::once(taken).chain(unknown).chain([ended]).map(|event| (now, event)).collect();
        let Taking { carried, beside, .. } = taking(&state, checked, &dir, &until);
        let after = journal::head_after(old, &head, &last).digest;
        let begun = Event::Adopted { run: old.to_owned(), head: after, who, reason, carried, beside };
        let first = [(now, start.clone()), (now, begun)];
        match store.adopt(Adoption { old, head: &head, fence: lease.fence, last: &last, new, first: &first }).await {
            // Somebody spoke to it meanwhile.
            Err(Error::Moved) => {}
            other => return other,
        }
    }
}

/// A run as it is when nobody drives it: what its last driver left running is unknown. With the events that say so.
pub fn still(old: &State, now: Timestamp) -> Result<(State, Vec<Event>), Illegal> {
    let mut state = old.clone();
    let events = orphans(&state, &|until| until);
    for event in &events {
        state.fold(&Entry { seq: state.seq + 1, at: now, event: event.clone() })?;
    }
    Ok((state, events))
}

/// What is taken over.
#[derive(Debug, Clone)]
pub struct Taking {
    /// Each step as it was left, in the order of effects.
    pub carried: Vec<Carried>,
    /// Steps that stand beside the plan, with what they act on; null if there are none.
    pub beside: Value,
    /// Approvals that were given, and are asked again.
    pub approvals: Vec<Id>,
    /// How many steps of the plan are to be done.
    pub fresh: usize,
}

/// What stands beside a plan.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Beside {
    steps: Vec<Step>,
    assets: BTreeMap<Id, Asset>,
    secrets: BTreeMap<String, Secret>,
}

/// The plan with what stands beside it. The error says why it does not fit.
pub fn widened(checked: &Checked, beside: &Value) -> Result<Checked, String> {
    let beside: Beside = serde_json::from_value(beside.clone()).map_err(|e| format!("what stands beside the plan cannot be read: {e}"))?;
    checked.beside(beside.steps, beside.assets, beside.secrets)
}

/// What is asked about a step that an adopted run left.
pub fn question(state: &State, i: usize, why: &str) -> String {
    let id = &state.step(i).id;
    let run = state.steps[i].past.as_ref().and_then(|past| past.left.apply.split('/').next()).unwrap_or_default();
    if state.steps[i].beside() {
        return format!("`{id}` of run {run}: {why}. No step of this plan owns it: does it stay (done), or was it taken back (not-done)?");
    }
    format!("`{id}` of run {run}: {why}. Does it count here (done), is it done again (retry), or was it taken back (not-done)?")
}

/// What a run of a plan, whose relative paths stand in a directory, takes over from a run as it stands. Nothing of that
/// may be under way: what was is unknown by now. `until` gives a deadline by the old run's time in that of the new one.
pub fn taking(old: &State, new: &Checked, dir: &str, until: &dyn Fn(Timestamp) -> Timestamp) -> Taking {
    let mut weigh = Weigh { old, new: new.compiled(), dir, kept: BTreeMap::new(), carried: Vec::new() };
    let mut beside: Vec<usize> = Vec::new();
    let own: BTreeMap<&str, usize> = weigh.new.scenario.steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
    for &node in &new.graph().order {
        if (node as usize) < weigh.new.scenario.steps.len() {
            weigh.step(node as usize);
        }
    }
    let taken: BTreeSet<String> = weigh.carried.iter().map(|(_, c)| c.step.clone()).collect();
    for (o, life) in old.steps.iter().enumerate() {
        let id = &old.step(o).id;
        let owned = own.contains_key(id.as_str()) && taken.contains(id) && !life.beside();
        if in_effect(old, o) && !owned && !planted("adopt-forgets") {
            beside.push(o);
        }
    }
    let Weigh { mut carried, .. } = weigh;
    let mut with = Beside::default();
    for o in beside {
        let name = name_beside(old, o, &own, &with);
        carried.push((old.steps[o].effect_seq, Carried { step: name.clone(), beside: true, ..left(old, o, stands_beside(&old.steps[o])) }));
        with.add(old, o, name, new.compiled());
    }
    carried.sort_by_key(|(when, _)| when.unwrap_or((u64::MAX, 0)));
    for (_, left) in &mut carried {
        if let Stands::Unknown { open_until: Some(open), .. } = &mut left.stands {
            *open = until(*open);
        }
    }
    let approvals = old.steps.iter().enumerate().filter(|(i, s)| old.step(*i).call.uses == "approval" && s.life == Life::Done);
    let approvals = approvals.map(|(i, _)| old.step(i).id.clone()).filter(|id| own.contains_key(id.as_str())).collect();
    let done = carried.iter().filter(|(_, c)| !c.beside && c.stands == Stands::Done).count();
    Taking {
        approvals,
        fresh: own.len() - done,
        carried: carried.into_iter().map(|(_, c)| c).collect(),
        beside: if with.steps.is_empty() { Value::Null } else { serde_json::to_value(&with).unwrap_or(Value::Null) },
    }
}

/// How a step of the new plan came out, for those that stand on it.
enum Kept {
    /// Its result counts.
    Counts,
    /// It did not run, and would not.
    Passed,
    /// Neither.
    Not,
}

struct Weigh<'a> {
    old: &'a State,
    new: &'a Compiled,
    dir: &'a str,
    kept: BTreeMap<&'a str, Kept>,
    carried: Vec<(Option<(u64, u32)>, Carried)>,
}

impl<'a> Weigh<'a> {
    fn step(&mut self, i: usize) {
        let step = &self.new.scenario.steps[i];
        let (kept, stands) = self.judged(i, step);
        self.kept.insert(&step.id, kept);
        if let (Some(stands), Some(o)) = (stands, self.old.find(&step.id)) {
            let carried = Carried { step: step.id.clone(), ..left(self.old, o, stands) };
            self.carried.push((self.old.steps[o].effect_seq, carried));
        }
    }

    fn judged(&self, i: usize, step: &Step) -> (Kept, Option<Stands>) {
        let old = self.old;
        let Some(o) = old.find(&step.id).filter(|&o| !old.steps[o].beside()) else { return (Kept::Not, None) };
        if step.call.uses == "approval" || self.changed(o, step) {
            return (Kept::Not, None);
        }
        let life = &old.steps[o];
        let unfit = self.unfit(i, o, step);
        let reads = step.effect == Effect::Read;
        match &life.life {
            Life::Done if unfit.is_none() => (Kept::Counts, Some(Stands::Done)),
            Life::Done if !reads => (Kept::Not, Some(again_or_asked(step, unfit.unwrap_or_default()))),
            Life::Left { why } if !reads => (Kept::Not, Some(Stands::Left { why: why.clone() })),
            Life::Unknown { doing: Doing::Apply, why, open_until, .. } if !reads => {
                let then = unfit.map(|unfit| Box::new(again_or_asked(step, unfit)));
                (Kept::Not, Some(Stands::Unknown { doing: Doing::Apply, why: why.clone(), open_until: *open_until, then }))
            }
            Life::Failed { reason, unreachable, .. } if !reads && life.touched() => {
                (Kept::Not, Some(Stands::Failed { reason: reason.clone(), unreachable: *unreachable }))
            }
            Life::Skipped { reason, .. } if !reads && life.touched() => {
                (Kept::Not, Some(Stands::Failed { reason: format!("it failed, and was passed by: {reason}"), unreachable: false }))
            }
            Life::Skipped { flaw: false, .. }
                if life.tries == 0 && unfit.is_none() && old.left_out(o).is_some() == self.left_out(step).is_some() =>
            {
                (Kept::Passed, None)
            }
            Life::Waiting if !reads && life.touched() => (Kept::Not, Some(Stands::Again)),
            // What is being taken back, or could not be, stands beside the plan, and the step is done anew after that.
            _ => (Kept::Not, None),
        }
    }

    /// True if the step is not the same as the one of this name in the old plan.
    fn changed(&self, o: usize, step: &Step) -> bool {
        let old = self.old;
        let was = old.step(o);
        let own = |path: &String| {
            matches!(path.as_str(), "run.id" | "run.started_at") || (path == "run.mode" && old.plan().mode != self.new.mode)
        };
        let moved = old.dir != self.dir && stands_in_directory(step);
        moved || acts(old.plan(), was) != acts(self.new, step) || references(self.new, step).iter().any(own)
    }

    /// Why a step's result does not count although the step is the same; none if it does.
    fn unfit(&self, i: usize, o: usize, step: &Step) -> Option<String> {
        if planted("adopt-unproved") {
            return None;
        }
        let was = self.old.step(o);
        if was.when != step.when {
            return Some("its condition is another one now".to_owned());
        }
        if let (Some(why), None) = (self.left_out(step), self.old.left_out(o)) {
            return Some(why);
        }
        let (before, now) = (base(self.old.plan(), o), base(self.new, i));
        if let Some(more) = now.difference(&before).next() {
            return Some(format!("`{more}` stands before it now"));
        }
        if let Some(less) = before.difference(&now).next() {
            return Some(format!("it came after `{less}`, which does not stand before it any more"));
        }
        let open = now.iter().find(|id| !matches!(self.kept.get(**id), Some(Kept::Counts | Kept::Passed)));
        open.map(|id| format!("it stands on `{id}`, which is not as it was"))
    }

    fn left_out(&self, step: &Step) -> Option<String> {
        if self.new.left_out.contains(&step.id) {
            return Some("it is left out of this run".to_owned());
        }
        (!step.modes.contains(&self.new.mode)).then(|| format!("it does not run in mode {}", self.new.mode))
    }
}

/// What is done twice as if once is done again in its turn; about the rest a person is asked.
fn again_or_asked(step: &Step, why: String) -> Stands {
    if step.effect == Effect::Idempotent { Stands::Again } else { Stands::Left { why: format!("it was done, but {why}") } }
}

/// A step of an old run as its events tell it.
fn left(old: &State, o: usize, stands: Stands) -> Carried {
    let (step, life) = (old.step(o), &old.steps[o]);
    let own = format!("{}/{}", old.run, step.id);
    let past = life.past.as_ref().map(|past| &past.left);
    let errand = Errand::of(old, o);
    let mut values = errand.values.clone();
    for path in references(old.plan(), step).into_iter().filter(|path| path.starts_with("run.")) {
        if let Some(value) = value_of(old, &path) {
            values.entry(path).or_insert(value);
        }
    }
    let by = |begun: u32, before: Option<(u32, &String)>| match before {
        Some((earlier, name)) if begun <= earlier => name.clone(),
        _ => own.clone(),
    };
    Carried {
        step: step.id.clone(),
        beside: false,
        stands,
        key: past.map_or_else(|| own.clone(), |left| left.key.clone()),
        apply: by(life.attempts, past.map(|left| (left.attempts, &left.apply))),
        undo: by(life.undo_attempts, past.map(|left| (left.undo_attempts, &left.undo))),
        attempts: life.attempts,
        undo_attempts: life.undo_attempts,
        before: life.before.clone(),
        outputs: life.outputs.clone(),
        values,
        dir: errand.dir,
        started_at: life.started_at,
        done_at: life.done_at,
        by_person: life.by_person,
        begun_by: life.begun_by.clone(),
    }
}

/// Where a step stands of which the new plan has none.
fn stands_beside(life: &StepState) -> Stands {
    let half = |reason: &str| format!("it did not end well ({reason}), and half of it may be in effect");
    match &life.life {
        Life::Unknown { doing, why, open_until, .. } => {
            let then = (*doing == Doing::Apply).then(|| Box::new(Stands::Left { why: "it is in effect".to_owned() }));
            Stands::Unknown { doing: *doing, why: why.clone(), open_until: *open_until, then }
        }
        Life::Stuck { reason } => Stands::Stuck { reason: reason.clone() },
        Life::Failed { reason, .. } | Life::Skipped { reason, .. } => Stands::Left { why: half(reason) },
        Life::Left { why } => Stands::Left { why: why.clone() },
        Life::Waiting => Stands::Left { why: half("it was to be tried again") },
        Life::Done | Life::Running { .. } | Life::Undone => Stands::Left { why: "it is in effect".to_owned() },
    }
}

/// A name that no step of the plan can have: that of the step, and the end of its run's.
fn name_beside(old: &State, o: usize, own: &BTreeMap<&str, usize>, with: &Beside) -> Id {
    let id = &old.step(o).id;
    if old.steps[o].beside() {
        return id.clone();
    }
    let tail = old.run.rsplit('-').next().unwrap_or(&old.run);
    let free = |name: &String| !own.contains_key(name.as_str()) && with.steps.iter().all(|s| s.id != *name) && old.find(name).is_none();
    [format!("{id}@{tail}"), format!("{id}@{}", old.run)].into_iter().find(free).unwrap_or_else(|| format!("{id}@{}@", old.run))
}

impl Beside {
    /// Takes a step in, with what it acts on. It waits for nothing, brings nothing back, and is not begun again.
    fn add(&mut self, old: &State, o: usize, name: Id, new: &Compiled) {
        let was = old.step(o);
        let mut step = Step {
            id: name,
            phase: Phase::Close,
            needs: None,
            modes: vec![Mode::Planned, Mode::Unplanned, Mode::Drill],
            when: Vec::new(),
            retry: Retry::default(),
            on_failure: OnFailure::Pause,
            when_unreachable: WhenUnreachable::Fail,
            contact: was.contact.clone().filter(|c| new.plan.contacts.contains_key(c)).or_else(|| new.plan.owner.clone()),
            ..was.clone()
        };
        let plan = &old.plan().plan;
        step.assets.clear();
        for id in &was.assets {
            let (Some(asset), here) = (plan.assets.get(id), new.plan.assets.get(id)) else { continue };
            if here == Some(asset) {
                step.assets.push(id.clone());
                continue;
            }
            // As it was then; and by its name here, so that nobody else touches it meanwhile.
            let then = if id.contains('@') { id.clone() } else { format!("{id}@{}", old.run) };
            self.assets.insert(then.clone(), asset.clone());
            step.assets.push(then);
            step.assets.extend(here.map(|_| id.clone()));
        }
        for path in references(old.plan(), was) {
            if let Some((name, secret)) = path.strip_prefix("secrets.").and_then(|n| Some((n.to_owned(), plan.secrets.get(n)?.clone()))) {
                self.secrets.insert(name, secret);
            }
        }
        self.steps.push(step);
    }
}

/// Every reference of a step: in its calls, in what they act on, in its conditions.
fn references(compiled: &Compiled, step: &Step) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = step.when.iter().map(|w| format!("steps.{}.{}", w.step, w.output)).collect();
    for (_, call) in calls(step) {
        let connect = target_of(&compiled.plan, step, call).map(|t| t.connect);
        let fields = call.with.values().chain(connect.iter().flat_map(|c| c.values()));
        out.extend(fields.flat_map(template::references));
    }
    out
}

/// True if where the plan stands decides what the step does.
fn stands_in_directory(step: &Step) -> bool {
    let local = |uses: &str| matches!(uses, "command" | "script" | "wait") || uses.starts_with("sqlite.") || uses.starts_with("./");
    calls(step).any(|(_, call)| local(&call.uses))
}

/// The changes that a step stands on directly, and the steps whose findings it uses, by name. Joins, approvals and steps
/// that only read are passed through.
fn base(compiled: &Compiled, i: usize) -> BTreeSet<&str> {
    let steps = &compiled.scenario.steps;
    let mut out = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<Node> = compiled.waits[i].iter().map(|w| w.on).collect();
    while let Some(node) = open.pop() {
        if !seen.insert(node) {
            continue;
        }
        match node {
            Node::Join(j) => open.extend(compiled.joins[j as usize].waits.iter().map(|w| w.on)),
            Node::Step(p) => match &steps[p as usize] {
                step if step.effect == Effect::Read || step.call.uses == "approval" => {
                    open.extend(compiled.waits[p as usize].iter().map(|w| w.on))
                }
                step => drop(out.insert(step.id.as_str())),
            },
        }
    }
    for path in references(compiled, &steps[i]) {
        let used = path.strip_prefix("steps.").and_then(|rest| rest.split('.').next());
        out.extend(used.and_then(|id| steps.iter().find(|s| s.id == id)).map(|s| s.id.as_str()));
    }
    out
}
