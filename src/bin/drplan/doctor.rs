//! `drplan doctor PLAN`: whether a run could begin from here, before the incident. It changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drplan::actions;
use drplan::analysis::Checked;
use drplan::execute::State;
use drplan::execute::doctor::{self, Level, Line};
use drplan::journal::{self, Archive, Place};
use drplan::world::World;
use drplan::world::readonly::behind_glass;
use drplan::world::real::{self, RealSettings};
use rustix::fs::{Access, access, statvfs};
use serde_json::json;

use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::run::{directory, used};
use crate::settings::Settings;

/// Less than this on the journal's disk is too little for a run.
const LEAST_BYTES: u64 = 64 << 20;

/// Less than this is worth a look.
const SCARCE_BYTES: u64 = 1 << 30;

/// Look before the incident whether a run could begin from here: journal, secrets, programs, clocks, endpoints, people
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// Start the commands too that give secrets.
    #[arg(long)]
    trust_declared: bool,
}

/// Looks, and says what to do.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let path = args.plan.path()?;
    let all = load::every_scenario(&args.plan, settings)?;
    let dir = directory(&path)?;
    let mut lines = desk::runtime()?.block_on(look(args, settings, all, &dir))?;
    // The same asset, secret or program stands in several scenarios.
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|l| seen.insert((l.area, l.what.clone(), l.said.clone())));
    let worst = lines.iter().map(|l| l.level).max().unwrap_or(Level::Ok);
    if settings.json {
        output::json(&json!({ "plan": path, "level": worst, "lines": lines }))?;
    } else {
        output::data(&table(&lines))?;
    }
    Ok(if worst == Level::Fail { Exit::Findings } else { Exit::Good })
}

async fn look(args: &Args, settings: &Settings, all: Vec<Checked>, dir: &str) -> Result<Vec<Line>, Stop> {
    let ends = std::env::temp_dir().join(format!("drplan-doctor-{}", real::salt()));
    let mut real_settings = RealSettings::new(&ends, dir);
    real_settings.aws_endpoint.clone_from(&settings.aws_endpoint);
    real_settings.smtp = settings.smtp();
    let world = behind_glass(&real::world(real_settings), args.trust_declared);
    let mut lines = Vec::new();
    if let Some(first) = all.first() {
        lines.extend(journal_lines(settings, first).await);
    }
    lines.extend(own_clock(&world).await);
    for checked in all {
        lines.extend(features(&checked));
        lines.extend(params(&checked));
        let state = State::unstarted(Arc::new(checked), dir, real::now());
        lines.extend(doctor::look(&world, &state, args.trust_declared).await);
    }
    Ok(lines)
}

async fn journal_lines(settings: &Settings, checked: &Checked) -> Vec<Line> {
    let named = checked.compiled().plan.journal.as_ref();
    let place = match desk::place(settings, named) {
        Ok(place) => place,
        Err(stop) => return vec![Line::bad("journal", "place", Level::Fail, stop.message, stop.help.unwrap_or_default())],
    };
    let mut out = match &place {
        Place::File(path) => disk(path),
        Place::Server(_) => Vec::new(),
    };
    let shown = place.to_string();
    match journal::made(&place).await {
        Ok(true) => match Desk::open_for(settings, named).await {
            Ok(desk) => {
                out.extend(kept(&*desk.store, &shown).await);
                if let Some(caution) = desk.store.caution().filter(|_| place.is_shared()) {
                    out.push(Line::bad("journal", &shown, Level::Warn, caution, "let its server sync: fsync = on"));
                }
            }
            Err(stop) => out.push(Line::bad("journal", shown, Level::Fail, stop.message, stop.help.unwrap_or_default())),
        },
        Ok(false) => out.push(Line::ok("journal", shown, "there is none yet; the first run makes it")),
        Err(error) => out.push(Line::bad("journal", shown, Level::Fail, error.to_string(), "mend it, or name another: --journal")),
    }
    if !place.is_shared() {
        let todo = "a laptop that may die during a failover needs a shared one: --journal postgres://…";
        out.push(Line::bad("journal", "shared", Level::Warn, "it is on this machine alone: if it dies, so does what it knows", todo));
    }
    out
}

/// The disk on which a journal's file is, or will be made.
fn disk(path: &Path) -> Vec<Line> {
    let dir = nearest(path.parent().unwrap_or(Path::new("/")));
    let shown = dir.display().to_string();
    let mut out = Vec::new();
    out.push(match access(&dir, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Line::ok("journal", &shown, "it can be written"),
        Err(e) => Line::bad(
            "journal",
            &shown,
            Level::Fail,
            format!("it cannot be written: {e}"),
            "let whoever runs drplan write there, or name another place: --journal FILE",
        ),
    });
    if let Err(error) = journal::sqlite::refuse_network(&dir) {
        out.push(Line::bad("journal", &shown, Level::Fail, error.to_string(), "name a local file: --journal FILE"));
    }
    out.push(match statvfs(&dir) {
        Ok(facts) => match facts.f_bavail.saturating_mul(facts.f_frsize) {
            free @ ..LEAST_BYTES => Line::bad("journal", "space", Level::Fail, room(free), "make room on that disk"),
            free @ ..SCARCE_BYTES => Line::bad("journal", "space", Level::Warn, room(free), "make room on that disk"),
            free => Line::ok("journal", "space", room(free)),
        },
        Err(e) => Line::bad("journal", "space", Level::Warn, format!("nobody knows how much is free: {e}"), ""),
    });
    out
}

