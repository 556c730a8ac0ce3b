//! The one validator: a tree against the vocabulary. It reports every value that is not what its key holds; it makes
//! nothing of the tree, and knows no rule between two values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::each::address;
use super::keys;
use super::places::{self, StepRef, within};
use super::scope::{MANY, Meaning, Scope, Spot, list};
use super::values::{Lit, Typed, Wrong, fits, matcher_word, wanted};
use crate::actions::template::{Part, marked, parts, references};
use crate::actions::{Field, Type, matcher};
use crate::diagnostic::{Diagnostic, Edit, nearest};
use crate::source::Span;
use crate::syntax::{Core, Entry, Node, Scalar};

/// Lists in which a name that stands twice means no more than once.
const SETS: &[&str] = &["needs", "modes", "site", "sites", "assets", "within", "leaves", "lock"];

/// Longest name.
const ID_LENGTH: usize = 64;

/// How far behind a key a `#` is looked for.
const HASH_WITHIN: u32 = 200;

/// One pass over one part of a plan.
pub struct Shapes<'c, 't> {
    /// Names that references may use.
    pub scope: &'c Scope<'t>,
    /// Where the part stands.
    pub spot: Spot<'c>,
    /// What was found.
    pub findings: &'c mut Vec<Diagnostic>,
    /// References to outputs of steps, in order.
    pub refs: Vec<StepRef>,
    /// References to the time at which an asset was back, in order.
    pub recovered: Vec<(super::Id, Span)>,
}

impl<'c, 't> Shapes<'c, 't> {
    /// A pass that has found nothing yet.
    pub fn new(scope: &'c Scope<'t>, spot: Spot<'c>, findings: &'c mut Vec<Diagnostic>) -> Shapes<'c, 't> {
        Shapes { scope, spot, findings, refs: Vec::new(), recovered: Vec::new() }
    }
}

impl Shapes<'_, '_> {
    /// Checks a value of a key.
    pub fn value(&mut self, key: &str, node: &Node<'_>, kind: &Type) {
        match kind {
            Type::Either(kinds) => match kinds.iter().find(|k| goes_with(k, node)) {
                Some(kind) => self.value(key, node, kind),
                None => self.wrong_kind(key, node, kind),
            },
            Type::List(item) => match node.list() {
                Some(items) => {
                    items.iter().for_each(|n| self.value(key, n, item));
                    if SETS.contains(&key) {
                        self.twice(key, items);
                    }
                }
                None => self.wrong_kind(key, node, kind),
            },
            Type::Map(item) | Type::ById(item) | Type::ByName(item) => match node.map() {
                Some(entries) => entries.iter().for_each(|e| self.named(e, kind, item)),
                None => self.wrong_kind(key, node, kind),
            },
            Type::Record(fields) => self.record(key, node, fields, &[]),
            Type::Call => self.call(key, node),
            Type::Matchers => match node.map() {
                Some(entries) => entries.iter().for_each(|e| self.value(e.key, &e.value, &Type::Matcher)),
                None => self.wrong_kind(key, node, kind),
            },
            Type::Matcher => self.matcher(key, node),
            Type::Keep if node.map().is_some() => self.record(key, node, super::vocabulary::KEEP, &[]),
            Type::Any => self.any(node, false),
            Type::AnySecret => self.any(node, true),
            // Whoever knows the action or the kind checks these.
            Type::With | Type::Connect => {
                if node.map().is_none() {
                    self.wrong_kind(key, node, kind);
                }
            }
            _ => match node.scalar() {
                Some(scalar) => self.scalar(key, node, scalar, kind),
                None => self.wrong_kind(key, node, kind),
            },
        }
    }

