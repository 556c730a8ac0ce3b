//! Parser events to a tree. It does not know what a broken text looks like to a person: that is `fault`.

use std::borrow::Cow;

use foldhash::{HashMap, HashMapExt, HashSet};
use granit_parser::{Event, Options, Parser, ScalarStyle, StructureStyle, Tag};

use super::{Arena, Entry, MAX_BYTES, MAX_DEPTH, MAX_FINDINGS, Node, Scalar, Value, fault, room, room_bytes};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Span};

/// Reads the one document of a text. Without a tree there is at least one finding.
pub fn read<'a>(arena: &'a Arena<'a>, source: SourceId, text: &'a str, findings: &mut Vec<Diagnostic>) -> Option<Node<'a>> {
    let start = Span { source, start: 0, end: 0 };
    if text.len() > MAX_BYTES {
        let found = Diagnostic::deny("too-large", "the text is longer than 64 MiB", start, "a plan may hold at most 64 MiB");
        findings.push(found.help("split it into several files"));
        return None;
    }
    let mut reader = Reader {
        arena,
        source,
        text,
        findings,
        open: Vec::new(),
        items: Vec::new(),
        entries: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        aliased_bytes: 0,
        root: None,
    };
    let complete = reader.events();
    let root = reader.root.take();
    match root {
        _ if !complete => None,
        Some(node) if !node.is_null() => Some(node),
        _ => {
            findings.push(
                Diagnostic::deny("empty-plan", "the plan is empty", start, "nothing stands here")
                    .help("begin with `drplan: v1`, `name: …` and `scenarios:`; `drplan init` writes a first plan"),
            );
            None
        }
    }
}

struct Reader<'a, 'f> {
    arena: &'a Arena<'a>,
    source: SourceId,
    text: &'a str,
    findings: &'f mut Vec<Diagnostic>,
    open: Vec<Open<'a>>,
    /// Items and entries of all open collections, innermost last: each collection takes its own when it closes.
    items: Vec<Node<'a>>,
    entries: Vec<Entry<'a>>,
    anchors: HashMap<usize, Anchor<'a>>,
    aliased: usize,
    aliased_bytes: usize,
    root: Option<Node<'a>>,
}

/// A collection that is not closed yet.
struct Open<'a> {
    span: Span,
    flow: bool,
    anchor: usize,
    content: Content<'a>,
    /// What merge keys would join in: the finding about them is enough.
    merged: Option<Node<'a>>,
    /// `{{ … }}` that was reported: the reference that was meant.
    meant: Option<&'a str>,
    /// Of what closed inside: how many nodes, how deep, how many bytes.
    size: Size,
}

/// Where its parts begin among those of all open collections.
enum Content<'a> {
    List { from: usize },
    Map { from: usize, seen: Option<HashSet<&'a str>>, key: Option<Key<'a>> },
}

/// A key whose value has not come yet.
struct Key<'a> {
    text: KeyText<'a>,
    at: Span,
}

/// What a key says.
enum KeyText<'a> {
    Word(&'a str),
    /// `<<`, which was reported.
    Merge,
    /// Something that was reported.
    Broken,
}

struct Anchor<'a> {
    node: &'a Node<'a>,
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    depth: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, inner: Size) {
        self.nodes += inner.nodes;
        self.bytes += inner.bytes;
        self.depth = self.depth.max(inner.depth);
    }
}

/// So many keys of a merge key are looked at.
const MOST_MERGED: usize = 100;

/// From so many keys on, duplicates are found by a set.
const MANY_KEYS: usize = 24;

