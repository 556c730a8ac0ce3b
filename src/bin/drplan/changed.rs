//! What changed between two compiled plans, as lines for a screen. It does not compare.

use drplan::model::changes::Change;

/// As wide as it may be beside its indent on a small screen.
const WIDTH: usize = 74;

/// The first of these, most important first, and how many more there are.
pub fn listed(changes: &[Change], most: usize) -> String {
    let mut out = String::new();
    for line in changes.iter().take(most).flat_map(|change| change.lines(WIDTH)) {
        out.push_str(&format!("    {line}\n"));
    }
    if changes.len() > most {
        out.push_str(&format!("    … and {} more\n", changes.len() - most));
    }
    out
}
