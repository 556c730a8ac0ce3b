//! What stands at the bottom of the screen while a run goes on: what moves, who is waited for, what sets the end, and the
//! clock against the objective. It is computed from the state and does not draw.

use std::collections::BTreeMap;

use drplan::execute::{Life, State, waiting};
use drplan::journal::Doing;
use drplan::model::Node;
use drplan::report::lines::{since_ms, time};
use drplan::report::story::lines_to_one;
use jiff::Timestamp;

/// How long each step took in earlier runs of the same scenario.
pub type Earlier = BTreeMap<String, Vec<u64>>;

/// How many steps are shown: with the clock it fits below what scrolls by on a small screen.
const MOST: usize = 8;

/// The lines, the clock last.
pub fn lines(state: &State, now: Timestamp, earlier: &Earlier) -> Vec<String> {
    let pace = waiting::pace(state, now);
    let tail = &state.checked.graph().tail_ms;
    let mut rows: Vec<(usize, String)> =
        (0..state.steps.len()).filter_map(|i| Some((i, row(state, i, now, earlier, pace.map(|(i, _)| i))?))).collect();
    rows.sort_by_key(|(i, _)| (Some(*i) != pace.map(|(i, _)| i), std::cmp::Reverse(tail[*i]), *i));
    let more = rows.len().saturating_sub(MOST);
    let mut out: Vec<String> = rows.into_iter().take(MOST).map(|(_, row)| row).collect();
    if more > 0 {
        out.push(format!("  … and {more} more"));
    }
    out.extend(next(state));
    out.push(clock(state, now));
    out.push(end(state, now, pace));
    out
}

/// True if nothing happens until a person speaks: then a person types, and what they type must stay on the screen.
pub fn stands_still(state: &State) -> bool {
    let moves = |i: usize| match state.steps[i].life {
        Life::Running { .. } => true,
        Life::Unknown { .. } => waiting::waiting(state, i).is_none(),
        Life::Failed { .. } => waiting::again_at(state, i).is_some(),
        _ => false,
    };
    !waiting::people(state).is_empty() && !(0..state.steps.len()).any(moves)
}

/// A step that moves or is waited for.
fn row(state: &State, i: usize, now: Timestamp, earlier: &Earlier, sets: Option<usize>) -> Option<String> {
    let (step, life) = (state.step(i), &state.steps[i]);
    let sets = if sets == Some(i) { " · sets the end" } else { "" };
    if let Some(waits) = waiting::waiting(state, i) {
        let who = people(state, &waits.contacts);
        let mark = if matches!(life.life, Life::Waiting) { "?" } else { "!" };
        let waited = time(since_ms(waits.since, now));
        return Some(format!("  {mark} {}  waits {waited} for {who}{sets}: {}", step.id, lines_to_one(&waits.question, 60)));
    }
    match &life.life {
        Life::Running { doing, since } => {
            let ran = since_ms(*since, now);
            let (mark, what) = if *doing == Doing::Apply { ("▸", "") } else { ("◂", "taken back, ") };
            let of = if *doing == Doing::Apply { format!(" of about {}", time(step.takes_ms)) } else { String::new() };
            Some(format!("  {mark} {}  {what}{}{of}{sets}{}", step.id, time(ran), slow(step.takes_ms, ran, earlier.get(&step.id))))
        }
        Life::Unknown { open_until, .. } => {
            let until =
                open_until.filter(|t| *t > now).map(|t| format!(", may still land for {}", time(since_ms(now, t)))).unwrap_or_default();
            Some(format!("  ‽ {}  unknown, it is looked at{until}{sets}", step.id))
        }
        Life::Failed { reason, .. } => {
            let due = waiting::again_at(state, i)?;
            Some(format!("  ↻ {}  tried again in {}{sets}: {}", step.id, time(since_ms(now, due)), lines_to_one(reason, 60)))
        }
        _ => None,
    }
}

/// That a step takes longer than it should, by the plan or by what was.
fn slow(takes_ms: u64, ran_ms: u64, earlier: Option<&Vec<u64>>) -> String {
    let all = earlier.map_or(0, Vec::len);
    let shorter = earlier.into_iter().flatten().filter(|took| **took < ran_ms).count();
    if all >= 2 && shorter * 4 >= all * 3 {
        return format!(" · longer than {shorter} of {all} earlier runs");
    }
    if ran_ms > takes_ms { " · longer than expected".to_owned() } else { String::new() }
}

fn people(state: &State, contacts: &[String]) -> String {
    let name = |id: &String| {
        state
            .plan()
            .plan
            .contacts
            .get(id)
            .and_then(|c| c.title.as_deref().map(|title| lines_to_one(title, 60)))
            .unwrap_or_else(|| id.clone())
    };
    if contacts.is_empty() { "a person".to_owned() } else { contacts.iter().map(name).collect::<Vec<_>>().join(" or ") }
}

/// What comes next, each with what it waits for.
fn next(state: &State) -> Option<String> {
    if state.back.is_some() || state.aborting || state.finished.is_some() {
        return None;
    }
    let waits = (0..state.steps.len()).filter(|&i| matches!(state.steps[i].life, Life::Waiting) && !state.ready(i));
    let near = waits.filter_map(|i| {
        let open = state.open_waits(i);
        let step = |wait: &&drplan::model::Wait| match wait.on {
            Node::Step(on) if !matches!(state.steps[on as usize].life, Life::Waiting) || state.ready(on as usize) => {
                Some(state.step(on as usize).id.as_str())
            }
            _ => None,
        };
        let on: Option<Vec<&str>> = open.iter().map(step).collect();
        on.filter(|on| !on.is_empty()).map(|on| format!("{} after {}", state.step(i).id, on.join(" and ")))
    });
    let near: Vec<String> = near.take(3).collect();
    if near.is_empty() { None } else { Some(format!("  · next: {}", near.join(" · "))) }
}

/// How long the recovery may still take.
fn clock(state: &State, now: Timestamp) -> String {
    let spent = since_ms(state.incident_start, now);
    let assumed = if state.incident_assumed { " (assumed)" } else { "" };
    let open = state.plan().predictions.iter().filter(|(asset, _)| !state.recovered.contains_key(*asset));
    let objective = open.filter_map(|(asset, p)| Some((p.rto_ms?, asset))).min();
    let against = match objective {
        Some((rto, asset)) if spent <= rto => format!(" · {asset}: {} left of its RTO {}", time(rto - spent), time(rto)),
        Some((rto, asset)) => format!(" · {asset}: {} over its RTO {}", time(spent - rto), time(rto)),
        None => String::new(),
    };
    format!("  {} since the incident{assumed}{against}", time(spent))
}

/// How far it is, and when it will be over.
fn end(state: &State, now: Timestamp, pace: Option<(usize, u64)>) -> String {
    let done = state.steps.iter().filter(|s| matches!(s.life, Life::Done)).count();
    let waits = waiting::people(state).iter().any(|w| Some(w.step) == pace.map(|(i, _)| i));
    let end = match pace {
        Some((_, left)) if left > 0 && waits => format!(" · ends {} after the answer", time(left)),
        Some((_, left)) if left > 0 => {
            let end = now + std::time::Duration::from_millis(left);
            format!(" · ends about {}Z, in {}", end.strftime("%H:%M:%S"), time(left))
        }
        _ => String::new(),
    };
    format!("  {done} of {} steps done{end}", state.steps.len())
}
