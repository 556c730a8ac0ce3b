//! What a step can do: one file and one manual page a kind. An action knows its fields and its target, not the
//! graph, the journal or other steps.

pub mod matcher;
pub mod notify;
pub mod reach;
pub mod shell;
pub mod template;
pub mod units;

mod aws;
mod backups;
mod clickhouse;
mod connect;
mod deed;
pub mod described;
mod field;
mod dns;
mod dns_check;
mod dns_update;
mod given;
mod inside;
mod keep;
mod phase;
pub mod protocol;
mod http;
mod postgres;
mod postgres_cluster;
mod postgres_programs;
mod redis;
mod rows;
mod sqlite;
mod words;

mod approval;
mod clickhouse_backup;
mod clickhouse_check;
mod clickhouse_restore;
pub mod command;
mod executable;
mod http_call;
mod http_check;
mod kubernetes;
mod kubernetes_apply;
mod kubernetes_check;
mod kubernetes_edit;
mod kubernetes_job;
mod kubernetes_patch;
mod kubernetes_ready;
mod kubernetes_rollout;
mod kubernetes_scale;
mod manual;
mod notify_email;
mod notify_webhook;
mod plan;
mod postgres_check;
mod postgres_dump;
mod postgres_fence;
mod postgres_follow;
mod postgres_follow_typed;
mod postgres_lag;
mod postgres_pitr;
mod postgres_pitr_base;
mod postgres_pitr_typed;
mod postgres_promote;
mod postgres_query;
mod postgres_restore;
mod postgres_swap;
mod redis_check;
mod redis_promote;
mod redis_replicate;
mod redis_save;
mod route53;
mod route53_check;
mod route53_health_check;
mod route53_upsert;
mod route53_weight;
mod s3;
mod s3_check;
mod s3_copy;
mod s3_retain;
mod sqlite_backup;
mod sqlite_check;
mod sqlite_restore;
mod script;
mod wait;

pub use connect::connect_fields;
pub use deed::Deed;
pub use field::{Field, Output, Type};
pub use phase::Phase;

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its name within the asset.
    pub id: String,
    /// `full`, `dump`, …
    pub method: String,
    /// Where it lies, as the plan says it: its own place first, then its copies.
    pub places: Vec<String>,
    /// The full backup that it builds on, if it is a log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<Box<Source>>,
    /// The asset's logs, if it is none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub logs: Vec<Source>,
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
    /// There is nothing to take back.
    Unneeded,
    /// `undo: auto` puts back what was.
    Auto,
    /// The plan must say `{uses, with}` or `{none: reason}`.
    ByPlan,
    /// Nothing can: the plan must say `{none: reason}`.
    Impossible,
}

/// What a dry run does with a step that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dry {
    /// It looks.
    Looks,
    /// That it reads is the plan's word alone: it is begun only with `--trust-declared`.
    IfTrusted,
    /// It is not done: whoever is asked may take it for a change.
    Never,
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
    /// True if the plan may declare more of them.
    pub outputs_by_plan: bool,
    /// Its effect; for `command` and the like the default, which the plan may replace.
    pub effect: Effect,
    /// True if the plan may say `effect`.
    pub effect_by_plan: bool,
    /// The effect that its fields decide, where they do.
    pub effect_of: fn(&Call<'_>) -> Option<Effect>,
    /// What a dry run does with a step of it that reads.
    pub dry: fn(&Map<String, Value>) -> Dry,
    /// Kinds of assets that it acts on; empty: it acts on none and any may be named.
    pub kinds: &'static [AssetKind],
    /// The phase unless the plan says otherwise.
    pub phase: Phase,
    /// What it does to a copy.
    pub deed: Deed,
    /// Whether, with these fields, it stops something.
    pub stops: fn(&Call<'_>) -> bool,
    /// How it is taken back.
    pub undo: UndoKind,
    /// The expected time where the plan may leave it out.
    pub takes_ms: Option<u64>,
    /// The limit of an attempt where the plan gives none; none: it follows from `takes`.
    pub timeout_ms: Option<u64>,
    /// True if the run goes on where it fails, unless the plan says otherwise.
    pub goes_on: bool,
    /// The expected time where the fields themselves say it, in milliseconds.
    pub takes_by: fn(&Call<'_>) -> Option<u64>,
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
        outputs_by_plan: false,
        effect: Effect::Read,
        effect_by_plan: false,
        effect_of: |_| None,
        dry: |_| Dry::Looks,
        kinds: &[],
        phase: Phase::Recover,
        deed: Deed::Nothing,
        stops: |_| false,
        undo: UndoKind::Unneeded,
        takes_ms: None,
        takes_by: |_| None,
        timeout_ms: None,
        goes_on: false,
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

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The undo of an action that has none of its own; the plan says what takes it back, or why nothing does.
const NO_UNDO: Run<Probe> = |_, _| Box::pin(async { Ok(Probe::CannotTell("it has no undo of its own".to_owned())) });

/// The action of a name.
pub fn find(name: &str) -> Option<&'static Action> {
    if name.starts_with(described::KEY) {
        return Some(&executable::ACTION);
    }
    TABLE.binary_search_by_key(&name, |a| a.name).ok().map(|i| TABLE[i])
}

/// Every action, by name.
pub fn all() -> &'static [&'static Action] {
    TABLE
}

/// Sorted by name.
static TABLE: &[&Action] = &[
    &executable::ACTION,
    &approval::ACTION,
    &clickhouse_backup::ACTION,
    &clickhouse_check::ACTION,
    &clickhouse_restore::ACTION,
    &command::ACTION,
    &dns_check::ACTION,
    &dns_update::ACTION,
    &http_call::ACTION,
    &http_check::ACTION,
    &kubernetes_apply::ACTION,
    &kubernetes_check::ACTION,
    &kubernetes_job::ACTION,
    &kubernetes_patch::ACTION,
    &kubernetes_rollout::ACTION,
    &kubernetes_scale::ACTION,
    &manual::ACTION,
    &notify_email::ACTION,
    &notify_webhook::ACTION,
    &plan::ACTION,
    &postgres_check::ACTION,
    &postgres_dump::ACTION,
    &postgres_fence::ACTION,
    &postgres_follow::ACTION,
    &postgres_lag::ACTION,
    &postgres_promote::ACTION,
    &postgres_query::ACTION,
    &postgres_restore::ACTION,
    &redis_check::ACTION,
    &redis_promote::ACTION,
    &redis_replicate::ACTION,
    &redis_save::ACTION,
    &route53_check::ACTION,
    &route53_health_check::ACTION,
    &route53_upsert::ACTION,
    &route53_weight::ACTION,
    &s3_check::ACTION,
    &s3_copy::ACTION,
    &s3_retain::ACTION,
    &script::ACTION,
    &sqlite_backup::ACTION,
    &sqlite_check::ACTION,
    &sqlite_restore::ACTION,
    &wait::ACTION,
];
