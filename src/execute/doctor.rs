//! What a run of a plan would need, looked at before the incident: secrets, programs, files, targets, people. Everything
//! goes through the world behind glass, so that nothing is changed; what is on this machine alone is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::secret;
use super::state::State;
use crate::actions::reach::{self, LOOK_MS, Reached};
use crate::actions::units::duration_text;
use crate::actions::{Ctx, Target, template};
use crate::model::{ActionUse, SecretSource, Step, Undo, target_of};
use crate::world::strike::Striker;
use crate::world::{Fault, World};

/// From this difference on a server's clock is not this machine's.
const APART_MS: u64 = 5_000;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good.
    Ok,
    /// It may be in the way, or nobody can tell.
    Warn,
    /// A run would fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What kind of thing: `secret`, `program`.
    pub area: &'static str,
    /// Which one.
    pub what: String,
    /// How it stands.
    pub level: Level,
    /// What was found, without secrets.
    pub said: String,
    /// What to do; empty if nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub todo: String,
}

impl Line {
    /// It is good.
    pub fn ok(area: &'static str, what: impl Into<String>, said: impl Into<String>) -> Line {
        Line { area, what: what.into(), level: Level::Ok, said: said.into(), todo: String::new() }
    }

    /// It is not, or nobody can tell.
    pub fn bad(area: &'static str, what: impl Into<String>, level: Level, said: impl Into<String>, todo: impl Into<String>) -> Line {
        Line { area, what: what.into(), level, said: said.into(), todo: todo.into() }
    }
}

/// Looks at everything; `world` is the one behind glass, `trust` as it was told.
pub async fn look(world: &World, state: &State, trust: bool) -> Vec<Line> {
    let mut out = secrets(world, state, trust).await;
    out.extend(programs(world, state));
    out.extend(files(world, state).await);
    out.extend(targets(world, state).await);
    out.extend(people(world, state).await);
    out
}

async fn secrets(world: &World, state: &State, trust: bool) -> Vec<Line> {
    let plan = &state.plan().plan;
    let mut out = Vec::new();
    for (name, secret) in &plan.secrets {
        let (place, todo) = match &secret.source {
            SecretSource::Env(variable) => (format!("variable {variable}"), format!("set {variable} where drplan runs")),
            SecretSource::File(path) => (format!("file {path}"), format!("put it into {path}, readable by whoever runs drplan")),
            SecretSource::Command(argv) => (format!("command {}", argv.join(" ")), "see why the command does not give it".to_owned()),
        };
        out.push(match (&secret.source, secret::value(world, plan, name).await) {
            (_, Ok(_)) => Line::ok("secret", name, format!("{place} gives it")),
            (SecretSource::Command(_), Err(_)) if !trust => {
                Line::bad("secret", name, Level::Warn, format!("{place} was not started"), "--trust-declared lets doctor start it")
            }
            (_, Err(fault)) => Line::bad("secret", name, Level::Fail, fault.cause, todo),
        });
    }
    out
}

/// A step's own action, its check and its undo.
fn calls(step: &Step) -> impl Iterator<Item = &ActionUse> {
    let undo = match &step.undo {
        Undo::Use(call) => Some(call),
        _ => None,
    };
    std::iter::once(&step.call).chain(&step.check).chain(undo)
}

fn programs(world: &World, state: &State) -> Vec<Line> {
    let mut used: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for step in &state.plan().scenario.steps {
        for call in calls(step) {
            let until = call.with.get("until").and_then(|until| until.get("with")).and_then(Value::as_object);
            let argv =
                std::iter::once(&call.with).chain(until).filter_map(|with| with.get("argv").or_else(|| with.get("interpreter"))?.get(0));
            used_by(&mut used, argv.map(template::plain), &step.id, call.with.get("cwd"));
        }
    }
    for (name, secret) in &state.plan().plan.secrets {
        if let SecretSource::Command(argv) = &secret.source {
            used_by(&mut used, argv.first().cloned().into_iter(), name, None);
        }
    }
    let line = |(program, by): (String, BTreeSet<&str>)| {
        let by: Vec<&str> = by.into_iter().take(3).collect();
        if template::marked(&program) {
            return Line::bad("program", program, Level::Warn, format!("only the run knows which one `{}` starts", by.join("`, `")), "");
        }
        match world.process.which(&program) {
            Some(path) => Line::ok("program", program, path),
            None => {
                let said = format!("not found, or not executable; `{}` needs it", by.join("`, `"));
                Line::bad("program", program, Level::Fail, said, "install it, or add its directory to PATH")
            }
        }
    };
    used.into_iter().map(line).collect()
}

