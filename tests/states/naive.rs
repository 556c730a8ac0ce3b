//! All that can happen to a plan, one thing after the other, and what of it an asset sees. It shares with the program what a
//! step does to a copy, and which outcomes of conditions there are; nothing else.

use std::collections::{BTreeSet, HashSet, VecDeque};

use drplan::analysis::states::{Kind, Part, State};

use super::plans::Order;

/// What an asset saw: the way that conditions went, its steps in effect, and how it was then.
type Sight = (usize, BTreeSet<usize>, State);

pub struct All {
    pub states: BTreeSet<Sight>,
    pub bad: BTreeSet<(usize, Kind)>,
    pub looked_at: usize,
    /// Of those: with a step that was taken back.
    pub undone: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Life {
    Waiting,
    Done,
    /// It surely ended without its effect, or with half of it.
    Failed,
    /// Nobody knows; its effect is not there yet.
    Unknown,
    /// Nobody knows; its effect is there.
    Landed,
    Passed,
    Undone,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Run {
    lives: Vec<Life>,
    /// Steps in effect, in the order of their effects.
    effects: Vec<usize>,
    /// The one thing that may go wrong has gone wrong.
    spoilt: bool,
    /// It is taken back: all of it, or what stands on a step.
    back: Option<Option<usize>>,
}

pub fn explore(order: &Order, part: &Part) -> All {
    let mut all = All { states: BTreeSet::new(), bad: BTreeSet::new(), looked_at: 0, undone: 0 };
    for (way, passed) in part.ways.iter().enumerate() {
        let passed: Vec<usize> = passed.iter().map(|(n, _)| part.steps[*n].0).collect();
        let steps = order.before.len();
        let lives = (0..steps).map(|i| if passed.contains(&i) { Life::Passed } else { Life::Waiting }).collect();
        let begin = Run { lives, effects: Vec::new(), spoilt: false, back: None };
        let mut seen = HashSet::from([begin.clone()]);
        let mut open = VecDeque::from([begin]);
        while let Some(run) = open.pop_front() {
            all.looked_at += 1;
            let (state, bad) = replay(part, &run.effects);
            // Also of what is left when something was taken back.
            if bad.is_some() {
                all.bad.extend(bad);
                continue;
            }
            let sight = (way, run.effects.iter().copied().filter(|i| part.steps.iter().any(|(s, _)| s == i)).collect(), state);
            all.undone += usize::from(run.lives.contains(&Life::Undone));
            all.states.insert(sight);
            for next in nexts(order, &run) {
                if seen.insert(next.clone()) {
                    open.push_back(next);
                }
            }
        }
    }
    all
}

/// What steps in effect make of an asset, and the first of them that is bad.
fn replay(part: &Part, effects: &[usize]) -> (State, Option<(usize, Kind)>) {
    let mut state = part.begin;
    for i in effects {
        if let Some((_, step)) = part.steps.iter().find(|(s, _)| s == i) {
            let (then, bad) = part.copies.after(state, *step);
            state = then;
            if let Some(bad) = bad {
                return (state, Some((*i, bad.kind)));
            }
        }
    }
    (state, None)
}

/// Whether all that a step waits for is done; who was passed over stands open for what it would have waited for.
fn ready(order: &Order, run: &Run, i: usize) -> bool {
    order.before[i].iter().all(|&b| match run.lives[b] {
        Life::Done => true,
        Life::Passed => ready(order, run, b),
        _ => false,
    })
}

fn nexts(order: &Order, run: &Run) -> Vec<Run> {
    let mut out = Vec::new();
    let with = |i: usize, life: Life, effect: bool| {
        let mut next = run.clone();
        next.lives[i] = life;
        if effect {
            next.effects.push(i);
        }
        next
    };
    for (i, life) in run.lives.iter().enumerate() {
        match life {
            Life::Waiting if run.back.is_none() && ready(order, run, i) => {
                out.push(with(i, Life::Done, true));
                if !run.spoilt {
                    for (life, effect) in [(Life::Failed, false), (Life::Failed, true), (Life::Unknown, false), (Life::Landed, true)] {
                        let mut next = with(i, life, effect);
                        next.spoilt = true;
                        out.push(next);
                    }
                }
            }
            // It lands late, or it turns out that it never will.
            Life::Unknown => out.extend([with(i, Life::Landed, true), with(i, Life::Failed, false)]),
            // Somebody looks, and finds it there.
            Life::Landed => out.push(with(i, Life::Done, false)),
            _ => {}
        }
    }
    let unknown = run.lives.iter().any(|l| matches!(l, Life::Unknown | Life::Landed));
    if run.back.is_none() && !unknown {
        let holders = run.effects.iter().any(|&i| order.holds[i]);
        let to = (0..run.lives.len()).map(Some).chain((!holders).then_some(None));
        out.extend(to.map(|to| Run { back: Some(to), ..run.clone() }));
    }
    if let Some(to) = run.back {
        out.extend(undone(order, run, to));
    }
    out
}

/// The next step back: the last effect that may go, and with it what was seen after it and because of it.
fn undone(order: &Order, run: &Run, to: Option<usize>) -> Option<Run> {
    let held = |i: usize| run.effects.iter().any(|&h| order.holds[h] && (h == i || stands_on(order, h, i)));
    let goes = |i: &&usize| !order.reads[**i] && !held(**i) && to.is_none_or(|t| t != **i && stands_on(order, **i, t));
    let last = *run.effects.iter().rev().find(goes)?;
    let mut next = run.clone();
    next.lives[last] = Life::Undone;
    next.effects.retain(|&i| i != last && !(order.reads[i] && stands_on(order, i, last)));
    Some(next)
}

fn stands_on(order: &Order, i: usize, on: usize) -> bool {
    order.before[i].iter().any(|&b| b == on || stands_on(order, b, on))
}

/// How few things can lead to a bad state: steps passed over, and steps that matter to the asset.
pub fn shortest(order: &Order, part: &Part, step: usize, kind: Kind) -> Option<usize> {
    let visible = |i: &usize| part.steps.iter().any(|(s, _)| s == i);
    let mut best: Option<(usize, usize)> = None;
    for passed in &part.ways {
        let over: Vec<usize> = passed.iter().map(|(n, _)| part.steps[*n].0).collect();
        let lives = (0..order.before.len()).map(|i| if over.contains(&i) { Life::Passed } else { Life::Waiting }).collect();
        let mut open = vec![Run { lives, effects: Vec::new(), spoilt: true, back: None }];
        let mut seen = HashSet::new();
        while let Some(run) = open.pop() {
            if let Some(bad) = replay(part, &run.effects).1 {
                if bad == (step, kind) {
                    let length = (over.len(), run.effects.iter().filter(|i| visible(i)).count() - 1);
                    best = best.map_or(Some(length), |b| Some(b.min(length)));
                }
                continue;
            }
            open.extend(nexts(order, &run).into_iter().filter(|n| n.back.is_none() && seen.insert(n.clone())));
        }
    }
    best.map(|(over, steps)| over + steps)
}
