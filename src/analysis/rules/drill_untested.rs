//! `drill-untested`: a step of a drill uses what a skipped step would have found.

use crate::analysis::rehearsal::{Rehearsal, left_out};
use crate::diagnostic::Diagnostic;

pub(super) fn run(drill: &Rehearsal<'_>, findings: &mut Vec<Diagnostic>) {
    let out = left_out(drill.drill, drill.rehearsed);
    for (i, step) in drill.steps() {
        let Some(used) = drill.own.steps[i].refs.iter().find(|r| out.contains(&r.step.as_str())) else { continue };
        let headline = format!("`{}` uses an output of `{}`, which drill `{}` skips", step.id, used.step, drill.drill.id);
        let found = Diagnostic::warn("drill-untested", headline, used.at, "nobody can tell this value in the drill");
        let skip = drill.drill.skip.iter().zip(&drill.at.skip).find(|(name, _)| used.step.starts_with(name.as_str()));
        let found = match skip {
            Some((_, at)) => found.also(*at, "skipped here"),
            None => found.also(drill.at.keys.at, "its asset is skipped in this drill"),
        };
        findings.push(found.help(format!("skip `{}` too, or rehearse `{}`", step.id, used.step)));
    }
}
