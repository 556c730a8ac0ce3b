//! `drplan dry-run PLAN`: what would happen, without anything happening.

use std::collections::BTreeSet;
use std::sync::Arc;

use drplan::actions::Change;
use drplan::actions::units::duration_text;
use drplan::analysis::Checked;
use drplan::execute::dry::{self, Said};
use drplan::execute::offline::{Faults, Rehearsed, rehearse};
use drplan::execute::{Life, State, rollback};
use drplan::journal::{About, End};
use drplan::model::Undo;
use drplan::render::{escape, view};
use drplan::world::readonly::behind_glass;
use drplan::world::real::{self, RealSettings};
use serde_json::{Value, json};

use crate::exit::{Ended, Exit, Stop};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::run::{directory, runnable};
use crate::settings::Settings;

/// Show what a run would do, without doing it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// From the plan's own estimates alone: no network, no secret, no command.
    #[arg(long)]
    offline: bool,

    /// Start commands too that the plan declares to read, and those that give secrets.
    #[arg(long, conflicts_with = "offline")]
    trust_declared: bool,

    /// As if this step failed, every time it is tried (with --offline).
    #[arg(long, value_name = "STEP", value_delimiter = ',', requires = "offline")]
    fail: Vec<String>,

    /// As if nothing answered at a site (with --offline).
    #[arg(long, value_name = "site:SITE", value_delimiter = ',', requires = "offline")]
    lose: Vec<String>,
}

/// Rehearses and says how it came out.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let checked = load::checked(&args.plan, settings)?;
    if !args.offline {
        return live(args, settings, checked);
    }
    let faults = faults(args, &checked)?;
    let checked = Arc::new(checked);
    let out = rehearse(&checked, &faults).map_err(|e| Stop::new(Exit::Findings, e))?;
    if settings.json {
        output::json(&as_json(&checked, &out))?;
    } else {
        output::data(&text(&checked, &out))?;
    }
    Ok(if out.end == Some(End::Good) { Exit::Good } else { Exit::Findings })
}

/// Looks at the real world, through glass.
fn live(args: &Args, settings: &Settings, checked: Checked) -> Ended {
    runnable(&checked)?;
    let dir = directory(&args.plan.path()?)?;
    let ends = std::env::temp_dir().join(format!("drplan-dry-run-{}", real::salt()));
    let mut real_settings = RealSettings::new(&ends, &dir);
    real_settings.aws_endpoint.clone_from(&settings.aws_endpoint);
    let world = behind_glass(&real::world(real_settings), args.trust_declared);
    let mut state = State::unstarted(Arc::new(checked), &dir, real::now());
    let said = crate::desk::runtime()?.block_on(dry::look(&world, &mut state, args.trust_declared));
    // Only commands that were trusted leave anything there.
    let _ = std::fs::remove_dir_all(&ends);
    if settings.json {
        let steps: Vec<Value> = said.iter().map(|(i, said)| said_json(&state.step(*i).id, said)).collect();
        output::json(
            &json!({ "plan": state.plan().plan.name, "scenario": state.plan().scenario.id, "digest": state.checked.digest(), "steps": steps }),
        )?;
    } else {
        output::data(&said_text(&state, &said))?;
    }
    Ok(if said.iter().all(|(_, s)| s.passes()) { Exit::Good } else { Exit::Findings })
}

fn said_json(step: &str, said: &Said) -> Value {
    match said {
        Said::Passes(found) => json!({ "step": step, "said": "passes", "found": found }),
        Said::DoesNotPass(why) => json!({ "step": step, "said": "does_not_pass", "why": why }),
        Said::Changes(changes) => json!({ "step": step, "said": "changes", "changes": changes }),
        Said::AlreadySo => json!({ "step": step, "said": "already_so" }),
        Said::Unknowable { until } => json!({ "step": step, "said": "cannot_be_known", "until": until }),
        Said::Unreachable { cause, follows, foreseen } => {
            json!({ "step": step, "said": "unreachable", "why": cause, "follows": follows, "foreseen": foreseen })
        }
        Said::Asks(question) => json!({ "step": step, "said": "asks", "question": question }),
        Said::Waits => json!({ "step": step, "said": "waits" }),
        Said::NotTrusted => json!({ "step": step, "said": "not_started" }),
        Said::SecretNotAsked(secret) => json!({ "step": step, "said": "not_looked_at", "secret": secret }),
        Said::NotSent => json!({ "step": step, "said": "not_sent" }),
        Said::Skipped(reason) => json!({ "step": step, "said": "skipped", "reason": reason }),
    }
}

