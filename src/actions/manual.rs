//! `manual`: what a person does and records. The driver waits for their word; nothing here acts.

use serde_json::Value;

use super::{Action, Effect, Field, Manual, NO_UNDO, Type, UndoKind, given, shell, words};

const RECORD: &[Field] = &[
    Field::default("type", Type::Word(&["string", "int", "bool", "duration", "size", "time", "url"]), "string", "what it may hold"),
    Field::optional("enum", Type::List(&Type::Text), "the only answers that are taken"),
    Field::optional("title", Type::Text, "the question, for people"),
];

pub(super) static ACTION: Action = Action {
    name: "manual",
    page: include_str!("manual.md"),
    fields: &[
        Field::required("do", Type::Text, "what to do, so that a tired person can do it"),
        Field::optional("record", Type::Map(&Type::Record(RECORD)), "what to write down; each is an output of the step"),
        Field::optional("seen", Type::Text, "what must be seen afterwards"),
    ],
    effect: Effect::Manual,
    undo: UndoKind::ByPlan,
    sentence: |call| format!("Do by hand: {}", words::value(&call.shown("do"))),
    seen: |call| given::text(call.with, "seen").map_or_else(|| "it is done".to_owned(), |text| words::code(&text)),
    commands: |call| {
        let mut script = format!("printf '%s\\n' {}", shell::word(&call.shown("do")));
        let mut expect = given::text(call.with, "seen").map_or_else(|| "it is done".to_owned(), |text| words::code(&text));
        for (name, entry) in given::record(call.with, "record").into_iter().flatten() {
            let variable = shell::variable(&format!("steps.{}.{name}", call.step));
            // Empty, so that a block pasted as it stands records nothing that nobody found.
            script.push_str(&format!("\n{variable}=''"));
            let answers: Vec<String> = entry.get("enum").and_then(Value::as_array).into_iter().flatten().map(words::value).collect();
            let which = if answers.is_empty() { String::new() } else { format!(" ({})", answers.join(" or ")) };
            expect.push_str(&format!("; `{variable}` holds what you found{which}"));
        }
        vec![Manual { what: "Do this by hand".to_owned(), script, changes: false, expect }]
    },
    check: |call| {
        let known = given::text(call.with, "do").is_some_and(|t| t.trim().is_empty());
        if known { vec![("do", "it says nothing".to_owned(), "do: what a person must do".to_owned())] } else { vec![] }
    },
    undo_apply: NO_UNDO,
    ..Action::READ
};
