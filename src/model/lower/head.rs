//! The first words of a plan: whether it is one, and of which version. Of what is none nothing else is said.

use crate::diagnostic::Diagnostic;
use crate::model::vocabulary::PLAN;
use crate::syntax::Node;

/// Why a text is no plan that this program reads, if it is none.
pub fn problem(root: &Node<'_>) -> Option<Diagnostic> {
    const BEGIN: &str = "begin with `drplan: v1`, `name: …` and `scenarios:`; `drplan init` writes a first plan";
    let Some(entries) = root.map() else {
        let found = Diagnostic::deny("not-a-plan", "a plan is a map of keys", root.head(), format!("this is {}", root.kind()));
        return Some(found.help(BEGIN));
    };
    let known = entries.iter().filter(|e| e.key != "name" && PLAN.iter().any(|f| f.name == e.key)).count();
    if known == 0 {
        let found = Diagnostic::deny("not-a-plan", "this is not a plan", root.head(), "no key of a plan stands in this text");
        return Some(found.help(BEGIN));
    }
    let version = root.entry("drplan").filter(|e| !e.value.is_null())?;
    if version.value.scalar().is_some_and(|s| s.text == "v1") {
        return None;
    }
    let newer = version.value.scalar().is_some_and(|s| s.text.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 1)));
    let found = Diagnostic::deny(
        "unknown-version",
        "the plan is of a version that is not known here",
        version.value.head(),
        "this program reads `v1`",
    );
    Some(found.help(if newer { "use a newer `drplan`, or write the plan anew as `drplan: v1`" } else { "write `drplan: v1`" }))
}
