//! What an attempt knows of the run: its own step as it stands, and the values that its calls refer to. The run goes on
//! meanwhile, and the attempt does not see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::planted::planted;
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
        let past = state.steps[i].past.as_ref().map(|past| &past.left);
        let mut values = past.map(|left| left.values.clone()).unwrap_or_default();
        for call in std::iter::once(&step.call).chain(&step.check).chain(undo) {
            let connect = target_of(&state.plan().plan, step, call).map(|t| t.connect);
            let fields = call.with.values().chain(connect.iter().flat_map(|c| c.values()));
            for path in fields.flat_map(template::references) {
                if !values.contains_key(&path)
                    && let Some(value) = value_of(state, &path)
                {
                    values.insert(path, value);
                }
            }
        }
        Errand {
            checked: Arc::clone(&state.checked),
            index: i,
            life: state.steps[i].clone(),
            run: state.run.clone(),
            dir: past.map(|left| &left.dir).filter(|dir| !dir.is_empty()).unwrap_or(&state.dir).clone(),
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
        let Some(past) = self.life.past.as_ref().filter(|_| !planted("adopt-new-names")) else {
            return Names::of(&self.run, &self.step().id, doing, attempt);
        };
        // What an earlier run began is found by the name that it had there; the key is one for all.
        let left = &past.left;
        let (own, word) = (self.own_name(), word(doing));
        let by = match doing {
            Doing::Apply if attempt <= left.attempts => &left.apply,
            Doing::Undo if attempt <= left.undo_attempts => &left.undo,
            _ => &own,
        };
        Names { ticket: format!("{by}/{word}/{attempt}"), key: format!("{}/{word}", left.key) }
    }

    /// The step in this run: `RUN/STEP`.
    pub fn own_name(&self) -> String {
        format!("{}/{}", self.run, self.step().id)
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
        let key = format!("{run}/{step}/{}", word(doing));
        Names { ticket: format!("{key}/{attempt}"), key }
    }
}

fn word(doing: Doing) -> &'static str {
    match doing {
        Doing::Apply => "apply",
        Doing::Undo => "undo",
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

/// What a person is asked, by the first of these fields that is a text, with every value that is known by then. A text that is
/// filled reads `$${` as `${`.
pub fn asked(state: &State, step: &Step, fields: &[&str]) -> String {
    let known = |path: &str| value_of(state, path).map(|value| Value::String(template::plain(&value)));
    let text = fields.iter().find_map(|field| step.call.with.get(*field)).filter(|text| text.is_string());
    text.map(|text| template::plain(&template::fill(text, &known))).unwrap_or_default()
}