/// A program that is named by a path stands where its command runs.
fn used_by<'a>(used: &mut BTreeMap<String, BTreeSet<&'a str>>, programs: impl Iterator<Item = String>, by: &'a str, cwd: Option<&Value>) {
    for program in programs {
        let program = match cwd.map(template::plain) {
            Some(cwd) if program.contains('/') && !program.starts_with('/') => format!("{cwd}/{program}"),
            _ => program,
        };
        used.entry(program).or_default().insert(by);
    }
}

async fn files(world: &World, state: &State) -> Vec<Line> {
    let mut out = Vec::new();
    for file in &state.plan().files {
        let path = format!("{}/{}", state.dir, file.path);
        let todo = "compile the plan again, or put the file back";
        out.push(match world.files.sha256(&path).await {
            Ok(Some(sha)) if sha == file.sha256 => Line::ok("file", &file.path, "as it was compiled"),
            Ok(Some(_)) => Line::bad("file", &file.path, Level::Fail, "it changed since the plan was compiled", todo),
            Ok(None) => Line::bad("file", &file.path, Level::Fail, format!("{path} is not there"), todo),
            Err(fault) => Line::bad("file", &file.path, Level::Fail, fault.cause, "let whoever runs drplan read it"),
        });
    }
    out
}

/// Each target of the scenario once, and each page that a step asks.
async fn targets(world: &World, state: &State) -> Vec<Line> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for step in &state.plan().scenario.steps {
        for call in calls(step) {
            if let Some(target) = target_of(&state.plan().plan, step, call) {
                let name = target.site.as_ref().map_or_else(|| target.asset.clone(), |site| format!("{} at {site}", target.asset));
                if seen.insert((name.clone(), json!(target.connect).to_string())) {
                    out.extend(told(world, &name, asked(world, state, Some(&target), None).await));
                }
            }
            if let Some((url, page)) = reach::url(&call.uses, &call.with).filter(|(url, _)| seen.insert((String::new(), (*url).to_owned())))
            {
                let what = if page { "page" } else { "host" };
                out.extend(told(world, &format!("{what} of {}", step.id), asked(world, state, None, Some((url, page))).await));
            }
        }
    }
    out
}

/// What a target says: none where this version has nothing to ask it.
/// The inner error is a reference that only a run can fill.
async fn asked(
    world: &World,
    state: &State,
    target: Option<&Target>,
    page: Option<(&str, bool)>,
) -> Result<Result<Option<Reached>, String>, Fault> {
    let raw = json!({ "connect": target.map(|t| &t.connect), "url": page.map(|(url, _)| url) });
    if let Some(path) = template::references(&raw).into_iter().find(|path| !path.starts_with("secrets.")) {
        return Ok(Err(path));
    }
    let (full, secrets) = secret::filled(world, &state.plan().plan, &raw).await?;
    let connect = full["connect"].as_object().cloned().unwrap_or_default();
    let target = target.map(|t| Target { connect, ..t.clone() });
    let (with, outputs) = (Map::new(), Map::new());
    let ctx = Ctx {
        world,
        with: &with,
        target: target.as_ref(),
        ticket: "doctor",
        key: "doctor",
        incident_start: state.incident_start,
        incident_assumed: true,
        begin_by: None,
        timeout: Some(Duration::from_millis(LOOK_MS)),
        secrets: &secrets,
        dir: &state.dir,
        outputs: &outputs,
    };
    let strike = |fault: Fault| Fault { cause: Striker::new(&secrets).strike(&fault.cause), ..fault };
    match full["url"].as_str() {
        Some(url) if page.is_some_and(|(_, look)| !look) => reach::host(world, url).await.map(|r| Ok(Some(r))).map_err(strike),
        Some(url) => reach::page(&ctx, url).await.map(|r| Ok(Some(r))).map_err(strike),
        None => reach::reach(&ctx).await.map(Ok).map_err(strike),
    }
}

