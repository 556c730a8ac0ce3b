//! What a `${…}` stands for while a plan is read: a value that is known now, or one that only a run can know. It does
//! not check where it stands.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use serde_json::Value;

use super::Param;
use super::each::address;
use crate::actions::described::Described;
use crate::actions::template::{Part, marked, parts, plain, references};
use crate::actions::{self, Action};
use crate::diagnostic::{Diagnostic, Near, nearest};
use crate::source::{Sources, Span};
use crate::syntax::{Core, Entry, Node};

/// Every name that a reference may begin with, as a help.
pub const FORMS: &str = "a reference is `params.X`, `secrets.X`, `sites.X.title`, `assets.X.connect.K`, `steps.X.K`, \
                         `assets.X.recovered_at`, `run.id`, `run.started_at` or `run.mode`";

/// After so many mistakes of a kind the rest are said without what may be meant.
pub const MANY: usize = 200;

/// Names that are known while one plan is read.
#[derive(Debug, Default)]
pub struct Scope<'t> {
    /// The texts that are read.
    pub sources: Option<&'t Sources>,
    /// Parameters with their values.
    pub params: BTreeMap<String, Param>,
    /// Names of secrets.
    pub secrets: BTreeSet<&'t str>,
    /// The section `params`.
    pub declared: Option<&'t Node<'t>>,
    /// The section `sites`.
    pub sites: Option<&'t Node<'t>>,
    /// The section `assets`.
    pub assets: Option<&'t Node<'t>>,
    /// The section `scenarios`.
    pub scenarios: Option<&'t Node<'t>>,
    /// Parameters are being read: nothing is known yet.
    pub early: bool,
    /// How many names were unknown: after many nobody needs the nearest one of all.
    pub strangers: Cell<usize>,
    /// The scenario of each step, once it was asked for.
    pub elsewhere: OnceCell<HashMap<&'t str, &'t str>>,
    /// Executables of the plan's repository that it uses, each with its description, or with what is wrong with that.
    pub executables: Executables,
    /// Ids of all lists: what may stand between brackets.
    pub listed: BTreeSet<&'t str>,
}

/// Executables by how `uses` names them.
pub type Executables = BTreeMap<String, Result<(Described, &'static Action), String>>;

impl Scope<'_> {
    /// The action of a name, as it is known here.
    pub fn action(&self, name: &str) -> Option<&'static Action> {
        match self.executables.get(name) {
            Some(found) => found.as_ref().ok().map(|(_, action)| *action),
            None => actions::find(name),
        }
    }
}

/// The steps of the scenario that is read, by name.
pub type Steps<'t> = HashMap<&'t str, StepHead<'t>>;

/// What must be known of a step before it is read.
#[derive(Clone, Copy)]
pub struct StepHead<'t> {
    /// Its action; none: not known, so any output may be right.
    pub action: Option<&'static Action>,
    /// The step as it is written.
    pub node: &'t Node<'t>,
}

impl<'t> StepHead<'t> {
    /// Its outputs: those of its action, and those that the step itself declares or lets a person record.
    pub fn outputs(&self) -> Option<Vec<&'t str>> {
        let action = self.action?;
        let keys = |node: Option<&'t Node<'t>>| node.and_then(Node::map).unwrap_or(&[]).iter().map(|e| e.key);
        let recorded = self.node.get("with").and_then(|w| w.get("record")).filter(|_| action.name == "manual");
        Some(action.outputs.iter().map(|o| o.name).chain(keys(self.node.get("outputs"))).chain(keys(recorded)).collect())
    }
}

/// Where a reference stands.
#[derive(Clone, Copy)]
pub enum Spot<'c> {
    /// A text of the plan itself.
    Plan,
    /// The `connect` of an asset.
    Connect,
    /// A field of an action in a step.
    Step {
        /// The step's own name.
        own: &'c str,
        /// All steps of the scenario.
        steps: &'c Steps<'c>,
    },
}

/// What a reference stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// This value; texts in it with `$${` for `${`.
    Value(Value),
    /// A value that only a run knows, or a parameter that was not given.
    Later,
    /// An output of a step that must run before.
    Output(String, String),
    /// When an asset was back, which a run knows once all its steps are done.
    Recovered(String),
}

/// Why a reference stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The rule.
    pub rule: &'static str,
    /// Headline.
    pub what: String,
    /// What is wrong here.
    pub label: String,
    /// What to type.
    pub help: String,
    /// The path to write instead, where only one can be meant.
    pub instead: Option<String>,
}

