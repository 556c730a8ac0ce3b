//! A run as a reader sees it: which step stands where, since when, and what is asked. A light fold of events; what may
//! happen next is not known here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::analysis::Checked;
use crate::journal::{About, Carried, Doing, End, Entry, Event, Stands, Word};
use crate::render::{escape, view};

/// Where a step stands, for a reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// A person is asked.
    Asks,
    /// An attempt is under way.
    Running,
    /// It is being taken back.
    Undoing,
    /// Nobody knows.
    Unknown,
    /// It failed.
    Failed,
    /// Done.
    Done,
    /// It does not run.
    Skipped,
    /// Taken back.
    Undone,
    /// It could not be taken back.
    Stuck,
}

impl Status {
    /// In words, as lists print it.
    pub fn word(self) -> &'static str {
        match self {
            Status::Waiting => "waiting",
            Status::Asks => "asks",
            Status::Running => "running",
            Status::Undoing => "undoing",
            Status::Unknown => "unknown",
            Status::Failed => "failed",
            Status::Done => "done",
            Status::Skipped => "skipped",
            Status::Undone => "undone",
            Status::Stuck => "stuck",
        }
    }

    /// One character, for lists.
    pub fn mark(self) -> &'static str {
        match self {
            Status::Waiting => "·",
            Status::Asks => "?",
            Status::Running => "▸",
            Status::Undoing => "◂",
            Status::Unknown => "‽",
            Status::Failed => "✗",
            Status::Done => "✓",
            Status::Skipped => "–",
            Status::Undone => "↩",
            Status::Stuck => "!",
        }
    }
}

/// A step, for a reader.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Line {
    /// Its name.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// The expected time.
    pub takes_ms: u64,
    /// Where it stands.
    pub status: Status,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How long its last attempt took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Attempts so far.
    pub attempts: u32,
    /// The reason, the question, or what was found.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// An objective as it was met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reached {
    /// From the incident's start, in milliseconds.
    pub recovery_ms: u64,
    /// `shown`, or why it is not.
    pub shown: String,
    /// Data lost, where an action could tell.
    pub loss_ms: Option<u64>,
    /// The objective for recovery.
    pub rto_ms: Option<u64>,
    /// What was predicted.
    pub predicted_ms: Option<u64>,
    /// The objective for data loss.
    pub rpo_ms: Option<u64>,
    /// What was predicted.
    pub predicted_loss_ms: Option<u64>,
}

/// A run, for a reader.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// Its name.
    pub run: String,
    /// The plan's name.
    pub plan: String,
    /// The scenario.
    pub scenario: String,
    /// The mode.
    pub mode: String,
    /// Digest of the compiled plan.
    pub digest: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When the incident began.
    pub incident_start: Timestamp,
    /// Nobody said so: computed.
    pub incident_assumed: bool,
    /// How long the run was predicted to take.
    pub predicted_ms: u64,
    /// Steps, as written.
    pub steps: Vec<Line>,
    /// Assets that are back.
    pub objectives: BTreeMap<String, Reached>,
    /// A person paused it, and why.
    pub paused: Option<String>,
    /// How it ended, and in one sentence.
    pub finished: Option<(End, String)>,
    /// The last event's number.
    pub seq: u64,
    /// Its time.
    pub last_at: Timestamp,
    predictions: BTreeMap<String, Value>,
    index: BTreeMap<String, usize>,
    assets: Vec<Vec<String>>,
}

impl Story {
    /// Of a run that has no events yet; each step called as the runbook calls it. With the incident's start goes whether
    /// nobody said it.
    pub fn of(run: &str, checked: &Checked, started_at: Timestamp, incident: (Timestamp, bool)) -> Story {
        let compiled = checked.compiled();
        let all = &compiled.scenario.steps;
        let line = |step| Line { title: view::title(compiled, step), id: step.id.clone(), takes_ms: step.takes_ms, ..Line::default() };
        let value = |prediction| serde_json::to_value(prediction).unwrap_or(Value::Null);
        Story {
            run: run.to_owned(),
            plan: compiled.plan.name.clone(),
            scenario: compiled.scenario.id.clone(),
            mode: compiled.mode.to_string(),
            digest: checked.digest().to_owned(),
            started_at,
            incident_start: incident.0,
            incident_assumed: incident.1,
            predicted_ms: compiled.predicted_ms,
            index: all.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect(),
            assets: all.iter().map(|s| s.assets.clone()).collect(),
            steps: all.iter().map(line).collect(),
            objectives: BTreeMap::new(),
            paused: None,
            finished: None,
            seq: 0,
            last_at: started_at,
            predictions: compiled.predictions.iter().map(|(asset, p)| (asset.clone(), value(p))).collect(),
        }
    }

