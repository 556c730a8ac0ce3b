//! `drplan what-if PLAN --lose site:X`: what would be lost with it, what answers that, and what nothing answers. It reads the
//! plan and nothing else.

use std::path::PathBuf;

use drplan::actions::units::duration_text;
use drplan::analysis::what_if::{Blast, Loss, Path, Row, Single, WhatIf};
use drplan::compile::Compilation;
use drplan::diagnostic::nearest;
use drplan::model::{Cause, Plan};
use serde_json::{Value, json};

use crate::exit::{Ended, Exit, Stop};
use crate::load;
use crate::output;
use crate::plans;
use crate::settings::Settings;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Steps of a scenario that are listed.
const STEPS: usize = 8;
/// Columns of a scenario's name, and of what is lost, in the matrix.
const NAME: usize = 18;

/// Say what would be lost if something were, and which scenario answers it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan; without it, the one plan under the current directory.
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,

    /// What is lost: `site:X`, `asset:Y` or `backup:ASSET.ID`; may be given several times.
    #[arg(long, value_name = "WHAT", required_unless_present = "all")]
    lose: Vec<String>,

    /// Why: after a corruption or ransomware what copied the damage is no source.
    #[arg(long, value_name = "CAUSE", default_value = "outage")]
    cause: CauseArg,

    /// Every single loss instead, as a matrix: of each site, and of each asset by each cause.
    #[arg(long, conflicts_with_all = ["lose", "cause"])]
    all: bool,
}

/// A cause on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CauseArg {
    Outage,
    Corruption,
    Ransomware,
}

/// Prints what a loss takes with it.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let path = plans::one(args.plan.as_deref())?;
    let compilation = load::compilation(&path, &load::today_s_input())?;
    let shown = load::shown(&path);
    let Some(plan) = compilation.plan.as_deref().filter(|_| !compilation.checked.is_empty()) else {
        return Err(Stop::new(Exit::Findings, format!("{shown} has no scenario that passes")).help(format!("drplan check {shown}")));
    };
    let passing = || compilation.checked.iter().map(|c| &c.compiled().scenario);
    let asked = WhatIf::new(plan, &compilation.places, passing());
    if args.all {
        let rows = asked.matrix();
        match settings.json {
            true => output::json(&matrix_json(&rows))?,
            false => output::data(&(matrix(&rows) + &unread(&compilation, &shown)))?,
        }
        return Ok(Exit::Good);
    }
    let loss = loss(plan, args)?;
    let blast = asked.ask(&loss);
    match settings.json {
        true => output::json(&blast_json(&loss, &blast))?,
        false => output::data(&(told(&loss, &blast, &shown) + &unread(&compilation, &shown)))?,
    }
    Ok(Exit::Good)
}

