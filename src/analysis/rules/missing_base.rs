//! `missing-base`: a backup that holds only what changed, and does not say since which one.

use crate::analysis::loss::builds_on_another;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::BackupMethod;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, backup, at) in whole.backups().filter(|(_, _, b, _)| builds_on_another(b) && b.base.is_none()) {
        let headline = format!("backup `{}` of `{id}` says not what it builds on", backup.id);
        let label = format!("`{}` holds only what changed: it is restored onto another one", backup.method);
        let found = Diagnostic::deny("missing-base", headline, at.keys.value("method"), label);
        let whole_one = asset.backups.iter().find(|b| !builds_on_another(b) && b.method != BackupMethod::Dump);
        findings.push(match whole_one {
            Some(base) => found.help(format!("add `base: {}`", base.id)),
            None => found.help(format!("add a backup of method `full` or `snapshot` to `{id}`, and name it here: `base: ITS-ID`")),
        });
    }
}
