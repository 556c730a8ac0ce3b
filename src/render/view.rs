//! A checked plan in words: what every document says about a scenario and about a step. Texts are as the plan has
//! them; the format that prints them makes them harmless. It does not know any format.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use serde_json::Value;

use crate::actions::template::{self, Part};
use crate::actions::units::duration_text;
use crate::actions::{self, Action, Effect, Manual, matcher, shell};
use crate::analysis::Checked;
use crate::graph::schedule::{self, Schedule};
use crate::model::{
    ActionUse, Cause, Compiled, Node, OnFailure, ParamKind, Retry, SecretSource, Step, Undo, Wait, WhenUnreachable, target_of,
};

/// The order in which a person works: as written, and where a step waits for one written later, after that one.
pub fn order(checked: &Checked) -> Vec<usize> {
    let graph = checked.graph();
    let mut open: Vec<usize> = graph.before.iter().map(Vec::len).collect();
    // Joins are passed as soon as they can be: they cost nothing and stand for no work.
    let rank = |node: usize| if node < graph.steps { node + 1 } else { 0 };
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> = (0..open.len()).filter(|n| open[*n] == 0).map(|n| Reverse((rank(n), n))).collect();
    let mut out = Vec::with_capacity(graph.steps);
    while let Some(Reverse((_, node))) = ready.pop() {
        if node < graph.steps {
            out.push(node);
        }
        for &next in &graph.after[node] {
            let next = next as usize;
            open[next] -= 1;
            if open[next] == 0 {
                ready.push(Reverse((rank(next), next)));
            }
        }
    }
    out
}

/// The number of each step on the page, by its index in the scenario.
pub fn numbers(order: &[usize]) -> Vec<usize> {
    let mut out = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, &step)| out[step] = i + 1);
    out
}

/// Steps of the longest way through the run: what shortens one of them shortens the run.
pub fn critical(checked: &Checked) -> BTreeSet<usize> {
    let takes = schedule::durations(checked.compiled());
    checked.graph().critical_path(&takes).into_iter().map(|i| i as usize).collect()
}

/// When each step is expected to begin and end, in milliseconds from the first.
pub fn expected(checked: &Checked) -> Schedule {
    schedule::schedule(checked.compiled(), checked.graph(), &schedule::durations(checked.compiled()))
}

/// What a step is called: its title, else the action's sentence.
pub fn title(compiled: &Compiled, step: &Step) -> String {
    step.title.as_deref().map_or_else(|| sentence(compiled, step), filled)
}

/// What a step does, in the words of its action.
pub fn sentence(compiled: &Compiled, step: &Step) -> String {
    said(compiled, step, &step.call, |a| a.sentence)
}

/// What a person is told or asked, where the step is a person's work; each `${…}` as the variable that stands for it.
pub fn instruction(step: &Step) -> Option<String> {
    let text = ["do", "ask"].iter().find_map(|field| step.call.with.get(*field)).and_then(Value::as_str);
    text.filter(|_| step.effect == Effect::Manual).map(filled)
}

/// Whom a person must ask, by name; none for a step that asks nobody.
pub fn asked(compiled: &Compiled, step: &Step) -> Option<String> {
    let from = step.call.with.get("from").and_then(Value::as_array).filter(|_| step.effect == Effect::Manual)?;
    let names: Vec<String> = from.iter().filter_map(Value::as_str).map(|id| contact(compiled, id)).collect();
    let count = step.call.with.get("count").and_then(Value::as_u64).unwrap_or(1);
    let of = if count > 1 { format!("{count} different people of ") } else { String::new() };
    Some(format!("{of}{}", names.join(" or ")))
}

/// What must be seen after an action of a step.
pub fn seen(compiled: &Compiled, step: &Step, call: &ActionUse) -> String {
    said(compiled, step, call, |a| a.seen)
}

/// What a person types instead of an action of a step.
pub fn commands(compiled: &Compiled, step: &Step, call: &ActionUse) -> Vec<Manual> {
    manual(compiled, step, call, |a| a.commands)
}

/// What a person types to take a step back; empty if nothing is to be typed.
pub fn undo_commands(compiled: &Compiled, step: &Step) -> Vec<Manual> {
    match &step.undo {
        Undo::Auto => manual(compiled, step, &step.call, |a| a.undo_commands),
        // It has a name of its own: with the step's it would send the step's idempotency key again, and nothing would happen.
        Undo::Use(call) if by_hand(call).is_none() => named(compiled, &format!("{}.undo", step.id), step, call, |a| a.commands),
        Undo::Use(_) | Undo::Unneeded | Undo::None(_) => Vec::new(),
    }
}

