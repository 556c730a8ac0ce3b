//! Predicted data loss of an asset, and the source that bounds it.

use serde_json::Value;

use super::facts::Facts;
use crate::actions::units::{duration_ms, duration_text, kept_ms};
use crate::model::{Asset, AssetKind, Backup, BackupMethod, Cause, Replica, ReplicaMode, Step, damages};

/// What is lost of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// As time; none: unbounded.
    pub ms: Option<u64>,
    /// What bounds it, in words.
    pub source: String,
    /// No step says from which source the asset comes back.
    pub unsaid: bool,
}

impl Loss {
    fn of(ms: Option<u64>, source: impl Into<String>) -> Loss {
        Loss { ms, source: source.into(), unsaid: false }
    }
}

/// Whether an asset holds data of its own.
pub fn holds_data(asset: &Asset) -> bool {
    let stateless = matches!(asset.kind, AssetKind::Kubernetes | AssetKind::Route53 | AssetKind::Dns | AssetKind::Http | AssetKind::Host);
    !stateless || !asset.backups.is_empty()
}

/// The predicted loss of an asset that holds data.
pub fn loss<'a>(facts: &Facts<'a>, id: &str, asset: &'a Asset) -> Loss {
    if facts.scenario.cause == Cause::Planned {
        let promotions: Vec<usize> =
            facts.steps_of(id).filter(|(i, _)| facts.promotions.binary_search(i).is_ok()).map(|(i, _)| i).collect();
        let fence = facts.steps_of(id).filter(|(i, _)| facts.fences.binary_search(i).is_ok()).map(|(i, _)| i as u32);
        let behind = facts.graph.after_any(fence);
        if promotions.iter().all(|&i| behind[i]) {
            return Loss::of(Some(0), if promotions.is_empty() { "nothing of it is lost" } else { "it is fenced before the promotion" });
        }
    } else if !facts.loses(id) {
        return Loss::of(Some(0), "nothing of it is lost");
    }
    let said: Vec<Loss> = facts.steps_of(id).filter_map(|(_, s)| Some(from_step(facts, id, asset, s, s.from.as_deref()?))).collect();
    if let Some(worst) = said.into_iter().max_by_key(|l| l.ms.unwrap_or(u64::MAX)) {
        return worst;
    }
    let replicas = asset.replicas.iter().map(|r| from_replica(facts, r, None));
    let backups = asset.backups.iter().map(|b| from_backup(facts, id, asset, b));
    let rebuild = asset.rebuild.iter().map(|_| from_rebuild(facts, asset));
    let best = replicas.chain(backups).chain(rebuild).filter(|l| l.ms.is_some()).min_by_key(|l| l.ms);
    match best {
        Some(best) => Loss { unsaid: true, ..best },
        None => Loss::of(None, "no source survives"),
    }
}

fn from_step<'a>(facts: &Facts<'a>, id: &str, asset: &'a Asset, step: &Step, from: &str) -> Loss {
    match from {
        "replica" => {
            let allowed = step.call.with.get("max_lag").and_then(Value::as_str).and_then(|t| duration_ms(t).ok());
            let here = |r: &&Replica| step.at.as_ref() == Some(&r.site);
            let found: Vec<&Replica> = match asset.replicas.iter().find(here) {
                Some(replica) => vec![replica],
                None => asset.replicas.iter().collect(),
            };
            let all = found.into_iter().map(|r| from_replica(facts, r, allowed));
            all.max_by_key(|l| l.ms.unwrap_or(u64::MAX)).unwrap_or_else(|| Loss::of(None, "it has no replica"))
        }
        "rebuild" => from_rebuild(facts, asset),
        name => match asset.backups.iter().find(|b| b.id == name) {
            Some(backup) => from_backup(facts, id, asset, backup),
            None => Loss::of(None, format!("no backup `{name}`")),
        },
    }
}

fn from_replica(facts: &Facts<'_>, replica: &Replica, allowed: Option<u64>) -> Loss {
    let site = &replica.site;
    if damages(facts.scenario) {
        return Loss::of(None, format!("the replica at {site} holds the same damage"));
    }
    if facts.lost_sites.contains(site) {
        return Loss::of(None, format!("the replica at {site} is lost too"));
    }
    let lag = match (replica.mode, replica.max_lag_ms) {
        (ReplicaMode::Standby, _) => return Loss::of(None, format!("the standby at {site} holds no data")),
        (ReplicaMode::Synchronous, lag) => Some(lag.unwrap_or(0)),
        (_, lag) => lag,
    };
    match lag {
        Some(lag) => {
            let lag = lag.max(allowed.unwrap_or(0));
            Loss::of(Some(lag), format!("replica at {site}, at most {} behind", duration_text(lag)))
        }
        None => Loss::of(allowed, format!("replica at {site}; no `max_lag` says how far it may be behind")),
    }
}

