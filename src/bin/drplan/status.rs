//! `drplan status|runs|log`: what the journal knows of runs. They change nothing.

use clap::Args;
use drplan::execute::State;
use drplan::journal::{Closed, Event, RunRow};
use drplan::report::lines;
use drplan::report::story::lines_to_one;
use drplan::world::real;
use serde_json::json;

use crate::desk::{self, Desk};
use crate::drive;
use crate::exit::{Ended, Exit};
use crate::next;
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

/// Shows a run.
pub fn status(args: &Status, settings: &Settings) -> Ended {
    desk::runtime()?.block_on(async {
        let desk = Desk::open(settings).await?;
        let row = desk.run(args.run.as_deref()).await?;
        let read = desk.read(&row.id).await?;
        let story = drive::story(&read.state, &read.entries);
        if settings.json {
            let say = next::sentence(&read.state, row.holder.as_deref());
            let next = if row.closed.is_none() { next::commands(&read.state, row.holder.is_some()) } else { Vec::new() };
            output::json(&json!({ "run": row, "story": story, "say": say, "next": next, "runbook": desk.runbook(&row.id) }))?;
            return Ok(Exit::Good);
        }
        let mut text = format!("{}\n", lines::headline(&story));
        match &row.holder {
            Some(holder) => text.push_str(&format!("  driven by {}\n", lines_to_one(holder, 200))),
            None if row.closed.is_some() => text.push_str(&format!("  {}\n", closed_line(&row))),
            None if row.finished.is_none() => text.push_str("  nobody drives it\n"),
            None => {}
        }
        text.push_str(&from_the_future(&read.state));
        text.push_str(&drive::runbook_line(&desk, &row.id));
        text.push_str(&format!("\n{}", lines::table(&story)));
        let objectives = lines::objectives(&story);
        if !objectives.is_empty() {
            text.push_str(&format!("\n{objectives}"));
        }
        if row.closed.is_none() {
            text.push_str(&format!("\n{}\n", next::sentence(&read.state, row.holder.as_deref())));
            text.push_str(&next::what(&read.state, row.holder.is_some()));
        }
        output::data(&text)?;
        Ok(Exit::Good)
    })
}

/// What a person must know who compares the times below with a watch.
fn from_the_future(state: &State) -> String {
    match lines::since_ms(real::now(), state.written_at) {
        0..5_000 => String::new(),
        ahead => format!("  its last event is {} ahead of this machine's clock: one of the two is wrong\n", lines::time(ahead)),
    }
}

/// Why nobody drives it from here.
fn closed_line(row: &RunRow) -> String {
    match row.closed {
        Some(Closed::HandedOver) => "handed over: it goes on in the journal that its export was imported into".to_owned(),
        _ => "imported for reading: nobody drives it from here, and it may have gone on elsewhere".to_owned(),
    }
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
            let how = match (row.finished, row.closed, &row.holder) {
                (Some(end), ..) => lines::end_word(end).to_owned(),
                (None, Some(Closed::HandedOver), _) => "handed over".to_owned(),
                (None, Some(Closed::Imported), _) => "imported for reading".to_owned(),
                (None, None, Some(holder)) => format!("driven by {holder}"),
                (None, None, None) => "unfinished".to_owned(),
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
        let mut story = drive::story(&read.state, &[]);
        for entry in &read.entries {
            story.tell(entry);
            if settings.json {
                let line = json!({ "run": run, "seq": entry.seq, "at": entry.at.to_string(), "event": entry.event });
                output::json_line(&line)?;
            } else if let Event::RunStarted { operator, host, digest, .. } = &entry.event {
                let at = entry.at.strftime("%H:%M:%S");
                output::data(&format!(
                    "{at} ■ {} {} started by {} on {host}, plan {digest}\n",
                    story.plan,
                    story.scenario,
                    lines_to_one(operator, 200)
                ))?;
            } else if let Some(line) = lines::line(&story, entry) {
                output::data(&format!("{line}\n"))?;
            }
        }
        Ok(Exit::Good)
    })
}
