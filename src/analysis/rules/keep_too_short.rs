//! `keep-too-short`: a backup that is gone before the next one, or the next one that it is replayed onto, is there.

use crate::actions::units::duration_text;
use crate::analysis::gaps::Sample;
use crate::analysis::loss::{builds_on_another, reach_ms};
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::Backup;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, backup, at) in whole.backups().filter(|(_, _, b, _)| b.keep.is_some() || !b.copies.is_empty()) {
        let Some((least, what, why)) = least_ms(whole, id, backup) else { continue };
        let copies = backup.copies.iter().zip(&at.copies).map(|(c, at)| (&c.keep, at, "a copy of "));
        for (keep, at, which) in std::iter::once((&backup.keep, &at.keys, "")).chain(copies) {
            let Some(kept) = keep.as_ref().and_then(|k| reach_ms(k, whole.gaps.of(backup))).filter(|kept| *kept < least) else { continue };
            let headline = format!("{which}backup `{}` of `{id}` {what}", backup.id);
            let found = Diagnostic::warn("keep-too-short", headline, at.value("keep"), format!("kept {}; {why}", duration_text(kept)));
            findings.push(found.help(format!("write `keep: {}` or more", rounded(least))));
        }
    }
}

/// How long one must be kept so that there is always one that can be used; what is wrong otherwise, and why.
pub(super) fn least_ms<'a>(whole: &Whole<'a>, id: &str, backup: &'a Backup) -> Option<(u64, &'static str, String)> {
    let gap = |b: &'a Backup| match whole.gaps.of(b) {
        Sample::Gaps(_, most) => Some(most),
        _ => b.continuous_ms,
    };
    let next = gap(backup)? + backup.takes_ms.unwrap_or(0);
    let base = whole.base(id, backup).filter(|_| builds_on_another(backup));
    match base.and_then(|b| Some((gap(b)?, b))) {
        Some((ms, base)) if ms > next => {
            Some((ms, "does not reach back to its base", format!("`{}` may be {} old", base.id, duration_text(ms))))
        }
        _ => Some((next, "is gone before the next one is there", format!("the next one may be there {} later", duration_text(next)))),
    }
}

/// In whole days if it is days.
pub(super) fn rounded(ms: u64) -> String {
    const DAY: u64 = 24 * 3_600_000;
    if ms > DAY { format!("{}d", ms.div_ceil(DAY)) } else { duration_text(ms) }
}
