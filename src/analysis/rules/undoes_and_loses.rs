//! `undoes-and-loses`: a scenario that begins where another one ended, and loses something.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let (scenario, keys) = (facts.scenario, &facts.own.keys);
    let loses = &scenario.loses;
    let Some(other) = scenario.undoes.as_ref().filter(|_| !(loses.sites.is_empty() && loses.assets.is_empty() && loses.backups.is_empty()))
    else {
        return;
    };
    let headline = format!("scenario `{}` undoes `{other}` and loses something", scenario.id);
    let found =
        Diagnostic::deny("undoes-and-loses", headline, keys.key("loses"), format!("where `{other}` ended nothing is lost any more"));
    let found = found.also(keys.value("undoes"), "it begins there");
    findings.push(found.help("leave `loses` out; if something is lost anew, it is another scenario, without `undoes`"));
}
