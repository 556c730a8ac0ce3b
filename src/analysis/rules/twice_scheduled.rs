//! `twice-scheduled`: a backup that is taken now and then, and never stops.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups().filter(|(_, _, b, _)| b.schedule.is_some() && b.continuous_ms.is_some()) {
        let headline = format!("backup `{}` of `{id}` has a `schedule` and is `continuous`", backup.id);
        let found = Diagnostic::deny("twice-scheduled", headline, at.keys.value("continuous"), "this says that it never stops");
        let found = found.also(at.keys.value("schedule"), "this says when it is taken");
        findings.push(found.help("keep one of the two; a base and its log are two backups: `method: full` with `schedule`, `method: log` with `continuous` and `base`"));
    }
}
