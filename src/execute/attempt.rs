//! One attempt: everything resolved, the action called once, its end put into one of three words. It does not know the
//! graph, retries or the journal, and of the run only what its `Errand` tells.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::errand::{Errand, Names, value_of};
use super::planted::planted;
use super::secret;
use super::state::State;
use crate::actions::{self, Action, Ctx, Earlier, Effect, Probe, Target, template};
use crate::journal::{Answer, Doing};
use crate::model::changes::files_of;
use crate::model::{ActionUse, Step, Undo, target_of};
use crate::world::strike::Striker;
use crate::world::{Fault, Landed, World};

/// How much longer than its own limit an action that ends itself may take, before its outcome is unknown.
const GRACE: Duration = Duration::from_secs(15);

/// Limit of a look that has none of its own.
const LOOK: Duration = Duration::from_secs(30);

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// Well.
    Done(Map<String, Value>),
    /// Surely without success.
    Failed {
        /// Why.
        reason: String,
        /// The target could not be reached.
        unreachable: bool,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// The attempt's own end was found, by its process's exit or by its probe.
    Ended(Ended),
    /// What the probe says.
    Said {
        /// In one word.
        answer: Answer,
        /// In words.
        detail: String,
        /// Nothing of the attempt is left that could land.
        gone: bool,
    },
}

/// A call with everything resolved.
pub struct Prepared {
    action: &'static Action,
    with: Map<String, Value>,
    target: Option<Target>,
    outputs: Map<String, Value>,
    secrets: Vec<String>,
    /// Digest of the inputs, a secret standing as its name.
    pub inputs: String,
}

impl Prepared {
    /// How long after its deadline a request of it may still land.
    pub fn settles_ms(&self) -> u64 {
        self.action.settles_ms
    }

    fn ctx<'a>(&'a self, world: &'a World, on: &'a Errand, names: &'a Names, timeout: Option<Duration>) -> Ctx<'a> {
        Ctx {
            world,
            with: &self.with,
            target: self.target.as_ref(),
            ticket: &names.ticket,
            key: &names.key,
            incident_start: on.incident_start,
            incident_assumed: on.incident_assumed,
            begin_by: None,
            timeout,
            secrets: &self.secrets,
            dir: &on.dir,
            outputs: &self.outputs,
        }
    }

    fn strike(&self, text: &str) -> String {
        Striker::new(&self.secrets).strike(text)
    }

    fn strike_value(&self, value: &Value) -> Value {
        if self.secrets.is_empty() { value.clone() } else { Striker::new(&self.secrets).strike_value(value) }
    }

    fn strike_probe(&self, probe: Probe) -> Probe {
        match probe {
            Probe::There(outputs) => Probe::There(struck(self, outputs)),
            Probe::NotThere => Probe::NotThere,
            Probe::Other(what) => Probe::Other(self.strike(&what)),
            Probe::CannotTell(why) => Probe::CannotTell(self.strike(&why)),
        }
    }
}

/// What an attempt calls: the step's own action, or the action that its `undo` names.
fn call_of(step: &Step, doing: Doing) -> &ActionUse {
    match (&step.undo, doing) {
        (Undo::Use(call), Doing::Undo) => call,
        _ => &step.call,
    }
}

/// True if an attempt of a step is a process that may outlive who started it.
pub fn has_process(step: &Step, doing: Doing) -> bool {
    step.effect != Effect::Read && actions::find(&call_of(step, doing).uses).is_some_and(|a| a.earlier.is_some())
}

/// Resolves a step's call: parameters, outputs of other steps, secrets.
pub async fn prepare(world: &World, on: &Errand, doing: Doing) -> Result<Prepared, Fault> {
    resolve(world, on, call_of(on.step(), doing)).await
}

