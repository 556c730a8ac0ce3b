//! When each step would start and end, if every step takes what the plan expects: list scheduling with locks and the
//! parallel limit. The executor starts steps by the same rule, [`urgency`] and [`collide`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use foldhash::{HashMap, HashMapExt};
use serde_json::Value;

use super::Graph;
use crate::model::{Compiled, Effect, Step};

/// Which of two ready steps starts first: the one with the longest way to the end, then the one written first.
/// Smaller is more urgent.
pub fn urgency(graph: &Graph, step: usize) -> (Reverse<u64>, usize) {
    (Reverse(graph.tail_ms[step]), step)
}

/// True if two steps must not be in flight at once: they share an asset (two that read may, and two of the same
/// `share`), or a lock.
pub fn collide(a: &Step, b: &Step) -> bool {
    let both_read = a.effect == Effect::Read && b.effect == Effect::Read;
    let shared = a.share.is_some() && a.share == b.share;
    let asset = !both_read && !shared && a.assets.iter().any(|x| b.assets.contains(x));
    asset || a.locks.iter().any(|x| b.locks.contains(x))
}

/// What was predicted for each node of the graph, in milliseconds from the run's start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// When each step starts.
    pub start_ms: Vec<u64>,
    /// When each step ends.
    pub end_ms: Vec<u64>,
    /// Length of the run.
    pub total_ms: u64,
}

/// The expected time of each step in this compilation: nothing for one that does not run, and of alternatives only
/// the longest branch counts.
pub fn durations(compiled: &Compiled) -> Vec<u64> {
    let steps = &compiled.scenario.steps;
    let runs = |s: &Step| s.modes.contains(&compiled.mode) && !compiled.left_out.contains(&s.id);
    let mut out: Vec<u64> = steps.iter().map(|s| if runs(s) { s.takes_ms } else { 0 }).collect();
    // Conditions on one value with different plain matchers exclude each other.
    let mut branches: BTreeMap<(&str, &str), BTreeMap<String, Vec<usize>>> = BTreeMap::new();
    for (i, step) in steps.iter().enumerate() {
        if let [when] = step.when.as_slice()
            && !matches!(when.matcher, Value::Object(_) | Value::Array(_))
        {
            let branch = branches.entry((&when.step, &when.output)).or_default();
            branch.entry(when.matcher.to_string()).or_default().push(i);
        }
    }
    for branch in branches.values().filter(|b| b.len() > 1) {
        let length = |steps: &Vec<usize>| steps.iter().map(|&i| out[i]).sum::<u64>();
        let longest = branch.iter().max_by_key(|(_, steps)| length(steps)).map(|(key, _)| key.clone());
        let shorter: Vec<usize> = branch.iter().filter(|(k, _)| Some(*k) != longest.as_ref()).flat_map(|(_, s)| s.clone()).collect();
        shorter.into_iter().for_each(|i| out[i] = 0);
    }
    out
}

/// The schedule of a compiled plan.
pub fn schedule(compiled: &Compiled, graph: &Graph, takes: &[u64]) -> Schedule {
    let total = graph.before.len();
    let (wanted, count) = locks(&compiled.scenario.steps);
    let mut sim = Simulation {
        graph,
        takes,
        slot: compiled
            .scenario
            .steps
            .iter()
            .zip(takes)
            .map(|(s, t)| *t > 0 && s.effect != Effect::Manual && s.call.uses != "approval")
            .collect(),
        limit: compiled.parallel.max(1) as usize,
        open: graph.before.iter().map(Vec::len).collect(),
        ready: [BinaryHeap::new(), BinaryHeap::new()],
        running: BinaryHeap::new(),
        slots: 0,
        wanted: &wanted,
        locks: (0..count).map(|_| Lock::default()).collect(),
        out: Schedule { start_ms: vec![0; total], end_ms: vec![0; total], total_ms: 0 },
    };
    (0..total).filter(|&n| graph.before[n].is_empty()).for_each(|n| sim.ready(n));
    sim.run();
    sim.out
}

/// Ready nodes: the longest way to the end first, then the one written first.
type Ready = BinaryHeap<Reverse<(Reverse<u64>, usize)>>;

struct Simulation<'a> {
    graph: &'a Graph,
    takes: &'a [u64],
    /// Which steps need a slot: not what takes no time, and not a person who is waited for.
    slot: Vec<bool>,
    limit: usize,
    /// How many predecessors of a node are not done.
    open: Vec<usize>,
    /// Ready nodes: those that need no slot, those that do.
    ready: [Ready; 2],
    running: BinaryHeap<Reverse<(u64, usize)>>,
    slots: usize,
    /// The locks of each step.
    wanted: &'a [Vec<(usize, Class<'a>)>],
    locks: Vec<Lock<'a>>,
    out: Schedule,
}

