//! The plans of this repository: nothing is wrong with them, and the pages beside them say what they say.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn drplan(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("DRPLAN_FORMAT").env_remove("DRPLAN_COLOR");
    command.output().expect("the program starts")
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn plans() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).expect("there are plans").flatten().map(|e| e.path().join("plan.yaml")).collect();
    all.retain(|p| p.exists());
    all.sort();
    assert!(all.len() >= 2, "{all:?}");
    all
}

#[test]
fn nothing_is_wrong_with_them() {
    let out = drplan(&["check", "--deny-warnings", "plans"]);
    assert!(out.status.success(), "{}", words(&out));
}

#[test]
fn their_runbooks_are_fresh() {
    for plan in plans() {
        let out = drplan(&["render", "--check", &plan.display().to_string()]);
        assert!(out.status.success(), "{}", words(&out));
    }
}

/// A service that knows idempotency keys would take the way back for the way there, and do nothing.
#[test]
fn a_way_back_has_a_key_of_its_own() {
    let mut both = 0;
    for plan in plans() {
        for page in std::fs::read_dir(plan.parent().expect("a folder")).expect("it is read").flatten().map(|e| e.path()) {
            if page.extension().is_none_or(|e| e != "md") {
                continue;
            }
            for step in std::fs::read_to_string(&page).expect("a page").split("\n## ") {
                let (mut forth, mut back, mut fence) = (Vec::new(), Vec::new(), "");
                for line in step.lines() {
                    match line.strip_prefix("```") {
                        Some(info) => fence = info,
                        None => {
                            let key = line.strip_prefix(": \"${").and_then(|rest| rest.split(":=").next());
                            if fence == "sh undo" { &mut back } else { &mut forth }.extend(key);
                        }
                    }
                }
                assert!(!forth.iter().any(|key| back.contains(key)), "{}: {forth:?} and {back:?}", page.display());
                both += usize::from(!forth.is_empty() && !back.is_empty());
            }
        }
    }
    assert!(both > 5, "{both} steps have a key there and back");
}

#[test]
fn a_stale_runbook_is_noticed_and_the_help_mends_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let plan = dir.path().join("plan.yaml").display().to_string();
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/quickstart/plan.yaml"), &plan).expect("a copy");
    let out = drplan(&["render", "--check", &plan]);
    assert_eq!(out.status.code(), Some(1), "{}", words(&out));
    let said = words(&out);
    let help = said.lines().find_map(|l| l.trim().strip_prefix("help: drplan ")).expect("a help").to_owned();
    assert!(drplan(&help.split(' ').collect::<Vec<_>>()).status.success(), "{help}");
    assert!(drplan(&["render", "--check", &plan]).status.success());
    let page = dir.path().join("RUNBOOK.md");
    std::fs::write(&page, std::fs::read_to_string(&page).expect("the page") + "\n").expect("written");
    assert_eq!(drplan(&["render", "--check", &plan]).status.code(), Some(1));
}

#[test]
fn every_scenario_and_drill_ends_well_if_every_step_does() {
    for plan in plans() {
        let plan = plan.display().to_string();
        let out = drplan(&["check", "--json", &plan]);
        assert!(out.status.success());
        // They stand in the plan, or in a file beside it that it includes.
        let beside = std::fs::read_dir(Path::new(&plan).parent().expect("a folder")).expect("it is read").flatten().map(|e| e.path());
        let texts: Vec<String> = beside.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
        let texts = || texts.iter().filter(|t| t.contains("drplan: v1\n"));
        // What a drill leaves out is no flaw of it.
        for (option, key) in [("--scenario", "\nscenarios:\n"), ("--drill", "\ndrills:\n")] {
            let part = texts().find_map(|t| t.split(key).nth(1)).unwrap_or_default();
            assert!(option == "--drill" || !part.is_empty(), "{plan} has no scenarios");
            let lower = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
            let names = part.lines().take_while(|l| !lower(l)).filter_map(|l| l.strip_prefix("  ")?.split(':').next());
            for name in names.filter(|name| lower(name)) {
                let out = drplan(&["dry-run", "--offline", &plan, option, name]);
                assert!(out.status.success(), "{option} {name}: {}", words(&out));
            }
        }
    }
}

/// `plans/COVERAGE.md` says which line of which plan carries a fact; UPDATE_DOCS=1 writes the lines' numbers anew.
#[test]
fn every_fact_stands_where_its_coverage_says() {
    let file = root("plans/COVERAGE.md");
    let page = std::fs::read_to_string(&file).expect("the page");
    let mut wrong = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    let mut facts = 0;
    for line in page.lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        let place = cells.get(1).and_then(|c| c.rsplit_once(':')).filter(|(path, _)| path.starts_with("plans/"));
        let (Some((path, number)), Some(snippet)) = (place, cells.get(2)) else {
            if line.starts_with("| ") && cells.len() == 3 && !cells[1].starts_with("none") && cells[1] != "where" {
                wrong.push(format!("neither a place nor a reason: {line}"));
            }
            lines.push(line.to_owned());
            continue;
        };
        facts += 1;
        let snippet = snippet.trim_end_matches(" |").trim_matches('`').replace("\\|", "|");
        let plan = std::fs::read_to_string(root(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let number: usize = number.parse().unwrap_or(0);
        let here = |n: &usize| plan.lines().nth(n.wrapping_sub(1)).is_some_and(|l| l.contains(&snippet));
        let found = (1..=plan.lines().count()).filter(here).min_by_key(|n| n.abs_diff(number));
        match found {
            Some(n) if n != number => {
                wrong.push(format!("{path}:{number} is {n} now: {snippet}"));
                lines.push(line.replacen(&format!("{path}:{number}"), &format!("{path}:{n}"), 1));
                continue;
            }
            Some(_) => {}
            None => wrong.push(format!("{path} has no line with: {snippet}")),
        }
        lines.push(line.to_owned());
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, lines.join("\n") + "\n").expect("the page is written");
    } else {
        assert_eq!(wrong, [""; 0], "UPDATE_DOCS=1 writes new numbers");
    }
    assert!(facts >= 10, "{facts} facts");
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