    /// Goes on with an event.
    pub fn tell(&mut self, entry: &Entry) {
        self.seq = entry.seq;
        self.last_at = entry.at;
        let at = entry.at;
        match &entry.event {
            Event::Intent { step, doing, .. } => self.line(step, |l| {
                l.status = if *doing == Doing::Apply { Status::Running } else { Status::Undoing };
                l.attempts += u32::from(*doing == Doing::Apply);
                l.since = Some(at);
                l.detail.clear();
            }),
            Event::Done { step, doing, found, outputs, .. } => {
                self.line(step, |l| {
                    l.end(if *doing == Doing::Apply { Status::Done } else { Status::Undone }, at);
                    l.detail = if *found { "found done".to_owned() } else { outline(outputs) };
                });
                if *doing == Doing::Undo {
                    self.gone(step, "was taken back since");
                }
            }
            Event::Failed { step, doing, reason, .. } => self.line(step, |l| {
                l.end(if *doing == Doing::Apply { Status::Failed } else { Status::Stuck }, at);
                l.detail = reason.clone();
            }),
            Event::Unknown { step, why, .. } => self.line(step, |l| {
                l.end(Status::Unknown, at);
                l.detail = why.clone();
            }),
            Event::Skipped { step, reason, .. } => self.line(step, |l| {
                l.end(Status::Skipped, at);
                l.detail = reason.clone();
            }),
            Event::Asked { step, about, question } => self.line(step, |l| {
                if !matches!(about, About::Unknown | About::Foreign) {
                    l.status = Status::Asks;
                    l.since = Some(at);
                }
                l.detail = question.clone();
            }),
            Event::Declined { step, who, reason, .. } => self.line(step, |l| {
                l.end(Status::Failed, at);
                l.detail = format!("declined by {who}: {reason}");
            }),
            Event::Word { word, step, who, reason } => self.word(word, step.as_deref(), who, reason, at),
            Event::Objective { asset, recovery_ms, shown, loss_ms, .. } => self.objective(asset, *recovery_ms, shown, *loss_ms),
            Event::Finished { how, summary } => self.finished = Some((*how, summary.clone())),
            Event::Adopted { run, carried, .. } => carried.iter().for_each(|left| self.carried(run, left, at)),
            Event::AdoptedBy { run, who, reason } => {
                let why = lines_to_one(reason, 200);
                self.finished = Some((End::Adopted, format!("run {run} goes on where it stood, adopted by {who}: {why}")));
            }
            Event::RunStarted { .. }
            | Event::LeaseTaken { .. }
            | Event::LeaseGiven { .. }
            | Event::LeaseBroken { .. }
            | Event::HandedOver { .. }
            | Event::Imported { .. }
            | Event::Ready { .. }
            | Event::Probed { .. }
            | Event::Approved { .. } => {}
        }
    }

    /// A step as an earlier run left it; one that the plan does not have gets a line of its own.
    fn carried(&mut self, run: &str, left: &Carried, at: Timestamp) {
        if !self.index.contains_key(&left.step) {
            self.index.insert(left.step.clone(), self.steps.len());
            self.steps.push(Line { id: left.step.clone(), ..Line::default() });
            self.assets.push(Vec::new());
        }
        let (status, detail) = match &left.stands {
            Stands::Done => (Status::Done, format!("taken over from run {run}")),
            Stands::Again => (Status::Waiting, format!("begun in run {run}, and done again here")),
            Stands::Left { why } => (Status::Asks, why.clone()),
            Stands::Failed { reason, .. } => (Status::Failed, reason.clone()),
            Stands::Unknown { why, .. } => (Status::Unknown, why.clone()),
            Stands::Stuck { reason } => (Status::Stuck, reason.clone()),
        };
        self.line(&left.step, |l| {
            l.status = status;
            l.since = Some(at);
            l.attempts = left.attempts;
            l.detail = detail;
        });
    }

