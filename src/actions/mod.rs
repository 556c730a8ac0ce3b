//! What a step can do: one file and one manual page a kind. An action knows its fields and its target, not the
//! graph, the journal or other steps.

pub mod matcher;
pub mod reach;
pub mod shell;
pub mod template;
pub mod units;

mod aws;
mod connect;
mod deed;
mod given;
mod postgres;
mod rows;
mod sqlite;
mod words;

mod approval;
pub mod command;
mod http_check;
mod manual;
mod postgres_check;
mod postgres_fence;
mod postgres_lag;
mod postgres_promote;
mod postgres_query;
mod route53;
mod route53_check;
mod route53_upsert;
mod s3_check;
mod sqlite_backup;
mod sqlite_check;
mod sqlite_restore;
mod wait;

pub use connect::connect_fields;
pub use deed::Deed;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::world::strike::Striker;
use crate::world::{Fault, World};

/// What an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum AssetKind {
    Postgres,
    Clickhouse,
    Redis,
    Sqlite,
    S3,
    Route53,
    Dns,
    Kubernetes,
    Kafka,
    Flink,
    Http,
    Host,
    Other,
}

/// Where a step stands in a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum Phase {
    Assess,
    Contain,
    Prepare,
    Recover,
    Verify,
    Close,
}

/// What a repetition would mean, and who can tell whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Changes nothing: run again.
    Read,
    /// Twice is the same as once: run again with the same key.
    Idempotent,
    /// Its probe tells: when it can no longer land, ask it.
    Verifiable,
    /// Neither: ask a person, never repeat.
    Once,
    /// A person does it.
    Manual,
}

/// What a field of `with`, a key of `connect`, or any other key of a plan may hold: the one vocabulary of shapes, for
/// the validator, the JSON Schema and the manual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// A text; may hold `${…}`.
    Text,
    /// A text in which a `${secrets.…}` may stand.
    Secret,
    /// A whole number.
    Int,
    /// A truth value.
    Bool,
    /// `30s`.
    Duration,
    /// `10GiB`.
    Size,
    /// RFC 3339, or a `${…}`.
    Time,
    /// A day: `2027-03-01`.
    Day,
    /// A text with a scheme; may hold `${…}`.
    Url,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A matcher, see [`matcher`].
    Matcher,
    /// Dotted paths to matchers.
    Matchers,
    /// Values of this type.
    List(&'static Type),
    /// Names to values of this type.
    Map(&'static Type),
    /// Exactly these fields.
    Record(&'static [Field]),
    /// A reading action: `{uses, with}`.
    Call,
    /// Any value.
    Any,
    /// Any single value: a text, a number, a truth value.
    One,
    /// The name of an asset, site, step, …: `[a-z][a-z0-9-]*`.
    Id,
    /// An id that may also hold `_`: of a parameter, a secret, an output.
    Name,
    /// A number with or without a fraction.
    Number,
    /// For how long something is kept: a duration with `mo` and `y` too, or `{last: 7}`, `{daily: 30d, weekly: 12w}`.
    Keep,
    /// One part of such a rule: a duration with `mo` and `y` too.
    Kept,
    /// A regular expression.
    Pattern,
    /// Ids to values of this type.
    ById(&'static Type),
    /// Names to values of this type.
    ByName(&'static Type),
    /// The first of these that goes with a scalar, a list or a map, whichever stands there.
    Either(&'static [Type]),
    /// The fields of the action that `uses` beside it names.
    With,
    /// The keys by which an asset of its kind is reached.
    Connect,
}

/// One field of an action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Type,
    /// It must be given.
    pub required: bool,
    /// The default as it would be typed, if there is one.
    pub default: Option<&'static str>,
    /// Meaning and unit, one sentence.
    pub doc: &'static str,
}

impl Field {
    /// A field that must be given.
    pub const fn required(name: &'static str, kind: Type, doc: &'static str) -> Field {
        Field { name, kind, required: true, default: None, doc }
    }

    /// A field that may be left out.
    pub const fn optional(name: &'static str, kind: Type, doc: &'static str) -> Field {
        Field { name, kind, required: false, default: None, doc }
    }

    /// A field with a value of its own, as it would be typed.
    pub const fn default(name: &'static str, kind: Type, default: &'static str, doc: &'static str) -> Field {
        Field { name, kind, required: false, default: Some(default), doc }
    }
}

impl Output {
    /// An output.
    pub const fn new(name: &'static str, kind: Type, doc: &'static str) -> Output {
        Output { name, kind, doc }
    }
}

/// One output of an action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// `Text`, `Int`, `Bool`, `Time`, `Duration` or `Any`.
    pub kind: Type,
    /// Meaning and unit, one sentence.
    pub doc: &'static str,
}

/// An asset at a site, as an action sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The asset.
    pub asset: String,
    /// Its kind.
    pub kind: AssetKind,
    /// The site, if the step has one.
    pub site: Option<String>,
    /// How to reach it.
    pub connect: Map<String, Value>,
    /// The backup that the step restores from, if its `from` names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Source>,
}

/// A backup, as a restoring action sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its name within the asset.
    pub id: String,
    /// `full`, `dump`, …
    pub method: String,
    /// Where it lies, as the plan says it: its own place first, then its copies.
    pub places: Vec<String>,
}

/// A step as a document sees it: its fields, with `${…}` still in their texts where only a run can tell.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The step's name: outputs that others use become variables named after it, see [`shell::variable`].
    pub step: &'a str,
    /// The fields.
    pub with: &'a Map<String, Value>,
    /// The asset at the site, if the step has an asset.
    pub target: Option<&'a Target>,
}

