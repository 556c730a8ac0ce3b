//! An estimate as a picture: the timeline, and how often each recovery time was drawn. One file without scripts, that needs
//! nothing from elsewhere, readable on light and on dark.

use std::fmt::Write;

use super::{about, beginning, decides, percent, source, span, tick, timeline, worst};
use crate::actions::units::duration_text;
use crate::analysis::estimate::{Distribution, Estimate, Times};
use crate::render::escape::{short, xml};

/// Colours of both grounds, by name; the pages use them too.
pub(super) const COLOURS: &str = ":root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--faint:#5f6872;--rule:#d5dae0;--bar:#8fb0d6;\
--key:#c2540a;--slack:#b8c1cb;--limit:#c0182b;--good:#1a7f37}@media (prefers-color-scheme:dark){:root{--ground:#14171b;--ink:#e8eaed;\
--faint:#a2abb5;--rule:#343b43;--bar:#4d76a5;--key:#ff9a4d;--slack:#545e69;--limit:#ff6b78;--good:#56d364}}";

const STYLE: &str = "svg.estimate{font:13px system-ui,sans-serif;background:var(--ground)}svg.estimate text{fill:var(--ink)}\
svg.estimate .faint{fill:var(--faint)}svg.estimate .head{font-size:17px;font-weight:600}svg.estimate .sub{font-weight:600}\
svg.estimate .end{text-anchor:end}svg.estimate .mid{text-anchor:middle}svg.estimate .ground{fill:var(--ground)}\
svg.estimate .bar{fill:var(--bar)}svg.estimate .key{fill:var(--key)}svg.estimate .before{fill:var(--slack)}\
svg.estimate .slack{stroke:var(--slack);stroke-width:2}svg.estimate .rule{stroke:var(--rule)}\
svg.estimate .limit{stroke:var(--limit);stroke-width:2;stroke-dasharray:6 3}svg.estimate text.over{fill:var(--limit)}\
svg.estimate .mark{stroke:var(--ink);stroke-dasharray:2 3}";

const WIDE: u64 = 960;
/// Where bars begin and end.
const LEFT: u64 = 210;
const RIGHT: u64 = 780;
const ROW: u64 = 22;
/// Of a picture of a distribution.
const TALL: u64 = 110;
const NAME: usize = 26;

/// Both pictures of each estimate, below each other, as one file.
pub fn render(all: &[Estimate]) -> String {
    let mut body = String::new();
    let mut y = 0;
    for estimate in all {
        y = picture(&mut body, estimate, y);
    }
    format!("{}<style>{COLOURS}{STYLE}</style>\n<rect class=\"ground\" width=\"{WIDE}\" height=\"{y}\"/>\n{body}</svg>\n", open(y, all))
}

/// Both pictures of an estimate, for a page that has [`COLOURS`].
pub(super) fn inline(estimate: &Estimate) -> String {
    let mut body = String::new();
    let y = picture(&mut body, estimate, 0);
    format!("{}<style>{STYLE}</style>\n{body}</svg>\n", open(y, std::slice::from_ref(estimate)))
}

fn open(tall: u64, all: &[Estimate]) -> String {
    let names: Vec<String> = all.iter().map(|e| format!("{} {}", xml(&e.plan), xml(&e.scenario))).collect();
    let title = format!("Estimate of {}", names.join(", "));
    format!(
        "<svg class=\"estimate\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDE} {tall}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n"
    )
}

fn picture(out: &mut String, estimate: &Estimate, y: u64) -> u64 {
    let head = format!("{} · {}, mode {}", estimate.plan, estimate.scenario, estimate.mode);
    text(out, 20, y + 32, "head", &head);
    let mut y = bars(out, estimate, y + 50);
    let last: std::collections::BTreeSet<&String> = estimate.tiers.values().filter_map(|t| t.last.as_ref()).collect();
    for id in last {
        let asset = &estimate.assets[id];
        if let Some(times) = &asset.recovery {
            let tier = asset.tier.as_deref().map(|t| format!(" ({t})")).unwrap_or_default();
            y = distribution(
                out,
                &format!("{id}{tier} is back, from the {} on", beginning(estimate)),
                times,
                asset.rto_ms,
                estimate.samples,
                y + 26,
            );
        }
    }
    distribution(out, "the run ends, from its start on", &estimate.run, None, estimate.samples, y + 26) + 16
}