fn said_text(state: &State, said: &[(usize, Said)]) -> String {
    let plan = state.plan();
    let width = said.iter().map(|(i, _)| state.step(*i).id.len()).max().unwrap_or(0);
    let mut out = format!("{} · {}, looked at live; nothing was changed\n\n", plan.plan.name, plan.scenario.id);
    for (i, said) in said {
        let (mark, words) = match said {
            Said::Passes(found) => ("✓", format!("passes{}", shown(found))),
            Said::DoesNotPass(why) => ("✗", format!("does not pass: {}", escape::line(why))),
            Said::Changes(changes) => {
                let line = |c: &Change| match c.what.as_str() {
                    "command" | "script" | "executable" => format!("would run {}", escape::line(&c.new)),
                    "request" => format!("would send {}", escape::line(&c.new)),
                    "message" => format!("would tell {}", escape::line(&c.new)),
                    what => format!("would change {}: {} → {}", escape::line(what), escape::line(&c.old), escape::line(&c.new)),
                };
                ("~", changes.iter().map(line).collect::<Vec<_>>().join("; "))
            }
            Said::AlreadySo => ("=", "is so already".to_owned()),
            Said::Unknowable { until } => ("·", format!("cannot be known until `{until}`")),
            Said::Unreachable { cause, follows, foreseen } => {
                (if *foreseen { "?" } else { "✗" }, format!("its target does not answer ({}): {follows}", escape::line(cause)))
            }
            Said::Asks(question) => ("?", format!("would ask: {}", escape::line(question))),
            Said::Waits => ("·", "would wait".to_owned()),
            Said::NotTrusted => ("·", "not started: the plan only declares that it reads (--trust-declared starts it)".to_owned()),
            Said::SecretNotAsked(secret) => ("·", format!("not looked at: a command gives secret `{secret}` (--trust-declared starts it)")),
            Said::NotSent => ("·", "not sent: the plan only declares that this request reads".to_owned()),
            Said::Skipped(reason) => ("–", format!("would not run: {}", escape::line(reason))),
        };
        out.push_str(&format!("  {mark} {:width$}  {words}\n", state.step(*i).id));
    }
    let bad = said.iter().filter(|(_, s)| !s.passes()).count();
    out.push_str(&match bad {
        0 => "\nNothing that could be looked at stands against it.\n".to_owned(),
        1 => "\nOne step would not get through now.\n".to_owned(),
        n => format!("\n{n} steps would not get through now.\n"),
    });
    out.push_str(
        "Not checked: whether the right to change is there, what only a changed world can show, and whether the estimates are true.\n",
    );
    out
}

fn shown(found: &serde_json::Map<String, Value>) -> String {
    let pairs: Vec<String> =
        found.iter().filter(|(_, v)| !v.is_null()).take(4).map(|(k, v)| format!("{k}: {}", escape::line(&v.to_string()))).collect();
    if pairs.is_empty() { String::new() } else { format!(" ({})", pairs.join(", ")) }
}

fn faults(args: &Args, checked: &Checked) -> Result<Faults, Stop> {
    let compiled = checked.compiled();
    let steps: Vec<&str> = compiled.scenario.steps.iter().map(|s| s.id.as_str()).collect();
    let sites: Vec<&str> = compiled.plan.sites.keys().map(String::as_str).collect();
    let known = |kind: &str, name: &str, all: &[&str], typed: &str| -> Result<String, Stop> {
        if all.contains(&name) {
            return Ok(name.to_owned());
        }
        let stop = Stop::usage(format!("there is no {kind} `{name}`"));
        Err(match drplan::diagnostic::nearest(name, all.iter().copied()) {
            Some(near) => stop.help(typed.replace("{}", near.word)),
            None => stop.help(format!("the plan has {}", all.join(", "))),
        })
    };
    let fail = args.fail.iter().map(|s| known("step", s, &steps, "--fail {}")).collect::<Result<BTreeSet<_>, _>>()?;
    let lose = args.lose.iter().map(|word| match word.split_once(':') {
        Some(("site", site)) => known("site", site, &sites, "--lose site:{}"),
        _ => Err(Stop::usage(format!("`--lose {word}` names no site")).help(format!("--lose site:{word}"))),
    });
    Ok(Faults { fail, lose: lose.collect::<Result<BTreeSet<_>, _>>()? })
}

