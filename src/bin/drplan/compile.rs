//! `drplan compile PLAN -o FILE`: the compiled plan, to be reviewed, approved and run.

use std::path::PathBuf;

use serde_json::json;

use crate::exit::{Ended, Exit};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::settings::Settings;

/// Write the compiled plan: parameters and defaults spelled out, files embedded, one digest of it all.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// Where to write it; without it, it is printed.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes or prints the compiled plan.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let checked = load::checked(&args.plan, settings)?;
    let Some(out) = &args.out else {
        output::verbatim(&checked.to_json())?;
        return Ok(Exit::Good);
    };
    output::file(out, &checked.to_json())?;
    if settings.json {
        output::json(&json!({ "file": out, "digest": checked.digest(), "evidence_digest": checked.evidence_digest() }))?;
    } else {
        output::say(&format!("written to {}, digest {}\n", out.display(), checked.digest()));
    }
    Ok(Exit::Good)
}
