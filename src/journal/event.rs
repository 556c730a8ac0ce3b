//! The events of a run. They outlive the program: fields are added, never given another meaning.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One event as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the run, from 1.
    pub seq: u64,
    /// When it was appended, wall-clock time of whoever appended it.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Doing a step or taking it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "said above")]
pub enum Doing {
    Apply,
    Undo,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event of every run.
    RunStarted {
        /// The plan's name.
        plan: String,
        /// The scenario.
        scenario: String,
        /// `planned`, `unplanned`, `drill`.
        mode: String,
        /// Digest of the compiled plan.
        digest: String,
        /// The compiled plan itself, canonical JSON.
        compiled: String,
        /// The plan's directory; relative paths of the plan stand in it.
        dir: String,
        /// Who started it.
        operator: String,
        /// Where.
        host: String,
        /// Git commit of the plan, if it has one; ends in `+changes` for a dirty work tree.
        commit: Option<String>,
        /// When the incident began.
        incident_start: Timestamp,
        /// True if nobody said when, and it was computed from `detect` and `decide`.
        incident_assumed: bool,
        /// Version of the program.
        version: String,
    },
    /// A driver took the run.
    LeaseTaken {
        /// Its fence.
        fence: u64,
        /// `user@host pid`.
        holder: String,
        /// The holder before, if its lease ran out or it was gone.
        from: Option<String>,
    },
    /// A driver gave the run back.
    LeaseGiven {
        /// Its fence.
        fence: u64,
    },
    /// A person took the lease from a driver: that one appends nothing any more.
    LeaseBroken {
        /// The fence that says so.
        fence: u64,
        /// Who had it, if anybody.
        from: Option<String>,
        /// Who says so; not proved.
        who: String,
        /// Why.
        reason: String,
    },
    /// The run is closed in this journal; only the export that ends here is driven, in another one.
    HandedOver {
        /// Who says so; not proved.
        who: String,
        /// Where this journal was.
        from: String,
        /// Why.
        reason: String,
    },
    /// The run is driven from this journal from here on.
    Imported {
        /// Nobody handed it over: whoever drove it may not know.
        taken_over: bool,
        /// Who says so; not proved.
        who: String,
        /// Why; empty where it was handed over.
        reason: String,
    },
    /// The second event of a run that goes on where an earlier one stood.
    Adopted {
        /// The earlier run.
        run: String,
        /// Digest of its last event, which names this run.
        head: String,
        /// Who says so; not proved.
        who: String,
        /// Why.
        reason: String,
        /// What of it this run has, in the order of effects.
        carried: Vec<Carried>,
        /// Steps of earlier runs that have no place in this plan, with what they act on; null if there are none.
        beside: Value,
    },
    /// The run ends here: another one goes on where it stood.
    AdoptedBy {
        /// The other run.
        run: String,
        /// Who says so; not proved.
        who: String,
        /// Why.
        reason: String,
    },
    /// What a step waited for is done; it waits for a slot, a lock or a person.
    Ready {
        /// The step.
        step: String,
    },
    /// An attempt is about to begin.
    Intent {
        /// The step.
        step: String,
        /// Doing or undoing.
        doing: Doing,
        /// From 1, counted for each of both.
        attempt: u32,
        /// Idempotency key: the same for all attempts.
        key: String,
        /// Digest of the resolved inputs, a secret standing as its name.
        inputs: String,
        /// Limit of the attempt.
        timeout_ms: Option<u64>,
        /// How long after that a request may still land.
        settles_ms: u64,
        /// The state before, read before the first attempt.
        before: Value,
    },
    /// An attempt ended well.
    Done {
        /// The step.
        step: String,
        /// Doing or undoing.
        doing: Doing,
        /// Which attempt.
        attempt: u32,
        /// What it found out.
        outputs: Map<String, Value>,
        /// True if a probe or a reading of its command's exit found that it had happened.
        found: bool,
    },
    /// An attempt surely ended without success.
    Failed {
        /// The step.
        step: String,
        /// Doing or undoing.
        doing: Doing,
        /// Which attempt; 0 if it failed before one.
        attempt: u32,
        /// Why.
        reason: String,
        /// The target could not be reached at all.
        unreachable: bool,
    },
    /// Nobody knows whether an attempt had, or will have, its effect.
    Unknown {
        /// The step.
        step: String,
        /// Doing or undoing.
        doing: Doing,
        /// Which attempt.
        attempt: u32,
        /// Why.
        why: String,
        /// From then on nothing of it can land any more, by the appender's wall clock; none: closed already.
        open_until: Option<Timestamp>,
        /// Its driver ended while it ran, so it may be begun again where that is safe.
        died: bool,
    },
    /// A probe answered about an unknown attempt.
    Probed {
        /// The step.
        step: String,
        /// Doing or undoing.
        doing: Doing,
        /// Which attempt.
        attempt: u32,
        /// What it said.
        answer: Answer,
        /// In words.
        detail: String,
        /// Nothing of the attempt can land any more, whatever its deadline: its process is gone.
        closed: bool,
    },
    /// A step does not run: its condition does not hold, its mode is another, its target may be passed by.
    Skipped {
        /// The step.
        step: String,
        /// Why.
        reason: String,
        /// The run cannot end well without it: it failed, or a person left it out.
        flaw: bool,
    },
    /// A question stands that only a person can answer.
    Asked {
        /// The step.
        step: String,
        /// What kind of question it is.
        about: About,
        /// What is asked.
        question: String,
    },
    /// An approval was given.
    Approved {
        /// The step.
        step: String,
        /// Who says so; not proved.
        who: String,
        /// Their words.
        comment: String,
        /// Digest of the plan that was shown.
        digest: String,
        /// It counts although a rule forbids it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        break_glass: bool,
    },
    /// An approval was refused.
    Declined {
        /// The step.
        step: String,
        /// Who says so; not proved.
        who: String,
        /// Their words.
        reason: String,
        /// Digest of the plan that was shown.
        digest: String,
    },
    /// An operator's word.
    Word {
        /// What is to be done.
        word: Word,
        /// The step that it is about.
        step: Option<String>,
        /// Who says so.
        who: String,
        /// Why.
        reason: String,
    },
    /// An asset is back.
    Objective {
        /// The asset.
        asset: String,
        /// When its last verification passed.
        at: Timestamp,
        /// From the incident's start until then, plus the TTL of names.
        recovery_ms: u64,
        /// `shown`, or why it is `not shown`.
        shown: String,
        /// Data lost as measured; none where no action could tell.
        loss_ms: Option<u64>,
    },
    /// The run ended.
    Finished {
        /// How.
        how: End,
        /// One sentence.
        summary: String,
    },
}

