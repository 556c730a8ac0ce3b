//! `never-taken`: a backup of which nothing says when it is taken, or that is taken at a time that never comes.

use crate::analysis::gaps::Sample;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups().filter(|(_, _, b, _)| b.continuous_ms.is_none()) {
        let found = match &backup.schedule {
            None => {
                let headline = format!("nothing says when backup `{}` of `{id}` is taken", backup.id);
                Diagnostic::deny("never-taken", headline, at.keys.at, "nobody can say how old the newest one is")
                    .help("add `schedule: \"0 2 * * *\"` (every day at two), or `continuous: 1m` for one that never stops")
            }
            Some(line) if whole.gaps.of(backup) == Sample::Never => {
                let headline = format!("backup `{}` of `{id}` is never taken", backup.id);
                let label = format!("no two days come on which `{line}` holds");
                Diagnostic::deny("never-taken", headline, at.keys.value("schedule"), label)
                    .help("the fields are minute, hour, day, month, weekday; write `\"0 2 1 * *\"` for the first of each month")
            }
            Some(_) => continue,
        };
        findings.push(found);
    }
}
