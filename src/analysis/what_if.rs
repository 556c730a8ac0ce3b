//! What would be lost if something were: the blast radius of a loss, which scenario answers it, and which of them could not
//! run either; and for every single loss which scenario answers it. It compiles nothing and runs nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::gaps::{Gaps, Samples};
use super::loss::{Damage, Loss as Source, holds_data, lying};
use super::stands::{Footing, Link, Part, Spot, Stands, Told};
use crate::model::{Asset, Cause, Id, Places, Plan, Scenario, Step, WhenUnreachable, lost_assets, lost_sites, sites_with};

/// Something that is lost, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub cause: Cause,
    /// Sites.
    pub sites: Vec<Id>,
    /// Assets alone.
    pub assets: Vec<Id>,
    /// Backups, as `asset.id`.
    pub backups: Vec<String>,
}

/// What a loss takes with it.
#[derive(Debug, Clone)]
pub struct Blast<'a> {
    /// Sites, with all that lie within them.
    pub sites: BTreeSet<Id>,
    /// Assets that are gone, or damaged.
    pub assets: Vec<&'a str>,
    /// Assets that stand on one of these, each with the way down to it, itself first.
    pub stopped: Vec<Vec<&'a str>>,
    /// Copies that are gone of assets that are not: the asset and the site.
    pub replicas: Vec<(&'a str, &'a str)>,
    /// Places of backups that are gone: `asset.id`, and the site.
    pub backups: Vec<(String, Option<&'a str>)>,
    /// Backups whose key is gone, as `asset.id`.
    pub keys: Vec<String>,
    /// Secrets whose keeper is gone.
    pub secrets: Vec<&'a str>,
    /// Contacts whom the program cannot tell any more.
    pub contacts: Vec<&'a str>,
    /// The shared journal is gone.
    pub journal: bool,
    /// Of each lost asset that holds data: what each of its sources would lose, or why it cannot be used.
    pub data: Vec<(&'a str, Vec<Source>)>,
    /// Of each scenario: whether it answers the loss, and what of its path is gone.
    pub scenarios: Vec<Path<'a>>,
}

impl<'a> Blast<'a> {
    /// Scenarios that answer it, the narrowest first.
    pub fn answers(&self) -> Vec<&'a str> {
        let mut all: Vec<&Path<'a>> = self.scenarios.iter().filter(|p| p.answers).collect();
        all.sort_by_key(|p| p.loses);
        all.into_iter().map(|p| p.scenario).collect()
    }
}

/// A scenario beside a loss.
#[derive(Debug, Clone)]
pub struct Path<'a> {
    /// Its name.
    pub scenario: &'a str,
    /// It is written for all of the loss, and for this cause.
    pub answers: bool,
    /// How many sites and assets it is written for.
    pub loses: usize,
    /// Assets of the loss that it leaves as they are.
    pub leaves: Vec<&'a str>,
    /// Its steps that need what is lost: the step, and what lies between it and that, in words.
    pub dead: Vec<(&'a str, Vec<String>)>,
    /// How many steps it has.
    pub steps: usize,
}

/// What scenarios are written for, by cause.
pub struct Answers<'a> {
    all: Vec<Answer<'a>>,
}

struct Answer<'a> {
    scenario: &'a Scenario,
    sites: BTreeSet<Id>,
    assets: BTreeSet<Id>,
}

impl<'a> Answers<'a> {
    /// Of these scenarios, of which the caller knows that they pass.
    pub fn new(plan: &Plan, scenarios: impl IntoIterator<Item = &'a Scenario>) -> Answers<'a> {
        let lossy = scenarios.into_iter().filter(|s| s.cause != Cause::Planned);
        let mut all: Vec<Answer<'a>> =
            lossy.map(|s| Answer { scenario: s, sites: lost_sites(plan, s), assets: lost_assets(plan, s) }).collect();
        // The narrowest first: it costs least.
        all.sort_by_key(|a| a.sites.len() + a.assets.len());
        Answers { all }
    }

    /// Scenarios that bring an asset back, whatever else is lost in them; the narrowest first.
    pub fn asset(&self, id: &str, cause: Cause) -> Vec<&'a str> {
        let brings = |a: &&Answer<'_>| a.assets.contains(id) && !a.scenario.leaves.iter().any(|l| l == id);
        self.all.iter().filter(|a| a.scenario.cause == cause).filter(brings).map(|a| a.scenario.id.as_str()).collect()
    }

    /// Scenarios that answer the loss of a site; the narrowest first.
    pub fn site(&self, site: &str) -> Vec<&'a str> {
        let outages = self.all.iter().filter(|a| a.scenario.cause == Cause::Outage);
        outages.filter(|a| a.sites.contains(site)).map(|a| a.scenario.id.as_str()).collect()
    }
}

