//! What an executable of the plan's repository says about itself, as it stands in `PATH.action.yaml` beside it: its
//! fields, its outputs, its effect, its sentence, and what a person types instead. It does not start the executable.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::template::plain;
use super::{Action, Effect, Field, Manual, Output, Type, UndoKind, executable, inside, shell, units, words};

/// The version of the protocol and of this shape.
pub const VERSION: u32 = 1;
/// A longer description is none.
const LONGEST: usize = 64 << 10;
/// A longer sentence is none.
const SENTENCE: usize = 200;

/// An executable with its description, as a step carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// Where it is, relative to the plan's directory, without `./`.
    pub path: String,
    /// What it says about itself.
    pub says: Description,
}

/// What an executable says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The version of this shape: 1.
    pub drplan: u32,
    /// What it does: one imperative sentence without a full stop; `{field}` stands for a field's value.
    pub sentence: String,
    /// What must be seen afterwards, in words that follow "see that".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// What a repetition would mean.
    pub effect: Effect,
    /// Whether it can take back what it did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// How long after its time limit something of it may still land.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<String>,
    /// Fields of `with`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Given>,
    /// What it finds out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Found>,
    /// What a person types instead.
    pub commands: Vec<Typed>,
    /// What a person types to take it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo_commands: Vec<Typed>,
    /// Fields with which `drplan action test` may really do it; `{dir}` stands for an empty directory.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub sample: Map<String, Value>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum Kind {
    Text,
    Secret,
    Int,
    Bool,
    Duration,
    Size,
    Time,
    Url,
    List,
    Any,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// It must be given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// What it is if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Meaning and unit.
    pub doc: String,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Meaning and unit.
    pub doc: String,
}

/// A command that a person types; `{field}` stands for a field's value, as part of one word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// What it does, one line.
    pub what: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables in front of it: the place of secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// What must be seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expect: String,
}

/// Under this key, which no field can have, the fields of a call carry the description of its executable.
pub const KEY: &str = "./";

impl Described {
    /// That of a call, if it is one of an executable.
    pub fn of(with: &Map<String, Value>) -> Option<Described> {
        serde_json::from_value(with.get(KEY)?.clone()).ok()
    }
}

/// The file that holds the description of an executable.
pub fn beside(path: &str) -> String {
    format!("{path}.action.yaml")
}

/// The executable at `./PATH` with what the file beside it says, and the action that it is. An error says in words why the
/// description cannot be used.
pub fn described(uses: &str, text: &[u8]) -> Result<(Described, &'static Action), String> {
    let path = inside::plain(uses)?;
    if text.len() > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    let says = read(text)?;
    let described = Described { path: path.to_owned(), says };
    let action = action(uses, &described);
    Ok((described, action))
}

/// A description, if it can be used.
pub fn read(text: &[u8]) -> Result<Description, String> {
    let whole = std::str::from_utf8(text).map_err(|e| e.to_string())?;
    // What a plan fills in stands in the plan.
    if whole.contains("${") {
        return Err("it holds a `${`: a field is written `{field}`".to_owned());
    }
    let says: Description = serde_yaml::from_str(whole).map_err(|e| e.to_string())?;
    says.check()?;
    Ok(says)
}

/// Actions of descriptions are few and live as long as the program, as those of the table do: each is made once.
static KNOWN: Mutex<BTreeMap<String, &'static Action>> = Mutex::new(BTreeMap::new());

fn action(uses: &str, of: &Described) -> &'static Action {
    let key = format!("{uses}\n{}", serde_json::to_string(of).unwrap_or_default());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(action) = known.get(&key) {
        return action;
    }
    let kept = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let fields: Vec<Field> = of.says.fields.iter().map(|(name, g)| field(kept(name), g, &kept)).collect();
    let outputs: Vec<Output> = of.says.outputs.iter().map(|(name, f)| Output::new(kept(name), f.kind.shape(), kept(&f.doc))).collect();
    let settles = of.says.settles.as_deref().and_then(|text| units::duration_ms(text).ok());
    let made: &'static Action = Box::leak(Box::new(Action {
        name: kept(uses),
        fields: Vec::leak(fields),
        outputs: Vec::leak(outputs),
        effect: of.says.effect,
        undo: match (of.says.effect, of.says.undo) {
            (Effect::Read, _) => UndoKind::Unneeded,
            (_, true) => UndoKind::Auto,
            (_, false) => UndoKind::ByPlan,
        },
        settles_ms: settles.unwrap_or(executable::EVERY.settles_ms),
        ..executable::EVERY
    }));
    known.insert(key, made);
    made
}

fn field(name: &'static str, given: &Given, kept: &dyn Fn(&str) -> &'static str) -> Field {
    let default = given.default.as_ref().map(|value| kept(&plain(value)));
    Field { name, kind: given.kind.shape(), required: given.required, default, doc: kept(&given.doc) }
}