    /// Names that stand twice in a list, which means no more than once.
    fn twice(&mut self, key: &str, items: &[Node<'_>]) {
        /// Of longer lists every pair would take long.
        const FEW: usize = 16;
        let mut known = BTreeMap::new();
        for (i, item) in items.iter().enumerate() {
            let Some(name) = item.scalar().map(|s| s.text) else { continue };
            let first = match items.len() > FEW {
                true => known.get(name).copied(),
                false => items[..i].iter().position(|other| other.scalar().is_some_and(|s| s.text == name)),
            };
            let Some(first) = first else {
                known.extend((items.len() > FEW).then_some((name, i)));
                continue;
            };
            let found = Diagnostic::warn("named-twice", format!("`{name}` stands twice in `{key}`"), item.span, "again here");
            let found = found.also(items[first].span, "first here").help("leave it out, or write the other one that is meant");
            // With what parts it from the one before, unless somebody wrote something there.
            let (before, gap) = (items[i - 1].span, Span { start: items[i - 1].span.end, ..item.span });
            let parted =
                self.scope.sources.filter(|_| before.source == item.span.source && before.end <= item.span.start).is_some_and(|s| {
                    s.slice(Span { end: item.span.start, ..gap }).chars().all(|c| matches!(c, ' ' | ',' | '-' | '\n' | '\r'))
                });
            self.findings.push(if parted { found.fix("leave it out", [Edit::new(gap, "")]) } else { found });
        }
    }

    /// Checks a map against its fields; values of `elsewhere` are checked by the caller.
    pub fn record(&mut self, key: &str, node: &Node<'_>, fields: &[Field], elsewhere: &[&str]) {
        self.keys(key, node, fields, elsewhere);
        self.required(key, node, fields);
    }

    /// Checks the keys that a map has, whichever are required.
    pub fn keys(&mut self, key: &str, node: &Node<'_>, fields: &[Field], elsewhere: &[&str]) {
        let Some(entries) = node.map() else { return self.wrong_kind(key, node, &Type::Record(&[])) };
        for entry in entries {
            match fields.iter().find(|f| f.name == entry.key) {
                Some(field) if elsewhere.contains(&field.name) => {}
                Some(field) if entry.value.is_null() && !matches!(field.kind, Type::Any | Type::AnySecret | Type::Matcher) => {
                    self.empty(entry)
                }
                Some(field) => self.value(field.name, &entry.value, &field.kind),
                None => self.unknown_key(key, entry, entries, fields),
            }
        }
    }

    fn required(&mut self, key: &str, node: &Node<'_>, fields: &[Field]) {
        let Some(entries) = node.map() else { return };
        let given = |name: &str| entries.iter().any(|e| e.key == name);
        for field in fields.iter().filter(|f| f.required && !given(f.name)) {
            // A misspelt key was reported once already.
            if entries.iter().any(|e| nearest(e.key, [field.name]).is_some() && !fields.iter().any(|f| f.name == e.key)) {
                continue;
            }
            let name = field.name;
            let found = Diagnostic::deny(
                "missing-key",
                format!("`{name}` is missing in `{key}`"),
                node.head(),
                format!("`{name}` must stand here"),
            );
            let sentence = field.doc.trim_end_matches('.');
            self.findings.push(found.help(format!("add `{name}: …` ({}{})", sentence[..1].to_lowercase(), &sentence[1..])));
        }
    }

    /// Checks the key of an entry as an id.
    pub fn name(&mut self, entry: &Entry<'_>) {
        self.id(entry.key, entry.at, false, false);
    }

    fn named(&mut self, entry: &Entry<'_>, kind: &Type, item: &Type) {
        if matches!(kind, Type::ById(_) | Type::ByName(_)) {
            self.id(entry.key, entry.at, matches!(kind, Type::ByName(_)), false);
        }
        if entry.value.is_null() && !matches!(item, Type::Any | Type::AnySecret | Type::Matcher) {
            // `eu-west-1:` alone is a site without keys, unless some key is required.
            return match item {
                Type::Record(fields) if fields.iter().all(|f| !f.required) => {}
                _ => self.empty(entry),
            };
        }
        self.value(entry.key, &entry.value, item);
    }

    fn empty(&mut self, entry: &Entry<'_>) {
        let rest = Span { start: entry.at.end, end: entry.at.end + HASH_WITHIN, ..entry.at };
        let behind = self.scope.sources.map_or("", |sources| sources.starting_at(rest));
        let blank = behind.len() - behind.trim_start_matches([':', ' ', '\t']).len();
        let value = behind[blank..].split(['\n', '\r']).next().unwrap_or("").trim_end();
        if value.len() > 1 && value.starts_with('#') && !value.starts_with("# ") {
            let start = entry.at.end + blank as u32;
            let at = Span { start, end: start + value.len() as u32, ..entry.at };
            let found =
                Diagnostic::deny("unquoted-hash", format!("`{}` has no value: `#` begins a comment", entry.key), at, "this is a comment");
            let quoted = format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            let what = format!("put it into quotes: `{quoted}`");
            return self.findings.push(found.help(&what).fix(what, [Edit::new(at, quoted)]));
        }
        let found = Diagnostic::deny("empty-value", format!("`{}` has no value", entry.key), entry.at, "nothing stands after this key");
        self.findings.push(found.help(format!("give `{}` a value, or leave it out", entry.key)));
    }

    fn unknown_key(&mut self, key: &str, entry: &Entry<'_>, entries: &[Entry<'_>], fields: &[Field]) {
        let open = || fields.iter().map(|f| f.name).filter(|n| !entries.iter().any(|e| e.key == *n));
        let misplaced = |home: keys::Home| {
            let headline = format!("`{}` is a key of {}, not of `{key}`", entry.key, home.place);
            Diagnostic::deny("misplaced-key", headline, entry.at, "known, but not here").help(home.help)
        };
        if self.findings.len() >= MANY {
            let found = Diagnostic::deny("unknown-key", format!("unknown key `{}` in `{key}`", entry.key), entry.at, "not known here");
            return self.findings.push(found.help(keys::known(fields)));
        }
        if let Some(home) = keys::near(key, entry.key, entries, fields) {
            return self.findings.push(misplaced(home));
        }
        let found =
            Diagnostic::deny("unknown-key", format!("unknown key `{}` in `{key}`", entry.key), entry.at, "not a word of the language here");
        self.findings.push(match (nearest(entry.key, open()), keys::anywhere(entry.key)) {
            (Some(near), None) => found.write(near),
            (Some(near), Some(_)) if near.sure => found.write(near),
            (_, Some(home)) => misplaced(home),
            (None, None) => found.help(keys::known(fields)),
        });
    }

