//! An estimate as a document: what all formats say in the same words. It computes nothing that the estimate does not say.

pub mod html;
pub mod svg;
pub mod text;

use crate::actions::units::duration_text;
use crate::analysis::estimate::{Asset, Change, Estimate, Lever, Source, Step};
use crate::model::{Id, Mode};

/// A time that was drawn or is large, as exactly as a person reads it: `42s`, `12m10s`, `3h05m`.
pub fn about(ms: u64) -> String {
    let grain = match ms {
        0..1_000 => return if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") },
        1_000..600_000 => 1_000,
        600_000..3_600_000 => 10_000,
        3_600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    duration_text((ms + grain / 2) / grain * grain)
}

/// How an asset stands: `✗` late or losing too much, `!` perhaps, `✓` neither; a blank where nothing is promised.
fn mark(asset: &Asset) -> &'static str {
    match asset.rto_ms {
        _ if asset.late() => "✗",
        Some(_) if asset.recovery.is_some() => {
            if asset.may_be_late() {
                "!"
            } else {
                "✓"
            }
        }
        _ => " ",
    }
}

/// The worst time, with a plus where a step has no time-out.
fn worst(ms: u64, unbounded: &[Id]) -> String {
    format!("{}{}", about(ms), if unbounded.is_empty() { "" } else { "+" })
}

/// What an asset loses at most.
fn loss(asset: &Asset) -> String {
    match (asset.holds_data, asset.loss_ms) {
        (false, _) => "-".to_owned(),
        (true, Some(ms)) => duration_text(ms),
        (true, None) => "no bound".to_owned(),
    }
}

/// The steps without a time-out that count, in words; none if there are none.
fn endless(estimate: &Estimate) -> Option<String> {
    let names = &estimate.run.unbounded;
    (!names.is_empty()).then(|| {
        let have = if names.len() == 1 { "has no time-out and counts" } else { "have no time-out and count" };
        format!("{} {have} as expected: a person may take longer, so the worst case has no bound", list(names))
    })
}

/// One sentence for every tier: who keeps or breaks its objectives.
fn tiers(estimate: &Estimate) -> Vec<String> {
    let mut out = Vec::new();
    for (name, tier) in &estimate.tiers {
        if let Some((last, rto)) = tier.last.as_ref().zip(tier.rto_ms)
            && let Some(times) = estimate.assets.get(last).and_then(|a| a.recovery.as_ref())
        {
            let (back, promised) = (duration_text(times.expected_ms), duration_text(rto));
            let by = duration_text(times.expected_ms.abs_diff(rto));
            out.push(match times.expected_ms > rto {
                true => format!("{name}: `{last}` is back last, after {back}, and breaks the RTO of {promised} by {by}"),
                false => format!("{name}: `{last}` is back last, after {back}, and keeps the RTO of {promised}, {by} to spare"),
            });
        }
        if let Some(most) = tier.loses_most.as_ref().and_then(|id| estimate.assets.get_key_value(id)).filter(|(_, a)| a.loses_too_much()) {
            let (id, asset) = most;
            let promised = duration_text(tier.rpo_ms.unwrap_or(0));
            let lost = asset.loss_ms.map_or("any amount of data".to_owned(), |ms| format!("up to {} of data", duration_text(ms)));
            out.push(format!("{name}: `{id}` may lose {lost} and breaks the RPO of {promised}: {}", asset.loss_source));
        }
    }
    out
}

/// A change, in words that say what to write.
fn change(lever: &Lever) -> String {
    match &lever.change {
        Change::Shorten { step, from_ms, to_ms } => format!("`{step}` in {} instead of {}", about(*to_ms), about(*from_ms)),
        Change::Beside { step, above, needs } => {
            format!("`{step}` beside `{above}`, not after it: `needs: [{}]`, if it needs nothing of it", needs.join(", "))
        }
        Change::Share { step, with, locks, assets } => {
            let mut how = Vec::new();
            if !assets.is_empty() {
                how.push(format!("one `share: NAME` in both, if they may work on {} at once", list(assets)));
            }
            if !locks.is_empty() {
                how.push(format!("without the lock {} in one of them, if they do not disturb each other", list(locks)));
            }
            format!("`{step}` beside `{with}`: {}", how.join("; "))
        }
        Change::Parallel { from, to } => format!("`--parallel {to}` instead of {from}"),
        Change::Prepare { step, after } => {
            format!("`{step}` before `{after}` is done: `phase: prepare`, if it needs nothing of what its asset stands on")
        }
    }
}

