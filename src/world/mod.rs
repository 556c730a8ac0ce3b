//! The only door to the outside: small traits, with the real thing in `real/` and a seeded one in `sim`.
//! It does not know plans, steps or runs. Every call tells, when it fails, whether it may have had an effect.

mod names;
pub mod readonly;
pub mod real;
pub mod sim;
pub mod strike;
mod zones;

pub use names::{NameAnswer, NameKey, NameServer, Names};
pub use zones::{Alias, Dns, DnsChange, HealthCheck, RecordSet, WeightedSet};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Whether a call that failed may have had, or may still have, an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Landed {
    /// It surely had none: refused before it was sent, or answered with a no.
    No,
    /// It may have happened, or may still happen: reply lost, 5xx after sending, a signal, a time-out.
    Maybe,
}

/// The world refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The cause, whole, without secrets: "connection refused by 127.0.0.1:5432".
    pub cause: String,
    /// Whether it may have had an effect.
    pub landed: Landed,
    /// True if the target could not be reached at all.
    pub unreachable: bool,
}

impl Fault {
    /// It surely had no effect.
    pub fn refused(cause: impl Into<String>) -> Self {
        Fault { cause: cause.into(), landed: Landed::No, unreachable: false }
    }

    /// The target could not be reached: nothing was sent.
    pub fn unreachable(cause: impl Into<String>) -> Self {
        Fault { cause: cause.into(), landed: Landed::No, unreachable: true }
    }

    /// Nobody knows whether it happened.
    pub fn lost(cause: impl Into<String>) -> Self {
        Fault { cause: cause.into(), landed: Landed::Maybe, unreachable: false }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Fault {}

/// What a call of the world gives.
pub type Answer<T> = Result<T, Fault>;

/// The outside, as one value; cheap to clone.
#[derive(Clone)]
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Commands.
    pub process: Arc<dyn Process>,
    /// HTTP.
    pub http: Arc<dyn Http>,
    /// Object stores.
    pub objects: Arc<dyn Objects>,
    /// Hosted DNS zones.
    pub dns: Arc<dyn Dns>,
    /// Name servers.
    pub names: Arc<dyn Names>,
    /// PostgreSQL servers.
    pub postgres: Arc<dyn Postgres>,
    /// Redis servers.
    pub redis: Arc<dyn Redis>,
    /// SQLite files.
    pub sqlite: Arc<dyn Sqlite>,
    /// Files and links.
    pub files: Arc<dyn Files>,
    /// Values of secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Mail.
    pub mail: Arc<dyn Mail>,
}

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall-clock time, for people and records.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start that goes on while the machine sleeps (CLOCK_BOOTTIME).
    fn elapsed(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// A command to be run: never through a shell.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Names this attempt among all of the run; what [`Process::find`] takes.
    pub ticket: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: Option<String>,
    /// What it reads.
    pub stdin: Option<String>,
    /// By [`Clock::elapsed`]: it is not started later than this, whoever was stopped on the way; none: soon.
    pub begin_by: Option<Duration>,
    /// It is ended (TERM, then KILL, the whole group) after this.
    pub timeout_ms: Option<u64>,
    /// How many bytes of each output are kept.
    pub keep_bytes: usize,
    /// Values that must not be kept, in any of their forms.
    pub secrets: Vec<String>,
}

// What a panic or an error of ours prints of a call must not hold the secrets that the call was given.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("ticket", &self.ticket).field("argv", &self.argv).finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

impl fmt::Debug for PgTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgTarget")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTarget").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
    /// It was ended because its time was up.
    pub timed_out: bool,
    /// What was kept of standard output; invalid UTF-8 replaced.
    pub stdout: String,
    /// What was kept of standard error.
    pub stderr: String,
    /// True if either was longer than what was kept.
    pub truncated: bool,
}

/// What is known of a command of an earlier driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It was surely never started, and never will be.
    NeverStarted,
    /// It runs; ask again.
    Running,
    /// It ended.
    Ended(Exit),
    /// Nobody can tell: another host, another boot, a supervisor that died. `gone` if its process surely is.
    Unknown {
        /// Why nobody can tell.
        why: String,
        /// True if no process of it can be left.
        gone: bool,
    },
}

