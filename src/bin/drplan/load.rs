//! From the command line to a checked plan: which file, which scenario, which parameters. What is wrong with the plan
//! is said on standard error. It does not know what the command wants to do with the plan.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use drplan::actions::template;
use drplan::analysis::Checked;
use drplan::compile::{COMMAND_LINE, Compilation, Input, Loader, compile};
use drplan::diagnostic::Level;
use drplan::diagnostic::repair::Texts;
use drplan::model::{Mode, PARAM_LONGEST};
use drplan::world::real;
use serde_json::Value;

use crate::exit::{Exit, Stop};
use crate::findings::{self, Format};
use crate::follow::Seen;
use crate::plans;
use crate::settings::Settings;

/// Larger texts are no plans.
const MOST_BYTES: u64 = drplan::syntax::MAX_BYTES as u64;

/// Which plan, and what of it.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    /// The plan, or a compiled plan (.json); without it, the one plan under the current directory.
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,

    /// The scenario; needed if the plan has several.
    #[arg(short, long, value_name = "SCENARIO")]
    pub scenario: Option<String>,

    /// In which mode; without it, `planned` if the scenario's cause is, else `unplanned`.
    #[arg(long, value_name = "MODE")]
    pub mode: Option<ModeArg>,

    /// A parameter's value; may be given several times, and counts more than the file.
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// A YAML file of `name: value` lines.
    #[arg(long, value_name = "FILE")]
    params_file: Option<PathBuf>,

    /// How many steps may run at once [default: 16]
    #[arg(long, value_name = "N")]
    parallel: Option<u32>,

    /// Compile a drill: its scenario, in mode `drill`, with what differs there.
    #[arg(long, value_name = "DRILL", conflicts_with_all = ["scenario", "mode"])]
    drill: Option<String>,

    /// Leave out every step but these.
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<String>,

    /// Leave out these steps.
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    skip: Vec<String>,
}

/// A mode on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    Planned,
    Unplanned,
    Drill,
}

impl PlanArgs {
    /// The file that is meant.
    pub fn path(&self) -> Result<PathBuf, Stop> {
        plans::one(self.plan.as_deref())
    }

    /// Parameters, those of the file first.
    fn given(&self) -> Result<BTreeMap<String, String>, Stop> {
        let mut out = self.params_file.as_deref().map(params_file).transpose()?.unwrap_or_default();
        for word in &self.params {
            let (name, value) =
                word.split_once('=').ok_or_else(|| Stop::usage(format!("`-p {word}` gives no value")).help(format!("-p {word}=VALUE")))?;
            out.insert(name.to_owned(), value.to_owned());
        }
        match out.iter().find(|(_, value)| value.len() > PARAM_LONGEST) {
            Some((name, value)) => {
                let what = format!("parameter `{name}` has {} bytes, a value has at most {PARAM_LONGEST}", value.len());
                Err(Stop::usage(what).help("give the name of a file that holds it"))
            }
            None => Ok(out),
        }
    }

    fn input(&self) -> Result<Input, Stop> {
        let mode = self.mode.map(|m| match m {
            ModeArg::Planned => Mode::Planned,
            ModeArg::Unplanned => Mode::Unplanned,
            ModeArg::Drill => Mode::Drill,
        });
        Ok(Input {
            params: self.given()?,
            scenario: self.scenario.clone(),
            mode,
            skip: self.skip.clone(),
            only: self.only.clone(),
            parallel: self.parallel,
            drill: self.drill.clone(),
            states: None,
            today: Some(today()),
        })
    }

    /// What was typed that a compiled plan already holds.
    fn chosen(&self) -> Option<&'static str> {
        [
            ("-s", self.scenario.is_some()),
            ("--mode", self.mode.is_some()),
            ("-p", !self.params.is_empty()),
            ("--params-file", self.params_file.is_some()),
            ("--parallel", self.parallel.is_some()),
            ("--drill", self.drill.is_some()),
            ("--only", !self.only.is_empty()),
            ("--skip", !self.skip.is_empty()),
        ]
        .iter()
        .find_map(|(name, given)| given.then_some(*name))
    }
}

/// A plan as it is written, judged today.
pub fn today_s_input() -> Input {
    Input { today: Some(today()), ..Input::default() }
}