/// Who holds a lock, and who waits for it.
#[derive(Default)]
struct Lock<'a> {
    /// What the holders have in common, and how many they are; two of the same class go together.
    held: Option<(Class<'a>, usize)>,
    waiting: BinaryHeap<Reverse<(Reverse<u64>, usize)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class<'a> {
    Alone,
    Read,
    Share(&'a str),
}

impl Simulation<'_> {
    fn run(&mut self) {
        let mut now = 0;
        loop {
            self.start(now);
            let Some(Reverse((end, node))) = self.running.pop() else { break };
            now = end;
            self.finish(node);
            while let Some(&Reverse((other, node))) = self.running.peek() {
                if other != end {
                    break;
                }
                self.running.pop();
                self.finish(node);
            }
        }
        self.out.total_ms = now;
    }

    fn start(&mut self, now: u64) {
        loop {
            let full = self.slots >= self.limit;
            let next = self.ready[0].pop().or_else(|| if full { None } else { self.ready[1].pop() });
            let Some(Reverse((_, node))) = next else { return };
            let takes = self.takes.get(node).copied().unwrap_or(0);
            if takes > 0 && !self.take_locks(node) {
                continue;
            }
            self.slots += usize::from(self.needs_slot(node));
            self.out.start_ms[node] = now;
            self.out.end_ms[node] = now + takes;
            if takes == 0 { self.done(node) } else { self.running.push(Reverse((now + takes, node))) }
        }
    }

    fn ready(&mut self, node: usize) {
        self.ready[usize::from(self.needs_slot(node))].push(Reverse(urgency(self.graph, node)));
    }

    fn needs_slot(&self, node: usize) -> bool {
        self.slot.get(node).copied().unwrap_or(false)
    }

    fn finish(&mut self, node: usize) {
        self.slots -= usize::from(self.needs_slot(node));
        let wanted = self.wanted;
        for &(number, _) in &wanted[node] {
            let lock = &mut self.locks[number];
            lock.held = lock.held.filter(|(_, n)| *n > 1).map(|(class, n)| (class, n - 1));
            self.wake(number);
        }
        self.done(node);
    }

    fn done(&mut self, node: usize) {
        let graph = self.graph;
        for &next in &graph.after[node] {
            let next = next as usize;
            self.open[next] -= 1;
            if self.open[next] == 0 {
                self.ready(next);
            }
        }
    }

    /// Takes all locks of a step, or none and waits at the first that is held.
    fn take_locks(&mut self, node: usize) -> bool {
        let wanted = &self.wanted[node];
        for &(number, class) in wanted {
            let lock = &mut self.locks[number];
            let free = lock.held.is_none_or(|(held, _)| held == class && class != Class::Alone);
            if !free {
                lock.waiting.push(Reverse(urgency(self.graph, node)));
                // Whoever was woken for a lock that it cannot use lets the next one try.
                wanted.iter().filter(|(n, _)| *n != number).for_each(|(n, _)| self.wake(*n));
                return false;
            }
        }
        for &(number, class) in wanted {
            let lock = &mut self.locks[number];
            lock.held = Some((class, lock.held.map_or(0, |(_, n)| n) + 1));
            if class != Class::Alone {
                self.wake(number);
            }
        }
        true
    }

    /// Lets the most urgent step that waits for a lock try again, if the lock may have room.
    fn wake(&mut self, number: usize) {
        let lock = &mut self.locks[number];
        let wanted = self.wanted;
        let fits = |node: usize| match lock.held {
            None => true,
            Some((held, _)) => held != Class::Alone && wanted[node].iter().any(|&(n, class)| n == number && class == held),
        };
        if lock.waiting.peek().is_some_and(|Reverse((_, node))| fits(*node))
            && let Some(Reverse((_, next))) = lock.waiting.pop()
        {
            self.ready(next);
        }
    }
}

/// The locks of every step by number, and how many there are.
fn locks(steps: &[Step]) -> (Vec<Vec<(usize, Class<'_>)>>, usize) {
    let mut numbers: HashMap<(bool, &str), usize> = HashMap::new();
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let class = match (&step.share, step.effect) {
            (Some(name), _) => Class::Share(name),
            (None, Effect::Read) => Class::Read,
            _ => Class::Alone,
        };
        let assets = step.assets.iter().map(|a| ((true, a.as_str()), class));
        let named = step.locks.iter().map(|l| ((false, l.as_str()), Class::Alone));
        let mut own: Vec<(usize, Class<'_>)> = Vec::with_capacity(step.assets.len() + step.locks.len());
        for (name, class) in assets.chain(named) {
            let next = numbers.len();
            let number = *numbers.entry(name).or_insert(next);
            if !own.iter().any(|(n, _)| *n == number) {
                own.push((number, class));
            }
        }
        all.push(own);
    }
    (all, numbers.len())
}