    fn call(&mut self, key: &str, node: &Node<'_>) {
        const CALL: &[Field] = super::vocabulary::CHECK;
        self.record(key, node, CALL, &[]);
        super::lower::action::fields_of(self, node, true);
    }

    fn matcher(&mut self, key: &str, node: &Node<'_>) {
        self.any(node, false);
        let value = self.scope.json(node, self.spot);
        if let Some(problem) = matcher::problem(&value) {
            let found = Diagnostic::deny("bad-matcher", format!("`{key}` wants a value or a matcher"), node.head(), problem);
            let entries = node.map().unwrap_or(&[]);
            let first = entries.first().filter(|e| !matcher::WORDS.contains(&e.key));
            let known = first.and_then(|e| matcher_word(e.key));
            self.findings.push(match (known, entries) {
                (Some(near), _) => found.write(near).help(format!("write `{{ {near}: … }}`")),
                (None, [one, _, ..]) if first.is_none() => found.help(format!("keep one of them, like `{{ {}: … }}`", one.key)),
                (None, [one]) if first.is_none() => found.help(format!("write it like `{}`", super::values::sample_of(one.key))),
                _ => found.help(format!("write a plain value, or one of {}", list(matcher::WORDS))),
            });
        }
    }

    /// Only the references in it.
    fn any(&mut self, node: &Node<'_>, secret_ok: bool) {
        match (node.list(), node.map(), node.scalar()) {
            (Some(items), ..) => items.iter().for_each(|n| self.any(n, secret_ok)),
            (_, Some(entries), _) => entries.iter().for_each(|e| self.any(&e.value, secret_ok)),
            (.., Some(scalar)) if marked(scalar.text) => {
                self.references(node, scalar, secret_ok);
            }
            _ => {}
        }
    }