/// How a step is taken back, as a sentence; none if it changes nothing.
pub fn undo_words(compiled: &Compiled, step: &Step) -> Option<String> {
    match &step.undo {
        Undo::Unneeded => None,
        Undo::Auto => Some("put back what was before".to_owned()),
        Undo::Use(call) => Some(by_hand(call).map_or_else(|| said(compiled, step, call, |a| a.sentence), filled)),
        Undo::None(reason) => Some(format!("it cannot be undone: {reason}")),
    }
}

/// Everything that a step waits for, each with its reason where a reader needs one: ``step 3 `fence-old` ``,
/// `` `db` is back (steps 4–5), because `api` stands on `db` ``.
pub fn waits(compiled: &Compiled, numbers: &[usize], step: usize) -> Vec<String> {
    compiled.waits.get(step).into_iter().flatten().map(|wait| wait_words(compiled, numbers, wait)).collect()
}

fn wait_words(compiled: &Compiled, numbers: &[usize], wait: &Wait) -> String {
    let (on, plain) = match wait.on {
        Node::Step(i) => {
            let id = compiled.scenario.steps.get(i as usize).map_or("?", |s| s.id.as_str());
            let number = numbers.get(i as usize).copied().unwrap_or_default();
            (format!("step {number} `{id}`"), [format!("`{id}` stands above it"), format!("it needs `{id}`")])
        }
        Node::Join(j) => {
            let what = compiled.joins.get(j as usize).map_or("?", |j| j.what.as_str());
            let on = steps_before(compiled, wait.on).into_iter().filter_map(|i| numbers.get(i).copied()).collect::<BTreeSet<_>>();
            let plural = if on.len() == 1 { "" } else { "s" };
            (format!("{what} (step{plural} {})", ranges(&on)), [format!("{what} come first"), String::new()])
        }
    };
    // That it stands above, or that the plan says so, is what a reader expects.
    if plain.contains(&wait.why) { on } else { format!("{on}, because {}", wait.why) }
}

/// The steps that a node stands for: itself, or those that a join waits for, through other joins too.
pub fn steps_before(compiled: &Compiled, node: Node) -> BTreeSet<usize> {
    let mut out = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match node {
            Node::Step(i) => {
                out.insert(i as usize);
            }
            Node::Join(j) if seen.insert(j) => {
                open.extend(compiled.joins.get(j as usize).into_iter().flat_map(|j| j.waits.iter().map(|w| w.on)));
            }
            Node::Join(_) => {}
        }
    }
    out
}

/// Numbers as a person writes them: `1–3, 5`.
pub fn ranges(numbers: &BTreeSet<usize>) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &n in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let words = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}–{b}") });
    words.collect::<Vec<_>>().join(", ")
}

/// Why a step does not run at all in this compilation.
pub fn left_out(compiled: &Compiled, step: &Step) -> Option<String> {
    if compiled.left_out.contains(&step.id) {
        return Some("left out when this plan was compiled".to_owned());
    }
    let modes: Vec<&str> = step.modes.iter().map(|m| m.into()).collect();
    (!step.modes.contains(&compiled.mode)).then(|| format!("it runs only in mode {}", modes.join(", ")))
}

/// The conditions of a step, in words that follow "only if".
pub fn conditions(compiled: &Compiled, numbers: &[usize], step: &Step) -> Vec<String> {
    let number = |id: &str| compiled.scenario.steps.iter().position(|s| s.id == id).and_then(|i| numbers.get(i)).copied();
    let words = |w: &crate::model::When| {
        format!("`{}` of step {} `{}` {}", w.output, number(&w.step).unwrap_or_default(), w.step, matcher::words(&w.matcher))
    };
    step.when.iter().map(words).collect()
}

/// What to do if the target does not answer, in words; none where that is a failure like any other.
pub fn unreachable(step: &Step) -> Option<&'static str> {
    match step.when_unreachable {
        WhenUnreachable::Fail => None,
        WhenUnreachable::Ask => Some("stop here and let the people named above decide whether to go on without it; write down who decided"),
        WhenUnreachable::Skip if step.effect == Effect::Read => Some("go on without it"),
        WhenUnreachable::Skip => Some("go on without it, as was accepted with the approval"),
    }
}

/// What a failure means, in words; none if people decide then.
pub fn failed(step: &Step) -> Option<&'static str> {
    match step.on_failure {
        OnFailure::Pause => None,
        OnFailure::Continue => Some("go on without it, and write down that it failed"),
        OnFailure::Rollback => Some("go back: take back what was done, the last step first"),
    }
}

