//! The runbook of a run, ticked: what its events say of each step, put into the page from which people go on by hand.
//! It reads events and nothing else; what the page looks like is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::lines::{end_word, time, word_of};
use super::story::lines_to_one;
use crate::analysis::Checked;
use crate::journal::{About, Carried, Doing, Entry, Event, Stands, Word};
use crate::render::ticked::{Progress, Runbook, Said, Tick};

/// The runbook of a run up to these events of it; the plan is the one in its first event.
pub fn ticked(run: &str, checked: Arc<Checked>, entries: &[Entry]) -> String {
    let mut ticks = Ticks::new(run, checked);
    entries.iter().for_each(|entry| ticks.tell(entry));
    ticks.text()
}

/// How much is said of one step: the last of it.
const MOST: usize = 8;

/// The longest text that is taken over from an event.
const LONGEST: usize = 400;

/// A page that goes on with its run.
pub struct Ticks {
    run: String,
    checked: Arc<Checked>,
    runbook: Runbook,
    index: BTreeMap<String, usize>,
    steps: BTreeMap<usize, Tick>,
    begun: BTreeMap<usize, Timestamp>,
    known: BTreeMap<String, String>,
    back: BTreeMap<String, String>,
    open: BTreeMap<usize, &'static str>,
    skipped: BTreeSet<usize>,
    start: String,
    dir: String,
    driver: String,
    paused: Option<String>,
    turned: Option<&'static str>,
    ended: Option<String>,
    last: Option<(u64, Timestamp)>,
}

impl Ticks {
    /// Of a run that has no events yet.
    pub fn new(run: &str, checked: Arc<Checked>) -> Ticks {
        let steps = checked.compiled().scenario.steps.iter().enumerate();
        let index = steps.map(|(i, step)| (step.id.clone(), i)).collect();
        Ticks {
            run: run.to_owned(),
            runbook: Runbook::of(&checked),
            checked,
            index,
            steps: BTreeMap::new(),
            begun: BTreeMap::new(),
            known: BTreeMap::new(),
            back: BTreeMap::new(),
            open: BTreeMap::new(),
            skipped: BTreeSet::new(),
            start: String::new(),
            dir: String::new(),
            driver: String::new(),
            paused: None,
            turned: None,
            ended: None,
            last: None,
        }
    }

    /// Goes on with an event.
    pub fn tell(&mut self, entry: &Entry) {
        let at = entry.at;
        self.last = Some((entry.seq, at));
        match &entry.event {
            Event::RunStarted { operator, host, dir, mode, .. } => {
                self.start = format!("begun {} by {operator} on {host}", moment(at));
                self.dir.clone_from(dir);
                self.know("run.id", self.run.clone());
                self.know("run.started_at", at.to_string());
                self.know("run.mode", mode.clone());
            }
            Event::LeaseTaken { holder, .. } => self.driver.clone_from(holder),
            Event::Intent { step, doing, attempt, .. } => self.intent(step, *doing, *attempt, at),
            Event::Done { step, doing, outputs, found, .. } => self.done(step, *doing, outputs, *found, at),
            Event::Failed { step, doing, reason, .. } => {
                let word = if *doing == Doing::Apply { "failed" } else { "could not be taken back" };
                self.result(step, word, format!("{}{}: {}", clock(at), self.took(step, at), short(reason)), Some(word));
            }
            Event::Unknown { step, why, open_until, .. } => {
                let until = open_until.map(|t| format!("; it may still take effect until {}", clock(t))).unwrap_or_default();
                let text = format!("{}: {}{until}. Look whether it happened before you repeat it", clock(at), short(why));
                self.result(step, "unknown", text, Some("unknown"));
            }
            Event::Probed { step, detail, .. } => self.say(step, "looked", format!("{}: {}", clock(at), short(detail))),
            Event::Skipped { step, reason, .. } => {
                self.result(step, "skipped", format!("{}: {}", clock(at), short(reason)), None);
                self.note(step, |ticks, i| ticks.skipped.insert(i));
            }
            Event::Asked { step, about, question } => {
                self.say(step, "asked", format!("{}: {}", clock(at), short(question)));
                self.note(step, |ticks, i| {
                    // One that was given is asked again when a pause outlived it.
                    if *about == About::Approval {
                        ticks.steps.entry(i).or_default().done = false;
                    }
                    ticks.open.entry(i).or_insert("asked");
                });
            }
            Event::Approved { step, who, comment, .. } => self.say(step, "approved", format!("{} by {who}{}", clock(at), because(comment))),
            Event::Declined { step, who, reason, .. } => {
                self.result(step, "declined", format!("{} by {who}{}", clock(at), because(reason)), Some("declined"));
            }
            Event::Word { word, step, who, reason } => self.word(word, step.as_deref(), who, reason, at),
            Event::Objective { asset, at, recovery_ms, shown, .. } => {
                let not = if shown == "shown" { String::new() } else { format!(" ({})", short(shown)) };
                self.back.insert(
                    asset.clone(),
                    format!("`{asset}` is back since {}, {} after the damage{not}", moment(*at), time(*recovery_ms)),
                );
                self.know(&format!("assets.{asset}.recovered_at"), at.to_string());
            }
            Event::Finished { how, summary } => self.ended = Some(format!("The run has ended, {}: {}.", end_word(*how), short(summary))),
            Event::HandedOver { who, reason, .. } => {
                let why = short(reason);
                self.ended =
                    Some(format!("The run was handed over by {who} ({why}): it goes on elsewhere, and this page is not ticked any more."));
            }
            Event::Imported { .. } => self.ended = None,
            Event::Adopted { run, who, reason, carried, .. } => {
                self.start = format!("{}, where run `{run}` stood: adopted by {who}{}", self.start, because(reason));
                carried.iter().for_each(|left| self.carried(run, left, at));
            }
            Event::AdoptedBy { run, who, reason } => {
                let why = because(reason);
                self.ended =
                    Some(format!("Run `{run}` goes on where this one stood, adopted by {who}{why}. This page is not ticked any more."));
            }
            Event::LeaseBroken { .. } | Event::LeaseGiven { .. } | Event::Ready { .. } => {}
        }
    }

