//! `base-dump`: changes that are to be replayed onto a logical dump, which takes none.

use crate::analysis::loss::builds_on_another;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::BackupMethod;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, backup, at) in whole.backups().filter(|(_, _, b, _)| builds_on_another(b)) {
        let Some(base) = whole.base(id, backup).filter(|b| b.method == BackupMethod::Dump) else { continue };
        let headline = format!("backup `{}` of `{id}` cannot be replayed onto a dump", backup.id);
        let label = format!("`{}` is loaded as statements: its files are not those that `{}` changes", base.id, backup.method);
        let found = Diagnostic::deny("base-dump", headline, at.keys.value("base"), label);
        let better = asset.backups.iter().find(|b| matches!(b.method, BackupMethod::Full | BackupMethod::Snapshot));
        findings.push(match better {
            Some(better) => found.help(format!("write `base: {}`", better.id)),
            None => found.help(format!("add a backup of method `full` or `snapshot` to `{id}`, and name it here: `base: ITS-ID`")),
        });
    }
}
