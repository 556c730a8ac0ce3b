//! A run that goes on where another one stood, with a changed plan and real commands: what is taken over, what is done
//! again, what is asked, and that nothing is done twice or forgotten.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod support {
    pub mod desk;
}

use serde_json::Value;
use support::desk::{Desk, Said};

/// A plan with these steps.
fn plan(name: &str, steps: &str) -> String {
    format!(
        "drplan: v1\nname: {name}\nowner: ops\ncontacts: {{ ops: {{ title: Operations }} }}\nassets:\n  app: {{ kind: other, tier: none }}\n  \
         db: {{ kind: other, tier: none }}\nscenarios:\n  move:\n    cause: planned\n    steps:\n{steps}"
    )
}

/// A step that writes its name into a file, and takes it out again.
fn step(id: &str, word: &str, more: &str) -> String {
    let back = format!("sed -i /^{word}$/d names; echo undone-{word} >> back");
    format!(
        "      - {{ id: {id}, uses: command, with: {{ argv: [sh, -c, \"echo {word} >> names\"] }}, takes: 1s{more}, \
         undo: {{ uses: command, with: {{ argv: [sh, -c, \"{back}\"] }} }} }}\n"
    )
}

/// A step that fails until a file is there.
fn gate(id: &str) -> String {
    format!("      - {{ id: {id}, uses: command, with: {{ argv: [test, -e, open] }}, takes: 1s, undo: {{ none: it only looks }} }}\n")
}

fn runs(desk: &Desk) -> Vec<Value> {
    serde_json::from_str(&desk.say(&["runs", "--json"]).out).unwrap()
}

fn newest(desk: &Desk) -> String {
    runs(desk)[0]["id"].as_str().unwrap().to_owned()
}

/// Every event of a run.
fn events(desk: &Desk, run: &str) -> Vec<Value> {
    let said = desk.say(&["log", run, "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
}

#[track_caller]
fn ended(said: &Said, code: i32) {
    assert_eq!(said.code, Some(code), "{}\n{}", said.out, said.err);
}

#[track_caller]
fn refused(said: &Said, code: i32, words: &str) {
    assert_eq!(said.code, Some(code), "{}\n{}", said.out, said.err);
    assert!(said.err.contains(words), "`{words}` is not said:\n{}", said.err);
}

/// A run whose `a` and `b` are done and whose `stop` failed.
fn stopped(steps: &str) -> (Desk, String) {
    let desk = Desk::new(&plan("cli", steps));
    ended(&desk.say(&["run", "--yes"]), 11);
    let run = newest(&desk);
    (desk, run)
}

fn adopt(desk: &Desk, run: &str, steps: &str) -> Said {
    std::fs::write(desk.path("plan.yaml"), plan("cli", steps)).unwrap();
    desk.say(&["run", "--yes", "--adopt", run, "--reason", "the plan was mended"])
}

#[test]
fn what_is_the_same_is_taken_over_and_the_rest_is_done() {
    let (a, b) = (step("a", "a", ""), step("b", "b", ""));
    let (desk, old) = stopped(&format!("{a}{b}{}", gate("stop")));
    let said = adopt(&desk, &old, &format!("{a}{b}{}", step("c", "c", "")));
    // The step that failed is in no step of the new plan.
    ended(&said, 11);
    assert!(said.err.contains("taken over (2): a, b"), "{}", said.err);
    assert!(said.err.contains("in no step of this plan, asked about (1):\n      stop@"), "{}", said.err);
    assert_eq!(desk.text("names"), "a\nb\n", "nothing that changes anything begins before it is answered");
    let new = newest(&desk);
    let left = format!("stop@{}", old.rsplit('-').next().unwrap());
    let answer = format!("drplan resolve {new} {left} --as not-done --reason …");
    assert!(said.out.contains(&answer), "{}", said.out);
    ended(&desk.say(&["resolve", &new, &left, "--as", "not-done", "--reason", "it only looks"]), 0);
    ended(&desk.say(&["resume", "--yes"]), 0);
    assert_eq!(desk.text("names"), "a\nb\nc\n");

    // Each names the other.
    let (first, second) = (events(&desk, &old), events(&desk, &new));
    assert_eq!(first.last().unwrap()["event"], "adopted_by");
    assert_eq!(first.last().unwrap()["run"], Value::from(new.as_str()));
    assert_eq!(second[1]["event"], "adopted");
    assert_eq!(second[1]["run"], Value::from(old.as_str()));
    let head = runs(&desk).into_iter().find(|r| r["id"] == Value::from(old.as_str())).unwrap()["head"]["digest"].clone();
    assert_eq!(second[1]["head"], head);
    assert!(second.iter().all(|e| e["event"] != "intent" || e["step"] == "c"), "only `c` was begun");
    ended(&desk.say(&["journal", "verify"]), 0);
    assert!(desk.say(&["log", &new]).out.contains(&format!("adopted run {old}: the plan was mended; 2 steps taken over, 1 open")));
    assert!(desk.say(&["log", &old]).out.contains(&format!("run {new} goes on where this one stood")));
    // Nobody drives the old one any more, and nothing can be said to it.
    refused(&desk.say(&["resume", &old, "--yes"]), 2, &format!("it goes on as run {new}"));
    refused(&desk.say(&["retry", &old, "stop", "--reason", "x"]), 2, "has ended");
    refused(&desk.say(&["rollback", &old, "--yes", "--reason", "x"]), 2, &format!("it goes on as run {new}"));
    assert!(desk.say(&["status", &old]).out.contains("adopted"), "{:?}", desk.say(&["status", &old]));
}