async fn resolve(world: &World, on: &Errand, call: &ActionUse) -> Result<Prepared, Fault> {
    let action = actions::find(&call.uses).ok_or_else(|| Fault::refused(format!("this version has no action `{}`", call.uses)))?;
    as_compiled(world, on, call).await?;
    let target = target_of(&on.plan().plan, on.step(), call);
    let connect = target.as_ref().map(|t| t.connect.clone()).unwrap_or_default();
    let raw = json!({ "with": call.with, "connect": connect });
    let mut secrets = BTreeMap::new();
    for path in template::references(&raw).into_iter().filter(|path| !on.values.contains_key(path)) {
        let name = path.strip_prefix("secrets.").ok_or_else(|| Fault::refused(format!("`${{{path}}}` has no value in this run")))?;
        if !secrets.contains_key(name) {
            secrets.insert(name.to_owned(), secret::value(world, &on.plan().plan, name).await?);
        }
    }
    // In one go: what a value holds is no reference, whatever it looks like.
    let secret = |path: &str| secrets.get(path.strip_prefix("secrets.")?).cloned().map(Value::String);
    let full = template::fill(&raw, &|path| on.values.get(path).cloned().or_else(|| secret(path)));
    let bare = template::fill(&raw, &|path| on.values.get(path).cloned().or_else(|| Some(Value::String(format!("${{{path}}}")))));
    let part = |key: &str| full.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let outputs = on.step().outputs.iter().map(|(k, v)| (k.clone(), serde_json::to_value(v).unwrap_or(Value::Null))).collect();
    Ok(Prepared {
        action,
        with: part("with"),
        target: target.map(|t| Target { connect: part("connect"), ..t }),
        outputs,
        secrets: secrets.into_values().collect(),
        inputs: Sha256::digest(bare.to_string().as_bytes()).iter().map(|b| format!("{b:02x}")).collect(),
    })
}

/// Refuses a file of the plan's directory that is not the one that was compiled, which is the one that was reviewed.
async fn as_compiled(world: &World, on: &Errand, call: &ActionUse) -> Result<(), Fault> {
    for file in on.plan().files.iter().filter(|f| !call.with.contains_key("cwd") && files_of(call).contains(&f.path.as_str())) {
        let why = match world.files.sha256(&format!("{}/{}", on.dir, file.path)).await? {
            Some(sha) if sha == file.sha256 => continue,
            Some(_) => "is not as it was when the plan was compiled, so it was not started".to_owned(),
            None => format!("is not in {}", on.dir),
        };
        return Err(Fault::refused(format!("`./{}` {why}", file.path)));
    }
    Ok(())
}

/// The state before, as undo and probe will need it. Reads only.
pub async fn before(world: &World, on: &Errand, prepared: &Prepared) -> Result<Value, Fault> {
    let names = on.names(Doing::Apply, 0);
    let limit = limit(on.step());
    let ctx = prepared.ctx(world, on, &names, Some(limit));
    let found = within(world, limit, (prepared.action.before)(&ctx)).await.unwrap_or_else(|| Err(Fault::refused(late(limit))));
    let found = found.map(|before| prepared.strike_value(&before));
    found.map_err(|f| Fault { cause: prepared.strike(&f.cause), landed: Landed::No, ..f })
}

/// What a step would change, from the state as it is. Reads only.
pub async fn preview(world: &World, on: &Errand, prepared: &Prepared, limit: Duration) -> Result<Vec<actions::Change>, Fault> {
    let names = on.names(Doing::Apply, 0);
    let ctx = prepared.ctx(world, on, &names, Some(limit));
    let work = async {
        let before = (prepared.action.before)(&ctx).await?;
        (prepared.action.preview)(&ctx, &before).await
    };
    let found = within(world, limit, work).await.unwrap_or_else(|| Err(Fault::refused(late(limit))));
    let clean =
        |c: actions::Change| actions::Change { what: prepared.strike(&c.what), old: prepared.strike(&c.old), new: prepared.strike(&c.new) };
    let found = found.map(|changes| changes.into_iter().map(clean).collect());
    found.map_err(|f| Fault { cause: prepared.strike(&f.cause), ..f })
}

fn limit(step: &Step) -> Duration {
    step.timeout_ms.map_or(LOOK, Duration::from_millis)
}

fn late(limit: Duration) -> String {
    format!("no answer within {}", actions::units::duration_text(limit.as_millis() as u64))
}

/// None once the time is up. Work is not gone on with after that, not even by a program that was stopped, or a machine
/// that slept, in the middle of it: a request is not sent that nobody waits for any more.
async fn within<T>(world: &World, limit: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
    let until = world.clock.elapsed() + limit;
    let mut work = work.boxed();
    let work = poll_fn(|context| {
        let late = world.clock.elapsed() >= until && !planted("late-work");
        if late { Poll::Ready(None) } else { work.as_mut().poll(context).map(Some) }
    });
    match select(work, world.clock.sleep(limit)).await {
        Either::Left((value, _)) => value,
        Either::Right(_) => None,
    }
}

/// Begins an attempt, unless it is too late for that.
pub async fn begin(world: &World, on: &Errand, prepared: &Prepared, names: &Names, (doing, before): (Doing, &Value)) -> Ended {
    match doing {
        _ if on.begin_by.is_some_and(|limit| world.clock.elapsed() > limit) => {
            Ended::Failed { reason: "it was too late to start it".to_owned(), unreachable: false }
        }
        Doing::Apply => apply(world, on, prepared, names, before).await,
        Doing::Undo => undo(world, on, prepared, names).await,
    }
}

