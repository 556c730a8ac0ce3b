//! An estimate for a terminal of 80 columns: tables, and a line of bars.

use std::fmt::Write;

use super::{about, beginning, change, decides, endless, gain, loss, mark, percent, source, span, tick, tiers, timeline, worst, worth};
use crate::actions::units::duration_text;
use crate::analysis::estimate::{Estimate, Lever, Source};
use crate::render::escape;

/// Columns of a terminal, less one for those that break a full line.
const COLUMNS: usize = 79;
/// Columns of a name.
const NAME: usize = 17;
/// Columns of a bar.
const BAR: usize = 33;
/// Changes that are shown.
const LEVERS: usize = 5;

/// The estimate as a page of plain text.
pub fn render(estimate: &Estimate) -> String {
    let mut out = format!("{} · {}, mode {}\n", escape::line(&estimate.plan), estimate.scenario, estimate.mode);
    let decide = match estimate.decide_ms {
        0 => String::new(),
        ms => format!(", the run starts {} later", duration_text(ms)),
    };
    let noticed =
        if estimate.detect_ms > 0 { format!("noticed after {}{decide}; ", duration_text(estimate.detect_ms)) } else { String::new() };
    fold(&mut out, 2, &format!("{noticed}all times from the {} on", beginning(estimate)));
    for line in tiers(estimate) {
        fold(&mut out, 2, &line);
    }
    recovery(&mut out, estimate);
    losses(&mut out, estimate);
    bars(&mut out, estimate);
    levers(&mut out, estimate);
    out
}

fn recovery(out: &mut String, estimate: &Estimate) {
    let back: Vec<_> = estimate.assets.iter().filter_map(|(id, a)| Some((id, a, a.recovery.as_ref()?))).collect();
    if !back.is_empty() {
        let _ = writeln!(
            out,
            "\n  {:NAME$}{:>10}{:>8}{:>8}{:>8}{:>8}{:>10}{:>8}",
            "back after", "expected", "p50", "p90", "p95", "p99", "worst", "RTO"
        );
    }
    for (id, asset, times) in &back {
        let d = &times.drawn;
        let _ = writeln!(
            out,
            "{} {:NAME$}{:>10}{:>8}{:>8}{:>8}{:>8}{:>10}{:>8}",
            mark(asset),
            escape::short(id, NAME),
            duration_text(times.expected_ms),
            about(d.p50_ms),
            about(d.p90_ms),
            about(d.p95_ms),
            about(d.p99_ms),
            worst(times.worst_ms, &times.unbounded),
            asset.rto_ms.map_or("-".to_owned(), duration_text)
        );
    }
    for (id, _) in estimate.assets.iter().filter(|(_, a)| a.recovery.is_none() && a.rto_ms.is_some()) {
        let _ = writeln!(out, "  {:NAME$}  does not come back in this scenario", escape::short(id, NAME));
    }
    let run = &estimate.run;
    let d = &run.drawn;
    let _ = writeln!(
        out,
        "{}  {:NAME$}{:>10}{:>8}{:>8}{:>8}{:>8}{:>10}{:>8}",
        if back.is_empty() { "\n" } else { "" },
        "(the run alone)",
        duration_text(run.expected_ms),
        about(d.p50_ms),
        about(d.p90_ms),
        about(d.p95_ms),
        about(d.p99_ms),
        worst(run.worst_ms, &run.unbounded),
        ""
    );
    let marks = [
        ("✗", "too late as expected", back.iter().any(|(_, a, _)| a.late())),
        ("!", "too late in one run of twenty, or at worst", back.iter().any(|(_, a, _)| !a.late() && a.may_be_late())),
    ];
    let marks: Vec<String> = marks.iter().filter(|(_, _, here)| *here).map(|(mark, what, _)| format!("{mark} {what}")).collect();
    if !marks.is_empty() {
        fold(out, 2, &marks.join("; "));
    }
    let known = estimate.steps.iter().filter(|s| matches!(s.source, Source::Journal { .. })).count();
    let from = match known {
        0 => "the times in the plan".to_owned(),
        n => format!("the times in the plan, for {n} step{} the journal", if n == 1 { "" } else { "s" }),
    };
    fold(out, 2, &format!("p50 to p99: of {} runs drawn with seed {}, from {from}", estimate.samples, estimate.seed));
    if let Some(words) = endless(estimate) {
        fold(out, 2, &format!("+ {words}"));
    }
}

fn losses(out: &mut String, estimate: &Estimate) {
    let held: Vec<_> = estimate.assets.iter().filter(|(_, a)| a.holds_data).collect();
    if held.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n  {:NAME$}{:>18}   because of", "loses at most", "RPO");
    for (id, asset) in held {
        let mark = match asset.rpo_ms {
            Some(_) if asset.loses_too_much() => "✗",
            Some(_) => "✓",
            None => " ",
        };
        let rpo = asset.rpo_ms.map_or("-".to_owned(), duration_text);
        let head = format!("{mark} {:NAME$}{:>10}{rpo:>8}   ", escape::short(id, NAME), loss(asset));
        wrapped(out, &head, 39, &escape::line(&asset.loss_source));
    }
}

