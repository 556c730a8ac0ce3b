//! A journal in memory whose every call may be the program's last, and which falls ill when its turn comes. It keeps
//! nothing itself but a note of who wrote what, by which the laws judge.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::journal::memory::Memory;
use crate::journal::{Adoption, Entry, Error, Head, Lease, Result, RunRow, Stamped, Store};
use crate::world::Clock;
use crate::world::sim::Sim;

/// What is wrong with a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illness {
    /// Its disk is full: nothing of the append is kept.
    Full,
    /// It is written, and the disk says that it cannot be synced.
    Unsynced,
    /// It does not answer for so many milliseconds; what it was asked did not happen.
    Away(u64),
    /// The same, and what it was asked has happened.
    Silent(u64),
}

/// What the laws want to know of a journal, over all the lives of a run.
#[derive(Default)]
pub struct Notes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    appends: u64,
    ill: Option<(u64, Illness)>,
    away_until: Duration,
    written: Vec<(String, u64)>,
    held_at: Option<u64>,
    stubborn: Vec<String>,
    failures: u64,
}

impl Notes {
    /// A journal that falls ill at this append.
    pub fn ill_at(ill: Option<(u64, Illness)>) -> Notes {
        Notes { inner: Mutex::new(Inner { ill, ..Inner::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Who wrote for the machine, and the number of the last event of each append.
    pub fn written(&self) -> Vec<(String, u64)> {
        self.lock().written.clone()
    }

    /// How many events there were when the assets were held first.
    pub fn held_at(&self) -> Option<u64> {
        self.lock().held_at
    }

    /// Who wrote again to a journal that had failed them.
    pub fn stubborn(&self) -> Vec<String> {
        self.lock().stubborn.clone()
    }

    /// How often it fell ill.
    pub fn failures(&self) -> u64 {
        self.lock().failures
    }
}

/// The journal, as one program sees it.
pub struct Touched {
    memory: Arc<Memory>,
    /// Who decides about life and death.
    sim: Sim,
    who: String,
    notes: Arc<Notes>,
    /// It failed: this program may not write to it again.
    failed: AtomicBool,
}

impl Touched {
    /// For one program.
    pub fn new(memory: &Arc<Memory>, sim: &Sim, who: &str, notes: &Arc<Notes>) -> Touched {
        Touched {
            memory: Arc::clone(memory),
            sim: sim.clone(),
            who: who.to_owned(),
            notes: Arc::clone(notes),
            failed: AtomicBool::new(false),
        }
    }

    fn answers(&self) -> Result<()> {
        if self.sim.elapsed() < self.notes.lock().away_until {
            return Err(Error::Away("the server does not answer in this simulation".to_owned()));
        }
        Ok(())
    }

    /// The illness of this append, if it is its turn.
    fn falls_ill(&self) -> Option<Illness> {
        let mut notes = self.notes.lock();
        notes.appends += 1;
        let now = notes.appends;
        let ill = notes.ill.take_if(|(at, _)| *at == now)?.1;
        notes.failures += 1;
        if let Illness::Away(ms) | Illness::Silent(ms) = ill {
            notes.away_until = self.sim.elapsed() + Duration::from_millis(ms);
        }
        Some(ill)
    }

    fn fails(&self, why: &str) -> Error {
        self.failed.store(true, Ordering::SeqCst);
        Error::Failed(why.to_owned())
    }
}

#[async_trait]
impl Store for Touched {
    async fn create(&self, run: &str, first: Stamped) -> Result<Head> {
        self.memory.create(run, first).await
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        self.memory.runs().await
    }

    async fn head(&self, run: &str) -> Result<Head> {
        self.answers()?;
        self.memory.head(run).await
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>> {
        self.answers()?;
        self.memory.read(run, after).await
    }

    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        self.sim.touch().await;
        if self.failed.load(Ordering::SeqCst) {
            self.notes.lock().stubborn.push(self.who.clone());
        }
        self.answers()?;
        let ill = self.falls_ill();
        match ill {
            Some(Illness::Full) => return Err(self.fails("the disk is full")),
            Some(Illness::Away(_)) => return self.answers().map(|()| head.clone()),
            _ => {}
        }
        let written = self.memory.append(run, head, fence, events).await;
        if let Ok(head) = &written {
            self.notes.lock().written.push((self.who.clone(), head.seq));
        }
        self.sim.touch().await;
        match ill {
            Some(Illness::Unsynced) => Err(self.fails("the disk does not sync")),
            Some(Illness::Silent(_)) => self.answers().and(written),
            _ => written,
        }
    }

    async fn take(&self, run: &str, holder: &str) -> Result<Lease> {
        self.sim.touch().await;
        self.answers()?;
        let lease = self.memory.take(run, holder).await;
        self.sim.touch().await;
        lease
    }

    async fn beat(&self, lease: &Lease) -> Result<()> {
        self.answers()?;
        self.memory.beat(lease).await
    }

    async fn give(&self, lease: Lease) -> Result<()> {
        self.answers()?;
        self.memory.give(lease).await
    }

    async fn hold(&self, run: &str, targets: &[String]) -> Result<()> {
        self.sim.touch().await;
        self.answers()?;
        let held = self.memory.hold(run, targets).await;
        if held.is_ok() {
            let seq = self.memory.head(run).await?.seq;
            self.notes.lock().held_at.get_or_insert(seq);
        }
        self.sim.touch().await;
        held
    }

    async fn adopt(&self, adoption: Adoption<'_>) -> Result<Head> {
        self.sim.touch().await;
        self.answers()?;
        let head = self.memory.adopt(adoption).await;
        self.sim.touch().await;
        head
    }

    async fn verify(&self, run: &str) -> Result<u64> {
        self.memory.verify(run).await
    }

    fn place(&self) -> String {
        self.memory.place()
    }
}