    /// The page as of the last event.
    pub fn text(&mut self) -> String {
        let progress = Progress { run: self.stands(), steps: std::mem::take(&mut self.steps), known: std::mem::take(&mut self.known) };
        let text = self.runbook.text(&self.checked, &progress);
        (self.steps, self.known) = (progress.steps, progress.known);
        text
    }

    /// Where the run stands, in sentences.
    fn stands(&self) -> Vec<String> {
        let Some((seq, at)) = self.last else { return Vec::new() };
        let (run, total) = (&self.run, self.checked.compiled().scenario.steps.len());
        let done = self.steps.values().filter(|tick| tick.done).count();
        let mut out = vec![
            format!("Run `{run}`, {}. The boxes are as of its event {seq}, {}.", self.start, moment(at)),
            format!("{done} of {total} steps are done.{}", self.said("skipped", self.skipped.iter().copied().collect())),
        ];
        let mut words: Vec<&'static str> = self.open.values().copied().collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            let of = self.open.iter().filter(|(_, w)| **w == word).map(|(i, _)| *i).collect();
            out.push(self.said(word, of).trim_start().to_owned());
        }
        out.extend(self.back.values().map(|line| format!("{line}.")));
        out.extend(self.paused.iter().map(|who| format!("Paused by {who}.")));
        if let Some(ended) = &self.ended {
            out.push(ended.clone());
            return out;
        }
        out.extend(self.turned.map(str::to_owned));
        out.push(format!("With the tool: `drplan status {run}` says what to type next, `drplan resume {run}` goes on."));
        let driver = if self.driver.is_empty() { String::new() } else { format!(" ({} was the last)", self.driver) };
        out.push(format!(
            "Without it: first make sure that nobody drives the run any more{driver}. Then go on at the first box without a tick, in \
             the directory `{}`. What is marked begun or unknown may have happened: look before you do it.",
            self.dir
        ));
        out
    }

    fn said(&self, word: &str, of: Vec<usize>) -> String {
        let id = |i: &usize| format!("`{}`", self.checked.compiled().scenario.steps[*i].id);
        match of.len() {
            0 => String::new(),
            n if n > 10 => format!(" {n} steps: {word}."),
            _ => format!(" {}: {}.", capital(word), of.iter().map(id).collect::<Vec<_>>().join(", ")),
        }
    }

    /// A step as an earlier run left it.
    fn carried(&mut self, run: &str, left: &Carried, at: Timestamp) {
        let (step, now) = (left.step.as_str(), clock(at));
        match &left.stands {
            Stands::Done => {
                let when = left.done_at.map(|t| format!("{} ", moment(t))).unwrap_or_default();
                self.result(step, "done", format!("{when}in run `{run}`, and taken over"), None);
                self.found(step, &left.outputs);
                self.note(step, |ticks, i| ticks.steps.entry(i).or_default().done = true);
            }
            Stands::Again => self.say(step, "begun", format!("in run `{run}`, and to be done again")),
            Stands::Left { why } => self.result(step, "asked", format!("{now}: {}", short(why)), Some("asked")),
            Stands::Failed { reason, .. } => self.result(step, "failed", format!("in run `{run}`: {}", short(reason)), Some("failed")),
            Stands::Unknown { why, .. } => {
                let text = format!("in run `{run}`: {}. Look whether it happened before you repeat it", short(why));
                self.result(step, "unknown", text, Some("unknown"));
            }
            Stands::Stuck { reason } => {
                self.result(step, "could not be taken back", short(reason), Some("could not be taken back"));
            }
        }
    }

    fn intent(&mut self, step: &str, doing: Doing, attempt: u32, at: Timestamp) {
        let nth = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
        let text = format!("{} by {}{nth}; no result is written yet", clock(at), self.driver);
        let word = if doing == Doing::Apply { "begun" } else { "being taken back" };
        self.result(step, word, text, Some(word));
        self.note(step, |ticks, i| ticks.begun.insert(i, at));
    }

    fn done(&mut self, step: &str, doing: Doing, outputs: &Map<String, Value>, found: bool, at: Timestamp) {
        let how = if found { " (it was found to be so)" } else { "" };
        let text = format!("{}{} by {}{how}", moment(at), self.took(step, at), self.driver);
        match doing {
            Doing::Apply => {
                self.result(step, "done", text, None);
                self.found(step, outputs);
                self.note(step, |ticks, i| ticks.steps.entry(i).or_default().done = true);
            }
            Doing::Undo => self.result(step, "taken back", text, None),
        }
    }

    /// What a step found out, as it stands in its box, and for the variables of later ones.
    fn found(&mut self, step: &str, outputs: &Map<String, Value>) {
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let given: Vec<(&String, String)> = outputs.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, plain(v))).collect();
        if !given.is_empty() {
            let words: Vec<String> = given.iter().map(|(k, v)| format!("{k}: {}", lines_to_one(v, 120))).collect();
            self.say(step, "found", short(&words.join(" · ")));
        }
        for (name, value) in given {
            self.know(&format!("steps.{step}.{name}"), value);
        }
    }

    fn word(&mut self, word: &Word, step: Option<&str>, who: &str, reason: &str, at: Timestamp) {
        match word {
            Word::Pause => self.paused = Some(format!("{who}{}", because(reason))),
            Word::Resume => self.paused = None,
            Word::Rollback { .. } => {
                self.paused = None;
                self.turned = Some("It is being taken back: what is ticked is undone from the last to the first, as each step says.");
            }
            Word::Abort => self.turned = Some("It is being ended as it is: nothing more starts, nothing is taken back."),
            Word::RetryDownstream { again } => {
                let text = format!("{} by {who}{}", clock(at), because(reason));
                for step in again {
                    self.result(step, "to be done again", text.clone(), None);
                    self.note(step, |ticks, i| {
                        ticks.steps.entry(i).or_default().done = false;
                        ticks.skipped.remove(&i);
                    });
                }
                return;
            }
            Word::Retry | Word::Skip | Word::Resolve { .. } => {}
        }
        let Some(step) = step else { return };
        let text = format!("{} by {who}{}", clock(at), because(reason));
        match word {
            Word::Skip => {
                self.result(step, "skipped", text, None);
                self.note(step, |ticks, i| ticks.skipped.insert(i));
            }
            Word::Resolve { done, record, .. } => {
                let undoing = self.index.get(step).and_then(|i| self.open.get(i)).is_some_and(|w| w.ends_with("taken back"));
                let undoing = undoing || self.turned.is_some();
                self.result(step, word_of(word), text, (!done).then_some(if undoing { "could not be taken back" } else { "failed" }));
                if *done && !undoing {
                    self.found(step, record);
                    self.note(step, |ticks, i| ticks.steps.entry(i).or_default().done = true);
                }
            }
            _ => {
                self.say(step, word_of(word), text);
                self.note(step, |ticks, i| ticks.open.remove(&i));
            }
        }
    }

    fn note<T>(&mut self, step: &str, change: impl FnOnce(&mut Ticks, usize) -> T) {
        if let Some(&i) = self.index.get(step) {
            change(self, i);
        }
    }

    /// What is known from now on; what was said of an attempt without a result goes.
    fn result(&mut self, step: &str, word: &'static str, text: String, open: Option<&'static str>) {
        let Some(&i) = self.index.get(step) else { return };
        let tick = self.steps.entry(i).or_default();
        tick.done = false;
        tick.said.retain(|said| !matches!(said.word, "begun" | "being taken back"));
        self.skipped.remove(&i);
        match open {
            Some(word) => self.open.insert(i, word),
            None => self.open.remove(&i),
        };
        self.say(step, word, text);
    }

    fn say(&mut self, step: &str, word: &'static str, text: String) {
        let Some(&i) = self.index.get(step) else { return };
        let said = &mut self.steps.entry(i).or_default().said;
        said.push(Said { word, text });
        if said.len() > MOST {
            said.remove(0);
        }
    }

    fn took(&self, step: &str, at: Timestamp) -> String {
        let since = self.index.get(step).and_then(|i| self.begun.get(i));
        since.map(|since| format!(" after {}", time(super::lines::since_ms(*since, at)))).unwrap_or_default()
    }

    fn know(&mut self, path: &str, value: String) {
        self.known.insert(path.to_owned(), value);
    }
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

fn short(text: &str) -> String {
    lines_to_one(text, LONGEST).trim_end_matches('.').to_owned()
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", short(reason)) }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
