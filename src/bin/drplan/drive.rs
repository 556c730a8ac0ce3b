//! Driving a run from the command line: what is shown while it goes on, what may be typed, how it ends. It does not
//! decide what a run does.

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use clap::Args;
use drplan::actions::units;
use drplan::execute::driver::{Known, Observer, Options, POLL};
use drplan::execute::machine::Idle;
use drplan::execute::patience::Silence;
use drplan::execute::telling::Said;
use drplan::execute::words::Saying;
use drplan::execute::{Driver, Outcome, Patient, State};
use drplan::journal::{Doing, End, Entry, Event, Store, Word};
use drplan::report::story::lines_to_one;
use drplan::report::{Story, lines};
use jiff::Timestamp;
use serde_json::json;

use crate::board::Earlier;
use crate::desk::{self, Desk};
use crate::exit::{Ended, Exit, Stop};
use crate::next;
use crate::output;
use crate::page::Page;
use crate::past;
use crate::screen::{Screen, Voice};
use crate::settings::Settings;
use crate::spoken::{self, Spoken};

/// What every command that drives takes.
#[derive(Debug, Clone, Args)]
pub struct Driving {
    /// Answer the opening question with yes; approvals and unknowns still ask.
    #[arg(long, short = 'y')]
    pub yes: bool,

    /// Wait for people without a terminal too, instead of leaving with code 11.
    #[arg(long)]
    pub wait: bool,

    /// How often the contacts of a plan are told again that the run waits for them.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub remind: u64,
}

fn duration(text: &str) -> Result<u64, String> {
    match units::duration_ms(text) {
        Ok(ms) if ms >= 1000 => Ok(ms),
        Ok(_) => Err("it is at least 1s".to_owned()),
        Err(problem) => Err(format!("{}; {}", problem.what, problem.help)),
    }
}

/// Whether the opening question can be answered: by `--yes`, or at a terminal.
pub fn answerable(driving: &Driving) -> Result<(), Stop> {
    if driving.yes || (std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(());
    }
    Err(Stop::usage("nothing was done: there is no terminal to ask at").help("add --yes if you mean it"))
}

/// Asks the opening question. Without a terminal and without `--yes` nothing happens.
pub fn confirm(driving: &Driving, question: &str) -> Result<(), Stop> {
    answerable(driving)?;
    if driving.yes {
        return Ok(());
    }
    output::say(&format!("\n{question} Only `yes` goes on: "));
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if answer.trim() == "yes" { Ok(()) } else { Err(Stop::new(Exit::Aborted, "nothing was done")) }
}

/// Drives a run until it ends, waits or is stopped; says how, and gives the exit code.
pub async fn drive(desk: &Desk, known: Known, driving: &Driving, settings: &Settings) -> Ended {
    let (run, dir) = (&known.state.run.clone(), &known.state.dir.clone());
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let earlier =
        if terminal { past::earlier(desk, known.state.plan(), run, past::SHOWN).await.unwrap_or_default() } else { Earlier::new() };
    let stop = Arc::new(AtomicU8::new(0));
    let options = Options {
        holder: format!(
            "{}@{} pid {}",
            desk.operator.split('@').next().unwrap_or_default(),
            drplan::world::real::host_name(),
            std::process::id()
        ),
        wait_for_people: driving.wait || terminal,
        remind: Duration::from_millis(driving.remind),
        poll: POLL,
        stop: Arc::clone(&stop),
        known: Some(known),
    };
    let mut watched = Watched { screen: Screen::new(settings, terminal, true, earlier)?, page: Page::new(desk.runbook(run)) };
    let voice = watched.screen.voice();
    listen(Arc::clone(&stop), voice.clone());
    let world = desk.world(run, dir);
    let waiting = voice.clone();
    let told = move |silence: Silence<'_>| waiting.say(&heard_of(silence));
    let patient = Patient::new(desk.store.clone(), world.clone(), stop, Box::new(told));
    let drive = Driver::drive(world, Arc::new(patient), run, options, &mut watched);
    let (_, outcome) = if terminal {
        tokio::select! {
            ended = drive => ended,
            () = converse(voice, desk.store.clone(), run.to_owned(), desk.operator.clone()) => unreachable!("a conversation does not end"),
        }
    } else {
        drive.await
    };
    let Watched { screen, mut page } = watched;
    let page_failed = page.close();
    page_failed.iter().for_each(|why| screen.say(why));
    screen.close();
    conclude(desk, run, outcome, settings).await
}

