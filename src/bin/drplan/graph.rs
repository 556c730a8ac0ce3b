//! `drplan graph PLAN`: what comes before what.

use clap::ValueEnum;
use drplan::render::{dot, json, mermaid};

use crate::exit::{Ended, Exit};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::settings::Settings;

/// Draw what comes before what, and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// What to draw it in.
    #[arg(long, default_value = "mermaid", value_name = "FORMAT")]
    format: Format,

    /// Mark the steps of the longest way: what shortens one of them shortens the run. JSON always names them.
    #[arg(long)]
    critical: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A flowchart that GitHub and many editors show.
    Mermaid,
    /// Graphviz.
    Dot,
    /// For other programs.
    Json,
}

/// Prints the graph.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let checked = load::checked(&args.plan, settings)?;
    match args.format {
        _ if settings.json => output::json(&json::graph(&checked))?,
        Format::Json => output::json(&json::graph(&checked))?,
        Format::Mermaid => output::data(&mermaid::render(&checked, args.critical))?,
        Format::Dot => output::data(&dot::render(&checked, args.critical))?,
    }
    Ok(Exit::Good)
}
