//! `drplan init` as a person meets it: at a terminal, from examples, and where something stands already.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
    pub mod seat;
}

use std::fs;

use serde_json::Value;
use support::desk::Desk;
use support::seat::Seat;

/// A directory in which nothing stands.
fn empty() -> Desk {
    let desk = Desk::new("");
    fs::remove_file(desk.path("plan.yaml")).unwrap();
    desk
}

/// What an editor has against a plan by the schema that its first line names.
fn editor(desk: &Desk, plan: &str) -> Vec<String> {
    let text = desk.text(plan);
    let schema = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=").expect("the line that editors read");
    let schema: Value = serde_json::from_str(&fs::read_to_string(desk.path(plan).with_file_name(schema)).unwrap()).unwrap();
    let value: Value = serde_yaml::from_str(&text).unwrap();
    jsonschema::validator_for(&schema).unwrap().iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

fn answered(answers: &[(&str, &str)]) -> Desk {
    let desk = empty();
    let mut seat = Seat::at(&desk, &["init"]);
    for (question, answer) in answers {
        seat.sees(question);
        seat.types(answer);
    }
    seat.sees("Wrote plan.yaml, and plan.schema.json for editors.");
    assert_eq!(seat.ends(), Some(0));
    let said = desk.say(&["check", "--deny-warnings"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains(": 1 scenario, no findings\n  "), "{}", said.err);
    assert_eq!(editor(&desk, "plan.yaml"), Vec::<String>::new());
    desk
}

#[test]
fn enter_is_enough() {
    let desk = answered(&[
        ("What the plan is called [", "shop"),
        ("What is to come back: sqlite, postgres, other [sqlite]: ", ""),
        ("Its file, from the plan's directory [data.db]: ", ""),
        ("Where its backups are put [backups/]: ", ""),
        ("How often one is taken: hourly, daily, weekly [daily]: ", ""),
        ("What may happen: damaged, lost [damaged]: ", ""),
    ]);
    let plan = desk.text("plan.yaml");
    assert!(plan.contains("name: shop\n") && plan.contains("rpo: 26h }") && plan.contains("path: \"data.db\""), "{plan}");
    assert!(plan.lines().all(|l| l.chars().count() <= 102), "{plan}");
}

#[test]
fn what_is_answered_stands_in_it_and_what_cannot_be_is_asked_again() {
    let desk = answered(&[
        ("What the plan is called [", "My Shop"),
        ("a name is `a` to `z`", "my-shop"),
        ("What is to come back", "mysql"),
        ("type one of sqlite, postgres, other", "post"),
        ("The host of its primary [db-1.example.com]: ", "10.0.0.7"),
        ("Its database [my-shop]: ", "orders: \"all\""),
        ("The host of its standby [db-2.example.com]: ", "10.0.0.8"),
    ]);
    let plan = desk.text("plan.yaml");
    assert!(plan.contains(r#"host: "10.0.0.7", database: "orders: \"all\"", user"#), "{plan}");
}

#[test]
fn without_a_terminal_nothing_is_asked_and_nothing_written() {
    let desk = empty();
    let said = desk.say(&["init"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("there is no terminal to ask questions at\n  help: drplan init --example NAME"), "{}", said.err);
    let mut seat = Seat::at(&desk, &["init"]);
    seat.sees("What the plan is called");
    seat.presses("\u{4}");
    assert_eq!(seat.ends(), Some(2), "the answers ended");
    let mut seat = Seat::at(&desk, &["init"]);
    seat.sees("What the plan is called");
    seat.is_lost();
    assert_ne!(seat.ends(), Some(0));
    assert_eq!(fs::read_dir(desk.path("")).unwrap().count(), 0);
}

#[test]
fn nothing_is_written_over() {
    let desk = Desk::new("mine");
    for words in [&["init"][..], &["init", "--example", "undo"]] {
        let said = desk.say(words);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("plan.yaml is there already, and nothing is written over\n  help: --out FILE"), "{}", said.err);
    }
    assert_eq!(desk.text("plan.yaml"), "mine");
    fs::write(desk.path("plan.schema.json"), "mine too").unwrap();
    let said = desk.say(&["init", "--example", "undo", "--out", "other.yaml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("plan.schema.json was there already"), "{}", said.err);
    assert_eq!(desk.text("plan.schema.json"), "mine too");
}

#[test]
fn every_example_is_a_plan_without_findings() {
    let desk = empty();
    let listed: Value = serde_json::from_str(&desk.say(&["init", "--example", "--json"]).out).unwrap();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert!(names.len() >= 10, "{names:?}");
    let shown = desk.say(&["init", "--example"]);
    assert_eq!(shown.code, Some(0));
    assert!(shown.out.lines().all(|l| l.chars().count() < 80), "{}", shown.out);
    for name in names {
        assert!(shown.out.contains(&format!("{name}  ")), "{}", shown.out);
        let out = format!("{name}/plan.yaml");
        fs::create_dir(desk.path(name)).unwrap();
        let said = desk.say(&["init", "--example", name, "--out", &out]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.err.starts_with(&format!("Wrote {out}, and {name}/plan.schema.json for editors.")), "{}", said.err);
        assert_eq!(desk.say(&["check", "--deny-warnings", &out]).code, Some(0), "{name}");
        assert_eq!(editor(&desk, &out), Vec::<String>::new(), "{name}");
    }
    let wrong = desk.say(&["init", "--example", "failovr"]);
    assert_eq!(wrong.code, Some(3), "{wrong:?}");
    assert!(wrong.err.contains("help: drplan init --example failover"), "{}", wrong.err);
}
