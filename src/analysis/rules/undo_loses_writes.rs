//! `undo-loses-writes`: an undo that takes the writes away that came in since traffic was sent there.

use crate::analysis::facts::{Facts, promotes};
use crate::analysis::states::traffic;
use crate::diagnostic::Diagnostic;
use crate::model::{Step, Undo};

/// Whether a step is taken back without a person who would see what is lost.
fn by_itself(step: &Step) -> bool {
    match &step.undo {
        Undo::Auto => true,
        Undo::Use(call) => call.uses != "manual",
        Undo::Unneeded | Undo::None(_) => false,
    }
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let takes = |s: &Step| promotes(s) || s.from.as_deref() == Some("replica");
    let steps = &facts.scenario.steps;
    let taking: Vec<usize> = (0..steps.len()).filter(|&i| facts.runs(i) && takes(&steps[i]) && by_itself(&steps[i])).collect();
    if taking.is_empty() {
        return;
    }
    let (traffic, _) = traffic(facts);
    for i in taking {
        let reaching = steps[i].assets.iter().filter_map(|a| Some((a, traffic.get(a.as_str())?)));
        // What cannot be taken back itself holds what it stands on.
        let Some((asset, point)) =
            reaching.flat_map(|(a, all)| all.iter().flatten().map(move |&p| (a, p))).find(|(_, p)| by_itself(&steps[*p]))
        else {
            continue;
        };
        let headline = format!("taking `{}` back loses what `{asset}` took in the meantime", steps[i].id);
        let label = "the copy that took writes is taken away";
        let found = Diagnostic::deny("undo-loses-writes", headline, facts.step(i).keys.value("undo"), label);
        let found = found.also(facts.step(point).keys.at, "from here on it takes writes of everybody, and this can be taken back too");
        let why = "it takes writes; go back with a scenario of its own";
        findings.push(found.help(format!("write `undo: {{ none: \"{why}\" }}`, and a scenario with `undoes: {}`", facts.scenario.id)));
    }
}
