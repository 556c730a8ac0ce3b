//! A journal that lives as long as the process: for simulation. It knows no file and no clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::{
    Adoption, Archive, Entry, Error, Event, Head, Holder, Lease, Result, Row, RunRow, Schema, Stamped, Standing, Store, check_rows,
    continues, entries_after, highest_fence, rows, standing_of, verified,
};

/// A clock that nobody sets, in milliseconds.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// The journal.
#[derive(Default)]
pub struct Memory {
    clock: Option<Clock>,
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
    /// The last sign of life of a driver, by the journal's clock.
    beat_ms: Option<u64>,
    events: Vec<Row>,
}

impl Memory {
    /// With a clock that nobody sets, in milliseconds, for how long a run was left alone.
    pub fn timed(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Memory {
        Memory { clock: Some(Box::new(clock)), ..Memory::default() }
    }

    fn now_ms(&self) -> Option<u64> {
        self.clock.as_ref().map(|clock| clock())
    }

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

    fn stand(&mut self, id: &str, standing: Option<Standing>) -> Result<()> {
        let Some(standing) = standing else { return Ok(()) };
        let run = self.run(id)?;
        (run.row.finished, run.row.closed) = Standing::read(standing.word());
        if run.row.finished.is_some() {
            self.held.retain(|_, holder| holder != id);
        }
        Ok(())
    }

    fn lease(&mut self, id: &str, holder: &str, force: bool, now_ms: Option<u64>) -> Result<Lease> {
        let run = self.run(id)?;
        if let Some(other) = run.row.holder.as_ref().filter(|_| !run.buried && !force) {
            return Err(Error::Held { holder: other.clone() });
        }
        if let Some(how) = run.row.closed {
            return Err(Error::Closed { run: id.to_owned(), how });
        }
        run.fence += 1;
        run.buried = false;
        let from = run.row.holder.replace(holder.to_owned());
        let quiet_ms = run.beat_ms.zip(now_ms).map(|(beat, now)| now.saturating_sub(beat));
        run.beat_ms = now_ms;
        Ok(Lease { run: id.to_owned(), fence: run.fence, from, quiet_ms, _lock: None })
    }
}

impl Run {
    fn new(id: &str, first: &Stamped) -> Result<Run> {
        let Event::RunStarted { plan, scenario, .. } = &first.1 else {
            return Err(Error::Damaged(format!("run {id} does not begin with its start")));
        };
        let row = RunRow {
            id: id.to_owned(),
            plan: plan.clone(),
            scenario: scenario.clone(),
            started_at: first.0,
            head: Head::default(),
            finished: None,
            closed: None,
            holder: None,
        };
        Ok(Run { row, buried: false, fence: 0, beat_ms: None, events: Vec::new() })
    }

    fn add(&mut self, new: Vec<Row>) {
        self.events.extend(new);
        self.row.head = self.events.last().map(Head::of).unwrap_or_default();
    }
}

#[async_trait]
impl Store for Memory {
    async fn create(&self, run: &str, first: Stamped) -> Result<Head> {
        let new = rows(run, &Head::default(), std::slice::from_ref(&first));
        let begun = Run::new(run, &first)?;
        let mut inner = self.lock();
        if let Some(here) = inner.runs.get(run) {
            return if here.events.first() == new.first() { Ok(Head::of(&new[0])) } else { Err(Error::Moved) };
        }
        let stored = inner.runs.entry(run.to_owned()).or_insert(begun);
        stored.add(new);
        Ok(stored.row.head.clone())
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
        entries_after(run, after, &self.rows(run, after.max(1)).await?)
    }

    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        let stored = inner.run(run)?;
        if fence.is_some_and(|f| f != stored.fence) {
            return Err(Error::Fenced);
        }
        let new = rows(run, head, events);
        if let Some(last) = new.last().filter(|last| stored.events.get(last.seq as usize - 1) == Some(last)) {
            return Ok(Head::of(last));
        }
        if let Some(how) = stored.row.closed {
            return Err(Error::Closed { run: run.to_owned(), how });
        }
        if stored.row.head != *head {
            return Err(Error::Moved);
        }
        stored.add(new);
        if fence.is_some() {
            stored.beat_ms = now_ms;
        }
        let head = stored.row.head.clone();
        inner.stand(run, standing_of(events.iter().map(|(_, e)| e)))?;
        Ok(head)
    }

