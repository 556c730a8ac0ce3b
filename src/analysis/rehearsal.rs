//! A drill as rules look at it: the scenario as it is in an incident beside the same in the drill, step by step. It runs
//! nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::each::address;
use crate::model::places::{DrillPlaces, ScenarioPlaces};
use crate::model::{Drill, Mode, Phase, Plan, Scenario, Step, target_of};

/// Keys of `connect` that say who asks and how, not who is asked.
const MANNER: &[&str] = &["user", "password", "sslmode", "sslrootcert", "ttl", "profile", "maintenance"];

/// What rules about a drill may look at.
pub struct Rehearsal<'a> {
    /// The drill.
    pub drill: &'a Drill,
    /// Where it stands.
    pub at: &'a DrillPlaces,
    /// The plan as it is in an incident.
    pub plan: &'a Plan,
    /// The scenario as it is in an incident.
    pub scenario: &'a Scenario,
    /// Where that stands.
    pub own: &'a ScenarioPlaces,
    /// The plan with the drill's parameters and connections.
    pub drilled: &'a Plan,
    /// The same scenario in it.
    pub rehearsed: &'a Scenario,
}

impl<'a> Rehearsal<'a> {
    /// Steps that run in the drill, as they are there, with their indices.
    pub fn steps(&self) -> impl Iterator<Item = (usize, &'a Step)> {
        let out = left_out(self.drill, self.rehearsed);
        let steps = self.rehearsed.steps.iter().enumerate();
        steps.filter(move |(_, s)| s.modes.contains(&Mode::Drill) && !out.contains(&s.id.as_str()))
    }

    /// Whether a step acts on something else than it would in an incident.
    pub fn elsewhere(&self, index: usize) -> bool {
        let (Some(here), Some(there)) = (self.rehearsed.steps.get(index), self.scenario.steps.get(index)) else { return false };
        match (target_of(self.drilled, here, &here.call), target_of(self.plan, there, &there.call)) {
            (Some(here), Some(there)) if !addresses(&there.connect).is_empty() => addresses(&here.connect) != addresses(&there.connect),
            _ => here.call.with != there.call.with,
        }
    }
}

/// Steps that a drill leaves out: those that it skips, and with each the `verify` steps of its assets.
pub fn left_out<'s>(drill: &Drill, scenario: &'s Scenario) -> Vec<&'s str> {
    let said = |s: &Step| drill.skip.iter().any(|name| *name == s.id || address(&s.id).0 == name);
    let assets: Vec<&String> = scenario.steps.iter().filter(|s| said(s)).flat_map(|s| &s.assets).collect();
    let goes = |s: &&Step| said(s) || s.phase == Phase::Verify && s.assets.iter().any(|a| assets.contains(&a));
    scenario.steps.iter().filter(goes).map(|s| s.id.as_str()).collect()
}

fn addresses(connect: &serde_json::Map<String, Value>) -> BTreeMap<&str, &Value> {
    connect.iter().filter(|(key, _)| !MANNER.contains(&key.as_str())).map(|(key, value)| (key.as_str(), value)).collect()
}