/// How often a step may be tried by hand, in words; none if once.
pub fn tries(retry: &Retry) -> Option<String> {
    let delay = duration_text(retry.delay_ms);
    match retry.attempts {
        0 | 1 => None,
        n if retry.factor > 1.0 && retry.max_delay_ms != u64::MAX => {
            Some(format!("up to {n} times, first {delay} apart, then longer, at most {}", duration_text(retry.max_delay_ms)))
        }
        n => Some(format!("up to {n} times, {delay} apart")),
    }
}

/// Whether a person who does not know if a step happened may simply do it again.
pub fn repeat(effect: Effect) -> Option<&'static str> {
    match effect {
        Effect::Once => Some("Do this once only. If you cannot tell whether it happened, ask before you repeat it."),
        Effect::Verifiable => Some("If you cannot tell whether it happened, look first, then repeat it."),
        Effect::Read | Effect::Idempotent | Effect::Manual => None,
    }
}

/// A shell variable of the page, and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What stands behind `=`; none if a person must find it out.
    pub value: Option<String>,
    /// What it is, for a comment.
    pub what: String,
}

/// Every reference that the commands of the page may use and that is known before the first step, as variables. The
/// outputs of steps are noted where they are found.
pub fn variables(compiled: &Compiled) -> Vec<Variable> {
    let mut paths = BTreeSet::new();
    for step in &compiled.scenario.steps {
        for call in calls(step) {
            call.with.values().for_each(|v| paths.extend(template::references(v)));
            if let Some(target) = target_of(&compiled.plan, step, call) {
                target.connect.values().for_each(|v| paths.extend(template::references(v)));
            }
        }
    }
    paths.iter().filter_map(|path| variable(compiled, path)).collect()
}

/// The outputs that steps use, by the step that gives them.
pub fn used(compiled: &Compiled) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for step in &compiled.scenario.steps {
        for path in calls(step).into_iter().flat_map(|c| c.with.values()).flat_map(template::references) {
            if let Some((step, name)) = path.strip_prefix("steps.").and_then(|rest| rest.split_once('.')) {
                out.entry(step.to_owned()).or_default().insert(name.to_owned());
            }
        }
    }
    out
}

/// The outputs of a step that others use, with what they are. `used` is of the whole scenario, see [`used`].
pub fn noted(used: &BTreeMap<String, BTreeSet<String>>, step: &Step) -> Vec<Variable> {
    let prefix = format!("steps.{}.", step.id);
    let names = used.get(&step.id).into_iter().flatten();
    let doc = |name: &str| {
        let of = actions::find(&step.call.uses).and_then(|a| a.outputs.iter().find(|o| o.name == name));
        of.map_or_else(|| format!("`{name}` of this step"), |o| o.doc.to_owned())
    };
    names.map(|n| Variable { name: shell::variable(&format!("{prefix}{n}")), value: None, what: doc(n) }).collect()
}

/// A step's own action, its check and its undo.
fn calls(step: &Step) -> Vec<&ActionUse> {
    let undo = match &step.undo {
        Undo::Use(call) => Some(call),
        _ => None,
    };
    std::iter::once(&step.call).chain(step.check.as_ref()).chain(undo).collect()
}

