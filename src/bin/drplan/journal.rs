//! `drplan journal verify|export|import|migrate`: the journal itself, and runs as texts of their own. They drive nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use drplan::execute::State;
use drplan::execute::driver::orphans;
use drplan::execute::steady;
use drplan::journal::export::{self, Export};
use drplan::journal::{Closed, Error, Event, Head, Stamped};
use drplan::world::real;
use serde_json::json;

use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;

/// The journal itself: check it, copy a run out of it or into it, change its schema
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Recompute every digest of a run, of all runs, or of an export
    Verify {
        /// The run, or the file of an export; all runs if left out.
        what: Option<String>,
    },
    /// Copy a run out, as lines of JSON whose last one holds count and head
    Export {
        /// The run; may be left out where exactly one is unfinished.
        run: Option<String>,
        /// Where to; else standard output. A file that is there is not overwritten.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take an export in: to go on with it if it was handed over, else for reading
    Import {
        /// The export.
        file: PathBuf,
        /// Drive it from here although nobody handed it over; each step in flight becomes unknown.
        #[arg(long, requires = "reason")]
        take_over: bool,
        /// Why it is taken over; goes into the journal.
        #[arg(long, requires = "take_over")]
        reason: Option<String>,
    },
    /// Bring an older journal to the newest schema; refused while anybody drives a run
    Migrate,
}

/// Looks after the journal.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        match &args.verb {
            Verb::Verify { what: Some(file) } if Path::new(file).is_file() => verify_export(Path::new(file), settings),
            Verb::Verify { what } => verify(what.as_deref(), settings).await,
            Verb::Export { run, out } => {
                let desk = Desk::open(settings).await?;
                let run = desk.run(run.as_deref()).await?.id;
                copy_out(&desk, &run, out.as_deref()).await.map(|_| Exit::Good)
            }
            Verb::Import { file, reason, .. } => import(file, reason.as_deref(), settings).await,
            Verb::Migrate => migrate(settings).await,
        }
    })
}