/// A piece of what a person would type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manual {
    /// What this block does, one line.
    pub what: String,
    /// POSIX sh, values quoted by [`shell`]; several lines allowed.
    pub script: String,
    /// False if it only looks.
    pub changes: bool,
    /// What must be seen, in words.
    pub expect: String,
}

/// An attempt as an action sees it: everything resolved, secrets too.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The outside.
    pub world: &'a World,
    /// The fields, every `${…}` replaced.
    pub with: &'a Map<String, Value>,
    /// The target, every `${…}` of its connection replaced.
    pub target: Option<&'a Target>,
    /// `RUN/STEP/ATTEMPT`: names this attempt for the supervisor of commands.
    pub ticket: &'a str,
    /// The same for every attempt of the step: the idempotency key.
    pub key: &'a str,
    /// When the incident began, as far as known.
    pub incident_start: Timestamp,
    /// True if nobody said when, and it was computed from `detect` and `decide`.
    pub incident_assumed: bool,
    /// By the clock's `elapsed`: later than this a command of the attempt is not started; none: it began just now.
    pub begin_by: Option<Duration>,
    /// Time limit of this attempt.
    pub timeout: Option<Duration>,
    /// Values that must not be kept.
    pub secrets: &'a [String],
    /// The plan's directory; relative paths of a plan stand in it.
    pub dir: &'a str,
    /// Outputs that the step declares, as JSON of `OutputDecl`; empty for most actions.
    pub outputs: &'a Map<String, Value>,
}

impl Ctx<'_> {
    /// A text from outside without the attempt's secrets: before it is judged, and above all before it is cut, since half
    /// a secret is no longer known for one.
    pub(crate) fn struck(&self, text: &str) -> String {
        Striker::new(self.secrets).strike(text)
    }

    /// [`Ctx::struck`] for all texts of a value.
    pub(crate) fn struck_value(&self, value: &Value) -> Value {
        if self.secrets.is_empty() { value.clone() } else { Striker::new(self.secrets).strike_value(value) }
    }
}

/// What an action found out. Names and types as its manual page says.
pub type Outputs = Map<String, Value>;

/// What a probe says about the effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// It is there; what apply would have given.
    There(Outputs),
    /// It is not there: all is as it was before.
    NotThere,
    /// Neither as it was nor as we would leave it: somebody else's change, in words.
    Other(String),
    /// The probe cannot tell, in words.
    CannotTell(String),
}

/// What became of an attempt of an earlier driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Earlier {
    /// It still runs.
    Running,
    /// It surely never started, and never will.
    NeverStarted,
    /// It ended, and so.
    Ended(Result<Outputs, Fault>),
    /// Nobody can tell.
    CannotTell {
        /// Why.
        why: String,
        /// True if nothing of it can be left.
        gone: bool,
    },
}

/// One line of what a step would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What: `CNAME api.example.com`.
    pub what: String,
    /// As it is.
    pub old: String,
    /// As it would be.
    pub new: String,
}

/// How an action is taken back by itself (`undo: auto`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoKind {
    /// It changes nothing.
    Unneeded,
    /// `undo: auto` puts back what was.
    Auto,
    /// The plan must say `{uses, with}` or `{none: reason}`.
    ByPlan,
    /// Nothing can: the plan must say `{none: reason}`.
    Impossible,
}

/// The state before, read once before the first attempt and kept in the journal. `Null` where none is needed.
pub type Before = Value;

/// An asynchronous function of an attempt.
pub type Run<T> = for<'a> fn(&'a Ctx<'a>, &'a Before) -> BoxFuture<'a, Result<T, Fault>>;