/// One line of the matrix of single losses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// What is lost.
    pub what: Single<'a>,
    /// For each cause that can befall it, the scenarios that answer it.
    pub answers: BTreeMap<Cause, Vec<&'a str>>,
    /// Losing it takes nothing away that would have to be brought back.
    pub harmless: bool,
}

/// A single loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Single<'a> {
    /// A site.
    Site(&'a str),
    /// An asset.
    Asset(&'a str),
}

/// A plan that can be asked.
pub struct WhatIf<'a> {
    plan: &'a Plan,
    places: &'a Places,
    scenarios: Vec<Way<'a>>,
    answers: Answers<'a>,
    stands: Stands<'a>,
    /// By asset: those that strongly depend on it.
    above: BTreeMap<&'a str, Vec<&'a str>>,
    /// By site: assets that stand there.
    at: BTreeMap<&'a str, Vec<&'a str>>,
    /// By spot: what stands on it: the scenario, the step, and the number of the footing.
    on: BTreeMap<Spot<'a>, Vec<(usize, usize)>>,
    footings: Vec<(usize, usize, Footing<'a>)>,
    gaps: Gaps<'a>,
    samples: Samples<'a>,
}

/// A scenario, with its steps by asset.
struct Way<'a> {
    scenario: &'a Scenario,
    by_asset: BTreeMap<&'a str, Vec<usize>>,
}

impl Way<'_> {
    /// Whether a step of it brings an asset back.
    fn brings(&self, asset: &str) -> bool {
        self.by_asset.get(asset).is_some_and(|steps| steps.iter().any(|&i| self.scenario.steps[i].phase.of_recovery()))
    }
}