fn variable(compiled: &Compiled, path: &str) -> Option<Variable> {
    let name = shell::variable(path);
    let (root, rest) = path.split_once('.')?;
    match root {
        "secrets" => {
            let (value, what) = match &compiled.plan.secrets.get(rest)?.source {
                SecretSource::Env(env) if is_variable(env) => {
                    (format!("${{{env}:?is not set}}"), format!("secret {rest}, found in the environment as {env}"))
                }
                SecretSource::Env(env) => {
                    (format!("$(printenv -- {})", shell::literal(env)), format!("secret {rest}, found in the environment as {env}"))
                }
                SecretSource::File(path) => {
                    (format!("$(cat {})", shell::literal(path)), format!("secret {rest}, found in the file {path}"))
                }
                SecretSource::Command(argv) => {
                    let words: Vec<String> = argv.iter().map(|a| shell::literal(a)).collect();
                    (format!("$({})", words.join(" ")), format!("secret {rest}, printed by {}", argv.join(" ")))
                }
            };
            Some(Variable { name, value: Some(format!("\"{value}\"")), what })
        }
        "params" => {
            let param = compiled.plan.params.get(rest)?;
            let title = param.title.as_ref().map(|t| format!(", {t}")).unwrap_or_default();
            let value = param.value.as_ref().map(|v| shell::literal(&template::plain(v)));
            Some(Variable { name, value, what: format!("parameter {rest}, a {}{title}", param_word(param.kind)) })
        }
        "run" => {
            let (value, what) = match rest {
                "started_at" => ("\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"", "when you began"),
                "mode" => (compiled.mode.into(), "the mode"),
                _ => ("by-hand", "the name of this run"),
            };
            Some(Variable { name, value: Some(value.to_owned()), what: what.to_owned() })
        }
        "assets" => Some(Variable { name, value: None, what: format!("{path}: fill it in when you know it") }),
        _ => None,
    }
}

/// Whether a shell can name it.
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A text of the plan for people, with each `${…}` that only a run can tell as the variable that stands for it.
pub fn filled(text: &str) -> String {
    let words = template::parts(text).into_iter().map(|(_, part)| match part {
        Part::Text(t) => t,
        Part::Ref(path) => format!("`${}`", shell::variable(path)),
        Part::Unclosed(t) => t.to_owned(),
    });
    words.collect()
}

/// What a person is told where an action is a person's work.
fn by_hand(call: &ActionUse) -> Option<&str> {
    call.with.get("do").and_then(Value::as_str).filter(|_| call.uses == "manual")
}

fn said(compiled: &Compiled, step: &Step, call: &ActionUse, what: fn(&Action) -> fn(&actions::Call<'_>) -> String) -> String {
    let target = target_of(&compiled.plan, step, call);
    actions::find(&call.uses).map_or_else(|| format!("Run `{}`", call.uses), |a| what(a)(&call.call(&step.id, target.as_ref())))
}

/// How an action says what a person types.
type Typed = fn(&actions::Call<'_>) -> Vec<Manual>;

fn manual(compiled: &Compiled, step: &Step, call: &ActionUse, what: fn(&Action) -> Typed) -> Vec<Manual> {
    named(compiled, &step.id, step, call, what)
}

/// The same, with variables that are called after `name`.
fn named(compiled: &Compiled, name: &str, step: &Step, call: &ActionUse, what: fn(&Action) -> Typed) -> Vec<Manual> {
    let target = target_of(&compiled.plan, step, call);
    actions::find(&call.uses).map(|a| what(a)(&call.call(name, target.as_ref()))).unwrap_or_default()
}

/// A site with its title: ``Ireland (`eu-west-1`)``.
pub fn site(compiled: &Compiled, id: &str) -> String {
    match compiled.plan.sites.get(id).and_then(|s| s.title.as_ref()) {
        Some(title) => format!("{title} (`{id}`)"),
        None => format!("`{id}`"),
    }
}

/// A contact's name.
pub fn contact(compiled: &Compiled, id: &str) -> String {
    compiled.plan.contacts.get(id).and_then(|c| c.title.clone()).unwrap_or_else(|| format!("`{id}`"))
}

/// People whom this scenario needs, with what for: the owner, those who answer for steps, those who approve.
pub fn people(compiled: &Compiled, numbers: &[usize]) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut steps: BTreeMap<(String, &str), BTreeSet<usize>> = BTreeMap::new();
    for (i, step) in compiled.scenario.steps.iter().enumerate() {
        let number = numbers.get(i).copied().unwrap_or_default();
        for from in step.call.with.get("from").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if compiled.plan.contacts.contains_key(from) {
                steps.entry((from.to_owned(), "approves step")).or_default().insert(number);
            }
        }
        if let Some(contact) = step.contact.as_ref().filter(|c| Some(*c) != compiled.plan.owner.as_ref()) {
            steps.entry((contact.clone(), "does step")).or_default().insert(number);
        }
    }
    if let Some(owner) = &compiled.plan.owner {
        out.entry(owner.clone()).or_default().insert("answers for this plan".to_owned());
    }
    for ((contact, verb), on) in steps {
        out.entry(contact).or_default().insert(format!("{verb} {}", ranges(&on)));
    }
    out
}

/// A cause in words.
pub fn cause_words(cause: Cause) -> &'static str {
    match cause {
        Cause::Outage => "an outage",
        Cause::Corruption => "corruption of data",
        Cause::Ransomware => "ransomware",
        Cause::Planned => "planned work",
    }
}

fn param_word(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::String => "text",
        ParamKind::Int => "whole number",
        ParamKind::Bool => "true or false",
        ParamKind::Duration => "duration like 30s",
        ParamKind::Size => "size like 10GiB",
        ParamKind::Time => "time like 2026-01-31T10:00:00Z",
        ParamKind::Url => "URL",
    }
}
