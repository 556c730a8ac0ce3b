//! A part explored: all its states, breadth first, so that the way to a bad one is as short as it can be; or, of one that
//! is too large, so many orders drawn by a seed. It does not know what is bad: that is `world`.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::part::Part;
use super::world::{Move, State, Wrong};
use super::{Bad, Kind};
use crate::analysis::chance::Chance;

/// Steps of a part that are looked at one by one; a larger one is sampled.
const STEPS: usize = 128;

/// What was found in a part.
pub struct Walked {
    /// Different states.
    pub states: u64,
    /// Orders that lead through them.
    pub orders: u64,
    /// What must never be.
    pub bad: Vec<Bad>,
}

/// Of each bad state the first way that was found: no other one has fewer steps that are passed over, or fewer steps.
type Found = BTreeMap<(usize, Kind), Bad>;

struct Seen {
    done: u128,
    state: State,
    /// The state from which it was reached first, and the step.
    from: (u32, u8),
    orders: u64,
}

/// Looks at every state; none if there are more than so many.
pub fn walk(part: &Part, limit: u64) -> Option<Walked> {
    if part.steps.len() > STEPS {
        return None;
    }
    let mut found = Found::new();
    let (mut states, mut orders) = (0u64, 0u64);
    for way in &part.ways {
        let passed: u128 = way.iter().map(|(n, _)| 1u128 << n).sum();
        let needs: Vec<u128> = part.before.iter().map(|b| b.iter().map(|n| 1u128 << n).sum::<u128>() & !passed).collect();
        let todo: Vec<usize> = (0..part.steps.len()).filter(|n| passed & (1 << n) == 0).collect();
        let end: u128 = todo.iter().map(|n| 1u128 << n).sum();
        let mut seen = vec![Seen { done: 0, state: part.begin, from: (0, 0), orders: 1 }];
        let mut known: HashMap<(u128, State), u32> = HashMap::new();
        let mut next = 0;
        while next < seen.len() {
            if states + next as u64 >= limit {
                return None;
            }
            let Seen { done, state, orders: ways_here, .. } = seen[next];
            orders = if done == end { orders.saturating_add(ways_here) } else { orders };
            for &n in todo.iter().filter(|&&n| done & (1 << n) == 0 && needs[n] & !done == 0) {
                let (then, bad) = part.copies.after(state, part.steps[n].1);
                if let Some(wrong) = bad {
                    let key = (part.steps[n].0, wrong.kind);
                    found.entry(key).or_insert_with(|| self::bad(part, n, wrong, told(part, way, &path(&seen, next))));
                    // What comes after it comes of it.
                    orders = orders.saturating_add(ways_here);
                    continue;
                }
                let at = *known.entry((done | 1 << n, then)).or_insert_with(|| {
                    seen.push(Seen { done: done | 1 << n, state: then, from: (next as u32, n as u8), orders: 0 });
                    seen.len() as u32 - 1
                });
                let orders = &mut seen[at as usize].orders;
                *orders = orders.saturating_add(ways_here);
            }
            next += 1;
        }
        states += seen.len() as u64;
    }
    Some(Walked { states, orders, bad: found.into_values().collect() })
}

/// Draws so many orders.
pub fn sample(part: &Part, orders: u64, seed: u64) -> Walked {
    let mut chance = Chance::new(seed);
    let mut found = Found::new();
    let mut known: HashSet<State> = HashSet::default();
    for _ in 0..orders {
        let way = &part.ways[chance.index(part.ways.len())];
        let passed = |n: usize| way.iter().any(|(m, _)| *m == n);
        let mut open: Vec<usize> = part.before.iter().map(|b| b.iter().filter(|&&n| !passed(n)).count()).collect();
        let mut ready: Vec<usize> = (0..part.steps.len()).filter(|&n| !passed(n) && open[n] == 0).collect();
        let mut done = Vec::new();
        let mut state = part.begin;
        while !ready.is_empty() {
            let n = ready.swap_remove(chance.index(ready.len()));
            let (then, bad) = part.copies.after(state, part.steps[n].1);
            if let Some(wrong) = bad {
                let bad = self::bad(part, n, wrong, told(part, way, &done));
                let shortest = found.entry((bad.step, bad.kind)).or_insert_with(|| bad.clone());
                if bad.before.len() < shortest.before.len() {
                    *shortest = bad;
                }
                break;
            }
            state = then;
            known.insert(state);
            done.push(n);
            for after in (0..part.steps.len()).filter(|&m| !passed(m) && part.before[m].contains(&n)) {
                open[after] -= 1;
                if open[after] == 0 {
                    ready.push(after);
                }
            }
        }
    }
    Walked { states: known.len() as u64, orders, bad: found.into_values().collect() }
}

fn bad(part: &Part, n: usize, wrong: Wrong, before: Vec<(usize, String)>) -> Bad {
    let other = wrong.other.and_then(|q| part.copies.sites[q].clone());
    Bad { kind: wrong.kind, asset: part.asset.clone(), step: part.steps[n].0, what: wrong.what, other, before }
}

/// The steps that led to a state.
fn path(seen: &[Seen], mut at: usize) -> Vec<usize> {
    let mut steps = Vec::new();
    while at != 0 {
        let (from, step) = seen[at].from;
        steps.push(usize::from(step));
        at = from as usize;
    }
    steps.reverse();
    steps
}

/// A way in words: what steps do, and which are passed over.
fn told(part: &Part, way: &[(usize, &'static str)], done: &[usize]) -> Vec<(usize, String)> {
    let place = |p: usize| &part.copies.places[p];
    let words = |n: usize| match part.steps[n].1 {
        Move::Stop(p) => format!("{} takes no writes any more", place(p)),
        Move::Take(p, _) => format!("{} takes writes", place(p)),
        Move::Newest(p) => format!("{} has what is newest", place(p)),
        Move::Put(p) => format!("a backup comes in the place of {}", place(p)),
        Move::Bring(Some(p)) => format!("brings up {}", place(p)),
        Move::Bring(None) => format!("works on `{}`", part.asset),
        Move::Show => format!("shows that `{}` is well", part.asset),
        Move::Point => format!("sends traffic to `{}`", part.asset),
    };
    let mut all: Vec<(usize, String)> = done.iter().map(|&n| (n, words(n))).collect();
    for (n, why) in way {
        // It is passed over as soon as its turn has come.
        let turn = all.iter().rposition(|(m, _)| part.before[*n].contains(m)).map_or(0, |at| at + 1);
        all.insert(turn, (*n, (*why).to_owned()));
    }
    all.into_iter().map(|(n, what)| (part.steps[n].0, what)).collect()
}
