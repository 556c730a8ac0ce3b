//! `schedule-skipped`: a backup in an hour that one day of the year does not have.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups().filter(|(_, _, b, _)| b.timezone.is_some()) {
        let Some(skipped) = whole.gaps.left_out(backup) else { continue };
        let headline = format!("backup `{}` of `{id}` may not be taken in the night in which the clock goes forward", backup.id);
        let label = format!("there is no {} on {}", skipped.strftime("%H:%M"), skipped.date());
        let found = Diagnostic::warn("schedule-skipped", headline, at.keys.value("schedule"), label);
        let found = found.also(at.keys.value("timezone"), "the clock is put forward here");
        findings.push(found.help("take it at another hour, or in UTC (leave `timezone` out): many schedulers leave such a run out"));
    }
}