    fn line(&mut self, step: &str, change: impl FnOnce(&mut Line)) {
        if let Some(&i) = self.index.get(step) {
            change(&mut self.steps[i]);
        }
    }

    fn word(&mut self, word: &Word, step: Option<&str>, who: &str, reason: &str, at: Timestamp) {
        match (word, step) {
            (Word::Pause, _) => self.paused = Some(format!("{who}: {reason}")),
            (Word::Resume | Word::Rollback { .. }, _) => self.paused = None,
            (Word::Retry, Some(step)) => self.line(step, Line::anew),
            (Word::RetryDownstream { again }, _) => again.iter().for_each(|step| {
                self.line(step, Line::anew);
                self.gone(step, "is done again");
            }),
            (Word::Skip, Some(step)) => self.line(step, |l| {
                l.end(Status::Skipped, at);
                l.detail = format!("{who}: {reason}");
            }),
            (Word::Resolve { done, .. }, Some(step)) => self.line(step, |l| {
                l.end(if *done { Status::Done } else { Status::Failed }, at);
                l.detail = format!("{who}: {reason}");
            }),
            _ => {}
        }
    }

    /// An asset of which a step was taken back, or is done again, is not back any more.
    fn gone(&mut self, step: &str, why: &str) {
        let Some(&i) = self.index.get(step) else { return };
        for asset in &self.assets[i] {
            if let Some(reached) = self.objectives.get_mut(asset) {
                reached.shown = format!("`{step}` {why}");
            }
        }
    }

    fn objective(&mut self, asset: &str, recovery_ms: u64, shown: &str, loss_ms: Option<u64>) {
        let predicted = self.predictions.get(asset).cloned().unwrap_or(Value::Null);
        let number = |key: &str| predicted[key].as_u64();
        let reached = Reached {
            recovery_ms,
            shown: shown.to_owned(),
            loss_ms,
            rto_ms: number("rto_ms"),
            predicted_ms: number("recovery_ms"),
            rpo_ms: number("rpo_ms"),
            predicted_loss_ms: number("loss_ms"),
        };
        self.objectives.insert(asset.to_owned(), reached);
    }

    /// A step by its name.
    pub fn find(&self, step: &str) -> Option<&Line> {
        self.index.get(step).map(|&i| &self.steps[i])
    }

    /// How many steps stand there.
    pub fn count(&self, status: Status) -> usize {
        self.steps.iter().filter(|s| s.status == status).count()
    }
}

impl Line {
    fn anew(&mut self) {
        self.status = Status::Waiting;
        self.detail.clear();
    }

    fn end(&mut self, status: Status, at: Timestamp) {
        if matches!(self.status, Status::Running | Status::Undoing) {
            self.took_ms = self.since.map(|s| u64::try_from(at.duration_since(s).as_millis()).unwrap_or(0));
        }
        self.status = status;
        self.since = Some(at);
    }
}

/// Outputs in one short line.
fn outline(outputs: &serde_json::Map<String, Value>) -> String {
    let short = |v: &Value| {
        let text = match v {
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        lines_to_one(&text, 60)
    };
    outputs.iter().filter(|(_, v)| !v.is_null()).take(3).map(|(k, v)| format!("{k}: {}", short(v))).collect::<Vec<_>>().join(" · ")
}

/// A text on one line, without characters that a terminal would obey, cut after so many.
pub fn lines_to_one(text: &str, most: usize) -> String {
    // Of a text of megabytes no more is looked at than may be shown.
    let seen = text.char_indices().nth(most * 4 + 1000).map_or(text, |(cut, _)| &text[..cut]);
    let flat = escape::line(seen);
    match flat.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &flat[..cut]),
        None if seen.len() < text.len() => format!("{flat}…"),
        None => flat,
    }
}
