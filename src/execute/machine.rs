//! What happens next: a pure function of the state, of what this driver has in hand, and of the time. It does not
//! start, wait or write; the driver does, and asks again after every event.
//!
//! The rules, in the order in which they are asked:
//!
//! 1. What is unknown is looked at until it is known: "there" is believed at once, "not there" only from a look that
//!    began when nothing of the attempt could land any more. What no look can tell, a person is asked.
//! 2. A run that is aborted or rolled back starts nothing new; it waits for what is in flight.
//! 3. A failure without a retry left pauses the run (or what its `on_failure` and `when_unreachable` say). Waiting for
//!    a person stops only what stands on the answer.
//! 4. What is ready starts, longest way to the end first, then as written, as far as locks and slots allow.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::condition::{self, Condition};
use super::errand::asked;
use super::lists::Place;
use super::planted::planted;
use super::state::{Life, State, StepState};
use super::{adopt, measure, rollback, waiting};
use crate::actions::Effect;
use crate::actions::units::duration_text;
use crate::graph::schedule::{collide, urgency};
use crate::journal::{About, Answer, Doing, End, Event, Word};
use crate::model::{Mode, OnFailure, Step, Undo, WhenUnreachable, fences};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin an attempt to do a step.
    Start(usize),
    /// Begin an attempt to take a step back.
    Undo(usize),
    /// Look whether the effect of an unknown or failed attempt is there.
    Look(usize),
    /// Append an event; nothing else happens.
    Note(Event),
}

/// Why nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Idle {
    /// A person must answer, or decide about a failure.
    Person,
    /// An attempt is unknown and only a person can tell.
    Unknown,
    /// An undo failed.
    Stuck,
}

/// What to do, and when to ask again if nothing happens before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// In order.
    pub commands: Vec<Command>,
    /// The next time at which something is due by itself.
    pub wake_at: Option<Timestamp>,
    /// Why nothing moves; only if there is no command, nothing in hand and nothing due.
    pub idle: Option<Idle>,
}

/// What the driver has in hand.
#[derive(Debug, Clone, Default)]
pub struct Hands {
    /// Steps with an attempt or a look under way.
    pub busy: BTreeSet<usize>,
    /// Steps that were looked at lately, and when to look again.
    pub resting: BTreeMap<usize, Timestamp>,
    /// How many attempts may run at once.
    pub parallel: usize,
    /// Start nothing more (Ctrl-C).
    pub stopping: bool,
}

/// Decides.
pub fn decide(state: &State, hands: &Hands, now: Timestamp) -> Decision {
    let mut turn = Turn { state, hands, now, out: Decision::default(), taken: hands.busy.clone(), by_hand: state.lists.by_hand.clone() };
    if state.finished.is_none() {
        turn.unknowns();
        if state.aborting {
            turn.abort();
        } else if state.back.is_some() {
            turn.back();
        } else {
            turn.forward();
        }
    }
    let mut out = turn.out;
    if out.commands.is_empty() && out.wake_at.is_none() && hands.busy.is_empty() && state.finished.is_none() {
        out.idle = Some(idle(state));
    }
    out
}

/// True if a look at the step can tell whether its effect is there.
pub fn has_probe(step: &Step) -> bool {
    step.check.is_some() || step.effect == Effect::Verifiable || matches!(step.undo, Undo::Auto)
}

/// True if another attempt follows a failure by itself.
pub fn retryable(step: &Step, life: &StepState) -> bool {
    let repeatable = matches!(step.effect, Effect::Read | Effect::Idempotent | Effect::Verifiable);
    let most = if planted("retry-once") { step.retry.attempts.max(2) } else { step.retry.attempts };
    (repeatable || planted("retry-once")) && life.tries < most
}

struct Turn<'a> {
    state: &'a State,
    hands: &'a Hands,
    now: Timestamp,
    out: Decision,
    /// Steps in hand, those of this decision too.
    taken: BTreeSet<usize>,
    /// Steps that a person is at, those of this decision too.
    by_hand: BTreeSet<usize>,
}

