//! `drplan completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::exit::{Ended, Exit};
use crate::output;
use crate::settings::Settings;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    // Into a buffer first: the generator panics on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "drplan", &mut script);
    let script = String::from_utf8_lossy(&script);
    if settings.json {
        output::json(&json!({ "shell": args.shell.to_string(), "script": script }))?;
    } else {
        output::verbatim(&script)?;
    }
    Ok(Exit::Good)
}
