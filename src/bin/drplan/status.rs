//! `drplan status|runs|log|journal`: what the journal knows. They change nothing.

use clap::{Args, Subcommand};
use drplan::journal::Event;
use drplan::report::lines;
use serde_json::json;

use crate::desk::{self, Desk};
use crate::drive;
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::settings::Settings;

/// Where a run stands, and what to type next
#[derive(Debug, Args)]
pub struct Status {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
}

/// All runs, newest first
#[derive(Debug, Args)]
pub struct Runs {}

/// What happened in a run, event by event
#[derive(Debug, Args)]
pub struct Log {
    /// The run; may be left out where exactly one is unfinished.
    run: Option<String>,
}

/// The journal itself
#[derive(Debug, Args)]
pub struct Journal {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Recompute every digest of a run, or of all
    Verify {
        /// The run; all if left out.
        run: Option<String>,
    },
}

/// Shows a run.
pub fn status(args: &Status, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let row = desk.run(args.run.as_deref()).await?;
        let read = desk.read(&row.id).await?;
        let story = drive::story(&read.state, &read.entries).ok_or_else(|| Stop::new(Exit::JournalFailed, "the run has no beginning"))?;
        if settings.json {
            output::json(&json!({ "run": row, "story": story, "next": drive::next(&read.state), "runbook": desk.runbook(&row.id) }))?;
            return Ok(Exit::Good);
        }
        let mut text = format!("{}\n", lines::headline(&story));
        match &row.holder {
            Some(holder) => text.push_str(&format!("  driven by {holder}\n")),
            None if row.finished.is_none() => text.push_str("  nobody drives it\n"),
            None => {}
        }
        text.push_str(&drive::runbook_line(&desk, &row.id));
        text.push_str(&format!("\n{}", lines::table(&story)));
        let objectives = lines::objectives(&story);
        if !objectives.is_empty() {
            text.push_str(&format!("\n{objectives}"));
        }
        text.push_str(&drive::what_next(&read.state));
        output::data(&text)?;
        Ok(Exit::Good)
    })
}

/// Lists runs.
pub fn runs(_args: &Runs, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let all = desk.store.runs().await?;
        if settings.json {
            output::json(&json!(all))?;
            return Ok(Exit::Good);
        }
        if all.is_empty() {
            output::say(&format!("no runs yet in {}\n", desk.store.place()));
        }
        for row in all {
            let how = match (row.finished, &row.holder) {
                (Some(end), _) => lines::end_word(end).to_owned(),
                (None, Some(holder)) => format!("driven by {holder}"),
                (None, None) => "unfinished".to_owned(),
            };
            let at = row.started_at.strftime("%Y-%m-%d %H:%M:%SZ");
            output::data(&format!("{}  {at}  {} {}  {how}\n", row.id, row.plan, row.scenario))?;
        }
        Ok(Exit::Good)
    })
}

/// Tells a run.
pub fn log(args: &Log, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let run = desk.run(args.run.as_deref()).await?.id;
        let read = desk.read(&run).await?;
        let Some(mut story) = drive::story(&read.state, &[]) else {
            return Err(Stop::new(Exit::JournalFailed, "the run has no beginning"));
        };
        for entry in &read.entries {
            story.tell(entry);
            if settings.json {
                let line = json!({ "run": run, "seq": entry.seq, "at": entry.at.to_string(), "event": entry.event });
                output::data(&format!("{line}\n"))?;
            } else if let Event::RunStarted { operator, host, digest, .. } = &entry.event {
                let at = entry.at.strftime("%H:%M:%S");
                output::data(&format!("{at} ■ {} {} started by {operator} on {host}, plan {digest}\n", story.plan, story.scenario))?;
            } else if let Some(line) = lines::line(&story, entry) {
                output::data(&format!("{line}\n"))?;
            }
        }
        Ok(Exit::Good)
    })
}

/// Looks after the journal.
pub fn journal(args: &Journal, settings: &Settings) -> Ended {
    let Verb::Verify { run } = &args.verb;
    desk::runtime()?.block_on(async {
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
    })
}
