//! Which word may be said to a step in which state of a run: every pair of them, as a table that a person can read, with the
//! words of each refusal below it.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::BTreeMap;
use std::sync::Arc;

use drplan::compile::{Input, compile};
use drplan::execute::words::{self, Answer};
use drplan::execute::{Start, State};
use drplan::journal::{About, Doing, End, Entry, Event, Word};
use jiff::Timestamp;
use serde_json::{Map, Value};

const PLAN: &str = r#"
drplan: v1
name: p
contacts: { ops: {}, cto: {} }
assets: { app: { kind: other, tier: none } }
scenarios:
  s:
    cause: planned
    steps:
      - { id: is-waiting, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: gate-asks, needs: [], uses: approval, phase: recover, with: { ask: "Go?", from: [ops, cto] }, takes: 1m }
      - { id: gate-declined, needs: [], uses: approval, phase: recover, with: { ask: "Go?", from: [ops, cto] }, takes: 1m }
      - { id: gate-given, needs: [], uses: approval, phase: recover, with: { ask: "Go?", from: [ops, cto] }, takes: 1m }
      - { id: by-hand-asks, needs: [], uses: manual, with: { do: "do it", record: { found: { enum: [up, down] } } }, takes: 1m, undo: { uses: manual, with: { do: "undo it" } } }
      - { id: condition-asks, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { none: no } }
      - { id: is-running, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { none: no } }
      - { id: still-open, needs: [], uses: command, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: is-unknown, needs: [], uses: command, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: has-failed, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: fence-failed, needs: [], phase: contain, asset: app, uses: command, with: { argv: [a] }, check: { uses: command, effect: read, with: { argv: [c] } }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: is-done, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: is-done-once, needs: [], uses: command, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: is-skipped, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: is-undone, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
      - { id: is-stuck, needs: [], uses: command, effect: idempotent, with: { argv: [a] }, takes: 1s, undo: { uses: command, with: { argv: [b] } } }
"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn intent(step: &str, doing: Doing, attempt: u32) -> Event {
    let (key, inputs, before) = (String::new(), String::new(), Value::Null);
    Event::Intent { step: step.to_owned(), doing, attempt, key, inputs, timeout_ms: None, settles_ms: 0, before }
}

fn done(step: &str, doing: Doing) -> Event {
    Event::Done { step: step.to_owned(), doing, attempt: 1, outputs: Map::new(), found: false }
}

fn failed(step: &str, doing: Doing) -> Event {
    Event::Failed { step: step.to_owned(), doing, attempt: 1, reason: "no".to_owned(), unreachable: false }
}

fn asked(step: &str, about: About) -> Event {
    Event::Asked { step: step.to_owned(), about, question: "what?".to_owned() }
}

fn unknown(step: &str, open_until: Option<Timestamp>) -> Event {
    Event::Unknown { step: step.to_owned(), doing: Doing::Apply, attempt: 1, why: "cut off".to_owned(), open_until, died: false }
}

fn word(word: Word) -> Event {
    Event::Word { word, step: None, who: "ann".to_owned(), reason: "why".to_owned() }
}

/// Every step where its name says, and then what is said to the whole run.
fn state(last: Vec<Event>) -> State {
    let texts = BTreeMap::from([("p.yaml".to_owned(), PLAN.to_owned())]);
    let compiled = compile(&texts, "p.yaml", &Input::default()).unwrap();
    let checked = Arc::new(compiled.checked.into_iter().next().unwrap_or_else(|| panic!("{:#?}", compiled.findings)));
    let digest = checked.digest().to_owned();
    let start = Start { operator: "me@here".to_owned(), incident_start: at(0), ..Start::default() }.of(&checked);
    let (no, to) = (Doing::Apply, |step: &str| step.to_owned());
    let mut events = vec![start, Event::LeaseTaken { fence: 1, holder: "me@here pid 1".to_owned(), from: None }];
    events.extend([asked("gate-asks", About::Approval), asked("gate-given", About::Approval), asked("gate-declined", About::Approval)]);
    events.push(Event::Declined { step: to("gate-declined"), who: to("cto"), reason: to("no"), digest: digest.clone() });
    events.push(Event::Approved { step: to("gate-given"), who: to("ops"), comment: to(""), digest, break_glass: false });
    events.push(Event::Done { step: to("gate-given"), doing: no, attempt: 0, outputs: Map::new(), found: false });
    events.extend([asked("by-hand-asks", About::Manual), asked("condition-asks", About::When)]);
    for step in ["is-running", "still-open", "is-unknown", "has-failed", "fence-failed", "is-done", "is-done-once", "is-undone", "is-stuck"]
    {
        events.push(intent(step, no, 1));
    }
    events.extend([unknown("still-open", Some(at(1_000))), unknown("is-unknown", None), asked("is-unknown", About::Unknown)]);
    events.extend(["has-failed", "fence-failed"].map(|step| failed(step, no)));
    events.extend(["is-done", "is-done-once", "is-undone", "is-stuck"].map(|step| done(step, no)));
    events.push(Event::Skipped { step: to("is-skipped"), reason: to("not needed"), flaw: false });
    let undo = last.iter().any(|e| matches!(e, Event::Word { word: Word::Rollback { .. }, .. }));
    events.extend(last);
    if undo {
        events.extend([intent("is-undone", Doing::Undo, 1), done("is-undone", Doing::Undo)]);
        events.extend([intent("is-stuck", Doing::Undo, 1), failed("is-stuck", Doing::Undo)]);
    }
    let entries: Vec<Entry> = (1..).zip(events).map(|(seq, event)| Entry { seq, at: at(10), event }).collect();
    State::bound("RUN", &entries, &checked).unwrap()
}

