//! `undoes-circle`: scenarios each of which begins where another one ends, round and round.

use std::collections::BTreeSet;

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    let index = |id: &str| whole.scenarios.iter().position(|s| s.id == id);
    let mut said = BTreeSet::new();
    for (first, scenario) in whole.scenarios.iter().enumerate().filter(|(_, s)| s.undoes.is_some()) {
        let mut way = vec![first];
        let next = |at: usize| whole.scenarios[at].undoes.as_deref().and_then(index);
        while let Some(at) = way.last().and_then(|&at| next(at)).filter(|at| !way.contains(at)) {
            way.push(at);
        }
        let closed = way.last().and_then(|&at| next(at)) == Some(first);
        if !closed || way.iter().any(|at| said.contains(at)) {
            continue;
        }
        said.extend(way.iter().copied());
        let id = &scenario.id;
        let headline = format!("scenario `{id}` begins where it ends itself");
        let ids: Vec<String> = way.iter().map(|&at| format!("`{}`", whole.scenarios[at].id)).collect();
        let label = format!("{} → `{id}`", ids.join(" → "));
        let mut found = Diagnostic::deny("undoes-circle", headline, whole.places.scenarios[first].keys.value("undoes"), label);
        for &at in &way[1..] {
            found = found.also(whole.places.scenarios[at].keys.value("undoes"), "and this one begins where that one ends");
        }
        findings.push(
            found.help("leave `undoes` out of the one that comes first: it begins with nothing lost, and its assets where they stand"),
        );
    }
}
