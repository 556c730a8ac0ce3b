//! A journal in memory whose every call may be the program's last. It keeps nothing itself.

use std::sync::Arc;

use async_trait::async_trait;

use crate::journal::memory::Memory;
use crate::journal::{Entry, Head, Lease, Result, RunRow, Stamped, Store};
use crate::world::sim::Sim;

/// The journal.
pub struct Touched {
    /// What is kept.
    pub memory: Arc<Memory>,
    /// Who decides about life and death.
    pub sim: Sim,
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
        self.memory.head(run).await
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>> {
        self.memory.read(run, after).await
    }

    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        self.sim.touch().await;
        let head = self.memory.append(run, head, fence, events).await;
        self.sim.touch().await;
        head
    }

    async fn take(&self, run: &str, holder: &str) -> Result<Lease> {
        self.sim.touch().await;
        let lease = self.memory.take(run, holder).await;
        self.sim.touch().await;
        lease
    }

    async fn beat(&self, lease: &Lease) -> Result<()> {
        self.memory.beat(lease).await
    }

    async fn give(&self, lease: Lease) -> Result<()> {
        self.memory.give(lease).await
    }

    async fn hold(&self, run: &str, targets: &[String]) -> Result<()> {
        self.sim.touch().await;
        let held = self.memory.hold(run, targets).await;
        self.sim.touch().await;
        held
    }

    async fn verify(&self, run: &str) -> Result<u64> {
        self.memory.verify(run).await
    }

    fn place(&self) -> String {
        self.memory.place()
    }
}
