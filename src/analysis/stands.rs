//! What a step stands on, where that is, and by which chain: the site at which it acts, secrets and their keepers, the people
//! who are asked and their channels, the journal, backups with their stores and keys, servers whose addresses it names. It
//! does not know what is lost: whoever asks says so.
//!
//! What a plan does not say is found by address: a URL, a host, a bucket or a context that is that of an asset stands where the
//! asset stands.

use foldhash::{HashMap, HashMapExt};
use serde_json::Value;

use super::facts::approves;
use super::loss::{builds_on_another, lying};
use crate::actions::matcher;
use crate::actions::template::{marked, references};
use crate::model::{
    ActionUse, Asset, Backup, Contact, Effect, Id, OnFailure, Places, Plan, SecretSource, Step, WhenUnreachable, connect_at,
};
use crate::source::Span;

/// One thing in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link<'a> {
    /// A secret.
    Secret(&'a str),
    /// A person or a channel, by the key that says how they are told.
    Contact(&'a str, &'static str),
    /// The shared journal.
    Journal,
    /// An asset.
    Asset(&'a str),
    /// A backup of an asset, by number.
    Backup(&'a str, usize),
    /// The key of a backup of an asset, by number.
    Key(&'a str, usize),
}

/// A place on which something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spot<'a> {
    /// A site.
    Site(&'a str),
    /// The copy of an asset at a site.
    Copy(&'a str, &'a str),
}

impl<'a> Spot<'a> {
    /// The site.
    pub fn site(self) -> &'a str {
        match self {
            Spot::Site(site) | Spot::Copy(_, site) => site,
        }
    }
}

/// In which part a step stands on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The site at which it acts.
    Target,
    /// A secret that it uses.
    Secret,
    /// The people whom it waits for.
    Contact,
    /// The source that it restores.
    Source,
    /// A server that it names.
    Address,
}

/// One thing on which a step stands: gone if every spot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footing<'a> {
    /// In which part.
    pub part: Part,
    /// From the step, which is not in it, to the spots.
    pub chain: Vec<Link<'a>>,
    /// Where it stands; one of them is enough.
    pub spots: Vec<Spot<'a>>,
}

/// Copies by their address.
type Copies<'a> = HashMap<&'a str, Vec<Spot<'a>>>;

/// Where everything of a plan stands.
pub struct Stands<'a> {
    plan: &'a Plan,
    hosts: Copies<'a>,
    buckets: Copies<'a>,
    contexts: Copies<'a>,
}