impl Kind {
    fn shape(self) -> Type {
        match self {
            Kind::Text => Type::Text,
            Kind::Secret => Type::Secret,
            Kind::Int => Type::Int,
            Kind::Bool => Type::Bool,
            Kind::Duration => Type::Duration,
            Kind::Size => Type::Size,
            Kind::Time => Type::Time,
            Kind::Url => Type::Url,
            Kind::List => Type::List(&Type::Text),
            Kind::Any => Type::Any,
        }
    }

    /// Whether a value that an executable gave is one of these.
    pub fn fits(self, value: &Value) -> bool {
        let text = |good: fn(&str) -> bool| value.as_str().is_some_and(good);
        match self {
            Kind::Text | Kind::Secret | Kind::Url => value.is_string(),
            Kind::Int => value.is_i64() || value.is_u64(),
            Kind::Bool => value.is_boolean(),
            Kind::Duration => text(|t| units::duration_ms(t).is_ok()),
            Kind::Size => text(|t| units::size_bytes(t).is_ok()),
            Kind::Time => text(|t| units::time(t).is_ok()),
            Kind::List => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
            Kind::Any => true,
        }
    }
}

impl Description {
    /// What is wrong with it, if something is.
    fn check(&self) -> Result<(), String> {
        let name = |name: &str| {
            let good = name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if good { Ok(()) } else { Err(format!("`{name}` is not a name: `a` to `z`, digits and `_`")) }
        };
        if self.drplan != VERSION {
            return Err(format!("it is of version {}, and this program knows {VERSION}", self.drplan));
        }
        if self.effect == Effect::Manual {
            return Err("`effect` is `read`, `idempotent`, `verifiable` or `once`".to_owned());
        }
        let line = |what: &str, text: &str| match text.is_empty() || text.len() > SENTENCE || text.contains(char::is_control) {
            true => Err(format!("`{what}` is one line of at most {SENTENCE} bytes")),
            false => Ok(()),
        };
        line("sentence", &self.sentence)?;
        self.fields.keys().chain(self.outputs.keys()).try_for_each(|n| name(n))?;
        if let Some((name, _)) = self.outputs.iter().find(|(_, f)| matches!(f.kind, Kind::Secret | Kind::List)) {
            return Err(format!("output `{name}` can be no secret and no list"));
        }
        if let Some(text) = self.settles.as_deref().filter(|t| units::duration_ms(t).is_err()) {
            return Err(format!("`settles` is no duration: {text}"));
        }
        if self.commands.is_empty() {
            return Err("`commands` must say what a person types instead".to_owned());
        }
        if self.undo && self.undo_commands.is_empty() {
            return Err("`undo_commands` must say what a person types to take it back".to_owned());
        }
        let secret = |text: &str| self.fields.iter().find(|(n, g)| g.kind == Kind::Secret && text.contains(&format!("{{{n}}}")));
        let open = self.commands.iter().chain(&self.undo_commands);
        let said = open.clone().flat_map(|t| t.argv.iter().chain([&t.what, &t.expect])).chain([&self.sentence, &self.seen]);
        if let Some((name, _)) = said.into_iter().find_map(|text| secret(text)) {
            return Err(format!("the secret `{name}` may stand only in `env` and `stdin` of a command"));
        }
        for typed in open {
            line("what", &typed.what)?;
            if typed.argv.first().is_none_or(String::is_empty) {
                return Err(format!("the command \"{}\" has no `argv`", typed.what));
            }
            let variable =
                |n: &str| n.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || i > 0 && b.is_ascii_digit());
            if let Some(bad) = typed.env.keys().find(|n| n.is_empty() || !variable(n)) {
                return Err(format!("`{bad}` is not the name of a variable"));
            }
        }
        Ok(())
    }

    /// The fields with what stands for those that are not given.
    pub fn filled(&self, with: &Map<String, Value>) -> Map<String, Value> {
        let own = |(name, value): &(&String, &Value)| self.fields.contains_key(*name) && !value.is_null();
        let mut out: Map<String, Value> = with.iter().filter(own).map(|(k, v)| (k.clone(), v.clone())).collect();
        for (name, given) in &self.fields {
            if let Some(default) = given.default.as_ref().filter(|_| !out.contains_key(name)) {
                out.insert(name.clone(), default.clone());
            }
        }
        out
    }

    /// A text of it for people, each field as code.
    pub fn words(&self, text: &str, with: &Map<String, Value>) -> String {
        let (with, mut out) = (self.filled(with), String::new());
        for piece in pieces(text, &self.fields) {
            match piece {
                Ok(name) => out.push_str(&with.get(name).map_or_else(|| words::code(""), words::value)),
                Err(text) => out.push_str(text),
            }
        }
        out
    }

    /// Commands of it as a person types them.
    pub fn typed(&self, all: &[Typed], with: &Map<String, Value>, changes: bool) -> Vec<Manual> {
        let with = self.filled(with);
        let word = |text: &str| {
            let pieces = pieces(text, &self.fields).into_iter().map(|piece| match piece {
                Ok(name) => with.get(name).map_or_else(String::new, shell::word),
                Err(text) => shell::literal(text),
            });
            let out: String = pieces.collect();
            if out.is_empty() { "''".to_owned() } else { out }
        };
        let one = |typed: &Typed| {
            let env: String = typed.env.iter().map(|(name, value)| format!("{name}={} ", word(value))).collect();
            let program = match typed.argv.first().filter(|p| pieces(p, &self.fields).iter().all(Result::is_err)) {
                Some(first) => shell::program(&Value::String(first.clone())),
                None => format!("''{}", typed.argv.first().map_or_else(String::new, |p| word(p))),
            };
            let rest: String = typed.argv.iter().skip(1).map(|w| format!(" {}", word(w))).collect();
            let line = format!("{env}{program}{rest}");
            Manual {
                what: typed.what.clone(),
                script: typed.stdin.as_ref().map_or(line.clone(), |text| format!("printf '%s' {} | {line}", word(text))),
                changes,
                expect: if typed.expect.is_empty() { "it ends with 0 (`echo $?`)".to_owned() } else { typed.expect.clone() },
            }
        };
        all.iter().map(one).collect()
    }
}

