//! A run as plain lines: one an event while it runs, a summary at its end. For logs, pipes and tired eyes.

use std::fmt::Write;

use jiff::Timestamp;

use super::story::{Reached, Status, Story, lines_to_one};
use crate::journal::{Doing, End, Entry, Event, Stands, Word};

/// One line for an event; none for those that say nothing to a reader.
pub fn line(story: &Story, entry: &Entry) -> Option<String> {
    let at = entry.at.strftime("%H:%M:%S");
    let text = match &entry.event {
        Event::RunStarted { .. } | Event::LeaseGiven { .. } | Event::Ready { .. } => return None,
        Event::LeaseTaken { holder, from: Some(from), .. } => format!("· run driven by {holder}, taken over from {from}"),
        Event::LeaseTaken { holder, .. } => format!("· run driven by {holder}"),
        Event::LeaseBroken { from: Some(from), who, reason, .. } => format!("! {who} took the run from {from}: {reason}"),
        Event::LeaseBroken { who, reason, .. } => format!("! {who} broke the lease, which nobody had: {reason}"),
        Event::HandedOver { who, from, reason } => format!("■ {who} handed the run over from {from}: {reason}"),
        Event::Imported { taken_over: false, who, .. } => format!("■ {who} imported the run, as it was handed over"),
        Event::Imported { who, reason, .. } => format!("! {who} imported the run, and took it over: {reason}"),
        Event::Adopted { run, who, reason, carried, .. } => {
            let taken = carried.iter().filter(|left| left.stands == Stands::Done).count();
            let open = carried.len() - taken;
            let steps = if taken == 1 { "step" } else { "steps" };
            format!("■ {who} adopted run {run}{}; {taken} {steps} taken over, {open} open", said(reason))
        }
        Event::AdoptedBy { run, who, reason } => format!("■ run {run} goes on where this one stood, adopted by {who}{}", said(reason)),
        Event::Intent { step, doing: Doing::Apply, attempt: 1, .. } => format!("▸ {step}  {}", title(story, step)),
        Event::Intent { step, doing: Doing::Apply, attempt, .. } => format!("▸ {step}  attempt {attempt}"),
        Event::Intent { step, doing: Doing::Undo, .. } => format!("◂ {step}  taking it back"),
        Event::Done { step, doing: Doing::Apply, found, .. } => {
            let line = story.find(step);
            let took = line.and_then(|l| l.took_ms).map(|ms| format!(" in {}", time(ms))).unwrap_or_default();
            let how = if *found { "  found done" } else { "  done" };
            let detail = line.map(|l| l.detail.as_str()).filter(|d| !d.is_empty() && !found).map(|d| format!("  {d}")).unwrap_or_default();
            format!("✓ {step}{how}{took}{detail}")
        }
        Event::Done { step, doing: Doing::Undo, .. } => format!("↩ {step}  taken back"),
        Event::Failed { step, doing: Doing::Apply, reason, .. } => format!("✗ {step}  failed: {}", lines_to_one(reason, 400)),
        Event::Failed { step, reason, .. } => format!("! {step}  could not be taken back: {}", lines_to_one(reason, 400)),
        Event::Unknown { step, why, open_until, .. } => {
            let until = open_until.map(|t| format!("; it may still take effect until {}", t.strftime("%H:%M:%S"))).unwrap_or_default();
            format!("‽ {step}  unknown: {}{until}", lines_to_one(why, 300))
        }
        Event::Probed { step, detail, .. } => format!("· {step}  looked: {}", lines_to_one(detail, 300)),
        Event::Skipped { step, reason, .. } => format!("– {step}  skipped: {}", lines_to_one(reason, 300)),
        Event::Asked { step, question, .. } => format!("? {step}  {}", lines_to_one(question, 400)),
        Event::Approved { step, who, comment, .. } => format!("✓ {step}  approved by {who}{}", said(comment)),
        Event::Declined { step, who, reason, .. } => format!("✗ {step}  declined by {who}{}", said(reason)),
        Event::Word { word, step, who, reason } => {
            format!("» {}{} by {who}{}", word_of(word), step.iter().map(|s| format!(" {s}")).collect::<String>(), said(reason))
        }
        Event::Objective { asset, recovery_ms, shown, .. } if shown == "shown" => {
            format!("★ {asset}  is back after {}", time(*recovery_ms))
        }
        Event::Objective { asset, recovery_ms, shown, .. } => format!("☆ {asset}  is back after {}, {shown}", time(*recovery_ms)),
        Event::Finished { summary, .. } => format!("■ {summary}"),
    };
    // Who speaks may have any name: it makes no line of its own.
    Some(format!("{at} {}", text.replace(['\n', '\r'], " ")))
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {}", lines_to_one(text, 200)) }
}

