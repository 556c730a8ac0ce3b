//! Whether what runs is what was reviewed: a compiled plan against the plan and the files beside it, a plan against a
//! digest or a compiled plan. What differs is listed. It does not run anything.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use drplan::actions::template;
use drplan::analysis::Checked;
use drplan::compile::Input;
use drplan::journal::{self, Event};
use drplan::model::Compiled;
use drplan::model::changes::{Change, Weight, changes};
use sha2::{Digest, Sha256};

use crate::desk::{self, Desk};
use crate::exit::{Exit, Stop};
use crate::load;
use crate::output;
use crate::plans;
use crate::settings::Settings;

/// As wide as it may be beside its indent on a small screen.
const WIDTH: usize = 74;

/// So many differences are listed.
const MOST: usize = 20;

/// In so many runs of the plan what a digest stands for is looked for.
const RUNS: usize = 20;

/// The first of these, most important first, and how many more there are.
pub fn listed(changes: &[Change], most: usize) -> String {
    let mut out = String::new();
    for line in changes.iter().take(most).flat_map(|change| change.lines(WIDTH)) {
        out.push_str(&format!("    {line}\n"));
    }
    if changes.len() > most {
        out.push_str(&format!("    … and {} more\n", changes.len() - most));
    }
    out
}

/// Refuses a compiled plan if the plan beside it is another one by now, or a file that it uses. Who names its digest
/// means this one, whatever became of the plan; the files are what runs all the same.
pub fn since_compiled(file: &Path, dir: &str, checked: &Checked, meant: bool) -> Result<(), Stop> {
    let mut found = of_files(dir, checked.compiled());
    let shown = file.display();
    let Some(plan) = (if meant { None } else { beside(file, &checked.compiled().plan.name) }) else {
        return judged(
            &found,
            &format!("what {shown} starts is not as it was when it was compiled"),
            "put the files back, or compile the plan again",
        );
    };
    let again =
        format!("drplan compile {} -o …, and have it reviewed; or run {shown} as it is: --expect {}", plan.display(), checked.digest());
    let input = as_compiled(checked.compiled());
    let compilation = load::compilation(&plan, &input)?;
    let now = compilation.scenario(&checked.compiled().scenario.id).filter(|_| compilation.passed());
    let Some(now) = now else {
        let why = format!("{} does not compile any more as it did for {shown}", plan.display());
        return Err(Stop::new(Exit::Changed, why).help(format!("drplan check {} says why; {again}", plan.display())));
    };
    if now.digest() != checked.digest() {
        // A file that differs is among them; what another file says of it is not said twice.
        let other = changes(checked.compiled(), now.compiled());
        found.retain(|file| other.iter().all(|change| change.of != file.of));
        found.extend(other);
        found.sort_by_key(|change| change.weight);
    }
    judged(&found, &format!("{} is not as it was when {shown} was compiled", plan.display()), &again)
}

fn judged(found: &[Change], what: &str, help: &str) -> Result<(), Stop> {
    if found.is_empty() {
        return Ok(());
    }
    output::say(&format!("  what is not as it was:\n{}", listed(found, MOST)));
    Err(Stop::new(Exit::Changed, what).help(help))
}

/// Refuses a plan that is not the expected one: a digest, or the file of a compiled plan. `path`: of the plan.
pub fn unless_expected(expected: &str, checked: &Checked, path: &Path, settings: &Settings) -> Result<(), Stop> {
    let file = Path::new(expected);
    let by_file = file.extension().is_some_and(|e| e == "json") || file.is_file();
    let meant = match by_file {
        true => Some(load::compiled(file)?),
        false if expected.len() >= 12 && checked.digest().starts_with(expected) => return Ok(()),
        false => of_digest(expected, path, checked, settings),
    };
    if meant.as_ref().is_some_and(|meant| meant.digest() == checked.digest()) {
        return Ok(());
    }
    if let Some(meant) = &meant {
        output::say(&format!("  what is not as it was expected:\n{}", listed(&changes(meant.compiled(), checked.compiled()), MOST)));
    }
    let help = match meant {
        Some(_) => "have the plan as it is reviewed; `drplan compile` prints its digest",
        None => {
            "look at what changed since it was reviewed: --expect FILE with the compiled plan lists it; `drplan compile` prints the digest of the plan as it is"
        }
    };
    Err(Stop::new(Exit::Changed, format!("the plan has the digest {}, and {expected} was expected", checked.digest())).help(help))
}

