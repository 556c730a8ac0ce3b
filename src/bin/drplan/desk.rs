//! What every command about a run needs: the journal, the run that is meant, who speaks, and how to say a word. It
//! does not drive.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use drplan::execute::State;
use drplan::execute::driver::Known;
use drplan::journal::{self, Archive, Entry, Error, Event, Place, RunRow, Store};
use drplan::model::JournalRef;
use drplan::world::World;
use drplan::world::real::{self, RealSettings, Smtp};

use crate::exit::{Exit, Stop};
use crate::settings::Settings;

/// The journal and who is at it.
pub struct Desk {
    /// Where runs are remembered.
    pub store: Arc<dyn Archive>,
    /// `user@host`.
    pub operator: String,
    /// Beside it stands what a run leaves on this machine.
    here: PathBuf,
    aws_endpoint: Option<String>,
    smtp: Option<Smtp>,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        let exit = match &error {
            Error::NoRun(_) => Exit::NoInput,
            Error::Held { .. } | Error::Fenced | Error::AssetHeld { .. } | Error::Closed { .. } => Exit::Held,
            Error::Present(_) | Error::NotBuilt(_) | Error::Ended(_) => Exit::Usage,
            Error::Moved | Error::Damaged(_) | Error::Away(_) | Error::Failed(_) => Exit::JournalFailed,
        };
        let stop = Stop::new(exit, error.to_string());
        match error {
            Error::NotBuilt(feature) => {
                stop.help(format!("build drplan with `--features {feature}` (it is on by default), or name a file"))
            }
            _ => stop,
        }
    }
}

impl Desk {
    /// Opens the journal of the settings.
    pub async fn open(settings: &Settings) -> Result<Desk, Stop> {
        Desk::open_for(settings, None).await
    }

    /// Opens the journal of the settings, or else the one that a plan names.
    pub async fn open_for(settings: &Settings, plan: Option<&JournalRef>) -> Result<Desk, Stop> {
        let place = place(settings, plan)?;
        let here = match &place {
            Place::File(path) => path.clone(),
            Place::Server(_) => home()?.join("server"),
        };
        if let Some(smtp) = settings.smtp() {
            smtp.check().map_err(|fault| Stop::usage(fault.cause))?;
        }
        let store = journal::open(&place).await?;
        let operator = settings.operator.clone().unwrap_or_else(|| format!("{}@{}", real::user_name(), real::host_name()));
        Ok(Desk { store, operator, here, aws_endpoint: settings.aws_endpoint.clone(), smtp: settings.smtp() })
    }

    /// Where the commands of a run leave their ends: beside the journal.
    fn ends(&self, run: &str) -> PathBuf {
        let name = self.here.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        self.here.with_file_name(format!("{name}.d")).join(run)
    }

    /// Where the ticked runbook of a run stands: beside the directory of its ends, which a later driver on another
    /// machine must not make.
    pub fn runbook(&self, run: &str) -> PathBuf {
        self.ends(run).with_extension("md")
    }

    /// Makes what a new run needs, before its first event.
    pub fn begin(&self, run: &str) -> Result<(), Stop> {
        real::begin(&self.ends(run)).map_err(|fault| Stop::new(Exit::JournalFailed, fault.cause))
    }

    /// The outside, as a run sees it.
    pub fn world(&self, run: &str, dir: &str) -> World {
        let mut settings = RealSettings::new(self.ends(run), dir);
        settings.run = Some(run.to_owned());
        settings.aws_endpoint.clone_from(&self.aws_endpoint);
        settings.smtp.clone_from(&self.smtp);
        real::world(settings)
    }

    /// The run that is meant: the one named, or the only unfinished one.
    pub async fn run(&self, named: Option<&str>) -> Result<RunRow, Stop> {
        let all = self.store.runs().await?;
        if let Some(name) = named {
            let near = || journal_hint(name, &all);
            return all
                .iter()
                .find(|r| r.id == name)
                .cloned()
                .ok_or_else(|| Error::NoRun(name.to_owned()).into())
                .map_err(|s: Stop| s.help(near()));
        }
        let mut open = all.into_iter().filter(|r| r.finished.is_none() && r.closed.is_none());
        match (open.next(), open.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Stop::no_input("no run is unfinished").help("`drplan runs` lists all")),
            (Some(a), Some(b)) => {
                Err(Stop::usage(format!("several runs are unfinished: {}, {}, …", a.id, b.id)).help("name the one you mean"))
            }
        }
    }

    /// Reads a run and folds it.
    pub async fn read(&self, run: &str) -> Result<Known, Stop> {
        let entries = self.store.read(run, 0).await?;
        let state = folded(run, &entries)?;
        Ok(Known { entries, state })
    }

    /// Says a word, checked against the state on which it lands; said again if the run went on meanwhile.
    pub async fn speak(&self, run: &str, check: impl Fn(&State) -> Result<Event, Stop>) -> Result<(), Stop> {
        speak(&*self.store, run, check).await
    }
}

/// See [`Desk::speak`].
pub async fn speak(store: &dyn Store, run: &str, check: impl Fn(&State) -> Result<Event, Stop>) -> Result<(), Stop> {
    // Each turn loses against one append of the driver; a run does not append a hundred times in a row meanwhile.
    for _ in 0..100 {
        let head = store.head(run).await?;
        let event = check(&state(store, run).await?)?;
        match store.append(run, &head, None, &[(real::now(), event)]).await {
            Ok(_) => return Ok(()),
            Err(Error::Moved) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Stop::new(Exit::JournalFailed, "the run goes on too fast to get a word in; try again"))
}

/// A run as its journal has it now.
pub async fn state(store: &dyn Store, run: &str) -> Result<State, Stop> {
    folded(run, &store.read(run, 0).await?)
}

fn folded(run: &str, entries: &[Entry]) -> Result<State, Stop> {
    State::of(run, entries).map_err(|e| Stop::new(Exit::JournalFailed, format!("run {run}: {e}")))
}

/// Where the journal is: as it was typed or set, else as the plan says, else in the state directory.
pub fn place(settings: &Settings, plan: Option<&JournalRef>) -> Result<Place, Stop> {
    let named = plan.and_then(|journal| journal.url.as_deref());
    let place = match (&settings.journal, named) {
        (Some(typed), _) => Place::typed(typed),
        (None, Some(url)) => Place::typed(OsStr::new(url)),
        (None, None) => Place::File(home()?.join("journal.db")),
    };
    if !place.is_shared() && plan.is_some_and(|journal| journal.required) {
        let url = named.unwrap_or("postgres://USER@HOST/DATABASE");
        return Err(Stop::usage(format!("the plan requires a shared journal, and {place} is on this machine alone"))
            .help(format!("--journal {url}, or DRPLAN_JOURNAL={url}; the password in PGPASSWORD or ~/.pgpass")));
    }
    match place {
        Place::File(path) => std::path::absolute(&path).map(Place::File).map_err(|e| Stop::usage(format!("{}: {e}", path.display()))),
        server => Ok(server),
    }
}

/// What drplan keeps on this machine.
fn home() -> Result<PathBuf, Stop> {
    let home = real::state_home().map(|home| home.join("drplan"));
    home.ok_or_else(|| Stop::usage("there is no home directory for the journal").help("say where it is: --journal FILE"))
}

fn journal_hint(name: &str, all: &[RunRow]) -> String {
    match drplan::diagnostic::nearest(name, all.iter().map(|r| r.id.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`drplan runs` lists all".to_owned(),
    }
}

/// A runtime for one command.
pub fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::new(Exit::JournalFailed, format!("cannot start: {e}")))
}
