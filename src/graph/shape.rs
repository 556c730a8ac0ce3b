//! The shape of an order without locks and limits: waves, slack, the critical path, who stands above whom.

use super::Graph;

impl Graph {
    /// When each node could start at the earliest, in milliseconds, with the steps' own times.
    pub fn earliest_ms(&self, takes: &[u64]) -> Vec<u64> {
        let mut start = vec![0; self.before.len()];
        for &node in &self.order {
            let node = node as usize;
            let end = |n: u32| start[n as usize] + takes.get(n as usize).copied().unwrap_or(0);
            start[node] = self.before[node].iter().map(|&n| end(n)).max().unwrap_or(0);
        }
        start
    }

    /// How long each step may be late without the run ending later.
    pub fn slack_ms(&self, takes: &[u64]) -> Vec<u64> {
        let start = self.earliest_ms(takes);
        let total = (0..self.before.len()).map(|n| start[n] + self.tail_ms[n]).max().unwrap_or(0);
        (0..self.steps).map(|n| total - start[n] - self.tail_ms[n]).collect()
    }

    /// Steps of the longest way through the run, in order.
    pub fn critical_path(&self, takes: &[u64]) -> Vec<u32> {
        let start = self.earliest_ms(takes);
        let longest = |nodes: &mut dyn Iterator<Item = u32>| nodes.max_by_key(|&n| (self.tail_ms[n as usize], std::cmp::Reverse(n)));
        let mut path = Vec::new();
        let mut next = longest(&mut (0..self.before.len() as u32).filter(|&n| self.before[n as usize].is_empty()));
        while let Some(node) = next {
            if (node as usize) < self.steps {
                path.push(node);
            }
            let end = start[node as usize] + takes.get(node as usize).copied().unwrap_or(0);
            let on_time = |n: &u32| start[*n as usize] == end;
            next = longest(&mut self.after[node as usize].iter().copied().filter(on_time));
        }
        path
    }

    /// The wave of each step: how many steps at least come one after the other before it.
    pub fn waves(&self) -> Vec<u32> {
        let mut wave = vec![0u32; self.before.len()];
        for &node in &self.order {
            let node = node as usize;
            let after = |n: u32| wave[n as usize] + u32::from((n as usize) < self.steps);
            wave[node] = self.before[node].iter().map(|&n| after(n)).max().unwrap_or(0);
        }
        wave.truncate(self.steps);
        wave
    }

    /// For each node whether it comes after one of these.
    pub fn after_any(&self, nodes: impl IntoIterator<Item = u32>) -> Vec<bool> {
        let mut seen = vec![false; self.before.len()];
        let mut open: Vec<u32> = nodes.into_iter().collect();
        while let Some(node) = open.pop() {
            for &next in &self.after[node as usize] {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    open.push(next);
                }
            }
        }
        seen
    }

    /// For each node whether it comes before one of these.
    pub fn before_any(&self, nodes: impl IntoIterator<Item = u32>) -> Vec<bool> {
        let mut seen = vec![false; self.before.len()];
        let mut open: Vec<u32> = nodes.into_iter().collect();
        while let Some(node) = open.pop() {
            for &next in &self.before[node as usize] {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    open.push(next);
                }
            }
        }
        seen
    }
}
