//! The order of a plan as JSON, for other programs: steps with their numbers, when each is expected to begin, what it waits for
//! and why.

use serde_json::{Value, json};

use super::view;
use crate::analysis::Checked;
use crate::graph::schedule;
use crate::model::{Compiled, Node, Wait};

/// The graph of a checked plan.
pub fn graph(checked: &Checked) -> Value {
    let compiled = checked.compiled();
    let numbers = view::numbers(&view::order(checked));
    let expected = view::expected(checked);
    let takes = schedule::durations(compiled);
    let slack_ms = checked.graph().slack_ms(&takes);
    let wave = checked.graph().waves();
    let critical: Vec<&str> =
        checked.graph().critical_path(&takes).into_iter().map(|i| compiled.scenario.steps[i as usize].id.as_str()).collect();
    let steps: Vec<Value> = compiled
        .scenario
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            json!({
                "id": step.id,
                "number": numbers[i],
                "title": view::title(compiled, step),
                "uses": step.call.uses,
                "phase": step.phase,
                "assets": step.assets,
                "at": step.at,
                "takes_ms": step.takes_ms,
                "worst_ms": schedule::worst_ms(step),
                "begins_ms": expected.start_ms[i],
                "ends_ms": expected.end_ms[i],
                "slack_ms": slack_ms[i],
                "wave": wave[i],
                "waits": waits(compiled, &compiled.waits[i]),
            })
        })
        .collect();
    let joins: Vec<Value> = compiled.joins.iter().map(|j| json!({ "what": j.what, "waits": waits(compiled, &j.waits) })).collect();
    json!({
        "plan": compiled.plan.name,
        "scenario": compiled.scenario.id,
        "mode": compiled.mode,
        "digest": checked.digest(),
        "predicted_ms": compiled.predicted_ms,
        "point_of_no_return": compiled.point_of_no_return,
        "steps": steps,
        "joins": joins,
        "critical_path": critical,
        "predictions": compiled.predictions,
    })
}

fn waits(compiled: &Compiled, waits: &[Wait]) -> Vec<Value> {
    let on = |node: Node| match node {
        Node::Step(i) => json!({ "step": compiled.scenario.steps.get(i as usize).map(|s| &s.id) }),
        Node::Join(j) => json!({ "join": j }),
    };
    waits.iter().map(|w| json!({ "on": on(w.on), "why": w.why })).collect()
}