    async fn take(&self, run: &str, holder: &str) -> Result<Lease> {
        self.lock().lease(run, holder, false, self.now_ms())
    }

    async fn beat(&self, lease: &Lease) -> Result<()> {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        let stored = inner.run(&lease.run)?;
        if stored.fence != lease.fence {
            return Err(Error::Fenced);
        }
        stored.beat_ms = now_ms;
        Ok(())
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

    async fn adopt(&self, adoption: Adoption<'_>) -> Result<Head> {
        let Adoption { old, new, first, .. } = adoption;
        let begun = rows(new, &Head::default(), first);
        let [start, _, ..] = first else { return Err(Error::Damaged(format!("run {new} takes nothing over"))) };
        let fresh = Run::new(new, start)?;
        let mut inner = self.lock();
        if let Some(here) = inner.runs.get(new) {
            let same = here.events.get(..begun.len()).is_some_and(|rows| rows == begun);
            return if same { Ok(begun.last().map(Head::of).unwrap_or_default()) } else { Err(Error::Moved) };
        }
        let stored = inner.run(old)?;
        if stored.fence != adoption.fence {
            return Err(Error::Fenced);
        }
        if stored.row.finished.is_some() || stored.row.closed.is_some() || stored.row.head != *adoption.head {
            return Err(Error::Moved);
        }
        stored.add(rows(old, adoption.head, adoption.last));
        inner.held.values_mut().filter(|holder| *holder == old).for_each(|holder| new.clone_into(holder));
        inner.stand(old, standing_of(adoption.last.iter().map(|(_, e)| e)))?;
        let stored = inner.runs.entry(new.to_owned()).or_insert(fresh);
        stored.add(begun);
        Ok(stored.row.head.clone())
    }

    async fn verify(&self, run: &str) -> Result<u64> {
        let mut inner = self.lock();
        let stored = inner.run(run)?;
        verified(run, &stored.events, &stored.row.head)?;
        Ok(stored.row.head.seq)
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

#[async_trait]
impl Archive for Memory {
    async fn rows(&self, run: &str, from: u64) -> Result<Vec<Row>> {
        let mut inner = self.lock();
        let events = &inner.run(run)?.events;
        Ok(events.get(from.max(1) as usize - 1..).unwrap_or_default().to_vec())
    }

    async fn restore(&self, run: &str, all: &[Row], then: &[Stamped]) -> Result<Head> {
        let entries = check_rows(run, &Head::default(), all)?;
        let first = (entries[0].at, entries[0].event.clone());
        let mut inner = self.lock();
        let new = Run::new(run, &first)?;
        let here = inner.runs.get(run).map(|r| (r.row.head.clone(), r.row.closed.is_some())).unwrap_or((Head::default(), true));
        continues(run, &here.0, here.1, all)?;
        let stored = inner.runs.entry(run.to_owned()).or_insert(new);
        stored.add(all[here.0.seq as usize..].to_vec());
        stored.fence = stored.fence.max(highest_fence(&entries));
        stored.row.holder = None;
        stored.beat_ms = None;
        stored.add(rows(run, &stored.row.head.clone(), then));
        let head = stored.row.head.clone();
        inner.stand(run, super::standing_of_import(&entries, then))?;
        Ok(head)
    }

    async fn holder(&self, run: &str) -> Result<Holder> {
        let mut inner = self.lock();
        let stored = inner.run(run)?;
        Ok(Holder { fence: stored.fence, name: stored.row.holder.clone(), silent_ms: Some(0), alive: !stored.buried })
    }

    async fn seize(&self, run: &str, holder: &str) -> Result<Lease> {
        self.lock().lease(run, holder, true, self.now_ms())
    }

    async fn schema(&self) -> Result<Schema> {
        Ok(Schema { is: 1, newest: 1 })
    }

    async fn migrate(&self) -> Result<Schema> {
        self.schema().await
    }

    fn caution(&self) -> Option<String> {
        Some("in memory alone: it ends with this process".to_owned())
    }
}
