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
    lengths(compiled, |step| step.takes_ms)
}

/// The longest time of each step: attempts × timeout and the pauses between them; of one that waits for ever what it is
/// expected to take. Of alternatives only the longest branch counts.
pub fn longest(compiled: &Compiled) -> Vec<u64> {
    lengths(compiled, |step| worst_ms(step).unwrap_or(step.takes_ms).max(step.takes_ms))
}

/// The worst case of a step: attempts × timeout and the pauses between them; none if it waits for ever.
pub fn worst_ms(step: &Step) -> Option<u64> {
    let pauses: u64 = (1..step.retry.attempts).map(|n| step.retry.delay_after_ms(n)).fold(0, u64::saturating_add);
    step.timeout_ms.map(|t| t.saturating_mul(u64::from(step.retry.attempts)).saturating_add(pauses))
}

/// True if only a person ends the step: it needs no slot, for a person is no process.
pub fn by_people(step: &Step) -> bool {
    step.effect == Effect::Manual || step.call.uses == "approval"
}

fn lengths(compiled: &Compiled, own: impl Fn(&Step) -> u64) -> Vec<u64> {
    let steps = &compiled.scenario.steps;
    let mut out: Vec<u64> = steps.iter().map(|s| if compiled.runs(s) { own(s) } else { 0 }).collect();
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
    Scheduler::new(compiled, graph).run(takes)
}

/// What every schedule of a plan has in common, whatever its steps take.
pub struct Scheduler<'a> {
    graph: &'a Graph,
    limit: usize,
    /// Steps that are a person's work.
    people: Vec<bool>,
    /// The locks of each step by number.
    wanted: Vec<Vec<(usize, Class<'a>)>>,
    /// How many locks there are.
    locks: usize,
}

impl<'a> Scheduler<'a> {
    /// Of a compiled plan and its order.
    pub fn new(compiled: &'a Compiled, graph: &'a Graph) -> Scheduler<'a> {
        let steps = &compiled.scenario.steps;
        let (wanted, locks) = locks(steps);
        let people = steps.iter().map(by_people).collect();
        Scheduler { graph, limit: compiled.parallel.max(1) as usize, people, wanted, locks }
    }

    /// The schedule if each step takes so long, in milliseconds. What takes no time needs neither a slot nor a lock.
    pub fn run(&self, takes: &[u64]) -> Schedule {
        let total = self.graph.before.len();
        let mut sim = Simulation {
            of: self,
            takes,
            open: self.graph.before.iter().map(Vec::len).collect(),
            ready: [Ready::new(), Ready::new(), Ready::new()],
            running: BinaryHeap::new(),
            slots: 0,
            locks: (0..self.locks).map(|_| Lock::default()).collect(),
            out: Schedule { start_ms: vec![0; total], end_ms: vec![0; total], total_ms: 0 },
        };
        (0..total).filter(|&n| self.graph.before[n].is_empty()).for_each(|n| sim.ready(n));
        sim.run();
        sim.out
    }

    /// Whether a step that takes so long needs one of the slots.
    pub fn needs_slot(&self, node: usize, takes: &[u64]) -> bool {
        takes.get(node).is_some_and(|ms| *ms > 0) && !self.people[node]
    }

    /// Whether two steps must not be in flight at once.
    pub fn excludes(&self, a: usize, b: usize) -> bool {
        let same = |(n, class): &(usize, Class<'_>)| self.wanted[b].iter().any(|(m, other)| m == n && !class.beside(*other));
        self.wanted[a].iter().any(same)
    }
}

impl Scheduler<'_> {
    /// Who began only when another had ended and given back a lock or a slot: pairs of both.
    pub(super) fn handovers(&self, schedule: &Schedule, takes: &[u64]) -> Vec<(usize, usize)> {
        let mut holders: Vec<Vec<(usize, Class<'_>)>> = vec![Vec::new(); self.locks];
        let mut steps: Vec<usize> = (0..takes.len()).filter(|&i| takes[i] > 0).collect();
        steps.sort_by_key(|&i| (schedule.start_ms[i], i));
        for &step in &steps {
            self.wanted[step].iter().for_each(|&(number, class)| holders[number].push((step, class)));
        }
        let mut out = Vec::new();
        for holders in holders {
            // Those who have it now, some of them together, and those who had it before the first of them: whoever had it
            // still earlier ended before that first one began.
            let mut now: BTreeMap<Class<'_>, Vec<usize>> = BTreeMap::new();
            let mut before = now.clone();
            for (step, class) in holders {
                if now.keys().all(|held| !held.beside(class)) {
                    before = std::mem::take(&mut now);
                }
                let apart = before.iter().chain(&now).filter(|(held, _)| !held.beside(class));
                out.extend(apart.flat_map(|(_, steps)| steps).map(|&b| (b, step)));
                now.entry(class).or_default().push(step);
            }
        }
        out.extend(super::way::slots(self, schedule, takes, self.limit));
        out
    }
}

/// Nodes: the longest way to the end first, then the one written first.
type Ready = BinaryHeap<Reverse<(Reverse<u64>, usize)>>;