/// The compiled plan of a digest, if one lies beside the plan or a run of the plan was bound to it.
fn of_digest(digest: &str, path: &Path, checked: &Checked, settings: &Settings) -> Option<Checked> {
    if digest.len() < 12 {
        return None;
    }
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let compiled = files.filter(|p| p.extension() == Some(OsStr::new("json"))).filter_map(|p| load::compiled(&p).ok());
    compiled.into_iter().find(|c| c.digest().starts_with(digest)).or_else(|| {
        let runtime = desk::runtime().ok()?;
        runtime.block_on(of_run(digest, checked.compiled(), settings))
    })
}

async fn of_run(wanted: &str, plan: &Compiled, settings: &Settings) -> Option<Checked> {
    let place = desk::place(settings, plan.plan.journal.as_ref()).ok()?;
    if !journal::made(&place).await.ok()? {
        return None;
    }
    let desk = Desk::open_for(settings, plan.plan.journal.as_ref()).await.ok()?;
    let all = desk.store.runs().await.ok()?;
    for row in all.iter().filter(|row| row.plan == plan.plan.name).take(RUNS) {
        let entries = desk.store.read(&row.id, 0).await.ok()?;
        if let Some(Event::RunStarted { digest, compiled, .. }) = entries.first().map(|e| &e.event)
            && digest.starts_with(wanted)
        {
            return Checked::from_json(compiled).ok();
        }
    }
    None
}

/// The plan from which a compiled plan was made: the one of its name in its directory, where relative paths of both stand.
fn beside(file: &Path, name: &str) -> Option<PathBuf> {
    let dir = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let all = plans::of(std::slice::from_ref(&dir)).ok()?;
    let here = |path: &&PathBuf| path.parent().is_some_and(|p| p == dir || (p.as_os_str().is_empty() && dir == Path::new(".")));
    let named = |path: &&PathBuf| {
        let found = load::compilation(path, &Input::default()).ok();
        found.and_then(|c| c.plan).is_some_and(|plan| plan.name == name)
    };
    all.iter().filter(here).find(named).cloned()
}

/// What was typed when a plan was compiled, as the compiled plan tells it.
fn as_compiled(compiled: &Compiled) -> Input {
    let typed = compiled.plan.params.iter().filter(|(_, p)| p.given);
    Input {
        params: typed.filter_map(|(name, p)| Some((name.clone(), template::plain(p.value.as_ref()?)))).collect(),
        scenario: Some(compiled.scenario.id.clone()),
        mode: Some(compiled.mode),
        skip: compiled.left_out.clone(),
        only: Vec::new(),
        parallel: Some(compiled.parallel),
        drill: None,
        states: None,
        today: Some(load::today()),
    }
}

/// Files that a plan uses and that are not as they were compiled.
fn of_files(dir: &str, compiled: &Compiled) -> Vec<Change> {
    let sha = |path: PathBuf| std::fs::read(path).ok().map(|b| Sha256::digest(&b).iter().map(|b| format!("{b:02x}")).collect::<String>());
    let now = |path: &str| sha(Path::new(dir).join(path));
    let files = compiled.files.iter().map(|file| (file, now(&file.path))).filter(|(file, now)| now.as_ref() != Some(&file.sha256));
    let change = |of: String, old: &str, new| Change { weight: Weight::File, of, what: String::new(), old: Some(old.to_owned()), new };
    files.map(|(file, now)| change(format!("file `{}`", file.path), &file.sha256, now)).collect()
}