fn resolve(done: bool) -> Word {
    Word::Resolve { done, record: Map::new(), accept_late_effect: false }
}

type Ask = fn(&State, &str) -> Result<(), String>;

fn say(state: &State, word: &Word, step: Option<&str>) -> Result<(), String> {
    words::allowed(state, at(60), word, step, false)
}

fn answer(state: &State, step: &str, yes: bool) -> Result<(), String> {
    let answer = Answer { step, contact: Some("cto"), operator: "ann@there", comment: "", yes, break_glass: false };
    words::answer(state, answer).map(drop)
}

const WORDS: [(&str, Ask); 7] = [
    ("retry", |s, step| say(s, &Word::Retry, Some(step))),
    ("downstream", |s, step| say(s, &Word::RetryDownstream { again: vec![] }, Some(step))),
    ("skip", |s, step| say(s, &Word::Skip, Some(step))),
    ("done", |s, step| say(s, &resolve(true), Some(step))),
    ("not-done", |s, step| say(s, &resolve(false), Some(step))),
    ("approve", |s, step| answer(s, step, true)),
    ("decline", |s, step| answer(s, step, false)),
];

#[test]
fn every_word_in_every_state() {
    let finished = Event::Finished { how: End::Aborted, summary: String::new() };
    let runs = [
        ("goes on", vec![]),
        ("is paused", vec![word(Word::Pause)]),
        ("is being taken back", vec![word(Word::Rollback { to: Some("is-waiting".to_owned()) })]),
        ("is being taken back, and paused", vec![word(Word::Rollback { to: Some("is-waiting".to_owned()) }), word(Word::Pause)]),
        ("is being ended", vec![word(Word::Abort)]),
        ("has ended", vec![finished]),
    ];
    let mut notes: Vec<String> = Vec::new();
    let mut cell = |said: Result<(), String>, step: &str| match said {
        Ok(()) => "yes".to_owned(),
        Err(why) => {
            let why = if step.is_empty() { why } else { why.replace(step, "STEP") };
            let n = notes.iter().position(|note| *note == why).unwrap_or_else(|| {
                notes.push(why);
                notes.len() - 1
            });
            format!("({})", n + 1)
        }
    };
    let mut out = String::from("yes: it may be said. (N): it is refused, with the words below.\n");
    for (name, last) in runs {
        let state = state(last);
        out.push_str(&format!("\nThe run {name}\n\n"));
        let whole = [
            ("pause", Word::Pause),
            ("resume", Word::Resume),
            ("abort", Word::Abort),
            ("rollback", Word::Rollback { to: None }),
            ("rollback --to is-done", Word::Rollback { to: Some("is-done".to_owned()) }),
        ];
        let whole: Vec<String> = whole.iter().map(|(name, word)| format!("{name} {}", cell(say(&state, word, None), ""))).collect();
        out.push_str(&format!("  {}\n\n", whole.join("   ")));
        let head: String = WORDS.iter().map(|(word, _)| format!("{word:>11}")).collect();
        out.push_str(&format!("  {:16}{head}\n", ""));
        for step in &state.plan().scenario.steps {
            let row: String = WORDS.iter().map(|(_, ask)| format!("{:>11}", cell(ask(&state, &step.id), &step.id))).collect();
            out.push_str(&format!("  {:16}{row}\n", step.id));
        }
    }
    out.push('\n');
    for (n, note) in notes.iter().enumerate() {
        out.push_str(&format!("({}) {note}\n", n + 1));
    }
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("words-allowed", out));
}