impl<'a> WhatIf<'a> {
    /// A plan with those of its scenarios that pass.
    pub fn new(plan: &'a Plan, places: &'a Places, scenarios: impl IntoIterator<Item = &'a Scenario>) -> WhatIf<'a> {
        let scenarios: Vec<&'a Scenario> = scenarios.into_iter().collect();
        let mut asked = WhatIf {
            plan,
            places,
            answers: Answers::new(plan, scenarios.iter().copied()),
            scenarios: Vec::new(),
            stands: Stands::new(plan),
            above: plan.above(),
            at: BTreeMap::new(),
            on: BTreeMap::new(),
            footings: Vec::new(),
            gaps: Gaps::default(),
            samples: Samples::default(),
        };
        for (id, asset) in &plan.assets {
            asset.sites.iter().for_each(|s| asked.at.entry(s).or_default().push(id));
        }
        for (s, scenario) in scenarios.into_iter().enumerate() {
            let mut by_asset: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (i, step) in scenario.steps.iter().enumerate() {
                step.assets.iter().for_each(|a| by_asset.entry(a).or_default().push(i));
                for footing in asked.stands.of_step(step).into_iter().filter(|f| needed(step, f)) {
                    let number = asked.footings.len();
                    footing.spots.iter().for_each(|spot| asked.on.entry(*spot).or_default().push((s, number)));
                    asked.footings.push((s, i, footing));
                }
            }
            asked.scenarios.push(Way { scenario, by_asset });
        }
        asked
    }

    /// What a loss takes with it, and what answers it.
    pub fn ask(&self, loss: &Loss) -> Blast<'a> {
        let sites = sites_with(self.plan, &loss.sites);
        let damage = loss.cause != Cause::Outage;
        let assets = self.lost(&sites, &loss.assets);
        let gone: BTreeSet<&str> = assets.iter().copied().collect();
        let stopped = self.stopped(&assets);
        let dead_spot = |spot: &Spot<'_>| match spot {
            Spot::Site(site) => sites.contains(*site),
            Spot::Copy(id, site) => {
                let own = || self.plan.assets.get(*id).is_some_and(|a| a.sites.iter().any(|s| s == site));
                sites.contains(*site) || !damage && gone.contains(id) && own()
            }
        };
        let replicas = self.plan.assets.iter().filter(|(id, _)| !gone.contains(id.as_str()));
        let replicas =
            replicas.flat_map(|(id, a)| a.replicas.iter().filter(|r| sites.contains(&r.site)).map(move |r| (id.as_str(), r.site.as_str())));
        let (backups, keys) = self.backups(&sites, loss);
        let contacts = self.plan.contacts.keys().map(String::as_str).filter(|id| {
            let channels = self.stands.of_contact(id);
            !channels.is_empty() && channels.iter().all(|f| f.spots.iter().all(dead_spot))
        });
        let secrets = self.plan.secrets.iter().filter(|(_, s)| s.site.as_ref().is_some_and(|s| sites.contains(s)));
        Blast {
            stopped,
            replicas: replicas.collect(),
            backups,
            keys,
            secrets: secrets.map(|(name, _)| name.as_str()).collect(),
            contacts: contacts.collect(),
            journal: self.stands.of_journal().is_some_and(|f| f.spots.iter().all(dead_spot)),
            data: self.data(loss, &sites, &gone),
            scenarios: self.paths(loss, &sites, &gone, &dead_spot),
            assets,
            sites,
        }
    }

    /// Every single loss with what answers it: of each site, and of each asset by each cause that can befall it.
    pub fn matrix(&self) -> Vec<Row<'a>> {
        let mut rows = Vec::new();
        for site in self.plan.sites.keys() {
            let harmless = self.lost(&sites_with(self.plan, std::slice::from_ref(site)), &[]).is_empty();
            rows.push(Row { what: Single::Site(site), answers: BTreeMap::from([(Cause::Outage, self.answers.site(site))]), harmless });
        }
        for (id, asset) in &self.plan.assets {
            let causes = [Cause::Outage, Cause::Corruption, Cause::Ransomware];
            let befalls = causes.into_iter().filter(|c| *c == Cause::Outage || holds_data(asset));
            let answers = befalls.map(|cause| (cause, self.answers.asset(id, cause))).collect();
            rows.push(Row { what: Single::Asset(id), answers, harmless: false });
        }
        rows
    }

    /// Assets that are named, or all of whose sites are lost.
    fn lost(&self, sites: &BTreeSet<Id>, named: &[Id]) -> Vec<&'a str> {
        let there = sites.iter().filter_map(|s| self.at.get(s.as_str())).flatten().copied();
        let all_gone = |id: &&str| self.plan.assets.get(*id).is_some_and(|a| a.sites.iter().all(|s| sites.contains(s)));
        let named = named.iter().filter_map(|id| self.plan.assets.get_key_value(id)).map(|(id, _)| id.as_str());
        let all: BTreeSet<&'a str> = there.filter(all_gone).chain(named).collect();
        all.into_iter().collect()
    }

    /// What stands on lost assets, each with the way down.
    fn stopped(&self, lost: &[&'a str]) -> Vec<Vec<&'a str>> {
        let mut below: BTreeMap<&'a str, &'a str> = BTreeMap::new();
        let mut open: VecDeque<&'a str> = lost.iter().copied().collect();
        let gone: BTreeSet<&str> = lost.iter().copied().collect();
        while let Some(at) = open.pop_front() {
            for &next in self.above.get(at).into_iter().flatten() {
                if !gone.contains(next) && !below.contains_key(next) {
                    below.insert(next, at);
                    open.push_back(next);
                }
            }
        }
        let way = |id: &&'a str| std::iter::successors(Some(*id), |at| below.get(at).copied()).collect();
        below.keys().map(way).collect()
    }

    fn backups(&self, sites: &BTreeSet<Id>, loss: &Loss) -> (Vec<(String, Option<&'a str>)>, Vec<String>) {
        let (mut gone, mut keys) = (Vec::new(), Vec::new());
        if sites.is_empty() && loss.backups.is_empty() {
            return (gone, keys);
        }
        for (id, asset) in &self.plan.assets {
            for backup in &asset.backups {
                let name = format!("{id}.{}", backup.id);
                if loss.backups.contains(&name) {
                    gone.push((name.clone(), None));
                } else {
                    let places = lying(backup).into_iter().filter_map(|l| l.site).filter(|s| sites.contains(*s));
                    gone.extend(places.map(|site| (name.clone(), Some(site))));
                }
                if backup.encryption.as_ref().and_then(|e| e.site.as_ref()).is_some_and(|s| sites.contains(s)) {
                    keys.push(name);
                }
            }
        }
        (gone, keys)
    }

    fn data(&self, loss: &Loss, sites: &BTreeSet<Id>, gone: &BTreeSet<&'a str>) -> Vec<(&'a str, Vec<Source>)> {
        let damage = Damage {
            plan: self.plan,
            places: self.places,
            cause: loss.cause,
            detect_ms: 0,
            sites,
            backups: &loss.backups,
            loses: &|id| gone.contains(id),
            gaps: &self.gaps,
            samples: &self.samples,
        };
        let holding = gone.iter().filter_map(|id| self.plan.assets.get_key_value(*id)).filter(|(_, a)| holds_data(a));
        holding.map(|(id, asset): (&'a Id, &'a Asset)| (id.as_str(), damage.sources(id, asset))).collect()
    }

    fn paths(&self, loss: &Loss, sites: &BTreeSet<Id>, gone: &BTreeSet<&'a str>, dead_spot: &dyn Fn(&Spot<'_>) -> bool) -> Vec<Path<'a>> {
        let mut dead: Vec<BTreeMap<usize, Vec<String>>> = self.scenarios.iter().map(|_| BTreeMap::new()).collect();
        let mut touched: BTreeSet<usize> = BTreeSet::new();
        let own = |id: &'a str| self.plan.assets.get(id).into_iter().flat_map(|a| &a.sites);
        let spots = sites.iter().filter_map(|s| self.plan.sites.get_key_value(s)).map(|(s, _)| Spot::Site(s));
        let copies = gone.iter().flat_map(|id| own(id).map(move |site| Spot::Copy(id, site)));
        let standing = sites.iter().flat_map(|s| self.copies_at(s));
        for spot in spots.chain(copies).chain(standing) {
            touched.extend(self.on.get(&spot).into_iter().flatten().map(|(_, footing)| *footing));
        }
        for number in touched {
            let (scenario, step, footing) = &self.footings[number];
            // Where the server stands and the scenario brings the asset back on it, its own order says when.
            let back =
                |spot: &Spot<'_>| matches!(spot, Spot::Copy(id, site) if !sites.contains(*site) && self.scenarios[*scenario].brings(id));
            if footing.spots.iter().all(|spot| dead_spot(spot) && !back(spot)) {
                dead[*scenario].entry(*step).or_insert_with(|| self.words(footing));
            }
        }
        self.scenarios.iter().zip(dead).map(|(way, dead)| self.path(way, loss, sites, gone, dead)).collect()
    }

    fn path(
        &self,
        way: &Way<'a>,
        loss: &Loss,
        sites: &BTreeSet<Id>,
        gone: &BTreeSet<&'a str>,
        mut dead: BTreeMap<usize, Vec<String>>,
    ) -> Path<'a> {
        let scenario = way.scenario;
        let own = self.answers.all.iter().find(|a| a.scenario.id == scenario.id);
        let named = |b: &String| scenario.loses.backups.contains(b);
        let answers = own.is_some_and(|own| {
            scenario.cause == loss.cause
                && sites.is_subset(&own.sites)
                && gone.iter().all(|id| own.assets.contains(*id))
                && loss.backups.iter().all(named)
        });
        // What comes back in this scenario carries what stands on it again.
        let left: Vec<&'a str> = gone.iter().copied().filter(|id| !way.brings(id)).collect();
        for chain in self.stopped(&left) {
            for &step in chain.first().and_then(|id| way.by_asset.get(id)).into_iter().flatten() {
                dead.entry(step).or_insert_with(|| chain.iter().map(|id| (*id).to_owned()).collect());
            }
        }
        Path {
            scenario: &scenario.id,
            answers,
            loses: own.map_or(0, |own| own.sites.len() + own.assets.len()),
            leaves: scenario.leaves.iter().map(String::as_str).filter(|id| gone.contains(id)).collect(),
            dead: dead.into_iter().map(|(i, words)| (scenario.steps[i].id.as_str(), words)).collect(),
            steps: scenario.steps.len(),
        }
    }

    fn copies_at(&self, site: &str) -> impl Iterator<Item = Spot<'a>> {
        let range = self.on.keys().filter(move |spot| matches!(spot, Spot::Copy(..))).copied();
        let site = site.to_owned();
        range.filter(move |spot| spot.site() == site)
    }

    /// What lies between a step and what is lost, in words.
    fn words(&self, footing: &Footing<'a>) -> Vec<String> {
        let told = Told { plan: self.plan, places: self.places };
        let mut words: Vec<String> = footing
            .chain
            .iter()
            .map(|link| match link {
                Link::Secret(name) => format!("secret {name}"),
                Link::Contact(id, key) => format!("{key} of {id}"),
                Link::Journal => "the journal".to_owned(),
                Link::Asset(id) => (*id).to_owned(),
                Link::Backup(id, n) => format!("backup {}", told.backup(id, *n)),
                Link::Key(..) => "its key".to_owned(),
            })
            .collect();
        match footing.spots.first() {
            Some(Spot::Copy(id, site)) => words.extend([(*id).to_owned(), (*site).to_owned()]),
            Some(Spot::Site(site)) => words.push((*site).to_owned()),
            None => {}
        }
        words
    }
}

/// Whether a step cannot do without a footing.
fn needed(step: &Step, footing: &Footing<'_>) -> bool {
    footing.part != Part::Target || step.when_unreachable == WhenUnreachable::Fail
}