fn told(world: &World, what: &str, answer: Result<Result<Option<Reached>, String>, Fault>) -> Vec<Line> {
    match answer {
        Ok(Err(path)) => {
            let said = format!("where it is, only `{path}` says, which has no value yet");
            vec![Line::bad("endpoint", what, Level::Warn, said, "give parameters with -p; what a step finds out, only the run knows")]
        }
        Ok(Ok(Some(reached))) => {
            let clock = reached.clock.map(|theirs| clock(what, world.clock.now(), theirs));
            std::iter::once(Line::ok("endpoint", what, reached.said)).chain(clock).collect()
        }
        Ok(Ok(None)) => {
            let said = "this version has nothing to ask it";
            vec![Line::bad("endpoint", what, Level::Warn, said, "look yourself whether it answers from here")]
        }
        Err(fault) if fault.unreachable => {
            vec![Line::bad("endpoint", what, Level::Fail, fault.cause, "open the way from this machine to it, or run drplan elsewhere")]
        }
        Err(fault) => {
            vec![Line::bad("endpoint", what, Level::Fail, fault.cause, "mend what it says; drplan dry-run shows what each step meets")]
        }
    }
}

/// A server's clock beside ours.
fn clock(what: &str, ours: Timestamp, theirs: Timestamp) -> Line {
    let apart = u64::try_from(ours.duration_since(theirs).abs().as_millis()).unwrap_or(u64::MAX);
    let words = duration_text(apart / 1000 * 1000);
    if apart < APART_MS {
        return Line::ok("clock", what, "its clock is this machine's, within 5s");
    }
    let side = if ours > theirs { "behind" } else { "ahead of" };
    let said = format!("its clock is {words} {side} this machine's");
    Line::bad("clock", what, Level::Warn, said, "let both follow the same time; ages and data loss are measured by them")
}

/// Whether those who would be told can be: nothing is sent to them.
async fn people(world: &World, state: &State) -> Vec<Line> {
    let plan = &state.plan().plan;
    let mut out = Vec::new();
    let mut mail = None;
    if let Some(step) = state.plan().scenario.steps.iter().find(|s| s.call.uses == "notify.email") {
        let answer = world.mail.reach().await;
        out.push(match &answer {
            Ok(()) => Line::ok("contact", &step.id, "the mail server answers; nothing was sent"),
            Err(fault) => Line::bad("contact", &step.id, Level::Fail, &fault.cause, "mend it, or nobody hears what the step tells"),
        });
        mail = Some(answer);
    }
    for (id, contact) in &plan.contacts {
        if let Some(webhook) = &contact.webhook {
            let answer = match secret::filled(world, plan, &json!(webhook)).await {
                Ok((url, secrets)) => {
                    reach::host(world, &template::plain(&url)).await.map(drop).map_err(|f| Striker::new(&secrets).strike(&f.cause))
                }
                Err(fault) => Err(fault.cause),
            };
            out.push(match answer {
                Ok(()) => Line::ok("contact", id, "the host of its webhook answers; nothing was posted"),
                Err(cause) => Line::bad("contact", id, Level::Fail, cause, "mend the webhook, or nobody hears that a run waits"),
            });
        }
        if let Some(email) = &contact.email {
            if mail.is_none() {
                mail = Some(world.mail.reach().await);
            }
            let known = secret::filled(world, plan, &json!(email)).await.map(drop);
            out.push(match known.and(mail.clone().unwrap_or(Ok(()))) {
                Ok(()) => Line::ok("contact", id, "the mail server answers; nothing was sent"),
                Err(fault) => Line::bad("contact", id, Level::Fail, fault.cause, "mend it, or nobody hears that a run waits"),
            });
        }
    }
    out
}
