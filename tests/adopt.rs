//! A run that goes on where another one stood, with a changed plan and real commands: what is taken over, what is done
//! again, what is asked, and that nothing is done twice or forgotten.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "adoption/simulated.rs"]
mod simulated;
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
    let head = runs(&desk).into_iter().find(|r| r["id"] == old.as_str()).unwrap()["head"]["digest"].clone();
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

#[test]
fn what_stands_on_something_else_is_not_taken_over() {
    let (b, stop) = (step("b", "b", ""), gate("stop"));
    let (desk, old) = stopped(&format!("{}{b}{stop}", step("a", "a", "")));
    // `b` is the same, and `a` before it is not.
    let said = adopt(&desk, &old, &format!("{}{b}{stop}", step("a", "other", "")));
    ended(&said, 11);
    let new = newest(&desk);
    let tail = old.rsplit('-').next().unwrap();
    assert!(said.err.contains("asked about (1):\n      b: it was done, but it stands on `a`, which is not as it was"), "{}", said.err);
    assert!(said.err.contains(&format!("in no step of this plan, asked about (1):\n      a@{tail}: it is in effect")), "{}", said.err);
    assert!(!said.err.contains("taken over"), "{}", said.err);
    assert!(said.out.contains(&format!("drplan retry {new} b --reason …")), "it is a step of the plan: {}", said.out);
    assert!(!said.out.contains(&format!("drplan retry {new} a@{tail}")), "{}", said.out);
    refused(&desk.say(&["retry", &new, &format!("a@{tail}"), "--reason", "x"]), 2, "is not a step of this plan");
    // Answered one by one; nothing begins before the last one.
    ended(&desk.say(&["resolve", &new, &format!("a@{tail}"), "--as", "done", "--reason", "both may stay"]), 0);
    ended(&desk.say(&["resume", "--yes"]), 11);
    assert_eq!(desk.text("names"), "a\nb\n");
    ended(&desk.say(&["retry", &new, "b", "--reason", "on top of the other one"]), 0);
    std::fs::write(desk.path("open"), "").unwrap();
    let ran = desk.say(&["resume", "--yes"]);
    // `stop` failed there, and waits for a word here as it did.
    ended(&ran, 11);
    ended(&desk.say(&["retry", &new, "stop", "--reason", "it is open"]), 0);
    ended(&desk.say(&["resume", "--yes"]), 0);
    assert_eq!(desk.text("names"), "a\nb\nother\nb\n");
    assert!(desk.say(&["status", &new]).out.contains("3 of 3 steps done"));
}

#[test]
fn a_rollback_takes_back_what_was_adopted_in_the_order_in_which_it_happened() {
    let (desk, old) = stopped(&format!(
        "{}{}{}",
        step("a", "a", ""),
        step("b", "b", ""),
        gate("stop").replace("{ none: it only looks }", "{ uses: command, with: { argv: [\"true\"] } }")
    ));
    // `b` is in no step of the new plan, and stands on `a`, which is.
    ended(&adopt(&desk, &old, &format!("{}{}", step("a", "a", ""), step("c", "c", ""))), 11);
    let (new, tail) = (newest(&desk), old.rsplit('-').next().unwrap().to_owned());
    for left in ["b", "stop"] {
        ended(&desk.say(&["resolve", &new, &format!("{left}@{tail}"), "--as", "done", "--reason", "it stays"]), 0);
    }
    ended(&desk.say(&["resume", "--yes"]), 0);
    assert_eq!(desk.text("names"), "a\nb\nc\n");
    // It has ended: a third one goes on, and goes back.
    let (desk, old) = stopped(&format!(
        "{}{}{}",
        step("a", "a", ""),
        step("b", "b", ""),
        gate("stop").replace("{ none: it only looks }", "{ uses: command, with: { argv: [\"true\"] } }")
    ));
    ended(
        &adopt(
            &desk,
            &old,
            &format!(
                "{}{}{}",
                step("a", "a", ""),
                step("c", "c", ""),
                gate("last").replace("{ none: it only looks }", "{ uses: command, with: { argv: [\"true\"] } }")
            ),
        ),
        11,
    );
    let (new, tail) = (newest(&desk), old.rsplit('-').next().unwrap().to_owned());
    for left in ["b", "stop"] {
        ended(&desk.say(&["resolve", &new, &format!("{left}@{tail}"), "--as", "done", "--reason", "it stays"]), 0);
    }
    ended(&desk.say(&["resume", "--yes"]), 11);
    assert_eq!(desk.text("names"), "a\nb\nc\n");
    ended(&desk.say(&["rollback", &new, "--yes", "--reason", "enough"]), 10);
    assert_eq!((desk.text("names"), desk.text("back")), (String::new(), "undone-c\nundone-b\nundone-a\n".to_owned()));
}

