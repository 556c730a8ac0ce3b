//! `docs/CONFORMANCE.md`: which action keeps which law, and where a law cannot be asked of an action, why. Every row is
//! held against what was just found; `UPDATE_DOCS=1` writes it instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, read_to_string, write};

use drplan::actions;

use super::laws::LAWS;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFORMANCE.md");
const KEPT: &str = "✓";

/// By action and in the order of the laws: kept, or why it cannot be asked.
type Rows = BTreeMap<String, Vec<Result<(), String>>>;

/// Holds the table's row of an action against what was found.
pub fn row(action: &str, cells: &[Result<(), &str>]) {
    let found: Vec<Result<(), String>> = cells.iter().map(|c| c.map_err(str::to_owned)).collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let lock = File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
        lock.lock().unwrap();
        let mut rows = read(&read_to_string(FILE).unwrap_or_default());
        rows.insert(action.to_owned(), found);
        rows.retain(|name, _| name.split(' ').next().is_some_and(|action| actions::find(action).is_some()));
        write(FILE, text(&rows)).unwrap();
        return;
    }
    let rows = read(&read_to_string(FILE).expect("docs/CONFORMANCE.md is there"));
    assert_eq!(rows.get(action), Some(&found), "docs/CONFORMANCE.md does not say what {action} does: UPDATE_DOCS=1 writes it");
}

#[test]
fn every_action_has_its_row_and_the_table_is_as_it_would_be_written() {
    let text_now = read_to_string(FILE).expect("docs/CONFORMANCE.md is there");
    let rows = read(&text_now);
    for action in actions::all() {
        assert!(rows.contains_key(action.name), "{}: a row in docs/CONFORMANCE.md comes from a stand, see laws.rs", action.name);
    }
    assert_eq!(text(&rows), text_now, "docs/CONFORMANCE.md was edited by hand");
}

fn text(rows: &Rows) -> String {
    let reasons: BTreeSet<&str> = rows.values().flatten().filter_map(|c| c.as_ref().err().map(String::as_str)).collect();
    let number = |why: &str| reasons.iter().position(|r| *r == why).expect("it was collected from the rows") + 1;
    let mut out = String::from(
        "# Conformance\n\nEvery action is held against these laws, beside a real server of its kind and against what may go wrong on the \
         way to it. ✓ is a law that\nthe tests have just seen kept; a number says below why it cannot be asked of that action. The tests \
         compare each row with what they find\n(`cargo test --test conformance_actions`), and write it with `UPDATE_DOCS=1`.\n\n## Laws\n\n",
    );
    for (_, column, says) in LAWS {
        out.push_str(&format!("- **{column}**: {says}\n"));
    }
    out.push_str("\n## Actions\n\n| action |");
    LAWS.iter().for_each(|(_, column, _)| out.push_str(&format!(" {column} |")));
    out.push_str(&format!("\n|---|{}\n", "---|".repeat(LAWS.len())));
    for (action, cells) in rows {
        out.push_str(&format!("| `{action}` |"));
        for cell in cells {
            out.push_str(&match cell {
                Ok(()) => format!(" {KEPT} |"),
                Err(why) => format!(" {} |", number(why)),
            });
        }
        out.push('\n');
    }
    out.push_str("\n## Why not\n\n");
    for (i, why) in reasons.iter().enumerate() {
        out.push_str(&format!("{}. {why}\n", i + 1));
    }
    out
}

fn read(text: &str) -> Rows {
    let reasons: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once(". ")).collect();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ");
        let action = cells.next()?.trim_end_matches('`').to_owned();
        let cells = cells.map(|c| if c == KEPT { Ok(()) } else { Err(reasons.get(c).copied().unwrap_or("?").to_owned()) });
        Some((action, cells.collect()))
    };
    text.lines().filter_map(row).collect()
}
