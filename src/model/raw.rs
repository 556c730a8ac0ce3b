//! What is seen in the texts of a plan themselves, whatever key it stands under: characters that nobody sees, secrets, and
//! templates of other tools. It does not know what the values are for.

use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt};
use regex::Regex;

use super::joined::Role;
use super::leaks::{self, Leak};
use crate::actions::template::marked;
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Sources, Span, obeyed};
use crate::syntax::{Core, Node};

/// Keys whose texts people read, and no program.
const FOR_PEOPLE: &[&str] = &["title", "reach", "phone", "symptoms", "ask", "do", "seen", "none", "reason", "text"];
/// So many findings of this kind are enough.
const MOST: usize = 1_000;

static TEMPLATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let path = r"((?:params|secrets|sites|assets|steps|run|each)\.[A-Za-z0-9_.-]+)";
    Regex::new(&format!(r"(?:\{{\{{[-~]? *|\$\( *|%\{{ *|<%=? *|\$){path}(?: *[-~]?\}}\}}| *\)| *%>|\}})?")).ok()
});

/// Something in a text.
struct Hit {
    at: Span,
    what: What,
    /// Somebody said so already.
    said: bool,
}

enum What {
    Hidden(char),
    Secret(&'static str),
    Password,
    Template(String),
}

/// Looks through the texts of a plan, all of them, whichever of their parts count.
pub fn find(trees: &[(Role, Node<'_>)], files: &[(Role, SourceId)], sources: &Sources, findings: &mut Vec<Diagnostic>) {
    let mut hits: Vec<Hit> = files.iter().flat_map(|(_, id)| hits(*id, &sources.get(*id).text)).collect();
    hits.sort_by_key(|h| h.at);
    // What the reader of the text could not read as it stands was said by it.
    let said = |at: Span| findings.iter().any(|f| f.rule == "other-template" && f.span().start == at.start && f.span().source == at.source);
    hits.iter_mut().filter(|h| matches!(h.what, What::Template(_))).for_each(|h| h.said = said(h.at));
    let mut look = Look { hits, findings, left: MOST, keys: HashMap::new() };
    trees.iter().for_each(|(_, tree)| look.node(tree, &mut Vec::new()));
    look.comments(sources);
}

fn hits(source: SourceId, text: &str) -> Vec<Hit> {
    let span = |start: usize, end: usize| Span { source, start: start as u32, end: end as u32 };
    let hit = |at, what| Hit { at, what, said: false };
    let mut all = Vec::new();
    if !text.is_ascii() {
        let hidden = text.char_indices().filter(|(i, c)| obeyed(*c) && !matches!(c, '\n' | '\r' | '\t') && (*i > 0 || *c != '\u{feff}'));
        all.extend(hidden.take(MOST * 10).map(|(i, c)| hit(span(i, i + c.len_utf8()), What::Hidden(c))));
    }
    all.extend(
        leaks::by_shape(text)
            .into_iter()
            .map(|Leak { at, what, in_url }| hit(span(at.start, at.end), if in_url { What::Password } else { What::Secret(what) })),
    );
    // `${`, the usual sign, begins none.
    let bare = |(i, _): (usize, &str)| !text[i + 1..].starts_with('{');
    let other = ["{{", "%{", "<%"].iter().any(|sign| text.contains(sign)) || text.match_indices('$').any(bare);
    let templates = other.then(|| TEMPLATE.as_ref()).flatten().into_iter().flat_map(|pattern| pattern.captures_iter(text));
    all.extend(templates.filter_map(|c| {
        let (whole, path) = (c.get(0)?, c.get(1)?.as_str().trim_end_matches(['.', '-']).to_owned());
        Some(hit(span(whole.start(), whole.end()), What::Template(path)))
    }));
    all
}

struct Look<'f, 't> {
    hits: Vec<Hit>,
    findings: &'f mut Vec<Diagnostic>,
    left: usize,
    /// Keys that were judged: a plan has few, and each of them often.
    keys: HashMap<&'t str, bool>,
}

impl<'t> Look<'_, 't> {
    fn node(&mut self, node: &Node<'t>, path: &mut Vec<&'t str>) {
        if self.left == 0 {
            return;
        }
        if let Some(items) = node.list() {
            items.iter().for_each(|item| self.node(item, path));
        } else if let Some(entries) = node.map() {
            for entry in entries {
                self.within(entry.at, &[], true);
                path.push(entry.key);
                self.keyed(&entry.value, path);
                self.node(&entry.value, path);
                path.pop();
            }
        } else {
            self.within(node.span, path, node.scalar().is_none_or(|s| s.plain));
        }
    }

    /// A value whose key says that it is a secret.
    fn keyed(&mut self, value: &Node<'_>, path: &[&'t str]) {
        let Some(scalar) = value.scalar() else { return };
        let named = match path {
            ["secrets", _] => true,
            ["params", name, "default"] => self.of_secret(name),
            [.., key] => self.of_secret(key) && !path.iter().any(|key| matches!(*key, "expect" | "when" | "outputs" | "record")),
            [] => false,
        };
        if !named {
            return;
        }
        let core = scalar.core();
        let number = matches!(core, Core::Int(_) | Core::Float(_)) && !path.iter().any(|k| k.to_ascii_lowercase().contains("passw"));
        let none = matches!(core, Core::Null | Core::Bool(_)) || number;
        // What another tool would fill in or decrypt is no secret yet.
        let placeholder = scalar.text.is_empty() || scalar.text.starts_with(['<', '$']) || marked(scalar.text);
        if none || placeholder || self.inside(value.span).any(|h| matches!(h.what, What::Secret(_) | What::Password)) {
            return;
        }
        let what = if path[0] == "secrets" { "the value of a secret" } else { "a password or a token" };
        self.say(plain_secret(value.span, what));
    }

    fn of_secret(&mut self, key: &'t str) -> bool {
        *self.keys.entry(key).or_insert_with(|| leaks::key_of_secret(key))
    }

    /// What was found within a text; without a path the text is a key.
    fn within(&mut self, span: Span, path: &[&str], plain: bool) {
        let from = self.hits.partition_point(|h| (h.at.source, h.at.start) < (span.source, span.start));
        let to = self.hits.partition_point(|h| (h.at.source, h.at.start) < (span.source, span.end));
        let for_people = path.iter().rev().take(2).any(|key| FOR_PEOPLE.contains(key));
        let mut seen = false;
        for i in from..to {
            if std::mem::replace(&mut self.hits[i].said, true) {
                continue;
            }
            let at = self.hits[i].at;
            let found = match &self.hits[i].what {
                // One such character is enough to make the whole text another one.
                What::Hidden(_) if std::mem::replace(&mut seen, true) => continue,
                // Letters of some languages are joined by characters that nobody sees.
                What::Hidden('\u{200c}' | '\u{200d}' | '\u{200e}' | '\u{200f}') if for_people => continue,
                What::Hidden(c) => hidden(at, *c, for_people),
                What::Secret(what) => plain_secret(at, what),
                What::Password => password_in_url(at, path == ["journal", "url"]),
                What::Template(path) => template(at, path, plain),
            };
            self.say(found);
        }
    }

    /// Comments decide nothing, but what turns the direction of writing hides what stands beside them.
    fn comments(&mut self, sources: &Sources) {
        let mut last: Option<Span> = None;
        for i in 0..self.hits.len() {
            let Hit { at, what: What::Hidden(c @ ('\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')), said: false } = self.hits[i] else {
                continue;
            };
            // One of a line is enough.
            let same = last.replace(at).is_some_and(|last| last.source == at.source && !sources.slice(last.to(at)).contains('\n'));
            if !same {
                self.say(hidden(at, c, false));
            }
        }
    }

    fn inside(&self, span: Span) -> impl Iterator<Item = &Hit> {
        let from = self.hits.partition_point(|h| (h.at.source, h.at.start) < (span.source, span.start));
        self.hits[from..].iter().take_while(move |h| h.at.source == span.source && h.at.start < span.end)
    }

    fn say(&mut self, found: Diagnostic) {
        if self.left > 0 {
            self.left -= 1;
            self.findings.push(found);
        }
    }
}

fn hidden(at: Span, c: char, for_people: bool) -> Diagnostic {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    let what = if turns { "a character that turns the direction of writing" } else { "a character that nobody sees" };
    let headline = format!("{what}: U+{:04X}", c as u32);
    match for_people {
        true => Diagnostic::warn("hidden-in-text", headline, at, "whoever reads this text may read another one")
            .help("leave it out, and write the text as it should be read"),
        false => Diagnostic::deny("hidden-character", headline, at, "whoever reviews this line reads another one than runs")
            .help("leave it out; if it must stand there, write it as an escape in double quotes"),
    }
}

fn plain_secret(at: Span, what: &str) -> Diagnostic {
    let found = Diagnostic::deny("plain-secret", format!("{what} stands in the plan"), at, "everybody who reads the plan has it");
    found.help("change it where it counts, declare it under `secrets` (`NAME: { env: VARIABLE }`), and write `\"${secrets.NAME}\"`")
}

fn password_in_url(at: Span, journal: bool) -> Diagnostic {
    let found = Diagnostic::deny("password-in-url", "a password stands in a URL", at, "everybody who reads the plan has it");
    found.help(match journal {
        true => "change it where it counts, and leave it out here; give it where the plan is run, as PGPASSWORD or in ~/.pgpass",
        false => "change it where it counts, leave it out here, and give it by a key that takes a secret: `password`, `env`, `headers`",
    })
}

fn template(at: Span, path: &str, plain: bool) -> Diagnostic {
    let found = Diagnostic::deny("other-template", format!("`{path}` stands for nothing here"), at, "this is how other tools write it");
    let what = format!("write `${{{path}}}`");
    // Without quotes it may need some.
    if plain {
        return found.help(format!("{what}, in double quotes"));
    }
    found.help(&what).fix(what, [crate::diagnostic::Edit::new(at, format!("${{{path}}}"))])
}