impl Unknown {
    /// The finding, where the reference stands.
    pub fn at(&self, place: Span) -> Diagnostic {
        Diagnostic::deny(self.rule, &self.what, place, &self.label).help(&self.help)
    }
}

impl<'t> Scope<'t> {
    /// What a path stands for at a spot. Whether a secret may stand there is the caller's question.
    pub fn meaning(&self, path: &str, spot: Spot<'_>) -> Result<Meaning, Unknown> {
        let words: Vec<&str> = path.split('.').collect();
        let foreign = |c: &char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-' | '[' | ']' | ' ');
        if let Some(sign) = path.chars().find(foreign) {
            return Err(computed(path, sign));
        }
        if self.early && ROOTS.contains(&words[0]) {
            return Err(misplaced(path, "a default is a value by itself", "write the value"));
        }
        match words.as_slice() {
            ["params", name] => match self.params.get(*name) {
                Some(Param { value: Some(value), .. }) => Ok(Meaning::Value(escaped(value))),
                Some(_) => Ok(Meaning::Later),
                None => Err(self.unknown("parameter", path, name, self.params.keys().map(String::as_str), "params")),
            },
            ["secrets", name] if self.secrets.contains(name) => Ok(Meaning::Later),
            ["secrets", name] => Err(self.unknown("secret", path, name, self.secrets.iter().copied(), "secrets")),
            ["sites", name, "title"] => self.site_title(path, name),
            ["assets", name, "connect", key] => match spot {
                Spot::Connect => Err(misplaced(path, "one asset's `connect` cannot be made of another's", "use a parameter for both")),
                _ => self.connect(path, name, key, spot),
            },
            ["assets", name, "recovered_at"] => match spot {
                Spot::Step { .. } if self.assets.is_some_and(|a| a.get(name).is_some()) => Ok(Meaning::Recovered((*name).to_owned())),
                Spot::Step { .. } => {
                    let names = self.assets.and_then(Node::map).unwrap_or(&[]).iter().map(|e| e.key);
                    Err(self.unknown("asset", path, name, names, "assets"))
                }
                _ => Err(misplaced(path, "when an asset is back is known only in a step", "leave it out here")),
            },
            ["steps", step, output] => match spot {
                Spot::Step { own, steps } => self.step_output(path, step, output, own, steps),
                _ => Err(misplaced(
                    path,
                    "an output of a step is known only in `with`, `check`, `undo` and `when`",
                    "write what is known before the run, or a parameter",
                )),
            },
            ["each", ..] => {
                Err(misplaced(path, "nothing here is written for each id of a list", "add `for_each: LIST` to the step or the asset"))
            }
            ["run", "id" | "started_at" | "mode"] => match spot {
                Spot::Step { .. } => Ok(Meaning::Later),
                _ => Err(misplaced(path, "a run is known only in `with`", "leave it out here")),
            },
            ["steps", _] => Err(Unknown {
                rule: "bad-reference",
                what: format!("`{path}` names no output"),
                label: "a step by itself is no value".to_owned(),
                help: format!("write `${{{path}.OUTPUT}}`"),
                instead: None,
            }),
            _ => Err(no_reference(path, &words)),
        }
    }

    /// A text with every known value in it; the rest stays `${…}`, and `$${` stays as it is.
    pub fn fill(&self, text: &str, spot: Spot<'_>) -> Value {
        if !marked(text) {
            return Value::String(text.to_owned());
        }
        let pieces = parts(text);
        if let [(_, Part::Ref(path))] = pieces.as_slice()
            && let Ok(Meaning::Value(value)) = self.meaning(path, spot)
        {
            return value;
        }
        let mut out = String::new();
        for (_, piece) in pieces {
            match piece {
                Part::Text(text) => out.push_str(&text.replace("${", "$${")),
                Part::Unclosed(text) => out.push_str(text),
                Part::Ref(path) => match self.meaning(path, spot) {
                    Ok(Meaning::Value(value)) => out.push_str(&plain(&value)),
                    _ => out.push_str(&format!("${{{path}}}")),
                },
            }
        }
        Value::String(out)
    }

    /// A text for people: filled, `$${` read as `${`.
    pub fn words(&self, text: &str) -> String {
        plain(&crate::actions::template::fill(&self.fill(text, Spot::Plan), &|_| None))
    }

