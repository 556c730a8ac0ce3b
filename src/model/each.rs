//! Lists and `for_each`: one asset or step for each id of a list, as if each had been written by hand under the address
//! `promote[s07]`. It works on the tree, before names are looked up, and knows no rule about what stands in it.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt, HashSet};

use super::lists::{Element, List, entries, items, lists, text};
use super::places::within;
use crate::actions::template::marked;
use crate::diagnostic::{Diagnostic, nearest};
use crate::source::{Sources, Span};
use crate::syntax::{Arena, Core, Entry, Node, Scalar, Value, room};

/// The name before the brackets of an address, and the id in them.
pub fn address(name: &str) -> (&str, Option<&str>) {
    match name.strip_suffix(']').and_then(|n| n.split_once('[')) {
        Some((base, id)) => (base, Some(id)),
        None => (name, None),
    }
}

/// A plan without templates, and where the templates stood: a mistake in one of them is said once.
pub struct Expanded<'a> {
    /// The plan.
    pub root: Node<'a>,
    /// Every template, by place.
    pub templates: Vec<Span>,
}

/// Writes out every `for_each`.
pub fn expand<'a>(arena: &'a Arena<'a>, sources: &Sources, root: &Node<'a>, findings: &mut Vec<Diagnostic>) -> Expanded<'a> {
    let assets = entries(root.get("assets"));
    let scenarios = entries(root.get("scenarios"));
    let steps = || scenarios.iter().flat_map(|s| items(s.value.get("steps")));
    if !assets.iter().map(|e| &e.value).chain(steps()).any(|n| n.get("for_each").is_some()) {
        return Expanded { root: *root, templates: Vec::new() };
    }
    let mut expand = Expand {
        arena,
        sources,
        findings,
        lists: lists(root),
        assets: Groups::new(),
        steps: Groups::new(),
        templates: Vec::new(),
        said: BTreeSet::new(),
        room: room(sources.ids().map(|id| sources.get(id).text.len()).sum()),
        made: 0,
        full: false,
    };
    let root = expand.plan(root);
    let mut templates = expand.templates;
    templates.sort_unstable();
    Expanded { root, templates }
}

/// The text of an id, if it is one.
fn named<'a>(node: &Node<'a>) -> Option<&'a str> {
    node.scalar().filter(|s| matches!(s.core(), Core::Text)).map(|s| s.text)
}

/// What one template became.
struct Group<'a> {
    list: &'a str,
    names: Vec<&'a str>,
    /// The same, to be looked up.
    known: HashSet<&'a str>,
}

type Groups<'a> = HashMap<&'a str, Group<'a>>;

struct Expand<'a, 's> {
    arena: &'a Arena<'a>,
    sources: &'s Sources,
    findings: &'s mut Vec<Diagnostic>,
    lists: BTreeMap<&'a str, List<'a>>,
    assets: Groups<'a>,
    /// Of the scenario that is read.
    steps: Groups<'a>,
    templates: Vec<Span>,
    /// What is wrong with a `${each.…}` is said for the first id.
    said: BTreeSet<Span>,
    /// Values that may be made, and those that are.
    room: usize,
    made: usize,
    full: bool,
}

/// For which id of which list a part is written out; none outside of templates.
type Each<'a> = Option<(&'a str, Element<'a>)>;