    fn scalar(&mut self, key: &str, node: &Node<'_>, scalar: &Scalar<'_>, kind: &Type) {
        let id = matches!(kind, Type::Id | Type::Name);
        if marked(scalar.text) && matches!((kind, self.spot), (Type::Word(_), Spot::Plan)) {
            let headline = format!("`{key}` cannot be made of `${{…}}`");
            let found = Diagnostic::deny("reference-in-name", headline, node.span, "this word decides what the plan is");
            return self.findings.push(found.help(format!("write {}", wanted(kind).0)));
        }
        if marked(scalar.text) && !id {
            if !self.references(node, scalar, matches!(kind, Type::Secret)) {
                return;
            }
            let filled = self.scope.fill(scalar.text, self.spot);
            if !references(&filled).is_empty() {
                return self.open(key, node, scalar, kind);
            }
            let filled = crate::actions::template::fill(&filled, &|_| None);
            let lit = match &filled {
                Value::String(s) => Lit::Text(s),
                Value::Number(n) if n.is_f64() => Lit::Float,
                Value::Number(_) => Lit::Int,
                Value::Bool(_) => Lit::Bool,
                Value::Null => Lit::Null,
                _ => Lit::Other,
            };
            // A number that a parameter gives goes into a text as it is.
            let textual = matches!(kind, Type::Text | Type::Secret);
            if !textual {
                self.lit(key, node.span, &Typed { lit, text: &plain_of(&filled), plain: false, here: false }, kind);
            }
            return;
        }
        if id && matches!(scalar.core(), Core::Bool(_) | Core::Null) {
            let found =
                Diagnostic::deny("bad-id", format!("`{}` is not a name", scalar.text), node.span, "YAML reads this as a value of its own");
            return self.findings.push(found.help("choose another name"));
        }
        if id {
            return self.id(scalar.text, node.span, matches!(kind, Type::Name), !matches!(key, "id" | "name"));
        }
        let lit = match scalar.core() {
            Core::Null => Lit::Null,
            Core::Bool(_) => Lit::Bool,
            Core::Int(_) => Lit::Int,
            Core::Float(_) => Lit::Float,
            Core::Text => Lit::Text(scalar.text),
        };
        // What an anchor shares may be right where it stands otherwise.
        let here = !matches!(node.value, crate::syntax::Value::Shared(_));
        self.lit(key, node.span, &Typed { lit, text: scalar.text, plain: scalar.plain, here }, kind);
    }

    /// A value that is not known now: fine where a run fills it in, not where the compiler needs it.
    fn open(&mut self, key: &str, node: &Node<'_>, scalar: &Scalar<'_>, kind: &Type) {
        let compiled = matches!(self.spot, Spot::Plan) && !matches!(kind, Type::Text | Type::Secret | Type::Url);
        if !compiled {
            return;
        }
        let missing = |name: &str| self.scope.params.get(name).is_some_and(|p| p.value.is_none());
        let pieces = parts(scalar.text).into_iter().map(|(_, part)| part).filter(|part| !matches!(part, Part::Text(_)));
        let open = pieces.zip(self.places(node, scalar)).find_map(|(part, at)| match part {
            Part::Ref(path) => path.strip_prefix("params.").filter(|name| missing(name)).map(|name| (name.to_owned(), at)),
            _ => None,
        });
        let (name, at) = open.unwrap_or_else(|| ("NAME".to_owned(), node.span));
        let found = Diagnostic::deny("missing-param", format!("`{key}` needs a value to compile"), at, "this parameter has no value");
        self.findings.push(found.help(format!("give `{name}` a `default` under `params`, or `-p {name}=VALUE`")));
    }

