//! `lock-too-short`: a lock against deletion that ends before there is another backup that is locked.

use super::keep_too_short::least_ms;
use crate::actions::units::duration_text;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups() {
        let Some(lock) = &backup.immutable else { continue };
        let Some((least, _, why)) = least_ms(whole, id, backup).filter(|(least, ..)| lock.for_ms < *least) else { continue };
        let headline = format!("backup `{}` of `{id}` can be deleted before the next one is locked", backup.id);
        let label = format!("locked for {}; {why}", duration_text(lock.for_ms));
        let found = Diagnostic::warn("lock-too-short", headline, at.keys.value("immutable"), label);
        let found = if at.keys.has("schedule") { found.also(at.keys.value("schedule"), "taken then") } else { found };
        findings.push(found.help(format!("write `for: {}` or more", super::keep_too_short::rounded(least))));
    }
}