/// Does a step, once.
pub async fn apply(world: &World, on: &Errand, prepared: &Prepared, names: &Names, before: &Value) -> Ended {
    let step = on.step();
    let timeout = step.timeout_ms.map(Duration::from_millis);
    let ended = call(world, on, prepared, names, before, Times { effect: step.effect, begin_by: on.begin_by, timeout }).await;
    match (ended, &step.check) {
        (Ended::Done(outputs), Some(check)) => match ask(world, on, check, names).await {
            Ok(Ok(_)) => Ended::Done(outputs),
            Ok(Err(said)) => Ended::Failed { reason: format!("it ended, but its check says: {said}"), unreachable: false },
            Err(fault) => Ended::Unknown { why: format!("it ended, but its check cannot tell: {}", fault.cause) },
        },
        (ended, _) => ended,
    }
}

/// What a call may do, by when it begins, and how long it takes at most.
struct Times {
    effect: Effect,
    begin_by: Option<Duration>,
    timeout: Option<Duration>,
}

async fn call(world: &World, on: &Errand, prepared: &Prepared, names: &Names, before: &Value, times: Times) -> Ended {
    let Times { effect, begin_by, timeout } = times;
    let ctx = Ctx { begin_by, ..prepared.ctx(world, on, names, timeout) };
    let work = (prepared.action.apply)(&ctx, before);
    let answer = match timeout {
        None => Some(work.await),
        Some(limit) => {
            let patience = if prepared.action.earlier.is_some() { limit + GRACE } else { limit };
            within(world, patience, work).await
        }
    };
    let answer = answer.unwrap_or_else(|| Err(Fault::lost(late(timeout.unwrap_or_default()))));
    ended(prepared, effect, answer)
}

/// An answer in the executor's three words.
fn ended(prepared: &Prepared, effect: Effect, answer: Result<Map<String, Value>, Fault>) -> Ended {
    match answer {
        Ok(outputs) => Ended::Done(struck(prepared, outputs)),
        // What changes nothing has not passed, whatever became of the request.
        Err(fault) if fault.landed == Landed::No || effect == Effect::Read => {
            Ended::Failed { reason: prepared.strike(&fault.cause), unreachable: fault.unreachable }
        }
        Err(fault) => Ended::Unknown { why: prepared.strike(&fault.cause) },
    }
}

fn struck(prepared: &Prepared, outputs: Map<String, Value>) -> Map<String, Value> {
    match prepared.strike_value(&Value::Object(outputs)) {
        Value::Object(clean) => clean,
        _ => Map::new(),
    }
}

/// Asks a reading action of a step: it passes, it says no (and what), or it did not answer.
async fn ask(world: &World, on: &Errand, check: &ActionUse, names: &Names) -> Result<Result<Map<String, Value>, String>, Fault> {
    let prepared = resolve(world, on, check).await?;
    let limit = limit(on.step());
    // Asked again and again, by later drivers too, and each time anew: a ticket is taken once.
    let now = world.clock.now().as_microsecond();
    // And it is asked in this run, whichever one began the attempt.
    let by = if on.life.past.is_some() { on.own_name() } else { names.ticket.clone() };
    let names = Names { ticket: format!("{by}/check/{now}"), key: format!("{}/check", names.key) };
    let ctx = prepared.ctx(world, on, &names, Some(limit));
    let answer = within(world, limit, (prepared.action.apply)(&ctx, &Value::Null)).await.unwrap_or_else(|| Err(Fault::lost(late(limit))));
    match answer {
        Ok(outputs) => Ok(Ok(outputs)),
        Err(fault) if fault.landed == Landed::No && !fault.unreachable && !never_started(&prepared, &ctx).await => {
            Ok(Err(prepared.strike(&fault.cause)))
        }
        Err(fault) => Err(Fault { cause: prepared.strike(&fault.cause), ..fault }),
    }
}

/// What was never started said nothing, neither yes nor no.
async fn never_started(prepared: &Prepared, ctx: &Ctx<'_>) -> bool {
    let Some(earlier) = prepared.action.earlier else { return false };
    matches!(earlier(ctx, &Value::Null).await, Ok(Earlier::NeverStarted))
}