impl<'a> Stands<'a> {
    /// The addresses of every asset, and of each of its copies.
    pub fn new(plan: &'a Plan) -> Stands<'a> {
        let mut stands = Stands { plan, hosts: HashMap::new(), buckets: HashMap::new(), contexts: HashMap::new() };
        for (id, asset) in &plan.assets {
            for site in &asset.sites {
                stands.note(id, site, &asset.connect);
            }
            for replica in &asset.replicas {
                stands.note(id, &replica.site, &replica.connect);
            }
        }
        stands
    }

    fn note(&mut self, id: &'a str, site: &'a str, connect: &'a std::collections::BTreeMap<String, Value>) {
        for (key, value) in connect {
            let Some(text) = value.as_str().filter(|text| !marked(text)) else { continue };
            let add = |all: &mut Copies<'a>, address: &'a str| {
                let all = all.entry(address).or_default();
                if !all.contains(&Spot::Copy(id, site)) {
                    all.push(Spot::Copy(id, site));
                }
            };
            match key.as_str() {
                "host" => add(&mut self.hosts, text),
                "url" => host_of(text).into_iter().for_each(|host| add(&mut self.hosts, host)),
                "bootstrap" => text.split(',').for_each(|one| add(&mut self.hosts, without_port(one.trim()))),
                "bucket" => add(&mut self.buckets, text),
                "context" => add(&mut self.contexts, text),
                _ => {}
            }
        }
    }

    /// What a step stands on. What it asks about something that may be gone is not among it, nor what it needs only to be
    /// undone, nor the copy that it acts on itself beyond its site.
    pub fn of_step(&self, step: &'a Step) -> Vec<Footing<'a>> {
        let mut all = Vec::new();
        // Who wants no answer there does not stand on it.
        if let Some(site) = step.at.as_deref().filter(|_| !wants_silence(&step.call)) {
            all.push(Footing { part: Part::Target, chain: Vec::new(), spots: vec![Spot::Site(site)] });
        }
        let calls = || std::iter::once(&step.call).chain(&step.check);
        let targets = || step.assets.iter().filter_map(|id| self.plan.assets.get_key_value(id));
        let connects = targets().flat_map(|(_, asset)| connect_at(asset, step.at.as_deref()).values());
        for value in calls().flat_map(|c| c.with.values()).chain(connects) {
            self.secrets(value, Part::Secret, &mut all);
        }
        all.extend(self.people(step));
        if let Some(from) = step.from.as_deref() {
            targets().for_each(|(id, asset)| self.source(id, asset, from, &mut all));
        }
        if patient(step) {
            return all;
        }
        for call in calls().filter(|call| !wants_silence(call) && !spoken(call)) {
            call.with.values().for_each(|value| self.addresses_in(value, step, &[], &mut all));
        }
        for (id, asset) in targets() {
            let through = connect_at(asset, step.at.as_deref()).get("endpoint");
            through.into_iter().for_each(|value| self.addresses_in(value, step, &[Link::Asset(id)], &mut all));
        }
        all
    }

    /// What the shared journal stands on.
    pub fn of_journal(&self) -> Option<Footing<'a>> {
        let journal = self.plan.journal.as_ref()?;
        let spots = match (&journal.site, &journal.url) {
            (Some(site), _) => vec![Spot::Site(site)],
            (None, Some(url)) => self.named(url)?.to_vec(),
            (None, None) => return None,
        };
        Some(Footing { part: Part::Address, chain: vec![Link::Journal], spots })
    }

    /// What the channel of a contact stands on; nothing if the program tells them nothing.
    pub fn of_contact(&self, id: &'a str) -> Vec<Footing<'a>> {
        let mut all = Vec::new();
        let Some(contact) = self.plan.contacts.get(id) else { return all };
        for (key, address) in [("webhook", &contact.webhook), ("email", &contact.email)] {
            let Some(address) = address else { continue };
            let from = all.len();
            self.channel(contact, address, &mut all);
            all[from..].iter_mut().for_each(|footing| footing.chain.insert(0, Link::Contact(id, key)));
        }
        all
    }

    fn channel(&self, contact: &'a Contact, address: &'a str, all: &mut Vec<Footing<'a>>) {
        if let Some(site) = &contact.site {
            all.push(Footing { part: Part::Contact, chain: Vec::new(), spots: vec![Spot::Site(site)] });
        } else if let Some(spots) = self.named(address) {
            all.push(Footing { part: Part::Contact, chain: Vec::new(), spots: spots.to_vec() });
        }
        for path in references(&Value::String(address.to_owned())) {
            self.secret(&path, Part::Contact, all);
        }
    }

    /// What the channels of the people stand on for whom a step waits.
    pub fn people(&self, step: &'a Step) -> Vec<Footing<'a>> {
        let asked = step.call.with.get("from").and_then(Value::as_array).filter(|_| approves(step));
        let asked = asked.into_iter().flatten().filter_map(Value::as_str);
        let waited = step.contact.as_deref().filter(|_| step.effect == Effect::Manual);
        asked.chain(waited).flat_map(|id| self.of_contact(id)).collect()
    }

    fn secrets(&self, value: &'a Value, part: Part, all: &mut Vec<Footing<'a>>) {
        references(value).iter().for_each(|path| self.secret(path, part, all));
    }

    fn secret(&self, path: &str, part: Part, all: &mut Vec<Footing<'a>>) {
        let Some((name, secret)) = path.strip_prefix("secrets.").and_then(|name| self.plan.secrets.get_key_value(name)) else { return };
        let spots = match (&secret.site, &secret.source) {
            (Some(site), _) => vec![Spot::Site(site)],
            (None, SecretSource::Command(argv)) => match argv.iter().find_map(|word| self.named(word)) {
                Some(spots) => spots.to_vec(),
                None => return,
            },
            _ => return,
        };
        all.push(Footing { part, chain: vec![Link::Secret(name)], spots });
    }

    /// The places of a backup, of its key, and of what it is restored onto. A place of which nothing says where it is may
    /// survive anything.
    fn source(&self, id: &'a str, asset: &'a Asset, from: &str, all: &mut Vec<Footing<'a>>) {
        let mut next = Some(from);
        // A circle of bases is another mistake.
        for _ in 0..asset.backups.len() {
            let Some((n, backup)) = asset.backups.iter().enumerate().find(|(_, b)| Some(b.id.as_str()) == next) else { return };
            if let Some(spots) = self.lies(backup) {
                all.push(Footing { part: Part::Source, chain: vec![Link::Backup(id, n)], spots });
            }
            if let Some(site) = backup.encryption.as_ref().and_then(|e| e.site.as_deref()) {
                all.push(Footing { part: Part::Source, chain: vec![Link::Backup(id, n), Link::Key(id, n)], spots: vec![Spot::Site(site)] });
            }
            next = backup.base.as_deref().filter(|_| builds_on_another(backup));
        }
    }

    fn lies(&self, backup: &'a Backup) -> Option<Vec<Spot<'a>>> {
        let to = |n: Option<usize>| n.map_or(backup.to.as_str(), |n| backup.copies[n].to.as_str());
        let mut spots = Vec::new();
        for place in lying(backup) {
            match place.site {
                Some(site) => spots.push(Spot::Site(site)),
                None => spots.extend(self.named(to(place.copy))?),
            }
        }
        Some(spots)
    }

    fn addresses_in(&self, value: &'a Value, step: &Step, chain: &[Link<'a>], all: &mut Vec<Footing<'a>>) {
        match value {
            Value::String(text) => {
                let Some(spots) = self.named(text) else { return };
                // What it acts on is its target.
                let own = |spot: &Spot<'_>| matches!(spot, Spot::Copy(id, site) if step.assets.iter().any(|a| a == id) && step.at.as_deref().is_none_or(|at| at == *site));
                if !spots.iter().any(own) {
                    all.push(Footing { part: Part::Address, chain: chain.to_vec(), spots: spots.to_vec() });
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.addresses_in(item, step, chain, all);
                    let context = match (n.checked_sub(1).and_then(|n| items[n].as_str()), item.as_str()) {
                        (Some("--context" | "--kube-context"), Some(name)) => Some(name),
                        (_, Some(word)) => word.strip_prefix("--context=").or_else(|| word.strip_prefix("--kube-context=")),
                        _ => None,
                    };
                    if let Some(spots) = context.and_then(|name| self.contexts.get(name)) {
                        let at = |spot: &Spot<'_>| step.at.as_deref() == Some(spot.site());
                        if !spots.iter().any(at) {
                            all.push(Footing { part: Part::Address, chain: chain.to_vec(), spots: spots.clone() });
                        }
                    }
                }
            }
            Value::Object(map) => map.values().for_each(|value| self.addresses_in(value, step, chain, all)),
            _ => {}
        }
    }

    /// The copies whose address a text names: the first host in it, or the bucket of an `s3://`.
    fn named(&self, text: &str) -> Option<&Vec<Spot<'a>>> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return self.buckets.get(rest.split('/').next().unwrap_or(rest));
        }
        if let Some(host) = host_of(text) {
            return self.hosts.get(host);
        }
        // A word without a dot is rarely a host, and often something else.
        if !text.contains('.') {
            return None;
        }
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_'));
        words.filter(|w| w.contains('.')).find_map(|word| self.hosts.get(word))
    }
}

/// A chain as it is told: each place with its words.
pub struct Told<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Where its words stand.
    pub places: &'a Places,
}