#[test]
fn what_may_not_be_adopted_is_refused_and_nothing_is_done() {
    let steps = format!("{}{}", step("a", "a", ""), gate("stop"));
    let (desk, old) = stopped(&steps);
    let because = ["--reason", "x"];
    let run = |more: &[&str]| desk.say(&[&["run", "--yes", "--adopt"], more].concat());
    refused(&desk.say(&["run", "--yes", "--adopt", &old]), 2, "--reason");
    refused(&desk.say(&["run", "--yes", "--reason", "x"]), 2, "--adopt");
    refused(&run(&[&["nobody"], &because[..]].concat()), 3, "there is no run `nobody`");
    std::fs::write(desk.path("plan.yaml"), plan("other", &steps)).unwrap();
    refused(&run(&[&[old.as_str()], &because[..]].concat()), 2, "is of plan `cli`, and this is plan `other`");
    refused(&run(&[&[old.as_str(), "--from-plan", "third"], &because[..]].concat()), 2, "add --from-plan cli");
    std::fs::write(desk.path("plan.yaml"), plan("cli", &steps)).unwrap();
    assert_eq!(runs(&desk).len(), 1, "nothing was begun");
    // Handed over: it goes on elsewhere.
    let out = desk.path("run.export");
    ended(&desk.say(&["hand-over", &old, "-o", out.to_str().unwrap(), "--reason", "x"]), 0);
    refused(&run(&[&[old.as_str()], &because[..]].concat()), 14, "was handed over");
    // Ended.
    let (desk, old) = stopped(&steps);
    ended(&desk.say(&["abort", &old, "--yes", "--reason", "enough"]), 15);
    refused(&desk.say(&["run", "--yes", "--adopt", &old, "--reason", "x"]), 2, "has ended (aborted); there is nothing to adopt");
    assert_eq!(runs(&desk).len(), 1);
}

#[test]
fn said_again_it_goes_on_and_another_plan_is_told_who_has_it() {
    let steps = format!("{}{}", step("a", "a", ""), gate("stop"));
    let (desk, old) = stopped(&steps);
    let mended = format!("{}{}", step("a", "a", ""), step("c", "c", ""));
    ended(&adopt(&desk, &old, &mended), 11);
    let new = newest(&desk);
    // As after a death right behind the adoption: the same is typed again.
    let again = adopt(&desk, &old, &mended);
    ended(&again, 11);
    assert!(again.err.contains(&format!("was adopted for this plan already: run {new} goes on")), "{}", again.err);
    assert_eq!(runs(&desk).len(), 2, "no third run");
    refused(&adopt(&desk, &old, &steps), 2, &format!("was adopted by run {new} already"));
    // And on from there, a third plan: what nobody answered yet is asked again, by the name that it has.
    let third = adopt(&desk, &new, &format!("{mended}{}", step("d", "d", "")));
    ended(&third, 11);
    let left = format!("stop@{}", old.rsplit('-').next().unwrap());
    assert!(third.err.contains("taken over (1): a") && third.err.contains(&format!("      {left}: ")), "{}", third.err);
    let last = newest(&desk);
    ended(&desk.say(&["resolve", &last, &left, "--as", "not-done", "--reason", "it only looks"]), 0);
    ended(&desk.say(&["resume", "--yes"]), 0);
    assert_eq!(desk.text("names"), "a\nc\nd\n");
    ended(&desk.say(&["journal", "verify"]), 0);
}

