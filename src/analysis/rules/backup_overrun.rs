//! `backup-overrun`: a backup that is due again before it has ended.

use crate::actions::units::duration_text;
use crate::analysis::gaps::Sample;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups() {
        let (Some(takes), Sample::Gaps(least, _)) = (backup.takes_ms, whole.gaps.of(backup)) else { continue };
        if takes < least {
            continue;
        }
        let headline = format!("backup `{}` of `{id}` is due again before it has ended", backup.id);
        let found = Diagnostic::warn("backup-overrun", headline, at.keys.value("takes"), format!("it takes {}", duration_text(takes)));
        let found = found.also(at.keys.value("schedule"), format!("the next one begins {} later", duration_text(least)));
        findings.push(found.help("take it less often, or let what changes often go into a `log`; runs that meet are skipped or fail"));
    }
}