/// Commands.
#[async_trait]
pub trait Process: Send + Sync {
    /// Runs a command to its end.
    async fn run(&self, command: &Command) -> Answer<Exit>;
    /// Runs a program that only looks, to its end: its ticket means nothing, it leaves no trace, and it ends with whoever
    /// asked. That it changes nothing is for the asker to know; a dry run asks too.
    async fn ask(&self, command: &Command) -> Answer<Exit>;
    /// What became of a command of this run that an earlier driver on this machine started; of one on another machine
    /// it must not be asked. What it calls never started will never be: `run` refuses the ticket from then on.
    async fn find(&self, ticket: &str) -> Answer<Found>;
    /// Where a program of this name is found, for `dry-run` and `doctor`.
    fn which(&self, program: &str) -> Option<String>;
    /// False where no program may be started whose effect somebody merely declares.
    fn trusts(&self) -> bool {
        true
    }
    /// Variables of this program that no command inherits, from here on: they hold secrets.
    fn hide(&self, variables: &[String]) {
        let _ = variables;
    }
}

/// An HTTP request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<String>,
    /// Limit of the whole exchange.
    pub timeout_ms: u64,
}

/// An HTTP response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, at most 1 MiB of it.
    pub body: String,
    /// True if the body was longer.
    pub truncated: bool,
}

/// HTTP.
#[async_trait]
pub trait Http: Send + Sync {
    /// One exchange; no redirect is followed. A fault of the connection is `unreachable`, one after sending `lost`.
    async fn send(&self, request: &Request) -> Answer<Response>;
}

/// How to reach an AWS service; absent settings come from the usual chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// Another address than AWS's own.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Profile.
    pub profile: Option<String>,
    /// The longest that one call may take, its repetitions in it; absent: as long as is usual.
    pub timeout_ms: Option<u64>,
}

/// One object of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Last modification.
    pub modified: Timestamp,
    /// Bytes.
    pub size: u64,
    /// Its ETag, without quotes.
    pub etag: String,
}

/// What an object says about itself beyond its listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Server-side encryption, if any: `aws:kms`, `AES256`.
    pub encryption: Option<String>,
    /// Retention lock: mode and until when.
    pub retention: Option<(String, Timestamp)>,
    /// A checksum, `algorithm:value`.
    pub checksum: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
    /// The step that copied it, as it is marked in its metadata.
    pub mark: Option<String>,
}

/// One object, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
}

/// A copy within a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCopy {
    /// What is copied: if it is not so any more, nothing is.
    pub from: ObjectRef,
    /// Its size in bytes.
    pub size: u64,
    /// The bucket of the copy.
    pub bucket: String,
    /// The key of the copy.
    pub key: String,
    /// ETag of the object that it takes the place of; none: there must be none.
    pub replaces: Option<String>,
    /// The step, for the copy's metadata.
    pub mark: String,
    /// Above this size it is copied in parts of this size; at least 5 MiB.
    pub part_bytes: u64,
}

/// Object stores.
#[async_trait]
pub trait Objects: Send + Sync {
    /// All objects under a prefix, every page; refused above 1 000 000.
    async fn list(&self, aws: &AwsSettings, bucket: &str, prefix: &str) -> Answer<Vec<Object>>;
    /// More about one; none if it is not there.
    async fn facts(&self, aws: &AwsSettings, bucket: &str, key: &str) -> Answer<Option<ObjectFacts>>;
    /// Number of bytes and SHA-256 in hexadecimal of one, read to its end; refused if it is not so any more.
    async fn sha256(&self, aws: &AwsSettings, object: &ObjectRef) -> Answer<(u64, String)>;
    /// Copies one with what it says about itself. Conditions on the target are those that the store knows.
    async fn copy(&self, aws: &AwsSettings, copy: &ObjectCopy) -> Answer<()>;
    /// Removes one: this version of it, or where there are no versions the object, if it is still so as far as the store can tell.
    async fn remove(&self, aws: &AwsSettings, object: &ObjectRef) -> Answer<()>;
    /// Sets a retention lock: `GOVERNANCE` or `COMPLIANCE`, and until when. A store refuses to shorten one.
    async fn retain(&self, aws: &AwsSettings, object: &ObjectRef, mode: &str, until: Timestamp) -> Answer<()>;
}

/// How to reach a PostgreSQL database.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PgTarget {
    /// Host name, address, or directory of a socket.
    pub host: String,
    /// Port; 5432 if absent.
    pub port: Option<u16>,
    /// Database.
    pub database: String,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// `disable`, `prefer`, `require`, `verify-ca`, `verify-full`.
    pub sslmode: Option<String>,
    /// A certificate authority's file.
    pub sslrootcert: Option<String>,
}