#[test]
fn approvals_are_asked_again_and_what_was_done_behind_them_counts() {
    let ask = "      - { id: go, uses: approval, with: { ask: \"Go?\", from: [ops] }, takes: 1m }\n";
    let steps = format!("{ask}{}{}", step("a", "a", ""), gate("stop"));
    let (desk, old) = stopped(&steps);
    ended(&desk.say(&["approve", &old, "go", "--as", "ops"]), 0);
    ended(&desk.say(&["resume", "--yes"]), 11);
    assert_eq!(desk.text("names"), "a\n");
    std::fs::write(desk.path("open"), "").unwrap();
    let said = adopt(&desk, &old, &format!("{steps}{}", step("c", "c", "")));
    ended(&said, 11);
    assert!(said.err.contains("taken over (1): a") && said.err.contains("approvals, asked again: go"), "{}", said.err);
    let new = newest(&desk);
    ended(&desk.say(&["retry", &new, "stop", "--reason", "it is open"]), 0);
    ended(&desk.say(&["resume", "--yes"]), 11);
    ended(&desk.say(&["approve", &new, "go", "--as", "ops"]), 0);
    ended(&desk.say(&["resume", "--yes"]), 0);
    assert_eq!(desk.text("names"), "a\nc\n");
}

/// A plan whose every fact may change.
const REVIEWED: &str = r#"drplan: v1
name: cli
params: { word: { type: string, default: one } }
assets: { app: { kind: other, tier: none } }
scenarios:
  move:
    cause: planned
    steps:
      - { id: first, uses: command, with: { argv: [./first.sh] }, takes: 1s, undo: { none: written } }
      - { id: second, uses: command, with: { argv: [sh, -c, "echo $W >> names"], env: { W: "${params.word}" } }, takes: 1s, timeout: 30s, undo: { none: written } }
      - { id: third, needs: [first], uses: command, with: { argv: [sh, -c, "echo third >> names"] }, takes: 1s, undo: { none: written } }
"#;

const FIRST: &str = "#!/bin/sh\necho first >> names\n";

/// A desk with a reviewed plan, compiled, and its digest.
fn reviewed() -> (Desk, String) {
    let desk = Desk::new(REVIEWED);
    std::fs::write(desk.path("first.sh"), FIRST).unwrap();
    executable(&desk);
    let made = desk.say(&["compile", "plan.yaml", "-o", "reviewed.json", "--json"]);
    ended(&made, 0);
    let made: Value = serde_json::from_str(&made.out).unwrap();
    (desk, made["digest"].as_str().unwrap().to_owned())
}

/// What was written, whoever was first.
fn written(desk: &Desk) -> Vec<String> {
    let mut words: Vec<String> = desk.text("names").lines().map(str::to_owned).collect();
    words.sort();
    words
}

