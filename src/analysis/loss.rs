//! Predicted data loss of an asset: every source that it could come back from, what each would lose or why it cannot be
//! used, and the one that bounds it. It knows what is lost, and no order of steps.

use std::collections::BTreeSet;

use serde_json::Value;

use super::facts::Facts;
use super::gaps::{Gaps, Sample, Samples};
use crate::actions::units::{duration_ms, duration_text, kept_ms};
use crate::model::places::BackupPlaces;
use crate::model::{Asset, AssetKind, Backup, BackupMethod, Cause, Id, Places, Plan, Replica, ReplicaMode, Step};
use crate::source::Span;

/// What is lost of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// As time; none: unbounded.
    pub ms: Option<u64>,
    /// What bounds it, in words.
    pub source: String,
    /// No step says from which source the asset comes back.
    pub unsaid: bool,
    /// Why it is unbounded: places and what is wrong there, each because of the next.
    pub why: Vec<Reason>,
}

/// A place, and what keeps a source from being used there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Where that is written.
    pub at: Span,
    /// What is wrong there.
    pub words: String,
}

impl Loss {
    fn of(ms: Option<u64>, source: impl Into<String>) -> Loss {
        Loss { ms, source: source.into(), unsaid: false, why: Vec::new() }
    }

    fn none(source: impl Into<String>, why: Vec<Reason>) -> Loss {
        Loss { why, ..Loss::of(None, source) }
    }
}

/// What has happened, as far as sources of data ask: which of them survive, and which copied the damage.
pub struct Damage<'d, 'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Where its words stand.
    pub places: &'a Places,
    /// Why it happened.
    pub cause: Cause,
    /// From the damage until somebody is called, in milliseconds.
    pub detect_ms: u64,
    /// Lost sites, with all that lie within them.
    pub sites: &'d BTreeSet<Id>,
    /// Lost backups, as `asset.id`.
    pub backups: &'d [String],
    /// Whether an asset is lost.
    pub loses: &'d dyn Fn(&str) -> bool,
    /// How long it is between two backups.
    pub gaps: &'d Gaps<'a>,
    /// The same by sample, the shortest too.
    pub samples: &'d Samples<'a>,
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
    facts.damage(|damage| {
        let said = facts.steps_of(id).filter_map(|(_, s)| Some(damage.of_step(id, asset, s, s.from.as_deref()?)));
        if let Some(worst) = said.max_by_key(|l| l.ms.unwrap_or(u64::MAX)) {
            return worst;
        }
        let all = damage.sources(id, asset);
        match all.iter().filter(|l| l.ms.is_some()).min_by_key(|l| l.ms) {
            Some(best) => Loss { unsaid: true, ..best.clone() },
            None => Loss::none("no source survives", all.into_iter().flat_map(|l| l.why).collect()),
        }
    })
}