impl Told<'_> {
    /// A link: where it is written, and what it is in words that follow another one.
    pub fn link(&self, link: Link<'_>) -> (Span, String) {
        match link {
            Link::Secret(name) => (self.places.secrets.get(name).map(|k| k.at).unwrap_or_default(), format!("it needs secret `{name}`")),
            Link::Contact(id, key) => {
                let keys = self.places.contacts.get(id);
                (keys.map(|k| k.value(key)).unwrap_or_default(), format!("`{id}` is told here"))
            }
            Link::Journal => (self.places.journal.value("url"), "the run is kept here".to_owned()),
            Link::Asset(id) => (self.asset(id), format!("by way of `{id}`")),
            Link::Backup(id, n) => {
                let name = self.backup(id, n);
                (self.places.backups.get(id).and_then(|b| b.get(n)).map(|b| b.keys.at).unwrap_or_default(), format!("it restores `{name}`"))
            }
            Link::Key(id, n) => {
                let at = self.places.backups.get(id).and_then(|b| b.get(n)).map(|b| b.encryption.value("site"));
                (at.unwrap_or_default(), format!("the key of `{}`", self.backup(id, n)))
            }
        }
    }

    /// The spot at the end of a chain, with what is wrong with it.
    pub fn spot(&self, spot: Spot<'_>, wrong: &str) -> Vec<(Span, String)> {
        match spot {
            Spot::Site(site) => vec![(self.places.sites.get(site).map(|k| k.at).unwrap_or_default(), format!("`{site}` {wrong}"))],
            Spot::Copy(id, site) => vec![(self.asset(id), format!("that is `{id}`")), (self.stands(id, site), format!("`{site}` {wrong}"))],
        }
    }

    /// Where it is written that a copy of an asset stands at a site.
    pub fn stands(&self, id: &str, site: &str) -> Span {
        let replica = self.plan.assets.get(id).and_then(|a| a.replicas.iter().position(|r| r.site == site && !a.sites.contains(&r.site)));
        let placed = replica.and_then(|n| self.places.replicas.get(id)?.get(n));
        placed.or(self.places.assets.get(id)).map(|k| k.value("site")).unwrap_or_default()
    }

    fn asset(&self, id: &str) -> Span {
        self.places.assets.get(id).map(|k| k.at).unwrap_or_default()
    }

    /// The name of a backup.
    pub fn backup(&self, id: &str, n: usize) -> String {
        let name = self.plan.assets.get(id).and_then(|a| a.backups.get(n)).map_or("", |b| b.id.as_str());
        format!("{id}.{name}")
    }

    /// Sites from one outwards to a lost one, each with the place at which it says what it lies within; nothing if it is lost itself.
    pub fn within(&self, site: &str, lost: &[Id]) -> Vec<(Span, String)> {
        let mut trail: Vec<(&str, &str)> = Vec::new();
        let mut open = vec![site];
        while let Some(at) = open.pop() {
            if lost.iter().any(|l| l == at) {
                // Back from the lost one to where it began.
                let mut way = Vec::new();
                let mut end = at;
                while let Some((inner, outer)) = trail.iter().find(|(_, outer)| *outer == end) {
                    let place = self.places.sites.get(*inner).map(|k| k.value("within")).unwrap_or_default();
                    way.push((place, format!("`{inner}` lies within `{outer}`")));
                    end = inner;
                }
                way.reverse();
                return way;
            }
            for outer in self.plan.sites.get(at).into_iter().flat_map(|s| &s.within) {
                if outer != site && !trail.iter().any(|(_, seen)| seen == outer) {
                    trail.push((at, outer));
                    open.push(outer);
                }
            }
        }
        Vec::new()
    }
}

