//! What a step acts on: its asset at its site, with the connection of the copy that stands there. Documents and the
//! executor both ask here, so that what is printed is what is done. It does not resolve `${…}`.

use serde_json::Map;

use super::plan::{ActionUse, Asset, Backup, BackupMethod, Step};
use super::{Compiled, Plan};
use crate::actions::{self, Call, Source, Target};

/// What the step's own action acts on; none for a step without an asset.
pub fn target(compiled: &Compiled, step: &Step) -> Option<Target> {
    target_of(&compiled.plan, step, &step.call)
}

/// What another action of the step (its `check`, its `undo`) acts on: of several assets the first whose kind fits it.
pub fn target_of(plan: &Plan, step: &Step, call: &ActionUse) -> Option<Target> {
    let kinds = actions::find(&call.uses).map_or(&[][..], |a| a.kinds);
    let known = || step.assets.iter().filter_map(|id| plan.assets.get(id).map(|asset| (id, asset)));
    let (id, asset) = known().find(|(_, a)| kinds.contains(&a.kind)).or_else(|| known().next())?;
    let connect = connect_at(asset, step.at.as_deref()).iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Map<_, _>>();
    let source = step.from.as_deref().and_then(|from| asset.backups.iter().find(|b| b.id == from)).map(|b| source(asset, b));
    Some(Target { asset: id.clone(), kind: asset.kind, site: step.at.clone(), connect, source })
}

/// A backup with what it is restored together with: the log that goes on from it, or the full one under a log.
fn source(asset: &Asset, backup: &Backup) -> Source {
    let alone = |backup: &Backup| {
        let places = std::iter::once(&backup.to).chain(backup.copies.iter().map(|c| &c.to)).cloned().collect();
        Source { id: backup.id.clone(), method: backup.method.to_string(), places, base: None, logs: Vec::new() }
    };
    let named = |id: &str| asset.backups.iter().find(|b| b.id == id);
    if backup.method == BackupMethod::Log {
        return Source { base: backup.base.as_deref().and_then(named).map(|base| Box::new(alone(base))), ..alone(backup) };
    }
    let logs = asset.backups.iter().filter(|b| b.method == BackupMethod::Log && b.base.as_ref() == Some(&backup.id));
    Source { logs: logs.map(alone).collect(), ..alone(backup) }
}

/// The connection of the copy that stands at a site: a replica's own there, else the asset's.
pub fn connect_at<'a>(asset: &'a Asset, site: Option<&str>) -> &'a std::collections::BTreeMap<String, serde_json::Value> {
    match site {
        Some(site) if !asset.sites.iter().any(|s| s == site) => {
            asset.replicas.iter().find(|r| r.site == site).map_or(&asset.connect, |r| &r.connect)
        }
        _ => &asset.connect,
    }
}

impl ActionUse {
    /// The action as a document sees it, as part of a step.
    pub fn call<'a>(&'a self, step: &'a str, target: Option<&'a Target>) -> Call<'a> {
        Call { step, with: &self.with, target }
    }
}