struct Simulation<'a> {
    of: &'a Scheduler<'a>,
    takes: &'a [u64],
    /// How many predecessors of a node are not done.
    open: Vec<usize>,
    /// Ready nodes, by [`Kind`].
    ready: [Ready; 3],
    running: BinaryHeap<Reverse<(u64, usize)>>,
    slots: usize,
    locks: Vec<Lock<'a>>,
    out: Schedule,
}

/// What a node needs to start, besides its locks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// It takes no time: nothing, not even a lock.
    Instant,
    /// A person.
    Person,
    /// A slot.
    Slot,
}

/// Who holds a lock, and who waits for it.
#[derive(Default)]
struct Lock<'a> {
    /// How many hold it, by class.
    held: BTreeMap<Class<'a>, usize>,
    waiting: BTreeMap<(Kind, Class<'a>), Ready>,
}

impl Lock<'_> {
    fn fits(&self, class: Class<'_>) -> bool {
        self.held.keys().all(|held| held.beside(class))
    }
}

/// With whom a step can hold a lock at once: see [`collide`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Class<'a> {
    reads: bool,
    share: Option<&'a str>,
}

impl Class<'_> {
    fn beside(self, other: Class<'_>) -> bool {
        self.reads && other.reads || self.share.is_some() && self.share == other.share
    }
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
        while let Some(node) = self.next() {
            let takes = self.takes.get(node).copied().unwrap_or(0);
            if takes > 0 && !self.take_locks(node) {
                continue;
            }
            self.slots += usize::from(self.kind(node) == Kind::Slot);
            self.out.start_ms[node] = now;
            self.out.end_ms[node] = now + takes;
            if takes == 0 { self.done(node) } else { self.running.push(Reverse((now + takes, node))) }
        }
    }

    /// The most urgent node that may start; first all that takes no time, because others become ready by it.
    fn next(&mut self) -> Option<usize> {
        let most = if self.slots < self.of.limit { Kind::Slot } else { Kind::Person };
        let [instant, person, slot] = &mut self.ready;
        let from = match (instant.peek(), person.peek(), slot.peek().filter(|_| most == Kind::Slot)) {
            (Some(_), ..) => instant,
            // Of two reversed the greater is the more urgent.
            (_, person_first, Some(first)) if person_first < Some(first) => slot,
            _ => person,
        };
        from.pop().map(|Reverse((_, node))| node)
    }

    fn kind(&self, node: usize) -> Kind {
        match self.takes.get(node) {
            None | Some(0) => Kind::Instant,
            Some(_) if self.of.people[node] => Kind::Person,
            Some(_) => Kind::Slot,
        }
    }

    fn ready(&mut self, node: usize) {
        self.ready[self.kind(node) as usize].push(Reverse(urgency(self.of.graph, node)));
    }

    fn finish(&mut self, node: usize) {
        self.slots -= usize::from(self.kind(node) == Kind::Slot);
        let of = self.of;
        for &(number, class) in &of.wanted[node] {
            let held = &mut self.locks[number].held;
            match held.get_mut(&class) {
                Some(holders) if *holders > 1 => *holders -= 1,
                _ => drop(held.remove(&class)),
            }
            self.wake(number);
        }
        self.done(node);
    }

    fn done(&mut self, node: usize) {
        let graph = self.of.graph;
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
        let (of, kind) = (self.of, self.kind(node));
        let wanted = &of.wanted[node];
        for &(number, class) in wanted {
            let lock = &mut self.locks[number];
            if !lock.fits(class) {
                lock.waiting.entry((kind, class)).or_default().push(Reverse(urgency(of.graph, node)));
                // Whoever was woken for a lock that it cannot use lets the next one try.
                wanted.iter().filter(|(n, _)| *n != number).for_each(|(n, _)| self.wake(*n));
                return false;
            }
        }
        for &(number, class) in wanted {
            *self.locks[number].held.entry(class).or_default() += 1;
            if class != Class::default() {
                self.wake(number);
            }
        }
        true
    }

    /// Lets the most urgent who wait for a lock try again, if the lock has room for them: one of those that need a slot,
    /// which may not be free, and one of those that need none.
    fn wake(&mut self, number: usize) {
        for kind in [Kind::Person, Kind::Slot] {
            let lock = &mut self.locks[number];
            let fits = lock.waiting.iter().filter(|((of, class), _)| *of == kind && lock.fits(*class));
            let first = fits.filter_map(|(key, waiting)| Some((waiting.peek()?, *key))).max().map(|(_, key)| key);
            if let Some(Reverse((_, node))) = first.and_then(|key| lock.waiting.get_mut(&key)?.pop()) {
                self.ready(node);
            }
        }
    }
}

/// The locks of every step by number, and how many there are. Who is asked for an approval touches nothing.
fn locks(steps: &[Step]) -> (Vec<Vec<(usize, Class<'_>)>>, usize) {
    let mut numbers: HashMap<(bool, &str), usize> = HashMap::new();
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let class = Class { reads: step.effect == Effect::Read, share: step.share.as_deref() };
        let touches = step.call.uses != "approval";
        let assets = step.assets.iter().map(|a| ((true, a.as_str()), class));
        let named = step.locks.iter().map(|l| ((false, l.as_str()), Class::default()));
        let mut own: Vec<(usize, Class<'_>)> = Vec::with_capacity(step.assets.len() + step.locks.len());
        for (name, class) in assets.chain(named).filter(|_| touches) {
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
