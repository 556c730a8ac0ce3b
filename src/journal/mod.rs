//! What happened, for ever: numbered events, each with its digest and the digest before it. It knows runs and
//! leases, not plans; a state is folded from it elsewhere.
//!
//! Every append moves the run's head in the same transaction, compared first: who decided on an older head is
//! refused and reads again. The driver's appends compare its fence too, so that a driver that lost its lease
//! appends nothing.

mod base;
mod door;
pub mod event;
pub mod export;
pub mod memory;
pub mod place;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod schema;
mod sql;
pub mod sqlite;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use event::{About, Answer, Carried, Doing, End, Entry, Event, Stands, Word};
pub use place::Place;
pub use schema::Schema;

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
    /// Why nobody may drive it from this journal; none where they may.
    pub closed: Option<Closed>,
    /// Who drives it; none if nobody does.
    pub holder: Option<String>,
}

/// Why nobody may drive a run from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// It was handed over: only the export that was made then is driven, in another journal.
    HandedOver,
    /// It was imported for reading.
    Imported,
}

/// How a run stands, as its row keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Ended(End),
    Closed(Closed),
}

impl Standing {
    /// From the column `finished`.
    fn read(word: Option<&str>) -> (Option<End>, Option<Closed>) {
        match word {
            Some("handed_over") => (None, Some(Closed::HandedOver)),
            Some("imported") => (None, Some(Closed::Imported)),
            Some(word) => (serde_json::from_value(serde_json::Value::String(word.to_owned())).ok(), None),
            None => (None, None),
        }
    }

    fn word(self) -> Option<&'static str> {
        match self {
            Standing::Open => None,
            Standing::Ended(End::Good) => Some("good"),
            Standing::Ended(End::Flawed) => Some("flawed"),
            Standing::Ended(End::RolledBack) => Some("rolled_back"),
            Standing::Ended(End::Aborted) => Some("aborted"),
            Standing::Ended(End::Adopted) => Some("adopted"),
            Standing::Closed(Closed::HandedOver) => Some("handed_over"),
            Standing::Closed(Closed::Imported) => Some("imported"),
        }
    }
}

/// How a run stands after these events; none if they say nothing of it. An end is an end.
fn standing_of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Standing> {
    events.into_iter().fold(None, |so_far, event| match (so_far, event) {
        (Some(Standing::Ended(end)), _) => Some(Standing::Ended(end)),
        (_, Event::Finished { how, .. }) => Some(Standing::Ended(*how)),
        (_, Event::AdoptedBy { .. }) => Some(Standing::Ended(End::Adopted)),
        (_, Event::HandedOver { .. }) => Some(Standing::Closed(Closed::HandedOver)),
        (_, Event::Imported { .. }) => Some(Standing::Open),
        (so_far, _) => so_far,
    })
}

/// How a run stands that was taken in, with these events besides; without any it is for reading.
fn standing_of_import(entries: &[Entry], then: &[Stamped]) -> Option<Standing> {
    let all = entries.iter().map(|e| &e.event).chain(then.iter().map(|(_, event)| event));
    match standing_of(all) {
        Some(Standing::Ended(end)) => Some(Standing::Ended(end)),
        _ if then.is_empty() => Some(Standing::Closed(Closed::Imported)),
        _ => Some(Standing::Open),
    }
}

/// Who has the lease of a run, as the journal sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The fence of the last driver.
    pub fence: u64,
    /// `user@host pid`; none if the lease was given back.
    pub name: Option<String>,
    /// Milliseconds since its last sign of life; negative if the clock was turned back since, none if nobody can
    /// tell: the machine was started again.
    pub silent_ms: Option<i64>,
    /// False if its process is surely gone.
    pub alive: bool,
}

