//! `drplan dry-run PLAN`: what would happen, without anything happening.

use std::collections::BTreeSet;

use drplan::actions::units::duration_text;
use drplan::analysis::Checked;
use drplan::execute::offline::{Faults, Rehearsed, rehearse};
use drplan::execute::{Life, rollback};
use drplan::journal::{About, End};
use drplan::model::Undo;
use drplan::render::{escape, view};
use serde_json::{Value, json};

use crate::exit::{Ended, Exit, Stop};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::settings::Settings;

/// Show what a run would do, without doing it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// From the plan's own estimates alone: no network, no secret, no command.
    #[arg(long)]
    offline: bool,

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
        return Err(Stop::usage("this version has no live dry run").help("add --offline: from the plan's own estimates alone"));
    }
    let faults = faults(args, &checked)?;
    let out = rehearse(&checked, &faults).map_err(|e| Stop::new(Exit::Findings, e))?;
    if settings.json {
        output::json(&as_json(&checked, &out))?;
    } else {
        output::data(&text(&checked, &out))?;
    }
    Ok(if out.end == Some(End::Good) { Exit::Good } else { Exit::Findings })
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
            Some(near) => stop.help(typed.replace("{}", near)),
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
        compiled.plan.name,
        compiled.scenario.id,
        view::mode_word(compiled.mode)
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
        None => stopped(out, &took),
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