    fn lit(&mut self, key: &str, at: Span, typed: &Typed<'_>, kind: &Type) {
        if let Err(wrong) = fits(key, typed, kind) {
            self.findings.push(wrong.at(at, typed.here));
        }
    }

    fn id(&mut self, text: &str, at: Span, underscore: bool, at_reference: bool) {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (underscore && c == '_');
        let (base, one) = address(text);
        // What is wrong with the id in the brackets was said where the list stands.
        let listed = one.is_none_or(|id| at_reference || self.scope.listed.contains(id));
        if listed && base.len() <= ID_LENGTH && base.starts_with(|c: char| c.is_ascii_lowercase()) && base.chars().all(allowed) {
            return;
        }
        // What nobody sees is a finding of its own.
        if text.chars().any(crate::source::obeyed) {
            return;
        }
        // A name that is declared like this was reported there.
        if at_reference && [self.scope.assets, self.scope.sites].into_iter().flatten().any(|section| section.get(text).is_some()) {
            return;
        }
        if marked(text) {
            let place = places::references(self.scope.sources, at, text).and_then(|all| all.first().copied()).unwrap_or(at);
            let found = Diagnostic::deny("reference-in-name", "a name cannot be made of `${…}`", place, "names are the same in every run");
            return self.findings.push(found.help("write the name itself; one for each of several is made with `for_each`"));
        }
        let label = if text.len() > ID_LENGTH {
            "longer than 64 characters"
        } else {
            "a name is `a` to `z`, digits and `-`, and begins with a letter"
        };
        let found = Diagnostic::deny("bad-id", format!("`{text}` is not a name"), at, label);
        let mut better: String = text.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect();
        better = better.trim_matches(|c: char| c == '-' || c.is_ascii_digit()).chars().take(ID_LENGTH).collect();
        self.findings.push(if better.is_empty() { found } else { found.help(format!("write `{better}`")) });
    }

    /// Checks every `${…}` of a text; true if all of them stand for something.
    fn references(&mut self, node: &Node<'_>, scalar: &Scalar<'_>, secret_ok: bool) -> bool {
        let before = self.findings.len();
        let places = self.places(node, scalar);
        let pieces = parts(scalar.text).into_iter().map(|(_, part)| part).filter(|part| !matches!(part, Part::Text(_)));
        for (piece, at) in pieces.zip(places) {
            match piece {
                // What follows the next `${` belongs to that one.
                Part::Ref(path) if !marked(path) && !path.contains('\n') => self.reference(path, at, secret_ok),
                _ => {
                    let at = Span { end: at.end.min(at.start + 2), ..at };
                    let found = Diagnostic::deny("unclosed-reference", "a `${` is never closed", at, "this `${` has no `}`");
                    self.findings.push(found.help("close it with `}`, or write `$${` for a plain `${`"));
                }
            }
        }
        self.findings.len() == before
    }

    /// Where each `${…}` of a text stands; the whole text where that cannot be told.
    fn places(&self, node: &Node<'_>, scalar: &Scalar<'_>) -> Vec<Span> {
        if let Some(places) = places::references(self.scope.sources, node.span, scalar.text) {
            return places;
        }
        let mut from = node.span.start as usize;
        let place = |part| match part {
            Part::Text(_) => None,
            Part::Ref(path) => Some(within(self.scope.sources, node.span, path, &mut from)),
            Part::Unclosed(_) => Some(node.span),
        };
        parts(scalar.text).into_iter().map(|(_, part)| part).filter_map(place).collect()
    }

