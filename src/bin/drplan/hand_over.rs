//! `drplan hand-over`: closes a run in this journal and exports it, so that it is driven from another one.

use std::path::{Path, PathBuf};

use drplan::journal::{Closed, Error, Event, Head};
use drplan::world::real;

use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::journal::copy_out;
use crate::output;
use crate::settings::Settings;

/// Close a run here and export it: only that export is driven, in another journal
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,

    /// The export; a file that is there is not overwritten.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// Why; goes into the journal.
    #[arg(long)]
    reason: String,
}

/// Hands over.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let row = desk.run(args.run.as_deref()).await?;
        if row.finished.is_some() {
            return Err(Stop::usage(format!("run {} has ended; there is nothing to hand over", row.id))
                .help(format!("`drplan journal export {}` copies it", row.id)));
        }
        free(&args.out)?;
        match row.closed {
            // It was closed, and its export may have been lost.
            Some(Closed::HandedOver) => output::say("it was handed over before; this is the same export again\n"),
            Some(how) => return Err(Error::Closed { run: row.id, how }.into()),
            None => close(&desk, &row.id, &args.reason).await?,
        }
        let written = copy_out(&desk, &row.id, Some(&args.out)).await;
        written
            .map_err(|stop| stop.help(format!("run {} is closed here all the same: hand it over again with another -o FILE", row.id)))?;
        output::say(&format!(
            "run {} is closed here. Where it goes on: drplan journal import {}, once; then drplan resume {}\n",
            row.id,
            args.out.display(),
            row.id
        ));
        Ok(Exit::Good)
    })
}

/// Whether the file can be made: looked at before the run is closed.
fn free(path: &Path) -> Result<(), Stop> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|_| std::fs::remove_file(path))
        .map_err(|e| Stop::no_input(format!("cannot write {}: {e}; nothing was done", path.display())))
}

async fn close(desk: &Desk, run: &str, reason: &str) -> Result<(), Stop> {
    let holder = format!("{} pid {}, who hands it over", desk.operator, std::process::id());
    let lease = desk.store.take(run, &holder).await.map_err(|error| match error {
        Error::Held { holder } => Stop::new(Exit::Held, format!("run {run} is driven by {holder}; nothing was done"))
            .help(format!("stop it with Ctrl-C where it runs; or, if it does not answer: drplan lease break {run} --reason WHY")),
        other => other.into(),
    })?;
    let (who, from) = (desk.operator.clone(), desk.store.place());
    let taken = Event::LeaseTaken { fence: lease.fence, holder, from: lease.from.clone() };
    let events = [taken, Event::HandedOver { who, from, reason: reason.to_owned() }].map(|event| (real::now(), event));
    let done = loop {
        let head: Head = desk.store.head(run).await?;
        match desk.store.append(run, &head, Some(lease.fence), &events).await {
            Err(Error::Moved) => {}
            other => break other,
        }
    };
    desk.store.give(lease).await?;
    done.map(drop).map_err(Stop::from)
}
