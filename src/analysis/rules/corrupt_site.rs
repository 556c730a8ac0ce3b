//! `corrupt-site`: a corruption that loses a site.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Cause;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let scenario = facts.scenario;
    let Some(site) = scenario.loses.sites.first().filter(|_| scenario.cause == Cause::Corruption) else { return };
    let headline = format!("a corruption damages assets, and scenario `{}` loses site `{site}`", scenario.id);
    let found = Diagnostic::deny("corrupt-site", headline, facts.own.keys.value("loses"), "the machines of a site survive a corruption");
    let found = found.also(facts.own.keys.value("cause"), "wrong data, on machines that work");
    let damaged: Vec<&str> = facts.lost_assets.iter().map(String::as_str).take(3).collect();
    let assets = if damaged.is_empty() { "…".to_owned() } else { damaged.join(", ") };
    findings.push(found.help(format!("name what is damaged: `loses: {{ assets: [{assets}] }}`; or write `cause: outage`")));
}