fn bars(out: &mut String, estimate: &Estimate) {
    let steps = timeline(estimate);
    if steps.is_empty() {
        return;
    }
    let span = span(estimate);
    let column = |ms: u64| (u128::from(ms) * BAR as u128 / u128::from(span)) as usize;
    let _ = writeln!(out, "\n  {:NAME$} {:BAR$} {:>8}{:>9}{:>8}", "step", ruler(span), "takes", "slack", "decides");
    let promised: Vec<(usize, &String)> =
        estimate.tiers.iter().filter_map(|(id, t)| Some((column(t.rto_ms.filter(|rto| *rto <= span)?), id))).collect();
    if !promised.is_empty() {
        let mut line = vec![' '; BAR + 1];
        promised.iter().for_each(|(at, _)| line[*at] = '▼');
        let mut names: Vec<&(usize, &String)> = promised.iter().collect();
        names.sort();
        let names: Vec<&str> = names.into_iter().map(|(_, id)| id.as_str()).collect();
        let _ = writeln!(out, "  {:NAME$} {} RTO {}", "", line.into_iter().collect::<String>(), escape::short(&names.join(", "), 20));
    }
    let start = estimate.detect_ms + estimate.decide_ms;
    let mut row = |name: &str, bar: String, rest: String| {
        let _ = writeln!(out, "{}", format!("  {:NAME$} {bar:BAR$} {rest}", escape::short(name, NAME)).trim_end());
    };
    for (name, from, to) in [("(noticed)", 0, estimate.detect_ms), ("(decided)", estimate.detect_ms, start)] {
        if to > from {
            row(name, bar(column(from), column(to), '░', 0), format!("{:>8}", about(to - from)));
        }
    }
    for step in steps {
        let (from, to) = (column(start + step.start_ms), column(start + step.end_ms));
        let fill = if decides(estimate, step) { '█' } else { '▒' };
        let later = u64::try_from(step.slack_ms).unwrap_or(0);
        let slack = column(start + step.end_ms + later).saturating_sub(to);
        let spare = step.spare_ms.filter(|ms| *ms < step.slack_ms);
        let late = match spare.unwrap_or(step.slack_ms) {
            0.. if later == 0 => "-".to_owned(),
            ms if ms < 0 => format!("-{}", about(ms.unsigned_abs())),
            ms => about(ms.unsigned_abs()),
        };
        let often = percent(step.decides.max(step.decides_end), estimate.samples);
        row(&step.id, bar(from, to, fill, slack), format!("{:>8}{late:>9}{often:>8}", about(step.end_ms - step.start_ms)));
    }
    fold(
        out,
        2,
        "█ decides when an asset or the run is over; slack (····): how much later it may end before the run ends later or an \
         objective is missed (-: so much too late); decides: in how many of the drawn runs",
    );
    let silent: Vec<String> = estimate.steps.iter().filter(|s| !s.counts).map(|s| s.id.clone()).collect();
    if !silent.is_empty() {
        fold(out, 2, &format!("not counted, because they do not run or the longer alternative does: {}", super::list(&silent)));
    }
    let known = estimate.steps.iter().filter(|s| matches!(s.source, Source::Journal { .. }));
    for step in known {
        fold(out, 2, &format!("`{}`: {}", step.id, source(step)));
    }
}

fn levers(out: &mut String, estimate: &Estimate) {
    let worth: Vec<&Lever> = worth(estimate).collect();
    if worth.is_empty() {
        return;
    }
    out.push_str("\nWhat would make it shorter, each simulated by itself:\n");
    for (n, lever) in worth.iter().take(LEVERS).enumerate() {
        wrapped(out, &format!("{:>3}. ", n + 1), 5, &change(lever));
        wrapped(out, "     wins: ", 11, &gain(lever));
    }
    if worth.len() > LEVERS {
        let _ = writeln!(out, "     … and {} more: --format json", worth.len() - LEVERS);
    }
}

/// Round times above the bars.
fn ruler(span_ms: u64) -> String {
    let tick = tick(span_ms, 4);
    let mut out = String::new();
    for n in 0.. {
        let at = (u128::from(n * tick) * BAR as u128 / u128::from(span_ms)) as usize;
        let word = format!("|{}", duration_text(n * tick));
        if n * tick > span_ms || at + word.len() > BAR {
            break;
        }
        let _ = write!(out, "{:1$}{word}", "", at.saturating_sub(out.len()));
    }
    out
}

fn bar(from: usize, to: usize, fill: char, slack: usize) -> String {
    let from = from.min(BAR - 1);
    let wide = to.saturating_sub(from).max(1).min(BAR - from);
    let slack = slack.min(BAR - from - wide);
    format!("{}{}{}", " ".repeat(from), fill.to_string().repeat(wide), "·".repeat(slack))
}

fn fold(out: &mut String, indent: usize, text: &str) {
    wrapped(out, &" ".repeat(indent), indent + 2, text);
}

fn wrapped(out: &mut String, head: &str, indent: usize, text: &str) {
    let later = " ".repeat(indent);
    let options = textwrap::Options::new(COLUMNS).initial_indent(head).subsequent_indent(&later);
    // Names stay whole: a hyphen in one is no place to break.
    let options = options.word_splitter(textwrap::WordSplitter::NoHyphenation);
    for line in textwrap::wrap(text, options) {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