/// The day by this machine's clock, in UTC: what a plan allows until some day is over on the next.
pub fn today() -> jiff::civil::Date {
    real::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The one checked plan that is meant. Findings are printed; the plan that has one of level `deny` is refused.
pub fn checked(args: &PlanArgs, settings: &Settings) -> Result<Checked, Stop> {
    let mut all = every_scenario(args, settings)?;
    if all.len() == 1 {
        return Ok(all.remove(0));
    }
    let names: Vec<&str> = all.iter().map(|c| c.compiled().scenario.id.as_str()).collect();
    Err(Stop::usage(format!("the plan has {} scenarios: {}", names.len(), names.join(", "))).help(format!("-s {}", names[0])))
}

/// Every scenario of the plan, or the one that was named.
pub fn every_scenario(args: &PlanArgs, settings: &Settings) -> Result<Vec<Checked>, Stop> {
    let path = args.path()?;
    if path.extension().is_some_and(|e| e == "json") {
        if let Some(word) = args.chosen() {
            return Err(Stop::usage(format!("{} is compiled already: `{word}` cannot change it", path.display()))
                .help("compile the plan again with it"));
        }
        return Ok(vec![compiled(&path)?]);
    }
    let compilation = judged_at(&path, args, settings)?;
    if compilation.checked.is_empty() {
        return Err(Stop::new(Exit::Findings, format!("{} has no scenario", path.display())));
    }
    Ok(compilation.checked)
}

/// The whole plan, which nothing refuses. Findings are printed.
pub fn judged(args: &PlanArgs, settings: &Settings) -> Result<Compilation, Stop> {
    let path = args.path()?;
    if path.extension().is_some_and(|e| e == "json") {
        return Err(Stop::usage(format!("{} is compiled already", path.display())).help("name the plan itself"));
    }
    judged_at(&path, args, settings)
}

fn judged_at(path: &Path, args: &PlanArgs, settings: &Settings) -> Result<Compilation, Stop> {
    let compilation = compilation(path, &args.input()?)?;
    findings::print(&compilation, settings, if settings.json { Format::Short } else { Format::Human });
    if !compilation.passed() {
        // What was typed wrongly on the command line is no fault of the plan.
        let typed = compilation.findings.iter().any(|f| f.level == Level::Deny && f.span().source == COMMAND_LINE);
        return Err(Stop::said(if typed { Exit::Usage } else { Exit::Findings }));
    }
    Ok(compilation)
}

/// The compiled plan in a file.
pub fn compiled(path: &Path) -> Result<Checked, Stop> {
    Checked::from_json(&read(path)?).map_err(|e| Stop::new(Exit::Findings, format!("{}: {e}", path.display())))
}

/// The plan at a path, compiled, whatever is wrong with it.
pub fn compilation(path: &Path, input: &Input) -> Result<Compilation, Stop> {
    compiled_from(&Disk::default(), path, input)
}

/// The plan at a path, compiled from what this gives.
pub fn compiled_from(disk: &Disk<'_>, path: &Path, input: &Input) -> Result<Compilation, Stop> {
    let shown = shown(path);
    compile(disk, &shown, input).map_err(|e| Stop::no_input(format!("cannot read {shown}: {e}")))
}

/// A plan's path as it is named everywhere: relative to the current directory where it lies below it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let below = path.strip_prefix(&here).unwrap_or(path);
    below.strip_prefix(".").unwrap_or(below).display().to_string()
}

/// Files of this machine.
#[derive(Default)]
pub struct Disk<'a> {
    /// Texts that count instead of those that stand there, by path.
    pub instead: Option<&'a Texts>,
    /// What was read is noted here.
    pub seen: Option<&'a Seen>,
}

impl Disk<'_> {
    fn note(&self, path: &Path) {
        self.seen.iter().for_each(|seen| seen.note(path));
    }
}

impl Loader for Disk<'_> {
    fn plan(&self, path: &str) -> Result<Vec<u8>, String> {
        if let Some(text) = self.instead.and_then(|texts| texts.get(path)) {
            return Ok(text.clone().into_bytes());
        }
        self.note(Path::new(path));
        // One byte more than a plan may have is enough to say so.
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    fn file(&self, plan: &str, relative: &str) -> Option<Vec<u8>> {
        let path = Path::new(plan).parent()?.join(relative);
        self.note(&path);
        std::fs::read(path).ok()
    }

    fn inside(&self, plan: &str, path: &str) -> bool {
        let real = |path: &Path| std::fs::canonicalize(if path == Path::new("") { Path::new(".") } else { path }).ok();
        let Some(here) = Path::new(plan).parent().and_then(real) else { return false };
        let tree = here.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(&here);
        // What is not there is said when it is read.
        real(Path::new(path)).is_none_or(|path| path.starts_with(tree))
    }
}

fn read(path: &Path) -> Result<String, Stop> {
    let bad = |e: String| Stop::no_input(format!("cannot read {}: {e}", path.display()));
    let bytes = Disk::default().plan(&path.display().to_string()).map_err(bad)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(bad(format!("it has more than {MOST_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|e| bad(format!("it is not UTF-8 from byte {} on", e.utf8_error().valid_up_to())))
}

fn params_file(path: &Path) -> Result<BTreeMap<String, String>, Stop> {
    let bad = |e: String| Stop::usage(format!("{}: {e}", path.display())).help("write one `name: value` a line");
    let values: BTreeMap<String, Value> = serde_yaml::from_str(&read(path)?).map_err(|e| bad(e.to_string()))?;
    let mut out = BTreeMap::new();
    for (name, value) in values {
        if value.is_array() || value.is_object() || value.is_null() {
            return Err(bad(format!("`{name}` is not one value")));
        }
        out.insert(name, template::plain(&value));
    }
    Ok(out)
}
