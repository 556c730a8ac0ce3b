//! `base-circle`: backups that build on each other, with no whole one among them.

use foldhash::HashSet;

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    // Looked at once, whatever begins there.
    let mut seen: HashSet<(&str, &str)> = HashSet::default();
    for (id, _, backup, _) in whole.backups() {
        let mut chain = Vec::new();
        let mut next = Some(backup);
        while let Some(at) = next.filter(|b| seen.insert((id, &b.id))) {
            chain.push(at);
            next = whole.base(id, at);
        }
        let Some(first) = next.and_then(|back| chain.iter().position(|b| b.id == back.id)) else { continue };
        let circle = &chain[first..];
        let placed =
            |name: &str| whole.places.backups.get(id).into_iter().flatten().zip(&whole.plan.assets[id].backups).find(|(_, b)| b.id == name);
        let Some((at, _)) = placed(&circle[0].id) else { continue };
        let way: Vec<String> = circle.iter().take(5).map(|b| format!("`{}`", b.id)).collect();
        let more = if circle.len() > way.len() { " → …" } else { "" };
        let headline = format!("backups of `{id}` build on each other, none of them is whole");
        let label = format!("{}{more} → `{}`", way.join(" → "), circle[0].id);
        let found = Diagnostic::deny("base-circle", headline, at.keys.value("base"), label);
        findings.push(found.help(format!("let one of them be whole: `method: full` in `{}`, without `base`", circle[0].id)));
    }
}
