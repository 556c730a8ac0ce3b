//! `base-circle`: backups that build on each other, with no whole one among them.

use std::collections::BTreeSet;

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    let mut said = BTreeSet::new();
    for (id, asset, backup, at) in whole.backups() {
        let mut chain = vec![backup];
        let base_of = |b: &crate::model::Backup| asset.backups.iter().find(|x| Some(&x.id) == b.base.as_ref());
        while let Some(base) = chain.last().and_then(|b| base_of(b)).filter(|_| chain.len() <= asset.backups.len()) {
            if base.id == backup.id {
                break;
            }
            chain.push(base);
        }
        let last = chain.last().map_or(backup, |b| b);
        if last.base.as_ref() != Some(&backup.id) || chain.iter().any(|b| said.contains(&(id, &b.id))) {
            continue;
        }
        said.extend(chain.iter().map(|b| (id, &b.id)));
        let way: Vec<String> = chain.iter().map(|b| format!("`{}`", b.id)).collect();
        let headline = format!("backups of `{id}` build on each other, none of them is whole");
        let label = format!("{} → `{}`", way.join(" → "), backup.id);
        let found = Diagnostic::deny("base-circle", headline, at.keys.value("base"), label);
        findings.push(found.help(format!("let one of them be whole: `method: full` in `{}`, without `base`", backup.id)));
    }
}
