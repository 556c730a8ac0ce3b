//! `drplan watch RUN`: a run as it goes on, from any terminal. It only reads: it does not drive, and says no word.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args as ClapArgs;
use drplan::execute::State;
use drplan::world::real;
use serde_json::json;

use crate::desk::{self, Desk};
use crate::drive;
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::past;
use crate::screen::Screen;
use crate::settings::Settings;

/// How often the journal is asked.
const POLL: Duration = Duration::from_millis(250);

/// Watch a run from another terminal, until it ends; it changes nothing
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
}

/// Watches.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let run = desk.run(args.run.as_deref()).await?.id;
        let clock = desk.world(&run, "/").clock;
        let terminal = std::io::stderr().is_terminal();
        let read = desk.read(&run).await?;
        let earlier = past::earlier(&desk, read.state.plan(), &run, past::SHOWN).await.unwrap_or_default();
        let screen = Screen::new(settings, terminal, false, earlier)?;
        let mut entries = read.entries;
        let mut state = State::of(&run, &entries[..1]).map_err(|e| Stop::new(Exit::JournalFailed, format!("run {run}: {e}")))?;
        let mut new = entries.split_off(1);
        screen.begin(&state);
        loop {
            for entry in new {
                state.fold(&entry).map_err(|e| Stop::new(Exit::JournalFailed, format!("run {run}: {e}")))?;
                screen.entry(&entry);
                entries.push(entry);
            }
            if state.finished.is_some() {
                break;
            }
            screen.tick(real::now());
            clock.sleep(POLL).await;
            // One number is asked for; the events only when it moved.
            new = if desk.store.head(&run).await?.seq > state.seq { desk.store.read(&run, state.seq).await? } else { Vec::new() };
        }
        screen.close();
        let story = drive::story(&state, &entries);
        match settings.json {
            true => output::json_line(&json!({ "summary": story }))?,
            false => output::data(&drplan::report::lines::summary(&story))?,
        }
        Ok(Exit::Good)
    })
}