impl Holder {
    /// Whether nobody else may take the lease now.
    pub fn holds(&self) -> bool {
        self.name.is_some() && self.alive && self.silent_ms.is_some_and(|ms| ms <= LEASE_MS as i64)
    }
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
    /// For how long no driver was heard before, by the journal's own clock, in milliseconds; none if nobody can tell: none
    /// ever was, the machine was started again, the run came from another journal.
    pub quiet_ms: Option<u64>,
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
    /// The run has ended.
    Ended(String),
    /// What is written does not hold together: place and reason.
    Damaged(String),
    /// The run is closed in this journal.
    Closed {
        /// The run.
        run: String,
        /// Why.
        how: Closed,
    },
    /// What is to be imported is here already, and why that is in the way.
    Present(String),
    /// This build has no such store: the name of the missing feature.
    NotBuilt(&'static str),
    /// The store does not answer now: cause. Nothing is known of an append that was under way; the same may be asked
    /// again, and what had landed is found.
    Away(String),
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
            Error::Ended(run) => write!(f, "run {run} has ended"),
            Error::NoRun(run) => write!(f, "there is no run `{run}` in this journal"),
            Error::Damaged(why) => write!(f, "the journal does not hold together: {why}"),
            Error::Closed { run, how: Closed::HandedOver } => {
                write!(f, "run {run} was handed over: it goes on in the journal that its export was imported into")
            }
            Error::Closed { run, how: Closed::Imported } => write!(f, "run {run} was imported for reading: nobody drives it from here"),
            Error::Present(why) => write!(f, "{why}"),
            Error::NotBuilt(feature) => {
                write!(f, "this build has no journal on a server: the feature `{feature}` is not built in")
            }
            Error::Away(why) => write!(f, "the journal does not answer: {why}"),
            Error::Failed(why) => write!(f, "the journal failed: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// What a call of the journal gives.
pub type Result<T> = std::result::Result<T, Error>;

/// An event with the time at which it happened.
pub type Stamped = (Timestamp, Event);

/// One run's end and another one's beginning, which are one append.
#[derive(Debug, Clone, Copy)]
pub struct Adoption<'a> {
    /// The run that ends.
    pub old: &'a str,
    /// Its head, as whoever adopts it saw it.
    pub head: &'a Head,
    /// The fence of whoever adopts it.
    pub fence: u64,
    /// Its last events.
    pub last: &'a [Stamped],
    /// The run that begins.
    pub new: &'a str,
    /// Its first events; the first of all is `RunStarted`.
    pub first: &'a [Stamped],
}

/// A place where runs are remembered. All of them pass one conformance suite.
#[async_trait]
pub trait Store: Send + Sync {
    /// Begins a run with its first event, which must be `RunStarted`. Said again with the same event, it is begun once.
    async fn create(&self, run: &str, first: Stamped) -> Result<Head>;
    /// All runs, newest first.
    async fn runs(&self) -> Result<Vec<RunRow>>;
    /// The last event's number and digest.
    async fn head(&self, run: &str) -> Result<Head>;
    /// Events after a number, in order, each checked against the chain.
    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>>;
    /// Appends all events or none. A driver gives its fence, a voice none. Said again with the same events on the same
    /// head, they are there once: so an append of which nobody knows whether it landed may be repeated.
    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head>;
    /// Takes the lease if nobody holds it, or its holder is gone or silent for [`LEASE_MS`].
    async fn take(&self, run: &str, holder: &str) -> Result<Lease>;
    /// A sign of life; [`Error::Fenced`] if another holds the lease.
    async fn beat(&self, lease: &Lease) -> Result<()>;
    /// Gives the lease back.
    async fn give(&self, lease: Lease) -> Result<()>;
    /// Holds resolved targets for a run, all or none; what the run holds already is good.
    async fn hold(&self, run: &str, targets: &[String]) -> Result<()>;
    /// Ends one run and begins another that holds what the first one held: all of it or nothing. Said again with the same
    /// events, it happens once. The new run's head.
    async fn adopt(&self, adoption: Adoption<'_>) -> Result<Head>;
    /// Recomputes every digest of a run and compares head and count; the number of events.
    async fn verify(&self, run: &str) -> Result<u64>;
    /// Where it is, for people; never with a password.
    fn place(&self) -> String;
}

/// What looks after a journal as a whole, and what no driver needs.
#[async_trait]
pub trait Archive: Store {
    /// The rows of a run from a number on, that one included, in order and unchecked.
    async fn rows(&self, run: &str, from: u64) -> Result<Vec<Row>>;
    /// Takes in all rows of a run from another journal, at least one; with further events, which say why it may be driven
    /// from here, or none: then it is for reading. A run that is here must be closed, and these rows must continue it.
    async fn restore(&self, run: &str, all: &[Row], then: &[Stamped]) -> Result<Head>;
    /// Who has the lease.
    async fn holder(&self, run: &str) -> Result<Holder>;
    /// Takes the lease whoever holds it: from then on that one appends nothing.
    async fn seize(&self, run: &str, holder: &str) -> Result<Lease>;
    /// Which schema it has.
    async fn schema(&self) -> Result<Schema>;
    /// Brings it to the newest schema, if nobody drives a run; the schema that it had.
    async fn migrate(&self) -> Result<Schema>;
    /// What a run on this journal must know: how it may be lost.
    fn caution(&self) -> Option<String>;
}

/// Opens the journal at a place, made if it is not there.
pub async fn open(place: &Place) -> Result<Arc<dyn Archive>> {
    match place {
        Place::File(path) => Ok(Arc::new(sqlite::open(path).await?)),
        #[cfg(feature = "postgres")]
        Place::Server(url) => Ok(Arc::new(postgres::open(url).await?)),
        #[cfg(not(feature = "postgres"))]
        Place::Server(_) => Err(Error::NotBuilt("postgres")),
    }
}

/// Whether there is a journal at a place already. Changes nothing.
pub async fn made(place: &Place) -> Result<bool> {
    match place {
        Place::File(path) => Ok(path.exists()),
        #[cfg(feature = "postgres")]
        Place::Server(url) => postgres::made(url).await,
        #[cfg(not(feature = "postgres"))]
        Place::Server(_) => Err(Error::NotBuilt("postgres")),
    }
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

/// An event as a store writes it: its very bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number in the run, from 1.
    pub seq: u64,
    /// When it was appended, in microseconds.
    pub at: Timestamp,
    /// JSON.
    pub body: String,
    /// Over the digest before it, the run, its number, its time and its body.
    pub digest: String,
}

impl Head {
    /// As it stands after a row.
    pub fn of(row: &Row) -> Head {
        Head { seq: row.seq, digest: row.digest.clone() }
    }
}

/// The head of a run after these events, which are appended next.
pub fn head_after(run: &str, head: &Head, events: &[Stamped]) -> Head {
    rows(run, head, events).last().map_or_else(|| head.clone(), Head::of)
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

/// What [`Store::read`] gives, of the rows from number `after` on.
fn entries_after(run: &str, after: u64, found: &[Row]) -> Result<Vec<Entry>> {
    match found.first() {
        Some(_) if after == 0 => check_rows(run, &Head::default(), found),
        Some(first) if first.seq == after => check_rows(run, &Head::of(first), &found[1..]),
        _ => Err(Error::Damaged(format!("run {run}: event {} is gone", after.max(1)))),
    }
}

/// Checks rows that follow a head, one after the other.
pub fn check_rows(run: &str, after: &Head, rows: &[Row]) -> Result<Vec<Entry>> {
    let mut last = after.clone();
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        out.push(check_row(run, &last, row)?);
        last = Head::of(row);
    }
    Ok(out)
}

/// Checks all rows of a run against its head.
fn verified(run: &str, rows: &[Row], head: &Head) -> Result<Vec<Entry>> {
    let entries = check_rows(run, &Head::default(), rows)?;
    let last = rows.last().map(Head::of).unwrap_or_default();
    if last == *head && last.seq > 0 {
        return Ok(entries);
    }
    Err(Error::Damaged(format!(
        "run {run}: the last event is number {}, and the run's head says {}: events were cut, added or changed",
        last.seq, head.seq
    )))
}

/// Whether rows from elsewhere may be taken in where the run stands at `here`.
fn continues(run: &str, here: &Head, closed: bool, all: &[Row]) -> Result<()> {
    if !closed {
        return Err(Error::Present(format!("run {run} is in this journal already, and is driven from here")));
    }
    let fits = here.seq == 0 || all.get(here.seq as usize - 1).is_some_and(|row| row.digest == here.digest);
    if fits {
        return Ok(());
    }
    Err(Error::Present(format!("run {run} is in this journal already, with events that the export does not have")))
}

/// The highest fence that a driver had.
fn highest_fence(entries: &[Entry]) -> u64 {
    let fence = |entry: &Entry| match entry.event {
        Event::LeaseTaken { fence, .. } | Event::LeaseBroken { fence, .. } => Some(fence),
        _ => None,
    };
    entries.iter().filter_map(fence).max().unwrap_or(0)
}