/// All there is to know about an action: plain data and functions.
pub struct Action {
    /// As `uses` takes it.
    pub name: &'static str,
    /// The manual page (Markdown).
    pub page: &'static str,
    /// Fields of `with`.
    pub fields: &'static [Field],
    /// What it finds out.
    pub outputs: &'static [Output],
    /// Its effect; for `command` and the like the default, which the plan may replace.
    pub effect: Effect,
    /// True if the plan may say `effect`.
    pub effect_by_plan: bool,
    /// Kinds of assets that it acts on; empty: it acts on none and any may be named.
    pub kinds: &'static [AssetKind],
    /// The phase unless the plan says otherwise.
    pub phase: Phase,
    /// What it does to a copy.
    pub deed: Deed,
    /// How it is taken back.
    pub undo: UndoKind,
    /// The expected time where the plan may leave it out.
    pub takes_ms: Option<u64>,
    /// How long after its time limit something of it may still land: a request that was sent, a process that is being ended.
    pub settles_ms: u64,
    /// The Cargo feature that holds its service.
    pub feature: Option<&'static str>,
    /// One imperative sentence without a full stop, values in backticks.
    pub sentence: fn(&Call<'_>) -> String,
    /// What must be seen afterwards, in words.
    pub seen: fn(&Call<'_>) -> String,
    /// What a person would type instead.
    pub commands: fn(&Call<'_>) -> Vec<Manual>,
    /// What a person would type to take it back, in words or commands; empty if nothing.
    pub undo_commands: fn(&Call<'_>) -> Vec<Manual>,
    /// Fields that are well typed but do not fit each other; `(field, what is wrong, what to type)`.
    pub check: fn(&Call<'_>) -> Vec<(&'static str, String, String)>,
    /// The state before, as `undo` and `probe` need it. Reads only.
    pub before: for<'a> fn(&'a Ctx<'a>) -> BoxFuture<'a, Result<Before, Fault>>,
    /// Whether the effect is there. Reads only.
    pub probe: Run<Probe>,
    /// What apply would change. Reads only.
    pub preview: Run<Vec<Change>>,
    /// Does it, and waits until it is done.
    pub apply: Run<Outputs>,
    /// For actions whose attempts outlive a driver: what became of one of an earlier driver (its ticket is
    /// [`Ctx::ticket`]). None: only the probe can tell.
    pub earlier: Option<Run<Earlier>>,
    /// Looks, and takes it back if what is there is what we left. `NotThere` afterwards: it is as it was before;
    /// `Other`: it was somebody's newer change and nothing was done.
    pub undo_apply: Run<Probe>,
}

impl Action {
    /// What most reading actions have in common; what an action says itself replaces it.
    const READ: Action = Action {
        name: "",
        page: "",
        fields: &[],
        outputs: &[],
        effect: Effect::Read,
        effect_by_plan: false,
        kinds: &[],
        phase: Phase::Recover,
        deed: Deed::Nothing,
        undo: UndoKind::Unneeded,
        takes_ms: None,
        settles_ms: 0,
        feature: None,
        sentence: |_| String::new(),
        seen: |_| String::new(),
        commands: |_| Vec::new(),
        undo_commands: |_| Vec::new(),
        check: |_| Vec::new(),
        before: |_| Box::pin(async { Ok(Value::Null) }),
        probe: |_, _| Box::pin(async { Ok(Probe::NotThere) }),
        preview: |_, _| Box::pin(async { Ok(Vec::new()) }),
        apply: |_, _| Box::pin(async { Ok(Outputs::new()) }),
        earlier: None,
        undo_apply: |_, _| Box::pin(async { Ok(Probe::NotThere) }),
    };
}

/// The undo of an action that has none of its own; the plan says what takes it back, or why nothing does.
const NO_UNDO: Run<Probe> = |_, _| Box::pin(async { Ok(Probe::CannotTell("it has no undo of its own".to_owned())) });

/// The action of a name.
pub fn find(name: &str) -> Option<&'static Action> {
    TABLE.binary_search_by_key(&name, |a| a.name).ok().map(|i| TABLE[i])
}

/// Every action, by name.
pub fn all() -> &'static [&'static Action] {
    TABLE
}

/// Sorted by name.
static TABLE: &[&Action] = &[
    &approval::ACTION,
    &command::ACTION,
    &http_check::ACTION,
    &manual::ACTION,
    &postgres_check::ACTION,
    &postgres_fence::ACTION,
    &postgres_lag::ACTION,
    &postgres_promote::ACTION,
    &postgres_query::ACTION,
    &route53_check::ACTION,
    &route53_upsert::ACTION,
    &s3_check::ACTION,
    &sqlite_backup::ACTION,
    &sqlite_check::ACTION,
    &sqlite_restore::ACTION,
    &wait::ACTION,
];
