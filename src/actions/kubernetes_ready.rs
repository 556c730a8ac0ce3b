//! Whether a deployment or a stateful set has become what is wanted of it. It changes nothing.

use std::time::Duration;

use serde_json::{Map, Value};

use super::kubernetes::{Attempt, need, text};
use super::kubernetes_edit::{Edit, State};
use super::{Ctx, Outputs, Probe, given, units, words};
use crate::world::{Answer, Fault};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// So much of an attempt's time is left over, for what is still to be said.
const REST: Duration = Duration::from_millis(1_500);

/// What a workload says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    /// Replicas that are wanted.
    pub wanted: u64,
    /// Those that are ready.
    pub ready: u64,
    /// What is still missing, in words; none: it is all as wanted.
    pub missing: Option<String>,
    /// The rollout has been given up by the cluster, and why.
    pub failed: Option<String>,
}

/// Reads it from an object.
pub(super) fn standing(object: &Value) -> Standing {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    let wanted = number("/spec/replicas").unwrap_or(1);
    let ready = number("/status/readyReplicas").unwrap_or(0);
    let all = number("/status/replicas").unwrap_or(0);
    let updated = number("/status/updatedReplicas").unwrap_or(0);
    // Of a stateful set that has no newer revision, none is updated.
    let revisions = (text(object, "/status/currentRevision"), text(object, "/status/updateRevision"));
    let settled = !revisions.0.is_empty() && revisions.0 == revisions.1;
    let available = number("/status/availableReplicas").unwrap_or(ready);
    let missing = if number("/status/observedGeneration").unwrap_or(0) < number("/metadata/generation").unwrap_or(1) {
        Some("the cluster has not yet looked at its newest form".to_owned())
    } else if updated < wanted && !settled {
        Some(format!("{updated} of {wanted} are of its newest form"))
    } else if ready.min(available) < wanted {
        Some(format!("{} of {wanted} are ready", ready.min(available)))
    } else if all > wanted {
        Some(format!("{} of an older form, or too many, are still there", all - wanted))
    } else {
        None
    };
    Standing { wanted, ready: ready.min(available), missing, failed: failed(object) }
}

fn failed(object: &Value) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let progressing = conditions.iter().find(|c| text(c, "/type") == "Progressing" && text(c, "/status") == "False")?;
    let observed = object.pointer("/status/observedGeneration") == object.pointer("/metadata/generation");
    observed.then(|| format!("{}: {}", text(progressing, "/reason"), text(progressing, "/message")))
}

/// Whether a step waits for that.
pub(super) fn waits(with: &Map<String, Value>) -> bool {
    given::text(with, "wait").as_deref() != Some("none")
}

/// Where a workload stands that a step edits; its outputs are told how many replicas are ready, if it waits for them.
pub(super) async fn probe(ctx: &Ctx<'_>, edit: &Edit, outputs: impl FnOnce(Option<u64>) -> Answer<Outputs> + Send) -> Answer<Probe> {
    let (now, state) = edit.look(ctx).await?;
    Ok(match state {
        State::Before if !edit.leaves.is_empty() => Probe::NotThere,
        State::Foreign(why) => Probe::Other(why),
        State::Before | State::After => match now.as_ref().map(standing).filter(|_| waits(ctx.with)) {
            Some(now) => match now.failed.or(now.missing) {
                Some(why) => Probe::CannotTell(format!("{} is changed, but not yet ready: {why}", words::code(&edit.object))),
                None => Probe::There(outputs(Some(now.ready))?),
            },
            None => Probe::There(outputs(None)?),
        },
    })
}

/// Waits after an edit if the step does, and gives how many replicas are ready then.
pub(super) async fn wait(attempt: &mut Attempt<'_>, edit: &Edit) -> Answer<Option<u64>> {
    if !waits(attempt.ctx.with) {
        return Ok(None);
    }
    let settled = settled(attempt.ctx, &edit.object, attempt.since).await;
    attempt.end(settled).map(|now| Some(now.ready))
}

/// Waits until a workload is as wanted, or nearly until the attempt's limit, of which `since` was the beginning.
pub(super) async fn settled(ctx: &Ctx<'_>, object: &str, since: Duration) -> Answer<Standing> {
    let mut silent = None;
    loop {
        // A look that fails while it becomes ready says nothing about it.
        match need(ctx, object).await.map(|now| standing(&now)) {
            Ok(Standing { failed: Some(why), .. }) => {
                return Err(Fault::refused(format!("{} was changed, but the cluster gave it up: {why}", words::code(object))));
            }
            Ok(standing) if standing.missing.is_none() => return Ok(standing),
            Ok(standing) => silent = standing.missing,
            Err(fault) => silent = silent.or(Some(fault.cause)),
        }
        let spent = ctx.world.clock.elapsed().saturating_sub(since);
        if let Some(limit) = ctx.timeout.filter(|limit| spent + PAUSE + REST >= *limit) {
            let limit = units::duration_text(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
            let why = silent.unwrap_or_default();
            return Err(Fault::refused(format!("{} was changed, but is not ready within {limit}: {why}", words::code(object))));
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
}