/// What was typed, as names of the plan.
fn loss(plan: &Plan, args: &Args) -> Result<Loss, Stop> {
    let cause = match args.cause {
        CauseArg::Outage => Cause::Outage,
        CauseArg::Corruption => Cause::Corruption,
        CauseArg::Ransomware => Cause::Ransomware,
    };
    let mut loss = Loss { cause, sites: Vec::new(), assets: Vec::new(), backups: Vec::new() };
    let backups: Vec<String> = plan.assets.iter().flat_map(|(id, a)| a.backups.iter().map(move |b| format!("{id}.{}", b.id))).collect();
    for word in &args.lose {
        let Some((kind, name)) = word.split_once(':') else {
            return Err(Stop::usage(format!("`--lose {word}` says not what it is")).help(format!("--lose site:{word}, or asset:{word}")));
        };
        let (known, all): (Vec<&str>, &mut Vec<String>) = match kind {
            "site" => (plan.sites.keys().map(String::as_str).collect(), &mut loss.sites),
            "asset" => (plan.assets.keys().map(String::as_str).collect(), &mut loss.assets),
            "backup" => (backups.iter().map(String::as_str).collect(), &mut loss.backups),
            _ => return Err(Stop::usage(format!("`{kind}` is nothing that can be lost")).help("--lose site:X, asset:X or backup:ASSET.ID")),
        };
        if !known.contains(&name) {
            let stop = Stop::usage(format!("the plan has no {kind} `{name}`"));
            return Err(match nearest(name, known.iter().copied()) {
                Some(near) => stop.help(format!("--lose {kind}:{near}")),
                None => stop.help(format!("it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })),
            });
        }
        all.push(name.to_owned());
    }
    if cause == Cause::Corruption && !loss.sites.is_empty() {
        return Err(Stop::usage("a corruption damages assets, not sites").help("--cause corruption --lose asset:X"));
    }
    Ok(loss)
}

fn told(loss: &Loss, blast: &Blast<'_>, shown: &str) -> String {
    let mut text = format!("If {}\n", named(loss));
    let outer: Vec<String> = blast.sites.iter().filter(|s| !loss.sites.contains(s)).cloned().collect();
    let backups = blast.backups.iter().map(|(name, site)| site.map_or(name.clone(), |s| format!("{name} at {s}"))).collect();
    let owned = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let lost = [
        ("sites within", outer),
        (if loss.cause == Cause::Outage { "assets" } else { "damaged" }, owned(&blast.assets)),
        ("replicas", blast.replicas.iter().map(|(id, site)| format!("{id} at {site}")).collect()),
        ("backups", backups),
        ("keys of", blast.keys.clone()),
        ("secrets", owned(&blast.secrets)),
        ("not told", owned(&blast.contacts)),
        ("journal", if blast.journal { vec!["the shared one: no run can start in it".to_owned()] } else { Vec::new() }),
    ];
    if lost.iter().any(|(_, all)| !all.is_empty()) {
        text.push_str("\nLost with it\n");
    }
    for (what, all) in lost.iter().filter(|(_, all)| !all.is_empty()) {
        text.push_str(&folded(&format!("  {what:13}"), &all.join(", ")));
    }
    if !blast.stopped.is_empty() {
        text.push_str("\nStops, because it stands on that\n");
        blast.stopped.iter().for_each(|way| text.push_str(&folded("  ", &way.join(" → "))));
    }
    if !blast.data.is_empty() {
        text.push_str("\nWhere its data could come from\n");
    }
    for (id, sources) in &blast.data {
        text.push_str(&format!("  {id}\n"));
        if sources.is_empty() {
            text.push_str("    ✗ it has no replica, no backup and no rebuild\n");
        }
        for source in sources {
            let mark = if source.ms.is_some() { '✓' } else { '✗' };
            text.push_str(&folded(&format!("    {mark} "), &source.source));
            // Of one place its own words say it all.
            let mut why: Vec<&str> = source.why.iter().map(|w| w.words.as_str()).filter(|_| source.source.starts_with("no copy")).collect();
            why.dedup();
            why.into_iter().for_each(|why| text.push_str(&folded("        ", why)));
        }
    }
    text.push_str("\nScenarios\n");
    blast.scenarios.iter().for_each(|path| text.push_str(&scenario(path)));
    text.push_str(&answer(blast, shown));
    text
}

fn scenario(path: &Path<'_>) -> String {
    let begin = format!("  {}: ", path.scenario);
    let mut text = match (path.answers, path.dead.len()) {
        (true, 0) => folded(&begin, "is written for this"),
        (true, n) => folded(&begin, &format!("is written for this; {n} of its {} steps need what is lost", path.steps)),
        (false, 0) => folded(&begin, "is not written for this; none of its steps needs what is lost"),
        (false, n) => folded(&begin, &format!("is not written for this, and {n} of its {} steps need what is lost", path.steps)),
    };
    for (step, way) in path.dead.iter().take(STEPS) {
        text.push_str(&folded("    ", &format!("{step} → {}", way.join(" → "))));
    }
    if path.dead.len() > STEPS {
        text.push_str(&format!("    … and {} more\n", path.dead.len() - STEPS));
    }
    if !path.leaves.is_empty() {
        text.push_str(&folded("    ", &format!("it leaves {} as it is", path.leaves.join(", "))));
    }
    text
}

fn answer(blast: &Blast<'_>, shown: &str) -> String {
    match blast.answers().first() {
        Some(scenario) => format!("\nAnswered by {scenario}. Its runbook:\n  drplan render {shown} -s {scenario}\n"),
        None if blast.assets.is_empty() && blast.stopped.is_empty() => folded(
            "\n",
            "No asset is lost: nothing has to be brought back. What else is lost must be made anew, or the next loss has no answer.",
        ),
        None => folded("\n", "Nothing answers this: no scenario that passes loses all of it for this cause."),
    }
}

/// Scenarios that were not asked, because something refuses them.
fn unread(compilation: &Compilation, shown: &str) -> String {
    match compilation.scenarios - compilation.checked.len().min(compilation.scenarios) {
        0 => String::new(),
        1 => format!("\n1 scenario does not pass and counts for nothing: `drplan check {shown}`\n"),
        n => format!("\n{n} scenarios do not pass and count for nothing: `drplan check {shown}`\n"),
    }
}

fn named(loss: &Loss) -> String {
    let all = [("site", &loss.sites), ("asset", &loss.assets), ("backup", &loss.backups)];
    let words: Vec<String> = all.iter().flat_map(|(kind, names)| names.iter().map(move |n| format!("{kind} {n}"))).collect();
    let many = words.len() > 1;
    let is = match loss.cause {
        Cause::Corruption if many => "are damaged",
        Cause::Corruption => "is damaged",
        Cause::Ransomware if many => "are hit by ransomware",
        Cause::Ransomware => "is hit by ransomware",
        _ if many => "are lost",
        _ => "is lost",
    };
    format!("{} {is}", words.join(" and "))
}

/// A text behind its beginning, folded under it.
fn folded(begin: &str, text: &str) -> String {
    let line = begin.rsplit('\n').next().unwrap_or(begin);
    let indent = " ".repeat(line.chars().count().min(WIDTH / 3));
    let options = textwrap::Options::new(WIDTH).initial_indent(begin).subsequent_indent(&indent).break_words(false);
    textwrap::fill(text, options) + "\n"
}

fn matrix(rows: &[Row<'_>]) -> String {
    let causes = [Cause::Outage, Cause::Corruption, Cause::Ransomware];
    let first = rows.iter().map(|row| what(row).chars().count()).max().unwrap_or(0).clamp(12, WIDTH - 3 * (NAME + 2) - 1);
    let mut text = format!("{:first$}", "lost");
    causes.iter().for_each(|cause| text.push_str(&format!("  {:NAME$}", cause.to_string())));
    text = text.trim_end().to_owned() + "\n";
    for row in rows {
        let mut line = format!("{:first$}", short(&what(row), first));
        for cause in causes {
            line.push_str(&format!("  {:NAME$}", cell(row, cause)));
        }
        text.push_str(&(line.trim_end().to_owned() + "\n"));
    }
    let all = rows.iter().filter(|row| !row.harmless).flat_map(|row| row.answers.values());
    let (answered, all) = (all.clone().filter(|a| !a.is_empty()).count(), all.count());
    text.push_str(&format!("\n{answered} of {all} single losses have an answer. `-`: nothing to bring back.\n"));
    text
}

fn what(row: &Row<'_>) -> String {
    match row.what {
        Single::Site(id) => format!("site {id}"),
        Single::Asset(id) => format!("asset {id}"),
    }
}

fn cell(row: &Row<'_>, cause: Cause) -> String {
    match row.answers.get(&cause).map(Vec::as_slice) {
        None => String::new(),
        Some([]) if row.harmless => "-".to_owned(),
        Some([]) => "NOTHING".to_owned(),
        Some([one]) => short(one, NAME),
        Some([one, rest @ ..]) => format!("{} +{}", short(one, NAME - 3), rest.len()),
    }
}

fn short(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn blast_json(loss: &Loss, blast: &Blast<'_>) -> Value {
    let source = |s: &drplan::analysis::loss::Loss| {
        json!({ "source": s.source, "usable": s.ms.is_some(), "loss_ms": s.ms, "loss": s.ms.map(duration_text),
            "why": s.why.iter().map(|w| &w.words).collect::<Vec<_>>() })
    };
    json!({
        "asked": { "cause": loss.cause, "sites": loss.sites, "assets": loss.assets, "backups": loss.backups },
        "lost": {
            "sites": blast.sites,
            "assets": blast.assets,
            "replicas": blast.replicas.iter().map(|(id, site)| json!({ "asset": id, "site": site })).collect::<Vec<_>>(),
            "backups": blast.backups.iter().map(|(id, site)| json!({ "backup": id, "site": site })).collect::<Vec<_>>(),
            "keys": blast.keys,
            "secrets": blast.secrets,
            "contacts": blast.contacts,
            "journal": blast.journal,
        },
        "stopped": blast.stopped,
        "data": blast.data.iter().map(|(id, all)| json!({ "asset": id, "sources": all.iter().map(source).collect::<Vec<_>>() })).collect::<Vec<_>>(),
        "scenarios": blast.scenarios.iter().map(|p| json!({
            "scenario": p.scenario,
            "answers": p.answers,
            "leaves": p.leaves,
            "steps": p.steps,
            "dead": p.dead.iter().map(|(step, way)| json!({ "step": step, "chain": way })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "answered_by": blast.answers(),
    })
}

fn matrix_json(rows: &[Row<'_>]) -> Value {
    let row = |row: &Row<'_>| {
        let (kind, id) = match row.what {
            Single::Site(id) => ("site", id),
            Single::Asset(id) => ("asset", id),
        };
        json!({ "lost": kind, "id": id, "answered_by": row.answers, "harmless": row.harmless })
    };
    json!({ "single_losses": rows.iter().map(row).collect::<Vec<_>>() })
}
