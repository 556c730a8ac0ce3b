//! A plan of sixty real commands that write down outside that they ran, the person who is asked about them and tells the
//! truth, and the laws that hold however often their drivers die. It does not know how they die.
//!
//! One step, four branches of twelve beside each other, eleven steps in a row; by turns done `once`, repeated safely,
//! verified by a check, and `once` again. Each safe one in three fails the first time. The last ten can be taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::desk::Said;
use super::scene::Scene;

/// How many steps.
pub const STEPS: usize = 60;
/// The first step that can be taken back, on this one.
pub const UNDO_TO: &str = "s50";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Once,
    Safe,
    Checked,
}

fn kind(n: usize) -> Kind {
    [Kind::Once, Kind::Safe, Kind::Checked, Kind::Once][n % 4]
}

fn id(n: usize) -> String {
    format!("s{n:02}")
}

/// Fails the first time.
fn stumbles(n: usize) -> bool {
    kind(n) == Kind::Safe && n.is_multiple_of(3)
}

fn can_be_undone(n: usize) -> bool {
    n > 50
}

/// What a step waits for.
fn needs(n: usize) -> Vec<usize> {
    match n {
        1 => vec![],
        14 | 26 | 38 => vec![1],
        50 => vec![13, 25, 37, 49],
        n => vec![n - 1],
    }
}

/// Its text.
pub fn plan() -> String {
    let mut out = String::from("drplan: v1\nname: sixty\nscenarios:\n  move:\n    cause: planned\n    steps:\n");
    for n in 1..=STEPS {
        let id = id(n);
        // The ticket names the attempt, and so the intent that it must have.
        let tried = r#"echo \"$DRPLAN_TICKET\" >> tries; "#;
        let stumble = if stumbles(n) { format!("test -e {id}.tried || {{ : > {id}.tried; exit 1; }}; ") } else { String::new() };
        let guard = if kind(n) == Kind::Safe { format!("grep -qx {id} names || ") } else { String::new() };
        let needs: Vec<String> = needs(n).into_iter().map(self::id).collect();
        let more = match kind(n) {
            Kind::Once => String::new(),
            Kind::Safe if stumbles(n) => ", effect: idempotent, retry: { attempts: 3, delay: 10ms }".to_owned(),
            Kind::Safe => ", effect: idempotent".to_owned(),
            Kind::Checked => format!(", check: {{ uses: command, effect: read, with: {{ argv: [grep, -qx, {id}, names] }} }}"),
        };
        let undo = match can_be_undone(n) {
            true => format!("{{ uses: command, with: {{ argv: [sh, -c, \"{tried}echo {id} >> undone\"] }} }}"),
            false => "{ none: written }".to_owned(),
        };
        writeln!(
            out,
            "      - {{ id: {id}, uses: command, needs: [{}], with: {{ argv: [sh, -c, \"{tried}{stumble}{guard}echo {id} >> names\"] }}, \
             takes: 1s, timeout: 3s{more}, undo: {undo} }}",
            needs.join(", ")
        )
        .expect("a string takes everything");
    }
    out
}

/// What a driver's end asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The run has ended.
    Ended,
    /// It is resumed; so many questions were answered.
    GoOn(usize),
}

/// Answers what a driver left to a person, by looking into the files and telling the truth.
pub fn answer(scene: &Scene, ran: &Said) -> Next {
    let Said { code, out, err } = ran;
    match code {
        Some(0 | 10) => Next::Ended,
        // It had died after its last event.
        Some(3) if err.contains("no run is unfinished") => Next::Ended,
        Some(11 | 12) => {
            let events = events(scene);
            let asked: Vec<usize> = (1..=STEPS).filter(|&n| names_it(out, n)).collect();
            assert!(!asked.is_empty(), "nothing says what to type: {ran:?}");
            let answered = asked.iter().filter(|&&n| told(scene, &events, n, out)).count();
            if answered < asked.len() {
                // Something of it may still land, and nobody is heard before it cannot.
                std::thread::sleep(Duration::from_millis(200));
            }
            Next::GoOn(answered)
        }
        // It died at a signal.
        None => Next::GoOn(0),
        _ => panic!("{ran:?}"),
    }
}

fn names_it(out: &str, n: usize) -> bool {
    [" --as done", " --reason"].iter().any(|end| out.contains(&format!(" {}{end}", id(n))))
}

fn told(scene: &Scene, events: &[Value], n: usize, out: &str) -> bool {
    let id = id(n);
    if !out.contains(&format!(" {id} --as done")) {
        return scene.say(&["retry", &id, "--reason", "it did not happen"]).code == Some(0);
    }
    let last = events.iter().rev().find(|e| e["step"] == id.as_str() && e["event"] == "unknown");
    let file = if last.is_some_and(|e| e["doing"] == "undo") { "undone" } else { "names" };
    let there = scene.desk.text(file).lines().any(|line| line == id);
    scene.say(&["resolve", &id, "--as", if there { "done" } else { "not-done" }, "--reason", "looked"]).code == Some(0)
}