/// A step as an earlier run left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// The step as it is called in this run.
    pub step: String,
    /// This plan has no such step: its effect stands, and a person says what becomes of it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub beside: bool,
    /// Where it stands.
    pub stands: Stands,
    /// `RUN/STEP` in the key of its attempts, which stays.
    pub key: String,
    /// `RUN/STEP` in the name of its last attempt to be done.
    pub apply: String,
    /// `RUN/STEP` in the name of its last attempt to be taken back.
    pub undo: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts to take it back.
    pub undo_attempts: u32,
    /// The state before, if it was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Value>,
    /// What it found out.
    pub outputs: Map<String, Value>,
    /// What its references meant when it was begun.
    pub values: BTreeMap<String, Value>,
    /// In which directory its relative paths stand.
    pub dir: String,
    /// When its first attempt began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Timestamp>,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub done_at: Option<Timestamp>,
    /// A person said that it is done.
    pub by_person: bool,
    /// The driver of its last attempt.
    pub begun_by: String,
}

/// Where a step of an earlier run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// Done, and its result counts.
    Done,
    /// It is to be begun again in its turn.
    Again,
    /// Its effect stands, or half of it may; whether it counts, or stays, a person says.
    Left {
        /// Why it does not count by itself.
        why: String,
    },
    /// It surely ended without success.
    Failed {
        /// Why.
        reason: String,
        /// The target could not be reached.
        unreachable: bool,
    },
    /// Nobody knows what became of its last attempt.
    Unknown {
        /// Doing or undoing.
        doing: Doing,
        /// Why.
        why: String,
        /// From then on nothing of it can land any more; none: closed already.
        open_until: Option<Timestamp>,
        /// Where it stands should it turn out to be done; none: then its result counts.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        then: Option<Box<Stands>>,
    },
    /// It could not be taken back.
    Stuck {
        /// Why.
        reason: String,
    },
}

/// What a look at an unknown attempt found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Its effect is there.
    There,
    /// Its effect is not there.
    NotThere,
    /// Neither as it was nor as we would leave it.
    Other,
    /// The probe cannot tell, or there is none.
    CannotTell,
    /// Its process still runs.
    Running,
}

/// What a person is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// `approve` or `decline`.
    Approval,
    /// Something that a person does: `resolve --as done`.
    Manual,
    /// What became of an attempt: `resolve --as done|not-done`.
    Unknown,
    /// A target that does not answer: `retry`, `skip`, `resolve`.
    Unreachable,
    /// A condition that cannot be told: `skip` or `retry` (run it).
    When,
    /// Somebody's newer change: `resolve`.
    Foreign,
    /// What an adopted run left in effect: `resolve`, or `retry` if the plan has the step.
    Left,
}

/// What an operator may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Start nothing more.
    Pause,
    /// Go on.
    Resume,
    /// Try a failed step again.
    Retry,
    /// Do a step again, and everything after it that was done.
    RetryDownstream {
        /// All of them, as they stood when it was said.
        again: Vec<String>,
    },
    /// Go on without a step.
    Skip,
    /// Say what became of an unknown attempt, or that a manual step is done.
    Resolve {
        /// `done` or `not-done`.
        done: bool,
        /// What a `manual` step records.
        record: Map<String, Value>,
        /// Do not wait until nothing can land any more.
        accept_late_effect: bool,
    },
    /// Take back what was done.
    Rollback {
        /// Undo only what stands on this step.
        to: Option<String>,
    },
    /// End the run as it is.
    Abort,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Every step is done.
    Good,
    /// It ran to its end with a failed, continued, skipped or untested step.
    Flawed,
    /// Everything that could be was taken back.
    RolledBack,
    /// A person ended it.
    Aborted,
    /// Another run goes on where it stood.
    Adopted,
}
