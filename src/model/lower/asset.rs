//! The section `assets`: what must be recovered, its replicas, backups and sources.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{HERE, Lower, Named, action, read};
use crate::actions::{AssetKind, connect_fields};
use crate::diagnostic::Diagnostic;
use crate::model::places::{BackupPlaces, Keys};
use crate::model::scope::Spot;
use crate::model::shapes::Shapes;
use crate::model::{Asset, Backup, Copy, Dependency, Encryption, Immutable, Rebuild, Replica, Verify, vocabulary as words};
use crate::syntax::{Entry, Node};

impl<'t> Lower<'_, 't> {
    /// Reads one asset into the plan; without a readable kind it is left out.
    pub(super) fn asset(&mut self, entry: &Entry<'t>) {
        let node = &entry.value;
        let id = entry.key.to_string();
        self.places.assets.insert(id.clone(), Keys::of(entry.at, node, words::ASSET));
        let kind = read::word::<AssetKind>(node, "kind");
        let own = node.get("connect");
        let connect = own.map_or_else(Map::new, |c| self.connect(c, kind, false));
        let tier = node.get("tier").filter(|t| t.scalar().is_none_or(|s| s.text != "none"));
        let tier = tier.and_then(|t| self.known(t, Named::Tier));
        let sites = self.sites_of(entry);
        let depends_on = self.depends_on(node);
        let replicas = self.replicas(node, kind, &connect);
        let backups = self.backups(node);
        self.asset_places(&id, node);
        let rebuild = node.get("rebuild").and_then(|r| {
            let from = self.name_in(r, "from", Named::Asset)?;
            Some(Rebuild { from, within_ms: self.kept(r, "within")?, takes_ms: self.duration(r, "takes")? })
        });
        let Some(kind) = kind else { return };
        let asset = Asset {
            each: self.each_of(node, entry.key, entry.at),
            kind,
            title: self.text(node, "title"),
            tier,
            sites,
            size_bytes: self.size(node, "size"),
            connect: connect.into_iter().collect(),
            depends_on,
            replicas,
            backups,
            rebuild,
            keep_ms: self.kept(node, "keep"),
        };
        self.plan.assets.insert(id, asset);
    }

    /// Where the parts of an asset stand.
    fn asset_places(&mut self, id: &str, node: &Node<'_>) {
        let items = |key| node.get(key).and_then(Node::list).unwrap_or(&[]);
        let replicas: Vec<Keys> = items("replicas").iter().map(|r| Keys::of(r.head(), r, words::REPLICA)).collect();
        let backups: Vec<BackupPlaces> = items("backups").iter().map(backup_places).collect();
        if !replicas.is_empty() {
            self.places.replicas.insert(id.to_owned(), replicas);
        }
        if !backups.is_empty() {
            self.places.backups.insert(id.to_owned(), backups);
        }
        if let Some(rebuild) = node.entry("rebuild") {
            self.places.rebuilds.insert(id.to_owned(), Keys::of(rebuild.at, &rebuild.value, words::REBUILD));
        }
    }

    pub(super) fn connect(&mut self, node: &Node<'_>, kind: Option<AssetKind>, partial: bool) -> Map<String, Value> {
        let fields = kind.map_or(&[][..], connect_fields);
        // That nothing stands there was said.
        if kind.is_some() && !node.is_null() {
            let mut shapes = Shapes::new(&self.scope, Spot::Connect, self.findings);
            match fields {
                // A kind that no action connects to: its keys are for people.
                [] => shapes.value("connect", node, &crate::actions::Type::Map(&crate::actions::Type::Any)),
                _ if partial => shapes.keys("connect", node, fields, &[]),
                _ => shapes.record("connect", node, fields, &[]),
            }
        }
        action::record(&self.scope, node, fields, Spot::Connect)
    }

    fn sites_of(&mut self, entry: &Entry<'t>) -> Vec<String> {
        if entry.value.get("site").is_some() {
            return self.names_in(&entry.value, "site", Named::Site);
        }
        let all: Vec<&str> = self.names.all(Named::Site);
        match all.as_slice() {
            [only] => vec![(*only).to_owned()],
            [] => vec![HERE.to_owned()],
            _ => {
                let found = Diagnostic::deny(
                    "asset-nowhere",
                    format!("asset `{}` says not where it stands", entry.key),
                    entry.at,
                    "`site` must stand here",
                );
                self.findings.push(found.help(format!("add `site: {}`", all[0])));
                Vec::new()
            }
        }
    }

    fn depends_on(&mut self, node: &Node<'_>) -> Vec<Dependency> {
        let items = node.get("depends_on").and_then(Node::list).unwrap_or(&[]);
        let one = |lower: &mut Self, item: &Node<'_>| {
            let name = item.get("asset").unwrap_or(item);
            let asset = lower.known(name, Named::Asset)?;
            let weak = item.get("strength").and_then(read::raw).is_some_and(|s| s == "weak");
            Some(Dependency { asset, weak })
        };
        items.iter().filter_map(|item| one(self, item)).collect()
    }

    fn replicas(&mut self, node: &Node<'_>, kind: Option<AssetKind>, connect: &Map<String, Value>) -> Vec<Replica> {
        let items = node.get("replicas").and_then(Node::list).unwrap_or(&[]);
        let one = |lower: &mut Self, item: &Node<'_>| {
            let own = item.get("connect").map_or_else(Map::new, |c| lower.connect(c, kind, true));
            let mut whole: BTreeMap<String, Value> = connect.clone().into_iter().collect();
            whole.extend(own);
            let site = lower.name_in(item, "site", Named::Site)?;
            Some(Replica { site, mode: read::word(item, "mode")?, max_lag_ms: lower.duration(item, "max_lag"), connect: whole })
        };
        items.iter().filter_map(|item| one(self, item)).collect()
    }

    fn backups(&mut self, node: &Node<'_>) -> Vec<Backup> {
        let items = node.get("backups").and_then(Node::list).unwrap_or(&[]);
        let ids: Vec<String> = items.iter().filter_map(|i| read::raw(i.get("id")?)).collect();
        let mut seen: BTreeMap<String, crate::source::Span> = BTreeMap::new();
        for item in items {
            if let Some(id) = item.get("id")
                && let Some(name) = read::raw(id)
                && let Some(first) = seen.insert(name.clone(), id.span)
            {
                let found = Diagnostic::deny("duplicate-id", format!("two backups are called `{name}`"), id.span, "again here");
                self.findings.push(found.also(first, "first here").help("give one of them another id"));
            }
        }
        items.iter().filter_map(|item| self.backup(item, &ids)).collect()
    }

    fn backup(&mut self, node: &Node<'_>, ids: &[String]) -> Option<Backup> {
        let site = self.name_in(node, "site", Named::Site);
        let base = node.get("base").and_then(|b| {
            let name = read::raw(b)?;
            if !ids.contains(&name) {
                let known: Vec<&str> = ids.iter().map(String::as_str).collect();
                self.unknown("backup", &name, b.span, &known);
                return None;
            }
            Some(name)
        });
        let encryption = node.get("encryption").and_then(|e| {
            let site = self.name_in(e, "site", Named::Site);
            Some(Encryption { key: self.text(e, "key")?, site })
        });
        let immutable =
            node.get("immutable").and_then(|i| Some(Immutable { mode: read::raw(i.get("mode")?)?, for_ms: self.kept(i, "for")? }));
        let copies = node.get("copies").and_then(Node::list).unwrap_or(&[]);
        let copies = copies.iter().filter_map(|c| {
            let site = self.name_in(c, "site", Named::Site);
            Some(Copy { to: self.text(c, "to")?, site, after_ms: self.duration(c, "after"), keep: self.keep(c) })
        });
        let copies = copies.collect();
        self.schedule(node);
        Some(Backup {
            id: read::raw(node.get("id")?)?,
            method: read::word(node, "method")?,
            base,
            schedule: self.text(node, "schedule"),
            timezone: self.text(node, "timezone"),
            continuous_ms: self.duration(node, "continuous"),
            takes_ms: self.duration(node, "takes"),
            to: self.text(node, "to")?,
            site,
            keep: self.keep(node),
            encryption,
            immutable,
            copies,
            verify: self.verify(node),
        })
    }

    /// How often a backup is seen and restored, of a backup or of a tier.
    pub(super) fn verify(&self, node: &Node<'_>) -> Option<Verify> {
        let verify = node.get("verify").filter(|v| v.map().is_some())?;
        Some(Verify { exists_ms: self.duration(verify, "exists"), restore_ms: self.duration(verify, "restore") })
    }

    fn keep(&self, node: &Node<'_>) -> Option<Value> {
        Some(self.scope.json(node.get("keep")?, Spot::Plan))
    }

    fn schedule(&mut self, node: &Node<'_>) {
        if let (Some(at), Some(line)) = (node.get("schedule"), self.text(node, "schedule"))
            && let Err(problem) = line.parse::<croner::Cron>()
        {
            let _ = problem;
            let found = Diagnostic::deny(
                "bad-schedule",
                format!("`{line}` is not a cron line"),
                at.span,
                "five fields: minute, hour, day, month, weekday",
            );
            self.findings.push(found.help("write it like `\"0 2 * * *\"` (every day at two)"));
        }
        if let (Some(at), Some(zone)) = (node.get("timezone"), self.text(node, "timezone"))
            && jiff::tz::TimeZone::get(&zone).is_err()
        {
            let found = Diagnostic::deny("bad-schedule", format!("no time zone `{zone}`"), at.span, "not a name of the time zone database");
            self.findings.push(found.help("write it like `Europe/Berlin`"));
        }
    }
}

fn backup_places(node: &Node<'_>) -> BackupPlaces {
    let part = |key, words| node.entry(key).map(|e| Keys::of(e.at, &e.value, words)).unwrap_or_default();
    BackupPlaces {
        keys: Keys::of(node.get("id").map_or(node.head(), |id| id.span), node, words::BACKUP),
        keep: part("keep", words::KEEP),
        encryption: part("encryption", words::ENCRYPTION),
        verify: part("verify", words::VERIFY),
        copies: node.get("copies").and_then(Node::list).unwrap_or(&[]).iter().map(|c| Keys::of(c.head(), c, words::COPY)).collect(),
    }
}