impl<'a> Reader<'a, '_> {
    /// True if the whole text could be read.
    fn events(&mut self) -> bool {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.emit_unresolved_aliases = true;
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = match event {
                Ok(pair) => pair,
                Err(error) => {
                    let open: Vec<Span> = self.open.iter().filter(|o| o.flow).map(|o| o.span).collect();
                    self.findings.push(fault::finding(self.source, self.text, &error, &open));
                    return false;
                }
            };
            let range = span.byte_range().unwrap_or(0..0);
            let at = Span { source: self.source, start: range.start as u32, end: range.end as u32 };
            let tag_range = span.tag_span().and_then(|t| t.byte_range()).unwrap_or(range);
            let tag_at = Span { source: self.source, start: tag_range.start as u32, end: tag_range.end as u32 };
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents == 2 {
                        let found = Diagnostic::deny("several-documents", "a plan is one document", at, "a second document begins here");
                        self.findings.push(found.help("put the second document into a file of its own"));
                        return self.root.is_some();
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let str_tag = self.tag(tag.as_deref(), tag_at);
                    let plain = matches!(style, ScalarStyle::Plain) && !str_tag;
                    if text.contains('\0') {
                        self.findings.push(fault::nul(self.text, at));
                    }
                    let text = match text {
                        Cow::Borrowed(text) => text,
                        Cow::Owned(text) => self.arena.texts.alloc_str(&text),
                    };
                    let size = Size { nodes: 1, depth: 0, bytes: text.len() };
                    self.close(Node { span: at, value: Value::Scalar(Scalar { text, plain }) }, anchor, size);
                }
                Event::SequenceStart(style, anchor, tag) => {
                    self.tag(tag.as_deref(), tag_at);
                    if !self.push(at, style, anchor, Content::List { from: self.items.len() }) {
                        return false;
                    }
                }
                Event::MappingStart(style, anchor, tag) => {
                    self.tag(tag.as_deref(), tag_at);
                    let content = Content::Map { from: self.entries.len(), seen: None, key: None };
                    if !self.push(at, style, anchor, content) {
                        return false;
                    }
                }
                Event::SequenceEnd | Event::MappingEnd => self.pop(at),
                Event::Alias(id) => {
                    let known = self.alias(id, at);
                    if !known {
                        return false;
                    }
                }
                Event::UnresolvedAlias(name) => {
                    self.findings.push(fault::unknown_alias(self.source, self.text, &name, at));
                    return false;
                }
                _ => {}
            }
        }
        true
    }

    fn push(&mut self, span: Span, style: StructureStyle, anchor: usize, content: Content<'a>) -> bool {
        if self.open.len() >= MAX_DEPTH {
            self.findings.push(fault::too_deep(Span { end: span.end.min(span.start + 1), ..span }));
            return false;
        }
        let flow = matches!(style, StructureStyle::Flow);
        self.open.push(Open { span, flow, anchor, content, merged: None, meant: None, size: Size { nodes: 1, ..Size::default() } });
        true
    }

    fn pop(&mut self, end: Span) {
        let Some(mut open) = self.open.pop() else { return };
        self.merge(&mut open);
        let mut span = open.span;
        let value = match open.content {
            Content::List { from } => Value::List(self.arena.nodes.alloc_extend(self.items.drain(from..))),
            Content::Map { from, .. } => Value::Map(self.arena.entries.alloc_extend(self.entries.drain(from..))),
        };
        let inner = match &value {
            Value::List(items) => items.last().map(|n| n.span),
            Value::Map(entries) => entries.last().map(|e| if e.value.span.start < e.at.start { e.at } else { e.value.span }),
            _ => None,
        };
        span.end = span.end.max(if open.flow { end.end } else { inner.map_or(span.end, |s| s.end) });
        let size = Size { depth: open.size.depth + 1, ..open.size };
        let value = open.meant.map_or(value, |text| Value::Scalar(Scalar { text, plain: false }));
        self.close(Node { span, value }, open.anchor, size);
    }

    /// The keys that a merge key would bring, so that they are not reported as missing.
    fn merge(&mut self, open: &mut Open<'a>) {
        let (Some(merged), Content::Map { from, .. }) = (open.merged.take(), &open.content) else { return };
        let joined = merged.list().unwrap_or(std::slice::from_ref(&merged)).iter().filter_map(Node::map).flatten();
        for entry in joined.take(MOST_MERGED) {
            if self.entries.len() - from >= MOST_MERGED {
                return;
            }
            if !self.entries[*from..].iter().any(|own| own.key == entry.key) {
                self.entries.push(*entry);
            }
        }
    }

    /// A node is whole: it becomes the root, an item, a key or a key's value.
    fn close(&mut self, node: Node<'a>, anchor: usize, size: Size) {
        let node = if anchor == 0 {
            node
        } else {
            let span = node.span;
            let node = &*self.arena.nodes.alloc(node);
            self.anchors.insert(anchor, Anchor { node, size });
            Node { span, value: Value::Shared(node) }
        };
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        open.size.add(size);
        match &mut open.content {
            Content::List { .. } => self.items.push(node),
            Content::Map { key: key @ None, .. } => {
                let at = open.span.start as usize;
                let braces = self.text.get(at..).filter(|_| open.flow && node.map().is_some()).and_then(braced);
                let found = braces.and_then(|path| Some((path, fault::double_braces(self.source, self.text, at)?)));
                if let Some((path, found)) = found {
                    self.findings.push(found);
                    open.meant = Some(self.arena.texts.alloc_str(&format!("${{{path}}}")));
                    *key = Some(Key { text: KeyText::Broken, at: node.span });
                    return;
                }
                *key = Some(key_of(&node, self.findings));
            }
            Content::Map { from, seen, key } => {
                let Some(Key { text, at }) = key.take() else { return };
                let (text, node) = match text {
                    KeyText::Word(text) => match unspaced(text, at, &node).filter(|_| open.flow) {
                        Some((key, value)) => {
                            let start = at.start as usize + key.len();
                            let colon = Span { start: start as u32, end: start as u32 + 1, ..at };
                            let edit = (start + 1, start + 1, " ".to_owned());
                            self.findings.push(fault::missing_space(colon, ":", &format!("{key}: {value}"), edit));
                            (key, Node { value: Value::Scalar(Scalar { text: value, plain: true }), ..node })
                        }
                        None => (text, node),
                    },
                    KeyText::Merge => return open.merged = Some(node),
                    KeyText::Broken => return,
                };
                let entries = &self.entries[*from..];
                if entries.len() == MANY_KEYS {
                    *seen = Some(entries.iter().map(|e| e.key).collect());
                }
                let known = match seen {
                    Some(seen) => !seen.insert(text),
                    None => entries.iter().any(|e| e.key == text),
                };
                if known {
                    let first = entries.iter().find(|e| e.key == text).map_or(at, |e| e.at);
                    if self.findings.len() >= MAX_FINDINGS {
                        return;
                    }
                    let found = Diagnostic::deny("duplicate-key", format!("`{text}` stands twice"), at, "again here");
                    self.findings.push(found.also(first, "first here").help(format!("keep one of the two `{text}`")));
                } else {
                    self.entries.push(Entry { key: text, at, value: node });
                }
            }
        }
    }

    fn alias(&mut self, id: usize, at: Span) -> bool {
        let Some(anchor) = self.anchors.get(&id) else {
            let found = Diagnostic::deny("unknown-alias", "an alias inside its own anchor", at, "this would hold itself");
            self.findings.push(found.help("write the value out"));
            return false;
        };
        let (node, size) = (anchor.node, anchor.size);
        self.aliased += size.nodes;
        self.aliased_bytes += size.bytes;
        let problem = if self.open.len() + size.depth > MAX_DEPTH {
            Some(format!("with it the plan is nested deeper than {MAX_DEPTH}"))
        } else if self.aliased > room(self.text.len()) {
            Some(format!("the aliases up to here stand for more than {} values", room(self.text.len())))
        } else if self.aliased_bytes > room_bytes(self.text.len()) {
            Some(format!("the aliases up to here stand for more than {} bytes", room_bytes(self.text.len())))
        } else {
            None
        };
        if let Some(problem) = problem {
            let found = Diagnostic::deny("too-large", "aliases grow out of bounds", at, problem);
            self.findings.push(found.help("write the values out, or leave most of these aliases out"));
            return false;
        }
        self.close(Node { span: node.span, value: Value::Shared(node) }, 0, size);
        true
    }

    /// Reports a tag that is not of the core schema; true for `!!str`.
    fn tag(&mut self, tag: Option<&Tag>, at: Span) -> bool {
        let Some(tag) = tag else { return false };
        match tag.core_suffix() {
            Some("str") => return true,
            Some("map" | "seq") => {}
            _ => self.findings.push(fault::custom_tag(&tag.original(), at)),
        }
        false
    }
}

