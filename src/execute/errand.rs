//! What an attempt knows of the run: its own step as it stands, and the values that its calls refer to. The run goes on
//! meanwhile, and the attempt does not see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::state::{State, StepState};
use crate::actions::template;
use crate::analysis::Checked;
use crate::journal::Doing;
use crate::model::{Compiled, Step, Undo, target_of};

/// An attempt's knowledge.
#[derive(Debug, Clone)]
pub struct Errand {
    pub(super) checked: Arc<Checked>,
    pub(super) index: usize,
    pub(super) life: StepState,
    pub(super) run: String,
    pub(super) dir: String,
    pub(super) driver: String,
    pub(super) incident_start: Timestamp,
    pub(super) incident_assumed: bool,
    pub(super) values: BTreeMap<String, Value>,
    /// By the clock's `elapsed`: if its effect has not begun then, it is not to begin.
    pub(super) begin_by: Option<Duration>,
}

impl Errand {
    /// The errand of a step.
    pub fn of(state: &State, i: usize) -> Errand {
        let step = state.step(i);
        let undo = match &step.undo {
            Undo::Use(call) => Some(call),
            _ => None,
        };
        let mut values = BTreeMap::new();
        for call in std::iter::once(&step.call).chain(&step.check).chain(undo) {
            let connect = target_of(&state.plan().plan, step, call).map(|t| t.connect);
            let fields = call.with.values().chain(connect.iter().flat_map(|c| c.values()));
            for path in fields.flat_map(template::references) {
                if let Some(value) = value_of(state, &path) {
                    values.insert(path, value);
                }
            }
        }
        Errand {
            checked: Arc::clone(&state.checked),
            index: i,
            life: state.steps[i].clone(),
            run: state.run.clone(),
            dir: state.dir.clone(),
            driver: state.driver.clone(),
            incident_start: state.incident_start,
            incident_assumed: state.incident_assumed,
            values,
            begin_by: None,
        }
    }

    /// The step.
    pub fn step(&self) -> &Step {
        &self.checked.compiled().scenario.steps[self.index]
    }

    /// The state before its first attempt, once it was read.
    pub fn before(&self) -> Option<&Value> {
        self.life.before.as_ref()
    }

    /// The names of its attempt of this number.
    pub fn names(&self, doing: Doing, attempt: u32) -> Names {
        Names::of(&self.run, &self.step().id, doing, attempt)
    }

    pub(super) fn plan(&self) -> &Compiled {
        self.checked.compiled()
    }
}

/// The names of an attempt: `ticket` of this one, `key` of all attempts of the step.
#[derive(Debug, Clone)]
pub struct Names {
    /// `RUN/STEP/apply/1`.
    pub ticket: String,
    /// `RUN/STEP/apply`.
    pub key: String,
}

impl Names {
    /// Of an attempt of a step.
    pub fn of(run: &str, step: &str, doing: Doing, attempt: u32) -> Names {
        let word = match doing {
            Doing::Apply => "apply",
            Doing::Undo => "undo",
        };
        let key = format!("{run}/{step}/{word}");
        Names { ticket: format!("{key}/{attempt}"), key }
    }
}

/// What a reference of a plan means in a run; none if it has no value now.
pub fn value_of(state: &State, path: &str) -> Option<Value> {
    let mut parts = path.splitn(3, '.');
    match (parts.next()?, parts.next()?, parts.next()) {
        ("params", name, None) => state.plan().plan.params.get(name)?.value.clone(),
        ("run", "id", None) => Some(json!(state.run)),
        ("run", "started_at", None) => Some(json!(state.started_at.to_string())),
        ("run", "mode", None) => Some(json!(state.plan().mode)),
        ("steps", step, Some(output)) => state.steps[state.find(step)?].outputs.get(output).cloned(),
        ("assets", asset, Some("recovered_at")) => Some(json!(state.recovered.get(asset)?.at.to_string())),
        _ => None,
    }
}
