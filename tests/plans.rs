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
fn every_scenario_ends_well_if_every_step_does() {
    for plan in plans() {
        let plan = plan.display().to_string();
        let out = drplan(&["check", "--json", &plan]);
        assert!(out.status.success());
        let text = std::fs::read_to_string(&plan).expect("the plan");
        let scenarios = text.split("\nscenarios:\n").nth(1).expect("scenarios");
        let names = scenarios.lines().filter_map(|l| l.strip_prefix("  ")).filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()));
        for name in names.map(|l| l.trim_end_matches(':')) {
            let out = drplan(&["dry-run", "--offline", &plan, "-s", name]);
            assert!(out.status.success(), "{}", words(&out));
        }
    }
}
