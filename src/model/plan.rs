//! The words of a plan as types. Plain data that serialises to canonical JSON: maps are ordered, durations are
//! milliseconds, absent things are left out. Places live in [`super::places`], not here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actions::units;
pub use crate::actions::{AssetKind, Effect, Phase};

/// The name of an asset, site, step, …: `[a-z][a-z0-9-]*`.
pub type Id = String;
/// Things by name, found at once among many thousands; whoever adds one keeps them in order.
pub type ById<T> = indexmap::IndexMap<Id, T, foldhash::fast::FixedState>;

/// A whole plan file (with what it includes), parameters substituted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name.
    pub name: Id,
    /// A line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The contact who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Id>,
    /// Parameters, with the value that this compilation used.
    pub params: BTreeMap<String, Param>,
    /// Where secrets are found; never what they are.
    pub secrets: BTreeMap<String, Secret>,
    /// The shared journal, if the plan names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalRef>,
    /// Ids of each list, in order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, Vec<String>>,
    /// Failure domains.
    pub sites: BTreeMap<Id, Site>,
    /// Objectives.
    pub tiers: BTreeMap<Id, Tier>,
    /// People and channels.
    pub contacts: BTreeMap<Id, Contact>,
    /// What must be recovered.
    pub assets: ById<Asset>,
    /// What the plan allows those who run it.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
}

impl Plan {
    /// By asset: those that cannot do without it.
    pub fn above(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut above: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, asset) in &self.assets {
            asset.strong().for_each(|base| above.entry(base).or_default().push(id));
        }
        above
    }
}

/// What a plan allows those who run it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether somebody may approve in a run that they started.
    pub approval_by_starter: Permission,
    /// What it says about the findings of rules, by rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, Verdict>,
}

/// What a plan says about the findings of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// They refuse the plan.
    Deny,
    /// They are said.
    Warn,
    /// They are known.
    Allow {
        /// Why they are allowed.
        reason: String,
        /// The last day.
        until: jiff::civil::Date,
    },
}

impl Policy {
    fn is_default(&self) -> bool {
        *self == Policy::default()
    }
}

/// What is done about something that a policy is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// It is refused.
    Deny,
    /// It is said.
    #[default]
    Warn,
    /// Nothing.
    Allow,
}

/// The longest value of a parameter, in bytes: what a program may be given as one argument.
pub const PARAM_LONGEST: usize = 64 << 10;

/// A parameter: its declaration and its value in this compilation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// What it may hold.
    #[serde(rename = "type")]
    pub kind: ParamKind,
    /// A line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The value given or the default; none: missing (`run` refuses, a runbook shows a variable).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The value was given when it was compiled; else it is the default.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub given: bool,
}

/// What a parameter may hold. Durations and sizes are kept as they were typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum ParamKind {
    String,
    Int,
    Bool,
    Duration,
    Size,
    Time,
    Url,
}

/// Where a secret is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; one trailing line break is cut.
    File(String),
    /// The standard output of a command; one trailing line break is cut.
    Command(Vec<String>),
}

/// A secret's provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    /// Where the value is found.
    #[serde(flatten)]
    pub source: SecretSource,
    /// The failure domain of that provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Id>,
}

/// A shared journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalRef {
    /// `postgres://…`, without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its failure domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Id>,
    /// Refuse to run on an embedded journal.
    pub required: bool,
}

/// A failure domain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// A line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// `region`, `zone`, `datacenter`, `host`, `account`, `cloud`, `offline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Outer sites.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub within: Vec<Id>,
}

/// An objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    /// Longest time until recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// Most data that may be lost, as time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// How often a drill rehearses each scenario that brings such an asset back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_every_ms: Option<u64>,
    /// How many people approve before such an asset is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<u32>,
    /// For how long nobody can delete the newest copy of its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable_ms: Option<u64>,
    /// How many copies of its data there are, the asset itself counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// How long copies are kept, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Value>,
    /// At how many sites, none within another, its data lie; the asset's own counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<u32>,
    /// A copy lies at a site of kind `offline`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// Every backup is encrypted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
    /// Locks against deletion are such that nobody can lift them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub worm: bool,
    /// How often backups are seen and restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// A scenario that moves it has another one that undoes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failback: bool,
    /// What people use is tried when it is back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub smoke: bool,
    /// Who is told when it is brought back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tell: Vec<Id>,
    /// What has an answer in the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub survives: Vec<Cause>,
}