/// Takes a step back, once. An undo first looks.
async fn undo(world: &World, on: &Errand, prepared: &Prepared, names: &Names) -> Ended {
    let step = on.step();
    let before = on.life.before.clone().unwrap_or(Value::Null);
    let limit = limit(step);
    if let Undo::Use(_) = step.undo {
        let effect = prepared.action.effect;
        let timeout = step.timeout_ms.map(Duration::from_millis);
        if planted("undo-unlooked") {
            return call(world, on, prepared, names, &before, Times { effect, begin_by: on.begin_by, timeout }).await;
        }
        let began = world.clock.elapsed();
        match probe(world, on).await {
            Probe::NotThere => return Ended::Done(Map::new()),
            Probe::Other(what) => return foreign(&what),
            Probe::CannotTell(why) if step.check.is_some() => {
                return Ended::Failed {
                    reason: format!("whether there is anything to take back cannot be told: {why}"),
                    unreachable: false,
                };
            }
            Probe::There(_) | Probe::CannotTell(_) => {}
        }
        // The look is part of the attempt: it begins later by what that took, and has so much less time.
        let took = world.clock.elapsed().saturating_sub(began);
        let left = timeout.map(|t| t.saturating_sub(took));
        if left == Some(Duration::ZERO) {
            return Ended::Failed { reason: format!("{} and nothing was begun", late(limit)), unreachable: false };
        }
        let times = Times { effect, begin_by: on.begin_by.map(|by| by + took), timeout: left };
        return call(world, on, prepared, names, &before, times).await;
    }
    let ctx = prepared.ctx(world, on, names, Some(limit));
    let answer = within(world, limit, (prepared.action.undo_apply)(&ctx, &before)).await;
    match answer.unwrap_or_else(|| Err(Fault::lost(late(limit)))) {
        Ok(Probe::NotThere) => Ended::Done(Map::new()),
        Ok(Probe::Other(what)) => foreign(&prepared.strike(&what)),
        Ok(Probe::There(_)) => Ended::Failed { reason: "it is still there after it was taken back".to_owned(), unreachable: false },
        Ok(Probe::CannotTell(why)) => Ended::Failed { reason: prepared.strike(&why), unreachable: false },
        Err(fault) => ended(prepared, Effect::Verifiable, Err(fault)),
    }
}

fn foreign(what: &str) -> Ended {
    Ended::Failed { reason: format!("somebody changed it meanwhile and it was not touched: {what}"), unreachable: false }
}

/// Whether a step's effect is there: its own probe and its `check`; where both exist, both must say so.
pub async fn probe(world: &World, on: &Errand) -> Probe {
    let step = on.step();
    let names = on.names(Doing::Apply, on.life.attempts);
    let before = on.life.before.clone().unwrap_or(Value::Null);
    let own = match resolve(world, on, &step.call).await {
        Ok(prepared) => {
            let limit = limit(step);
            let ctx = prepared.ctx(world, on, &names, Some(limit));
            match within(world, limit, (prepared.action.probe)(&ctx, &before)).await {
                Some(Ok(said)) => prepared.strike_probe(said),
                Some(Err(fault)) => Probe::CannotTell(prepared.strike(&fault.cause)),
                None => Probe::CannotTell(late(limit)),
            }
        }
        Err(fault) => Probe::CannotTell(fault.cause),
    };
    let Some(check) = &step.check else { return own };
    let checked = match ask(world, on, check, &names).await {
        Ok(Ok(_)) => Probe::There(Map::new()),
        Ok(Err(_)) => Probe::NotThere,
        Err(fault) => Probe::CannotTell(fault.cause),
    };
    // An action without a probe of its own leaves the word to the check.
    let silent = actions::find(&step.call.uses).is_some_and(|a| a.effect_by_plan);
    match (own, checked) {
        (_, checked) if silent => checked,
        (Probe::There(outputs), Probe::There(_)) => Probe::There(outputs),
        (Probe::NotThere, Probe::NotThere) => Probe::NotThere,
        (Probe::Other(what), _) => Probe::Other(what),
        (Probe::CannotTell(why), _) | (_, Probe::CannotTell(why)) => Probe::CannotTell(why),
        _ => Probe::CannotTell("its own probe and its check do not agree".to_owned()),
    }
}