    /// A node as JSON: filled, scalars by the core schema.
    pub fn json(&self, node: &Node<'_>, spot: Spot<'_>) -> Value {
        if let Some(items) = node.list() {
            return Value::Array(items.iter().map(|n| self.json(n, spot)).collect());
        }
        if let Some(entries) = node.map() {
            return Value::Object(entries.iter().map(|e| (e.key.to_string(), self.json(&e.value, spot))).collect());
        }
        let Some(scalar) = node.scalar() else { return Value::Null };
        match scalar.core() {
            Core::Null => Value::Null,
            Core::Bool(b) => Value::Bool(b),
            Core::Int(i) => Value::from(i),
            Core::Float(f) => Value::from(f),
            Core::Text => self.fill(scalar.text, spot),
        }
    }

    fn site_title(&self, path: &str, name: &str) -> Result<Meaning, Unknown> {
        let names = self.sites.and_then(Node::map).unwrap_or(&[]).iter().map(|e| e.key);
        let Some(site) = self.sites.and_then(|s| s.get(name)) else {
            return Err(self.unknown("site", path, name, names, "sites"));
        };
        let title = site.get("title").and_then(Node::scalar).map_or(name, |s| s.text);
        Ok(Meaning::Value(self.fill(title, Spot::Connect)))
    }

    fn step_output(&self, path: &str, step: &str, output: &str, own: &str, steps: &Steps<'_>) -> Result<Meaning, Unknown> {
        let Some(head) = steps.get(step) else {
            let few = self.strangers.get() < MANY;
            let mut made: Vec<&str> = steps.keys().copied().filter(|name| few && address(name).0 == step).collect();
            made.sort_unstable();
            if let [first, ..] = made.as_slice() {
                return Err(Unknown {
                    rule: "ambiguous-name",
                    what: format!("`{step}` stands for {} steps", made.len()),
                    label: "a value comes from one step".to_owned(),
                    help: format!("write `${{steps.{first}.{output}}}`, or another one"),
                    instead: None,
                });
            }
            if let Some(scenario) = self.scenario_with(step) {
                return Err(Unknown {
                    rule: "foreign-output",
                    what: format!("`{step}` is a step of scenario `{scenario}`"),
                    label: "a run knows the steps of its own scenario alone".to_owned(),
                    help: format!("do in this scenario what finds `{output}` out, or use a parameter"),
                    instead: None,
                });
            }
            return Err(self.unknown("step", path, step, steps.keys().copied(), "this scenario"));
        };
        if step == own {
            return Err(Unknown {
                rule: "own-output",
                what: format!("`{step}` uses its own output"),
                label: "it is known only when the step is done".to_owned(),
                help: "use the output of a step before it".to_owned(),
                instead: None,
            });
        }
        match head.outputs() {
            Some(known) if !known.contains(&output) => {
                let found = self.unknown("output", path, output, known.iter().copied(), &format!("the outputs of `{step}`"));
                Err(if known.is_empty() { Unknown { help: format!("`{step}` has no outputs"), ..found } } else { found })
            }
            _ => Ok(Meaning::Output(step.to_owned(), output.to_owned())),
        }
    }

    fn unknown<'n>(&self, what: &str, path: &str, name: &str, known: impl Iterator<Item = &'n str> + Clone, section: &str) -> Unknown {
        let before = self.strangers.replace(self.strangers.get() + 1);
        if before < MANY { unknown(what, path, name, known, section) } else { unknown(what, path, name, known.take(0), section) }
    }

    /// The scenario that has a step of a name.
    pub fn scenario_with(&self, step: &str) -> Option<&'t str> {
        let scenarios = self.scenarios.and_then(Node::map)?;
        let steps = self.elsewhere.get_or_init(|| {
            let steps = |e: &'t Entry<'t>| {
                let steps = e.value.get("steps").and_then(Node::list).unwrap_or(&[]);
                steps.iter().filter_map(|step| Some((step.get("id")?.scalar()?.text, e.key)))
            };
            scenarios.iter().flat_map(steps).collect()
        });
        steps.get(step).copied()
    }

    fn connect(&self, path: &str, name: &str, key: &str, spot: Spot<'_>) -> Result<Meaning, Unknown> {
        let names = self.assets.and_then(Node::map).unwrap_or(&[]).iter().map(|e| e.key);
        let Some(asset) = self.assets.and_then(|s| s.get(name)) else {
            return Err(self.unknown("asset", path, name, names, "assets"));
        };
        let connect = asset.get("connect");
        let Some(node) = connect.and_then(|c| c.get(key)) else {
            let keys = connect.and_then(Node::map).unwrap_or(&[]).iter().map(|e| e.key);
            return Err(self.unknown("key", path, key, keys, &format!("the `connect` of `{name}`")));
        };
        let value = self.json(node, Spot::Connect);
        let secret = references(&value).iter().any(|r| r.starts_with("secrets."));
        match (secret, spot) {
            (true, Spot::Plan) => Err(Unknown { rule: "misplaced-secret", ..misplaced(path, "it holds a secret", "leave it out here") }),
            _ => Ok(Meaning::Value(value)),
        }
    }
}

