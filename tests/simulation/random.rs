//! Anything may happen to any plan: random plans and the plans of this repository, with everything that goes wrong
//! following from a seed. `DRPLAN_DEATHS=N` goes on until the program has died N times; `DRPLAN_FIRST=N` begins at another seed;
//! `DRPLAN_SEED=N` replays one; `DRPLAN_FAULT=NAME` plants a fault.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use drplan::analysis::Checked;
use drplan::compile::{Input, compile};
use drplan::execute::State;
use drplan::execute::rehearse::{Rehearsal, Trouble, rehearse, shadow};
use drplan::execute::state::Life;
use drplan::model::OnFailure;
use foldhash::HashSet;

/// A small generator of its own, so that what a seed means does not change with the library.
pub struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n.max(1)
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A plan with all that the language has for the order and the way back: the first of the seed that checks.
pub fn plan(seed: u64) -> Checked {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..100).find_map(|_| draft(&mut dice)).unwrap_or_else(|| panic!("seed {seed}: of a hundred plans none checks"))
}

fn draft(dice: &mut Dice) -> Option<Checked> {
    let steps = 3 + dice.below(14);
    let mut text =
        String::from("drplan: v1\nname: random\nowner: lead\ncontacts:\n  lead: { title: Lead }\n  second: { title: Second }\nassets:\n");
    let assets = 1 + dice.below(4);
    for a in 0..assets {
        let on = if a > 0 && dice.below(2) == 0 { format!(", depends_on: [a{}]", dice.below(a)) } else { String::new() };
        writeln!(text, "  a{a}: {{ kind: other, tier: none{on} }}").unwrap();
    }
    text.push_str("  names: { kind: route53, tier: none, connect: { zone: Z1, record: www.example.com, type: CNAME, ttl: 1s } }\n");
    text.push_str("scenarios:\n  move:\n    cause: planned\n    steps:\n");
    let mut reads: Vec<u64> = Vec::new();
    for n in 0..steps {
        let mut line = format!("      - {{ id: s{n}, takes: {}s", 1 + dice.below(5));
        if n > 0 && dice.below(3) > 0 {
            let needs: Vec<String> = (0..1 + dice.below(2)).map(|_| format!("s{}", dice.below(n))).collect();
            let needs: std::collections::BTreeSet<String> = needs.into_iter().collect();
            write!(line, ", needs: [{}]", needs.into_iter().collect::<Vec<_>>().join(", ")).unwrap();
        } else if dice.below(4) == 0 {
            line.push_str(", needs: []");
        }
        if let Some(x) = reads.last().filter(|_| dice.below(5) == 0) {
            write!(line, ", when: {{ steps.s{x}.found: {} }}", dice.one(&["yes-it-is", "no-it-is-not"])).unwrap();
        }
        if dice.below(6) == 0 {
            write!(line, ", lock: [{}]", dice.one(&["crane", "hall"])).unwrap();
        }
        let asset = format!(", asset: a{}", dice.below(assets));
        let undo =
            dice.one(&["{ uses: command, with: { argv: [del] } }", "{ uses: command, with: { argv: [del] } }", "{ none: no way back }"]);
        let failure = if dice.below(8) == 0 { format!(", on_failure: {}", dice.one(&["continue", "rollback"])) } else { String::new() };
        let retry = if dice.below(3) == 0 { ", retry: { attempts: 3, delay: 1s }" } else { "" };
        match dice.below(12) {
            0 => line.push_str(", uses: approval, with: { ask: Go?, from: [lead, second], count: 2 }"),
            1 => write!(line, "{asset}, uses: manual, with: {{ do: Something }}, undo: {}", dice.one(&["{ none: no }", "{ uses: manual, with: { do: Back } }"])).unwrap(),
            2 | 3 => {
                reads.push(n);
                write!(line, "{asset}, phase: verify, uses: command, with: {{ argv: [look] }}, effect: read, outputs: {{ found: {{ type: string, json: found }} }}{failure}{retry}").unwrap();
            }
            4 | 5 => write!(line, "{asset}, uses: command, with: {{ argv: [do] }}, effect: once, undo: {undo}{failure}").unwrap(),
            6 | 7 => write!(line, "{asset}, uses: command, with: {{ argv: [do] }}, check: {{ uses: command, effect: read, with: {{ argv: [is] }} }}, undo: {undo}{failure}{retry}").unwrap(),
            8 | 9 => write!(line, ", asset: names, uses: route53.upsert, with: {{ value: new.example.com }}, undo: auto{failure}{retry}").unwrap(),
            _ => write!(line, "{asset}, uses: command, with: {{ argv: [do] }}, effect: idempotent, undo: {undo}{failure}{retry}").unwrap(),
        }
        text.push_str(&line);
        text.push_str(" }\n");
    }
    let files = BTreeMap::from([("plan.yaml".to_owned(), text)]);
    let input = Input { parallel: Some(1 + dice.below(5) as u32), ..Input::default() };
    let found = compile(&files, "plan.yaml", &input).unwrap();
    found.checked.into_iter().next()
}