/// A rehearsal of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    /// Its name.
    pub id: Id,
    /// A line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The scenario.
    pub scenario: Id,
    /// How often.
    pub every_ms: u64,
    /// It runs on what the scenario would change in an incident.
    pub production: bool,
    /// Steps that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<Id>,
    /// Parameters that are others, as typed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, String>,
    /// By asset and site: keys that replace those of its `connect`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub connect: BTreeMap<Id, BTreeMap<Id, BTreeMap<String, Value>>>,
    /// Steps that run at the end, whatever happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleanup: Vec<Step>,
}

/// A person or a channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How to reach them, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<String>,
    /// A telephone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The address to which the program posts; may hold `${secrets.…}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The address to which the program writes mail; may hold `${secrets.…}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where that channel stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Id>,
    /// Who is told as well, if nobody answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalate>,
}

/// Who is told next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalate {
    /// The contact.
    pub to: Id,
    /// How long after the one before was told first, in milliseconds.
    pub after_ms: u64,
}

/// Something that must be recovered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    /// The list of whose ids it is one; its name ends in `[ID]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub each: Option<String>,
    /// What it is.
    pub kind: AssetKind,
    /// A line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its tier; none for `tier: none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Id>,
    /// Where it stands; a list means the same data in all of them.
    pub sites: Vec<Id>,
    /// Bytes at the last review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// How to reach it; may hold `${secrets.…}` and missing parameters.
    pub connect: BTreeMap<String, Value>,
    /// What it stands on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub depends_on: Vec<Dependency>,
    /// Copies that can serve.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub replicas: Vec<Replica>,
    /// Copies that can be restored.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub backups: Vec<Backup>,
    /// The asset from which it can be computed anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<Rebuild>,
    /// How far back the asset itself keeps what a rebuild replays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
}

impl Asset {
    /// What it cannot do without.
    pub fn strong(&self) -> impl Iterator<Item = &Id> {
        self.depends_on.iter().filter(|d| !d.weak).map(|d| &d.asset)
    }

    /// How long resolvers may go on answering with its old record, in milliseconds.
    pub fn ttl_ms(&self) -> u64 {
        match (self.kind, self.connect.get("ttl").and_then(Value::as_str)) {
            (AssetKind::Route53 | AssetKind::Dns, Some(ttl)) => units::duration_ms(ttl).unwrap_or(0),
            _ => 0,
        }
    }
}

/// An edge between assets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// The asset stood upon.
    pub asset: Id,
    /// A weak one orders only planned scenarios.
    pub weak: bool,
}

/// How a replica follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum ReplicaMode {
    Streaming,
    Synchronous,
    Logical,
    Active,
    Standby,
}

/// A copy that can serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// Where.
    pub site: Id,
    /// How it follows.
    pub mode: ReplicaMode,
    /// How far it may be behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lag_ms: Option<u64>,
    /// The asset's `connect` with the replica's own keys over it.
    pub connect: BTreeMap<String, Value>,
}

/// How a backup is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum BackupMethod {
    Full,
    Incremental,
    Differential,
    Log,
    Snapshot,
    Dump,
}

/// A copy that can be restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Its name within the asset.
    pub id: Id,
    /// How it is taken.
    pub method: BackupMethod,
    /// The backup that it builds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Id>,
    /// Cron expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Time zone of the schedule; UTC if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// For continuous ones: how far behind at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continuous_ms: Option<u64>,
    /// How long a run takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_ms: Option<u64>,
    /// Where it goes.
    pub to: String,
    /// The failure domain of that place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Id>,
    /// How long one is kept, as typed: a duration, `{last: 7}`, `{daily: 30d}`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Value>,
    /// Key and its site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// A lock against deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<Immutable>,
    /// The same backup elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub copies: Vec<Copy>,
    /// How often it is seen and restored.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verify: Option<Verify>,
}

/// How often a backup is shown to be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// A run sees that it is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exists_ms: Option<u64>,
    /// A drill restores it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_ms: Option<u64>,
}

/// A backup's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encryption {
    /// Which key.
    pub key: String,
    /// The failure domain of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Id>,
}

/// A lock against deletion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Immutable {
    /// `governance` or `compliance`.
    pub mode: String,
    /// For how long.
    pub for_ms: u64,
}

/// The same backup in another place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// Where it goes.
    pub to: String,
    /// The failure domain of that place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Id>,
    /// How long after the backup's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// How long one is kept, as typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Value>,
}

/// A source to compute an asset anew from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rebuild {
    /// The asset that is replayed.
    pub from: Id,
    /// How far back the replay reaches.
    pub within_ms: u64,
    /// How long it takes.
    pub takes_ms: u64,
}

/// Why a scenario happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum Cause {
    Outage,
    Corruption,
    Ransomware,
    Planned,
}

/// In which circumstances a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum Mode {
    Planned,
    Unplanned,
    Drill,
}