/// Rows as JSON objects, in the order of the server.
pub type Rows = Vec<Map<String, Value>>;

/// PostgreSQL servers.
#[async_trait]
pub trait Postgres: Send + Sync {
    /// One statement on a connection of its own. `read_only` makes the session read-only first.
    /// A refused connection is `unreachable`, an error answer is `refused`, a connection lost after sending `lost`.
    async fn query(&self, to: &PgTarget, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows>;
}

/// How to reach a Redis server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisTarget {
    /// Host name or address.
    pub host: String,
    /// Port; 6379 if absent.
    pub port: Option<u16>,
    /// Number of the database; 0 if absent.
    pub database: Option<u16>,
    /// User; the server's default user if absent.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// The connection is encrypted and the server's certificate checked.
    pub tls: bool,
    /// A certificate authority's file instead of the system's store.
    pub tls_ca: Option<String>,
}

/// Redis servers.
#[async_trait]
pub trait Redis: Send + Sync {
    /// One command with its arguments on a connection of its own; its reply as JSON: texts, whole numbers, null, lists.
    /// A refused connection or login before the command is `unreachable` or `refused`, an error reply `refused`, a
    /// connection lost after sending `lost`.
    async fn command(&self, to: &RedisTarget, words: &[&str], timeout_ms: u64) -> Answer<Value>;
}

/// Commands of Redis that change nothing, by their first word, which are all that pass in a dry run.
pub const REDIS_LOOKS: &[&str] = &["DBSIZE", "EXISTS", "GETRANGE", "INFO", "LASTSAVE", "PING", "ROLE", "TIME"];

/// SQLite files.
#[async_trait]
pub trait Sqlite: Send + Sync {
    /// One statement; with `read_only` the file is opened so.
    async fn query(&self, path: &str, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows>;
    /// Whether a file is a database, as far as can be told without leaving anything beside it: SQLite itself makes files
    /// beside a database in WAL mode even where it may only read.
    async fn looks_like_one(&self, path: &str) -> Answer<()> {
        self.query(path, "PRAGMA schema_version", &[], true, 10_000).await.map(drop)
    }
    /// A whole and consistent copy of a database that is in use, synced.
    async fn backup(&self, path: &str, to: &str) -> Answer<()>;
}

/// A file or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Last modification.
    pub modified: Timestamp,
    /// Bytes.
    pub size: u64,
    /// Where it points, if it is a link.
    pub link: Option<String>,
    /// True for a directory.
    pub directory: bool,
}

/// Files and links.
#[async_trait]
pub trait Files: Send + Sync {
    /// Names in a directory, sorted.
    async fn list(&self, dir: &str) -> Answer<Vec<String>>;
    /// What is at a path, links not followed; none if nothing is.
    async fn facts(&self, path: &str) -> Answer<Option<FileFacts>>;
    /// SHA-256 in hexadecimal; none if nothing is there.
    async fn sha256(&self, path: &str) -> Answer<Option<String>>;
    /// Copies, and syncs the copy and its directory.
    async fn copy(&self, from: &str, to: &str) -> Answer<()>;
    /// Renames over whatever is there, atomically, and syncs the directory.
    async fn rename(&self, from: &str, to: &str) -> Answer<()>;
    /// Removes a file or link; nothing there is good.
    async fn remove(&self, path: &str) -> Answer<()>;
    /// Reads a text of at most 1 MiB.
    async fn read(&self, path: &str) -> Answer<String>;
}

/// Values of secrets.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// An environment variable.
    async fn env(&self, name: &str) -> Answer<String>;
    /// A file, one trailing line break cut.
    async fn file(&self, path: &str) -> Answer<String>;
    /// Standard output of a command, one trailing line break cut.
    async fn command(&self, argv: &[String]) -> Answer<String>;
}

/// A mail of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// Limit of handing it to the server.
    pub timeout_ms: u64,
}

/// Mail. From whom and through which server is a setting of the machine, not of a plan.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Hands a mail to the server, which has taken it when this is good.
    async fn send(&self, letter: &Letter) -> Answer<()>;
    /// Whether the server answers; nothing is sent.
    async fn reach(&self) -> Answer<()>;
}
