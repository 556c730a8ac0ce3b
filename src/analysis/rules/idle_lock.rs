//! `idle-lock`: a `lock` or a `share` that only one step names, so that it keeps nothing apart or together.

use foldhash::{HashMap, HashMapExt};

use crate::analysis::facts::Facts;
use crate::diagnostic::{Diagnostic, nearest};

/// Names among which the one that was meant is looked for.
const NAMES: usize = 100;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = &facts.scenario.steps;
    if steps.iter().all(|s| s.locks.is_empty() && s.share.is_none()) {
        return;
    }
    let mut users: HashMap<(&str, &str), usize> = HashMap::new();
    for step in steps {
        step.locks.iter().for_each(|name| *users.entry(("lock", name)).or_default() += 1);
        step.share.iter().for_each(|name| *users.entry(("share", name)).or_default() += 1);
    }
    let mut shared: Vec<(&str, &str)> = users.iter().filter(|(_, n)| **n > 1).map(|(used, _)| *used).collect();
    shared.sort_unstable();
    for (i, step) in steps.iter().enumerate() {
        let own = step.locks.iter().map(|name| ("lock", name)).chain(step.share.iter().map(|name| ("share", name)));
        for (word, name) in own.filter(|(word, name)| users.get(&(*word, name.as_str())) == Some(&1)) {
            let label = match word {
                "lock" => "no other step uses it: it keeps nothing apart",
                _ => "no other step has it: it lets nothing run beside it",
            };
            let headline = format!("only `{}` has `{word}: {name}`", step.id);
            let found = Diagnostic::warn("idle-lock", headline, facts.step(i).keys.value(word), label);
            findings.push(match nearest(name, shared.iter().filter(|(w, _)| *w == word).take(NAMES).map(|(_, n)| *n)) {
                Some(near) => found.help(format!("write `{}`, as other steps do", near.word)),
                None => found.help(format!("write `{word}: {name}` in the other step too, or leave it out")),
            });
        }
    }
}
