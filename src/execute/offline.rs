//! A run that never happened, or how one would go on: the machine's own decisions, with every step taking what the plan
//! expects and ending well, or as it was told to. It touches nothing, and it knows no outcome that nobody named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::machine::{self, Command, Hands, Idle};
use super::state::{Life, State, StepState};
use super::{waiting, words};
use crate::analysis::Checked;
use crate::journal::{About, Answer, Doing, End, Entry, Event, Word};
use crate::model::{Id, Step};

/// Events after which a simulation is given up: more than any plan within the limits makes.
const MOST_EVENTS: u64 = 2_000_000;

/// What goes wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Steps whose every attempt fails.
    pub fail: BTreeSet<String>,
    /// Sites that do not answer.
    pub lose: BTreeSet<String>,
}

/// How it came out.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// The state at the end.
    pub state: State,
    /// When each step began and ended, in milliseconds from the first; no end: it never ended.
    pub spans: BTreeMap<usize, (u64, Option<u64>)>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How it ended; none: it waits.
    pub end: Option<End>,
    /// Why nothing moved any more, if it waits.
    pub idle: Option<Idle>,
    /// Assets that came back on the way: how long after the damage, and `shown` or why not.
    pub back: BTreeMap<Id, (u64, String)>,
}

/// Lets a plan run against nothing. The error is a mistake of this program: the machine went in a circle.
pub fn rehearse(checked: &Arc<Checked>, faults: &Faults) -> Result<Rehearsed, String> {
    let start = Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let scenario = &checked.compiled().scenario;
    let before = std::time::Duration::from_millis(scenario.detect_ms + scenario.decide_ms);
    let mut state = State::unstarted(Arc::clone(checked), "", start);
    state.incident_start = start - before;
    Nothing::at(state, faults, start).ended()
}

/// Lets a run go on from where it stands, as if somebody drove it from now on. What is in flight ends well when the plan
/// expects it; nobody answers a question that stands already, and nobody can tell what became of what is unknown.
pub fn go_on(state: &State, now: Timestamp) -> Result<Rehearsed, String> {
    let faults = Faults::default();
    let mut world = Nothing::at(state.clone(), &faults, now);
    let taken = Event::LeaseTaken { fence: 0, holder: state.driver.clone(), from: None };
    if state.finished.is_none() && !state.driven() {
        world.append(taken)?;
    }
    for i in 0..world.state.steps.len() {
        let life = &world.state.steps[i];
        match life.life {
            Life::Running { doing, since } => {
                let attempt = life.attempt(doing);
                let (step, outputs) = (world.state.step(i).id.clone(), world.outputs(i));
                let at = now.max(since + std::time::Duration::from_millis(world.state.step(i).takes_ms));
                world.hands.busy.insert(i);
                world.due.entry((at, i as u64)).or_default().push((i, Event::Done { step, doing, attempt, outputs, found: false }));
            }
            Life::Unknown { .. } => drop(world.hands.busy.insert(i)),
            _ if life.asked.is_some() => drop(world.told.insert(i)),
            _ => {}
        }
    }
    world.ended()
}

/// What steps would find: where another asks for a value, one that the first who asks is content with.
fn outputs(checked: &Checked) -> BTreeMap<Id, Map<String, Value>> {
    let mut out: BTreeMap<Id, Map<String, Value>> = BTreeMap::new();
    for when in checked.compiled().scenario.steps.iter().flat_map(|s| &s.when) {
        if let Some(value) = content(&when.matcher) {
            out.entry(when.step.clone()).or_default().entry(when.output.clone()).or_insert(value);
        }
    }
    out
}

/// A world in which only time passes.
struct Nothing<'a> {
    /// What steps would find.
    outputs: BTreeMap<Id, Map<String, Value>>,
    state: State,
    faults: &'a Faults,
    start: Timestamp,
    now: Timestamp,
    hands: Hands,
    /// What ends when; the second number keeps the order in which it began.
    due: BTreeMap<(Timestamp, u64), Vec<(usize, Event)>>,
    /// Steps whose person is already on it.
    told: BTreeSet<usize>,
    spans: BTreeMap<usize, (u64, Option<u64>)>,
    back: BTreeMap<Id, (u64, String)>,
}