/// What a scenario loses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Sites, as written; see `analysis` for what stands within them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sites: Vec<Id>,
    /// Assets.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub assets: Vec<Id>,
    /// Backups, as `asset.id`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub backups: Vec<String>,
}

/// What is lost, why, and the steps that bring it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name.
    pub id: Id,
    /// A line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How a person recognises it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub symptoms: Vec<String>,
    /// What is gone.
    pub loses: Losses,
    /// Why.
    pub cause: Cause,
    /// From the damage until somebody is called.
    pub detect_ms: u64,
    /// From then until the run starts.
    pub decide_ms: u64,
    /// What counts here instead of the tier's objectives.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub objectives: BTreeMap<Id, Tier>,
    /// The scenario whose end is this one's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undoes: Option<Id>,
    /// Lost assets that this scenario does not bring back.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub leaves: Vec<Id>,
    /// In the order in which they are written.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// The mode in which it runs unless told otherwise.
    pub fn default_mode(&self) -> Mode {
        if self.cause == Cause::Planned { Mode::Planned } else { Mode::Unplanned }
    }
}

/// An action with its fields, outside a step's own `uses`: a check, an undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionUse {
    /// The action's name.
    pub uses: String,
    /// Its fields; strings may hold `${secrets.…}`, `${steps.…}`, `${run.…}` and missing `${params.…}`.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty", default)]
    pub with: serde_json::Map<String, Value>,
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Undo {
    /// It changes nothing.
    Unneeded,
    /// The action's own undo, with the state before from the journal.
    Auto,
    /// Another action.
    Use(ActionUse),
    /// It cannot be, and why.
    None(String),
}

/// What a failure means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum OnFailure {
    #[default]
    Pause,
    Continue,
    Rollback,
}

impl OnFailure {
    /// What it means where the plan does not say.
    pub fn of(action: Option<&crate::actions::Action>) -> OnFailure {
        if action.is_some_and(|a| a.goes_on) { OnFailure::Continue } else { OnFailure::Pause }
    }
}

/// What an unreachable target means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum WhenUnreachable {
    #[default]
    Fail,
    Ask,
    Skip,
}

/// How often a step is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// At most so many attempts in all.
    pub attempts: u32,
    /// Before the second attempt.
    pub delay_ms: u64,
    /// Each delay is the last times this.
    pub factor: f64,
    /// No delay is longer.
    pub max_delay_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 1, delay_ms: 0, factor: 1.0, max_delay_ms: u64::MAX }
    }
}

impl Retry {
    /// The pause before the attempt after the `n`th (from 1), in milliseconds.
    pub fn delay_after_ms(&self, n: u32) -> u64 {
        let raw = self.delay_ms as f64 * self.factor.powi(n as i32 - 1);
        (raw.min(u64::MAX as f64) as u64).min(self.max_delay_ms)
    }
}

/// A condition on an output of another step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct When {
    /// The step that gives the value.
    pub step: Id,
    /// Its output.
    pub output: String,
    /// A matcher as JSON, see [`crate::actions::matcher`].
    pub matcher: Value,
}

/// A declared output of a `command`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputDecl {
    /// `string`, `int`, `bool`, …
    #[serde(rename = "type")]
    pub kind: ParamKind,
    /// A dotted path into the JSON on standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// A regular expression; its first group (or the whole match) is the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// One step, every default spelled out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub id: Id,
    /// The list of whose ids it is one; its name ends in `[ID]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub each: Option<String>,
    /// One imperative line; if absent the action's own sentence stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does.
    #[serde(flatten)]
    pub call: ActionUse,
    /// What it brings back, and locks.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub assets: Vec<Id>,
    /// Parts restored beside each other share a lock under one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// The site at which it acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Id>,
    /// Its phase.
    pub phase: Phase,
    /// What it vouches for after a crash.
    pub effect: Effect,
    /// Steps named by `needs`; none: the step written above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<Id>>,
    /// Expected time.
    pub takes_ms: u64,
    /// Limit of one attempt; none: it waits for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How often it is tried.
    pub retry: Retry,
    /// How it is taken back.
    pub undo: Undo,
    /// What it restores from: a backup's id, `replica`, `rebuild`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A reading action that tells whether the effect is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<ActionUse>,
    /// In which modes it runs.
    pub modes: Vec<Mode>,
    /// Conditions, all of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub when: Vec<When>,
    /// What a failure means.
    pub on_failure: OnFailure,
    /// What an unreachable target means.
    pub when_unreachable: WhenUnreachable,
    /// Outputs that a `command` declares.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub outputs: BTreeMap<String, OutputDecl>,
    /// Further things that no two steps use at once.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub locks: Vec<String>,
    /// Who does it or answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Id>,
}
