//! A command of effect `once` and the program's death in its middle: while its supervisor lives its end is awaited, else
//! a person is asked. It is never run twice.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::program::{Going, Program, wait_until};

/// Writes a line when it begins, and ends when it is let go.
const PLAN: &str = r#"
drplan: v1
name: once
scenarios:
  move:
    cause: planned
    steps:
      - id: pay
        uses: command
        with: { argv: [sh, -c, "echo begun >> effect; until [ -e go ]; do sleep 0.02; done; echo ended >> effect"] }
        effect: once
        takes: 5s
        undo: { none: "money that was sent is sent" }
      - id: after
        uses: command
        with: { argv: [sh, -c, "echo after >> effect"] }
        effect: idempotent
        takes: 1s
        undo: { none: "a line more does no harm" }
"#;

#[test]
fn death_in_a_once_command_and_of_its_supervisor() {
    let (program, mut run, id) = in_the_middle();
    let supervisors = supervisors(run.pid());
    run.kill();
    for pid in &supervisors {
        println!("  $ kill -9 {pid}    (its supervisor)");
        assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    }
    fs::write(file(&program, "go"), "").unwrap();
    wait_until("the command has ended, and nobody saw how", || effect(&program).contains("ended"));

    let mut resumed = program.start(&["resume", &id, "--yes"]);
    assert_eq!(resumed.end(&program, &[]), 12);
    assert!(resumed.text().contains(&format!("drplan resolve {id} pay --as done --reason")), "it says what to type");
    assert_eq!(effect(&program), "begun\nended\n", "nothing went on, and nothing was repeated");
    let said = program.say(&["resolve", &id, "pay", "--as", "done", "--reason", "the bank has it"]);
    assert_eq!(said.code, 0);
    let mut resumed = program.start(&["resume", &id, "--yes"]);
    assert_eq!(resumed.end(&program, &[]), 0);
    assert_eq!(effect(&program), "begun\nended\nafter\n");
}

#[test]
fn death_in_a_once_command_alone() {
    let (program, mut run, id) = in_the_middle();
    assert_eq!(supervisors(run.pid()).len(), 1);
    run.kill();
    let mut resumed = program.start(&["resume", &id, "--yes"]);
    // It looks first; only then is the command let go.
    resumed.until(&program, &[], |line| line.contains("pay") && line.contains("still runs"));
    assert_eq!(effect(&program), "begun\n");
    fs::write(file(&program, "go"), "").unwrap();
    assert_eq!(resumed.end(&program, &[]), 0);
    assert_eq!(effect(&program), "begun\nended\nafter\n");
    let known = program.events(&id, "pay");
    let done: Vec<_> = known.iter().filter(|e| e["event"] == "done").collect();
    assert!(done.len() == 1 && done[0]["found"] == true, "{known:#?}");
    assert_eq!(known.iter().filter(|e| e["event"] == "intent").count(), 1, "{known:#?}");
}

/// A run whose command has begun and does not end.
fn in_the_middle() -> (Program, Going, String) {
    let program = Program::new();
    fs::write(file(&program, "plan.yaml"), PLAN).unwrap();
    let plan = file(&program, "plan.yaml").display().to_string();
    let run = program.start(&["run", &plan, "--yes"]);
    wait_until("the command has begun", || effect(&program) == "begun\n");
    let id = program.run();
    (program, run, id)
}

fn file(program: &Program, name: &str) -> PathBuf {
    program.home.path().join(name)
}

fn effect(program: &Program) -> String {
    fs::read_to_string(file(program, "effect")).unwrap_or_default()
}

/// The supervisors that a driver started.
fn supervisors(driver: u32) -> Vec<String> {
    let output = Command::new("pgrep").args(["-P", &driver.to_string(), "-f", " supervise "]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
