//! `rebuild-unkept`: a rebuild that replays more than its source keeps.

use crate::actions::units::duration_text;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in &whole.plan.assets {
        let (Some(rebuild), Some(at)) = (&asset.rebuild, whole.places.rebuilds.get(id)) else { continue };
        let (from, within) = (&rebuild.from, duration_text(rebuild.within_ms));
        let Some(source) = whole.plan.assets.get(from).filter(|s| s.keep_ms.is_none_or(|kept| kept < rebuild.within_ms)) else { continue };
        let there = &whole.places.assets[from];
        let (headline, place, label) = match source.keep_ms {
            Some(kept) => {
                let kept = duration_text(kept);
                (
                    format!("`{id}` is rebuilt from {within} of `{from}`, which keeps {kept}"),
                    there.value("keep"),
                    "it keeps no more".to_owned(),
                )
            }
            None => {
                let headline = format!("`{id}` is rebuilt from {within} of `{from}`, and nothing says what `{from}` keeps");
                (headline, there.at, "it says not how far back it reaches".to_owned())
            }
        };
        let found = Diagnostic::deny("rebuild-unkept", headline, at.value("within"), format!("the replay begins {within} ago"));
        findings.push(found.also(place, label).help(format!("write `keep: {within}` or more in `{from}`, as it is configured there")));
    }
}