fn bars(out: &mut String, estimate: &Estimate, top: u64) -> u64 {
    let steps = timeline(estimate);
    let objectives: Vec<(&String, u64)> = estimate.tiers.iter().filter_map(|(id, t)| Some((id, t.rto_ms?))).collect();
    let span = span(estimate);
    // Objectives a little beyond the end are shown too.
    let wide = objectives.iter().map(|(_, rto)| *rto).filter(|rto| *rto < span * 3 / 2).chain([span]).max().unwrap_or(span);
    let x = |ms: u64| LEFT + place(ms.min(wide), wide, RIGHT - LEFT);
    let start = estimate.detect_ms + estimate.decide_ms;
    let before = [("noticed", 0, estimate.detect_ms), ("decided", estimate.detect_ms, start)];
    let before: Vec<_> = before.into_iter().filter(|(_, from, to)| to > from).collect();
    let bottom = top + 40 + ROW * (steps.len() + before.len()) as u64;
    text(out, 840, top + 14, "faint end", "takes");
    text(out, 940, top + 14, "faint end", "decides");
    axis(out, wide, &x, top + 14, top + 22, bottom);
    for (id, rto) in objectives.iter().filter(|(_, rto)| *rto <= wide) {
        line(out, "limit", x(*rto), top + 22, x(*rto), bottom);
        text(out, x(*rto), bottom + 14, "over mid", &format!("RTO {id} {}", duration_text(*rto)));
    }
    let mut y = top + 32;
    for (name, from, to) in before {
        text(out, LEFT - 10, y + 14, "faint end", name);
        rect(out, "before", (x(from), y + 3), (x(to) - x(from)).max(1), ROW - 8, &format!("{name} after {}", duration_text(to - from)));
        text(out, 840, y + 14, "faint end", &about(to - from));
        y += ROW;
    }
    for step in steps {
        let (from, to) = (start + step.start_ms, start + step.end_ms);
        text(out, LEFT - 10, y + 14, "end", &short(&step.id, NAME));
        let slack = u64::try_from(step.slack_ms).unwrap_or(0);
        if slack > 0 {
            line(out, "slack", x(to), y + 3 + (ROW - 8) / 2, x(to + slack), y + 3 + (ROW - 8) / 2);
        }
        let worst = step.worst_ms.map_or("no time-out".to_owned(), |ms| format!("at worst {}", about(ms)));
        let hint = format!("{}: {} to {}, {worst}, slack {}, {}", step.id, about(from), about(to), about(slack), source(step));
        let class = if decides(estimate, step) { "key" } else { "bar" };
        rect(out, class, (x(from), y + 3), (x(to) - x(from)).max(2), ROW - 8, &hint);
        text(out, 840, y + 14, "end", &about(step.end_ms - step.start_ms));
        text(out, 940, y + 14, "end", &percent(step.decides.max(step.decides_end), estimate.samples));
        y += ROW;
    }
    let legend = bottom + if objectives.is_empty() { 20 } else { 38 };
    rect(out, "key", (LEFT, legend - 10), 12, 12, "");
    text(out, LEFT + 18, legend, "faint", "decides when an asset or the run is over");
    line(out, "slack", LEFT + 300, legend - 4, LEFT + 330, legend - 4);
    text(out, LEFT + 338, legend, "faint", "how much later it may end");
    legend + 10
}

