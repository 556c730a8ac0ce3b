//! What happened, for ever: numbered events, each with its digest and the digest before it. It knows runs and
//! leases, not plans; a state is folded from it elsewhere.
//!
//! Every append moves the run's head in the same transaction, compared first: who decided on an older head is
//! refused and reads again. The driver's appends compare its fence too, so that a driver that lost its lease
//! appends nothing.

pub mod event;
pub mod memory;
pub mod sqlite;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use event::{About, Answer, Doing, End, Entry, Event, Word};

/// How long a lease lasts without a sign of life, in milliseconds.
pub const LEASE_MS: u64 = 30_000;

/// How often its holder gives one, in milliseconds.
pub const BEAT_MS: u64 = 10_000;

/// Number and digest of a run's last event. A run that has none stands at 0 with an empty digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; also the count of events.
    pub seq: u64,
    /// Its digest, hexadecimal.
    pub digest: String,
}

/// A run as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// Its name.
    pub id: String,
    /// The plan's name.
    pub plan: String,
    /// The scenario.
    pub scenario: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Its last event.
    pub head: Head,
    /// How it ended; none while unfinished.
    pub finished: Option<End>,
    /// Who drives it; none if nobody does.
    pub holder: Option<String>,
}

/// The right to drive a run: who holds it appends what the machine does.
#[derive(Debug)]
pub struct Lease {
    /// The run.
    pub run: String,
    /// Grows with every holder.
    pub fence: u64,
    /// Who had it before, if their lease was still open when they went.
    pub from: Option<String>,
    /// The kernel's lock that tells others at once when this process is gone.
    _lock: Option<std::fs::File>,
}

/// The journal refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The head moved: read again and decide again.
    Moved,
    /// Another driver holds the lease.
    Held {
        /// `user@host pid`.
        holder: String,
    },
    /// This driver's lease was taken by another.
    Fenced,
    /// An asset is held by another run.
    AssetHeld {
        /// The resolved target.
        target: String,
        /// The run that holds it.
        run: String,
    },
    /// There is no such run.
    NoRun(String),
    /// What is written does not hold together: place and reason.
    Damaged(String),
    /// The store failed: cause. Nothing is known of an append that was under way.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Moved => write!(f, "the run went on meanwhile"),
            Error::Held { holder } => write!(f, "the run is driven by {holder}"),
            Error::Fenced => write!(f, "another driver took the run over"),
            Error::AssetHeld { target, run } => write!(f, "{target} is held by run {run}"),
            Error::NoRun(run) => write!(f, "there is no run `{run}` in this journal"),
            Error::Damaged(why) => write!(f, "the journal does not hold together: {why}"),
            Error::Failed(why) => write!(f, "the journal failed: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// What a call of the journal gives.
pub type Result<T> = std::result::Result<T, Error>;

/// An event with the time at which it happened.
pub type Stamped = (Timestamp, Event);

/// A place where runs are remembered. All of them pass one conformance suite.
#[async_trait]
pub trait Store: Send + Sync {
    /// Begins a run with its first event, which must be `RunStarted`.
    async fn create(&self, run: &str, first: Stamped) -> Result<Head>;
    /// All runs, newest first.
    async fn runs(&self) -> Result<Vec<RunRow>>;
    /// The last event's number and digest.
    async fn head(&self, run: &str) -> Result<Head>;
    /// Events after a number, in order, each checked against the chain.
    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>>;
    /// Appends all events or none. A driver gives its fence, a voice none.
    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head>;
    /// Takes the lease if nobody holds it, or its holder is gone or silent for [`LEASE_MS`].
    async fn take(&self, run: &str, holder: &str) -> Result<Lease>;
    /// A sign of life; [`Error::Fenced`] if another holds the lease.
    async fn beat(&self, lease: &Lease) -> Result<()>;
    /// Gives the lease back.
    async fn give(&self, lease: Lease) -> Result<()>;
    /// Holds resolved targets for a run, all or none; what the run holds already is good.
    async fn hold(&self, run: &str, targets: &[String]) -> Result<()>;
    /// Recomputes every digest of a run and compares head and count; the number of events.
    async fn verify(&self, run: &str) -> Result<u64>;
    /// Where it is, for people.
    fn place(&self) -> String;
}

/// Opens the journal at a path, made if it is not there.
pub async fn open(path: &Path) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(sqlite::Sqlite::open(path).await?))
}

/// A name for a new run that sorts by time and that nobody else has: `PLAN-20261121-031500-1a2b`.
pub fn new_run_id(plan: &str, now: Timestamp, salt: &str) -> String {
    let day = now.strftime("%Y%m%d-%H%M%S").to_string();
    let tail = &digest(&Head::default(), plan, 0, now, salt)[..4];
    format!("{plan}-{day}-{tail}")
}

/// The digest of an event: over the digest before it, the run, its number, its time and its bytes.
pub fn digest(before: &Head, run: &str, seq: u64, at: Timestamp, body: &str) -> String {
    let mut sha = Sha256::new();
    for part in [before.digest.as_str(), run, &seq.to_string(), &at.to_string(), body] {
        sha.update((part.len() as u64).to_le_bytes());
        sha.update(part.as_bytes());
    }
    sha.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// An event as a store writes it.
struct Row {
    seq: u64,
    at: Timestamp,
    body: String,
    digest: String,
}

/// The rows that an append adds after `head`.
fn rows(run: &str, head: &Head, events: &[Stamped]) -> Vec<Row> {
    let mut last = head.clone();
    let mut out = Vec::with_capacity(events.len());
    for (at, event) in events {
        let body = serde_json::to_string(event).expect("an event has string keys and finite numbers");
        // The journal keeps microseconds: the digest is over what will be read back.
        let at = Timestamp::from_microsecond(at.as_microsecond()).expect("a timestamp in range stays in range");
        let seq = last.seq + 1;
        let digest = digest(&last, run, seq, at, &body);
        last = Head { seq, digest: digest.clone() };
        out.push(Row { seq, at, body, digest });
    }
    out
}

/// Checks one row against the head before it and reads its event.
fn check_row(run: &str, before: &Head, row: &Row) -> Result<Entry> {
    let damaged = |why: &str| Error::Damaged(format!("run {run}, event {}: {why}", row.seq));
    if row.seq != before.seq + 1 {
        return Err(damaged(&format!("event {} should stand here", before.seq + 1)));
    }
    if digest(before, run, row.seq, row.at, &row.body) != row.digest {
        return Err(damaged("its digest does not fit its bytes"));
    }
    let event = serde_json::from_str(&row.body).map_err(|_| damaged("an event that this version does not know; use a newer drplan"))?;
    Ok(Entry { seq: row.seq, at: row.at, event })
}

/// Whether an event ends its run.
fn end_of(events: &[Stamped]) -> Option<End> {
    events.iter().rev().find_map(|(_, e)| match e {
        Event::Finished { how, .. } => Some(*how),
        _ => None,
    })
}