/// A text cut at its `{field}`: the name of a field, or (as an error) a text as it stands.
fn pieces<'t, V>(text: &'t str, fields: &BTreeMap<String, V>) -> Vec<Result<&'t str, &'t str>> {
    let (mut out, mut rest, mut from) = (Vec::new(), text, 0);
    while let Some(open) = rest[from..].find('{').map(|i| i + from) {
        let name = rest[open + 1..].find('}').map(|end| &rest[open + 1..open + 1 + end]);
        let Some(name) = name.filter(|n| fields.contains_key(*n)) else {
            from = open + 1;
            continue;
        };
        if open > 0 {
            out.push(Err(&rest[..open]));
        }
        out.push(Ok(name));
        (rest, from) = (&rest[open + name.len() + 2..], 0);
    }
    if !rest.is_empty() {
        out.push(Err(rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "drplan: 1\nsentence: Turn {name} {x}\neffect: verifiable\nfields:\n  name: { type: text, required: true, doc: which }\n  \
                        key: { type: secret, doc: key }\n  n: { type: int, default: 3, doc: how many }\n\
                        commands:\n- { what: Turn it, argv: [turn, \"--name={name}\", \"{n}\"], env: { KEY: \"{key}\" } }\n";

    #[test]
    fn what_a_person_types_holds_every_value_as_one_word() {
        let (described, action) = described("./tools/turn", GOOD.as_bytes()).unwrap();
        let with: Map<String, Value> = serde_json::from_str(r#"{ "name": "it's; touch pwned", "key": "${secrets.k}" }"#).unwrap();
        let says = &described.says;
        assert_eq!(says.words(&says.sentence, &with), "Turn `it's; touch pwned` {x}");
        let typed = says.typed(&says.commands, &with, true);
        assert_eq!(typed[0].script, "KEY=\"$SECRET_K\" turn --name='it'\\''s; touch pwned' 3");
        assert_eq!((action.fields.len(), action.effect, action.undo), (3, Effect::Verifiable, UndoKind::ByPlan));
        let again = super::described("./tools/turn", GOOD.as_bytes()).unwrap().1;
        assert!(std::ptr::eq(action, again), "one description is one action");
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let change = |from: &str, to: &str| super::described("./x", GOOD.replace(from, to).as_bytes()).unwrap_err();
        for (from, to, why) in [
            ("drplan: 1", "drplan: 2", "version 2"),
            ("verifiable", "manual", "`effect` is"),
            ("verifiable", "sometimes", "unknown variant"),
            ("Turn {name}", "Turn {key}", "the secret `key` may stand only"),
            ("\"{n}\"", "\"{key}\"", "the secret `key` may stand only"),
            ("  name:", "  Name:", "`Name` is not a name"),
            ("argv: [turn,", "argv: [\"\",", "has no `argv`"),
            ("KEY:", "\"K Y\":", "not the name of a variable"),
            ("commands:", "commands: []\nundo_commands:", "`commands` must say"),
            ("effect:", "undo: true\neffect:", "`undo_commands` must say"),
            ("effect:", "settles: long\neffect:", "no duration"),
            ("effect:", "surprise: 1\neffect:", "unknown field"),
        ] {
            let said = change(from, to);
            assert!(said.contains(why), "{to}: {said}");
        }
        assert!(super::described("../x", GOOD.as_bytes()).unwrap_err().contains("`..`"));
    }
}
