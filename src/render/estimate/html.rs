//! An estimate as a page: the pictures, and every number in tables. One file without scripts, that needs nothing from
//! elsewhere.

use std::fmt::Write;

use super::{about, beginning, change, endless, gain, loss, mark, percent, source, svg, tiers, timeline, worst, worth};
use crate::actions::units::duration_text;
use crate::analysis::estimate::{Asset, Estimate};
use crate::render::escape::xml;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;background:var(--ground);color:var(--ink);max-width:980px;margin:24px auto;\
padding:0 16px}h1{font-size:24px}h2{font-size:19px;margin-top:40px}h3{font-size:16px;margin-top:28px}table{border-collapse:collapse;\
width:100%;font-variant-numeric:tabular-nums}th,td{padding:4px 8px;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top}\
th{font-weight:600;color:var(--faint)}th:first-child,td:first-child,.text{text-align:left}.bad{color:var(--limit);font-weight:600}\
.good{color:var(--good)}.faint{color:var(--faint)}svg{width:100%;height:auto}.wide{overflow-x:auto}li{margin:6px 0}\
code{font-family:ui-monospace,monospace;font-size:13px}";

/// The page.
pub fn render(all: &[Estimate]) -> String {
    let name = all.first().map_or("", |e| e.plan.as_str());
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Estimate of {0}</title>\n<style>{1}{STYLE}</style>\n</head>\n<body>\n<h1>How long the recovery of {0} takes</h1>\n",
        xml(name),
        svg::COLOURS
    );
    all.iter().for_each(|estimate| scenario(&mut out, estimate));
    out.push_str("</body>\n</html>\n");
    out
}

fn scenario(out: &mut String, estimate: &Estimate) {
    let _ = writeln!(out, "<h2>{}, mode {}</h2>", xml(&estimate.scenario), estimate.mode);
    for line in tiers(estimate) {
        let class = if line.contains(" breaks the ") { "bad" } else { "good" };
        let _ = writeln!(out, "<p class=\"{class}\">{}</p>", words(&line));
    }
    out.push_str("<h3>Recovery time</h3>\n<div class=\"wide\"><table>\n");
    let head = ["asset", "expected", "p50", "p90", "p95", "p99", "worst", "RTO", "in time"];
    row(out, "th", &head.map(str::to_owned));
    for (id, asset) in &estimate.assets {
        let Some(times) = &asset.recovery else { continue };
        let mut cells = vec![format!("{} {id}", mark(asset)), duration_text(times.expected_ms)];
        let d = &times.drawn;
        cells.extend([d.p50_ms, d.p90_ms, d.p95_ms, d.p99_ms].map(about));
        cells.push(worst(times.worst_ms, &times.unbounded));
        cells.push(asset.rto_ms.map_or("-".to_owned(), duration_text));
        cells.push(asset.in_time.map_or("-".to_owned(), |n| percent(n, estimate.samples)));
        row(out, "td", &cells);
    }
    let d = &estimate.run.drawn;
    let mut cells = vec!["the run alone".to_owned(), duration_text(estimate.run.expected_ms)];
    cells.extend([d.p50_ms, d.p90_ms, d.p95_ms, d.p99_ms].map(about));
    cells.extend([worst(estimate.run.worst_ms, &estimate.run.unbounded), "-".to_owned(), "-".to_owned()]);
    row(out, "td", &cells);
    out.push_str("</table></div>\n");
    let (samples, seed) = (estimate.samples, estimate.seed);
    let drawn = format!("All times from the {} on. p50 to p99: of {samples} runs drawn with seed {seed}.", beginning(estimate));
    let endless = endless(estimate).map(|words| format!(" + {words}.")).unwrap_or_default();
    let _ = writeln!(out, "<p class=\"faint\">{}</p>", words(&format!("{drawn}{endless}")));
    let held: Vec<(&String, &Asset)> = estimate.assets.iter().filter(|(_, a)| a.holds_data).collect();
    if !held.is_empty() {
        out.push_str("<h3>Data loss</h3>\n<div class=\"wide\"><table>\n<tr><th>asset</th><th>at most</th><th>RPO</th><th class=\"text\">because of</th></tr>\n");
        for (id, asset) in held {
            let class = if asset.loses_too_much() { " class=\"bad\"" } else { "" };
            let rpo = asset.rpo_ms.map_or("-".to_owned(), duration_text);
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td{class}>{}</td><td>{rpo}</td><td class=\"text\">{}</td></tr>",
                xml(id),
                loss(asset),
                xml(&asset.loss_source)
            );
        }
        out.push_str("</table></div>\n");
    }
    out.push_str(&svg::inline(estimate));
    let worth: Vec<_> = worth(estimate).collect();
    if !worth.is_empty() {
        out.push_str("<h3>What would make it shorter, each simulated by itself</h3>\n<ol>\n");
        for lever in worth {
            let _ = writeln!(out, "<li>{}<br><span class=\"faint\">{}</span></li>", words(&change(lever)), words(&gain(lever)));
        }
        out.push_str("</ol>\n");
    }
    steps(out, estimate);
}

fn steps(out: &mut String, estimate: &Estimate) {
    out.push_str("<h3>Steps</h3>\n<div class=\"wide\"><table>\n");
    let _ = writeln!(
        out,
        "<tr><th>step</th><th>begins</th><th>takes</th><th>worst</th><th>slack</th><th>to spare</th><th>decides recovery</th><th>decides the end</th><th class=\"text\">drawn from</th></tr>"
    );
    let start = estimate.detect_ms + estimate.decide_ms;
    for step in timeline(estimate) {
        let signed = |ms: i64| format!("{}{}", if ms < 0 { "-" } else { "" }, about(ms.unsigned_abs()));
        let spare = step.spare_ms.map_or("-".to_owned(), signed);
        let class = if step.spare_ms.is_some_and(|ms| ms < 0) { " class=\"bad\"" } else { "" };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td{class}>{spare}</td><td>{}</td><td>{}</td><td class=\"text\">{}</td></tr>",
            xml(&step.id),
            about(start + step.start_ms),
            about(step.end_ms - step.start_ms),
            step.worst_ms.map_or("no bound".to_owned(), about),
            signed(step.slack_ms),
            percent(step.decides, estimate.samples),
            percent(step.decides_end, estimate.samples),
            xml(&source(step))
        );
    }
    out.push_str("</table></div>\n");
    let _ = writeln!(
        out,
        "<p class=\"faint\">Slack: how much later it may end before the run ends later. To spare: before an objective is missed. Decides: in \
         how many of the drawn runs it was on the way that decided when the last asset was back, or when the run ended.</p>"
    );
}

fn row(out: &mut String, cell: &str, words: &[String]) {
    out.push_str("<tr>");
    words.iter().for_each(|w| {
        let _ = write!(out, "<{cell}>{}</{cell}>", xml(w));
    });
    out.push_str("</tr>\n");
}

/// A sentence whose words between backticks are code.
fn words(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(xml).collect();
    let mut out = String::new();
    for (n, part) in text.split('`').enumerate() {
        let (before, after) = (part.starts_with(' '), part.ends_with(' '));
        // What is made harmless is trimmed, too.
        let part = format!("{}{}{}", if before { " " } else { "" }, parts[n], if after { " " } else { "" });
        if n % 2 == 1 { out.push_str(&format!("<code>{part}</code>")) } else { out.push_str(&part) }
    }
    out
}