/// Writes a run as a text, to a file that was not there, and is on disk when this returns. Says what was written.
pub async fn copy_out(desk: &Desk, run: &str, out: Option<&Path>) -> Result<Head, Stop> {
    let rows = desk.store.rows(run, 1).await?;
    let text = export::write(run, &rows);
    // What would be refused when it is read is not given out.
    let head = export::read(text.as_bytes())?.head();
    let Some(path) = out else {
        output::verbatim(&text)?;
        return Ok(head);
    };
    let cannot = |e: std::io::Error| Stop::no_input(format!("cannot write {}: {e}", path.display()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(cannot)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)?;
    output::say(&format!("{}: run {run}, {} events, head {}\n", path.display(), head.seq, head.digest));
    Ok(head)
}

async fn verify(run: Option<&str>, settings: &Settings) -> Ended {
    let desk = Desk::open(settings).await?;
    let runs = match run {
        Some(run) => vec![desk.run(Some(run)).await?],
        None => desk.store.runs().await?,
    };
    let mut checked = Vec::new();
    for row in &runs {
        let events = desk.store.verify(&row.id).await?;
        checked.push(json!({ "run": row.id, "events": events, "head": row.head.digest }));
        if !settings.json {
            output::data(&format!("{}  {events} events, every digest fits, head {}\n", row.id, row.head.digest))?;
        }
    }
    if settings.json {
        output::json(&json!(checked))?;
    } else if runs.is_empty() {
        output::say(&format!("no runs yet in {}\n", desk.store.place()));
    }
    Ok(Exit::Good)
}

fn read_export(file: &Path) -> Result<Export, Stop> {
    let bytes = std::fs::read(file).map_err(|e| Stop::no_input(format!("cannot read {}: {e}", file.display())))?;
    export::read(&bytes).map_err(|e| Stop::new(Exit::JournalFailed, format!("{}: {e}", file.display())))
}

fn verify_export(file: &Path, settings: &Settings) -> Ended {
    let export = read_export(file)?;
    let head = export.head();
    if settings.json {
        output::json(&json!([{ "run": export.run, "events": head.seq, "head": head.digest }]))?;
    } else {
        output::data(&format!("{}  {} events, every digest fits, head {}\n", export.run, head.seq, head.digest))?;
    }
    Ok(Exit::Good)
}

async fn import(file: &Path, taken_over: Option<&str>, settings: &Settings) -> Ended {
    let export = read_export(file)?;
    // A run that cannot be folded is not taken in.
    let state = State::of(&export.run, &export.entries).map_err(|e| Stop::new(Exit::JournalFailed, format!("{}: {e}", file.display())))?;
    let desk = Desk::open(settings).await?;
    let run = &export.run;
    let handed = matches!(export.entries.last().map(|e| &e.event), Some(Event::HandedOver { .. }));
    let here = desk.store.runs().await?.into_iter().find(|row| row.id == *run);
    if handed && taken_over.is_none() && here.is_some_and(|row| row.closed == Some(Closed::HandedOver) && row.head == export.head()) {
        return Err(Stop::usage(format!("run {run} was handed over from this very journal, and may go on elsewhere"))
            .help("if it surely does not: add --take-over --reason WHY"));
    }
    let now = real::now().max(state.written_at);
    // How long ago it was elsewhere nobody can tell: what may still land there has all of its time from now on.
    let left = orphans(&state, &|until| steady::carried(until, state.written_at, None, now));
    let imported = |taken_over: bool, reason: &str| -> Stamped {
        (now, Event::Imported { taken_over, who: desk.operator.clone(), reason: reason.to_owned() })
    };
    let then: Vec<Stamped> = match taken_over {
        _ if state.finished.is_some() => Vec::new(),
        Some(reason) => std::iter::once(imported(true, reason)).chain(left.into_iter().map(|e| (now, e))).collect(),
        None if handed => vec![imported(false, "")],
        None => Vec::new(),
    };
    let driven = !then.is_empty();
    let once = driven && taken_over.is_none();
    if once {
        claim(file, run, &desk.store.place())?;
    }
    let restored = desk.store.restore(run, &export.rows, &then).await;
    if once && restored.is_err() {
        let _ = std::fs::remove_file(claimed(file));
    }
    let head = restored?;
    output::say(&format!("run {run} is in {}: {} events, head {}\n", desk.store.place(), head.seq, head.digest));
    let next = match (state.finished.is_some(), driven) {
        (true, _) => format!("it has ended; `drplan log {run}` tells it\n"),
        (false, true) => format!("`drplan resume {run}` goes on; commands that another machine started are asked about\n"),
        (false, false) => format!(
            "for reading: `drplan status {run}` shows it, nobody drives it from here\n  \
             (hand it over where it is driven, `drplan hand-over`, or import it with --take-over --reason WHY)\n"
        ),
    };
    output::say(&next);
    if taken_over.is_some() && driven {
        output::say("whoever drove it until now does not know: make sure that nobody does\n");
    }
    Ok(Exit::Good)
}

/// What says where an export went.
fn claimed(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".imported");
    PathBuf::from(name)
}

/// Marks an export as driven from one journal, so that it is not driven from a second one. What was copied away before
/// cannot be known.
fn claim(file: &Path, run: &str, place: &str) -> Result<(), Stop> {
    let (mark, words) = (claimed(file), format!("run {run} goes on in {place}\n"));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&mark);
    match made.and_then(|mut made| made.write_all(words.as_bytes()).and_then(|()| made.sync_all())) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => match std::fs::read_to_string(&mark) {
            Ok(said) if said == words => Ok(()),
            said => {
                let said = said.unwrap_or_else(|_| "it cannot be read".to_owned());
                Err(Stop::usage(format!("{} was imported already: {}", file.display(), said.trim()))
                    .help(format!("if it surely does not go on there: add --take-over --reason WHY ({} says so)", mark.display())))
            }
        },
        Err(e) => {
            output::say(&format!("{} cannot be marked as imported ({e}): import it nowhere else\n", file.display()));
            Ok(())
        }
    }
}

async fn migrate(settings: &Settings) -> Ended {
    let desk = Desk::open(settings).await?;
    let before = desk.store.migrate().await.map_err(|error| match error {
        Error::Held { holder } => Stop::new(Exit::Held, format!("nothing was changed: a run is driven by {holder}"))
            .help("wait until it ends, or stop it with Ctrl-C where it runs; then migrate"),
        other => other.into(),
    })?;
    let place = desk.store.place();
    if settings.json {
        output::json(&json!({ "journal": place, "was": before.is, "is": before.newest }))?;
    } else if before.is == before.newest {
        output::say(&format!("{place} has schema {}, the newest; nothing was changed\n", before.is));
    } else {
        output::say(&format!("{place} had schema {}, and has schema {} now\n", before.is, before.newest));
    }
    Ok(Exit::Good)
}
