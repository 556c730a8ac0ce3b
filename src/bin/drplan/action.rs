//! `drplan action describe|test`: what an executable of the plan's repository says about itself, and whether it keeps the
//! laws of an action. `test` really does what the executable does, with the fields that it is given.

use std::path::{Path, PathBuf};

use drplan::actions::Effect;
use drplan::actions::described::{self, Description};
use drplan::actions::protocol::{self, Ask};
use drplan::world::real::{self, RealSettings, world};
use drplan::world::{Command, Exit as Ending, World};
use serde_json::{Map, Value, json};

use crate::exit::{Ended, Exit, Stop};
use crate::laws::{self, Kit};
use crate::settings::Settings;
use crate::{desk, output};

/// Describe or test an executable that a plan may use: `uses: ./PATH`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print what it says about itself; written to PATH.action.yaml, the compiler reads it there.
    Describe {
        /// The executable.
        path: PathBuf,
    },
    /// Hold it against the laws of an action: it is really done and taken back, with these fields or its own sample.
    Test {
        /// The executable.
        path: PathBuf,
        /// A field; may be given several times, and counts more than the sample.
        #[arg(short, long = "field", value_name = "NAME=VALUE")]
        fields: Vec<String>,
    },
}

/// Describes or tests.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    match &args.what {
        What::Describe { path } => {
            let program = Program::of(path)?;
            let said = desk::runtime()?.block_on(program.describe()).map_err(|why| Stop::new(Exit::Findings, why))?;
            if settings.json {
                output::json(&json!(said))?;
            } else {
                output::data(&serde_yaml::to_string(&said).map_err(|e| Stop::new(Exit::Findings, e.to_string()))?)?;
            }
            Ok(Exit::Good)
        }
        What::Test { path, fields } => test(path, fields, settings),
    }
}

fn test(path: &Path, fields: &[String], settings: &Settings) -> Ended {
    let program = Program::of(path)?;
    let mut given = Map::new();
    for word in fields {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| Stop::usage(format!("`--field {word}` gives no value")).help(format!("--field {word}=VALUE")))?;
        // A number or a truth value is one; everything else is a text.
        let typed = serde_json::from_str(value).ok().filter(|v: &Value| v.is_number() || v.is_boolean());
        given.insert(name.to_owned(), typed.unwrap_or_else(|| json!(value)));
    }
    let place = std::env::temp_dir().join(format!("drplan-action-{}", real::salt()));
    std::fs::create_dir(&place).map_err(|e| Stop::new(Exit::Findings, format!("{} cannot be made: {e}", place.display())))?;
    let found = desk::runtime()?.block_on(laws::hold(&Kit { program: &program, given, place: &place }));
    let broken = found.iter().filter(|law| matches!(law.kept, Err(Some(_)))).count();
    let removed = std::fs::remove_dir_all(&place);
    if settings.json {
        let one = |law: &laws::Found| {
            let word = match &law.kept {
                Ok(()) => "kept",
                Err(None) => "not_asked",
                Err(Some(_)) => "broken",
            };
            json!({ "law": law.name, "what": law.what, "said": word, "why": law.kept.as_ref().err().cloned().flatten() })
        };
        output::json(&json!({ "executable": program.shown, "laws": found.iter().map(one).collect::<Vec<_>>(), "broken": broken }))?;
    } else {
        output::data(&laws::text(&program.shown, &found))?;
    }
    removed.map_err(|e| Stop::new(Exit::Findings, format!("{} cannot be removed: {e}", place.display())))?;
    Ok(if broken == 0 { Exit::Good } else { Exit::Findings })
}

/// An executable that is started for each request.
pub struct Program {
    /// Where it is.
    pub at: PathBuf,
    /// As it was named.
    pub shown: String,
    world: World,
}

impl Program {
    fn of(path: &Path) -> Result<Program, Stop> {
        let bad = |e: std::io::Error| Stop::no_input(format!("cannot find {}: {e}", path.display()));
        let at = std::path::absolute(path).and_then(|at| at.metadata().map(|_| at)).map_err(bad)?;
        let dir = at.parent().unwrap_or(Path::new("/")).to_path_buf();
        Ok(Program { shown: path.display().to_string(), world: world(RealSettings::new(dir.join(".drplan"), dir)), at })
    }

    /// What stands in the file beside it; none if there is none.
    pub fn beside(&self) -> Option<Vec<u8>> {
        std::fs::read(described::beside(&self.at.to_string_lossy())).ok()
    }

    /// Starts it with this on its standard input; an error says why it could not be started.
    pub async fn says(&self, stdin: String, timeout_ms: u64) -> Result<Ending, String> {
        let command = Command {
            ticket: "action-test".to_owned(),
            argv: vec![self.at.to_string_lossy().into_owned()],
            env: Default::default(),
            cwd: self.at.parent().map(|dir| dir.to_string_lossy().into_owned()),
            stdin: Some(stdin),
            begin_by: None,
            timeout_ms: Some(timeout_ms),
            keep_bytes: 1 << 20,
            secrets: Vec::new(),
        };
        self.world.process.ask(&command).await.map_err(|fault| fault.cause)
    }

    /// What it says about itself.
    pub async fn describe(&self) -> Result<Description, String> {
        let exit = self.says(protocol::request(Ask::Describe, &Map::new()), laws::PATIENCE_MS).await?;
        let said = |why: String| format!("{} does not describe itself: {why}", self.shown);
        let reply = protocol::reply(Ask::Describe, &exit).map_err(said)?;
        let text = reply.line.get("description").map(Value::to_string).unwrap_or_default();
        described::read(text.as_bytes()).map_err(said)
    }

    /// Whether a repetition of it means no more than once.
    pub fn repeats(effect: Effect) -> bool {
        matches!(effect, Effect::Read | Effect::Idempotent | Effect::Verifiable)
    }
}
