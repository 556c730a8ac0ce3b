//! Predicted recovery time and data loss of every asset that a scenario touches, beside its objectives, and the point
//! of no return. It judges nothing: that is for rules.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::loss::{Reason, holds_data, loss};
use crate::model::{Id, Prediction, Undo};

/// What was predicted.
#[derive(Debug, Default)]
pub struct Predictions {
    /// By asset.
    pub by_asset: BTreeMap<Id, Prediction>,
    /// Assets whose source no step names.
    pub unsaid: BTreeSet<Id>,
    /// Why nothing bounds what is lost, by asset.
    pub reasons: BTreeMap<Id, Vec<Reason>>,
}

/// The predictions of every asset that a scenario touches.
pub fn predictions(facts: &Facts<'_>) -> Predictions {
    let mut found = Predictions::default();
    for (id, asset) in &facts.plan.assets {
        let touched = facts.loses(id) || facts.steps_of(id).next().is_some();
        let recovery_ms = facts.back(id).map(|back| back.ms);
        if !touched && recovery_ms.is_none() {
            continue;
        }
        let (tier, _) = facts.objective(asset);
        let holds_data = holds_data(asset);
        let mut loss = holds_data.then(|| loss(facts, id, asset));
        let left = facts.scenario.leaves.contains(id);
        if loss.as_ref().is_some_and(|l| l.unsaid) {
            found.unsaid.insert(id.clone());
        }
        if let Some(why) = loss.as_mut().map(|l| std::mem::take(&mut l.why)).filter(|why| !why.is_empty()) {
            found.reasons.insert(id.clone(), why);
        }
        let prediction = Prediction {
            recovery_ms,
            rto_ms: tier.rto_ms,
            loss_ms: loss.as_ref().filter(|_| !left).and_then(|l| l.ms),
            rpo_ms: tier.rpo_ms,
            holds_data,
            loss_source: match loss {
                _ if left => "left as it is".to_owned(),
                Some(loss) => loss.source,
                None => "it holds no data of its own".to_owned(),
            },
        };
        found.by_asset.insert(id.clone(), prediction);
    }
    found
}

/// The first step, as they would start, that nothing can take back.
pub fn point_of_no_return(facts: &Facts<'_>) -> Option<Id> {
    let steps = facts.scenario.steps.iter().enumerate();
    let final_ = steps.filter(|(i, s)| facts.runs(*i) && matches!(s.undo, Undo::None(_)));
    final_.min_by_key(|(i, _)| (facts.schedule.start_ms[*i], *i)).map(|(_, s)| s.id.clone())
}
