//! Keeps the house as ARCHITECTURE.md draws it: who may see whom, who may touch what, how a file looks. It reads the
//! sources as they lie there and knows nothing of what they do. `tidy/planted.rs` shows that each law barks.

mod tidy {
    pub mod laws;
    mod planted;
    pub mod scan;
}

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use drplan::analysis::rules::TABLE;
use tidy::laws::{LONG, ROOMS, broken};
use tidy::scan::File;

#[test]
fn the_sources_keep_the_laws() {
    let files = sources();
    assert!(files.len() > 20, "only {} files under src/: is this the right place?", files.len());
    let wrong = broken(&files);
    assert!(wrong.is_empty(), "{} against the laws of the house:\n{}\n", wrong.len(), wrong.join("\n"));
    for (long, _) in LONG {
        assert!(root().join(long).is_file(), "LONG lists {long}, which is not there");
    }
}

#[test]
fn the_table_of_contents_has_every_room_and_nothing_else() {
    let text = read("src/lib.rs");
    let listed: BTreeSet<&str> = text.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).filter(|r| *r != "bin").collect();
    assert_eq!(listed, rooms);
    let code = text.lines().filter(|l| !l.starts_with("//") && !l.is_empty());
    let other: Vec<&str> = code.filter(|l| !l.starts_with("pub mod ")).collect();
    assert!(other.is_empty(), "src/lib.rs holds more than `pub mod` lines: {other:?}");
}

#[test]
fn no_arrow_goes_round() {
    // Each room sees only rooms that stand before it in the table: then there is no circle.
    for (i, (room, seen)) in ROOMS.iter().enumerate() {
        for other in *seen {
            assert!(ROOMS[..i].iter().any(|(before, _)| before == other), "{room} sees {other}, which does not stand above it");
        }
    }
}

#[test]
fn architecture_draws_the_same_table() {
    let text = read("ARCHITECTURE.md");
    let drawn: Vec<(String, String)> = text
        .lines()
        .skip_while(|l| !l.starts_with("| room | may see |"))
        .skip(2)
        .take_while(|l| l.starts_with('|'))
        .map(|l| {
            let cells: Vec<&str> = l.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].replace('`', ""), cells[1].replace('`', ""))
        })
        .collect();
    let meant = ROOMS.iter().map(|(room, seen)| {
        let seen = match (*room, *seen) {
            ("bin", _) => "everything".to_owned(),
            (_, []) => "nothing".to_owned(),
            (_, seen) => seen.join(", "),
        };
        ((*room).to_owned(), seen)
    });
    assert_eq!(drawn, meant.collect::<Vec<_>>(), "ARCHITECTURE.md (left) and tests/tidy/laws.rs (right) differ");
}

#[test]
fn one_thing_has_one_name() {
    // Of the executables of a repository each has a name of its own.
    let file = |name: &str| if name == "./PATH" { "executable".to_owned() } else { name.replace('.', "_") };
    let actions: BTreeSet<String> = drplan::actions::all().iter().map(|a| file(a.name)).collect();
    assert_eq!(stems("src/actions", "md"), actions, "pages (left) and the table of actions (right)");
    let missing: Vec<&String> = actions.iter().filter(|a| !root().join(format!("src/actions/{a}.rs")).is_file()).collect();
    assert!(missing.is_empty(), "actions without a file of their own: {missing:?}");

    let rules: BTreeSet<String> = TABLE.iter().map(|r| r.name.to_owned()).collect();
    assert_eq!(stems("src/analysis/rules", "md"), rules, "pages (left) and the table of rules (right)");
    let files = stems("src/analysis/rules", "rs").into_iter().map(|f| f.replace('_', "-")).filter(|f| f != "mod");
    let strange: Vec<String> = files.filter(|f| !rules.contains(f)).collect();
    assert!(strange.is_empty(), "files of rules that the table does not have: {strange:?}");
    assert!(TABLE.is_sorted_by_key(|r| r.name), "the table of rules is not in order");
}

#[test]
fn every_finding_is_of_a_rule_that_can_be_explained() {
    let mut named = 0;
    for path in rust_files("src") {
        let text = read(&path);
        for (line, rule) in found_rules(&text) {
            named += 1;
            assert!(
                TABLE.iter().any(|r| r.name == rule),
                "{path}:{line}: `{rule}` is not in the table of rules: drplan explain has no page"
            );
        }
    }
    assert!(named > 20, "only {named} findings: is `Diagnostic` made in another way now?");
    assert_eq!(found_rules("x\nDiagnostic::deny(\n    \"no-rule\", at)").collect::<Vec<_>>(), [(2, "no-rule")]);
}

/// Names of rules for which a text makes findings, with their lines.
fn found_rules(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let made = ["Diagnostic::deny(", "Diagnostic::warn(", "Diagnostic::new("].into_iter().flat_map(|made| text.match_indices(made));
    made.filter_map(|(at, made)| {
        let (rule, _) = text[at + made.len()..].trim_start().strip_prefix('"')?.split_once('"')?;
        Some((text[..at].matches('\n').count() + 1, rule))
    })
}

#[test]
fn no_test_is_ignored() {
    let ignored: Vec<String> = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .filter(|path| !path.starts_with("tests/tidy"))
        .flat_map(|path| {
            let text = read(&path);
            let hits = text.lines().enumerate().filter(|(_, l)| l.trim_start().starts_with("#[ignore")).map(|(i, _)| i + 1);
            hits.map(|line| format!("{path}:{line}")).collect::<Vec<_>>()
        })
        .collect();
    assert!(ignored.is_empty(), "a test that does not run proves nothing: {ignored:?}");
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let text = read("Cargo.toml");
    let mut in_dependencies = false;
    let mut before = "";
    for line in text.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && line.contains(" = ") {
            assert!(before.starts_with("# "), "Cargo.toml: `{line}` without a line above that gives the reason");
        }
        before = line;
    }
}

fn sources() -> Vec<File> {
    rust_files("src").iter().map(|path| File::read(path, &read(path))).collect()
}

/// Paths of all Rust files below a folder, from the root, sorted.
fn rust_files(folder: &str) -> Vec<String> {
    let mut out = BTreeSet::new();
    let mut open = vec![root().join(folder)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a folder can be read to its end").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.insert(path.strip_prefix(root()).expect("it lies below the root").to_string_lossy().into_owned());
            }
        }
    }
    out.into_iter().collect()
}

/// Names, without their endings, of the files of one kind in a folder.
fn stems(folder: &str, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let paths = entries.map(|e| e.expect("a folder can be read to its end").path()).filter(|p| p.extension().is_some_and(|e| e == ending));
    paths.map(|p| p.file_stem().expect("it has a name").to_string_lossy().into_owned()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}