/// Every scenario of the plans of this repository.
fn ours() -> Vec<Arc<Checked>> {
    let mut out = Vec::new();
    for dir in ["quickstart", "platform"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(dir).join("plan.yaml");
        let files = BTreeMap::from([("plan.yaml".to_owned(), std::fs::read_to_string(path).unwrap())]);
        let found = compile(&files, "plan.yaml", &Input::default()).unwrap();
        assert!(!found.checked.is_empty(), "{dir}");
        out.extend(found.checked.iter().map(|checked| Arc::new(shadow::of(checked).unwrap())));
    }
    out
}

/// What a state is, for counting: where each step stands and what was said of the run, not when.
fn mark(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.checked.digest().hash(&mut hasher);
    (state.paused.is_some(), state.aborting, state.finished.map(|f| f as u8)).hash(&mut hasher);
    state.back.as_ref().map(|b| b.to).hash(&mut hasher);
    for step in &state.steps {
        std::mem::discriminant(&step.life).hash(&mut hasher);
        match &step.life {
            Life::Unknown { doing, open_until, died, answer, .. } => {
                (*doing as u8, open_until.is_some(), died, answer.map(|a| a as u8)).hash(&mut hasher);
            }
            Life::Running { doing, .. } => (*doing as u8).hash(&mut hasher),
            Life::Failed { unreachable, .. } => unreachable.hash(&mut hasher),
            Life::Skipped { flaw, .. } => flaw.hash(&mut hasher),
            _ => {}
        }
        (step.asked.as_ref().map(|(about, _)| *about as u8), step.approvals.len()).hash(&mut hasher);
    }
    hasher.finish()
}

#[derive(Default)]
struct Tally {
    deaths: u64,
    runs: u64,
    takeovers: u64,
    journal_failures: u64,
    ends: BTreeMap<String, u64>,
    states: HashSet<u64>,
}

/// What a seed stands for: a plan, and what happens to it.
fn cast(seed: u64, ours: &[Arc<Checked>]) -> (Arc<Checked>, Trouble) {
    let shadow = match seed % 10 {
        0 => Arc::clone(&ours[(seed / 10) as usize % ours.len()]),
        _ => Arc::new(shadow::of(&plan(seed)).unwrap()),
    };
    let trouble = Trouble::of(seed);
    if seed.is_multiple_of(3) { (shadow, Trouble { words: 0, meddling: false, ..trouble }) } else { (shadow, trouble) }
}

/// One seed: its plan, its trouble, and what came of it; with deaths but without words, the end must be that of a run
/// in which nobody died.
fn one(seed: u64, ours: &[Arc<Checked>], tally: &mut Tally) -> Vec<String> {
    let (shadow, trouble) = cast(seed, ours);
    let mut states = std::mem::take(&mut tally.states);
    let run = rehearse(&shadow, seed, &trouble, &mut |state| {
        states.insert(mark(state));
    });
    tally.states = states;
    tally.runs += 1;
    tally.deaths += u64::from(run.deaths);
    tally.takeovers += u64::from(run.takeovers);
    tally.journal_failures += u64::from(run.journal_failures);
    *tally.ends.entry(format!("{:?}", run.end)).or_default() += 1;
    let mut broken = run.broken.clone();
    // Where the plan itself turns on a failure, what a death hides may lead another way; elsewhere all ways end alike.
    let straight = shadow.compiled().scenario.steps.iter().all(|s| s.on_failure == OnFailure::Pause);
    if straight && trouble.words == 0 && !trouble.meddling {
        let calm = rehearse(&shadow, seed, &Trouble { deaths: Vec::new(), stop: None, journal: None, ..trouble.clone() }, &mut |_| {});
        broken.extend(differs(&run, &calm));
    }
    if !broken.is_empty() {
        broken.push(format!("the last events:\n{}", tail(&run)));
        if run.end.is_some() {
            broken.push(format!("least trouble in which a law breaks: {:?}", shrink(&shadow, seed, trouble)));
        }
    }
    broken
}