/// What a change wins, in words.
fn gain(lever: &Lever) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut won: Vec<(&Id, u64)> = lever.won_ms.iter().map(|(id, ms)| (id, *ms)).collect();
    won.sort_by_key(|(id, ms)| (!lever.keeps.contains(id), std::cmp::Reverse(*ms)));
    for (id, ms) in won.iter().take(3) {
        let kept = if lever.keeps.contains(id) { ", and in time" } else { "" };
        out.push(format!("`{id}` {} sooner{kept}", about(*ms)));
    }
    if won.len() > 3 {
        out.push(format!("{} more assets sooner", won.len() - 3));
    }
    out.extend(lever.lost_ms.iter().take(2).map(|(id, ms)| format!("but `{id}` {} later", about(*ms))));
    if lever.run_won_ms > 0 {
        out.push(format!("the run {} shorter", about(lever.run_won_ms)));
    }
    if lever.run_lost_ms > 0 {
        out.push(format!("but the run {} longer", about(lever.run_lost_ms)));
    }
    out.join(", ")
}

/// Changes that are worth a person's time: that bring an asset back in time, or a twentieth sooner; of a run that brings
/// nothing back, that make it a twentieth shorter.
fn worth(estimate: &Estimate) -> impl Iterator<Item = &Lever> {
    let back = |id: &Id| estimate.assets.get(id).and_then(|a| a.recovery.as_ref()).map_or(u64::MAX, |t| t.expected_ms);
    let none = estimate.assets.values().all(|a| a.recovery.is_none());
    estimate.levers.iter().filter(move |lever| {
        let sooner = lever.won_ms.iter().any(|(id, ms)| ms.saturating_mul(20) >= back(id));
        !lever.keeps.is_empty() || sooner || none && lever.run_won_ms.saturating_mul(20) >= estimate.run.expected_ms
    })
}

/// From what its times count.
fn beginning(estimate: &Estimate) -> &'static str {
    if estimate.mode == Mode::Planned { "start" } else { "damage" }
}

/// How many of the drawn runs, in hundredths; less than one of a hundred is not none.
fn percent(count: usize, of: usize) -> String {
    match (count * 100).div_ceil(of.max(1)) {
        0 => "-".to_owned(),
        1 if count * 100 < of => "<1%".to_owned(),
        _ => format!("{}%", (count * 100 + of / 2) / of.max(1)),
    }
}

/// From what a step's time was drawn, in words.
fn source(step: &Step) -> String {
    match &step.source {
        Source::Nothing => "it does not count".to_owned(),
        Source::Triangle { low_ms, mode_ms, high_ms } => {
            format!("plan: {} to {}, most often {}", about(*low_ms), about(*high_ms), about(*mode_ms))
        }
        Source::Journal { passed, low_ms, middle_ms, high_ms } => {
            format!("journal: {passed} passed, {} to {}, half by {}", about(*low_ms), about(*high_ms), about(*middle_ms))
        }
    }
}

/// Whether a step is on one of the ways that decide.
fn decides(estimate: &Estimate, step: &Step) -> bool {
    estimate.ways.iter().any(|way| way.steps.iter().any(|hop| hop.step == step.id))
}

/// Steps that count, as they begin.
fn timeline(estimate: &Estimate) -> Vec<&Step> {
    let mut steps: Vec<&Step> = estimate.steps.iter().filter(|s| s.counts).collect();
    steps.sort_by_key(|s| s.start_ms);
    steps
}

/// From the damage until everything is over, in milliseconds; never nothing.
fn span(estimate: &Estimate) -> u64 {
    let backs = estimate.assets.values().filter_map(|a| a.recovery.as_ref()).map(|t| t.expected_ms);
    let end = estimate.detect_ms + estimate.decide_ms + estimate.run.expected_ms;
    backs.chain([end, 1]).max().unwrap_or(1)
}

/// A round time of which some ten make up a span.
fn tick(span_ms: u64, about: u64) -> u64 {
    const ROUND: [u64; 24] = [
        1,
        5,
        10,
        50,
        100,
        500,
        1_000,
        5_000,
        10_000,
        30_000,
        60_000,
        120_000,
        300_000,
        600_000,
        900_000,
        1_800_000,
        3_600_000,
        7_200_000,
        10_800_000,
        21_600_000,
        43_200_000,
        86_400_000,
        172_800_000,
        604_800_000,
    ];
    let last = ROUND[ROUND.len() - 1];
    ROUND.iter().copied().find(|ms| span_ms / ms <= about).unwrap_or_else(|| (span_ms / about / last + 1) * last)
}

fn list(names: &[Id]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|n| format!("`{n}`")).collect();
    let more = if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