/// Goes on until the run has ended; how many questions were answered.
pub fn finish(scene: &Scene) -> usize {
    let mut answers = 0;
    for _ in 0..200 {
        match answer(scene, &scene.say(&["resume", "--yes"])) {
            Next::Ended => return answers,
            Next::GoOn(more) => answers += more,
        }
    }
    panic!("it never ends:\n{}", scene.say(&["log", &scene.run()]).out);
}

/// Whether it may be taken back to [`UNDO_TO`] now.
pub fn can_turn(scene: &Scene) -> bool {
    let events = events(scene);
    let of_it = |what: &str| events.iter().any(|e| e["event"] == what && e["step"] == UNDO_TO);
    of_it("done") && !events.iter().any(|e| e["event"] == "finished")
}

/// The events of its one run.
pub fn events(scene: &Scene) -> Vec<Value> {
    let log = scene.say(&["log", &scene.run(), "--json"]);
    let event = |line: &str| serde_json::from_str::<Value>(line).expect("a line is an event")["event"].take();
    log.out.lines().map(event).collect()
}

/// What must hold when it has ended, whatever happened on the way. Panics with what does not.
pub fn judge(scene: &Scene, what: &str) {
    let verified = scene.say(&["journal", "verify"]);
    assert_eq!(verified.code, Some(0), "{what}: {verified:?}");
    let events = events(scene);
    let all = format!(
        "{what}\nnames {:?}\ntries {:?}\nundone {:?}\n{}",
        scene.desk.text("names"),
        scene.desk.text("tries"),
        scene.desk.text("undone"),
        lines(&events)
    );
    assert_eq!(events.last().map(|e| &e["event"]), Some(&"finished".into()), "{all}");
    let rolled_back = events.iter().any(|e| e["how"] == "rolled_back");
    in_order(scene, rolled_back, &all);
    let tries = scene.desk.text("tries");
    let mut seen: BTreeSet<(&str, &str, u64)> = BTreeSet::new();
    for ticket in tries.lines() {
        let [attempt, doing, step] = ticket.rsplitn(4, '/').take(3).collect::<Vec<_>>()[..] else { panic!("{ticket}: {all}") };
        let attempt: u64 = attempt.parse().expect("a ticket ends with a number");
        assert!(seen.insert((step, doing, attempt)), "{ticket} ran twice: {all}");
        let of_it = |e: &&Value| e["step"] == step && e["doing"] == doing;
        let intent = events.iter().position(|e| of_it(&e) && e["event"] == "intent" && e["attempt"] == attempt);
        let intent = intent.unwrap_or_else(|| panic!("{ticket} ran without an intent: {all}"));
        let done = events[..intent].iter().filter(of_it).any(|e| e["event"] == "done");
        assert!(!done, "{ticket} was done before: {all}");
    }
    let mut runs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    seen.iter().for_each(|(step, doing, _)| *runs.entry((step, doing)).or_default() += 1);
    for n in 1..=STEPS {
        let times = runs.get(&(id(n).as_str(), "apply")).copied().unwrap_or_default();
        // Who looked and saw that it did not happen has it done again.
        let told = events.iter().filter(|e| e["step"] == id(n).as_str() && e["word"]["resolve"]["done"] == false).count();
        let most = if kind(n) == Kind::Once { 1 + told } else { usize::MAX };
        assert!(times == 0 && rolled_back || (1..=most).contains(&times), "{} ran {times} times: {all}", id(n));
        let taken_back = runs.get(&(id(n).as_str(), "undo")).copied().unwrap_or_default();
        assert!(taken_back <= usize::from(can_be_undone(n)), "{} was taken back {taken_back} times: {all}", id(n));
    }
}

/// Each name once, and after those that it waits for; all of them, or where it was taken back, nothing that could be.
fn in_order(scene: &Scene, rolled_back: bool, all: &str) {
    let (names, undone) = (scene.desk.text("names"), scene.desk.text("undone"));
    let place = |text: &str, n: usize| text.lines().position(|line| line == id(n));
    let count = (1..=STEPS).filter(|&n| place(&names, n).is_some()).count();
    assert!(names.lines().count() == count && (rolled_back || count == STEPS), "{all}");
    for n in 1..=STEPS {
        let Some(own) = place(&names, n) else { continue };
        for need in needs(n) {
            assert!(place(&names, need).is_some_and(|p| p < own), "{} ran before {}: {all}", id(n), id(need));
        }
        let back = place(&undone, n);
        assert_eq!(back.is_some(), rolled_back && can_be_undone(n), "{}: {all}", id(n));
        let above = place(&undone, n + 1).is_none_or(|above| Some(above) < back);
        assert!(above || back.is_none(), "{} was taken back under {}: {all}", id(n), id(n + 1));
    }
}

/// Events for a person who looks for what went wrong.
fn lines(events: &[Value]) -> String {
    let word = |e: &Value, key: &str| e.get(key).map(|v| format!(" {}", v.to_string().trim_matches('"'))).unwrap_or_default();
    let line = |(i, e): (usize, &Value)| {
        let rest: String = ["step", "doing", "attempt", "holder", "why", "answer", "detail", "word"].iter().map(|k| word(e, k)).collect();
        format!("{:4}{}{rest}\n", i + 1, word(e, "event"))
    };
    events.iter().enumerate().map(line).collect()
}
