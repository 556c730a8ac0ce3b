//! What must hold of those who drive a run: told from its events, from what they wrote, and from what they began.

use super::laws::ticket;
use super::touched::Notes;
use crate::actions::Effect;
use crate::analysis::Checked;
use crate::execute::attempt::NEVER_BEGUN;
use crate::journal::{Doing, Entry, Event};
use crate::world::sim::Begun;

/// How long after its limit a command is ended with patience.
const PATIENCE_MS: u64 = 5_000;

/// An intent, its times in milliseconds from the run's start.
struct Announced {
    ticket: String,
    seq: u64,
    at: i64,
    /// After this nothing of it may begin.
    ends: i64,
}

/// What the journal saw of who drives: one at a time, nothing after another took over or after the journal failed, and
/// assets are held before the first effect.
pub fn driven(checked: &Checked, run: &str, entries: &[Entry], notes: &Notes, begun: &[Begun]) -> Vec<String> {
    let steps = &checked.compiled().scenario.steps;
    let start = entries.first().map_or(0, |e| e.at.as_millisecond());
    let taken: Vec<(u64, i64, &str)> = entries
        .iter()
        .filter_map(|e| match &e.event {
            Event::LeaseTaken { holder, .. } => Some((e.seq, e.at.as_millisecond() - start, holder.as_str())),
            _ => None,
        })
        .collect();
    let mut out: Vec<String> = notes.stubborn().iter().map(|who| format!("{who} wrote again to a journal that had failed")).collect();
    for (who, seq) in notes.written() {
        if let Some((_, _, holder)) = taken.iter().rev().find(|(from, _, _)| *from <= seq).filter(|(_, _, holder)| *holder != who) {
            out.push(format!("{who} wrote event {seq} while {holder} had the run"));
        }
    }
    let intents: Vec<Announced> = entries
        .iter()
        .filter_map(|e| match &e.event {
            Event::Intent { step, doing, attempt, timeout_ms, settles_ms, .. } => {
                // A command has its whole time from where it begins; requests are sent as long as there is time, and
                // what is taken back is looked at before.
                let process = *doing == Doing::Apply && steps.iter().any(|s| s.id == *step && s.call.uses == "command");
                let begins = if process { settles_ms.saturating_sub(PATIENCE_MS) } else { timeout_ms.unwrap_or(0) + settles_ms };
                let at = e.at.as_millisecond() - start;
                let ends = at + i64::try_from(begins).unwrap_or(i64::MAX);
                Some(Announced { ticket: ticket(run, step, *doing, *attempt), seq: e.seq, at, ends })
            }
            _ => None,
        })
        .collect();
    let never: Vec<(&Announced, i64)> = entries
        .iter()
        .filter_map(|e| match &e.event {
            Event::Probed { step, doing, attempt, detail, .. } if detail == NEVER_BEGUN => {
                let ticket = ticket(run, step, *doing, *attempt);
                Some((intents.iter().find(|i| i.ticket == ticket)?, e.at.as_millisecond() - start))
            }
            _ => None,
        })
        .collect();
    for begun in begun {
        let at = begun.at_ms as i64;
        let by = begun.by.trim_start_matches("drplan ");
        let mine = |ticket: &str| ticket == by || ticket.starts_with(&format!("{by}/"));
        let ends = intents.iter().filter(|i| mine(&i.ticket)).map(|i| i.ends).max();
        if ends.is_some_and(|ends| at > ends) {
            out.push(format!("{} began `{by}` when it could land after its last moment", begun.who));
        }
        if let Some((_, said)) = never.iter().find(|(i, said)| mine(&i.ticket) && (i.at..*said).contains(&at)) {
            out.push(format!("`{by}` was begun at {at} ms, and said never to have been at {said} ms"));
        }
        // What happens in the millisecond of a takeover may be of either.
        if taken.iter().any(|t| t.1 == at && t.2 == begun.who) {
            continue;
        }
        let Some((seq, _, holder)) = taken.iter().rev().find(|(_, from, _)| *from < at).filter(|t| t.2 != begun.who) else { continue };
        // Who is stopped in the middle of an attempt may go on with it: its intent stands where the other one sees it.
        let known = |i: &Announced| i.seq < *seq && mine(&i.ticket);
        let reads = by.contains("/check/") || steps.iter().any(|s| s.effect == Effect::Read && by.starts_with(&format!("{run}/{}/", s.id)));
        if !reads && !intents.iter().any(known) {
            out.push(format!("{} began `{by}` while {holder} had the run", begun.who));
        }
    }
    let changes = |step: &str| steps.iter().any(|s| s.id == step && s.effect != Effect::Read);
    let first = entries.iter().find(|e| matches!(&e.event, Event::Intent { step, .. } if changes(step)));
    if let Some(first) = first.filter(|first| notes.held_at().is_none_or(|held| held >= first.seq)) {
        out.push(format!("event {} is the intent of a change, and the assets were not held yet", first.seq));
    }
    out
}
