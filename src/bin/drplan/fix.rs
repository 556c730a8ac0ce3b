//! `drplan check --fix`: the repairs that findings carry, written into the files of a plan. What a repair is, is the
//! library's; this file knows which files may be changed, and says what was.

use std::path::{Path, PathBuf};

use drplan::compile::Input;
use drplan::diagnostic::repair::{Repair, repair};
use drplan::world::real;

use crate::exit::{Exit, Stop};
use crate::load::{self, Disk};
use crate::output;

/// Repairs one plan and says what was done, file by file. A file that may not be changed is said, and fails at the end.
pub fn fix(plan: &Path) -> Result<(), Stop> {
    let done = repair(|texts| {
        let found = load::compiled_from(&Disk { instead: Some(texts) }, plan, &Input::default())?;
        Ok::<_, Stop>((found.sources, found.findings))
    })?;
    let home = home(plan);
    let mut refused = Vec::new();
    for (file, text) in &done.texts {
        let written = match Path::new(file).canonicalize() {
            Ok(real) if !real.starts_with(&home) => Err(format!("it lies outside {}, where the plan is kept", home.display())),
            Ok(real) => real::replace(&real, &done.before[file], text),
            Err(e) => Err(e.to_string()),
        };
        match written {
            Ok(()) => output::say(&said(file, &done.made)),
            Err(why) => refused.push(format!("{file} was not changed: {why}")),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Stop::new(Exit::NoInput, refused.join("\n  "))) }
}

fn said(file: &str, made: &[Repair]) -> String {
    let own: Vec<&Repair> = made.iter().filter(|r| r.file == file).collect();
    let mut out = format!("{file}: {} {}\n", own.len(), if own.len() == 1 { "repair" } else { "repairs" });
    for repair in own {
        out.push_str(&format!("  {}:{}: {} [{}]\n", repair.line, repair.column, repair.what, repair.rule));
    }
    out
}

/// Within which a plan's own files lie: its Git work tree, or without one its directory.
fn home(plan: &Path) -> PathBuf {
    let real = plan.canonicalize().unwrap_or_else(|_| plan.to_owned());
    let dir = real.parent().unwrap_or(Path::new("/"));
    dir.ancestors().find(|d| d.join(".git").exists()).unwrap_or(dir).to_owned()
}