fn tail(run: &Rehearsal) -> String {
    let from = run.entries.len().saturating_sub(25).max(1);
    let lines = run.entries[from..].iter().map(|e| format!("    {} {} {}\n", e.seq, e.at, serde_json::to_string(&e.event).unwrap()));
    lines.collect()
}

fn differs(run: &Rehearsal, calm: &Rehearsal) -> Vec<String> {
    let mut out = Vec::new();
    if run.end != calm.end {
        out.push(format!("it ended {:?}, undisturbed it ended {:?}", run.end, calm.end));
    }
    if run.picture != calm.picture {
        out.push(format!("the world is not the same:\n  {:?}\n  {:?}", run.picture, calm.picture));
    }
    out
}

/// Takes away trouble as long as a law still breaks.
fn shrink(shadow: &Arc<Checked>, seed: u64, trouble: Trouble) -> Trouble {
    let breaks = |t: &Trouble| !rehearse(shadow, seed, t, &mut |_| {}).broken.is_empty();
    let mut least = trouble;
    loop {
        let mut less = vec![
            Trouble { meddling: false, ..least.clone() },
            Trouble { words: 0, ..least.clone() },
            Trouble { words: least.words.saturating_sub(1), ..least.clone() },
            Trouble { stop: None, ..least.clone() },
            Trouble { journal: None, ..least.clone() },
            Trouble { wrongs: 0, ..least.clone() },
        ];
        less.extend((0..least.deaths.len()).map(|n| {
            let mut deaths = least.deaths.clone();
            deaths.remove(n);
            Trouble { deaths, ..least.clone() }
        }));
        match less.into_iter().find(|t| *t != least && breaks(t)) {
            Some(smaller) => least = smaller,
            None => return least,
        }
    }
}

/// Seeds from `first` on, until the program died so often; the first problem ends it.
pub fn search(first: u64, deaths: u64) -> Result<(u64, String), String> {
    let ours = ours();
    let mut tally = Tally::default();
    let mut seed = first;
    while tally.deaths < deaths {
        let broken = one(seed, &ours, &mut tally);
        if !broken.is_empty() {
            return Err(format!("seed {seed} (DRPLAN_SEED={seed} replays it alone): {}", broken.join("\n  ")));
        }
        seed += 1;
    }
    let Tally { deaths, runs, takeovers, journal_failures, ends, states } = tally;
    let told = format!(
        "{runs} runs, {deaths} deaths, {takeovers} takeovers, {journal_failures} failures of the journal, {} states of the machine; ends: {ends:?}",
        states.len()
    );
    Ok((deaths, told))
}

#[test]
fn anything_may_happen_to_any_plan() {
    #[cfg(feature = "planted-faults")]
    if let Ok(fault) = std::env::var("DRPLAN_FAULT") {
        drplan::execute::planted::plant(fault.leak());
    }
    if let Ok(seed) = std::env::var("DRPLAN_SEED") {
        let seed = seed.parse().unwrap();
        let mut tally = Tally::default();
        let broken = one(seed, &ours(), &mut tally);
        let (shadow, trouble) = cast(seed, &ours());
        let run = rehearse(&shadow, seed, &trouble, &mut |_| {});
        for entry in &run.entries[1..] {
            println!("{} {} {}", entry.seq, entry.at, serde_json::to_string(&entry.event).unwrap());
        }
        println!("{trouble:?}");
        let state = State::bound(drplan::execute::rehearse::RUN, &run.entries, &shadow).unwrap();
        for (i, step) in state.steps.iter().enumerate() {
            println!(
                "{}: {:?}, {} attempts, asked {:?}, undo {:?}",
                state.step(i).id,
                step.life,
                step.attempts,
                step.asked,
                state.step(i).undo
            );
        }
        println!("{:?} {:?}", state.back, drplan::execute::rollback::plan(&state));
        assert!(broken.is_empty(), "{}", broken.join("\n"));
        return;
    }
    let deaths = std::env::var("DRPLAN_DEATHS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let first = std::env::var("DRPLAN_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    match search(first, deaths) {
        Ok((died, told)) => {
            println!("{told}");
            assert!(died >= deaths);
        }
        Err(why) => panic!("{why}"),
    }
}