impl Turn<'_> {
    fn note(&mut self, event: Event) {
        self.out.commands.push(Command::Note(event));
    }

    fn wake(&mut self, at: Timestamp) {
        self.out.wake_at = Some(self.out.wake_at.map_or(at, |t| t.min(at)));
    }

    fn ask(&mut self, i: usize, about: About, question: String) {
        if self.state.steps[i].asked.as_ref().is_none_or(|(a, _)| *a != about) {
            let step = self.state.step(i).id.clone();
            self.note(Event::Asked { step, about, question });
        }
    }

    fn look(&mut self, i: usize) {
        match self.hands.resting.get(&i) {
            Some(until) if *until > self.now => self.wake(*until),
            _ => {
                self.taken.insert(i);
                self.out.commands.push(Command::Look(i));
            }
        }
    }

    fn failed(&mut self, i: usize, doing: Doing, reason: &str) {
        let life = &self.state.steps[i];
        let attempt = life.attempt(doing);
        let step = self.state.step(i).id.clone();
        self.note(Event::Failed { step, doing, attempt, reason: reason.to_owned(), unreachable: false });
    }

    /// May an unknown attempt of this step be begun again by itself? Not what another run left, and not out of its turn.
    fn forward_bound(&self, i: usize) -> bool {
        let in_turn = self.state.ready(i) && !self.state.steps[i].beside();
        in_turn && self.state.back.is_none() && !self.state.aborting && !self.hands.stopping && self.state.paused.is_none()
    }

    /// Had it begun before something that it waits for was wanted again?
    fn lapsed(&self, i: usize) -> bool {
        !self.state.ready(i) && self.state.back.is_none() && !self.state.aborting
    }

    fn unknowns(&mut self) {
        for &i in &self.state.lists.unknown {
            let Life::Unknown { doing, open_until, died, answer, why } = &self.state.steps[i].life else { continue };
            if self.taken.contains(&i) {
                continue;
            }
            let asked = matches!(self.state.steps[i].asked, Some((About::Unknown | About::Foreign, _)));
            if asked && *answer != Some(Answer::Running) {
                continue;
            }
            let step = self.state.step(i);
            // A look that began after the last moment at which something could land has closed the attempt.
            let closed = open_until.is_none() || (planted("believe-open") && answer.is_some());
            match doing {
                Doing::Apply => self.unknown_apply(i, step, *answer, closed, *died, why),
                Doing::Undo => self.unknown_undo(i, step, *answer, closed, why),
            }
        }
    }

    fn unknown_apply(&mut self, i: usize, step: &Step, answer: Option<Answer>, closed: bool, died: bool, why: &str) {
        let id = &step.id;
        match (step.effect, answer) {
            (Effect::Read, _) if self.forward_bound(i) => self.begin(i, Command::Start(i)),
            // What it waits for is wanted again: it begins when that is done.
            (Effect::Read, _) if self.lapsed(i) => {}
            (Effect::Read, _) => self.failed(i, Doing::Apply, "it was cut off, and it changes nothing"),
            (Effect::Once, _) if planted("repeat-once") => self.begin(i, Command::Start(i)),
            (_, None | Some(Answer::Running | Answer::There)) => self.look(i),
            (_, Some(Answer::Other)) => {
                self.ask(
                    i,
                    About::Foreign,
                    format!("`{id}` is neither as it was before nor as this run would leave it. What became of it?"),
                );
            }
            (effect, Some(found)) => {
                let not_there = found == Answer::NotThere || effect == Effect::Idempotent;
                if !closed {
                    self.look(i);
                } else if not_there && died && self.forward_bound(i) {
                    // While something of an earlier run is open it stays as it is.
                    if self.state.lists.left.is_empty() {
                        self.begin(i, Command::Start(i));
                    }
                } else if not_there && !(died && (self.hands.stopping || self.lapsed(i))) {
                    let what = if found == Answer::NotThere { "it did not happen" } else { "whether it happened cannot be told" };
                    self.failed(i, Doing::Apply, &format!("{why}; {what}"));
                } else if !not_there {
                    self.ask(i, About::Unknown, format!("Nobody can tell whether `{id}` happened: {why}. Look, then say so."));
                }
            }
        }
    }

    fn unknown_undo(&mut self, i: usize, step: &Step, answer: Option<Answer>, closed: bool, why: &str) {
        // What an earlier run took back goes on only if this one is taken back too.
        let stays = self.state.steps[i].beside() && self.state.back.is_none();
        let once = match &step.undo {
            Undo::Use(call) => crate::actions::find(&call.uses).is_none_or(|a| !matches!(a.effect, Effect::Read | Effect::Idempotent)),
            _ => false,
        };
        match answer {
            None | Some(Answer::Running) => self.look(i),
            Some(Answer::NotThere) => {
                let (step, attempt) = (step.id.clone(), self.state.steps[i].undo_attempts);
                self.note(Event::Done { step, doing: Doing::Undo, attempt, outputs: Map::new(), found: true });
            }
            Some(Answer::Other) => {
                self.ask(
                    i,
                    About::Foreign,
                    format!("`{}` was changed by somebody else while it was taken back. Is it as it should be?", step.id),
                );
            }
            Some(Answer::There) if !closed => self.look(i),
            Some(Answer::There) if stays => self.failed(i, Doing::Undo, &format!("{why}; it was not taken back")),
            Some(Answer::There) => self.begin(i, Command::Undo(i)),
            Some(Answer::CannotTell) if !closed => self.look(i),
            Some(Answer::CannotTell) if once || stays => {
                self.ask(i, About::Unknown, format!("Nobody can tell whether `{}` was taken back: {why}. Look, then say so.", step.id));
            }
            Some(Answer::CannotTell) => self.begin(i, Command::Undo(i)),
        }
    }

    /// Begins an attempt if no other step in flight uses the same things and a slot is free.
    fn begin(&mut self, i: usize, command: Command) {
        if self.free(i) {
            self.taken.insert(i);
            self.out.commands.push(command);
        }
    }

    fn free(&self, i: usize) -> bool {
        !self.full() && self.unlocked(i)
    }

    /// True if nobody is at what a step uses: no other step in flight, and no person.
    fn unlocked(&self, i: usize) -> bool {
        if planted("ignore-locks") {
            return true;
        }
        let step = self.state.step(i);
        // What a person has not begun they will not, once the run was turned round.
        let by_hand = self.by_hand.iter().filter(|_| self.state.back.is_none());
        let in_flight = self.taken.union(&self.state.lists.in_flight).chain(by_hand);
        in_flight.filter(|&&j| j != i).all(|&j| !collide(step, self.state.step(j)))
    }

    fn abort(&mut self) {
        if self.taken.is_empty() && self.out.commands.is_empty() && self.state.lists.in_flight.is_empty() {
            let done = self.state.steps.iter().filter(|s| s.life == Life::Done).count();
            let summary = format!("aborted with {done} of {} steps done; what they did stands", self.state.steps.len());
            self.note(Event::Finished { how: End::Aborted, summary });
        }
    }

    fn back(&mut self) {
        let quiet = self.taken.is_empty()
            && !self.state.lists.unknown.iter().any(|&i| matches!(self.state.steps[i].life, Life::Unknown { doing: Doing::Apply, .. }));
        if !quiet && !self.state.steps.iter().any(|s| s.undo_attempts > 0) {
            return;
        }
        for i in rollback::to_survey(self.state) {
            if !self.taken.contains(&i) {
                self.look(i);
            }
        }
        if !self.out.commands.is_empty() {
            return;
        }
        let plan = rollback::plan(self.state);
        if plan.refused() {
            return;
        }
        for &i in &plan.next {
            if self.taken.contains(&i) || self.state.steps[i].in_flight() || matches!(self.state.steps[i].life, Life::Stuck { .. }) {
                continue;
            }
            if self.hands.stopping || self.state.paused.is_some() {
                continue;
            }
            match rollback::by_hand(self.state, i) {
                Some(words) => self.ask(i, About::Manual, words),
                None => self.begin(i, Command::Undo(i)),
            }
        }
        if plan.undo.is_empty() && self.taken.is_empty() && (self.state.lists.in_flight.is_empty() || planted("end-early")) {
            let undone = self.state.steps.iter().filter(|s| s.life == Life::Undone).count();
            let kept = plan.kept.len();
            let steps = if undone == 1 { "step" } else { "steps" };
            let left = if kept == 0 { String::new() } else { format!(", {kept} left in effect") };
            let summary = format!("rolled back: {undone} {steps} taken back{left}");
            self.note(Event::Finished { how: End::RolledBack, summary });
        }
    }

    fn forward(&mut self) {
        for event in measure::objectives(self.state) {
            self.note(event);
        }
        let state = self.state;
        let graph = state.checked.graph();
        let mut pausing = state.paused.is_some() || self.hands.stopping;
        let mut later = None;
        let mut first: BTreeSet<Place> = state.lists.fresh.clone();
        for &i in &state.lists.failed {
            if let Life::Failed { reason, unreachable, at } = &state.steps[i].life
                && !self.taken.contains(&i)
            {
                match self.after_failure(i, reason, *unreachable, *at) {
                    After::Again if !state.ready(i) => {}
                    After::Again => drop(first.insert(urgency(graph, i))),
                    After::Later(due) => later = later.into_iter().chain([due]).min(),
                    After::Pause => pausing = true,
                    After::Nothing => {}
                }
            }
        }
        self.left();
        if state.lists.unsettled == 0 && self.taken.is_empty() {
            return self.finish();
        }
        if pausing && !planted("start-while-paused") {
            return;
        }
        // In a pause nothing is tried again, so that there is nothing to wait for.
        if let Some(due) = later {
            self.wake(due);
        }
        if planted("ignore-needs") {
            let waiting = |i: &usize| state.steps[*i].life == Life::Waiting;
            first.extend((0..state.steps.len()).filter(waiting).map(|i| urgency(graph, i)));
        }
        // Of those that only wait for a slot no more are looked at than may start.
        let mut queued = state.lists.queued.iter().peekable();
        for place in &first {
            while !self.full()
                && let Some(next) = queued.next_if(|next| *next < place)
            {
                self.queued(next.1);
            }
            if !self.taken.contains(&place.1) {
                self.ready(place.1);
            }
        }
        while !self.full()
            && let Some(next) = queued.next()
        {
            self.queued(next.1);
        }
    }

    /// What an adopted run left: what can be seen not to be there needs no answer, about the rest a person is asked.
    fn left(&mut self) {
        for &i in &self.state.lists.left {
            let (step, life) = (self.state.step(i), &self.state.steps[i]);
            let Life::Left { why } = &life.life else { continue };
            if self.taken.contains(&i) || life.asked.is_some() {
                continue;
            }
            match life.surveyed {
                None if life.beside() && has_probe(step) => self.look(i),
                Some(Answer::NotThere) if life.beside() => {
                    let step = step.id.clone();
                    self.note(Event::Done { step, doing: Doing::Undo, attempt: 0, outputs: Map::new(), found: true });
                }
                _ => self.ask(i, About::Left, adopt::question(self.state, i, why)),
            }
        }
    }

    /// Whether a step may begin beside what an adopted run left.
    fn waits_for_what_is_left(&self, i: usize) -> bool {
        let step = self.state.step(i);
        let harmless = step.effect == Effect::Read || step.call.uses == "approval";
        !self.state.lists.left.is_empty() && !harmless && !planted("adopt-unasked")
    }

    fn queued(&mut self, i: usize) {
        if !self.full() && !self.taken.contains(&i) && !self.waits_for_what_is_left(i) {
            self.begin(i, Command::Start(i));
        }
    }

    fn full(&self) -> bool {
        self.taken.len() >= self.hands.parallel + if planted("crowd") { 2 } else { 0 }
    }

    fn after_failure(&mut self, i: usize, reason: &str, unreachable: bool, at: Timestamp) -> After {
        let step = self.state.step(i);
        let life = &self.state.steps[i];
        if retryable(step, life) {
            let due = at + std::time::Duration::from_millis(step.retry.delay_after_ms(life.tries.max(1)));
            // A failure in the future is a person's word from a machine whose clock is wrong: it is not waited for.
            if due <= self.now || at > self.now || planted("hurry") {
                return After::Again;
            }
            return After::Later(due);
        }
        if unreachable && step.when_unreachable == WhenUnreachable::Skip {
            let reason = format!("its target cannot be reached ({reason}), and the plan passes it by");
            self.note(Event::Skipped { step: step.id.clone(), reason, flaw: false });
            return After::Nothing;
        }
        if unreachable && step.when_unreachable == WhenUnreachable::Ask {
            let choice = if fences(&self.state.plan().plan, step) {
                "Try again, or make sure in another way that it takes no writes?"
            } else {
                "Try again, or go on without it?"
            };
            let question = format!("The target of `{}` cannot be reached: {reason}. {choice}", step.id);
            self.ask(i, About::Unreachable, question);
            return After::Nothing;
        }
        match step.on_failure {
            OnFailure::Continue => {
                let reason = format!("failed, and the plan goes on: {reason}");
                self.note(Event::Skipped { step: step.id.clone(), reason, flaw: true });
                After::Nothing
            }
            OnFailure::Rollback if rollback::holders(self.state).is_empty() => {
                let word = Word::Rollback { to: None };
                self.note(Event::Word { word, step: None, who: "the plan".to_owned(), reason: format!("`{}` failed: {reason}", step.id) });
                After::Pause
            }
            OnFailure::Rollback | OnFailure::Pause => After::Pause,
        }
    }

    /// A step whose needs are done.
    fn ready(&mut self, i: usize) {
        let step = self.state.step(i);
        let life = &self.state.steps[i];
        if let Some(reason) = self.state.left_out(i) {
            // What a drill leaves out, its plan says, and who reviewed that agreed.
            let plan = self.state.plan();
            let flaw = plan.left_out.contains(&step.id) && plan.mode != Mode::Drill;
            return self.note(Event::Skipped { step: step.id.clone(), reason, flaw });
        }
        match if life.forced || planted("ignore-when") { Condition::Holds } else { condition::of(self.state, step) } {
            Condition::Holds => {}
            Condition::HoldsNot(reason) => return self.note(Event::Skipped { step: step.id.clone(), reason, flaw: false }),
            Condition::CannotTell { why, .. } => {
                let question = format!("`{}` runs only under a condition that cannot be told: {why}. Run it, or skip it?", step.id);
                return self.ask(i, About::When, question);
            }
        }
        if self.waits_for_what_is_left(i) {
            return;
        }
        match step.call.uses.as_str() {
            "approval" => self.approval(i, step, life),
            "manual" if self.unlocked(i) => {
                self.by_hand.insert(i);
                self.ask(i, About::Manual, asked(self.state, step, &["text", "do", "ask"]));
            }
            "manual" => {}
            _ if life.again && step.effect == Effect::Verifiable && life.surveyed != Some(Answer::NotThere) => self.again(i, life),
            _ => {
                let fresh = life.ready_at.is_none() && matches!(life.life, Life::Waiting);
                let count = self.out.commands.len();
                self.begin(i, Command::Start(i));
                if fresh && self.out.commands.len() == count {
                    self.note(Event::Ready { step: step.id.clone() });
                }
            }
        }
    }

    /// A step that was done and is wanted again, and that may not simply be repeated: only what is gone is begun anew.
    fn again(&mut self, i: usize, life: &StepState) {
        match life.surveyed {
            None => {
                if self.free(i) {
                    self.look(i);
                }
            }
            Some(Answer::There) => {
                let (step, outputs) = (self.state.step(i).id.clone(), life.outputs.clone());
                self.note(Event::Done { step, doing: Doing::Apply, attempt: 0, outputs, found: true });
            }
            Some(_) => {
                let reason = "it was to be done again, and whether what it did is still there cannot be told; nothing was begun".to_owned();
                let step = self.state.step(i).id.clone();
                self.note(Event::Failed { step, doing: Doing::Apply, attempt: 0, reason, unreachable: false });
            }
        }
    }

    fn approval(&mut self, i: usize, step: &Step, life: &StepState) {
        if life.approvals.len() >= waiting::count(step) || planted("approve-alone") {
            let outputs =
                Map::from_iter([("approved_by".to_owned(), life.approvals.iter().map(|(w, _)| Value::String(w.clone())).collect())]);
            return self.note(Event::Done { step: step.id.clone(), doing: Doing::Apply, attempt: 0, outputs, found: false });
        }
        if let (Some(limit), Some(asked)) = (step.timeout_ms, life.ready_at) {
            let due = asked + std::time::Duration::from_millis(limit);
            if due <= self.now {
                return self.failed(i, Doing::Apply, "nobody approved in time");
            }
            self.wake(due);
        }
        if life.ready_at.is_none() {
            self.note(Event::Ready { step: step.id.clone() });
        }
        let mut question = asked(self.state, step, &["ask"]);
        if let Some(pause) = life.lapsed {
            let pause = duration_text(pause / 1000 * 1000);
            question.push_str(&format!(" (Asked again: the run stood still for {pause} after it was answered.)"));
        }
        self.ask(i, About::Approval, question);
    }

    fn finish(&mut self) {
        if !self.out.commands.is_empty() {
            return;
        }
        let steps = &self.state.steps;
        let flaws = steps.iter().filter(|_| !planted("always-good")).filter(|s| matches!(s.life, Life::Skipped { flaw: true, .. })).count();
        let own = || steps.iter().filter(|s| !s.beside());
        let (done, all) = (own().filter(|s| s.life == Life::Done).count(), own().count());
        let (how, summary) = match flaws {
            0 => (End::Good, format!("{done} of {all} steps done")),
            n => (End::Flawed, format!("{done} of {all} steps done, {n} left out or failed")),
        };
        self.note(Event::Finished { how, summary });
    }
}

enum After {
    Again,
    Later(Timestamp),
    Pause,
    Nothing,
}

fn idle(state: &State) -> Idle {
    match (state.lists.stuck.is_empty(), state.lists.unknown.is_empty()) {
        (false, _) => Idle::Stuck,
        (_, false) => Idle::Unknown,
        _ => Idle::Person,
    }
}