impl<'a> Damage<'_, 'a> {
    /// What each source of an asset would lose, or why it cannot be used: replicas, backups, the rebuild.
    pub fn sources(&self, id: &str, asset: &'a Asset) -> Vec<Loss> {
        let replicas = asset.replicas.iter().enumerate().map(|(n, r)| self.of_replica(id, n, r, None));
        let backups = asset.backups.iter().map(|b| self.of_backup(id, asset, b));
        let rebuild = asset.rebuild.iter().map(|_| self.of_rebuild(id, asset));
        replicas.chain(backups).chain(rebuild).collect()
    }

    fn of_step(&self, id: &str, asset: &'a Asset, step: &Step, from: &str) -> Loss {
        match from {
            "replica" => {
                let allowed = step.call.with.get("max_lag").and_then(Value::as_str).and_then(|t| duration_ms(t).ok());
                let all = || asset.replicas.iter().enumerate();
                let here = all().find(|(_, r)| step.at.as_ref() == Some(&r.site));
                let found: Vec<(usize, &Replica)> = here.map_or_else(|| all().collect(), |one| vec![one]);
                let all = found.into_iter().map(|(n, r)| self.of_replica(id, n, r, allowed));
                all.max_by_key(|l| l.ms.unwrap_or(u64::MAX)).unwrap_or_else(|| Loss::of(None, "it has no replica"))
            }
            "rebuild" => self.of_rebuild(id, asset),
            name => match asset.backups.iter().find(|b| b.id == name) {
                Some(backup) => self.of_backup(id, asset, backup),
                None => Loss::of(None, format!("no backup `{name}`")),
            },
        }
    }

    /// Whether data written since the damage, and what copied them, are worth nothing.
    fn damages(&self) -> bool {
        matches!(self.cause, Cause::Corruption | Cause::Ransomware)
    }

    fn of_replica(&self, id: &str, number: usize, replica: &Replica, allowed: Option<u64>) -> Loss {
        let site = &replica.site;
        let at = self.places.replicas.get(id).and_then(|all| all.get(number)).map(|k| k.at).unwrap_or_default();
        let unused = |source: String, words: &str| Loss::none(source, vec![Reason { at, words: words.to_owned() }]);
        if self.damages() {
            return unused(format!("the replica at {site} holds the same damage"), "it copied the damage");
        }
        if self.sites.contains(site) {
            return unused(format!("the replica at {site} is lost too"), "it is lost too");
        }
        let lag = match (replica.mode, replica.max_lag_ms) {
            (ReplicaMode::Standby, _) => return unused(format!("the standby at {site} holds no data"), "a standby holds no data"),
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

    fn of_rebuild(&self, id: &str, asset: &Asset) -> Loss {
        let Some(rebuild) = &asset.rebuild else { return Loss::of(None, "it has no `rebuild`") };
        let from = &rebuild.from;
        let keep = self.plan.assets.get(from).and_then(|a| a.keep_ms);
        let at = self.places.rebuilds.get(id).map(|k| k.value("within")).unwrap_or_default();
        match keep {
            _ if (self.loses)(from) => {
                let mut why = Vec::new();
                if let Some(keys) = self.places.assets.get(from) {
                    why.push(Reason { at: keys.at, words: format!("`{from}` is lost too") });
                    let site = self.plan.assets.get(from).and_then(|a| a.sites.iter().find(|s| self.sites.contains(*s)));
                    why.extend(site.map(|s| Reason { at: keys.value("site"), words: format!("`{s}` is lost") }));
                }
                Loss::none(format!("`{from}` is lost too"), why)
            }
            Some(keep) if keep >= rebuild.within_ms => Loss::of(Some(0), format!("computed anew from `{from}`")),
            Some(keep) => Loss::none(
                format!("`{from}` keeps {}, the rebuild needs {}", duration_text(keep), duration_text(rebuild.within_ms)),
                vec![Reason { at, words: "it begins before that".to_owned() }],
            ),
            None => Loss::none(
                format!("`{from}` does not say how long it keeps what is replayed"),
                vec![Reason { at, words: "it begins then".to_owned() }],
            ),
        }
    }

    fn of_backup(&self, id: &str, asset: &'a Asset, backup: &'a Backup) -> Loss {
        let name = &backup.id;
        let Some(best) = self.whole(id, asset, backup).into_iter().min_by_key(|l| l.after_ms) else {
            let why = lying(backup).iter().flat_map(|l| self.missing(id, asset, backup, l, 0)).collect();
            return Loss::none(format!("no copy of backup `{name}` survives whole"), why);
        };
        let gap = match (backup.continuous_ms, &backup.schedule) {
            (Some(ms), _) => Some(ms),
            (None, _) => self.gaps.of(backup),
        };
        let place = best.site.map_or(String::new(), |s| format!(" at {s}"));
        let kind = if best.copy.is_some() { "copy of backup" } else { "backup" };
        let Some(gap) = gap else { return Loss::of(None, format!("{kind} `{name}`{place}; nothing says when it is taken")) };
        let takes = backup.takes_ms.unwrap_or(0);
        let damage = if self.damages() { self.detect_ms } else { 0 };
        let mut words = vec![format!("{kind} `{name}`{place}: at most {} between two", duration_text(gap))];
        for (ms, what) in [(takes, "to take it"), (best.after_ms, "to copy it"), (damage, "until the damage is noticed")] {
            if ms > 0 {
                words.push(format!("{} {what}", duration_text(ms)));
            }
        }
        Loss::of(Some(gap + takes + best.after_ms + damage), words.join(", "))
    }

    /// The places at which a backup survives whole.
    pub fn whole(&self, id: &str, asset: &'a Asset, backup: &'a Backup) -> Vec<Lying<'a>> {
        lying(backup).into_iter().filter(|l| self.missing(id, asset, backup, l, 0).is_empty()).collect()
    }

    /// What keeps a backup at a place from being used: it must survive, be readable, reach back far enough, and have every
    /// earlier link there too. Nothing if it can be.
    fn missing(&self, id: &str, asset: &'a Asset, backup: &'a Backup, place: &Lying<'_>, depth: usize) -> Vec<Reason> {
        let places = self.places_of(id, asset, backup);
        let at = |key: &str| places.map(|p| place.keys(p).value(key)).unwrap_or_default();
        let one = |at: Span, words: String| vec![Reason { at, words }];
        if let Some(site) = place.site.filter(|s| self.sites.contains(*s)) {
            return one(at("site"), format!("`{site}` is lost"));
        }
        if let Some(site) = backup.encryption.as_ref().and_then(|e| e.site.as_ref()).filter(|s| self.sites.contains(*s)) {
            let at = places.map(|p| p.encryption.value("site")).unwrap_or_default();
            return one(at, format!("its key is lost with `{site}`: nobody can read it"));
        }
        if self.backups.iter().any(|b| b.strip_prefix(id).and_then(|rest| rest.strip_prefix('.')) == Some(backup.id.as_str())) {
            return one(places.map(|p| p.keys.at).unwrap_or_default(), "it is lost".to_owned());
        }
        let noticed = duration_text(self.detect_ms);
        if self.damages()
            && let Some(kept) = place.keep.and_then(|keep| reach_ms(keep, self.samples.of(backup)))
            && kept < self.detect_ms
        {
            return one(at("keep"), format!("kept {}; the damage is noticed after {noticed}", duration_text(kept)));
        }
        if self.cause == Cause::Ransomware && !offline(self.plan, place.site) {
            match &backup.immutable {
                Some(_) if place.copy.is_some() => return one(at("site"), "this copy is neither offline nor locked".to_owned()),
                None => return one(at("site"), "neither offline nor `immutable`: it can be deleted".to_owned()),
                Some(lock) if lock.for_ms < self.detect_ms => {
                    return one(
                        at("immutable"),
                        format!("locked for {}; the damage is noticed after {noticed}", duration_text(lock.for_ms)),
                    );
                }
                Some(_) => {}
            }
        }
        if !builds_on_another(backup) {
            return Vec::new();
        }
        let Some(base) = backup.base.as_ref().and_then(|b| asset.backups.iter().find(|x| x.id == *b)) else {
            return one(places.map(|p| p.keys.at).unwrap_or_default(), "nothing says what it builds on".to_owned());
        };
        let here = place.site.map_or("at the same place".to_owned(), |s| format!("at `{s}`"));
        // A chain is as long as there are backups; a longer one goes round.
        let mut wrong = Vec::new();
        for beside in lying(base).into_iter().filter(|l| l.site == place.site && depth < asset.backups.len()) {
            let missing = self.missing(id, asset, base, &beside, depth + 1);
            if missing.is_empty() {
                return Vec::new();
            }
            wrong = missing;
        }
        let words = match wrong.is_empty() {
            true => format!("it is restored onto `{}`, which has no copy {here}", base.id),
            false => format!("it is restored onto `{}`, which cannot be used {here}", base.id),
        };
        wrong.insert(0, Reason { at: at("site"), words });
        wrong
    }

    fn places_of(&self, id: &str, asset: &Asset, backup: &Backup) -> Option<&'a BackupPlaces> {
        let number = asset.backups.iter().position(|b| b.id == backup.id)?;
        self.places.backups.get(id)?.get(number)
    }
}

