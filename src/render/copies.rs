//! Where the copies of what must come back lie, as a table of the runbook. It does not know which one a step uses.

use std::collections::BTreeSet;

use serde::Serialize;

use super::escape::code;
use super::view;
use crate::actions::units::duration_text;
use crate::model::Compiled;

/// A row of the table.
#[derive(Serialize)]
pub(super) struct Copy {
    asset: String,
    what: String,
    place: String,
    kept: String,
}

/// Where the copies of the assets of this scenario lie.
pub(super) fn of(compiled: &Compiled) -> Vec<Copy> {
    let used: BTreeSet<&String> = compiled.scenario.steps.iter().flat_map(|s| &s.assets).collect();
    let assets = compiled.plan.assets.iter().filter(|(id, _)| used.contains(id));
    let at = |site: &Option<String>| site.as_ref().map(|s| format!(", {}", view::site(compiled, s))).unwrap_or_default();
    let mut out = Vec::new();
    for (id, asset) in assets {
        for backup in &asset.backups {
            let method = backup.method;
            let when = match (&backup.schedule, backup.continuous_ms) {
                (Some(cron), _) => format!(", {} {}", code(cron), backup.timezone.as_deref().unwrap_or("UTC")),
                (None, Some(ms)) => format!(", at most {} behind", duration_text(ms)),
                (None, None) => String::new(),
            };
            let key = backup.encryption.as_ref().map(|e| format!(", encrypted with {}{}", code(&e.key), at(&e.site))).unwrap_or_default();
            let row = |place: String, keep: &Option<serde_json::Value>| Copy {
                asset: id.clone(),
                what: format!("{}: {method}{when}", code(&backup.id)),
                place,
                kept: keep.as_ref().map_or_else(|| "–".to_owned(), kept),
            };
            out.push(row(format!("{}{}{key}", code(&backup.to), at(&backup.site)), &backup.keep));
            let copies = backup.copies.iter();
            out.extend(copies.map(|c| row(format!("{}{}", code(&c.to), at(&c.site)), &c.keep)));
        }
    }
    out
}

/// How long something is kept, as typed, in words.
fn kept(keep: &serde_json::Value) -> String {
    match keep.as_object() {
        Some(map) => {
            let each = map.iter().map(|(unit, n)| {
                let n = crate::actions::template::plain(n);
                if unit == "last" { format!("the last {n}") } else { format!("{unit} ones {n}") }
            });
            each.collect::<Vec<_>>().join(", ")
        }
        None => crate::actions::template::plain(keep),
    }
}
