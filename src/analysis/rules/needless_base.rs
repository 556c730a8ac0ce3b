//! `needless-base`: a backup that is whole by itself, and names another one as its base.

use crate::analysis::loss::builds_on_another;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups().filter(|(_, _, b, _)| !builds_on_another(b)) {
        let Some(base) = &backup.base else { continue };
        let headline = format!("backup `{}` of `{id}` is whole by itself and has a `base`", backup.id);
        let label = format!("restoring it never needs `{base}`");
        let found = Diagnostic::warn("needless-base", headline, at.keys.value("base"), label);
        let found = found.also(at.keys.value("method"), "this method copies everything");
        findings
            .push(found.help(format!("leave `base: {base}` out; or write `method: incremental`, `differential` or `log` if it is one")));
    }
}
