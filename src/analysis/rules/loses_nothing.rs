//! `loses-nothing`: an incident in which nothing is lost.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Cause;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let loses = &facts.scenario.loses;
    let nothing = loses.sites.is_empty() && loses.assets.is_empty() && loses.backups.is_empty();
    if !nothing || facts.scenario.cause == Cause::Planned || !facts.own.keys.has("loses") {
        return;
    }
    let headline = format!("scenario `{}` loses nothing", facts.scenario.id);
    let found = Diagnostic::deny(
        "loses-nothing",
        headline,
        facts.own.keys.value("loses"),
        "nothing has to come back then, and nothing is predicted",
    );
    let found = found.also(facts.own.keys.value("cause"), "this is the cause of a loss");
    let sample = facts.plan.assets.keys().next().map_or("ASSET", String::as_str);
    findings.push(
        found.help(format!("name what is gone: `loses: {{ assets: [{sample}] }}` or `{{ sites: [ … ] }}`; or write `cause: planned`")),
    );
}