fn from_rebuild(facts: &Facts<'_>, asset: &Asset) -> Loss {
    let Some(rebuild) = &asset.rebuild else { return Loss::of(None, "it has no `rebuild`") };
    let from = &rebuild.from;
    let keep = facts.plan.assets.get(from).and_then(|a| a.keep_ms);
    match keep {
        _ if facts.loses(from) => Loss::of(None, format!("`{from}` is lost too")),
        Some(keep) if keep >= rebuild.within_ms => Loss::of(Some(0), format!("computed anew from `{from}`")),
        Some(keep) => {
            Loss::of(None, format!("`{from}` keeps {}, the rebuild needs {}", duration_text(keep), duration_text(rebuild.within_ms)))
        }
        None => Loss::of(None, format!("`{from}` does not say how long it keeps what is replayed")),
    }
}

/// A place where a backup lies.
struct Lying<'a> {
    site: Option<&'a str>,
    after_ms: u64,
    keep: Option<&'a Value>,
    copy: bool,
}

fn from_backup<'a>(facts: &Facts<'a>, id: &str, asset: &Asset, backup: &'a Backup) -> Loss {
    let name = &backup.id;
    let best = lying(backup).into_iter().filter(|l| whole_at(facts, id, asset, backup, l, 0)).min_by_key(|l| l.after_ms);
    let Some(best) = best else { return Loss::of(None, format!("no copy of backup `{name}` survives whole")) };
    let gap = match (backup.continuous_ms, &backup.schedule) {
        (Some(ms), _) => Some(ms),
        (None, _) => facts.gap_ms(backup),
    };
    let place = best.site.map_or(String::new(), |s| format!(" at {s}"));
    let kind = if best.copy { "copy of backup" } else { "backup" };
    let Some(gap) = gap else { return Loss::of(None, format!("{kind} `{name}`{place}; nothing says when it is taken")) };
    let takes = backup.takes_ms.unwrap_or(0);
    let damage = if damages(facts.scenario) { facts.scenario.detect_ms } else { 0 };
    let mut words = vec![format!("{kind} `{name}`{place}: at most {} between two", duration_text(gap))];
    for (ms, what) in [(takes, "to take it"), (best.after_ms, "to copy it"), (damage, "until the damage is noticed")] {
        if ms > 0 {
            words.push(format!("{} {what}", duration_text(ms)));
        }
    }
    Loss::of(Some(gap + takes + best.after_ms + damage), words.join(", "))
}

fn lying(backup: &Backup) -> Vec<Lying<'_>> {
    let own = Lying { site: backup.site.as_deref(), after_ms: 0, keep: backup.keep.as_ref(), copy: false };
    let copies = backup.copies.iter().map(|c| Lying {
        site: c.site.as_deref(),
        after_ms: c.after_ms.unwrap_or(0),
        keep: c.keep.as_ref(),
        copy: true,
    });
    std::iter::once(own).chain(copies).collect()
}

/// Whether a backup survives at a place, can be read, reaches back far enough, and has every earlier link there too.
fn whole_at(facts: &Facts<'_>, id: &str, asset: &Asset, backup: &Backup, place: &Lying<'_>, depth: usize) -> bool {
    let lost = |site: Option<&str>| site.is_some_and(|s| facts.lost_sites.contains(s));
    let key_lost = backup.encryption.as_ref().is_some_and(|e| lost(e.site.as_deref()));
    let named = facts.scenario.loses.backups.iter().any(|b| *b == format!("{id}.{}", backup.id));
    if lost(place.site) || key_lost || named {
        return false;
    }
    if damages(facts.scenario) && place.keep.and_then(reach_ms).is_some_and(|ms| ms < facts.scenario.detect_ms) {
        return false;
    }
    if facts.scenario.cause == Cause::Ransomware {
        let offline = place.site.and_then(|s| facts.plan.sites.get(s)).is_some_and(|s| s.kind.as_deref() == Some("offline"));
        if !offline && (place.copy || backup.immutable.is_none()) {
            return false;
        }
    }
    if !matches!(backup.method, BackupMethod::Incremental | BackupMethod::Differential | BackupMethod::Log) {
        return true;
    }
    let Some(base) = backup.base.as_ref().and_then(|b| asset.backups.iter().find(|x| x.id == *b)) else { return false };
    // A chain is as long as there are backups; a longer one goes round.
    depth < asset.backups.len() && lying(base).iter().any(|l| l.site == place.site && whole_at(facts, id, asset, base, l, depth + 1))
}

/// How far back something that is kept reaches; none if that depends on counting.
pub fn reach_ms(keep: &Value) -> Option<u64> {
    match keep {
        Value::String(text) => kept_ms(text).ok(),
        Value::Object(map) => map.values().filter_map(|v| kept_ms(v.as_str()?).ok()).max(),
        _ => None,
    }
}
