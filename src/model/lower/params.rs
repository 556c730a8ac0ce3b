//! The section `params`, with the values that were given or are the default.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Given, entries, read};
use crate::actions::{Type, matcher, template, units};
use crate::diagnostic::{Diagnostic, Label, nearest};
use crate::model::scope::{Scope, Spot, list};
use crate::model::shapes::Shapes;
use crate::model::vocabulary as words;
use crate::model::{PARAM_LONGEST, Param, ParamKind};
use crate::source::{Sources, Span};
use crate::syntax::Node;

const BAD_DEFAULT: &str = "bad-default";
const BAD_PARAM: &str = "bad-param";

/// Reads the section; every given value must belong to a parameter.
pub fn params(section: Option<&Node<'_>>, given: &Given, sources: &Sources, findings: &mut Vec<Diagnostic>) -> BTreeMap<String, Param> {
    let scope = Scope { sources: Some(sources), early: true, ..Scope::default() };
    if let Some(node) = section {
        let mut shapes = Shapes::new(&scope, Spot::Plan, findings);
        shapes.value("params", node, &Type::ByName(&Type::Record(words::PARAM)));
    }
    let mut all = BTreeMap::new();
    for entry in entries(section) {
        let node = &entry.value;
        let kind = read::word(node, "type").unwrap_or(ParamKind::String);
        let title = node.get("title").and_then(read::raw);
        let (mut value, mut by_hand) = (None, false);
        if let Some(default) = node.get("default") {
            let before = findings.len();
            Shapes::new(&scope, Spot::Plan, findings).value("default", default, &type_of(kind));
            // What has no name of its own is that the two do not fit.
            for found in findings[before..].iter_mut().filter(|f| f.rule == "wrong-type") {
                found.rule = BAD_DEFAULT;
                found.labels.extend(node.get("type").map(|t| Label { span: t.span, text: "by its type".to_owned() }));
            }
            if findings.len() == before {
                value = Some(scope.json(default, Spot::Plan)).filter(|v| !v.is_null());
                fits(BAD_DEFAULT, entry.key, value.as_ref(), node, default.span, findings);
            }
        }
        if let Some((text, at)) = given.get(entry.key) {
            match unusable(text).map_or_else(|| parse(text, kind), |_| Ok(Value::String(text.clone()))) {
                Ok(parsed) => {
                    fits(BAD_PARAM, entry.key, Some(&parsed), node, *at, findings);
                    value = Some(parsed);
                    by_hand = true;
                }
                Err(help) => {
                    let found = Diagnostic::deny(BAD_PARAM, format!("`{text}` does not fit parameter `{}`", entry.key), *at, "given here");
                    findings.push(found.also(entry.at, "declared here").help(help));
                }
            }
        }
        all.insert(entry.key.to_string(), Param { kind, title, value, given: by_hand });
    }
    for (name, (_, at)) in given.iter().filter(|(name, _)| !all.contains_key(*name)) {
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        let found = Diagnostic::deny(BAD_PARAM, format!("the plan has no parameter `{name}`"), *at, "given here");
        findings.push(match nearest(name, names.iter().copied()) {
            Some(near) => found.help(format!("write `-p {near}=…`")),
            None if names.is_empty() => found.help("leave it out: the plan has no parameters"),
            None => found.help(format!("the plan's parameters: {}", list(&names))),
        });
    }
    all
}

fn type_of(kind: ParamKind) -> Type {
    match kind {
        ParamKind::String => Type::Text,
        ParamKind::Int => Type::Int,
        ParamKind::Bool => Type::Bool,
        ParamKind::Duration => Type::Duration,
        ParamKind::Size => Type::Size,
        ParamKind::Time => Type::Time,
        ParamKind::Url => Type::Url,
    }
}

/// A value from the command line; the error says what to type.
fn parse(text: &str, kind: ParamKind) -> Result<Value, String> {
    let same = || Value::String(text.to_owned());
    match kind {
        ParamKind::String => Ok(same()),
        ParamKind::Int => text.parse::<i64>().map(Value::from).map_err(|_| "give a whole number".to_owned()),
        ParamKind::Bool => text.parse::<bool>().map(Value::from).map_err(|_| "give `true` or `false`".to_owned()),
        ParamKind::Duration => units::duration_ms(text).map(|_| same()).map_err(|p| p.help),
        ParamKind::Size => units::size_bytes(text).map(|_| same()).map_err(|p| p.help),
        ParamKind::Time => units::time(text).map(|_| same()).map_err(|p| p.help),
        ParamKind::Url if text.contains("://") => Ok(same()),
        ParamKind::Url => Err(format!("begin it with its scheme: `https://{text}`")),
    }
}

/// Why nothing can be done with a value, whatever it is for.
fn unusable(text: &str) -> Option<(String, &'static str)> {
    if text.len() > PARAM_LONGEST {
        return Some((format!("has {} bytes, a value has at most {PARAM_LONGEST}", text.len()), "give the name of a file that holds it"));
    }
    text.contains('\0').then(|| ("holds a NUL".to_owned(), "leave it out: no program, server or file name takes one"))
}

/// A value against `pattern` and `enum`.
fn fits(rule: &'static str, name: &str, value: Option<&Value>, node: &Node<'_>, at: Span, findings: &mut Vec<Diagnostic>) {
    let Some(value) = value else { return };
    let text = template::plain(value);
    let wrong = |headline: String, label: &str, help: String| Diagnostic::deny(rule, headline, at, label).help(help);
    if let Some((what, help)) = unusable(&text) {
        findings.push(wrong(format!("parameter `{name}` {what}"), "given here", help.to_owned()));
        return;
    }
    let headline = || format!("`{text}` does not fit parameter `{name}`");
    let give = if rule == BAD_DEFAULT { "write a default" } else { "give a text" };
    if let Some(pattern) = node.get("pattern")
        && let Some(Ok(regex)) = pattern.scalar().map(|s| regex::Regex::new(s.text))
        && !regex.is_match(&text)
    {
        let help = format!("{give} that matches `{}`", pattern.scalar().map_or("", |s| s.text));
        findings.push(wrong(headline(), "does not match the pattern", help).also(pattern.span, "the pattern"));
    }
    if let Some(allowed) = node.get("enum").and_then(Node::list) {
        let scope = Scope::default();
        let values: Vec<Value> = allowed.iter().map(|n| scope.json(n, Spot::Plan)).collect();
        if !values.iter().any(|v| matcher::fits(v, Some(value)) || template::plain(v) == text) {
            let names: Vec<String> = values.iter().map(template::plain).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = wrong(headline(), "not one of `enum`", format!("{give}: one of {}", list(&names)));
            findings.push(match node.entry("enum") {
                Some(entry) => found.also(entry.at, "the values that may be given"),
                None => found,
            });
        }
    }
}
