//! Several files to one tree, which is then read as if one person had written it. It does not know how files are found.

use foldhash::{HashMap, HashMapExt};

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::syntax::{Arena, Entry, Node};

/// The files that a file includes, as it names them.
pub fn includes<'n, 'a>(root: &'n Node<'a>) -> Vec<(&'n str, Span)> {
    let items = root.get("include").and_then(Node::list).unwrap_or(&[]);
    items.iter().filter_map(|item| Some((item.scalar()?.text, item.span))).collect()
}

/// Why a file is joined in, and so which of its sections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The plan includes it.
    Included,
    /// A step calls a scenario of it: it may be a plan by itself, with what only a plan says.
    Called,
    /// What a called file includes.
    CalledPart,
}

/// Of a called plan these stay its own.
const NOT_TAKEN: &[&str] = &["scenarios", "drills", "policy", "journal"];

/// One plan of several files: sections are unions, and the steps of a scenario stand one file after the other.
pub fn join<'a>(arena: &'a Arena<'a>, root: &Node<'a>, parts: &[(Role, Node<'a>)], findings: &mut Vec<Diagnostic>) -> Node<'a> {
    if parts.is_empty() || root.map().is_none() {
        return *root;
    }
    let mut join = Join { arena, findings };
    let mut sections: Vec<Entry<'a>> = root.map().unwrap_or(&[]).to_vec();
    for (role, part) in parts {
        join.part(&mut sections, *role, part);
    }
    arena.map(root.span, sections)
}

/// The scenarios of several files, as if they were one plan.
pub fn scenarios<'a>(arena: &'a Arena<'a>, files: &[Node<'a>], findings: &mut Vec<Diagnostic>) -> Option<Node<'a>> {
    let mut join = Join { arena, findings };
    let mut all = files.iter().filter_map(|file| file.entry("scenarios"));
    let mut first = *all.next()?;
    for more in all {
        first.value = join.section(&first, more);
    }
    Some(first.value)
}

struct Join<'a, 'f> {
    arena: &'a Arena<'a>,
    findings: &'f mut Vec<Diagnostic>,
}

impl<'a> Join<'a, '_> {
    fn part(&mut self, sections: &mut Vec<Entry<'a>>, role: Role, part: &Node<'a>) {
        let Some(entries) = part.map() else {
            let found = Diagnostic::deny("wrong-type", "a plan is a map of keys", part.head(), format!("this is {}", part.kind()));
            self.findings.push(found.help("begin with `drplan: v1`"));
            return;
        };
        let version = part.get("drplan");
        if version.is_none_or(|v| v.scalar().is_none_or(|s| s.text != "v1")) {
            let (at, label) = version.map_or((part.head(), "this file does not begin with it"), |v| (v.span, "no version of the language"));
            let what = if role == Role::Called { "a called file says `drplan: v1` too" } else { "an included file says `drplan: v1` too" };
            self.findings.push(Diagnostic::deny("missing-key", what, at, label).help("write `drplan: v1`"));
        }
        for entry in entries {
            match entry.key {
                "drplan" | "include" => {}
                "name" | "title" | "owner" if role == Role::Called => {}
                key if role != Role::Included && NOT_TAKEN.contains(&key) => {}
                "name" | "title" | "owner" => {
                    let first = sections.iter().find(|e| e.key == entry.key).or(sections.first());
                    let found = Diagnostic::deny(
                        "include-named",
                        format!("an included file has a `{}`", entry.key),
                        entry.at,
                        "this belongs to the plan that includes it",
                    );
                    let found = first.map_or(found.clone(), |f| found.also(f.at, "the plan begins here"));
                    self.findings.push(found.help(format!("leave `{}` out here", entry.key)));
                }
                key => match sections.iter_mut().find(|e| e.key == key) {
                    None => sections.push(*entry),
                    Some(first) => first.value = self.section(first, entry),
                },
            }
        }
    }

    /// The union of a section with the same section of another file.
    fn section(&mut self, first: &Entry<'a>, second: &Entry<'a>) -> Node<'a> {
        if second.value.is_null() {
            return first.value;
        }
        if first.value.is_null() {
            return second.value;
        }
        // A section that is no map is said to be wrong where it stands; the rest is read as far as it goes.
        let Some(more) = second.value.map() else {
            let label = format!("this is {}", second.value.kind());
            let found = Diagnostic::deny("wrong-type", format!("`{}` wants a map", second.key), second.value.head(), label);
            self.findings.push(found.help("write one `id: …` a line"));
            return first.value;
        };
        let Some(own) = first.value.map() else { return first.value };
        let mut entries = own.to_vec();
        let mut known: HashMap<&str, usize> = HashMap::with_capacity(entries.len() + more.len());
        known.extend(entries.iter().enumerate().map(|(i, e)| (e.key, i)));
        for entry in more {
            match known.get(entry.key) {
                None => {
                    known.insert(entry.key, entries.len());
                    entries.push(*entry);
                }
                Some(&i) if first.key == "scenarios" => entries[i] = self.scenario(&entries[i], entry),
                Some(&i) => self.twice(first.key, &entries[i], entry),
            }
        }
        self.arena.map(first.value.span, entries)
    }

    fn twice(&mut self, section: &str, first: &Entry<'a>, second: &Entry<'a>) {
        let rule = if matches!(section, "journal" | "policy") { "duplicate-key" } else { "duplicate-id" };
        let found = Diagnostic::deny(rule, format!("`{}` stands in two files under `{section}`", second.key), second.at, "again here");
        self.findings.push(found.also(first.at, "first here").help("keep one of the two, or give one of them another name"));
    }

    /// A scenario of two files: one of them may have more than its steps.
    fn scenario(&mut self, first: &Entry<'a>, second: &Entry<'a>) -> Entry<'a> {
        let (Some(ours), Some(theirs)) = (first.value.map(), second.value.map()) else {
            return if first.value.map().is_some() { *first } else { *second };
        };
        fn own<'e, 'a>(all: &'e [Entry<'a>]) -> Option<&'e Entry<'a>> {
            all.iter().find(|e| e.key != "steps")
        }
        if let (Some(here), Some(there)) = (own(theirs), own(ours)) {
            let found = Diagnostic::deny(
                "scattered-scenario",
                format!("two files say what scenario `{}` is", first.key),
                here.at,
                "only one file has more than `steps`",
            );
            self.findings.push(found.also(there.at, "the other one is here").help("leave only `steps` in one of the two"));
        }
        let (main, head) = if own(ours).is_some() || own(theirs).is_none() { (first, ours) } else { (second, theirs) };
        let mut entries: Vec<Entry<'a>> = head.iter().filter(|e| e.key != "steps").copied().collect();
        let steps: Vec<&Entry<'a>> = [first, second].into_iter().filter_map(|s| s.value.entry("steps")).collect();
        for broken in steps.iter().filter(|s| s.value.list().is_none() && !s.value.is_null()) {
            let label = format!("this is {}", broken.value.kind());
            let found = Diagnostic::deny("wrong-type", "`steps` wants a list", broken.value.head(), label);
            self.findings.push(found.help("write each step with a `-`"));
        }
        if let Some(at) = steps.first() {
            let all = steps.iter().flat_map(|s| s.value.list().unwrap_or(&[])).copied();
            entries.push(Entry { value: self.arena.list(at.value.span, all), ..**at });
        }
        Entry { value: self.arena.map(main.value.span, entries), ..*main }
    }
}
