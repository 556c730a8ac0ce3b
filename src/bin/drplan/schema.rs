//! `drplan schema`: what a plan may hold, for editors.

use drplan::model::schema;

use crate::exit::{Ended, Exit};
use crate::output;
use crate::settings::Settings;

/// Print the JSON Schema of plans, which editors complete and check with.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the schema; it is JSON with and without `--json`.
pub fn run(_: &Args, _: &Settings) -> Ended {
    output::json(&schema::schema())?;
    Ok(Exit::Good)
}