    fn reference(&mut self, path: &str, at: Span, secret_ok: bool) {
        let meaning = match self.scope.meaning(path, self.spot) {
            Ok(meaning) => meaning,
            Err(unknown) => {
                let typed = self.scope.sources.is_some_and(|s| s.slice(at).starts_with("${"));
                let found = unknown.at(at);
                return self.findings.push(match unknown.instead.filter(|_| typed) {
                    Some(path) => found.fix(unknown.help, [Edit::new(at, format!("${{{path}}}"))]),
                    None => found,
                });
            }
        };
        if !secret_ok && holds_secret(path, &meaning) {
            let found =
                Diagnostic::deny("misplaced-secret", format!("`{path}` would be written down here"), at, "this key does not take a secret");
            let found = found.help("give secrets only to keys that take one, like `password`, `env`, `stdin` or `headers`");
            self.findings.push(found);
        }
        if let Meaning::Recovered(asset) = &meaning {
            self.recovered.push((asset.clone(), at));
        }
        if let Meaning::Output(step, output) = meaning {
            self.refs.push(StepRef { step, output, at });
        }
    }

    fn wrong_kind(&mut self, key: &str, node: &Node<'_>, kind: &Type) {
        let (wanted, sample) = wanted(kind);
        let wrong = |rule, help: Option<String>| Wrong {
            rule,
            headline: format!("`{key}` wants {wanted}"),
            label: format!("this is {}", node.kind()),
            help,
            instead: None,
        };
        let here = !matches!(node.value, crate::syntax::Value::Shared(_));
        let single = !matches!(
            kind,
            Type::List(_)
                | Type::Map(_)
                | Type::ById(_)
                | Type::ByName(_)
                | Type::Record(_)
                | Type::With
                | Type::Connect
                | Type::Call
                | Type::Matchers
        );
        let found = match (kind, node.scalar(), node.list(), node.map()) {
            (Type::List(_), Some(scalar), ..) if !scalar.text.is_empty() => {
                let written = self.scope.sources.map_or(scalar.text, |s| s.slice(node.span));
                let listed = format!("[{written}]");
                let help = format!("put it into brackets: `{listed}`");
                wrong("not-a-list", Some(help)).or_write(listed).at(node.span, here && !written.contains('\n'))
            }
            (Type::List(_), None, None, Some(_)) => {
                wrong("not-a-list", Some("begin each of them with `- `, or put `[` and `]` around".to_owned())).at(node.head(), false)
            }
            (_, _, Some([one]), _) if single => {
                let written = self.scope.sources.map_or("", |s| s.slice(one.span));
                let help = format!("leave the brackets out: `{written}`");
                wrong("not-one-value", Some(help)).at(node.span, false)
            }
            (_, _, Some(_), _) if single => {
                wrong("not-one-value", Some("keep one of them, without brackets".to_owned())).at(node.span, false)
            }
            _ => wrong("wrong-type", sample.map(|sample| format!("write it like `{sample}`")).or_else(|| Some(format!("write {wanted}"))))
                .at(node.head(), false),
        };
        self.findings.push(found);
    }
}

fn plain_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(s) => Cow::Borrowed(s),
        other => Cow::Owned(other.to_string()),
    }
}

fn holds_secret(path: &str, meaning: &Meaning) -> bool {
    let inside = |v: &Value| references(v).iter().any(|r| r.starts_with("secrets."));
    path.starts_with("secrets.") || matches!(meaning, Meaning::Value(v) if inside(v))
}

fn goes_with(kind: &Type, node: &Node<'_>) -> bool {
    match kind {
        Type::List(_) => node.list().is_some(),
        Type::Map(_) | Type::ById(_) | Type::ByName(_) | Type::Record(_) | Type::Call | Type::Matchers | Type::With | Type::Connect => {
            node.map().is_some()
        }
        Type::Any | Type::AnySecret | Type::Matcher => true,
        Type::Either(kinds) => kinds.iter().any(|k| goes_with(k, node)),
        _ => node.scalar().is_some(),
    }
}