fn room(free: u64) -> String {
    format!("{} MiB are free", free >> 20)
}

/// The directory, or the nearest one above it that is there.
fn nearest(dir: &Path) -> PathBuf {
    dir.ancestors().find(|d| d.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// What stands in a journal: its schema, runs that are not over, events from a time that has not come.
async fn kept(store: &dyn Archive, shown: &str) -> Vec<Line> {
    let mut out = Vec::new();
    match store.schema().await {
        Ok(schema) if schema.is == schema.newest => out.push(Line::ok("journal", shown, format!("it answers; schema {}", schema.is))),
        Ok(schema) if schema.is < schema.newest => {
            let said = format!("it answers; its schema is {}, this program knows {}", schema.is, schema.newest);
            out.push(Line::bad("journal", shown, Level::Warn, said, "it works as it is; drplan journal migrate brings it up to date"));
        }
        Ok(schema) => {
            let said = format!("its schema is {}, and this program knows {} at most", schema.is, schema.newest);
            out.push(Line::bad("journal", shown, Level::Fail, said, "use a newer drplan"));
        }
        Err(error) => out.push(Line::bad("journal", shown, Level::Fail, error.to_string(), "mend it, or name another: --journal")),
    }
    let Ok(runs) = store.runs().await else { return out };
    for row in runs.iter().filter(|r| r.finished.is_none()) {
        let (said, todo) = match &row.holder {
            Some(holder) => (format!("it is unfinished, driven by {holder}"), format!("drplan watch {}", row.id)),
            None => ("it is unfinished, and nobody drives it".to_owned(), format!("drplan status {} says what to type next", row.id)),
        };
        out.push(Line::bad("run", &row.id, Level::Warn, said, todo));
    }
    if let Some(row) = runs.iter().find(|r| r.started_at > real::now()) {
        let said = format!("run {} began {}, which has not come yet", row.id, row.started_at);
        out.push(Line::bad("clock", "journal", Level::Warn, said, "see whether this machine's clock is right"));
    }
    out
}

/// Whether this machine's two clocks go at the same pace: time since boot, by which leases are counted, and the time of day.
async fn own_clock(world: &World) -> Vec<Line> {
    let (wall, boot) = (world.clock.now(), world.clock.elapsed());
    world.clock.sleep(Duration::from_millis(300)).await;
    let walked = world.clock.now().duration_since(wall).as_millis();
    let ran = i128::try_from(world.clock.elapsed().saturating_sub(boot).as_millis()).unwrap_or(i128::MAX);
    if (walked - ran).abs() <= 100 {
        return vec![Line::ok("clock", "this machine", "time of day and time since boot go at the same pace")];
    }
    let said = format!("in {ran} ms since boot the time of day went on by {walked} ms");
    vec![Line::bad("clock", "this machine", Level::Warn, said, "see what sets its clock")]
}

fn features(checked: &Checked) -> Vec<Line> {
    let wanted: std::collections::BTreeSet<&str> =
        checked.compiled().scenario.steps.iter().flat_map(used).filter_map(|uses| actions::find(uses)?.feature).collect();
    let line = |feature: &str| match real::features().iter().any(|(name, built)| *name == feature && *built) {
        true => Line::ok("feature", feature, "it is built in"),
        false => Line::bad("feature", feature, Level::Fail, "it is not built in", format!("build drplan with `--features {feature}`")),
    };
    wanted.into_iter().map(line).collect()
}

fn params(checked: &Checked) -> Vec<Line> {
    let missing = checked.missing_params();
    let line = |name: &&str| Line::bad("param", *name, Level::Warn, "it has no value yet", format!("run and doctor take it: -p {name}=…"));
    missing.iter().map(line).collect()
}

/// What was found, the worst last, so that it stands where the eye is; under each what to do.
fn table(lines: &[Line]) -> String {
    let wide = |of: fn(&Line) -> &str, most: usize| lines.iter().map(|l| of(l).chars().count()).max().unwrap_or(0).min(most);
    let (areas, whats) = (wide(|l| l.area, 10), wide(|l| &l.what, 32));
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by_key(|l| l.level);
    let mut out = String::new();
    for line in sorted {
        let mark = match line.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        let what = drplan::render::escape::line(&line.what);
        out.push_str(&format!("{mark}  {:areas$}  {what:whats$}  {}\n", line.area, drplan::render::escape::line(&line.said)));
        if !line.todo.is_empty() {
            out.push_str(&format!("      → {}\n", line.todo));
        }
    }
    let count = |level: Level| lines.iter().filter(|l| l.level == level).count();
    let (ok, warn, fail) = (count(Level::Ok), count(Level::Warn), count(Level::Fail));
    let end = if fail > 0 { "a run would fail from here" } else { "a run could begin from here" };
    out.push_str(&format!("\n{ok} ok, {warn} to look at, {fail} failed: {end}. Nothing was changed.\n"));
    out
}