fn text(checked: &Checked, out: &Rehearsed) -> String {
    let compiled = checked.compiled();
    let mut lines = vec![format!(
        "{} · {}, mode {}: as if every step took what the plan expects\n",
        compiled.plan.name, compiled.scenario.id, compiled.mode
    )];
    let mut begun: Vec<(usize, u64, Option<u64>)> = out.spans.iter().map(|(i, (from, to))| (*i, *from, *to)).collect();
    begun.sort_by_key(|(i, from, _)| (*from, *i));
    let width = begun.iter().map(|(i, ..)| compiled.scenario.steps[*i].id.len()).max().unwrap_or(0);
    for (i, from, to) in begun {
        let step = &compiled.scenario.steps[i];
        let to = to.map_or_else(|| "–".to_owned(), |to| format!("+{}", duration_text(to)));
        let title = escape::line(&view::title(compiled, step));
        lines.push(format!("{:>10} {to:>10}  {:width$}  {title}{}", format!("+{}", duration_text(from)), step.id, mark(out, i)));
    }
    lines.push(String::new());
    for (asset, p) in &compiled.predictions {
        if let Some(back) = out.state.recovered.get(asset) {
            let goal = p.rto_ms.map_or_else(String::new, |rto| {
                format!(" (objective {}, {})", duration_text(rto), if back.recovery_ms <= rto { "kept" } else { "MISSED" })
            });
            lines.push(format!("{asset} is back {} after the damage{goal}", duration_text(back.recovery_ms)));
        }
    }
    lines.push(verdict(out));
    lines.push("Not checked: servers, credentials, tools, scripts, and whether the estimates are true.".to_owned());
    lines.join("\n") + "\n"
}

/// What became of a step, where it is not simply done.
fn mark(out: &Rehearsed, i: usize) -> String {
    match &out.state.steps[i].life {
        Life::Failed { reason, .. } => format!(" — FAILED: {reason}"),
        Life::Skipped { reason, .. } => format!(" — skipped: {reason}"),
        Life::Undone => " — taken back".to_owned(),
        _ => String::new(),
    }
}

fn verdict(out: &Rehearsed) -> String {
    let took = duration_text(out.took_ms);
    match out.end {
        Some(End::Good) => format!("It would end well, {took} after its first step."),
        Some(End::Flawed) => format!("It would end {took} after its first step, with a step that failed or was left out."),
        Some(End::RolledBack) => format!("It would take everything back and end {took} after its first step."),
        Some(End::Aborted) => format!("It would be aborted {took} after its first step."),
        Some(End::Adopted) | None => stopped(out, &took),
    }
}

/// Where a run stands that waits for a person: what failed, what was not begun, what the way back would be.
fn stopped(out: &Rehearsed, took: &str) -> String {
    let state = &out.state;
    let names = |of: &mut dyn Iterator<Item = usize>| of.map(|i| state.step(i).id.as_str()).collect::<Vec<_>>().join(", ");
    let mut text = format!("It would stop and wait for a person {took} after its first step.");
    for (i, step) in state.steps.iter().enumerate() {
        if let Some((About::Unreachable, question)) = &step.asked {
            text.push_str(&format!("\n  It would ask about `{}`: {question}", state.step(i).id));
        }
    }
    let waiting =
        names(&mut (0..state.steps.len()).filter(|i| matches!(state.steps[*i].life, Life::Waiting) && !out.spans.contains_key(i)));
    if !waiting.is_empty() {
        text.push_str(&format!("\n  Not begun: {waiting}."));
    }
    let back = rollback::plan_to(state, None);
    if back.refused() {
        let held = back.holders.iter().map(|i| match &state.step(*i).undo {
            Undo::None(reason) => format!("`{}` ({reason})", state.step(*i).id),
            _ => format!("`{}`", state.step(*i).id),
        });
        let held = held.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("\n  `drplan rollback` would take nothing back, for this is in effect and cannot be undone: {held}."));
        if let Some(&first) = back.holders.first() {
            let above = rollback::plan_to(state, Some(first)).undo;
            if !above.is_empty() {
                let (to, above) = (&state.step(first).id, names(&mut above.into_iter()));
                text.push_str(&format!("\n  `drplan rollback --to {to}` would take back, in this order: {above}."));
            }
        }
    } else if !back.undo.is_empty() {
        text.push_str(&format!("\n  `drplan rollback` would take back, in this order: {}.", names(&mut back.undo.iter().copied())));
    }
    text
}

fn as_json(checked: &Checked, out: &Rehearsed) -> Value {
    let steps = &checked.compiled().scenario.steps;
    let life = |i: usize| match &out.state.steps[i].life {
        Life::Waiting => "waiting",
        Life::Done => "done",
        Life::Failed { .. } => "failed",
        Life::Skipped { .. } => "skipped",
        Life::Undone => "undone",
        _ => "in flight",
    };
    let all: Vec<Value> = (0..steps.len())
        .map(|i| {
            let span = out.spans.get(&i);
            json!({ "step": steps[i].id, "state": life(i), "begins_ms": span.map(|s| s.0), "ends_ms": span.and_then(|s| s.1) })
        })
        .collect();
    let back: serde_json::Map<String, Value> =
        out.state.recovered.iter().map(|(a, r)| (a.clone(), json!({ "recovery_ms": r.recovery_ms }))).collect();
    json!({
        "plan": checked.compiled().plan.name,
        "scenario": checked.compiled().scenario.id,
        "digest": checked.digest(),
        "end": out.end,
        "took_ms": out.took_ms,
        "steps": all,
        "recovered": back,
        "predictions": checked.compiled().predictions,
    })
}