impl<'a> Expand<'a, '_> {
    fn plan(&mut self, root: &Node<'a>) -> Node<'a> {
        for entry in entries(root.get("assets")) {
            self.group(entry.key, &entry.value, true);
        }
        let sections: Vec<Entry<'a>> = entries(Some(root)).to_vec();
        let sections = sections.into_iter().map(|mut section| {
            section.value = match section.key {
                "assets" => self.all_assets(&section.value),
                "scenarios" => self.each_of(&section.value, Self::scenario),
                "drills" => self.each_of(&section.value, Self::drill),
                _ => section.value,
            };
            section
        });
        let sections: Vec<Entry<'a>> = sections.collect();
        self.arena.map(root.span, sections)
    }

    /// A map whose values are each written out.
    fn each_of(&mut self, node: &Node<'a>, one: fn(&mut Self, &Node<'a>) -> Node<'a>) -> Node<'a> {
        let Some(all) = node.map() else { return *node };
        let all: Vec<Entry<'a>> = all.iter().map(|e| Entry { value: one(self, &e.value), ..*e }).collect();
        self.arena.map(node.span, all)
    }

    /// Notes what a template stands for; an unknown or empty list makes nothing, and is said.
    fn group(&mut self, name: &'a str, node: &Node<'a>, asset: bool) {
        let Some(each) = node.get("for_each") else { return };
        let Some(list) = text(each) else { return };
        self.templates.push(node.span);
        let (base, own) = address(name);
        let ids: Vec<&str> = match self.lists.get(list) {
            None => {
                let known: Vec<&str> = self.lists.keys().copied().collect();
                let found = Diagnostic::deny("unknown-name", format!("no list `{list}`"), each.span, "not one of the plan's lists");
                self.findings.push(match nearest(list, known.iter().copied()) {
                    Some(near) => found.write(near),
                    None => found.help(format!("declare it: `lists: {{ {list}: [ … ] }}`")),
                });
                Vec::new()
            }
            Some(known) => match own {
                None => known.elements.iter().map(|e| e.id).collect(),
                Some(id) if known.elements.iter().any(|e| e.id == id) => vec![id],
                Some(id) => {
                    let at = node.get("id").map_or(each.span, |n| n.span);
                    let found = Diagnostic::deny("unknown-name", format!("`{id}` is not in list `{list}`"), at, "no id of that list");
                    let all: Vec<&str> = known.elements.iter().map(|e| e.id).collect();
                    self.findings.push(found.also(known.at, "the list").help(format!("the list has {}", super::scope::list(&all))));
                    Vec::new()
                }
            },
        };
        let mut names = Vec::with_capacity(ids.len());
        for id in ids {
            if !self.count(each.span) {
                break;
            }
            names.push(self.arena.text(&format!("{base}[{id}]")));
        }
        let groups = if asset { &mut self.assets } else { &mut self.steps };
        let group = groups.entry(base).or_insert(Group { list, names: Vec::new(), known: HashSet::default() });
        group.known.extend(&names);
        group.names.extend(names);
    }

    /// The elements for which a template is written out.
    fn elements(&self, name: &str, node: &Node<'a>) -> Option<(&'a str, Vec<Element<'a>>)> {
        let list = node.get("for_each").and_then(text)?;
        let all = self.lists.get(list).map_or(&[][..], |l| &l.elements);
        let own = address(name).1;
        Some((list, all.iter().filter(|e| own.is_none_or(|id| id == e.id)).copied().collect()))
    }

    fn all_assets(&mut self, section: &Node<'a>) -> Node<'a> {
        let Some(all) = section.map() else { return *section };
        let mut made: Vec<Entry<'a>> = Vec::with_capacity(all.len());
        let mut known: HashMap<&str, Span> = HashMap::new();
        for entry in all {
            if self.full {
                break;
            }
            match self.elements(entry.key, &entry.value) {
                None => made.push(Entry { value: self.asset(&entry.value, None), ..*entry }),
                Some((list, elements)) => {
                    for element in elements {
                        let base = address(entry.key).0;
                        let key = self.arena.text(&format!("{base}[{}]", element.id));
                        let value = self.part(&entry.value, Some((list, element)));
                        made.push(Entry { key, value: self.asset(&value, Some((list, element))), ..*entry });
                    }
                }
            }
        }
        made.retain(|entry| {
            let Some(first) = known.insert(entry.key, entry.at) else { return true };
            if first != entry.at {
                let found = Diagnostic::deny("duplicate-id", format!("two assets are called `{}`", entry.key), entry.at, "again here");
                self.findings.push(found.also(first, "first here").help("leave one of them out, or give it another id"));
            }
            false
        });
        self.arena.map(section.span, made)
    }

    fn asset(&mut self, node: &Node<'a>, each: Each<'a>) -> Node<'a> {
        self.with_keys(node, &mut |this, entry| match entry.key {
            "depends_on" => this.names(&entry.value, true, each),
            "rebuild" => this.with_keys(&entry.value, &mut |this, entry| match entry.key {
                "from" => this.names(&entry.value, true, each),
                _ => entry.value,
            }),
            _ => entry.value,
        })
    }

    fn scenario(&mut self, node: &Node<'a>) -> Node<'a> {
        self.steps.clear();
        for step in items(node.get("steps")) {
            if let Some(name) = step.get("id").and_then(named) {
                self.group(name, step, false);
            }
        }
        self.with_keys(node, &mut |this, entry| match entry.key {
            "steps" => this.all_steps(&entry.value),
            "leaves" => this.names(&entry.value, true, None),
            "loses" => this.with_keys(&entry.value, &mut |this, entry| match entry.key {
                "assets" => this.names(&entry.value, true, None),
                "backups" => this.backups(&entry.value),
                _ => entry.value,
            }),
            _ => entry.value,
        })
    }

    fn drill(&mut self, node: &Node<'a>) -> Node<'a> {
        self.with_keys(node, &mut |this, entry| match entry.key {
            "skip" => this.names(&entry.value, false, None),
            "cleanup" => this.all_steps(&entry.value),
            "connect" => {
                let Some(all) = entry.value.map() else { return entry.value };
                let assets = &this.assets;
                let made = all.iter().flat_map(|e| match assets.get(e.key) {
                    Some(group) => group.names.iter().map(|name| Entry { key: name, ..*e }).collect(),
                    None => vec![*e],
                });
                let made: Vec<Entry<'a>> = made.collect();
                this.arena.map(entry.value.span, made)
            }
            _ => entry.value,
        })
    }

    fn all_steps(&mut self, steps: &Node<'a>) -> Node<'a> {
        let Some(all) = steps.list() else { return *steps };
        let mut made = Vec::with_capacity(all.len());
        for step in all {
            if self.full {
                break;
            }
            // What has no name was no template.
            let name = step.get("id").and_then(named);
            match name.and_then(|name| self.elements(name, step)) {
                None => made.push(self.step(step, None)),
                Some((list, elements)) => {
                    for element in elements {
                        let each = Some((list, element));
                        let step = self.part(step, each);
                        made.push(self.step(&step, each));
                    }
                }
            }
        }
        self.arena.list(steps.span, made)
    }

    fn step(&mut self, node: &Node<'a>, each: Each<'a>) -> Node<'a> {
        let asks = node.get("uses").and_then(text) == Some("approval");
        self.with_keys(node, &mut |this, entry| match (entry.key, each) {
            ("id", Some((_, element))) => {
                let base = text(&entry.value).map_or("", |id| address(id).0);
                this.plain(entry.value.span, &format!("{base}[{}]", element.id))
            }
            ("asset", _) => this.names(&entry.value, true, each),
            ("needs", _) => this.names(&entry.value, false, each),
            ("when", Some((list, element))) => this.conditions(&entry.value, list, element),
            ("with", _) if asks => this.with_keys(&entry.value, &mut |this, entry| match entry.key {
                "accepts" => this.names(&entry.value, false, each),
                _ => entry.value,
            }),
            _ => entry.value,
        })
    }

    /// A map with some of its values changed; itself if none is.
    fn with_keys(&mut self, node: &Node<'a>, change: &mut dyn FnMut(&mut Self, &Entry<'a>) -> Node<'a>) -> Node<'a> {
        let Some(all) = node.map() else { return *node };
        let made: Vec<Entry<'a>> = all.iter().map(|e| Entry { value: change(self, e), ..*e }).collect();
        self.arena.map(node.span, made)
    }

    /// Names of assets or steps: of a template the one with the same id, where both have the same list, else all.
    fn names(&mut self, node: &Node<'a>, assets: bool, each: Each<'a>) -> Node<'a> {
        if self.full {
            return *node;
        }
        let named = |this: &Self, item: &Node<'a>| -> Option<Vec<&'a str>> {
            let name = text(item)?;
            let group = if assets { this.assets.get(name) } else { this.steps.get(name) }?;
            Some(match each {
                Some((list, element)) if list == group.list => {
                    group.known.get(&*format!("{name}[{}]", element.id)).copied().into_iter().collect()
                }
                _ => group.names.clone(),
            })
        };
        let Some(all) = node.list() else {
            return match named(self, node) {
                Some(names) => match names.as_slice() {
                    [one] => self.plain(node.span, one),
                    many => {
                        let made: Vec<Node<'a>> = many.iter().map(|n| self.plain(node.span, n)).collect();
                        self.arena.list(node.span, made)
                    }
                },
                None => *node,
            };
        };
        let mut made = Vec::with_capacity(all.len());
        for item in all {
            // `{ asset: …, strength: … }` too.
            let own = item.get("asset");
            match named(self, own.unwrap_or(item)) {
                None => made.push(*item),
                Some(names) => {
                    for name in names {
                        made.push(match own {
                            None => self.plain(item.span, name),
                            Some(at) => {
                                let at = self.plain(at.span, name);
                                self.with_keys(item, &mut |_, e| if e.key == "asset" { at } else { e.value })
                            }
                        });
                    }
                }
            }
        }
        self.arena.list(node.span, made)
    }

    /// `asset.backup`, of a template for all that it became.
    fn backups(&mut self, node: &Node<'a>) -> Node<'a> {
        let Some(all) = node.list() else { return *node };
        let mut made = Vec::with_capacity(all.len());
        for item in all {
            let group = text(item).and_then(|t| t.split_once('.')).and_then(|(asset, id)| Some((self.assets.get(asset)?, id)));
            let names = group.map(|(group, id)| group.names.iter().map(|name| format!("{name}.{id}")).collect::<Vec<_>>());
            match names {
                None => made.push(*item),
                Some(names) => names.iter().for_each(|name| made.push(self.plain(item.span, name))),
            }
        }
        self.arena.list(node.span, made)
    }

    /// `steps.X.K`: of the same id where X has the same list.
    fn conditions(&mut self, node: &Node<'a>, list: &str, element: Element<'a>) -> Node<'a> {
        let Some(all) = node.map() else { return *node };
        let made: Vec<Entry<'a>> = all
            .iter()
            .map(|e| match self.same_id(e.key, list, element) {
                Some(key) => Entry { key: self.arena.text(&key), ..*e },
                None => *e,
            })
            .collect();
        self.arena.map(node.span, made)
    }

    /// A path to a step or an asset of a template with the same list, as a path to the one with the same id.
    fn same_id(&self, path: &str, list: &str, element: Element<'a>) -> Option<String> {
        let (root, rest) = path.split_once('.')?;
        let (name, rest) = rest.split_once('.')?;
        let group = match root {
            "steps" => self.steps.get(name)?,
            "assets" => self.assets.get(name)?,
            _ => return None,
        };
        (group.list == list).then(|| format!("{root}.{name}[{}].{rest}", element.id))
    }

    fn plain(&mut self, span: Span, text: &str) -> Node<'a> {
        self.count(span);
        Node { span, value: Value::Scalar(Scalar { text: self.arena.text(text), plain: false }) }
    }

    /// True while there is room for one more value.
    fn count(&mut self, at: Span) -> bool {
        self.made += 1;
        if self.made > self.room && !self.full {
            self.full = true;
            let label = format!("up to here they make more than {} values", self.room);
            let found = Diagnostic::deny("too-large", "lists grow out of bounds", at, label);
            self.findings.push(found.help("shorten the list, or cut the plan into several"));
        }
        !self.full
    }

    /// A part of a template for one id: every `${each.…}` in it replaced.
    fn part(&mut self, node: &Node<'a>, each: Each<'a>) -> Node<'a> {
        let Some((list, element)) = each else { return *node };
        if !self.count(node.span) {
            return *node;
        }
        match node.value() {
            Value::Scalar(scalar) if marked(scalar.text) => self.scalar(node, scalar, list, element),
            Value::List(all) => {
                let made: Vec<Node<'a>> = all.iter().map(|n| self.part(n, each)).collect();
                self.arena.list(node.span, made)
            }
            Value::Map(all) => {
                let made: Vec<Entry<'a>> = all.iter().map(|e| Entry { value: self.part(&e.value, each), ..*e }).collect();
                self.arena.map(node.span, made)
            }
            _ => *node,
        }
    }

    fn scalar(&mut self, node: &Node<'a>, scalar: &Scalar<'a>, list: &'a str, element: Element<'a>) -> Node<'a> {
        let mut out = String::with_capacity(scalar.text.len());
        let (mut rest, mut from) = (scalar.text, node.span.start as usize);
        while let Some(start) = rest.find("${") {
            let (before, reference) = rest.split_at(start);
            out.push_str(before);
            let end = reference.find('}');
            let (true, Some(end)) = (!before.ends_with('$'), end) else {
                out.push_str("${");
                rest = &reference[2..];
                continue;
            };
            let path = reference[2..end].trim();
            rest = &reference[end + 1..];
            let Some(key) = path.strip_prefix("each.") else {
                match self.same_id(path, list, element) {
                    Some(path) => out.push_str(&format!("${{{path}}}")),
                    None => out.push_str(&reference[..=end]),
                }
                continue;
            };
            let at = within(Some(self.sources), node.span, path, &mut from);
            let whole = out.is_empty() && rest.is_empty();
            match self.value(key, list, element, at) {
                Some(value) if whole => return Node { span: node.span, value: value.value },
                Some(value) => match value.scalar() {
                    Some(scalar) => out.push_str(scalar.text),
                    None => self.no_text(path, &value, at),
                },
                None => {}
            }
        }
        out.push_str(rest);
        Node { span: node.span, value: Value::Scalar(Scalar { text: self.arena.text(&out), plain: false }) }
    }

    fn value(&mut self, key: &str, list: &str, element: Element<'a>, at: Span) -> Option<Node<'a>> {
        if key == "id" {
            return Some(Node { span: element.at, value: Value::Scalar(Scalar { text: element.id, plain: false }) });
        }
        let value = element.values.iter().find(|e| e.key == key).map(|e| e.value);
        if value.is_none() && self.said.insert(at) {
            let headline = format!("`{}` of list `{list}` has no `{key}`", element.id);
            let found = Diagnostic::deny("unknown-each", headline, at, "nothing can stand here for it").also(element.at, "declared here");
            let known = self.lists.get(list).into_iter().flat_map(|l| &l.elements).flat_map(|e| e.values.iter().map(|v| v.key));
            let known: BTreeSet<&str> = known.chain(["id"]).collect();
            // Others have it: then it is this one's value that is missing, not another name that was meant.
            self.findings.push(match nearest(key, known.iter().copied()).filter(|_| !known.contains(key)) {
                Some(near) => found.help(format!("write `${{each.{near}}}`")),
                None => found.help(format!("write `{}: {{ {key}: … }}` in the list", element.id)),
            });
        }
        value
    }

    fn no_text(&mut self, path: &str, value: &Node<'a>, at: Span) {
        if self.said.insert(at) {
            let found =
                Diagnostic::deny("list-in-text", format!("`{path}` is {}", value.kind()), at, "only a single value fits into a text");
            self.findings.push(found.also(value.head(), "its value").help("let it stand alone, or name one of its values"));
        }
    }
}