/// What is said while the journal does not answer.
fn heard_of(silence: Silence<'_>) -> String {
    match silence {
        Silence::Begun { why, left } => format!(
            "\nThe journal does not answer: {why}\n  It is asked again for {} s; nothing is started meanwhile, what is in flight goes on.",
            left.as_secs()
        ),
        Silence::Ended => "The journal answers again.".to_owned(),
    }
}

/// SIGINT and SIGTERM count; SIGHUP and a closed pipe stop nothing.
fn listen(stop: Arc<AtomicU8>, voice: Voice) {
    use tokio::signal::unix::{SignalKind, signal};
    let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = streams else { return };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => continue,
            }
            match stop.fetch_add(1, Ordering::SeqCst) {
                0 => voice.say("\nStopping: nothing more is started, what is in flight ends. Once more leaves it unknown.\n"),
                _ => voice.say("\nLeaving at once; what was in flight is unknown until the run is resumed.\n"),
            }
        }
    });
}

/// What a person types while the run goes on: the words of the command line, or their short forms. Each is shown with what
/// it would mean; one that turns the run round wants a `yes` besides.
async fn converse(voice: Voice, store: Arc<dyn Store>, run: String, operator: String) {
    let mut lines = drplan::world::real::typed_lines();
    let mut turning: Option<Spoken> = None;
    while let Some(line) = lines.recv().await {
        voice.typed(&line);
        let heard = hear(&voice, &*store, &run, &operator, line.trim(), turning.take()).await;
        turning = heard.unwrap_or_else(|stop| {
            voice.say(&format!("  {stop}"));
            None
        });
    }
    std::future::pending::<()>().await;
}

/// Says what was typed; gives back what still wants a `yes`.
async fn hear(
    voice: &Voice,
    store: &dyn Store,
    run: &str,
    operator: &str,
    line: &str,
    turning: Option<Spoken>,
) -> Result<Option<Spoken>, Stop> {
    let spoken = match turning {
        Some(spoken) if line == "yes" => spoken,
        Some(_) if line.is_empty() || line == "no" => {
            voice.say("  Nothing was said.");
            return Ok(None);
        }
        _ if line.is_empty() => return Ok(None),
        _ => {
            let state = desk::state(store, run).await?;
            let spoken = spoken::typed(&state, line)?;
            spoken.event(&state, operator)?;
            voice.say(&spoken::text(&spoken.meaning(&state)));
            if matches!(spoken.saying, Saying::Word(Word::Rollback { .. } | Word::Abort)) {
                voice.say("  Only `yes` does it.");
                return Ok(Some(spoken));
            }
            spoken
        }
    };
    desk::speak(store, run, |state| spoken.event(state, operator)).await?;
    Ok(None)
}

