//! `drplan estimate PLAN`: how long the recovery takes, and what that hangs on.

use std::path::PathBuf;

use clap::ValueEnum;
use drplan::analysis::Checked;
use drplan::analysis::estimate::{Ask, Estimate, estimate};
use drplan::journal;
use drplan::render::estimate::{html, svg, text};
use serde_json::json;

use crate::board::Earlier;
use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::past;
use crate::settings::Settings;

/// More runs say nothing more.
const MOST_SAMPLES: usize = 1_000_000;
/// Earlier runs that are looked at.
const RUNS: usize = 200;

/// How long the recovery takes: expected, at worst and as often as not; what decides it, and what would make it shorter
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// How many runs are drawn [default: 10000, fewer for plans of more than 400 steps]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,

    /// What the drawn runs follow from; the same seed gives the same numbers.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// What it is printed as.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Write it there instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables and bars for a terminal.
    Text,
    /// For other programs.
    Json,
    /// A page with pictures, of one file.
    Html,
    /// The pictures alone.
    Svg,
}

/// Estimates every scenario, or the one that was named.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    if args.samples.is_some_and(|n| !(1..=MOST_SAMPLES).contains(&n)) {
        return Err(Stop::usage(format!("--samples is from 1 to {MOST_SAMPLES}")).help("--samples 10000"));
    }
    let plans = load::every_scenario(&args.plan, settings)?;
    let past = earlier(settings, &plans)?;
    let ask = |past| Ask { samples: args.samples, seed: args.seed, past };
    let all: Vec<Estimate> = plans.iter().zip(past).map(|(checked, past)| estimate(checked, &ask(past))).collect();
    let format = if settings.json { Format::Json } else { args.format };
    let page = match format {
        Format::Text => all.iter().map(text::render).collect::<Vec<_>>().join("\n"),
        Format::Html => html::render(&all),
        Format::Svg => svg::render(&all),
        Format::Json => format!("{:#}\n", json!({ "version": 1, "estimates": all })),
    };
    match &args.out {
        Some(out) => output::file(out, &page)?,
        None if format == Format::Json => output::json(&json!({ "version": 1, "estimates": all }))?,
        None => output::data(&page)?,
    }
    Ok(Exit::Good)
}

/// What the steps of each plan took in the journal that was typed or set; without one nothing but the plan counts.
fn earlier(settings: &Settings, plans: &[Checked]) -> Result<Vec<Earlier>, Stop> {
    let none = || Ok(vec![Earlier::new(); plans.len()]);
    if settings.journal.is_none() {
        return none();
    }
    let place = desk::place(settings, None)?;
    desk::runtime()?.block_on(async {
        if !journal::made(&place).await? {
            output::say(&format!("no journal at {place} yet: the times of the plan alone count\n"));
            return none();
        }
        let desk = Desk::open(settings).await?;
        let mut all = Vec::new();
        for checked in plans {
            all.push(past::earlier(&desk, checked.compiled(), "", RUNS).await?);
        }
        Ok(all)
    })
}