fn executable(desk: &Desk) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(desk.path("first.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn changed(desk: &Desk, old: &str, new: &str) {
    assert!(REVIEWED.contains(old), "{old}");
    std::fs::write(desk.path("plan.yaml"), REVIEWED.replace(old, new)).unwrap();
}

#[test]
fn a_compiled_plan_runs_while_the_plan_beside_it_is_the_same() {
    let (desk, _) = reviewed();
    ended(&desk.say(&["run", "reviewed.json", "--yes"]), 0);
    assert_eq!(written(&desk), ["first", "one", "third"]);
    // Its parameters were typed when it was compiled.
    let made = desk.say(&["compile", "plan.yaml", "-p", "word=two", "-o", "two.json"]);
    ended(&made, 0);
    ended(&desk.say(&["run", "two.json", "--yes"]), 0);
    assert_eq!(written(&desk), ["first", "first", "one", "third", "third", "two"]);
}

#[test]
fn a_plan_that_changed_since_is_refused_with_what_changed_most_important_first() {
    for (old, new, line) in [
        ("timeout: 30s", "timeout: 5m", "step `second`: timeout 30s → 5m\n"),
        ("default: one", "default: two", "parameter `word`: value \"one\" → \"two\"\n"),
        ("needs: [first]", "needs: [second]", "step `third`: waits for `second`"),
        ("echo third", "echo 3", "step `third`: with.argv changed\n"),
        ("cause: planned", "cause: planned\n    title: Move it", "scenario: title \"Move it\" (new)\n"),
    ] {
        let (desk, digest) = reviewed();
        changed(&desk, old, new);
        for words in [
            &["run", "reviewed.json", "--yes"][..],
            &["run", "plan.yaml", "--yes", "--expect", "reviewed.json"],
            &["run", "plan.yaml", "--yes", "--expect", &digest],
        ] {
            let said = desk.say(words);
            refused(&said, 13, line);
            let listed: Vec<&str> =
                said.err.lines().skip_while(|l| !l.starts_with("  what is not as it was")).take_while(|l| l.starts_with("  ")).collect();
            assert!(listed.iter().all(|l| l.chars().count() <= 80), "{listed:#?}");
            assert!(!desk.journal().exists(), "nothing is made");
        }
        // Whoever names the digest means this one.
        ended(&desk.say(&["run", "reviewed.json", "--yes", "--expect", &digest]), 0);
        assert_eq!(written(&desk), ["first", "one", "third"]);
    }
    // All of it at once: what decides what happens stands before what decides when, and that before words.
    let (desk, _) = reviewed();
    let all = REVIEWED.replace("echo third", "echo 3").replace("timeout: 30s", "timeout: 5m").replace("needs: [first]", "needs: []");
    std::fs::write(desk.path("plan.yaml"), all.replace("cause: planned", "cause: planned\n    title: Move it")).unwrap();
    std::fs::write(desk.path("first.sh"), "#!/bin/sh\n# other\n").unwrap();
    let said = desk.say(&["run", "reviewed.json", "--yes"]);
    let at = |word: &str| said.err.find(word).unwrap_or_else(|| panic!("`{word}` is not said: {}", said.err));
    let order = ["with.argv", "file `first.sh`", "waits for", "timeout", "title"].map(at);
    assert!(order.is_sorted(), "{}", said.err);
}

#[test]
fn a_file_that_changed_is_not_started() {
    let (desk, digest) = reviewed();
    std::fs::write(desk.path("first.sh"), "#!/bin/sh\necho other >> names\n").unwrap();
    for words in [&["run", "reviewed.json", "--yes"][..], &["run", "reviewed.json", "--yes", "--expect", &digest]] {
        refused(&desk.say(words), 13, "file `first.sh` changed");
    }
    std::fs::remove_file(desk.path("first.sh")).unwrap();
    refused(&desk.say(&["run", "reviewed.json", "--yes", "--expect", &digest]), 13, "file `first.sh` is gone");
    assert!(!desk.journal().exists(), "nothing is made");
    // Also when it changes while the run goes on: right before its start.
    let gate = "      - { id: gate, phase: recover, uses: approval, with: { ask: \"Go?\", from: [ops] }, takes: 1m }\n      - { id: late, uses: command, \
                with: { argv: [./first.sh] }, takes: 1s, undo: { none: written } }\n";
    let desk = Desk::new(&plan("cli", gate));
    std::fs::write(desk.path("first.sh"), FIRST).unwrap();
    executable(&desk);
    ended(&desk.say(&["run", "--yes"]), 11);
    std::fs::write(desk.path("first.sh"), "#!/bin/sh\necho other >> names\n").unwrap();
    ended(&desk.say(&["approve", "gate", "--as", "ops"]), 0);
    let said = desk.say(&["resume", "--yes"]);
    ended(&said, 11);
    assert!(said.out.contains("`./first.sh` is not as it was when the plan was compiled"), "{}", said.out);
    assert_eq!(desk.text("names"), "");
}