/// A place where a backup lies: its own, or that of a copy.
#[derive(Debug, Clone, Copy)]
pub struct Lying<'a> {
    /// The site.
    pub site: Option<&'a str>,
    /// How long after the backup's end it is there, in milliseconds.
    pub after_ms: u64,
    /// How long one is kept there.
    pub keep: Option<&'a Value>,
    /// The number of the copy; none for the backup's own place.
    pub copy: Option<usize>,
}

impl Lying<'_> {
    /// Where its words stand.
    pub fn keys<'p>(&self, places: &'p BackupPlaces) -> &'p crate::model::places::Keys {
        self.copy.and_then(|n| places.copies.get(n)).unwrap_or(&places.keys)
    }
}

/// Everywhere a backup lies, its own place first.
pub fn lying(backup: &Backup) -> Vec<Lying<'_>> {
    let own = Lying { site: backup.site.as_deref(), after_ms: 0, keep: backup.keep.as_ref(), copy: None };
    let copies = backup.copies.iter().enumerate().map(|(n, c)| Lying {
        site: c.site.as_deref(),
        after_ms: c.after_ms.unwrap_or(0),
        keep: c.keep.as_ref(),
        copy: Some(n),
    });
    std::iter::once(own).chain(copies).collect()
}

/// Whether a site is out of reach of whoever has taken over the others.
pub fn offline(plan: &Plan, site: Option<&str>) -> bool {
    site.and_then(|s| plan.sites.get(s)).is_some_and(|s| s.kind.as_deref() == Some("offline"))
}

/// Whether a backup is worth nothing by itself.
pub fn builds_on_another(backup: &Backup) -> bool {
    matches!(backup.method, BackupMethod::Incremental | BackupMethod::Differential | BackupMethod::Log)
}

/// How far back something that is kept reaches; none if that depends on counting what nobody knows the times of.
pub fn reach_ms(keep: &Value, taken: Sample) -> Option<u64> {
    match (keep, taken) {
        (Value::String(text), _) => kept_ms(text).ok(),
        (Value::Object(map), _) => {
            let counted = match (map.get("last").and_then(last), taken) {
                (Some(n), Sample::Gaps(least, _)) => Some(n.saturating_mul(least)),
                _ => None,
            };
            map.values().filter_map(|v| kept_ms(v.as_str()?).ok()).chain(counted).max()
        }
        _ => None,
    }
}

/// The number of a `last: N`.
pub fn last(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