/// Whether the run goes on, or a person is asked, when what the step reaches for does not answer.
fn patient(step: &Step) -> bool {
    step.when_unreachable != WhenUnreachable::Fail || step.on_failure == OnFailure::Continue
}

/// Whether a call looks whether something answers, and takes silence for an answer.
pub(super) fn wants_silence(call: &ActionUse) -> bool {
    let silence = |expect: &Value| expect.get("reachable").is_some_and(|wanted| matcher::fits(wanted, Some(&Value::Bool(false))));
    let exits = || call.with.get("exit");
    let succeeds = |exit: &Value| exit.as_i64() == Some(0) || exit.as_array().is_some_and(|all| all.iter().any(|e| e.as_i64() == Some(0)));
    match call.uses.as_str() {
        "http.check" | "postgres.check" => call.with.get("expect").is_some_and(silence),
        "command" | "script" => exits().is_some_and(|exit| !succeeds(exit)),
        _ => false,
    }
}

/// Whether the words of a call are for people.
fn spoken(call: &ActionUse) -> bool {
    matches!(call.uses.as_str(), "manual" | "approval")
}

/// The host of a URL, also behind the `=` of an option.
fn host_of(text: &str) -> Option<&str> {
    let rest = &text[text.find("://")? + 3..];
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    Some(without_port(authority.rsplit('@').next().unwrap_or(authority)))
}

fn without_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(host_of("https://a.example.com:8200/x"), Some("a.example.com"));
        assert_eq!(host_of("postgres://dr@db.example.com/drplan"), Some("db.example.com"));
        assert_eq!(host_of("-address=https://vault.example.com?x"), Some("vault.example.com"));
        assert_eq!(host_of("a.example.com"), None);
        assert_eq!(without_port("k1.example.com:9092"), "k1.example.com");
    }
}
