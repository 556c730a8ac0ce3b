//! Which files a plan is made of: what it includes, and what its steps call, each once. It reads texts, and knows no more
//! of them than where they name others.

use std::collections::{BTreeMap, BTreeSet};

use super::{FILES, Loader, PLAN};
use crate::diagnostic::Diagnostic;
use crate::model::joined::Role;
use crate::model::{joined, nested};
use crate::source::{SourceId, Sources, Span};
use crate::syntax;

/// The files of a plan.
pub struct Gathered {
    /// The plan itself, then the others by path, so that the order in which they are named means nothing; each with the
    /// reason why it is there, which of the first means nothing.
    pub files: Vec<(Role, SourceId)>,
    /// What its steps call.
    pub called: nested::Called,
}

/// Gathers them. What cannot be read is said.
pub fn gather(loader: &dyn Loader, plan: &str, sources: &mut Sources, findings: &mut Vec<Diagnostic>) -> Gathered {
    let bytes = sources.get(PLAN).text.len();
    let known = BTreeMap::from([(plan.to_owned(), PLAN)]);
    let mut gather = Gather { loader, plan, sources, findings, known, named: BTreeMap::new(), parts: BTreeMap::new(), bytes, full: false };
    let mut called = nested::Called::default();
    let own = gather.with_parts(PLAN);
    // A called plan is read for the scenario that is called: what its others need is nothing to this one.
    let mut open: Vec<(SourceId, Option<String>)> = vec![(PLAN, None)];
    let mut seen: BTreeSet<(SourceId, Option<String>)> = BTreeSet::new();
    while let Some((group, scenario)) = open.pop() {
        if gather.full || !seen.insert((group, scenario.clone())) {
            continue;
        }
        for file in gather.with_parts(group) {
            let calls = gather.named.get(&file).map_or(Vec::new(), |named| named.calls.clone());
            for call in calls.into_iter().filter(|call| scenario.as_ref().is_none_or(|s| *s == call.within)) {
                let target = match &call.file {
                    None => Some(group),
                    Some((name, at)) => gather.file(file, name, *at).inspect(|id| {
                        called.files.insert((file, name.clone()), *id);
                    }),
                };
                open.extend(target.map(|id| (id, Some(call.scenario))));
            }
        }
    }
    for id in called.files.values().copied().collect::<BTreeSet<_>>() {
        let parts = gather.with_parts(id);
        called.groups.insert(id, parts);
    }
    gather.known.remove(plan);
    let role = |id: SourceId| match () {
        () if own.contains(&id) => Role::Included,
        () if called.groups.values().any(|group| group[1..].contains(&id)) => Role::CalledPart,
        () => Role::Called,
    };
    let files = std::iter::once(PLAN).chain(gather.known.values().copied()).map(|id| (role(id), id)).collect();
    Gathered { files, called }
}

/// Adds a text; none if it is not UTF-8, which is said.
pub fn add(sources: &mut Sources, path: &str, bytes: Vec<u8>, findings: &mut Vec<Diagnostic>) -> Option<SourceId> {
    let decoded = syntax::decode(bytes);
    let id = sources.add(path, decoded.text);
    findings.extend(decoded.broken_at.map(|at| syntax::not_utf8(id, at)));
    decoded.broken_at.is_none().then_some(id)
}

/// What a text names.
#[derive(Default)]
struct Named {
    includes: Vec<(String, Span)>,
    calls: Vec<nested::Named>,
}

struct Gather<'g> {
    loader: &'g dyn Loader,
    plan: &'g str,
    sources: &'g mut Sources,
    findings: &'g mut Vec<Diagnostic>,
    /// Every file, by its path.
    known: BTreeMap<String, SourceId>,
    named: BTreeMap<SourceId, Named>,
    /// Files with all that they include.
    parts: BTreeMap<SourceId, Vec<SourceId>>,
    bytes: usize,
    full: bool,
}

impl Gather<'_> {
    /// A file and all that it includes: itself, then the others by path.
    fn with_parts(&mut self, of: SourceId) -> Vec<SourceId> {
        if let Some(known) = self.parts.get(&of) {
            return known.clone();
        }
        let mut found = BTreeSet::from([of]);
        let mut open = vec![of];
        while let Some(id) = open.pop() {
            if !self.named.contains_key(&id) {
                let named = named(id, self.sources);
                self.named.insert(id, named);
            }
            for (name, at) in self.named[&id].includes.clone() {
                if self.full {
                    break;
                }
                open.extend(self.file(id, &name, at).filter(|id| found.insert(*id)));
            }
        }
        found.remove(&of);
        let rest = self.known.values().copied().filter(|id| found.contains(id));
        let all: Vec<SourceId> = std::iter::once(of).chain(rest).collect();
        self.parts.insert(of, all.clone());
        all
    }

    /// The file that another one names.
    fn file(&mut self, from: SourceId, name: &str, at: Span) -> Option<SourceId> {
        let found = |rule, what: String, label: String| Diagnostic::deny(rule, what, at, label);
        let path = beside(&self.sources.get(from).name, name);
        let Some(path) = path.filter(|p| self.loader.inside(self.plan, p)) else {
            let label = "only files of the plan's own Git work tree are read".to_owned();
            let found = found("include-outside", format!("`{name}` lies outside"), label);
            self.findings.push(found.help("move the file into the work tree, and name it relative to this one"));
            return None;
        };
        if let Some(known) = self.known.get(&path) {
            return Some(*known);
        }
        match self.loader.plan(&path) {
            Ok(text) if self.known.len() < FILES && self.bytes + text.len() <= syntax::MAX_BYTES => {
                self.bytes += text.len();
                let id = add(self.sources, &path, text, self.findings)?;
                self.known.insert(path, id);
                Some(id)
            }
            Ok(_) => {
                let label = "this one is too much".to_owned();
                let found = found("too-large", format!("a plan is at most {FILES} files and 64 MiB"), label);
                self.findings.push(found.help("cut the plan into several"));
                self.full = true;
                None
            }
            Err(why) => {
                let found = found("include-missing", format!("cannot read `{name}`"), why);
                self.findings.push(found.help(format!("write a path relative to this file; `{path}` was looked for")));
                None
            }
        }
    }
}

/// What a text names. One that names nothing is not read for it.
fn named(id: SourceId, sources: &Sources) -> Named {
    let text = sources.get(id).text.as_str();
    if !text.contains("include") && !nested::mentioned(text) {
        return Named::default();
    }
    let arena = syntax::Arena::default();
    // What is wrong with the text is said when it is read for good.
    let Some(tree) = syntax::read(&arena, id, text, &mut Vec::new()) else { return Named::default() };
    Named { includes: joined::includes(&tree).into_iter().map(|(name, at)| (name.to_owned(), at)).collect(), calls: nested::named(&tree) }
}

/// A path relative to the directory of another; none if it is absolute.
fn beside(file: &str, name: &str) -> Option<String> {
    let mut path: Vec<&str> = file.split('/').collect();
    path.pop();
    if name.starts_with('/') {
        return None;
    }
    for word in name.split('/') {
        match word {
            "" | "." => {}
            ".." if path.last().is_some_and(|last| !matches!(*last, "" | ".." | ".")) => drop(path.pop()),
            word => path.push(word),
        }
    }
    Some(path.join("/"))
}
