//! `drplan check` from the outside: exit codes, which stream says what, and files that `--fix` changes, or leaves alone.

mod support {
    pub mod desk;
}

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::Value;
use support::desk::Desk;

const GOOD: &str = "drplan: v1\nname: good # a comment\nscenarios:\n  a:\n    cause: planned\n    steps:\n      - { id: w, uses: wait, with: { for: 1s }, takes: 1s }\n";

/// Two mistakes, one of which can be repaired.
fn bad() -> String {
    GOOD.replace("planned", "planed").replace("takes: 1s", "takes: 1")
}

#[test]
fn every_format_for_programs_is_one_document_on_standard_output() {
    let desk = Desk::new(&bad());
    for (format, begins) in [
        ("json", "{\n  \"plans\""),
        ("jsonl", "{\"fix\""),
        ("sarif", "{\n  \"$schema\""),
        ("github", "::error file=plan.yaml,line=5,"),
        ("gitlab", "[\n  {"),
        ("junit", "<?xml"),
    ] {
        let said = desk.say(&["check", "--format", format, "plan.yaml"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.starts_with(begins), "{format}: {}", said.out);
        assert_eq!(said.err, "", "{format}");
    }
    for format in ["human", "short"] {
        let said = desk.say(&["check", "--format", format, "plan.yaml"]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
        assert!(said.err.ends_with("plan.yaml: 1 scenario, 2 mistakes; `drplan check --fix` repairs 1 of them\n"), "{}", said.err);
    }
    assert_eq!(desk.say(&["check", "--json"]).out, desk.say(&["check", "--format", "json"]).out);
    assert_eq!(desk.say(&["check", "--format", "xml"]).code, Some(2));
}

#[test]
fn files_are_named_from_where_one_stands() {
    let desk = Desk::new(&bad());
    let absolute = desk.path("plan.yaml").canonicalize().unwrap().display().to_string();
    for path in ["plan.yaml", "./plan.yaml", &absolute] {
        let said = desk.say(&["check", "--format", "short", path]);
        assert!(said.err.starts_with("plan.yaml:5:12: deny[unknown-word]: "), "{path}: {}", said.err);
    }
    fs::create_dir(desk.path("below")).unwrap();
    let said = support::desk::said(desk.program(&["check", "--format", "short", "../plan.yaml"]).current_dir(desk.path("below")));
    assert!(said.err.starts_with("../plan.yaml:5:12: "), "{}", said.err);
}

#[test]
fn the_worst_of_several_plans_counts_and_all_are_looked_at() {
    let desk = Desk::new(GOOD);
    fs::write(desk.path("bad.yaml"), bad()).unwrap();
    assert_eq!(desk.say(&["check", "plan.yaml"]).code, Some(0));
    assert_eq!(desk.say(&["check", "plan.yaml", "bad.yaml"]).code, Some(1));
    fs::write(desk.path("secret.yaml"), GOOD).unwrap();
    fs::remove_file(desk.path("secret.yaml")).unwrap();
    symlink("nowhere", desk.path("dangling.yaml")).unwrap();
    let said = desk.say(&["check", "--format", "json", "bad.yaml", "plan.yaml"]);
    let plans: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&plans["summary"]["plans"], &plans["summary"]["passed"]), (&2.into(), &1.into()));
    assert_eq!(desk.say(&["check", "none.yaml"]).code, Some(3));
    assert_eq!(desk.say(&["check", "dangling.yaml"]).code, Some(3));
}

#[test]
fn fix_repairs_what_it_says_and_keeps_the_rest() {
    let desk = Desk::new(&bad().replace('\n', "\r\n"));
    fs::set_permissions(desk.path("plan.yaml"), Permissions::from_mode(0o600)).unwrap();
    let said = desk.say(&["check", "--fix", "--format", "short", "plan.yaml"]);
    assert_eq!(said.code, Some(1), "one mistake is left: {said:?}");
    assert!(said.err.starts_with("plan.yaml: 1 repair\n  5:12: write `planned` [unknown-word]\nplan.yaml:7:"), "{}", said.err);
    assert!(said.err.ends_with("plan.yaml: 1 scenario, 1 mistake\n"), "{}", said.err);
    assert_eq!(desk.text("plan.yaml"), bad().replace("planed", "planned").replace('\n', "\r\n"));
    assert_eq!(fs::metadata(desk.path("plan.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(desk.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["plan.yaml"], "nothing is left beside it");
}

#[test]
fn a_plan_in_which_nothing_is_repaired_is_not_written() {
    let desk = Desk::new(GOOD);
    let before = fs::metadata(desk.path("plan.yaml")).unwrap();
    let said = desk.say(&["check", "--fix"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), "plan.yaml: 1 scenario, no findings\n  a  no copy takes over\n"));
    let after = fs::metadata(desk.path("plan.yaml")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[test]
fn what_a_plan_includes_is_repaired_too_but_nothing_outside() {
    let desk = Desk::new(&GOOD.replace("scenarios", "include: [part.yaml]\nscenarios"));
    fs::write(desk.path("part.yaml"), "drplan: v1\nassets:\n  db: { kind: sqlte, tier: none, connect: { path: x.db } }\n").unwrap();
    let said = desk.say(&["check", "--fix"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.starts_with("part.yaml: 1 repair\n  3:15: write `sqlite` [unknown-word]\n"), "{}", said.err);
    assert!(desk.text("part.yaml").contains("kind: sqlite,"));
    // A link that leads out of the plan's directory.
    let elsewhere = Desk::new(&bad());
    fs::remove_file(desk.path("plan.yaml")).unwrap();
    symlink(elsewhere.path("plan.yaml"), desk.path("plan.yaml")).unwrap();
    let said = desk.say(&["check", "--fix", "plan.yaml"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("plan.yaml was not changed: it lies outside"), "{}", said.err);
    assert_eq!(elsewhere.text("plan.yaml"), bad());
}

#[test]
fn a_file_that_is_read_only_stays_so() {
    let desk = Desk::new(&bad());
    fs::set_permissions(desk.path("plan.yaml"), Permissions::from_mode(0o444)).unwrap();
    let said = desk.say(&["check", "--fix"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("plan.yaml was not changed: it is read-only"), "{}", said.err);
    assert_eq!(desk.text("plan.yaml"), bad());
}
