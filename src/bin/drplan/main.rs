//! The command line: the only room that prints, reads the environment and exits. One file a command; to add one, write
//! its file, name it in [`Command`] and in [`Command::run`].

mod action;
mod adopt;
mod board;
mod changed;
mod check;
mod compile;
mod completions;
mod desk;
mod doctor;
mod drive;
mod dry_run;
mod estimate;
mod exit;
mod explain;
mod findings;
mod fix;
mod follow;
mod graph;
mod hand_over;
mod init;
mod journal;
mod laws;
mod lease;
mod live;
mod load;
mod next;
mod output;
mod page;
mod past;
mod plans;
mod proved;
mod rehearse;
mod render;
mod resume;
mod run;
mod schema;
mod screen;
mod settings;
mod spoken;
mod status;
mod watch;
mod what_if;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Ended, Exit};
use settings::Settings;

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Write down how your systems come back; check it, print it as a runbook, and run it when it counts.
#[derive(Debug, Parser)]
#[command(name = "drplan", version, propagate_version = false, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Check(check::Args),
    Graph(graph::Args),
    Render(render::Args),
    Compile(compile::Args),
    WhatIf(what_if::Args),
    DryRun(dry_run::Args),
    Estimate(estimate::Args),
    Rehearse(rehearse::Args),
    Doctor(doctor::Args),
    Run(run::Args),
    Resume(resume::Args),
    Rollback(resume::Rollback),
    Abort(resume::Abort),
    Pause(words::Pause),
    Retry(words::Retry),
    Skip(words::Skip),
    Resolve(words::Resolve),
    Approve(words::Approve),
    Decline(words::Decline),
    Status(status::Status),
    Watch(watch::Args),
    Runs(status::Runs),
    Log(status::Log),
    Journal(journal::Args),
    Lease(lease::Args),
    HandOver(hand_over::Args),
    Action(action::Args),
    Explain(explain::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

impl Command {
    fn run(self, settings: &Settings) -> Ended {
        match self {
            Command::Init(args) => init::run(&args, settings),
            Command::Check(args) => check::run(&args, settings),
            Command::Graph(args) => graph::run(&args, settings),
            Command::Render(args) => render::run(&args, settings),
            Command::Compile(args) => compile::run(&args, settings),
            Command::WhatIf(args) => what_if::run(&args, settings),
            Command::DryRun(args) => dry_run::run(&args, settings),
            Command::Estimate(args) => estimate::run(&args, settings),
            Command::Rehearse(args) => rehearse::run(&args, settings),
            Command::Doctor(args) => doctor::run(&args, settings),
            Command::Run(args) => run::run(&args, settings),
            Command::Resume(args) => resume::run(&args, settings),
            Command::Rollback(args) => resume::rollback(&args, settings),
            Command::Abort(args) => resume::abort(&args, settings),
            Command::Pause(args) => words::pause(&args, settings),
            Command::Retry(args) => words::retry(&args, settings),
            Command::Skip(args) => words::skip(&args, settings),
            Command::Resolve(args) => words::resolve(&args, settings),
            Command::Approve(args) => words::approve(&args, settings),
            Command::Decline(args) => words::decline(&args, settings),
            Command::Status(args) => status::status(&args, settings),
            Command::Watch(args) => watch::run(&args, settings),
            Command::Runs(args) => status::runs(&args, settings),
            Command::Log(args) => status::log(&args, settings),
            Command::Journal(args) => journal::run(&args, settings),
            Command::Lease(args) => lease::run(&args, settings),
            Command::HandOver(args) => hand_over::run(&args, settings),
            Command::Action(args) => action::run(&args, settings),
            Command::Explain(args) => explain::run(&args, settings),
            Command::Schema(args) => schema::run(&args, settings),
            Command::Completions(args) => completions::run(&args, settings),
        }
    }
}

fn main() -> ExitCode {
    // Not a command that a person types: this program as the process that outlives a driver.
    if std::env::args_os().nth(1).is_some_and(|word| word == "supervise") {
        return drplan::world::real::supervisor::main(std::env::args_os().skip(2));
    }
    std::panic::set_hook(Box::new(|panic| output::say(&confession(panic))));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) => {
            // Help and version are data, and come with 0; anything else is a mistake in calling.
            let text = asked.render();
            if asked.use_stderr() {
                output::painted(&if output::color_err(settings::Color::Auto) { text.ansi().to_string() } else { text.to_string() });
                return Exit::Usage.code().into();
            }
            let _ = output::verbatim(&if output::color_out(settings::Color::Auto) { text.ansi().to_string() } else { text.to_string() });
            return Exit::Good.code().into();
        }
    };
    match cli.command.run(&cli.settings) {
        Ok(exit) => exit.code().into(),
        Err(stop) => {
            if !stop.message.is_empty() {
                output::say(&format!("drplan: {stop}\n"));
            }
            stop.exit.code().into()
        }
    }
}

/// What is said instead of a backtrace.
fn confession(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("no words");
    let place = panic.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
    format!(
        "\ndrplan: this is a bug in drplan {}, not in your plan: {what}{place}\n  \
         If a run was going on, its journal holds everything up to here: `drplan status` shows it, `drplan resume` goes on.\n  \
         Please report this message with the command that you typed.\n",
        env!("CARGO_PKG_VERSION")
    )
}
