//! A journal that lives as long as the process: for simulation. It knows no file and no clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::{Entry, Error, Event, Head, Lease, Result, Row, RunRow, Stamped, Store, check_row, end_of, rows};

/// The journal.
#[derive(Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    runs: BTreeMap<String, Run>,
    held: BTreeMap<String, String>,
}

struct Run {
    row: RunRow,
    /// The holder died without giving its lease back.
    buried: bool,
    fence: u64,
    events: Vec<Row>,
}

impl Memory {
    /// The holder of a run died: its lease is free at once, as when the kernel lets go of a lock.
    pub fn bury(&self, run: &str) {
        if let Some(run) = self.lock().runs.get_mut(run) {
            run.buried = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }
}

impl Inner {
    fn run(&mut self, id: &str) -> Result<&mut Run> {
        self.runs.get_mut(id).ok_or_else(|| Error::NoRun(id.to_owned()))
    }
}

#[async_trait]
impl Store for Memory {
    async fn create(&self, run: &str, first: Stamped) -> Result<Head> {
        let Event::RunStarted { plan, scenario, .. } = &first.1 else {
            return Err(Error::Damaged(format!("run {run} does not begin with its start")));
        };
        let row = RunRow {
            id: run.to_owned(),
            plan: plan.clone(),
            scenario: scenario.clone(),
            started_at: first.0,
            head: Head::default(),
            finished: None,
            holder: None,
        };
        {
            let mut inner = self.lock();
            if inner.runs.contains_key(run) {
                return Err(Error::Moved);
            }
            inner.runs.insert(run.to_owned(), Run { row, buried: false, fence: 0, events: Vec::new() });
        }
        self.append(run, &Head::default(), None, &[first]).await
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        let row = |r: &Run| RunRow { holder: r.row.holder.clone().filter(|_| !r.buried), ..r.row.clone() };
        let mut all: Vec<RunRow> = self.lock().runs.values().map(row).collect();
        all.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.id.cmp(&a.id)));
        Ok(all)
    }

    async fn head(&self, run: &str) -> Result<Head> {
        Ok(self.lock().run(run)?.row.head.clone())
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>> {
        let mut inner = self.lock();
        let events = &inner.run(run)?.events;
        let mut before = match after {
            0 => Head::default(),
            n => events
                .get(n as usize - 1)
                .map(|r| Head { seq: r.seq, digest: r.digest.clone() })
                .ok_or_else(|| Error::Damaged(format!("run {run}: event {n} is gone")))?,
        };
        let mut out = Vec::new();
        for row in &events[after as usize..] {
            out.push(check_row(run, &before, row)?);
            before = Head { seq: row.seq, digest: row.digest.clone() };
        }
        Ok(out)
    }

    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        let mut inner = self.lock();
        let stored = inner.run(run)?;
        if fence.is_some_and(|f| f != stored.fence) {
            return Err(Error::Fenced);
        }
        if stored.row.head != *head {
            return Err(Error::Moved);
        }
        for row in rows(run, head, events) {
            stored.row.head = Head { seq: row.seq, digest: row.digest.clone() };
            stored.events.push(row);
        }
        let head = stored.row.head.clone();
        if let Some(end) = end_of(events) {
            stored.row.finished = Some(end);
            inner.held.retain(|_, holder| holder != run);
        }
        Ok(head)
    }

    async fn take(&self, run: &str, holder: &str) -> Result<Lease> {
        let mut inner = self.lock();
        let stored = inner.run(run)?;
        if let Some(other) = stored.row.holder.as_ref().filter(|_| !stored.buried) {
            return Err(Error::Held { holder: other.clone() });
        }
        stored.fence += 1;
        stored.buried = false;
        let from = stored.row.holder.replace(holder.to_owned());
        Ok(Lease { run: run.to_owned(), fence: stored.fence, from, _lock: None })
    }

    async fn beat(&self, lease: &Lease) -> Result<()> {
        if self.lock().run(&lease.run)?.fence == lease.fence { Ok(()) } else { Err(Error::Fenced) }
    }

    async fn give(&self, lease: Lease) -> Result<()> {
        let mut inner = self.lock();
        let stored = inner.run(&lease.run)?;
        if stored.fence == lease.fence {
            stored.row.holder = None;
        }
        Ok(())
    }

    async fn hold(&self, run: &str, targets: &[String]) -> Result<()> {
        let mut inner = self.lock();
        for target in targets {
            if let Some(other) = inner.held.get(target).filter(|other| *other != run) {
                return Err(Error::AssetHeld { target: target.clone(), run: other.clone() });
            }
        }
        for target in targets {
            inner.held.insert(target.clone(), run.to_owned());
        }
        Ok(())
    }

    async fn verify(&self, run: &str) -> Result<u64> {
        let entries = self.read(run, 0).await?;
        let head = self.head(run).await?;
        if head.seq != entries.len() as u64 {
            return Err(Error::Damaged(format!("run {run}: {} events, and its head says {}", entries.len(), head.seq)));
        }
        Ok(head.seq)
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
