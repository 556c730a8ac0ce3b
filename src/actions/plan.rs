//! `plan`: another scenario in the place of a step. The compiler puts its steps there (`model::nested`), so that none of
//! this is ever attempted: what cannot be joined is refused before.

use serde_json::Value;

use super::{Action, Call, Effect, Field, Manual, Type, UndoKind, given, shell, words};
use crate::world::Fault;

pub(super) static ACTION: Action = Action {
    name: "plan",
    page: include_str!("plan.md"),
    fields: &[
        Field::required("scenario", Type::Id, "the scenario whose steps are joined in"),
        Field::optional("file", Type::Text, "the plan that has it, by its path from this file; none: this plan"),
    ],
    // Nobody takes it for something that only looks.
    effect: Effect::Once,
    undo: UndoKind::Unneeded,
    // Its steps say how long they take.
    takes_ms: Some(0),
    sentence: |call| format!("Do the steps of scenario {}{}", words::value(&call.shown("scenario")), of(call)),
    seen: |_| "its steps are done".to_owned(),
    commands: |call| {
        let file = given::text(call.with, "file").map(|file| format!(" {}", shell::word(&Value::String(file)))).unwrap_or_default();
        let scenario = shell::word(&call.shown("scenario"));
        vec![Manual {
            what: "Print the steps".to_owned(),
            script: format!("drplan render{file} -s {scenario}"),
            changes: false,
            expect: "its runbook is there; do what it says".to_owned(),
        }]
    },
    apply: |_, _| {
        Box::pin(async { Err(Fault::refused("a step of `plan` does nothing itself: its steps are joined in when the plan is compiled")) })
    },
    ..Action::READ
};

fn of(call: &Call<'_>) -> String {
    call.field("file").map_or(String::new(), |file| format!(" of {}", words::value(file)))
}