/// A word as its command says it.
pub fn word_of(word: &Word) -> &'static str {
    match word {
        Word::Pause => "pause",
        Word::Resume => "resume",
        Word::Retry => "retry",
        Word::RetryDownstream { .. } => "retry --downstream",
        Word::Skip => "skip",
        Word::Resolve { done: true, .. } => "resolve as done",
        Word::Resolve { done: false, .. } => "resolve as not done",
        Word::Rollback { .. } => "rollback",
        Word::Abort => "abort",
    }
}

fn title<'a>(story: &'a Story, step: &str) -> &'a str {
    story.find(step).map_or("", |l| &l.title)
}

/// A span of time for people: `4.2s`, `3m 05s`, `2h 10m`.
pub fn time(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        10_000..60_000 => format!("{}s", ms / 1000),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// The steps, one a line.
pub fn table(story: &Story) -> String {
    let wide = story.steps.iter().map(|s| s.id.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for step in &story.steps {
        let took = step.took_ms.map(time).unwrap_or_default();
        let text = if step.detail.is_empty() { lines_to_one(&step.title, 400) } else { lines_to_one(&step.detail, 100) };
        let row = format!("  {} {:wide$}  {:8} {:>7}  {text}", step.status.mark(), step.id, step.status.word(), took);
        let _ = writeln!(out, "{}", row.trim_end());
    }
    out
}

/// Where the run stands, in one line.
pub fn headline(story: &Story) -> String {
    let total = story.steps.len();
    let done = story.count(Status::Done);
    match &story.finished {
        Some((how, summary)) => format!("{} · {} · {summary}", story.run, end_word(*how)),
        None => format!("{} · {} {} · {done} of {total} steps done", story.run, story.plan, story.scenario),
    }
}

/// An end in words.
pub fn end_word(how: End) -> &'static str {
    match how {
        End::Good => "recovered",
        End::Flawed => "ended with something left out or failed",
        End::RolledBack => "rolled back",
        End::Aborted => "aborted",
        End::Adopted => "adopted",
    }
}

/// Predicted and measured, against the objectives.
pub fn objectives(story: &Story) -> String {
    if story.objectives.is_empty() {
        return String::new();
    }
    let head = ["asset", "recovery", "predicted", "RTO", "data loss", "predicted", "RPO", ""].map(str::to_owned);
    let rows = story.objectives.iter().map(|(asset, r)| row(asset, r));
    let all: Vec<[String; 8]> = std::iter::once(head).chain(rows).collect();
    let width = |c: usize| all.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let cells: Vec<String> = row.iter().enumerate().map(|(c, cell)| format!("{cell:w$}", w = widths[c])).collect();
        let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
    }
    if story.incident_assumed {
        let _ = writeln!(
            out,
            "  Counted from {} (assumed: nobody gave --incident-start).",
            story.incident_start.strftime("%Y-%m-%d %H:%M:%SZ")
        );
    }
    out
}

fn row(asset: &str, r: &Reached) -> [String; 8] {
    let opt = |ms: Option<u64>, none: &str| ms.map_or_else(|| none.to_owned(), time);
    let verdict = match (r.shown.as_str(), r.rto_ms, r.rpo_ms) {
        ("shown", rto, rpo) => {
            let late = rto.is_some_and(|t| r.recovery_ms > t);
            let lost = match (r.loss_ms, rpo) {
                (Some(loss), Some(rpo)) => Some(loss > rpo),
                _ => None,
            };
            match (late, lost, rto.is_some() || rpo.is_some()) {
                (_, _, false) => "no objective",
                (true, Some(true), _) => "both objectives missed",
                (true, _, _) => "RTO missed",
                (_, Some(true), _) => "RPO missed",
                (false, Some(false), _) => "met",
                (false, None, _) => "RTO met",
            }
            .to_owned()
        }
        (why, _, _) => lines_to_one(why, 200),
    };
    [
        asset.to_owned(),
        time(r.recovery_ms),
        opt(r.predicted_ms, "-"),
        opt(r.rto_ms, "-"),
        opt(r.loss_ms, "not measured"),
        opt(r.predicted_loss_ms, "-"),
        opt(r.rpo_ms, "-"),
        verdict,
    ]
}

/// What is said when a driver stops: where the run stands and what was met.
pub fn summary(story: &Story) -> String {
    let mut out = format!("\n{}\n", headline(story));
    let table = objectives(story);
    if !table.is_empty() {
        let _ = write!(out, "\n{table}");
    }
    let _ = writeln!(out, "\n  journal: {} events", story.seq);
    out
}

/// Seconds from one moment to another, never negative.
pub fn since_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