fn distribution(out: &mut String, what: &str, times: &Times, rto_ms: Option<u64>, samples: usize, top: u64) -> u64 {
    let d = &times.drawn;
    // The objective and the expected time are in the picture unless they are far away.
    let near = |ms: &u64| *ms * 2 > d.least_ms && *ms < d.most_ms.saturating_mul(2);
    let shown: Vec<u64> = [Some(times.expected_ms), rto_ms].into_iter().flatten().filter(near).chain([d.least_ms, d.most_ms]).collect();
    let (low, high) = (shown.iter().copied().min().unwrap_or(0), shown.iter().copied().max().unwrap_or(1).max(d.least_ms + 1));
    let pad = (high - low) / 20 + 1;
    let (low, high) = (low.saturating_sub(pad), high.saturating_add(pad));
    let x = |ms: u64| 20 + place(ms.clamp(low, high) - low, high - low, WIDE - 40);
    text(out, 20, top, "sub", what);
    let mut words = format!(
        "expected {}, half by {}, 9 of 10 by {}, 19 of 20 by {}, 99 of 100 by {}, at worst {}",
        duration_text(times.expected_ms),
        about(d.p50_ms),
        about(d.p90_ms),
        about(d.p95_ms),
        about(d.p99_ms),
        worst(times.worst_ms, &times.unbounded)
    );
    if let Some(rto) = rto_ms {
        let _ = write!(words, "; RTO {}", duration_text(rto));
    }
    text(out, 20, top + 18, "faint", &words);
    let (ceiling, floor) = (top + 60, top + 60 + TALL);
    columns(out, d, samples, &x, ceiling, floor);
    // Names of those that lie close together stand at two heights.
    let named = [(times.expected_ms, "expected"), (d.p50_ms, "p50"), (d.p90_ms, "p90"), (d.p95_ms, "p95"), (d.p99_ms, "p99")];
    for (n, (ms, name)) in named.into_iter().enumerate().filter(|(_, (ms, _))| (low..=high).contains(ms)) {
        line(out, "mark", x(ms), ceiling - 4, x(ms), floor);
        text(out, x(ms), ceiling - if n % 2 == 0 && n < 4 { 6 } else { 18 }, "faint mid", name);
    }
    if let Some(rto) = rto_ms.filter(near) {
        line(out, "limit", x(rto), ceiling - 4, x(rto), floor);
        text(out, x(rto), ceiling - 18, "over mid", "RTO");
    }
    let tick = tick(high - low, 8);
    // Words at the very edge would be cut.
    for n in (low.div_ceil(tick)..=high / tick).filter(|n| (40..WIDE - 40).contains(&x(n * tick))) {
        text(out, x(n * tick), floor + 16, "faint mid", &duration_text(n * tick));
    }
    line(out, "rule", 20, floor, WIDE - 20, floor);
    floor + 20
}

fn columns(out: &mut String, d: &Distribution, samples: usize, x: &dyn Fn(u64) -> u64, ceiling: u64, floor: u64) {
    let most = d.counts.iter().copied().max().unwrap_or(1).max(1) as u64;
    let part = (d.most_ms - d.least_ms) / d.counts.len().max(1) as u64 + 1;
    for (n, &count) in d.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = (d.least_ms + n as u64 * part, d.least_ms + (n as u64 + 1) * part);
        let tall = (count as u64 * (floor - ceiling) / most).max(1);
        let wide = x(to).saturating_sub(x(from)).saturating_sub(1).max(1);
        let hint = format!("{} to {}: {} of the runs", about(from), about(to), percent(count, samples));
        rect(out, "bar", (x(from), floor - tall), wide, tall, &hint);
    }
}

fn axis(out: &mut String, span: u64, x: &dyn Fn(u64) -> u64, words: u64, top: u64, bottom: u64) {
    let tick = tick(span, 8);
    for n in 0..=span / tick {
        line(out, "rule", x(n * tick), top, x(n * tick), bottom);
        text(out, x(n * tick), words, "faint mid", &duration_text(n * tick));
    }
}

fn place(ms: u64, of: u64, wide: u64) -> u64 {
    (u128::from(ms) * u128::from(wide) / u128::from(of.max(1))) as u64
}

fn text(out: &mut String, x: u64, y: u64, class: &str, words: &str) {
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", xml(words));
}

fn line(out: &mut String, class: &str, x1: u64, y1: u64, x2: u64, y2: u64) {
    let _ = writeln!(out, "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>");
}

fn rect(out: &mut String, class: &str, (x, y): (u64, u64), wide: u64, tall: u64, hint: &str) {
    let title = if hint.is_empty() { String::new() } else { format!("<title>{}</title>", xml(hint)) };
    let _ = writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{tall}\">{title}</rect>");
}
