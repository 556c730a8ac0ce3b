//! `./PATH`: an executable of the plan's repository, spoken to in lines of JSON. What it is, the file beside it says; what
//! it does, its own code: this file knows how it is started, and what its answers mean.

use serde_json::{Map, Value, json};

use super::described::Described;
use super::protocol::{self, Ask, Reply};
use super::{Action, Before, Call, Change, Ctx, Dry, Earlier, Effect, Manual, Outputs, Probe, UndoKind, command, inside, template, words};
use crate::world::{Answer, Command, Exit, Fault, Found};

/// What all executables share; what one of them is, its description says.
pub(super) const EVERY: Action = Action {
    name: "./PATH",
    page: include_str!("executable.md"),
    effect: Effect::Once,
    dry: |_| Dry::IfTrusted,
    settles_ms: command::SETTLES_MS,
    undo: UndoKind::ByPlan,
    sentence: |call| said(call, |d| &d.says.sentence).unwrap_or_else(|| "Run an executable of the plan's repository".to_owned()),
    seen: |call| said(call, |d| &d.says.seen).unwrap_or_else(|| "it says that it is done".to_owned()),
    commands: |call| typed(call, false),
    undo_commands: |call| typed(call, true),
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    earlier: Some(|ctx, _| Box::pin(earlier(ctx))),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

/// The line of the table.
pub(super) static ACTION: Action = EVERY;

fn said(call: &Call<'_>, text: fn(&Described) -> &String) -> Option<String> {
    let own = Described::of(call.with)?;
    Some(own.says.words(text(&own), call.with)).filter(|text| !text.is_empty())
}

fn typed(call: &Call<'_>, undo: bool) -> Vec<Manual> {
    let Some(own) = Described::of(call.with) else { return Vec::new() };
    let all = if undo { &own.says.undo_commands } else { &own.says.commands };
    own.says.typed(all, call.with, own.says.effect != Effect::Read)
}

fn own(ctx: &Ctx<'_>) -> Answer<Described> {
    Described::of(ctx.with).ok_or_else(|| Fault::refused("the plan holds no description of this executable: compile it again"))
}

/// The state before that the executable itself gave.
fn state(before: &Before) -> Value {
    before.get("state").cloned().unwrap_or(Value::Null)
}

fn request(ctx: &Ctx<'_>, ask: Ask, before: &Before) -> Answer<Command> {
    let own = own(ctx)?;
    let target = ctx.target.map(|t| json!({ "asset": t.asset, "kind": t.kind, "site": t.site, "connect": t.connect }));
    let more = json!({
        "key": ctx.key,
        "attempt": ctx.ticket,
        "with": own.says.filled(ctx.with),
        "target": target,
        "before": state(before),
        "timeout_ms": ctx.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
        "incident_start": ctx.incident_start.to_string(),
    });
    let more = more.as_object().cloned().unwrap_or_default();
    let bare = Ctx { with: &Map::new(), ..*ctx };
    Ok(Command { stdin: Some(protocol::request(ask, &more)), ..command::of(&bare, Vec::new(), ctx.dir.to_owned()) })
}

/// Asks it something that changes nothing.
async fn look(ctx: &Ctx<'_>, ask: Ask, before: &Before) -> Answer<Reply> {
    let at = inside::same(ctx, &own(ctx)?.path, before).await?;
    let exit = ctx.world.process.ask(&Command { argv: vec![at], ..request(ctx, ask, before)? }).await?;
    protocol::reply(ask, &exit).map_err(|why| Fault::refused(format!("{why}{}", command::last_words(ctx, &exit))))
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let mut kept = inside::kept(ctx, &own(ctx)?.path).await?;
    if own(ctx)?.says.effect == Effect::Read || !ctx.world.process.trusts() {
        return Ok(kept);
    }
    let reply = look(ctx, Ask::Before, &kept).await?;
    if reply.result != "ok" {
        return Err(Fault { unreachable: unreachable(&reply), ..Fault::refused(reply.why()) });
    }
    kept["state"] = reply.line.get("before").cloned().unwrap_or(Value::Null);
    Ok(kept)
}

fn unreachable(reply: &Reply) -> bool {
    reply.line.get("unreachable") == Some(&Value::Bool(true))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    if !ctx.world.process.trusts() {
        return Ok(Probe::CannotTell("a dry run does not start it".to_owned()));
    }
    let reply = look(ctx, Ask::Probe, before).await?;
    Ok(match reply.result.as_str() {
        "there" => match outputs(ctx, &reply) {
            Ok(outputs) => Probe::There(outputs),
            Err(why) => Probe::CannotTell(why),
        },
        "not_there" => Probe::NotThere,
        "other" => Probe::Other(reply.why()),
        _ => Probe::CannotTell(reply.why()),
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let own = own(ctx)?;
    let digest = inside::digest(ctx, &own.path).await?;
    let what = own.says.words(&own.says.sentence, ctx.with);
    let change = |old: &str| {
        let new = ctx.struck(&format!("./{}: {what} (sha256 {digest})", own.path));
        vec![Change { what: "executable".to_owned(), old: old.to_owned(), new }]
    };
    if !ctx.world.process.trusts() {
        return Ok(change("not run"));
    }
    Ok(match probe(ctx, before).await? {
        Probe::There(_) => Vec::new(),
        Probe::NotThere => change("not there"),
        Probe::Other(why) | Probe::CannotTell(why) => change(&why),
    })
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let at = inside::same(ctx, &own(ctx)?.path, before).await?;
    let exit = ctx.world.process.run(&Command { argv: vec![at], ..request(ctx, Ask::Apply, before)? }).await?;
    applied(ctx, &exit)
}

/// What an ended `apply` means. What is no answer says nothing about what was done.
fn applied(ctx: &Ctx<'_>, exit: &Exit) -> Answer<Outputs> {
    let reply = protocol::reply(Ask::Apply, exit).map_err(|why| Fault::lost(format!("{why}{}", command::last_words(ctx, exit))))?;
    match reply.result.as_str() {
        "ok" => outputs(ctx, &reply).map_err(|why| Fault::refused(format!("it ended well, but {why}"))),
        "refused" => Err(Fault { unreachable: unreachable(&reply), ..Fault::refused(reply.why()) }),
        _ => Err(Fault::lost(reply.why())),
    }
}

/// Its declared outputs; nothing else of what it said is kept.
fn outputs(ctx: &Ctx<'_>, reply: &Reply) -> Result<Outputs, String> {
    let declared = Described::of(ctx.with).map(|own| own.says.outputs);
    let given = reply.line.get("outputs").and_then(Value::as_object);
    let mut out = Outputs::new();
    for (name, found) in declared.into_iter().flatten() {
        let value = given.and_then(|g| g.get(&name)).ok_or_else(|| format!("output `{name}` is not there"))?;
        if !found.kind.fits(value) {
            return Err(format!("output `{name}` is not of its type: {}", words::code(&template::plain(value))));
        }
        out.insert(name, value.clone());
    }
    Ok(out)
}

/// What an ended `undo` means.
fn undone(ctx: &Ctx<'_>, exit: &Exit) -> Answer<Probe> {
    let reply = protocol::reply(Ask::Undo, exit).map_err(|why| Fault::lost(format!("{why}{}", command::last_words(ctx, exit))))?;
    match reply.result.as_str() {
        "not_there" => Ok(Probe::NotThere),
        "other" => Ok(Probe::Other(reply.why())),
        "cannot_tell" => Ok(Probe::CannotTell(reply.why())),
        "refused" => Err(Fault { unreachable: unreachable(&reply), ..Fault::refused(reply.why()) }),
        _ => Err(Fault::lost(reply.why())),
    }
}

/// Looks first: somebody's newer change is not even shown to it as its own.
async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    if !own(ctx)?.says.undo {
        return Ok(Probe::CannotTell("it has no undo of its own".to_owned()));
    }
    let found = probe(ctx, before).await?;
    if !matches!(found, Probe::There(_)) {
        return Ok(found);
    }
    let at = inside::same(ctx, &own(ctx)?.path, before).await?;
    let exit = ctx.world.process.run(&Command { argv: vec![at], ..request(ctx, Ask::Undo, before)? }).await?;
    undone(ctx, &exit)
}

async fn earlier(ctx: &Ctx<'_>) -> Answer<Earlier> {
    let undo = ctx.ticket.rsplit('/').nth(1) == Some("undo");
    Ok(match ctx.world.process.find(ctx.ticket).await? {
        Found::NeverStarted => Earlier::NeverStarted,
        Found::Running => Earlier::Running,
        Found::Ended(exit) if undo => Earlier::Ended(match undone(ctx, &exit) {
            Ok(Probe::NotThere) => Ok(Outputs::new()),
            Ok(Probe::Other(why) | Probe::CannotTell(why)) => Err(Fault::refused(why)),
            Ok(Probe::There(_)) => Err(Fault::refused("it is still there after it was taken back")),
            Err(fault) => Err(fault),
        }),
        Found::Ended(exit) => Earlier::Ended(applied(ctx, &exit)),
        Found::Unknown { why, gone } => Earlier::CannotTell { why, gone },
    })
}
