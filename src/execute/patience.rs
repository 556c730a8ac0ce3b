//! A journal that does not answer is asked again while the lease lasts. It does not know what is asked, and it starts
//! nothing meanwhile: whoever asks is waiting.
//!
//! What is asked again had perhaps landed: a store finds it there and does not write it twice.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use crate::journal::{Adoption, Entry, Error, Head, LEASE_MS, Lease, Result, RunRow, Stamped, Store};
use crate::world::World;

/// How long it is left alone before it is asked again.
const REST: Duration = Duration::from_millis(500);

/// Who was stopped for longer than the lease still asks once: the journal knows who has the run now.
const ONCE: Duration = Duration::from_secs(2);

/// Told once when a journal falls silent, with the reason and how long it is asked again, and once when it answers.
pub type Told = Box<dyn Fn(Silence<'_>) + Send + Sync>;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence<'a> {
    /// It does not answer.
    Begun {
        /// Why.
        why: &'a str,
        /// How long it is asked again.
        left: Duration,
    },
    /// It answers again.
    Ended,
}

/// A journal, asked with patience by the one driver of a run.
pub struct Patient {
    store: Arc<dyn Store>,
    world: World,
    told: Told,
    /// Counts Ctrl-C: who says it twice wants to leave.
    stop: Arc<AtomicU8>,
    /// When the lease ends, by the clock of this machine; none while there is no lease.
    until: Mutex<Option<Duration>>,
}

impl Patient {
    /// Of a store whose lease is yet to be taken.
    pub fn new(store: Arc<dyn Store>, world: World, stop: Arc<AtomicU8>, told: Told) -> Patient {
        Patient { store, world, told, stop, until: Mutex::new(None) }
    }

    fn until(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.until.lock().expect("no holder of this lock panics")
    }

    /// A sign of life that was begun at this time was heard: the lease is counted from there.
    fn renewed<T>(&self, begun: Duration, done: Result<T>) -> Result<T> {
        if done.is_ok() {
            *self.until() = Some(begun + Duration::from_millis(LEASE_MS));
        }
        done
    }

    async fn ask<T, F: Future<Output = Result<T>> + Unpin>(&self, call: impl Fn() -> F) -> Result<T> {
        let Some(until) = *self.until() else { return call().await };
        let mut silent = false;
        loop {
            let left = until.saturating_sub(self.world.clock.elapsed());
            let why = match select(call(), self.world.clock.sleep(left.max(ONCE))).await {
                Either::Left((Err(Error::Away(why)), _)) => why,
                Either::Left((answer, _)) => {
                    if silent {
                        (self.told)(Silence::Ended);
                    }
                    return answer;
                }
                Either::Right(_) => "no answer".to_owned(),
            };
            let left = until.saturating_sub(self.world.clock.elapsed());
            if left.is_zero() || self.stop.load(Ordering::SeqCst) > 1 {
                let asked = if left.is_zero() { "until the lease ran out" } else { "until you left" };
                return Err(Error::Failed(format!("it was asked again {asked}, and did not answer: {why}")));
            }
            if !silent {
                silent = true;
                (self.told)(Silence::Begun { why: &why, left });
            }
            self.world.clock.sleep(REST.min(left)).await;
        }
    }
}

#[async_trait]
impl Store for Patient {
    async fn create(&self, run: &str, first: Stamped) -> Result<Head> {
        self.ask(|| self.store.create(run, first.clone())).await
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        self.ask(|| self.store.runs()).await
    }

    async fn head(&self, run: &str) -> Result<Head> {
        self.ask(|| self.store.head(run)).await
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>> {
        self.ask(|| self.store.read(run, after)).await
    }

    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        self.ask(|| self.store.append(run, head, fence, events)).await
    }

    async fn take(&self, run: &str, holder: &str) -> Result<Lease> {
        let begun = self.world.clock.elapsed();
        self.renewed(begun, self.store.take(run, holder).await)
    }

    async fn beat(&self, lease: &Lease) -> Result<()> {
        // The last try counts: an earlier one of which nobody heard renewed nothing that can be relied on.
        let begun = Mutex::new(Duration::ZERO);
        let beaten = self.ask(|| {
            *begun.lock().expect("no holder of this lock panics") = self.world.clock.elapsed();
            self.store.beat(lease)
        });
        let beaten = beaten.await;
        let begun = *begun.lock().expect("no holder of this lock panics");
        self.renewed(begun, beaten)
    }

    async fn give(&self, lease: Lease) -> Result<()> {
        // The run has ended, or waits: nobody waits for this.
        self.store.give(lease).await
    }

    async fn hold(&self, run: &str, targets: &[String]) -> Result<()> {
        self.ask(|| self.store.hold(run, targets)).await
    }

    async fn adopt(&self, adoption: Adoption<'_>) -> Result<Head> {
        self.ask(|| self.store.adopt(adoption)).await
    }

    async fn verify(&self, run: &str) -> Result<u64> {
        self.ask(|| self.store.verify(run)).await
    }

    fn place(&self) -> String {
        self.store.place()
    }
}