impl<'a> Nothing<'a> {
    fn at(state: State, faults: &'a Faults, now: Timestamp) -> Nothing<'a> {
        let parallel = state.plan().parallel.max(1) as usize;
        Nothing {
            outputs: outputs(&state.checked),
            state,
            faults,
            start: now,
            now,
            hands: Hands { parallel, ..Hands::default() },
            due: BTreeMap::new(),
            told: BTreeSet::new(),
            spans: BTreeMap::new(),
            back: BTreeMap::new(),
        }
    }

    fn ended(mut self) -> Result<Rehearsed, String> {
        let idle = self.run()?;
        let took_ms = self.ms(self.now);
        let end = self.state.finished;
        Ok(Rehearsed { state: self.state, spans: self.spans, took_ms, end, idle, back: self.back })
    }

    fn run(&mut self) -> Result<Option<Idle>, String> {
        loop {
            if self.state.seq > MOST_EVENTS {
                return Err("the machine went in a circle".to_owned());
            }
            let decision = machine::decide(&self.state, &self.hands, self.now);
            if !decision.commands.is_empty() {
                decision.commands.into_iter().try_for_each(|c| self.carry_out(c))?;
                continue;
            }
            let next = self.due.keys().next().map(|(at, _)| *at);
            match (next, decision.wake_at) {
                (Some(at), wake) if wake.is_none_or(|w| at <= w) => self.pass(at)?,
                (_, Some(wake)) if wake > self.now => self.now = wake,
                _ => return Ok(if self.state.finished.is_some() { None } else { decision.idle.or(Some(Idle::Person)) }),
            }
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Start(i) => self.begin(i, Doing::Apply),
            Command::Undo(i) => self.begin(i, Doing::Undo),
            Command::Look(i) => {
                let (step, attempt) = (self.state.step(i).id.clone(), self.state.steps[i].attempts);
                let detail = "as far as a dry run goes".to_owned();
                self.append(Event::Probed { step, doing: Doing::Apply, attempt, answer: Answer::NotThere, detail, closed: true })
            }
            Command::Note(event) => {
                if let Event::Asked { step, about, .. } = &event
                    && let Some(i) = self.state.find(step)
                {
                    self.tell(i, *about);
                }
                self.append(event)
            }
        }
    }

    /// A person who is asked answers when the plan expects them to.
    fn tell(&mut self, i: usize, about: About) {
        let step = self.state.step(i);
        let id = step.id.clone();
        let word = |word| Event::Word { word, step: Some(id.clone()), who: "somebody".to_owned(), reason: "a dry run".to_owned() };
        let answers: Vec<Event> = match about {
            About::Approval if self.faults.fail.contains(&id) => vec![Event::Declined {
                step: id.clone(),
                who: "somebody".to_owned(),
                reason: "as --fail says".to_owned(),
                digest: self.state.checked.digest().to_owned(),
            }],
            About::Approval => approvers(step, &self.state.steps[i])
                .into_iter()
                .map(|who| Event::Approved {
                    step: id.clone(),
                    who,
                    comment: String::new(),
                    digest: self.state.checked.digest().to_owned(),
                    break_glass: false,
                })
                .collect(),
            About::Manual => {
                let done = !self.faults.fail.contains(&id) || self.state.back.is_some();
                vec![word(Word::Resolve { done, record: self.outputs(i), accept_late_effect: false })]
            }
            About::When => vec![word(Word::Retry)],
            About::Unknown | About::Unreachable | About::Foreign | About::Left => return,
        };
        if self.told.insert(i) {
            let begun = self.ms(self.now);
            let takes_ms = if about == About::When { 0 } else { step.takes_ms };
            self.spans.entry(i).or_insert((begun, None));
            let at = self.now + std::time::Duration::from_millis(takes_ms);
            self.due.entry((at, self.state.seq)).or_default().extend(answers.into_iter().map(|a| (i, a)));
        }
    }

    fn begin(&mut self, i: usize, doing: Doing) -> Result<(), String> {
        let step = self.state.step(i);
        let (id, takes_ms) = (step.id.clone(), step.takes_ms);
        let lost = step.at.as_ref().filter(|at| self.faults.lose.contains(*at)).cloned();
        let life = &self.state.steps[i];
        let attempt = 1 + life.attempt(doing);
        let timeout_ms = step.timeout_ms;
        let failed = |reason: String, unreachable| Event::Failed { step: id.clone(), doing, attempt, reason, unreachable };
        let result = match lost {
            Some(site) => failed(format!("nothing answers at {site}"), true),
            None if doing == Doing::Apply && self.faults.fail.contains(&id) => failed("as --fail says".to_owned(), false),
            None => Event::Done { step: id.clone(), doing, attempt, outputs: self.outputs(i), found: false },
        };
        self.append(Event::Intent {
            step: id,
            doing,
            attempt,
            key: String::new(),
            inputs: String::new(),
            timeout_ms,
            settles_ms: 0,
            before: Value::Object(Map::new()),
        })?;
        self.hands.busy.insert(i);
        let at = self.now + std::time::Duration::from_millis(takes_ms);
        let seq = self.state.seq;
        self.due.entry((at, seq)).or_default().push((i, result));
        if doing == Doing::Apply {
            let begun = self.ms(self.now);
            self.spans.entry(i).or_insert((begun, None));
        }
        Ok(())
    }

    fn outputs(&self, i: usize) -> Map<String, Value> {
        self.outputs.get(&self.state.step(i).id).cloned().unwrap_or_default()
    }

    /// Lets time pass until something ends.
    fn pass(&mut self, at: Timestamp) -> Result<(), String> {
        self.now = self.now.max(at);
        while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= at) {
            for (i, event) in entry.remove() {
                self.hands.busy.remove(&i);
                self.told.remove(&i);
                self.append(event)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, event: Event) -> Result<(), String> {
        let ended = match &event {
            Event::Done { step, doing: Doing::Apply, .. } | Event::Skipped { step, .. } | Event::Failed { step, .. } => Some(step.clone()),
            Event::Word { word: Word::Resolve { .. }, step, .. } => step.clone(),
            _ => None,
        };
        if let Event::Objective { asset, recovery_ms, shown, .. } = &event {
            self.back.insert(asset.clone(), (*recovery_ms, shown.clone()));
        }
        let entry = Entry { seq: self.state.seq + 1, at: self.now, event };
        self.state.fold(&entry).map_err(|e| e.to_string())?;
        if let Some(i) = ended.and_then(|id| self.state.find(&id)) {
            let now = self.ms(self.now);
            self.spans.entry(i).or_insert((now, None)).1 = Some(now);
        }
        Ok(())
    }

    fn ms(&self, at: Timestamp) -> u64 {
        u64::try_from(at.duration_since(self.start).as_millis()).unwrap_or(0)
    }
}

/// Those whose approval is still wanted: as many as count.
fn approvers(step: &Step, life: &StepState) -> Vec<String> {
    let names = waiting::approvers(step).filter(|name| !words::has_approved(life, name)).map(str::to_owned);
    let count = waiting::count(step).saturating_sub(life.approvals.len());
    names.chain((1..).map(|n| format!("person-{n}"))).take(count).collect()
}

/// A value that a matcher fits, as far as one can be named.
fn content(matcher: &Value) -> Option<Value> {
    let Some(map) = matcher.as_object() else { return Some(matcher.clone()) };
    let (word, arg) = map.iter().next()?;
    match word.as_str() {
        "one_of" => arg.as_array().and_then(|all| all.first()).cloned(),
        "at_least" | "at_most" | "contains" => Some(arg.clone()),
        "not" => Some(Value::String(format!("not {arg}"))),
        "present" if arg == &Value::Bool(true) => Some(Value::Bool(true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compile::{Input, compile};

    const PLAN: &str = r#"
drplan: v1
name: two
sites: { a: {}, b: {} }
contacts: { me: {} }
assets: { x: { kind: other, tier: none, site: a, replicas: [{ site: b, mode: standby }] } }
scenarios:
  loss:
    cause: outage
    loses: { sites: [a] }
    detect: 1m
    steps:
      - { id: yes, uses: approval, with: { ask: "Go?", from: [me] }, takes: 2m }
      - { id: fence, phase: contain, asset: x, at: a, uses: command, with: { argv: [fence] }, effect: idempotent, when_unreachable: ask, takes: 10s, undo: { none: "x" } }
      - { id: up, asset: x, at: b, uses: command, with: { argv: [up] }, effect: idempotent, takes: 1m, retry: { attempts: 2, delay: 5s }, undo: { uses: command, with: { argv: [down] } } }
      - { id: look, phase: verify, asset: x, at: b, uses: command, with: { argv: [look] }, effect: read, takes: 5s }
"#;

    fn run(fail: &[&str], lose: &[&str]) -> Rehearsed {
        let texts = BTreeMap::from([("plan.yaml".to_owned(), PLAN.to_owned())]);
        let compiled = compile(&texts, "plan.yaml", &Input::default()).unwrap();
        assert!(compiled.passed(), "{:#?}", compiled.findings);
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        rehearse(&Arc::new(compiled.checked[0].clone()), &Faults { fail: set(fail), lose: set(lose) }).unwrap()
    }

    #[test]
    fn all_good_takes_what_was_predicted() {
        let out = run(&[], &[]);
        assert_eq!(out.end, Some(End::Good));
        assert_eq!(out.took_ms, 120_000 + 10_000 + 60_000 + 5_000);
        assert_eq!(out.spans[&3], (190_000, Some(195_000)));
    }

    #[test]
    fn a_failure_is_tried_again_and_then_stops_the_run() {
        let out = run(&["up"], &[]);
        assert_eq!((out.end, out.idle), (None, Some(Idle::Person)));
        assert_eq!(out.took_ms, 130_000 + 60_000 + 5_000 + 60_000);
        assert!(!out.spans.contains_key(&3));
    }

    #[test]
    fn a_lost_site_asks_a_person_where_the_plan_says_so() {
        let out = run(&[], &["a"]);
        assert_eq!((out.end, out.idle), (None, Some(Idle::Person)));
        assert!(out.state.steps[1].asked.as_ref().is_some_and(|(about, _)| *about == About::Unreachable));
    }
}