/// Says how it ended and what to type next.
async fn conclude(desk: &Desk, run: &str, outcome: Outcome, settings: &Settings) -> Ended {
    let exit = match &outcome {
        Outcome::Ended(End::Good) => Exit::Good,
        Outcome::Ended(End::Flawed) => Exit::Flawed,
        Outcome::Ended(End::RolledBack) => Exit::RolledBack,
        // Only whoever adopts a run ends it so, and drives the other one.
        Outcome::Ended(End::Adopted) => Exit::Held,
        Outcome::Ended(End::Aborted) => Exit::Aborted,
        Outcome::Waiting(Idle::Person) => Exit::Waiting,
        Outcome::Waiting(Idle::Unknown | Idle::Stuck) => Exit::Unknown,
        Outcome::Interrupted => Exit::Interrupted,
        Outcome::Held { .. } => Exit::Held,
        Outcome::JournalFailed(_) => Exit::JournalFailed,
    };
    match &outcome {
        Outcome::Held { why, by: Some(other) } => {
            let resume = spoken::resume(run);
            let help = format!(
                "`drplan status {other}` shows where that one stands and what can be said to it; when it has ended, this one goes on: `{resume}`"
            );
            return Err(Stop::new(exit, why.clone()).help(help));
        }
        Outcome::Held { why, by: None } => {
            let resume = spoken::resume(run);
            let help = format!(
                "`drplan status {run}` shows where it stands, `drplan watch {run}` how it goes on, and any word can be said from here. If that \
                 machine is gone: `drplan lease break {run} --reason …`, then `{resume}`"
            );
            return Err(Stop::new(exit, why.clone()).help(help));
        }
        Outcome::JournalFailed(why) => {
            let help = format!(
                "nothing more was started. Mend the journal ({}), then `{}`\n{}",
                desk.store.place(),
                spoken::resume(run),
                runbook_line(desk, run)
            );
            return Err(Stop::new(exit, why.clone()).help(help.trim_end()));
        }
        _ => {}
    }
    let read = desk.read(run).await?;
    let story = story(&read.state, &read.entries);
    if settings.json {
        let line =
            json!({ "summary": story, "exit": exit.code(), "next": next::commands(&read.state, false), "runbook": desk.runbook(run) });
        output::json_line(&line)?;
        return Ok(exit);
    }
    output::data(&lines::summary(&story))?;
    output::data(&runbook_line(desk, run))?;
    output::data(&next::what(&read.state, false))?;
    Ok(exit)
}

/// Where the ticked runbook is, if it is on this machine.
pub fn runbook_line(desk: &Desk, run: &str) -> String {
    let path = desk.runbook(run);
    if path.is_file() { format!("  runbook: {} (ticked, for going on by hand)\n", path.display()) } else { String::new() }
}

/// What is shown, and what is written down for people.
struct Watched {
    screen: Screen,
    page: Page,
}

impl Observer for Watched {
    fn begin(&mut self, entries: &[Entry], state: &State) {
        self.screen.begin(state);
        self.page.begin(entries, state).iter().for_each(|why| self.screen.say(why));
    }

    fn entry(&mut self, entry: &Entry, _: &State) {
        self.page.entry(entry).iter().for_each(|why| self.screen.say(why));
        self.screen.entry(entry);
    }

    fn tick(&mut self, _: &State, now: Timestamp) {
        self.screen.tick(now);
    }

    fn parted(&mut self, unwritten: &[Event], in_flight: &[&str]) {
        let verb = |doing: &Doing| if *doing == Doing::Undo { "taken back" } else { "done" };
        for event in unwritten {
            let (step, what) = match event {
                Event::Done { step, doing, .. } => (step, verb(doing).to_owned()),
                Event::Failed { step, doing, reason, .. } => (step, format!("not {}: {}", verb(doing), lines_to_one(reason, 300))),
                Event::Unknown { step, why, .. } => (step, format!("unknown: {}", lines_to_one(why, 300))),
                _ => continue,
            };
            self.screen.say(&format!("! `{step}`: {what}. The journal does not have this: note it, you may be asked."));
        }
        for step in in_flight {
            self.screen.say(&format!("! `{step}`: goes on; what becomes of it, the journal does not hear from here."));
        }
    }

    fn told(&mut self, said: &Said) {
        let line = match &said.failed {
            None => format!("· `{}` was told that the run waits ({})", said.contact, said.by),
            Some(why) => format!("! `{}` could not be told that the run waits ({}): {}", said.contact, said.by, lines_to_one(why, 300)),
        };
        self.screen.say(&line);
    }

    fn notice(&mut self, words: &str) {
        self.screen.say(&format!("! {words}"));
    }
}

/// A run as a reader sees it, up to these events of it.
pub fn story(state: &State, entries: &[Entry]) -> Story {
    let mut story = Story::of(&state.run, &state.checked, state.started_at, (state.incident_start, state.incident_assumed));
    entries.iter().for_each(|entry| story.tell(entry));
    story
}