/// Looks what became of an unknown or failed attempt.
pub async fn look(world: &World, on: &Errand, doing: Doing) -> Look {
    let step = on.step();
    let life = &on.life;
    let attempt = life.attempt(doing);
    let mut gone = false;
    let unknown = matches!(life.life, super::Life::Unknown { .. });
    if unknown && let Some(found) = earlier(world, on, doing, attempt).await {
        match found {
            (Earlier::Running, _) => return Look::Said { answer: Answer::Running, detail: "it still runs".to_owned(), gone: false },
            (Earlier::NeverStarted, _) => {
                let (answer, detail) = never_begun(doing);
                return Look::Said { answer, detail, gone: true };
            }
            (Earlier::Ended(answer), prepared) => match ended(&prepared, step.effect, answer) {
                Ended::Unknown { .. } => gone = true,
                known => match confirmed(world, on, doing, attempt, known).await {
                    // Its process is gone; what it did, nobody can tell.
                    Ended::Unknown { why } => return Look::Said { answer: Answer::CannotTell, detail: why, gone: true },
                    known => return Look::Ended(known),
                },
            },
            (Earlier::CannotTell { gone: g, .. }, _) => gone = g,
        }
    }
    let said = probe(world, on).await;
    let (answer, detail) = match (doing, said) {
        (Doing::Apply, Probe::There(outputs)) if unknown => return Look::Ended(Ended::Done(outputs)),
        (_, Probe::There(_)) => (Answer::There, "its effect is there".to_owned()),
        (_, Probe::NotThere) => (Answer::NotThere, "its effect is not there".to_owned()),
        (_, Probe::Other(what)) => (Answer::Other, what),
        (_, Probe::CannotTell(why)) => (Answer::CannotTell, why),
    };
    Look::Said { answer, detail, gone }
}

/// What is said of an attempt of which nothing was begun, so that nothing of it can land.
pub const NEVER_BEGUN: &str = "it was never started";

/// What there is to see of an attempt that did not begin.
pub fn never_begun(doing: Doing) -> (Answer, String) {
    // An undo that was never started leaves what it was to take back where it is.
    let answer = if doing == Doing::Apply { Answer::NotThere } else { Answer::There };
    (answer, NEVER_BEGUN.to_owned())
}

/// An end that a process left still needs the step's check.
async fn confirmed(world: &World, on: &Errand, doing: Doing, attempt: u32, known: Ended) -> Ended {
    match (&known, &on.step().check, doing) {
        (Ended::Done(_), Some(check), Doing::Apply) => match ask(world, on, check, &on.names(doing, attempt)).await {
            Ok(Ok(_)) => known,
            Ok(Err(said)) => Ended::Failed { reason: format!("it ended, but its check says: {said}"), unreachable: false },
            Err(fault) => Ended::Unknown { why: format!("it ended, but its check cannot tell: {}", fault.cause) },
        },
        _ => known,
    }
}

async fn earlier(world: &World, on: &Errand, doing: Doing, attempt: u32) -> Option<(Earlier, Prepared)> {
    let step = on.step();
    let find = actions::find(&call_of(step, doing).uses)?.earlier?;
    let prepared = prepare(world, on, doing).await.ok()?;
    let begun_by = &on.life.begun_by;
    if host(begun_by) != host(&on.driver) {
        let why = format!("it was started by {begun_by}, on another host");
        return Some((Earlier::CannotTell { why, gone: false }, prepared));
    }
    let names = on.names(doing, attempt);
    let found = {
        let ctx = prepared.ctx(world, on, &names, Some(limit(step)));
        let before = on.life.before.clone().unwrap_or(Value::Null);
        within(world, LOOK, find(&ctx, &before)).await?.ok()?
    };
    Some((found, prepared))
}

/// The host of a driver, `user@host pid N`.
fn host(driver: &str) -> &str {
    driver.split_once(" pid ").map_or(driver, |(who, _)| who).rsplit('@').next().unwrap_or_default()
}

/// What a run changes, resolved: held against other runs until it ends.
pub fn targets(state: &State) -> Vec<String> {
    let plan = state.plan();
    let mut out = BTreeSet::new();
    for step in plan.scenario.steps.iter().filter(|s| s.effect != Effect::Read && s.undo != Undo::Unneeded) {
        if let Some(target) = target_of(&plan.plan, step, &step.call) {
            let connect = template::fill(&Value::Object(target.connect), &|path| value_of(state, path));
            let key: BTreeMap<&str, &Value> =
                ["host", "port", "database", "path", "zone", "record", "type", "bucket", "url", "context", "namespace"]
                    .iter()
                    .filter_map(|k| connect.get(*k).map(|v| (*k, v)))
                    .collect();
            let kind = target.kind;
            let words = key.values().map(|v| template::plain(v)).collect::<Vec<_>>().join(" ");
            out.insert(if words.is_empty() { format!("{} {}", plan.plan.name, target.asset) } else { format!("{kind} {words}") });
        }
    }
    out.into_iter().collect()
}
