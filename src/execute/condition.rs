//! Whether a step's `when` holds, by what the steps that it asks have found. It decides nothing: a run skips or asks, a
//! dry run says so.

use serde_json::Value;

use super::state::{Life, State};
use crate::actions::matcher;
use crate::model::{Id, Step};

/// What is known of a condition.
pub enum Condition {
    /// It holds.
    Holds,
    /// It does not, and why.
    HoldsNot(String),
    /// A step did not give its value.
    CannotTell {
        /// That step.
        of: Id,
        /// The same in words.
        why: String,
    },
}

/// The condition of a step: one that does not hold counts more than one that cannot be told.
pub fn of(state: &State, step: &Step) -> Condition {
    let mut open = None;
    for when in &step.when {
        let Some(x) = state.find(&when.step) else { continue };
        let given = &state.steps[x];
        if given.life != Life::Done {
            open = Some(Condition::CannotTell { of: when.step.clone(), why: format!("`{}` gave no `{}`", when.step, when.output) });
            continue;
        }
        let found = given.outputs.get(&when.output).filter(|v| !v.is_null());
        if !matcher::fits(&when.matcher, found) {
            let seen = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let wanted = matcher::words(&when.matcher);
            return Condition::HoldsNot(format!("`{}` of `{}` {wanted} does not hold: it found {seen}", when.output, when.step));
        }
    }
    open.unwrap_or(Condition::Holds)
}
