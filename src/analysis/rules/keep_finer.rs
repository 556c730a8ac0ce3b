//! `keep-finer`: a rule of keeping that asks for more backups than are taken.

use serde_json::Value;

use crate::actions::units::duration_text;
use crate::analysis::gaps::Sample;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

const HOUR: u64 = 3_600_000;

/// The parts of a rule of keeping, and how long each lasts at most, with a shift of the clock.
pub(super) const PARTS: [(&str, u64, &str); 5] = [
    ("hourly", HOUR, "hour"),
    ("daily", 25 * HOUR, "day"),
    ("weekly", (7 * 24 + 1) * HOUR, "week"),
    ("monthly", (31 * 24 + 1) * HOUR, "month"),
    ("yearly", 366 * 24 * HOUR, "year"),
];

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups() {
        let Some(Value::Object(keep)) = &backup.keep else { continue };
        let Sample::Gaps(gap, _) = whole.gaps.of(backup) else { continue };
        for (part, _, what) in PARTS.iter().filter(|(part, ms, _)| keep.contains_key(*part) && gap > *ms) {
            let headline = format!("backup `{}` of `{id}` keeps one of each {what}, and is taken every {}", backup.id, duration_text(gap));
            let found = Diagnostic::deny("keep-finer", headline, at.keep.key(part), format!("most {what}s have none"));
            let coarser = PARTS.iter().find(|(_, ms, _)| gap <= *ms).map_or("last", |(part, ..)| part);
            let sample = if coarser == "last" { "last: 7".to_owned() } else { format!("{coarser}: {}", kept(&keep[*part])) };
            let found = found.also(at.keys.value("schedule"), "taken then");
            findings.push(found.help(format!("write `{sample}`, or take it more often")));
        }
    }
}

fn kept(value: &Value) -> &str {
    value.as_str().unwrap_or("12mo")
}