fn unknown<'n>(what: &str, path: &str, name: &str, known: impl Iterator<Item = &'n str> + Clone, section: &str) -> Unknown {
    let mut all: Vec<&str> = known.clone().collect();
    all.sort_unstable();
    let near = nearest(name, known);
    let path_with = |near: Near<'_>| replace_word(path, name, near.word);
    let instead = near.filter(|near| near.sure).map(path_with);
    let help = match near {
        Some(near) => format!("write `{}`", path_with(near)),
        None if all.is_empty() && section == "params" && !path.is_empty() => format!("declare it: `params: {{ {name}: {{ title: … }} }}`"),
        None if all.is_empty() && section == "secrets" => format!("declare it: `secrets: {{ {name}: {{ env: NAME }} }}`"),
        None if all.is_empty() => format!("nothing stands in {section}; declare it there"),
        None => format!("known in {section}: {}", list(&all)),
    };
    Unknown {
        rule: "unknown-reference",
        what: format!("no {what} `{name}`"),
        label: format!("`{name}` is not in {section}"),
        help,
        instead,
    }
}

/// At most a dozen names.
pub fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(12).map(|n| format!("`{n}`")).collect();
    let more = names.len().saturating_sub(12);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn replace_word(path: &str, name: &str, near: &str) -> String {
    path.split('.').map(|w| if w == name { near } else { w }).collect::<Vec<_>>().join(".")
}

/// With what a reference begins.
const ROOTS: &[&str] = &["params", "secrets", "sites", "assets", "steps", "run", "each"];

/// An expression where a path should be.
fn computed(path: &str, sign: char) -> Unknown {
    let part = |word: &&str| ROOTS.iter().any(|root| word.strip_prefix(root).is_some_and(|rest| rest.starts_with('.')));
    let inside =
        path.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')).map(|w| w.trim_matches(['.', '-'])).find(part);
    Unknown {
        rule: "reference-operator",
        what: format!("`{path}` is more than a path"),
        label: format!("`{sign}` cannot stand in a reference: there are no operators and no functions"),
        help: match inside {
            Some(inside) if inside.starts_with("params.") && matches!(sign, '|' | ':' | '?') => {
                format!("write `${{{inside}}}`; what it is if nothing is given stands in the parameter's `default`")
            }
            Some(inside) => format!("write `${{{inside}}}`"),
            None => FORMS.to_owned(),
        },
        instead: None,
    }
}

/// A path that begins with nothing known, or ends too early or too late.
fn no_reference(path: &str, words: &[&str]) -> Unknown {
    let near = nearest(words[0], ROOTS.iter().copied()).filter(|near| near.word != words[0] && words.len() > 1);
    let variable = words[0] == "env" || path.len() > 1 && path.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let name = words.last().unwrap_or(&"NAME");
    Unknown {
        rule: "bad-reference",
        what: if path.is_empty() { "an empty reference".to_owned() } else { format!("`{path}` is not a reference") },
        label: if variable { "environment variables are not read here".to_owned() } else { "nothing is known by this path".to_owned() },
        help: match near {
            Some(near) => format!("write `${{{}}}`", replace_word(path, words[0], near.word)),
            None if variable => format!("declare a parameter, or a secret with `env: {name}`; for a plain `${{` write `$${{`"),
            None => FORMS.to_owned(),
        },
        instead: None,
    }
}

fn misplaced(path: &str, label: &str, help: &str) -> Unknown {
    Unknown {
        rule: "misplaced-reference",
        what: format!("`{path}` cannot stand here"),
        label: label.to_owned(),
        help: help.to_owned(),
        instead: None,
    }
}

fn escaped(value: &Value) -> Value {
    match value {
        Value::String(s) => Value::String(s.replace("${", "$${")),
        other => other.clone(),
    }
}