fn key_of<'a>(node: &Node<'a>, findings: &mut Vec<Diagnostic>) -> Key<'a> {
    let at = node.span;
    match node.scalar() {
        Some(s) if s.plain && s.text == "<<" => {
            let found = Diagnostic::deny("merge-key", "merge keys are not read", at, "`<<` would join another map in");
            findings.push(found.help("write the keys out, or give the whole value an alias: `key: *name`"));
            Key { text: KeyText::Merge, at }
        }
        Some(s) => Key { text: KeyText::Word(s.text), at },
        None => {
            let found = Diagnostic::deny("yaml", "a key is a single word", node.head(), format!("this key is {}", node.kind()));
            findings.push(found.help("write `key: value`; put a value that begins with `{` or `[` and is a text into quotes"));
            Key { text: KeyText::Broken, at }
        }
    }
}

/// What stands between `{{` and `}}`, if it is a path.
fn braced(text: &str) -> Option<&str> {
    let path = text.strip_prefix("{{")?.split("}}").next()?.trim();
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!path.is_empty() && path.len() < 200 && path.chars().all(word)).then_some(path)
}

/// `key:value` as the key of nothing: both parts.
fn unspaced<'a>(text: &'a str, at: Span, value: &Node<'_>) -> Option<(&'a str, &'a str)> {
    let plain = value.is_null() && (at.end - at.start) as usize == text.len();
    let (key, value) = text.split_once(':').filter(|_| plain)?;
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (!key.is_empty() && key.chars().all(word) && !value.is_empty() && !value.starts_with('/')).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    fn found(text: &str) -> Vec<String> {
        let mut sources = Sources::default();
        let id = sources.add("p", text);
        let mut findings = Vec::new();
        let text = sources.get(id).text.clone();
        read(&Arena::default(), id, &text, &mut findings);
        let line = |d: &Diagnostic| {
            let (line, col) = sources.get(id).line_col(d.span().start);
            format!("{line}:{col} {} | {}", d.headline, d.help.as_deref().unwrap_or(""))
        };
        findings.iter().map(line).collect()
    }

    #[test]
    fn mistakes_have_names_and_places() {
        for (text, wanted) in [
            ("", "1:1 the plan is empty"),
            ("# only a comment\n", "1:1 the plan is empty"),
            ("a: \"x\nb: 1\n", "1:4 a quote is never closed"),
            ("a: 'it''s' # don't\nb: [ \"x, 1 ]\n", "2:6 a quote is never closed"),
            ("a:\n\tb: 1\n", "2:1 a tab where only spaces may stand"),
            ("a: 1\nb: 2\na: 3\n", "3:1 `a` stands twice"),
            ("a: { zone: ${params.zone} }\n", "1:12 `${…}` inside"),
            ("a: [x, ${params.zone}/b]\n", "1:8 `${…}` inside"),
            ("schedule: * * * * *\n", "1:11 a text that begins with `*`"),
            ("schedule: */5 * * * *\n", "1:11 a text that begins with `*`"),
            ("a: *nope\n", "1:4 no anchor `&nope`"),
            ("title: Lost: all of it\n", "1:12 a text with `: ` in it needs quotes"),
            ("a: { b: 1\nc: 2\n", "1:4 `{` is never closed"),
            ("base: &b { x: 1 }\nc:\n  <<: *b\n", "3:3 merge keys"),
            ("a: !secret x\n", "1:4 the tag `!secret`"),
            ("a: 1\n---\nb: 2\n", "2:1 a plan is one document"),
            ("a: &x [*x]\n", "1:8 an alias inside its own anchor"),
        ] {
            let got = found(text);
            assert_eq!(got.len(), 1, "{text:?}: {got:?}");
            assert!(got[0].starts_with(wanted), "{text:?}: {got:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_and_line_ends_of_windows_change_no_place() {
        assert_eq!(found("\u{feff}a: 1\r\nb: \"ü\" c\r\n").len(), 1);
        assert!(found("\u{feff}a: 1\r\nb: \"ü\" c\r\n")[0].starts_with("2:8 something stands behind"));
        assert!(found("\u{feff}a: @x\n")[0].starts_with("1:4 a text that begins with `@`"));
        assert_eq!(found("\u{feff}a: 1\r\nb: |\r\n  x\r\n"), Vec::<String>::new());
    }

    #[test]
    fn the_quoted_line_is_shown() {
        assert!(found("a: { zone: ${params.zone} }\n")[0].ends_with("`zone: \"${params.zone}\"`"));
        assert!(found("s: */5 * * * * # x\n")[0].ends_with("`s: \"*/5 * * * *\"`"));
        assert!(found("t: Lost: all of it\n")[0].ends_with("`t: \"Lost: all of it\"`"));
    }

    #[test]
    fn aliases_are_bounded() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let inner = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{inner}]\n"));
        }
        assert_eq!(found(&bomb).len(), 1);
        assert!(found(&bomb)[0].contains("out of bounds"));
        let mut deep = "a0: &a0 [x]\n".to_owned();
        for i in 1..80 {
            deep.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        assert!(found(&deep)[0].contains("out of bounds"));
        assert!(found(&format!("{}x{}", "[".repeat(70), "]".repeat(70)))[0].contains("nested too deeply"));
        assert_eq!(found("a: &x { y: 1 }\nb: *x\n"), Vec::<String>::new());
    }
}
