//! `drplan check --fix`: the repairs that findings carry, written into the files of a plan. What a repair is, is the
//! library's; this file knows which files may be changed, and says what was.

use std::path::Path;

use drplan::compile::Loader;
use drplan::diagnostic::repair::{Repair, repair};
use drplan::world::real;

use crate::exit::{Exit, Stop};
use crate::load::{self, Disk};
use crate::output;

/// Repairs one plan and says what was done, file by file. A file that may not be changed is said, and fails at the end.
pub fn fix(plan: &Path) -> Result<(), Stop> {
    let done = repair(|texts| {
        let found = load::compiled_from(&Disk { instead: Some(texts), ..Disk::default() }, plan, &load::today_s_input())?;
        Ok::<_, Stop>((found.sources, found.findings))
    })?;
    let root = load::shown(plan);
    let mut refused = Vec::new();
    for (file, text) in &done.texts {
        let written = match Disk::default().inside(&root, file) {
            true => real::replace(Path::new(file), &done.before[file], text),
            false => Err("it lies outside the Git work tree, or the directory, of the plan".to_owned()),
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
